//! Goal: a full disk refuses draws without an effect, reads go on, and draws resume by themselves
//! when there is space. Method: a small file system in memory that a ballast file fills.
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, Handle, Refusal, Request, Status, StorageKind, inspect,
};
use tempfile::TempDir;

use crate::fixture::{PATIENCE, config, directory, draws, new_pool, readable, stored};

const POOL: PoolNumber = PoolNumber(0);
const PAGE: usize = 4096;

/// A mounted file system, unmounted when it is dropped.
struct Mount(TempDir);

impl Mount {
    /// `None` when this process may not mount. On CI that is a failure.
    fn new() -> Option<Self> {
        let place = directory();
        let options = ["-t", "tmpfs", "-o", "size=3m", "tmpfs"];
        let mounted = Command::new("mount")
            .args(options)
            .arg(place.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(mounted || !is_ci, "CI must be able to mount a tmpfs");
        if !mounted {
            println!("skipped: this process may not mount a tmpfs");
        }
        mounted.then(|| Self(place))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(self.path()).status();
        // A second panic would hide the first.
        if !thread::panicking() {
            assert!(unmounted.unwrap().success(), "cannot unmount {}", self.path().display());
        }
    }
}

/// Fills the file system to the last page.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    loop {
        match file.write_all(&[1; PAGE]) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return,
            Err(error) => panic!("{error}"),
        }
    }
}

fn status(handle: &Handle) -> Status {
    let (answer, _) = handle.call(Request::ReadStatus, PATIENCE).unwrap();
    let Answer::Status(status) = answer else { panic!("{answer:?}") };
    *status
}

/// Draws until it is refused; gives the last request id.
fn draw_until_full(handle: &Handle, mut last: u64) -> u64 {
    loop {
        match handle.draw(draws(POOL, 1), PATIENCE) {
            Ok(drawn) => {
                last += 1;
                assert_eq!(drawn.first_request_id.number(), last);
            }
            Err(refusal) => {
                assert_eq!(refusal, Refusal::OutOfSpace);
                return last;
            }
        }
        assert!(last < 100_000, "the disk never became full");
    }
}

fn refuse_without_effect(handle: &Handle, last: u64) {
    let before = readable(handle);
    for _ in 0..20 {
        assert_eq!(handle.draw(draws(POOL, 1000), PATIENCE), Err(Refusal::OutOfSpace));
        let created = handle.create_pool(new_pool("more", &[("x", 1, 1)]), PATIENCE);
        assert_eq!(created, Err(Refusal::OutOfSpace));
        assert_eq!(readable(handle), before);
    }
    let status = status(handle);
    assert!(status.out_of_space && status.conservation_ok);
    assert_eq!((status.last_request_id, status.pools), (last, 1));
}

/// Whoever orders a snapshot that there is no room for is told at once, and does not wait for
/// somebody to make room.
fn snapshot_is_refused(handle: &Handle) {
    let begun = Instant::now();
    assert_eq!(handle.take_snapshot(PATIENCE), Err(Refusal::OutOfSpace));
    assert!(begun.elapsed() < PATIENCE / 2, "it waited for space");
}

/// Tries until the first draw is made, which must be within a second.
fn resume(handle: &Handle, last: u64) -> u64 {
    let begun = Instant::now();
    loop {
        match handle.draw(draws(POOL, 1), PATIENCE) {
            Ok(drawn) => {
                assert_eq!(drawn.first_request_id.number(), last + 1);
                return last + 1;
            }
            Err(refusal) => assert_eq!(refusal, Refusal::OutOfSpace),
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "draws did not resume");
        thread::yield_now();
    }
}

#[test]
fn a_full_disk_is_survived() {
    for (format, storage) in
        [(Format::Json, StorageKind::File), (Format::Binary, StorageKind::Mmap)]
    {
        let Some(mount) = Mount::new() else { return };
        let ballast = mount.path().join("ballast");
        let plain = config(&mount.path().join("data"), format, storage);
        let config = EngineConfig { segment_bytes: 32 << 10, ..plain };
        let engine = Engine::open(&config).unwrap();
        let handle = engine.handle();
        let items = [("gold", 1, 500), ("rock", 9, -1)];
        handle.create_pool(new_pool("summer", &items), PATIENCE).unwrap();
        let mut last = 0;
        // Again and again, because what a full disk leaves behind must not add up.
        for _ in 0..8 {
            fill(&ballast);
            snapshot_is_refused(&handle);
            last = draw_until_full(&handle, last);
            refuse_without_effect(&handle, last);
            fs::remove_file(&ballast).unwrap();
            last = resume(&handle, last);
            for _ in 0..300 {
                last += 1;
                let drawn = handle.draw(draws(POOL, 1), PATIENCE).unwrap();
                assert_eq!(drawn.first_request_id.number(), last);
            }
            assert!(!status(&handle).out_of_space);
            handle.take_snapshot(PATIENCE).unwrap();
        }
        let seen = readable(&handle);
        engine.stop().unwrap();
        inspect::verify(&config.directory).unwrap();
        let before = stored(&config.directory);
        let engine = Engine::open(&config).unwrap();
        assert_eq!(readable(&engine.handle()), seen);
        engine.stop().unwrap();
        assert_eq!(stored(&config.directory), before);
    }
}

/// Regression: a service that was stopped did not start again on a full disk, because a start begins a
/// new segment.
#[test]
fn a_start_on_a_full_disk_serves_what_there_is_room_for() {
    for (format, storage) in
        [(Format::Json, StorageKind::File), (Format::Binary, StorageKind::Mmap)]
    {
        let Some(mount) = Mount::new() else { return };
        let ballast = mount.path().join("ballast");
        let plain = config(&mount.path().join("data"), format, storage);
        let config = EngineConfig { segment_bytes: 32 << 10, ..plain };
        // Whoever changes the format gets it with the next segment.
        let other = EngineConfig { format: Format::StringLine, ..config.clone() };
        let engine = Engine::open(&config).unwrap();
        let items = [("gold", 1, 500), ("rock", 9, -1)];
        engine.handle().create_pool(new_pool("summer", &items), PATIENCE).unwrap();
        engine.stop().unwrap();
        let mut last = 0;
        for turn in 0..6 {
            let engine = Engine::open(&config).unwrap();
            last = resume(&engine.handle(), last);
            engine.stop().unwrap();
            fill(&ballast);
            let (mut drawn, before) = (false, last);
            // Several times in a row, because what a stop writes must not use up the last room.
            for start in 0..4 {
                let engine = Engine::open(if start % 2 == 0 { &other } else { &config }).unwrap();
                let handle = engine.handle();
                assert_eq!(engine.recovery().last_request_id, last, "turn {turn}, start {start}");
                last = draw_until_full(&handle, last);
                drawn |= last > before;
                refuse_without_effect(&handle, last);
                snapshot_is_refused(&handle);
                engine.stop().unwrap();
                inspect::verify(&config.directory).unwrap();
            }
            assert!(drawn, "the last segment had room, and nothing was drawn");
            fs::remove_file(&ballast).unwrap();
        }
        let before = stored(&config.directory);
        let engine = Engine::open(&config).unwrap();
        let handle = engine.handle();
        resume(&handle, last);
        handle.take_snapshot(PATIENCE).unwrap();
        engine.stop().unwrap();
        assert_ne!(stored(&config.directory), before);
        inspect::verify(&config.directory).unwrap();
    }
}
