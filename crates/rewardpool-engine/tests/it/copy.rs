//! Goal: a crash forgets nothing that was answered and invents nothing. Method: the directory is
//! copied while threads draw, as a crash would leave it, and each copy is opened.
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::{Draws, Engine, EngineConfig, Handle, inspect};

use crate::fixture::{
    COMBINATIONS, PATIENCE, config, directory, draws, keyed, new_pool, write_files,
};

const THREADS: usize = 3;
const COPIES: usize = 4;
const SECTOR: usize = 512;

/// Copies a directory that is written to, to a state that it had at one moment.
///
/// Segments are read from the newest to the oldest and each from its end, so that a batch is seen
/// only with everything before it. A copy during which files came or went is made again.
pub(crate) fn copy_running(from: &Path, to: &Path) {
    loop {
        if let Some(files) = try_copy(from) {
            return write_files(to, &files);
        }
    }
}

fn try_copy(from: &Path) -> Option<BTreeMap<String, Vec<u8>>> {
    let names = log_files(from);
    let mut files = BTreeMap::new();
    for name in names.iter().rev() {
        files.insert(name.clone(), read_backwards(&from.join(name))?);
    }
    (log_files(from) == names).then_some(files)
}

fn log_files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter(|n| !n.starts_with("wal.next") && !n.contains(".tmp")).collect();
    // Numbers of segments have at least three digits, longer ones are higher.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

/// `None` when the file was removed.
fn read_backwards(path: &Path) -> Option<Vec<u8>> {
    let file = File::open(path).ok()?;
    let length = usize::try_from(file.metadata().unwrap().len()).unwrap();
    let mut bytes = vec![0; length];
    for start in (0..length).step_by(SECTOR).rev() {
        let end = length.min(start + SECTOR);
        // A disk writes a sector wholly or not at all; memory does not, so it is read until it is
        // quiet.
        let mut again = vec![0; end - start];
        loop {
            file.read_exact_at(&mut bytes[start..end], start as u64).unwrap();
            file.read_exact_at(&mut again, start as u64).unwrap();
            if bytes[start..end] == again {
                break;
            }
        }
    }
    Some(bytes)
}

/// Draws with a new key each time until told to stop; what was answered is written down.
fn draw_until(
    done: &AtomicBool,
    handle: &Handle,
    name: usize,
    answered: &Mutex<Vec<(String, Draws)>>,
) {
    for turn in 0.. {
        if done.load(Ordering::Acquire) {
            break;
        }
        let key = format!("thread {name} turn {turn}");
        let drawn = handle.draw(keyed(PoolNumber(0), 3, &key), PATIENCE).unwrap();
        answered.lock().unwrap().push((key, drawn));
    }
}

/// Opens a copy and compares it with what had been answered when it was begun.
fn check_copy(config: &EngineConfig, answered: &[(String, Draws)]) {
    let report = inspect::verify(&config.directory).unwrap();
    let engine = Engine::open(config).unwrap();
    assert_eq!(engine.recovery().last_request_id, report.last_request_id);
    let handle = engine.handle();
    let mut highest = 0;
    for (key, first) in answered {
        let again = handle.draw(keyed(PoolNumber(0), 3, key), PATIENCE).unwrap();
        assert_eq!(again, Draws { replayed: true, ..first.clone() }, "{key}");
        highest = highest.max(first.first_request_id.number() + 2);
    }
    assert!(report.last_request_id >= highest);
    let next = handle.draw(draws(PoolNumber(0), 1), PATIENCE).unwrap();
    assert_eq!(next.first_request_id.number(), report.last_request_id + 1);
    engine.stop().unwrap();
    inspect::verify(&config.directory).unwrap();
}

/// The records of a directory by their position.
fn lines(directory: &Path) -> BTreeMap<u64, String> {
    let mut text = Vec::new();
    inspect::cat(directory, None, &mut text).unwrap();
    let position = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["lsn"].as_u64().unwrap()
    };
    let text = String::from_utf8(text).unwrap();
    text.lines().map(|line| (position(line), line.to_owned())).collect()
}

#[test]
fn a_copy_holds_all_that_was_answered_before_it() {
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let copies: Vec<_> = (0..COPIES).map(|_| directory()).collect();
        let of = |directory: &Path| EngineConfig {
            segment_bytes: 64 << 10,
            ..config(directory, format, storage)
        };
        let engine = Engine::open(&of(place.path())).unwrap();
        let handle = engine.handle();
        let pool = new_pool("summer", &[("gold", 1, 50), ("silver", 5, 1000), ("rock", 9, -1)]);
        handle.create_pool(pool, PATIENCE).unwrap();
        let (done, answered) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let mut known = Vec::new();
        thread::scope(|scope| {
            for name in 0..THREADS {
                let (done, handle, answered) = (&done, &handle, &answered);
                scope.spawn(move || draw_until(done, handle, name, answered));
            }
            for copy in &copies {
                let enough = (known.len() + 1) * 100;
                while answered.lock().unwrap().len() < enough {
                    thread::yield_now();
                }
                known.push(answered.lock().unwrap().len());
                copy_running(place.path(), copy.path());
            }
            done.store(true, Ordering::Release);
        });
        engine.stop().unwrap();
        let answered = answered.into_inner().unwrap();
        let whole = lines(place.path());
        for (copy, known) in copies.iter().zip(known) {
            for (lsn, line) in lines(copy.path()) {
                assert!(whole.get(&lsn).is_none_or(|truth| *truth == line), "{line}");
            }
            check_copy(&of(copy.path()), &answered[..known]);
        }
        inspect::verify(place.path()).unwrap();
    }
}
