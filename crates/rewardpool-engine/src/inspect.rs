//! Looks at a directory without changing it: what the segments and snapshots hold, and whether
//! all of it is intact.
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rewardpool_core::format::{Format, json_line};
use rewardpool_core::generator::Secret;
use rewardpool_core::ids::Lsn;
use rewardpool_core::record::Record;
use rewardpool_core::state::State;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{
    Ancestry, DirectoryLock, Error, Following, LogReader, SnapshotFile, segment_name, snapshot_name,
};

use crate::config::StorageKind;
use crate::engine::open_storage;
use crate::error::EngineError;
pub use crate::examine::{Examination, Outlook, examine, examine_storage};
use crate::recovery::{
    RecoveryReport, SEGMENT_FORMAT, check_sums, decode_snapshot, known_format, recover, replay,
};
use crate::secrets::load_secrets;

/// How a segment ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentStatus {
    /// It may be written to, or was when the service ended.
    Open,
    /// Another segment follows.
    Rotated,
    /// It ends with the record of a clean stop.
    Closed,
}

impl SegmentStatus {
    /// The name in texts: `open`, `rotated`, `closed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Rotated => "rotated",
            Self::Closed => "closed",
        }
    }
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentInfo {
    /// Its file.
    pub name: String,
    /// Length of the file.
    pub bytes: u64,
    /// Bytes up to the end of its last batch.
    pub used_bytes: u64,
    /// Format of its records.
    pub format: Format,
    /// LSN of its first record.
    pub first_lsn: u64,
    /// LSN of its last record; `None` while it is empty.
    pub last_lsn: Option<u64>,
    /// How many batches it holds.
    pub batches: u64,
    /// How many records it holds.
    pub records: u64,
    /// How it ends.
    pub status: SegmentStatus,
    /// Where an unfinished batch begins that a crash left behind.
    pub torn_at: Option<u64>,
}

/// One snapshot.
#[derive(Clone, Debug)]
pub struct SnapshotInfo {
    /// Its file.
    pub name: String,
    /// Length of the file.
    pub bytes: u64,
    /// The last record that it covers.
    pub lsn: u64,
    /// The segment that goes on from there.
    pub next_segment: String,
    /// Time of that record, in milliseconds since 1970.
    pub time_ms: u64,
    /// SHA-256 of the file without its last 32 bytes, which hold it.
    pub sha256: [u8; 32],
}

/// What a verification found intact.
#[derive(Clone, Debug)]
pub struct VerifyReport {
    /// Segments that were read.
    pub segments: u32,
    /// Snapshots that were compared with the state that the log gives.
    pub snapshots: u32,
    /// Records that were replayed.
    pub records: u64,
    /// Draws in those records.
    pub draws: u64,
    /// The last record.
    pub last_lsn: u64,
    /// The last request id.
    pub last_request_id: u64,
    /// Bytes of an unfinished last batch, which the next start cuts off.
    pub torn_bytes: u64,
    /// SHA-256 of the state at the end.
    pub state_sha256: [u8; 32],
}

/// Lists the segments from the oldest snapshot on. Works beside a running service.
pub fn segments(directory: &Path) -> Result<Vec<SegmentInfo>, EngineError> {
    let reader = open(directory)?;
    let (oldest, mut state) = oldest(&reader)?;
    let mut found = BTreeMap::new();
    for &number in reader.segments() {
        let header = reader.segment_header(number)?;
        let format = known_format(number, SEGMENT_FORMAT, header.format)?;
        let info = SegmentInfo {
            name: segment_name(number),
            bytes: header.bytes,
            used_bytes: 0,
            format,
            first_lsn: header.first_lsn,
            last_lsn: None,
            batches: 0,
            records: 0,
            status: SegmentStatus::Open,
            torn_at: None,
        };
        found.insert(number, info);
    }
    let replayed = replay(
        &reader,
        &oldest,
        None,
        &mut state,
        Some(&mut |header, batch, (lsn, record), _| {
            let info = found.get_mut(&header.number).expect("each segment was listed");
            info.batches += u64::from(lsn.number() == batch.first_lsn);
            info.records += 1;
            info.last_lsn = Some(lsn.number());
            info.used_bytes = (batch.payload_offset + batch.payload.len()) as u64;
            info.status = match record {
                Record::Rotate { .. } => SegmentStatus::Rotated,
                Record::Closed(_) => SegmentStatus::Closed,
                Record::PoolCreated(_)
                | Record::Draw(_)
                | Record::Update(_)
                | Record::ItemAdded(_)
                | Record::ItemRetired(_)
                | Record::PoolStateChanged(_)
                | Record::Snapshot(_)
                | Record::Marker
                | Record::Digest(_)
                | Record::LeaderEpoch(_)
                | Record::SecretChanged { .. } => SegmentStatus::Open,
            };
            Ok(())
        }),
    )?;
    if let (Some(torn), Some(info)) = (replayed.torn, found.get_mut(&replayed.tail.segment())) {
        info.torn_at = Some(torn.offset);
    }
    Ok(found.into_values().collect())
}

