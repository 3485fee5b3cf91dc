//! Goal: a follower has the leader's log byte by byte, up to a position, whatever happens; it takes no
//! other history, and when it takes over, draws go on and nobody can mistake the two logs. Method: two
//! engines and a hand between them that carries batches from one to the other, stops, or damages them.
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{
    CopiedBatch, Copier, CopyState, Engine, EngineConfig, EngineError, Feed, Handle, NotCopied,
    Refusal, Request, SegmentHeader, StorageKind, begin_copy, copy_state, inspect,
};
use tempfile::TempDir;

use crate::fixture::{
    PATIENCE, config, directory, draws, files, keyed, new_pool, readable, stored,
};

const POOL: PoolNumber = PoolNumber(0);

/// A leader with a pool, and a place for a follower.
struct Two {
    _place: TempDir,
    leading: EngineConfig,
    following: EngineConfig,
}

impl Two {
    fn new(format: Format, storage: StorageKind) -> Self {
        let place = directory();
        let leading = config(&place.path().join("leader"), format, storage);
        let following = config(&place.path().join("follower"), format, storage);
        Self { _place: place, leading, following }
    }

    fn lead(&self) -> (Engine, Handle) {
        let engine = Engine::open(&self.leading).unwrap();
        let handle = engine.handle();
        if handle.pool("summer").is_none() {
            let pool = new_pool("summer", &[("gold", 1, 500), ("rock", 9, -1)]);
            assert_eq!(handle.create_pool(pool, PATIENCE), Ok(POOL));
        }
        (engine, handle)
    }

    /// Begins the copy. The leader keeps what follows as long as the feed is there.
    #[must_use]
    fn begin(&self, leader: &Handle) -> Feed {
        let snapshot = leader.snapshot_before(u64::MAX).unwrap();
        let feed = leader.feed(snapshot.header.lsn + 1).unwrap();
        begin_copy(&self.following.directory, "http://leader:1", &snapshot, feed.segment())
            .unwrap();
        feed
    }

    fn follow(&self) -> (Engine, Copier) {
        Engine::follow(&self.following).unwrap()
    }
}

fn draw(handle: &Handle, count: i64) {
    handle.draw(draws(POOL, count), PATIENCE).unwrap();
}

fn carried(feed: &mut Feed, way: u64) -> Option<CopiedBatch> {
    let batch = feed.read().unwrap()?;
    let (closes, copied) = (batch.closes, CopiedBatch::read(&batch, way, None));
    let next = closes.then(|| feed.next_segment().unwrap());
    Some(CopiedBatch { next, ..copied })
}

/// Carries all that the leader has, and waits until it is written.
fn carry(leader: &Handle, copier: &Copier, follower: &Handle, way: u64) {
    let mut feed = leader.feed(follower.durable_lsn() + 1).unwrap();
    while let Some(batch) = carried(&mut feed, way) {
        copier.put(batch).unwrap();
    }
    await_lsn(follower, feed.last_lsn());
}

fn await_lsn(follower: &Handle, lsn: u64) {
    let until = Instant::now() + PATIENCE;
    while follower.durable_lsn() < lsn {
        assert!(Instant::now() < until, "{} of {lsn} were copied", follower.durable_lsn());
        thread::sleep(Duration::from_millis(1));
    }
}

/// Every segment of the copy is one of the leader's, byte by byte up to the end of the copy.
fn assert_same_bytes(leader: &Path, follower: &Path) {
    let (leader, follower) = (files(leader), files(follower));
    let mut compared = 0;
    for (name, bytes) in follower.iter().filter(|(name, _)| {
        name.starts_with("wal.0") || name.starts_with("snapshot.") || *name == "POOL"
    }) {
        // Each prunes in its own time.
        let Some(original) = leader.get(name) else { continue };
        assert!(original == bytes, "{name} differs");
        compared += 1;
    }
    assert!(compared >= 2, "{compared} files were compared");
    assert!(
        !follower.keys().any(|name| name.starts_with("secret.")),
        "secrets stay where they are"
    );
}

