//! The golden directories of the engine, and the states that their logs give, batch by batch.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::{fs, io};

use rewardpool_core::format::{Decoder, Format};
use rewardpool_core::ids::Lsn;
use rewardpool_core::state::State;
use rewardpool_wal::{Batch, Error, LogReader, SegmentHeader, segment_name};

use crate::memory::{Files, Memory};

/// A batch and the state after it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) segment: String,
    pub(crate) offset: usize,
    /// Bytes of the batch, in whole sectors.
    pub(crate) bytes: usize,
    pub(crate) state_sha256: [u8; 32],
}

/// A directory that an engine wrote.
#[derive(Debug)]
pub(crate) struct Golden {
    pub(crate) files: Files,
    /// By the first LSN of the batch.
    pub(crate) steps: BTreeMap<u64, Step>,
    /// SHA-256 of the state by last LSN.
    pub(crate) states: BTreeMap<u64, [u8; 32]>,
    pub(crate) last_lsn: u64,
}

/// All golden directories, in the order of their names.
pub(crate) fn golden() -> &'static [Golden] {
    static GOLDEN: OnceLock<Vec<Golden>> = OnceLock::new();
    GOLDEN.get_or_init(|| load().expect("the golden directories can be read"))
}

fn load() -> io::Result<Vec<Golden>> {
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/../rewardpool-engine/tests/golden/v1");
    let mut directories = BTreeMap::new();
    for entry in Path::new(place).read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            directories.insert(path.clone(), read(&path)?);
        }
    }
    assert!(!directories.is_empty(), "there are golden directories");
    Ok(directories.into_values().map(Golden::new).collect())
}

/// Every file of a directory.
pub(crate) fn read(directory: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|_| io::ErrorKind::InvalidData)?;
        files.insert(name, fs::read(entry.path())?);
    }
    Ok(files)
}

impl Golden {
    fn new(files: Files) -> Self {
        let (steps, states) = replay(&files);
        let last_lsn = *states.keys().next_back().expect("a log has a state");
        Self { files, steps, states, last_lsn }
    }
}

/// Reads a good log from its oldest snapshot on, without the engine.
fn replay(files: &Files) -> (BTreeMap<u64, Step>, BTreeMap<u64, [u8; 32]>) {
    let reader = LogReader::open(Arc::new(Memory::new(files))).expect("the directory is good");
    let reader = reader.expect("the directory holds a log");
    let snapshot = reader.load_snapshot(reader.snapshots()[0]).expect("the directory is good");
    let mut state = State::decode(snapshot.body()).expect("the directory is good");
    let mut states = BTreeMap::from([(state.last_lsn(), state.state_hash())]);
    let mut steps = BTreeMap::new();
    let mut visit = |header: &SegmentHeader, batch: &Batch<'_>| {
        apply(&mut state, batch);
        let state_sha256 = state.state_hash();
        states.insert(state.last_lsn(), state_sha256);
        let bytes = (batch.payload_offset - batch.offset + batch.payload.len() + 1)
            .next_multiple_of(rewardpool_wal::SECTOR);
        let (segment, offset) = (segment_name(header.number), batch.offset);
        steps.insert(batch.first_lsn, Step { segment, offset, bytes, state_sha256 });
        Ok::<_, Error>(())
    };
    reader.replay(&snapshot.header, None, &mut visit).expect("the directory is good");
    (steps, states)
}

fn apply(state: &mut State, batch: &Batch<'_>) {
    let format = Format::from_id(batch.format).expect("the directory is good");
    let mut lsn = Lsn::new(batch.first_lsn).expect("a log begins at LSN 1");
    let mut decoder = Decoder::new(format, batch.payload, lsn, batch.count);
    let mut outcomes = Vec::new();
    while let Some(record) =
        decoder.next(state.names(), &mut outcomes).expect("the directory is good")
    {
        state.apply(&record, lsn, batch.time_ms).expect("the directory is good");
        lsn = lsn.next();
    }
}