/// Lists the snapshots and verifies the hash of each.
pub fn snapshots(directory: &Path) -> Result<Vec<SnapshotInfo>, EngineError> {
    let reader = open(directory)?;
    let mut infos = Vec::new();
    for &lsn in reader.snapshots() {
        let snapshot = reader.load_snapshot(lsn)?;
        infos.push(SnapshotInfo {
            name: snapshot_name(lsn),
            bytes: SnapshotFile::file_bytes(snapshot.body()),
            lsn,
            next_segment: segment_name(snapshot.header.next_segment),
            time_ms: snapshot.header.time_ms,
            sha256: snapshot.sha256,
        });
    }
    Ok(infos)
}

/// Writes one JSON line for each record, whatever the format of the log: of all segments from the
/// oldest snapshot on, or of one. Gives the number of records.
pub fn cat(
    directory: &Path,
    segment: Option<u32>,
    out: &mut dyn Write,
) -> Result<u64, EngineError> {
    let reader = open(directory)?;
    let (oldest, mut state) = oldest(&reader)?;
    if let Some(wanted) = segment.filter(|wanted| !reader.segments().iter().any(|n| n.0 == *wanted))
    {
        let file = segment_name(rewardpool_wal::SegmentNumber(wanted));
        return Err(Error::Missing { file, because: "it was asked for" }.into());
    }
    let mut line = Vec::new();
    let mut records = 0;
    replay(
        &reader,
        &oldest,
        None,
        &mut state,
        Some(&mut |header, _, (lsn, record), state| {
            if segment.is_none_or(|wanted| wanted == header.number.0) {
                line.clear();
                json_line(lsn, record, state.names(), &mut line);
                out.write_all(&line).map_err(EngineError::Output)?;
                records += 1;
            }
            Ok(())
        }),
    )?;
    out.flush().map_err(EngineError::Output)?;
    Ok(records)
}

/// Sees a log as [`walk`] replays it.
pub trait Visitor {
    /// The state of the oldest snapshot, where the log begins.
    fn begin(&mut self, _state: &State) {}

    /// A record, after it was applied to the state.
    ///
    /// # Errors
    /// Ends the walk.
    fn record(&mut self, _seen: &Seen<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    /// A snapshot, when the state has come to its position: the SHA-256 that stands in its file,
    /// and whether it holds the state that the log gives.
    ///
    /// # Errors
    /// Ends the walk.
    fn snapshot(&mut self, lsn: u64, _sha256: [u8; 32], is_equal: bool) -> Result<(), EngineError> {
        let file = snapshot_name(lsn);
        if is_equal { Ok(()) } else { Err(EngineError::SnapshotDiffers { file }) }
    }

    /// The state at the end of the log, and the secrets of its pools in the order of their numbers. A
    /// copy of another service's log has none.
    fn end(&mut self, _state: &State, _secrets: &[Secret]) {}
}

/// A record on a walk.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its position.
    pub lsn: Lsn,
    /// Time of its batch, in milliseconds since 1970.
    pub time_ms: u64,
    /// The record.
    pub record: &'a Record<'a>,
    /// The state that includes it.
    pub state: &'a State,
}

/// Replays all there is, from the oldest snapshot to the end, and checks every checksum, every
/// snapshot against the state that the log gives, the secrets, and the conservation law.
///
/// # Errors
/// The first damage that [`examine`] finds.
pub fn verify(directory: &Path) -> Result<VerifyReport, EngineError> {
    let Examination { damages, verified, .. } = examine(directory)?;
    match damages.into_iter().next() {
        Some(damage) => Err(damage),
        None => Ok(verified.expect("what is not damaged was verified")),
    }
}

