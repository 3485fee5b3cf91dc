//! Goal: whatever a power cut keeps of what was not synced, recovery finds what was acknowledged,
//! or that and the one batch in flight, and the log goes on from there.
//!
//! Method: a life is recorded before each of its syncs; from each of these moments many power cuts
//! are tried, each followed by a recovery, a continuation and a second power cut.
use crate::journal::{Journal, Payload, Recovered, recover};
use rewardpool_sim::{Disk, Faults, MemoryStorage, Moment, Numbers, Promise, Recording};

/// Recovers and compares with what was promised; `None` when nothing was promised nor found.
fn recover_promised(disk: &Disk, promise: Promise, history: &[Payload]) -> Option<Recovered> {
    let storage = MemoryStorage::new(disk.clone());
    let recovered = recover(storage.shared())
        .unwrap_or_else(|error| panic!("refused after {promise:?}: {error:?}"));
    let Some(recovered) = recovered else {
        assert!(!promise.is_marked && promise.acknowledged == 0, "the log is gone");
        return None;
    };
    let found = recovered.payloads();
    assert!(found >= promise.acknowledged, "{found} payloads found, {promise:?}");
    assert!(found <= promise.started, "{found} payloads found, {promise:?}");
    assert!(recovered.agrees(history), "other payloads found");
    assert!(recovered.damaged.is_empty(), "a torn snapshot was visible");
    Some(recovered)
}

/// What a log does after its recovery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Continuation {
    /// As the engine: a new segment and a new snapshot first.
    Rotate,
    /// Straight on in the segment that was found.
    Append,
}

/// Goes on with a recovered log and gives the history.
fn go_on(
    storage: &MemoryStorage,
    recovered: Option<Recovered>,
    history: &[Payload],
    how: Continuation,
) -> Vec<Payload> {
    let memory = Some(storage.clone());
    let Some(recovered) = recovered else {
        let mut journal = Journal::set_up(storage.shared(), memory, 5).unwrap();
        journal.append_any().unwrap();
        return journal.history;
    };
    let mut journal = Journal::resume(storage.shared(), memory, recovered, history).unwrap();
    match how {
        Continuation::Rotate => {
            journal.rotate().unwrap();
            journal.append_any().unwrap();
            journal.rotate().unwrap();
            journal.snapshot_here().unwrap();
        }
        Continuation::Append => {
            journal.append_any().unwrap();
            journal.append_any().unwrap();
        }
    }
    journal.append_any().unwrap();
    journal.history
}

/// Recovers a disk, goes on, and checks that a second power cut takes nothing of it away.
fn outlive(disk: &Disk, promise: Promise, history: &[Payload], how: Continuation) -> MemoryStorage {
    let recovered = recover_promised(disk, promise, history);
    let storage = MemoryStorage::recording(disk.clone(), promise, Recording::Syncs);
    let longer = go_on(&storage, recovered, history, how);
    let all = storage.promised();
    assert_eq!((all.acknowledged, all.started), (longer.len(), longer.len()));
    recover_promised(&storage.disk(), all, &longer);
    recover_promised(&storage.disk().cut_all(), all, &longer);
    storage
}

/// A life on a simulated disk, and the moment before each of its syncs.
fn record(seed: u64) -> (Vec<Moment>, Vec<Payload>) {
    let storage = MemoryStorage::recording(Disk::default(), Promise::default(), Recording::Syncs);
    let mut journal = Journal::set_up(storage.shared(), Some(storage.clone()), seed).unwrap();
    journal.live(6, 6).unwrap();
    let end = Moment { disk: storage.disk(), promise: storage.promised() };
    let mut moments = storage.take_moments();
    moments.push(end);
    (moments, journal.history)
}

/// Tries every cut of a life. The process alone may also die: then the next one sees all that was
/// written, synced or not.
fn try_all(seed: u64, how: Continuation) -> usize {
    let (moments, history) = record(seed);
    let mut numbers = Numbers(seed);
    let mut states = 0;
    for Moment { disk, promise } in &moments {
        for keep in disk.sets_of_survivors(6, &mut numbers) {
            outlive(&disk.cut(&keep), *promise, &history, how);
            states += 1;
        }
        outlive(disk, *promise, &history, how);
        states += 1;
    }
    states
}

#[test]
fn every_power_cut_keeps_what_was_acknowledged() {
    let states: usize = (1..=10).map(|seed| try_all(seed, Continuation::Rotate)).sum();
    println!("torn: {states} states");
    assert!(states >= 10_000, "{states}");
}

#[test]
pub(crate) fn a_log_may_go_on_in_the_segment_that_was_found() {
    let states: usize = (11..=13).map(|seed| try_all(seed, Continuation::Append)).sum();
    println!("torn, without a new segment: {states} states");
    assert!(states >= 2_000, "{states}");
}

/// The same again for a recovery that is itself cut off, at each of its syncs.
#[test]
fn a_recovery_that_is_cut_off_is_recovered_from() {
    let (mut states, mut numbers) = (0, Numbers(9));
    for (seed, how) in [(5, Continuation::Rotate), (6, Continuation::Append)] {
        let (moments, history) = record(seed);
        for Moment { disk, promise } in &moments {
            let random = (0..disk.unsynced()).map(|_| numbers.coin()).collect::<Vec<_>>();
            let first = [disk.clone(), disk.cut_all(), disk.cut(&random)];
            for disk in &first {
                states += cut_recovery(disk, *promise, &history, how, &mut numbers);
            }
        }
    }
    println!("torn, in recovery: {states} states");
    assert!(states >= 10_000, "{states}");
}

fn cut_recovery(
    disk: &Disk,
    promise: Promise,
    history: &[Payload],
    how: Continuation,
    numbers: &mut Numbers,
) -> usize {
    let recovered = recover_promised(disk, promise, history);
    let storage = MemoryStorage::recording(disk.clone(), promise, Recording::Syncs);
    // Until the log goes on, what was only in flight may still be lost.
    let longer = go_on(&storage, recovered, history, how);
    let mut states = 0;
    for Moment { disk, promise: now } in storage.take_moments() {
        let random = (0..disk.unsynced()).map(|_| numbers.coin()).collect::<Vec<_>>();
        for disk in [disk.clone(), disk.cut_all(), disk.cut(&random)] {
            outlive(&disk, now, &longer, how);
            states += 1;
        }
    }
    states
}

/// After a failed sync the memory shows what the disk does not hold, and no later sync helps.
#[test]
fn a_failed_sync_loses_nothing_that_was_acknowledged() {
    let mut states = 0;
    for seed in [7, 8] {
        for failing in 1.. {
            let storage = MemoryStorage::default();
            storage.set_faults(Faults { failing_sync: Some(failing), ..Faults::default() });
            let (result, history) = live_until_failure(&storage, seed);
            if result.is_ok() {
                break;
            }
            let (disk, promise) = (storage.disk(), storage.promised());
            for how in [Continuation::Rotate, Continuation::Append] {
                for disk in [&disk, &disk.cut_all()] {
                    outlive(disk, promise, &history, how);
                    states += 1;
                }
            }
        }
    }
    println!("failed syncs: {states} states");
    assert!(states >= 500, "{states}");
}

fn live_until_failure(
    storage: &MemoryStorage,
    seed: u64,
) -> (Result<(), rewardpool_wal::Error>, Vec<Payload>) {
    match Journal::set_up(storage.shared(), Some(storage.clone()), seed) {
        Ok(mut journal) => (journal.live(6, 6), journal.history),
        Err(error) => (Err(error), Vec::new()),
    }
}
