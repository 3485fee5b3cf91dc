//! Goal: a feed gives every durable record once, in order, from any position, while the log is
//! written, rotated and pruned, and costs nobody anything. Method: feeds beside writers; what they
//! give is compared with the log as the stopped directory tells it.
use std::fs;
use std::path::Path;
use std::thread::{self, JoinHandle};

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{
    Engine, EngineConfig, Feed, FollowError, Handle, Identity, StorageKind, inspect,
};
use rewardpool_wal::LogFollower;
use sha2::{Digest as _, Sha256};

use crate::fixture::{PATIENCE, config, directory, draws, new_pool};

const POOL: PoolNumber = PoolNumber(0);

/// What a feed gave: the first LSN, the number of records, and a hash of the payload, of each batch.
type Seen = Vec<(u64, u32, [u8; 32])>;

fn start(config: &EngineConfig) -> (Engine, Handle) {
    let engine = Engine::open(config).unwrap();
    let handle = engine.handle();
    if handle.pool("summer").is_none() {
        let pool = new_pool("summer", &[("gold", 1, 500), ("rock", 9, -1)]);
        assert_eq!(handle.create_pool(pool, PATIENCE), Ok(POOL));
    }
    (engine, handle)
}

fn small_segments(place: &Path, format: Format, storage: StorageKind) -> EngineConfig {
    EngineConfig { segment_bytes: 64 * 1024, ..config(place, format, storage) }
}

fn draw(handle: &Handle, count: i64) {
    handle.draw(draws(POOL, count), PATIENCE).unwrap();
}

fn take(feed: &mut Feed, into: &mut Seen) -> Result<bool, FollowError> {
    let Some(batch) = feed.read()? else { return Ok(false) };
    let (first, count) = (batch.first_lsn, batch.count);
    into.push((first, count, Sha256::digest(batch.payload).into()));
    assert!(first + u64::from(count) - 1 <= feed.durable_lsn(), "only what is durable leaves");
    Ok(true)
}

/// Reads until the engine has ended and nothing is left.
fn read_all(mut feed: Feed) -> Seen {
    let mut seen = Seen::new();
    loop {
        while take(&mut feed, &mut seen).unwrap() {}
        if !feed.wait() {
            return seen;
        }
    }
}

fn assert_gapless(seen: &Seen, from: u64, to: u64) {
    assert!(seen[0].0 <= from && from < seen[0].0 + u64::from(seen[0].1), "it begins too late");
    let mut next = seen[0].0;
    for (first, count, _) in seen {
        assert_eq!(*first, next);
        next += u64::from(*count);
    }
    assert_eq!(next - 1, to);
}

#[test]
fn feeds_from_everywhere_give_the_same_log_while_it_is_written() {
    for (format, storage) in [
        (Format::Binary, StorageKind::File),
        (Format::Json, StorageKind::File),
        (Format::StringLine, StorageKind::Mmap),
    ] {
        let place = directory();
        let config = small_segments(place.path(), format, storage);
        let (engine, handle) = start(&config);
        // Those from the middle begin while three threads write.
        let readers: Vec<(u64, JoinHandle<Seen>)> = thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..400).for_each(|turn| draw(&handle, 1 + turn % 90)));
            }
            let begin = |turn: u64| {
                let from = 1 + handle.durable_lsn() * turn / 20;
                // Segments before it may be gone by now, which another test is about.
                handle.feed(from).ok().map(|feed| (from, thread::spawn(move || read_all(feed))))
            };
            (0..=20).filter_map(begin).collect()
        });
        engine.stop().unwrap();
        let end = inspect::verify(&config.directory).unwrap().last_lsn;
        let seen: Vec<(u64, Seen)> =
            readers.into_iter().map(|(from, reader)| (from, reader.join().unwrap())).collect();
        let longest = &seen.iter().max_by_key(|(_, seen)| seen.len()).unwrap().1;
        for (from, seen) in &seen {
            assert_gapless(seen, *from, end);
            assert!(longest.ends_with(seen), "two feeds differ");
        }
        assert!(longest.len() > 400 && seen.len() > 10, "{} batches", longest.len());
    }
}

