//! Which files a backup holds, and how much of each: a snapshot, the segments from there up to a
//! durable position, and what identifies the log. For a running engine and for a stopped directory.
//!
//! All files are opened at once. From then on nothing that the engine does changes them: bytes up to
//! a durable position are never written again, and a file that is pruned stays readable while it is
//! open. So a backup that is read slowly costs descriptors, and the space of what was pruned.
use std::io;
use std::path::Path;
use std::sync::Arc;

use rewardpool_core::ids::PoolNumber;
use rewardpool_wal::storage::{Source, Storage};
use rewardpool_wal::{
    Ancestry, DirectoryLock, Error, Identity, LogFile, LogReader, SegmentHeader, SegmentNumber,
    SnapshotHeader, snapshot_name, used_bytes,
};

use crate::config::StorageKind;
use crate::engine::open_storage;
use crate::error::{Chain, EngineError};
use crate::inspect::read_log;
use crate::recovery::{recover, recover_to_serve};
use crate::request::{LogPosition, Refusal};
use crate::writer::position;

/// Segments that a backup holds open at most: a process has about a thousand descriptors, and the
/// service needs them for its clients.
pub const SEGMENTS_MAX: usize = 256;

/// What a backup should hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackupOptions {
    /// Begin at the oldest snapshot that is kept instead of the newest.
    pub history: bool,
    /// Include the secrets of the pools.
    pub secrets: bool,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The engine does not tell where the log ends.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The files cannot be read, or are damaged.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// There are more segments than may be held open.
    #[error(
        "the log has {count} segments since its snapshot, a backup takes at most {SEGMENTS_MAX}"
    )]
    TooManySegments {
        /// How many there are.
        count: usize,
    },
    /// Each time some of the files were pruned before all of them were open.
    #[error("the log is pruned faster than its files are opened")]
    Overtaken,
}

impl From<Error> for BackupError {
    fn from(error: Error) -> Self {
        Self::Engine(error.into())
    }
}

/// The files of a backup, open, in the order in which they are copied.
pub struct Backup {
    /// Which log it is.
    pub identity: Identity,
    /// The snapshot that it begins with.
    pub snapshot_lsn: u64,
    /// Where it ends.
    pub position: LogPosition,
    /// The options that it was made with.
    pub options: BackupOptions,
    /// What it holds.
    pub files: Vec<BackupFile>,
    /// Keeps a service from starting on a stopped directory.
    pub lock: Option<DirectoryLock>,
}

/// A file of a backup. What stands behind its bytes is none of the backup's business.
pub struct BackupFile {
    /// Its name.
    pub name: LogFile,
    /// How many bytes of it belong to the backup.
    pub bytes: u64,
    /// To read it.
    pub source: Box<dyn Source>,
}

impl Backup {
    /// Opens the files of a log that may be written to, and was durable up to this position. `None`
    /// when some of them were removed meanwhile.
    pub(crate) fn open(
        storage: &Arc<dyn Storage>,
        position: &LogPosition,
        options: BackupOptions,
    ) -> Result<Option<Self>, BackupError> {
        let opened = Self::try_open(storage, position, options);
        match opened {
            Err(BackupError::Engine(EngineError::Log(error))) if is_gone(&error) => Ok(None),
            opened => opened.map(Some),
        }
    }

    fn try_open(
        storage: &Arc<dyn Storage>,
        position: &LogPosition,
        options: BackupOptions,
    ) -> Result<Self, BackupError> {
        let reader = read_log(Arc::clone(storage))?;
        let identity = reader.identity();
        let snapshots = snapshots(storage.as_ref(), &reader, position.lsn, options.history)?;
        let (first, _) = &snapshots[0];
        let (snapshot_lsn, first) = (first.lsn, first.next_segment);
        let segments = segments(storage.as_ref(), identity, first, position)?;
        let mut files = vec![whole(storage.as_ref(), LogFile::Identity)?];
        if !Ancestry::load(storage.as_ref())?.0.is_empty() {
            files.push(whole(storage.as_ref(), LogFile::Restored)?);
        }
        let pools = if options.secrets { 0..position.pools } else { 0..0 };
        for pool in pools {
            files.push(whole(storage.as_ref(), LogFile::Secret(PoolNumber(pool).0))?);
        }
        files.extend(snapshots.into_iter().map(|(_, file)| file));
        files.extend(segments);
        let position = *position;
        Ok(Self { identity, snapshot_lsn, position, options, files, lock: None })
    }
}

