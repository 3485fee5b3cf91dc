//! All that is wrong with a directory, and what a start would make of it. Changes nothing.
//!
//! Invariant: a start that refuses has its reason among the damages, because it is asked first, by
//! the code that starts. So a directory without damages can be started.
use std::path::Path;
use std::sync::Arc;

use rewardpool_core::state::State;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{DirectoryLock, Following, LogReader, SnapshotFile, snapshot_name};

use crate::config::StorageKind;
use crate::engine::open_storage;
use crate::error::EngineError;
use crate::inspect::{VerifyReport, load_snapshot, no_log, oldest};
use crate::recovery::{Recovered, RecoveryReport, check_sums, recover, recover_to_serve, replay};
use crate::secrets;

/// What an examination found.
#[derive(Debug)]
pub struct Examination {
    /// Everything that is damaged or missing, one for each place of a file. When a start refuses,
    /// its reason stands first.
    pub damages: Vec<EngineError>,
    /// What a start would serve; `None` when it would refuse, or begin a new log.
    pub start: Option<Outlook>,
    /// Whether there is no log, so that a start would begin one.
    pub is_unused: bool,
    /// What was replayed from the oldest snapshot on; `None` when that did not get to the end.
    pub verified: Option<VerifyReport>,
}

/// What a start would serve.
#[derive(Debug)]
pub struct Outlook {
    /// Where it would begin and end.
    pub recovery: RecoveryReport,
    /// SHA-256 of the state that it would serve.
    pub state_sha256: [u8; 32],
    /// That state.
    pub state: State,
}

/// Examines a stopped directory.
///
/// # Errors
/// When a file cannot be read, or the directory is in use. Damage is none.
pub fn examine(directory: &Path) -> Result<Examination, EngineError> {
    let _lock = DirectoryLock::shared(directory)?;
    examine_storage(&open_storage(directory, StorageKind::File)?)
}

/// The same for a directory of the caller's own kind, which nobody writes to.
pub fn examine_storage(storage: &Arc<dyn Storage>) -> Result<Examination, EngineError> {
    let (damages, start, verified) = (Vec::new(), None, None);
    let mut found = Examination { damages, start, is_unused: false, verified };
    let opened = LogReader::open(Arc::clone(storage)).map_err(EngineError::from);
    let Some(opened) = found.keep(opened)? else { return Ok(found) };
    let Some(reader) = opened else {
        found.is_unused = true;
        found.add(no_log());
        return Ok(found);
    };
    // A copy of another service's log has no secrets, and needs none.
    let is_copy = Following::load(storage.as_ref())?.is_some();
    let start = if is_copy {
        recover(&reader, None)
    } else {
        recover_to_serve(storage.as_ref(), &reader).map(|(recovered, _)| recovered)
    };
    found.start = found.keep(start)?.map(outlook);
    for damage in reader.survey()? {
        found.add(damage.into());
    }
    let mut newest = None;
    for &lsn in reader.snapshots() {
        newest = found.keep(load_snapshot(&reader, lsn))?.map(|(_, state)| state).or(newest);
    }
    // The state that a start would serve knows every pool, any other one some of them.
    let state = found.start.as_ref().map(|start| &start.state).or(newest.as_ref());
    if let Some(state) = state.filter(|_| !is_copy) {
        let pools: Vec<_> = state.pools().map(|pool| (pool.number, pool.commitment)).collect();
        for (pool, commitment) in pools {
            found.keep(secrets::load(storage.as_ref(), pool, commitment))?;
        }
    }
    found.verified = found.replay_all(&reader)?;
    Ok(found)
}

fn outlook(recovered: Recovered) -> Outlook {
    let Recovered { state, report, .. } = recovered;
    Outlook { recovery: report, state_sha256: state.state_hash(), state }
}

impl Examination {
    /// Sets a damage aside and goes on.
    fn keep<T>(&mut self, result: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_corruption() => {
                self.add(error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn add(&mut self, damage: EngineError) {
        let is_known = self.damages.iter().any(|known| known.place() == damage.place());
        if !is_known {
            self.damages.push(damage);
        }
    }

    /// Replays from the oldest snapshot to the end and compares every snapshot on the way.
    fn replay_all(&mut self, reader: &LogReader) -> Result<Option<VerifyReport>, EngineError> {
        let Some((oldest, mut state)) = self.keep(oldest(reader))? else { return Ok(None) };
        let before = state.last_request_id();
        let mut compared = 1;
        let mut body = Vec::new();
        let mut observe = |lsn: u64, state: &State| {
            if reader.snapshots().binary_search(&lsn).is_err() {
                return Ok(());
            }
            // A damaged one was found before.
            if let Some(snapshot) = self.keep(reader.load_snapshot(lsn).map_err(Into::into))? {
                compared += 1;
                self.keep(compare(&snapshot, state, &mut body))?;
            }
            Ok(())
        };
        let replayed = replay(
            reader,
            &oldest,
            None,
            &mut state,
            Some(&mut |_, _, (lsn, _), state| observe(lsn.number(), state)),
        );
        let Some(replayed) = self.keep(replayed)? else { return Ok(None) };
        self.keep(check_sums(&state, &replayed, &oldest))?;
        Ok(Some(VerifyReport {
            segments: replayed.segments,
            snapshots: compared,
            records: replayed.records,
            draws: state.last_request_id() - before,
            last_lsn: state.last_lsn(),
            last_request_id: state.last_request_id(),
            torn_bytes: replayed.torn.map_or(0, |torn| torn.bytes),
            state_sha256: state.state_hash(),
        }))
    }
}

/// Whether a snapshot holds this state. `body` is a buffer.
pub(crate) fn compare(
    snapshot: &SnapshotFile,
    state: &State,
    body: &mut Vec<u8>,
) -> Result<(), EngineError> {
    body.clear();
    state.encode(body);
    if snapshot.body() == body {
        Ok(())
    } else {
        Err(EngineError::SnapshotDiffers { file: snapshot_name(snapshot.header.lsn) })
    }
}