#[test]
fn a_feed_keeps_the_segments_that_it_has_not_read() {
    let place = directory();
    let config = small_segments(place.path(), Format::Json, StorageKind::File);
    let (engine, handle) = start(&config);
    let mut slow = handle.feed(1).unwrap();
    let mut seen = Seen::new();
    assert!(take(&mut slow, &mut seen).unwrap());
    for _ in 0..5 {
        (0..200).for_each(|_| draw(&handle, 90));
        handle.take_snapshot(PATIENCE).unwrap();
    }
    let kept = handle.segments();
    assert!(kept > 10, "{kept} segments stay for the feed");
    while take(&mut slow, &mut seen).unwrap() {}
    drop(slow);
    for _ in 0..3 {
        draw(&handle, 1);
        handle.take_snapshot(PATIENCE).unwrap();
    }
    assert!(handle.segments() < 6, "nobody reads them any more");
    // Who comes now is told where the log begins.
    let Err(FollowError::Gone { wanted: 1, oldest }) = handle.feed(1).map(drop) else {
        panic!("the first segment is there")
    };
    assert!(oldest > 1);
    let snapshot = handle.snapshot_before(1).unwrap();
    let after = handle.feed(snapshot.header.lsn + 1).unwrap();
    let after = thread::spawn(move || read_all(after));
    engine.stop().unwrap();
    let end = inspect::verify(&config.directory).unwrap().last_lsn;
    assert_gapless(&after.join().unwrap(), snapshot.header.lsn + 1, end);
}

#[test]
fn feeds_go_on_after_a_restart() {
    let place = directory();
    let config = small_segments(place.path(), Format::Binary, StorageKind::File);
    let mut next = 1;
    for _ in 0..4 {
        let (engine, handle) = start(&config);
        let feed = handle.feed(next).unwrap();
        let reader = thread::spawn(move || read_all(feed));
        (0..50).for_each(|_| draw(&handle, 3));
        engine.stop().unwrap();
        let seen = reader.join().unwrap();
        let end = inspect::verify(&config.directory).unwrap().last_lsn;
        assert_gapless(&seen, next, end);
        next = end + 1;
    }
}

/// What a reader of a stopped directory sees, up to the first error.
fn follow(directory: &Path, identity: Identity, end: u64) -> (Seen, Option<FollowError>) {
    let mut seen = Seen::new();
    let mut follower = match LogFollower::open(directory, identity, 1) {
        Ok(follower) => follower,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match follower.next(end) {
            Ok(Some(batch)) => {
                seen.push((batch.first_lsn, batch.count, Sha256::digest(batch.payload).into()));
            }
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

#[test]
fn a_damaged_byte_never_leaves_the_log() {
    let place = directory();
    let config = small_segments(place.path(), Format::Binary, StorageKind::File);
    let (engine, handle) = start(&config);
    let identity = handle.identity();
    (0..110).for_each(|turn| draw(&handle, 1 + turn * 7));
    engine.stop().unwrap();
    let end = inspect::verify(&config.directory).unwrap().last_lsn;
    let (whole, error) = follow(&config.directory, identity, end);
    assert!(error.is_none(), "{error:?}");
    assert_gapless(&whole, 1, end);
    for segment in inspect::segments(&config.directory).unwrap() {
        let path = config.directory.join(&segment.name);
        let intact = fs::read(&path).unwrap();
        let used = usize::try_from(segment.used_bytes).unwrap();
        let mut noticed = 0;
        for at in (0..used).step_by(11) {
            let mut damaged = intact.clone();
            damaged[at] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let (seen, error) = follow(&config.directory, identity, end);
            assert!(whole.starts_with(&seen), "byte {at} of {} left the log", segment.name);
            assert_eq!(error.is_none(), seen.len() == whole.len(), "byte {at} of {}", segment.name);
            noticed += usize::from(error.is_some());
        }
        fs::write(&path, &intact).unwrap();
        assert!(noticed > used / 11 / 2, "zeros behind batches are all that is not looked at");
    }
}