/// Opens the files of a stopped directory, which stays locked for readers only while the backup
/// lives. What it recovers is verified first.
///
/// # Errors
/// [`BackupError::Engine`] when the directory is in use or damaged.
pub fn open_stopped(directory: &Path, options: BackupOptions) -> Result<Backup, BackupError> {
    let lock = DirectoryLock::shared(directory)?;
    let storage = open_storage(directory, StorageKind::File)?;
    let reader = read_log(Arc::clone(&storage))?;
    let recovered = if options.secrets {
        recover_to_serve(storage.as_ref(), &reader)?.0
    } else {
        recover(&reader, None)?
    };
    let position = position(&recovered.state, &recovered.replayed.tail.position());
    let opened = Backup::open(&storage, &position, options)?;
    let backup = opened.ok_or(BackupError::Overtaken)?;
    Ok(Backup { lock: Some(lock), ..backup })
}

/// The good snapshots up to a position: all that the segments reach back to, rising, or the newest.
fn snapshots(
    storage: &dyn Storage,
    reader: &LogReader,
    last_lsn: u64,
    history: bool,
) -> Result<Vec<(SnapshotHeader, BackupFile)>, BackupError> {
    let first_segment = reader.segments().first().copied();
    let mut found = Vec::new();
    for &lsn in reader.snapshots().iter().rev().filter(|lsn| **lsn <= last_lsn) {
        let name = LogFile::Snapshot(lsn);
        let source = open(storage, name)?;
        let header = match SnapshotHeader::verify(source.as_ref(), lsn, reader.identity()) {
            Ok(header) => header,
            Err(error @ Error::Corrupt { .. }) => {
                tracing::error!(error = %Chain(&error), "a snapshot is damaged, a backup needs an older one");
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if first_segment.is_none_or(|first| header.next_segment < first) {
            break;
        }
        found.insert(0, (header, BackupFile { name, bytes: source.bytes(), source }));
        if !history {
            break;
        }
    }
    if found.is_empty() {
        let (file, because) = (snapshot_name(last_lsn), "a backup begins with a good snapshot");
        return Err(Error::Missing { file, because }.into());
    }
    Ok(found)
}

/// The segments from this one up to a position, each to the end of its last batch.
fn segments(
    storage: &dyn Storage,
    identity: Identity,
    first: SegmentNumber,
    position: &LogPosition,
) -> Result<Vec<BackupFile>, BackupError> {
    let count = (first.0..=position.segment).count();
    if count > SEGMENTS_MAX {
        return Err(BackupError::TooManySegments { count });
    }
    let mut opened = Vec::new();
    for number in (first.0..=position.segment).map(SegmentNumber) {
        let source = open(storage, LogFile::Segment(number))?;
        let header = SegmentHeader::read(source.as_ref(), number, identity)?;
        opened.push((header, source));
    }
    let ends: Vec<u64> =
        opened[1..].iter().map(|(next, _)| next.first_lsn - 1).chain([position.lsn]).collect();
    let mut files = Vec::new();
    for ((header, source), end) in opened.into_iter().zip(ends) {
        let bytes = used_bytes(source.as_ref(), &header, end)?;
        files.push(BackupFile { name: LogFile::Segment(header.number), bytes, source });
    }
    Ok(files)
}

/// A small file, which is read at once.
fn whole(storage: &dyn Storage, name: LogFile) -> Result<BackupFile, Error> {
    let mut bytes = Vec::new();
    let read = storage.read(&name.to_string(), &mut bytes);
    read.map_err(|source| failed(name, source))?;
    Ok(BackupFile { name, bytes: bytes.len() as u64, source: Box::new(bytes) })
}

fn open(storage: &dyn Storage, name: LogFile) -> Result<Box<dyn Source>, Error> {
    storage.source(&name.to_string()).map_err(|source| failed(name, source))
}

fn failed(name: LogFile, source: io::Error) -> Error {
    Error::Io { operation: "read", file: name.to_string(), source }
}

/// Whether a snapshot or a segment is not there any more, as happens while the log is pruned.
fn is_gone(error: &Error) -> bool {
    let Error::Io { file, source, .. } = error else { return false };
    let is_pruned =
        matches!(LogFile::parse(file), Some(LogFile::Snapshot(_) | LogFile::Segment(_)));
    is_pruned && source.kind() == io::ErrorKind::NotFound
}