#[test]
fn a_copy_has_the_same_bytes_and_answers_the_same_reads() {
    for (format, storage) in [
        (Format::Binary, StorageKind::File),
        (Format::Json, StorageKind::File),
        (Format::StringLine, StorageKind::Mmap),
    ] {
        let two = Two::new(format, storage);
        let (leader, handle) = two.lead();
        (0..50).for_each(|count| draw(&handle, 1 + count));
        let _kept = two.begin(&handle);
        assert_eq!(copy_state(&two.following.directory).unwrap(), CopyState::Copy);
        // The follower is stopped and opened again on the way; the leader rotates and goes on.
        for round in 0..4 {
            let (follower, copier) = two.follow();
            (0..60).for_each(|count| draw(&handle, 1 + count));
            if round == 2 {
                handle.take_snapshot(PATIENCE).unwrap();
                let pool = new_pool("autumn", &[("leaf", 1, 5)]);
                handle.create_pool(pool, PATIENCE).unwrap();
            }
            let there = follower.handle();
            carry(&handle, &copier, &there, round);
            assert_eq!(readable(&there), readable(&handle), "round {round}");
            let refused = there.draw(draws(POOL, 1), PATIENCE);
            assert_eq!(refused, Err(Refusal::Follower));
            assert_eq!(there.take_snapshot(PATIENCE), Err(Refusal::Follower));
            assert!(there.call(Request::ReadPosition, PATIENCE).is_ok());
            follower.stop().unwrap();
        }
        leader.stop().unwrap();
        let (leader, handle) = two.lead();
        let (follower, copier) = two.follow();
        carry(&handle, &copier, &follower.handle(), 9);
        leader.stop().unwrap();
        follower.stop().unwrap();
        // Without the records of the second clean stop, which nobody carried over.
        let (copied, whole) = (two.following.directory.clone(), two.leading.directory.clone());
        assert!(stored(&copied).contains("autumn") && stored(&whole) == stored(&copied));
    }
}

