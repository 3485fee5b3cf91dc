//! The log in an archive, as those who read logs want to see it.
use std::fs::File;
use std::io::{self, BufReader};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rewardpool_engine::restore::{Reached, Restore, RestoreError, Until};
use rewardpool_wal::storage::{Source, Storage, StorageFile};
use rewardpool_wal::{LogFile, SECTOR, SegmentHeader};

use super::error::{ArchiveError, ArchiveFault};
use super::manifest::Manifest;
use super::member::SEGMENT_BYTES_MAX;
use super::reader::{Contents, read};
use super::{MANIFEST, PART};

/// An archive that was verified as such. As a storage it can only be read.
pub struct Archive {
    file: Arc<File>,
    contents: Contents,
}

impl Archive {
    /// Reads a file from its beginning to its end and verifies all of it.
    ///
    /// # Errors
    /// When it is not what the writer makes.
    pub fn open(path: &Path) -> Result<Self, ArchiveError> {
        let opened = File::open(path).and_then(|file| Ok((file.try_clone()?, file)));
        let failed = |error| {
            let fault = ArchiveFault::Io(error);
            ArchiveError { member: None, offset: 0, fault }
        };
        let (file, to_read) = opened.map_err(failed)?;
        let contents = read(&mut BufReader::with_capacity(PART, to_read))?;
        Ok(Self { file: Arc::new(file), contents })
    }

    /// What it says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.contents.manifest
    }

    /// Length of the archive.
    pub fn bytes(&self) -> u64 {
        self.contents.bytes
    }

    /// Replays the log to its end and compares it with what the manifest says; with the secrets, if
    /// they are in the archive.
    ///
    /// # Errors
    /// [`LogError`]: what is wrong with the log, or with the manifest.
    pub fn check_log(self: &Arc<Self>) -> Result<Reached, LogError> {
        let log = Arc::clone(self) as Arc<dyn Storage>;
        let restore = Restore { log, secrets: self.as_ref(), until: Until::End };
        let reached = restore.look()?;
        if self.manifest().has_secrets {
            restore.check_secrets(&reached.state)?;
        }
        let (state, manifest) = (&reached.state, self.manifest());
        let same = [
            ("uuid", reached.identity.to_hex() == manifest.uuid),
            ("snapshot_lsn", reached.snapshot_lsn == manifest.snapshot_lsn),
            ("last_lsn", state.last_lsn() == manifest.last_lsn),
            ("last_time_ms", state.time_ms() == manifest.last_time_ms),
            ("last_request_id", state.last_request_id() == manifest.last_request_id),
            ("pools", u32::try_from(state.pools().len()) == Ok(manifest.pools)),
            ("chain", reached.chain == Some(manifest.chain)),
            ("digest", format!("{:016x}", state.digest()) == manifest.digest),
        ];
        match same.into_iter().find(|(_, is_same)| !is_same) {
            None => Ok(reached),
            Some((field, _)) => {
                let (member, fault) = (Some(MANIFEST.to_owned()), ArchiveFault::End(field));
                Err(ArchiveError { member, offset: 0, fault }.into())
            }
        }
    }

    fn find(&self, name: &str) -> io::Result<Stored> {
        let Contents { manifest, offsets, .. } = &self.contents;
        let place = manifest.files.iter().position(|file| file.name == name);
        let place = place.ok_or(io::ErrorKind::NotFound)?;
        let (file, offset) = (Arc::clone(&self.file), offsets[place]);
        let bytes = manifest.files[place].bytes;
        let mut stored = Stored { file, offset, there: bytes, bytes };
        if matches!(LogFile::parse(name), Some(LogFile::Segment(_))) && bytes >= SECTOR as u64 {
            let mut sector = [0; SECTOR];
            stored.read_at(0, &mut sector)?;
            // A length that is no segment's stays as it is, for the reader of the log to refuse.
            let whole = SegmentHeader::stated_bytes(&sector);
            let whole = whole.filter(|whole| (bytes..=SEGMENT_BYTES_MAX).contains(whole));
            stored.bytes = whole.unwrap_or(bytes);
        }
        Ok(stored)
    }
}

/// Why the log in an archive is not good.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The manifest does not fit the log.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The log cannot be replayed.
    #[error(transparent)]
    Log(#[from] RestoreError),
}

/// A file in the archive; behind a segment are zeros up to its length.
struct Stored {
    file: Arc<File>,
    offset: u64,
    /// Bytes that are in the archive.
    there: u64,
    bytes: u64,
}

impl Source for Stored {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.bytes);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let there = self.there.saturating_sub(offset).min(into.len() as u64);
        let there = usize::try_from(there).expect("not more than there is room for");
        let (stored, zeros) = into.split_at_mut(there);
        zeros.fill(0);
        self.file.read_exact_at(stored, self.offset + offset)
    }
}

impl Storage for Archive {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.contents.manifest.files.iter().map(|file| file.name.clone()).collect())
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        let stored = self.find(name)?;
        into.clear();
        into.resize(usize::try_from(stored.bytes).map_err(|_| io::ErrorKind::FileTooLarge)?, 0);
        stored.read_at(0, into)
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(self.find(name)?))
    }

    fn create(&self, _: &str) -> io::Result<Box<dyn StorageFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn open(&self, _: &str) -> io::Result<Box<dyn StorageFile>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
