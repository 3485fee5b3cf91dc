//! Recovery of a whole directory after damage: the state that was acknowledged, or a refusal that
//! names a file, never anything else. Directories of every format and storage are damaged by a
//! script; the engine's own recovery reads them.
use std::sync::Arc;

use rewardpool_engine::core::format::Format;
use rewardpool_engine::inspect::{Examination, examine_storage};
use rewardpool_engine::{Engine, EngineConfig, EngineError, Scheduling, StorageKind};
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{SECTOR, secret_name};

use crate::golden::{Golden, golden, read};
use crate::memory::{Files, Memory};
use crate::script::Script;

const DAMAGES_MAX: usize = 12;
/// A file never grows longer.
const BYTES_MAX: usize = 64 << 10;
/// One input of so many is opened by a real engine, too.
const START_EVERY: u32 = 64;

/// The first byte chooses the directory, the rest is a list of damages.
pub fn directory(data: &[u8]) {
    let (golden, files) = damaged(data);
    let found = examine(&files);
    judge(golden, &files, &found);
    if crc32c::crc32c(data).is_multiple_of(START_EVERY) {
        start(golden, &files, &found);
    }
}

/// The same, and every input is opened by a real engine.
pub fn directory_start(data: &[u8]) {
    let (golden, files) = damaged(data);
    let found = examine(&files);
    judge(golden, &files, &found);
    start(golden, &files, &found);
}

fn damaged(data: &[u8]) -> (&'static Golden, Files) {
    let mut script = Script::new(data);
    let all = golden();
    let choice = usize::from(script.byte()) % all.len();
    let mut files = all[choice].files.clone();
    for _ in 0..DAMAGES_MAX {
        if script.is_over() || files.is_empty() {
            break;
        }
        damage(&mut script, &mut files, &all[(choice + 1) % all.len()].files);
    }
    // Enough files of another directory make that directory; the mark tells which one it is.
    let of_mark = |golden: &&Golden| files.get("POOL") == golden.files.get("POOL");
    (all.iter().find(of_mark).unwrap_or(&all[choice]), files)
}

fn examine(files: &Files) -> Examination {
    let memory = Memory::new(files);
    let storage: Arc<dyn Storage> = Arc::new(memory.clone());
    let found = examine_storage(&storage).expect("memory can be read");
    assert!(memory.files() == *files, "an examination changes nothing");
    found
}

fn pick(script: &mut Script<'_>, files: &Files) -> String {
    let place = usize::from(script.byte()) % files.len();
    files.keys().nth(place).expect("the place is below the number of files").clone()
}

/// One damage. None writes chosen bytes of any number, which could make right checksums.
fn damage(script: &mut Script<'_>, files: &mut Files, other: &Files) {
    let (kind, where_to) = (script.byte() % 12, script.byte());
    let name = pick(script, files);
    let second = pick(script, files);
    let content = files.get_mut(&name).expect("the name was picked");
    let length = content.len().max(1);
    // Mostly in what the file holds, not in the zeros behind it.
    let used = content.iter().rposition(|&byte| byte != 0).map_or(1, |last| last + 1);
    let at = script.below(if where_to < 200 { used } else { length });
    let sector = at / SECTOR * SECTOR;
    let end = |bytes: usize| length.min(at + bytes);
    match kind {
        0 | 1 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (kind * 3)),
        2 => content.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= script.byte()),
        3 => {
            let (last, value) = (end(usize::from(script.short()) % 1200), script.pick(&[0, 0xff]));
            content.iter_mut().take(last).skip(at).for_each(|byte| *byte = value);
        }
        4 => content.iter_mut().skip(sector).take(SECTOR).for_each(|byte| *byte = 0),
        5 => content.truncate(at),
        6 => {
            let grown = (content.len() + usize::from(script.short())).min(BYTES_MAX);
            content.resize(grown, script.pick(&[0, 0xff]));
        }
        7 => drop(files.remove(&name)),
        8 => swap(files, &name, &second),
        9 => drop(files.insert(second.clone(), files[&name].clone())),
        10 => {
            let name = rename(script, &name);
            let content = files.get(&second).expect("the name was picked").clone();
            files.insert(name, content);
        }
        _ => misdirect(script, files, other, (&name, &second)),
    }
}

fn swap(files: &mut Files, name: &str, second: &str) {
    let one = files[name].clone();
    let two = files.insert(second.to_owned(), one).expect("the name was picked");
    files.insert(name.to_owned(), two);
}

/// Another name of a file of a log, or one that is none.
fn rename(script: &mut Script<'_>, name: &str) -> String {
    let number = script.byte() % 40;
    let kind = script.byte() % 8;
    match kind {
        0 => format!("wal.{number:03}"),
        1 => format!("snapshot.{number}"),
        2 => format!("secret.{}", number % 4),
        3 => format!("{name}.tmp"),
        4 => format!("wal.next.{number}"),
        5 => format!("wal.{number}"),
        6 => "snapshot.18446744073709551615".to_owned(),
        _ => "wal.4294967295".to_owned(),
    }
}

