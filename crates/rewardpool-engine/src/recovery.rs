//! From the files of a log to the state that was acknowledged, or to a refusal that names file
//! and offset. Only reads; it serves the start, the compactor and the offline tools.
use std::time::Duration;

use rewardpool_core::format::{Decoder, Format};
use rewardpool_core::generator::Generator;
use rewardpool_core::ids::{Epoch, Lsn, Outcome};
use rewardpool_core::record::Record;
use rewardpool_core::state::State;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{
    Batch, Error, LogReader, Replayed, SegmentHeader, SegmentNumber, SnapshotFile, segment_name,
    snapshot_name,
};

use crate::error::{EngineError, SNAPSHOT_BODY};
use crate::progress::SnapshotTaken;
use crate::secrets::load_all;

/// Where the format stands in the header of a segment, and in that of a batch.
pub(crate) const SEGMENT_FORMAT: usize = 16;
pub(crate) const BATCH_FORMAT: usize = 60;

/// What a start found.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    /// Whether the directory was set up by this start.
    pub fresh: bool,
    /// The last record of the snapshot that was loaded.
    pub snapshot_lsn: u64,
    /// What is wrong with newer snapshots that had to be passed over.
    pub damaged_snapshots: Vec<String>,
    /// Segments that were read.
    pub segments: u32,
    /// Records that were replayed after the snapshot.
    pub records: u64,
    /// Draws in those records.
    pub draws: u64,
    /// Bytes of an unfinished last batch that were cut off. They were never acknowledged.
    pub torn_bytes: u64,
    /// The last record of the log.
    pub last_lsn: u64,
    /// The last request id; 0 before the first draw.
    pub last_request_id: u64,
    /// How long it took.
    pub duration: Duration,
}

pub(crate) struct Recovered {
    pub(crate) state: State,
    /// The snapshot that was loaded.
    pub(crate) snapshot: SnapshotTaken,
    pub(crate) replayed: Replayed,
    pub(crate) report: RecoveryReport,
}

/// Loads the newest good snapshot and replays all that follows: to the end of the log, or to the
/// end of the segment `last`.
pub(crate) fn recover(
    reader: &LogReader,
    last: Option<SegmentNumber>,
) -> Result<Recovered, EngineError> {
    let (snapshot, damaged) = reader.newest_snapshot()?;
    let mut state = decode_snapshot(&snapshot)?;
    let before = state.last_request_id();
    let replayed = replay(reader, &snapshot, last, &mut state, None)?;
    check_sums(&state, &replayed, &snapshot)?;
    let report = RecoveryReport {
        fresh: false,
        snapshot_lsn: snapshot.header.lsn,
        damaged_snapshots: damaged.iter().map(ToString::to_string).collect(),
        segments: replayed.segments,
        records: replayed.records,
        draws: state.last_request_id() - before,
        torn_bytes: replayed.torn.map_or(0, |torn| torn.bytes),
        last_lsn: state.last_lsn(),
        last_request_id: state.last_request_id(),
        duration: Duration::ZERO,
    };
    let snapshot = SnapshotTaken {
        lsn: snapshot.header.lsn,
        file: snapshot_name(snapshot.header.lsn),
        bytes: SnapshotFile::file_bytes(snapshot.body()),
        sha256: snapshot.sha256,
    };
    Ok(Recovered { state, snapshot, replayed, report })
}

/// Everything that a start reads, and may refuse, before it writes anything.
pub(crate) fn recover_to_serve(
    storage: &dyn Storage,
    reader: &LogReader,
) -> Result<(Recovered, Vec<Generator>), EngineError> {
    let recovered = recover(reader, None)?;
    let tail = &recovered.replayed.tail;
    known_format(tail.segment(), SEGMENT_FORMAT, tail.format())?;
    let generators = load_all(storage, &recovered.state)?;
    Ok((recovered, generators))
}