/// Replays all there is, from the oldest snapshot to the end, before the eyes of a visitor, who
/// decides whether a snapshot that differs is an error.
pub fn walk(directory: &Path, visitor: &mut dyn Visitor) -> Result<VerifyReport, EngineError> {
    let _lock = DirectoryLock::shared(directory)?;
    let reader = open(directory)?;
    let (oldest, mut state) = oldest(&reader)?;
    visitor.begin(&state);
    visitor.snapshot(oldest.header.lsn, oldest.sha256, true)?;
    let before = state.last_request_id();
    let mut compared = 1;
    let mut body = Vec::new();
    let replayed = replay(
        &reader,
        &oldest,
        None,
        &mut state,
        Some(&mut |_, batch, seen, state| {
            let (lsn, record) = seen;
            visitor.record(&Seen { lsn, time_ms: batch.time_ms, record, state })?;
            if reader.snapshots().binary_search(&lsn.number()).is_ok() {
                let snapshot = reader.load_snapshot(lsn.number())?;
                body.clear();
                state.encode(&mut body);
                visitor.snapshot(lsn.number(), snapshot.sha256, snapshot.body() == body)?;
                compared += 1;
            }
            Ok(())
        }),
    )?;
    check_sums(&state, &replayed, &oldest)?;
    let storage = open_storage(directory, StorageKind::File)?;
    let secrets = match Following::load(storage.as_ref())? {
        Some(_) => Vec::new(),
        None => load_secrets(storage.as_ref(), &state)?,
    };
    visitor.end(&state, &secrets);
    Ok(VerifyReport {
        segments: replayed.segments,
        snapshots: compared,
        records: replayed.records,
        draws: state.last_request_id() - before,
        last_lsn: state.last_lsn(),
        last_request_id: state.last_request_id(),
        torn_bytes: replayed.torn.map_or(0, |torn| torn.bytes),
        state_sha256: state.state_hash(),
    })
}

/// The state of a stopped directory. Nothing is changed.
pub fn load(directory: &Path) -> Result<(State, RecoveryReport), EngineError> {
    let _lock = DirectoryLock::shared(directory)?;
    let mut recovered = recover(&open(directory)?, None)?;
    recovered.state.activate();
    Ok((recovered.state, recovered.report))
}

/// Looks whether a service runs on a directory.
///
/// # Errors
/// See [`EngineError::is_locked`]; another one when the directory cannot be looked at.
pub fn check_unlocked(directory: &Path) -> Result<(), EngineError> {
    DirectoryLock::shared(directory)?;
    Ok(())
}

/// The last position of a stopped directory that was taken over from another log when it was
/// restored; 0 when it never was.
pub fn restored_lsn(directory: &Path) -> Result<u64, EngineError> {
    let storage = open_storage(directory, StorageKind::File)?;
    let ancestry = Ancestry::load(storage.as_ref())?;
    Ok(ancestry.0.last().map_or(0, |restoration| restoration.lsn))
}

fn open(directory: &Path) -> Result<LogReader, EngineError> {
    read_log(open_storage(directory, StorageKind::File)?)
}

/// The log in a directory that must hold one.
pub(crate) fn read_log(storage: Arc<dyn Storage>) -> Result<LogReader, EngineError> {
    LogReader::open(storage)?.ok_or_else(no_log)
}

/// The directory must hold a log, and does not.
pub(crate) fn no_log() -> EngineError {
    let because = "the directory holds no log of a reward pool";
    Error::Missing { file: "POOL".to_owned(), because }.into()
}

/// The oldest good snapshot with the segment that goes on from it. A crash in the middle of pruning
/// may leave older ones behind, which nothing needs.
pub(crate) fn oldest(reader: &LogReader) -> Result<(SnapshotFile, State), EngineError> {
    let because = "a log always has a snapshot to start from";
    let missing = || Error::Missing { file: "snapshot".to_owned(), because };
    let first_segment = reader.segments().first().copied();
    let (newest, older) = reader.snapshots().split_last().ok_or_else(missing)?;
    for &lsn in older {
        match load_snapshot(reader, lsn) {
            Ok((snapshot, state)) => {
                if first_segment.is_some_and(|first| snapshot.header.next_segment >= first) {
                    return Ok((snapshot, state));
                }
            }
            Err(error) if error.is_corruption() => {}
            Err(error) => return Err(error),
        }
    }
    load_snapshot(reader, *newest)
}

/// A snapshot and the state that it holds.
pub(crate) fn load_snapshot(
    reader: &LogReader,
    lsn: u64,
) -> Result<(SnapshotFile, State), EngineError> {
    let snapshot = reader.load_snapshot(lsn)?;
    let state = decode_snapshot(&snapshot)?;
    Ok((snapshot, state))
}