/// A sector that was written to another place, or a whole file to another directory.
fn misdirect(
    script: &mut Script<'_>,
    files: &mut Files,
    other: &Files,
    (name, second): (&str, &str),
) {
    if script.flag() {
        if let Some(foreign) = other.get(name) {
            files.insert(name.to_owned(), foreign.clone());
        }
        return;
    }
    let from = files[second].clone();
    let to = files.get_mut(name).expect("the name was picked");
    let (place, target) = (script.byte(), script.byte());
    let sectors = from.chunks_exact(SECTOR).nth(usize::from(place) % (from.len() / SECTOR).max(1));
    let count = (to.len() / SECTOR).max(1);
    let target = to.chunks_exact_mut(SECTOR).nth(usize::from(target) % count);
    if let (Some(sector), Some(target)) = (sectors, target) {
        target.copy_from_slice(sector);
    }
}

/// The promise: the same state, or a refusal with its place.
fn judge(golden: &Golden, files: &Files, found: &Examination) {
    for damage in &found.damages {
        assert_placed(damage);
    }
    if *files == golden.files {
        assert!(found.damages.is_empty() && found.start.is_some(), "{:?}", found.damages);
    }
    let Some(start) = &found.start else {
        assert!(!found.damages.is_empty(), "a refusal has a reason");
        return;
    };
    for pool in start.state.pools() {
        let secret = secret_name(pool.number.0);
        assert!(files.get(&secret) == golden.files.get(&secret), "{secret} is another one");
    }
    let last_lsn = start.recovery.last_lsn;
    let expected = golden.states.get(&last_lsn);
    assert_eq!(expected, Some(&start.state_sha256), "another state, up to LSN {last_lsn}");
    if last_lsn < golden.last_lsn {
        assert_looks_torn(golden, files, last_lsn + 1);
    } else if found.damages.is_empty() {
        let verified = found.verified.as_ref().expect("what is not damaged was verified");
        assert_eq!(verified.state_sha256, start.state_sha256);
    }
}

fn assert_placed(damage: &EngineError) {
    assert!(damage.is_corruption());
    let text = damage.to_string();
    let (file, offset) = damage.place().expect("damage has a place");
    assert!(text.contains(file), "{text}");
    if let Some(offset) = offset {
        assert!(text.contains(&format!("offset {offset}")), "{text}");
    } else {
        assert!(text.contains("is missing"), "{text}");
    }
}

/// The one damage that cannot be told from a crash: of the first batch that is not there any more, a
/// sector is full of zeros.
fn assert_looks_torn(golden: &Golden, files: &Files, first_lsn: u64) {
    let step = golden.steps.get(&first_lsn).expect("a log ends between two batches");
    let segment = &files[&step.segment];
    let batch = &segment[step.offset..step.offset + step.bytes];
    let is_zero = |sector: &[u8]| sector.iter().all(|&byte| byte == 0);
    assert!(batch.chunks(SECTOR).any(is_zero), "acknowledged records are gone: LSN {first_lsn}");
    assert!(step.state_sha256 != golden.states[&(first_lsn - 1)]);
}

/// A real start, on real files, does what the examination says, and changes nothing if it refuses.
fn start(golden: &Golden, files: &Files, found: &Examination) {
    let place = scratch();
    for (name, content) in files {
        std::fs::write(place.path().join(name), content).expect("the scratch can be written");
    }
    let config = EngineConfig {
        directory: place.path().to_owned(),
        storage: StorageKind::File,
        format: Format::Binary,
        segment_bytes: 8 << 10,
        mailbox_capacity: 4,
        batch_draws_max: 1000,
        scheduling: Scheduling::Normal,
    };
    match Engine::open(&config) {
        Ok(engine) if engine.recovery().fresh => {
            assert!(found.is_unused, "a log was begun over another one");
            engine.stop().expect("the engine stops");
        }
        Ok(engine) => {
            let expected = found.start.as_ref().expect("the examination refuses");
            assert_eq!(engine.recovery().last_lsn, expected.recovery.last_lsn);
            assert!(engine.recovery().last_lsn <= golden.last_lsn);
            engine.stop().expect("the engine stops");
            let after = examine(&read(place.path()).expect("the scratch can be read"));
            let after = after.start.expect("what an engine wrote can be started");
            let last = expected.recovery.last_request_id;
            assert_eq!(after.recovery.last_request_id, last, "nothing was drawn");
        }
        Err(error) => {
            assert!(
                found.start.is_none() && !found.is_unused,
                "the examination does not refuse: {error}"
            );
            assert_eq!(error.place(), found.damages[0].place());
            let left = read(place.path()).expect("the scratch can be read");
            assert!(left == *files, "a refusal changes nothing");
        }
    }
}

/// A directory in memory where there is one.
fn scratch() -> tempfile::TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a scratch directory can be made")
}