/// Counts everything again after the last record.
pub(crate) fn check_sums(
    state: &State,
    replayed: &Replayed,
    snapshot: &SnapshotFile,
) -> Result<(), EngineError> {
    state.check().map_err(|violation| {
        let source = Box::new(violation);
        if replayed.records == 0 {
            let (file, offset) = (snapshot_name(snapshot.header.lsn), SNAPSHOT_BODY);
            return EngineError::State { file, offset, source };
        }
        let (file, offset) = (segment_name(replayed.tail.segment()), replayed.tail.offset());
        EngineError::State { file, offset, source }
    })
}

pub(crate) fn decode_snapshot(snapshot: &SnapshotFile) -> Result<State, EngineError> {
    let lsn = snapshot.header.lsn;
    let file = || snapshot_name(lsn);
    let state = State::decode(snapshot.body())
        .map_err(|source| EngineError::Snapshot { file: file(), source })?;
    if state.last_lsn() == lsn {
        Ok(state.in_epoch(Epoch(snapshot.header.epoch)))
    } else {
        Err(EngineError::SnapshotDiffers { file: file() })
    }
}

/// Records that are applied together, at most.
const SINGLES_MAX: usize = 256;

/// Sees each record after it was applied, and where its batch stands.
pub(crate) type Observer<'a> = &'a mut dyn FnMut(
    &SegmentHeader,
    &Batch<'_>,
    (Lsn, &Record<'_>),
    &State,
) -> Result<(), EngineError>;

/// Applies every record after the snapshot to the state. It is faster when nobody sees them.
pub(crate) fn replay(
    reader: &LogReader,
    snapshot: &SnapshotFile,
    last: Option<SegmentNumber>,
    state: &mut State,
    mut observe: Option<Observer<'_>>,
) -> Result<Replayed, EngineError> {
    let mut outcomes = Vec::new();
    let mut apply = |header: &SegmentHeader, batch: &Batch<'_>| {
        apply_batch(state, header, batch, &mut outcomes, &mut observe)
    };
    reader.replay(&snapshot.header, last, &mut apply)
}

/// The format of records, whose number stands at this offset of the segment.
///
/// # Errors
/// When it is of a version that this program does not know.
pub(crate) fn known_format(
    segment: SegmentNumber,
    offset: usize,
    id: u8,
) -> Result<Format, EngineError> {
    let unknown = || Error::Version {
        file: segment_name(segment),
        offset: offset as u64,
        found: u32::from(id),
        supported: u32::from(Format::StringLine.id()),
    };
    Ok(Format::from_id(id).ok_or_else(unknown)?)
}

/// Applies the records of a batch to the state.
pub(crate) fn apply_batch(
    state: &mut State,
    header: &SegmentHeader,
    batch: &Batch<'_>,
    outcomes: &mut Vec<Outcome>,
    observe: &mut Option<Observer<'_>>,
) -> Result<(), EngineError> {
    let file = || segment_name(header.number);
    let format = known_format(header.number, batch.offset + BATCH_FORMAT, batch.format)?;
    let mut lsn = Lsn::new(batch.first_lsn).expect("the log begins at LSN 1");
    let mut decoder = Decoder::new(format, batch.payload, lsn, batch.count);
    let violated = |violation, lsn: Lsn| {
        let (offset, lsn, source) = (batch.offset, lsn.number(), Box::new(violation));
        EngineError::Record { file: file(), offset, lsn, source }
    };
    loop {
        if observe.is_none()
            && let Some(draws) = decoder.next_singles(state.names(), outcomes, SINGLES_MAX)
        {
            let applied = state.apply_singles(&draws, lsn, batch.time_ms);
            applied.map_err(|(lsn, violation)| violated(violation, lsn))?;
            lsn = Lsn::new(state.last_lsn()).expect("a record was applied").next();
            continue;
        }
        // The record is looked at where it is: moving it out costs more than decoding it.
        match decoder.next(state.names(), outcomes) {
            Ok(Some(ref record)) => {
                let applied = state.apply(record, lsn, batch.time_ms);
                applied.map_err(|violation| violated(violation, lsn))?;
                if let Some(observe) = observe {
                    observe(header, batch, (lsn, record), state)?;
                }
                lsn = lsn.next();
            }
            Ok(None) => return Ok(()),
            Err(source) => {
                let offset = batch.payload_offset;
                return Err(EngineError::Format { file: file(), offset, source });
            }
        }
    }
}