#[test]
fn snapshots_of_the_leader_are_made_by_the_follower_with_the_same_bytes() {
    let two = Two::new(Format::Binary, StorageKind::File);
    let (leader, handle) = two.lead();
    let _kept = two.begin(&handle);
    let (follower, copier) = two.follow();
    let there = follower.handle();
    for round in 0..3 {
        (0..100).for_each(|count| draw(&handle, 1 + count));
        let taken = handle.take_snapshot(PATIENCE).unwrap();
        // The next segment names it.
        handle.take_snapshot(PATIENCE).unwrap();
        carry(&handle, &copier, &there, round);
        let until = Instant::now() + PATIENCE;
        while there.newest_snapshot().is_none_or(|newest| newest.lsn < taken.lsn) {
            assert!(Instant::now() < until, "no snapshot of {}", taken.lsn);
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert_same_bytes(&two.leading.directory, &two.following.directory);
    leader.stop().unwrap();
    follower.stop().unwrap();
}

/// The first batch behind what the follower has.
fn next_batch(leader: &Handle, follower: &Handle, way: u64) -> CopiedBatch {
    carried(&mut leader.feed(follower.durable_lsn() + 1).unwrap(), way).unwrap()
}

fn await_refusal(copier: &Copier, way: u64) -> NotCopied {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Err(refusal) = copier.check(way) {
            return refusal;
        }
        assert!(Instant::now() < until, "the batch was taken");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What each field of a batch may have become on its way.
fn damages(good: &CopiedBatch) -> Vec<CopiedBatch> {
    let mut payload = good.payload.clone();
    payload[0] ^= 0x10;
    let checksum = good.payload_checksum;
    vec![
        CopiedBatch { payload: payload.clone(), ..good.clone() },
        CopiedBatch { payload, payload_checksum: checksum ^ 1, ..good.clone() },
        CopiedBatch { first_lsn: good.first_lsn + 1, ..good.clone() },
        CopiedBatch { count: good.count + 1, ..good.clone() },
        CopiedBatch { count: 0, first_lsn: good.first_lsn + 9, ..good.clone() },
        CopiedBatch { time_ms: good.time_ms ^ 4, ..good.clone() },
        CopiedBatch { epoch: good.epoch + 1, ..good.clone() },
        CopiedBatch { epoch: 0, ..good.clone() },
        CopiedBatch { format: good.format ^ 3, ..good.clone() },
        CopiedBatch { chain: good.chain ^ 0x8000, ..good.clone() },
    ]
}

#[test]
fn a_damaged_batch_is_refused_and_comes_again() {
    let two = Two::new(Format::Binary, StorageKind::File);
    let (leader, handle) = two.lead();
    let _kept = two.begin(&handle);
    let (follower, copier) = two.follow();
    let there = follower.handle();
    let mut way = 0;
    for kind in 0..10 {
        draw(&handle, 3);
        let good = next_batch(&handle, &there, way);
        let before = there.durable_lsn();
        copier.put(damages(&good).swap_remove(kind)).unwrap();
        assert!(matches!(await_refusal(&copier, way), NotCopied::Refused { .. }), "kind {kind}");
        // What comes by the same way behind it is not looked at.
        assert!(copier.put(good).is_err());
        assert_eq!(there.durable_lsn(), before);
        way += 1;
        carry(&handle, &copier, &there, way);
        way += 1;
    }
    assert_eq!(readable(&there), readable(&handle));
    leader.stop().unwrap();
    follower.stop().unwrap();
}

#[test]
fn another_history_stops_the_follower() {
    let two = Two::new(Format::Binary, StorageKind::File);
    let (leader, handle) = two.lead();
    draw(&handle, 3);
    let _kept = two.begin(&handle);
    let (follower, copier) = two.follow();
    let there = follower.handle();
    carry(&handle, &copier, &there, 0);
    draw(&handle, 3);
    let other = CopiedBatch { chain: 7, ..next_batch(&handle, &there, 1) };
    copier.put(other.clone()).unwrap();
    await_refusal(&copier, 1);
    let lsn = there.durable_lsn() + 1;
    copier.put(CopiedBatch { way: 2, ..other }).unwrap();
    follower.ended().recv().unwrap_err();
    let error = follower.stop().unwrap_err();
    assert!(matches!(error, EngineError::Diverged { lsn: at, .. } if at == lsn), "{error:?}");
    assert!(error.is_corruption() && error.to_string().contains(&format!("LSN {lsn}")));
    leader.stop().unwrap();
}

#[test]
fn a_follower_takes_over_in_a_new_epoch_and_the_old_log_is_refused() {
    for format in [Format::Binary, Format::Json, Format::StringLine] {
        let two = Two::new(format, StorageKind::File);
        let (leader, handle) = two.lead();
        (0..30).for_each(|count| draw(&handle, 1 + count));
        let first = handle.draw(keyed(POOL, 2, "order-1"), PATIENCE).unwrap();
        let _kept = two.begin(&handle);
        let (follower, copier) = two.follow();
        carry(&handle, &copier, &follower.handle(), 0);
        let copied = follower.handle().durable_lsn();
        follower.stop().unwrap();
        // It is not opened as if it were its own log.
        let error = Engine::open(&two.following).map(drop).unwrap_err();
        assert!(matches!(&error, EngineError::Follower { leader } if leader.contains("leader:1")));
        // The old leader goes on: what it writes now is lost.
        (0..9).for_each(|_| draw(&handle, 1));
        let engine = Engine::take_over(&two.following).unwrap();
        let new = engine.handle();
        let again = new.draw(keyed(POOL, 2, "order-1"), PATIENCE).unwrap();
        assert!(again.replayed && again.items == first.items);
        let next = new.draw(draws(POOL, 40), PATIENCE).unwrap();
        assert_eq!(next.first_request_id.number(), first.first_request_id.number() + 2);
        assert!(
            matches!(Engine::take_over(&two.leading), Err(EngineError::Log(_))),
            "it is locked"
        );
        assert_new_epoch(&new, copied);
        // A follower of the new leader does not take what the old one wrote.
        let third = EngineConfig {
            directory: two.leading.directory.with_file_name("third"),
            ..two.following.clone()
        };
        let snapshot = new.snapshot_before(u64::MAX).unwrap();
        let feed = new.feed(snapshot.header.lsn + 1).unwrap();
        begin_copy(&third.directory, "http://new:1", &snapshot, feed.segment()).unwrap();
        let (follower, copier) = Engine::follow(&third).unwrap();
        carry(&new, &copier, &follower.handle(), 0);
        assert_eq!(readable(&follower.handle()), readable(&new));
        let mut stale = handle.feed(copied + 1).unwrap();
        while let Some(batch) = carried(&mut stale, 1) {
            let last = batch.first_lsn + u64::from(batch.count) - 1;
            if last > follower.handle().durable_lsn() {
                copier.put(batch).unwrap();
                await_refusal(&copier, 1);
                break;
            }
        }
        follower.stop().unwrap();
        engine.stop().unwrap();
        leader.stop().unwrap();
        // The log with both epochs is read like any other, and goes on like any other.
        inspect::verify(&two.following.directory).unwrap();
        let again = Engine::open(&two.following).unwrap();
        draw(&again.handle(), 1);
        again.stop().unwrap();
        inspect::verify(&two.following.directory).unwrap();
        let error = Engine::take_over(&two.following).map(drop).unwrap_err();
        assert!(matches!(error, EngineError::NotFollower { .. }), "{error:?}");
    }
}

/// The first batch behind the copy is of the second epoch, and so are all others.
fn assert_new_epoch(new: &Handle, copied: u64) {
    let mut feed = new.feed(copied + 1).unwrap();
    let mut epochs = Vec::new();
    while let Some(batch) = feed.read().unwrap() {
        if batch.first_lsn > copied {
            epochs.push(batch.epoch);
        }
    }
    assert!(epochs.len() > 2 && epochs.iter().all(|epoch| *epoch == 2), "{epochs:?}");
    let SegmentHeader { epoch, .. } = *feed.segment();
    assert_eq!(epoch, 2);
}

#[test]
fn a_copy_that_was_not_finished_is_begun_again_and_a_log_is_never_replaced() {
    let two = Two::new(Format::Binary, StorageKind::File);
    let (leader, handle) = two.lead();
    draw(&handle, 3);
    let snapshot = handle.snapshot_before(u64::MAX).unwrap();
    let feed = handle.feed(snapshot.header.lsn + 1).unwrap();
    let into = |directory: &Path| begin_copy(directory, "http://l:1", &snapshot, feed.segment());
    leader.stop().unwrap();
    let before = files(&two.leading.directory);
    let error = into(&two.leading.directory).unwrap_err();
    assert!(matches!(error, EngineError::NotFollower { .. }), "{error:?}");
    assert!(files(&two.leading.directory) == before, "nothing is touched");
    // As if the process had been killed before the file that marks a log was there.
    into(&two.following.directory).unwrap();
    let whole = files(&two.following.directory);
    for kept in ["POOL", "wal.000", "snapshot.0"] {
        fs::remove_file(two.following.directory.join(kept)).unwrap();
        let marker = "follower\nleader http://l:1\nstate copying\n";
        let checksum = crc32c::crc32c(marker.as_bytes());
        let marker = format!("{marker}crc32c {checksum:08x}\n");
        fs::write(two.following.directory.join("FOLLOWER"), marker).unwrap();
        assert_eq!(copy_state(&two.following.directory).unwrap(), CopyState::Nothing);
        let error = Engine::take_over(&two.following).map(drop).unwrap_err();
        assert!(matches!(error, EngineError::NotFollower { .. }), "{error:?}");
        into(&two.following.directory).unwrap();
        assert_eq!(files(&two.following.directory), whole);
    }
}
