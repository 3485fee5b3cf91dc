//! Goal: what an earlier build wrote is read by every later one, exactly; what a later one wrote is
//! refused and left alone. Method: directories of each format version are kept in the repository,
//! each beside a text of all that it means; a test reads them, draws on from a copy, and changes
//! version numbers.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32c::crc32c;
use crossbeam_channel::bounded;
use rewardpool_engine::core::command::{
    AdminCommand, DrawCommand, ItemChange, KeyLimits, Note, PoolStatus, QuantityChange,
};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::ItemId;
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::core::state::State;
use rewardpool_engine::{
    Draws, Engine, EngineConfig, EngineError, Handle, Request, StorageKind, Submission, inspect,
};
use sha2::{Digest as _, Sha256};

use crate::copy::copy_running;
use crate::fixture::{
    COMBINATIONS, PATIENCE, all_or_nothing, config, directory, draws, files, item, keyed, new_pool,
    write_files,
};
use crate::mailbox::Forward;

/// Small, but large enough that every kind of record stands behind the older snapshot.
const SEGMENT_BYTES: usize = 16 << 10;
const SECTOR: usize = 512;
/// A key of the last draw before the end: its answer must be remembered.
const KEY: &str = "golden";
const SUMMER: PoolNumber = PoolNumber(0);
const WINTER: PoolNumber = PoolNumber(1);

type Files = BTreeMap<String, Vec<u8>>;

/// Where the directories of the present format version are.
fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

const fn storage_name(storage: StorageKind) -> &'static str {
    match storage {
        StorageKind::File => "file",
        StorageKind::Mmap => "mmap",
    }
}

/// The directory of a combination, and the text beside it.
fn places(format: Format, storage: StorageKind) -> (PathBuf, PathBuf) {
    let name = format!("{format}-{}", storage_name(storage));
    (golden().join(&name), golden().join(name + ".expected"))
}

fn small(directory: &Path, format: Format, storage: StorageKind) -> EngineConfig {
    EngineConfig { segment_bytes: SEGMENT_BYTES, ..config(directory, format, storage) }
}

/// Writes the directories with this build: with `storage` file after a clean stop, with mmap as a
/// crash leaves them, the one in JSON with a torn batch at its end. Run it once for a new format
/// version: `cargo test -p rewardpool-engine --test it golden::make -- --ignored`.
#[test]
#[ignore = "writes the golden directories of a new format version"]
fn make() {
    for (format, storage) in COMBINATIONS {
        let (place, expected) = places(format, storage);
        assert!(!place.exists() && !expected.exists(), "{} is never overwritten", place.display());
        let running = directory();
        let config = small(running.path(), format, storage);
        let first = Engine::open(&config).unwrap();
        begin(&first.handle());
        first.stop().unwrap();
        let second = Engine::open(&config).unwrap();
        go_on(&second.handle());
        fs::create_dir_all(&place).unwrap();
        match (storage, format) {
            (StorageKind::File, _) => {
                second.stop().unwrap();
                write_files(&place, &files(running.path()));
            }
            (StorageKind::Mmap, Format::Json) => {
                let torn = tear(running.path(), &second);
                write_files(&place, &torn);
            }
            (StorageKind::Mmap, _) => {
                copy_running(running.path(), &place);
                second.stop().unwrap();
            }
        }
        fs::write(expected, describe(&place)).unwrap();
    }
}

fn note() -> Note {
    Note::new("anna", "50 %, \"as agreed\"").unwrap()
}

fn begin(handle: &Handle) {
    let items = [("gold", 1, 5), ("silver", 40, 5000), ("-50 %; once,", 3, 7), ("rock", 90, -1)];
    handle.create_pool(new_pool("summer", &items), PATIENCE).unwrap();
    for turn in 0..5 {
        handle.draw(draws(SUMMER, 1 + turn), PATIENCE).unwrap();
    }
}

/// Every kind of record, many of them in one batch.
fn go_on(handle: &Handle) {
    let id = |name: &str| ItemId::new(name).unwrap();
    let update = |item: &str, quantity, weight| AdminCommand::UpdateItem {
        pool: SUMMER,
        item: id(item),
        change: ItemChange { quantity, weight },
        note: note(),
    };
    let status = |pool, status| AdminCommand::SetStatus { pool, status, note: note() };
    let mut winter = new_pool("winter_2", &[("雪", 1, 40), ("ice", 0, -1), ("sled", 2, 3)]);
    winter.spec.selector = SelectorKind::Fenwick;
    winter.spec.keys = KeyLimits { window_ms: 60_000, keys_max: 3, outcomes_max: 20 };
    let set = QuantityChange::Set { to: Quantity::Limited(9), expected_version: 2 };
    let mut requests = vec![Request::CreatePool(Box::new(winter))];
    let few = [draws(SUMMER, 1), draws(SUMMER, 1), draws(SUMMER, 3), all_or_nothing(SUMMER, 2)];
    requests.extend(few.map(Request::Draw));
    let keyed = |turn| Request::Draw(keyed(WINTER, 4, &format!("key {turn}")));
    requests.extend((0..5).map(keyed));
    let changes = [
        update("silver", Some(QuantityChange::Add(-3)), None),
        update("gold", Some(set), Some(2)),
        AdminCommand::AddItem { pool: SUMMER, item: item("late", 5, -1), note: note() },
        AdminCommand::RetireItem { pool: SUMMER, item: id("-50 %; once,"), note: note() },
        status(SUMMER, PoolStatus::Paused),
        status(SUMMER, PoolStatus::Active),
    ];
    requests.extend(changes.map(|change| Request::Change(Box::new(change))));
    // Runs out: empty outcomes.
    requests.extend([draws(SUMMER, 1), draws(WINTER, 30)].map(Request::Draw));
    requests.push(Request::Change(Box::new(status(WINTER, PoolStatus::Closed))));
    all_at_once(handle, requests);
    handle.draw(draws(SUMMER, 7), PATIENCE).unwrap();
    handle.take_snapshot(PATIENCE).unwrap();
    handle.draw(draws(SUMMER, 2), PATIENCE).unwrap();
    handle.draw(keyed_draw(), PATIENCE).unwrap();
}

fn keyed_draw() -> DrawCommand {
    keyed(SUMMER, 3, KEY)
}

fn all_at_once(handle: &Handle, requests: Vec<Request>) {
    let (sender, replies) = bounded(1);
    let mut submission = Submission::new(Arc::new(Forward(sender)));
    for request in requests {
        submission.push(request);
    }
    handle.submit(submission).map_err(|(refusal, _)| refusal).unwrap();
    let reply = replies.recv_timeout(PATIENCE).unwrap();
    assert!(reply.answers().iter().all(Result::is_ok), "{:?}", reply.answers());
}

/// The files as a power cut leaves them in the middle of a batch: its later sectors reached the
/// disk, its first one did not.
fn tear(running: &Path, engine: &Engine) -> Files {
    let (before, after) = (directory(), directory());
    copy_running(running, before.path());
    engine.handle().draw(draws(SUMMER, 100), PATIENCE).unwrap();
    copy_running(running, after.path());
    let (before, mut torn) = (files(before.path()), files(after.path()));
    assert!(before.keys().eq(torn.keys()), "the batch went into the last segment");
    let (_, segment) = torn.iter_mut().rfind(|(name, _)| name.starts_with("wal.")).unwrap();
    let length = |at: usize| u32::from_le_bytes(segment[at + 8..at + 12].try_into().unwrap());
    let is_long = |&at: &usize| segment[at + 4..at + 8] == *b"RPB1" && length(at) > 600;
    let last = (SECTOR..segment.len()).step_by(SECTOR).rfind(is_long).unwrap();
    let end = last + (64 + length(last) as usize + 1).next_multiple_of(SECTOR);
    // A marker may follow, which was not written before the cut.
    segment[end..].fill(0);
    segment[last..last + SECTOR].fill(0);
    torn
}

/// All that a directory means, in words that do not depend on names in the source.
fn describe(directory: &Path) -> String {
    let verified = inspect::verify(directory).unwrap();
    let (state, recovery) = inspect::load(directory).unwrap();
    let mut text = format!(
        "start: from snapshot.{}, {} records, {} draws, torn bytes {}, last lsn {}\n",
        recovery.snapshot_lsn,
        recovery.records,
        recovery.draws,
        recovery.torn_bytes,
        recovery.last_lsn
    );
    for s in inspect::segments(directory).unwrap() {
        let (last, torn) = (s.last_lsn.unwrap_or(0), s.torn_at.unwrap_or(0));
        let (name, format, status) = (s.name, s.format, s.status.name());
        let (first, batches, records) = (s.first_lsn, s.batches, s.records);
        writeln!(
            text,
            "{name}: {format}, {} of {} bytes, lsn {first} to {last}, {batches} batches, \
             {records} records, {status}, torn at {torn}",
            s.used_bytes, s.bytes
        )
        .unwrap();
    }
    for s in inspect::snapshots(directory).unwrap() {
        let (next, sha256) = (s.next_segment, hexadecimal(&s.sha256));
        let (name, bytes, time) = (s.name, s.bytes, s.time_ms);
        writeln!(text, "{name}: {bytes} bytes, time {time}, next {next}, sha256 {sha256}").unwrap();
    }
    describe_state(&state, &mut text);
    writeln!(text, "state sha256 {}", hexadecimal(&verified.state_sha256)).unwrap();
    let mut records = Vec::new();
    inspect::cat(directory, None, &mut records).unwrap();
    text + &String::from_utf8(records).unwrap()
}

fn describe_state(state: &State, text: &mut String) {
    let (digest, last) = (state.digest(), state.last_request_id());
    writeln!(text, "last request {last}, time {}, digest {digest:016x}", state.time_ms()).unwrap();
    for pool in state.pools() {
        let (id, status, version) = (pool.names.id(), pool.status.name(), pool.catalog_version);
        let KeyLimits { window_ms, keys_max, outcomes_max } = pool.keys.limits;
        writeln!(
            text,
            "pool {id}: {status}, version {version}, {} draws, {} awards, {} empty\n\
             keys {} with {} outcomes, limits {window_ms} {keys_max} {outcomes_max}\n\
             commitment {}",
            pool.draws,
            pool.awards,
            pool.empties,
            pool.keys.keys,
            pool.keys.outcomes,
            hexadecimal(&pool.commitment)
        )
        .unwrap();
        for item in state.items(pool.number, 0, usize::MAX).unwrap() {
            let name = pool.names.items().get(item.index).unwrap();
            let granted =
                item.granted.map_or_else(|| "-".to_owned(), |granted| granted.to_string());
            let (units, retired) = (item.quantity.to_number(), item.retired);
            let (weight, awarded) = (item.weight, item.awarded);
            writeln!(
                text,
                "item {name}: weight {weight}, {units} left, {awarded} awarded, {granted} granted, \
                 retired {retired}"
            )
            .unwrap();
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn every_golden_directory_means_what_it_meant() {
    for (format, storage) in COMBINATIONS {
        let (place, expected) = places(format, storage);
        let before = files(&place);
        let text = describe(&place);
        assert!(text == fs::read_to_string(expected).unwrap(), "{}:\n{text}", place.display());
        assert!(files(&place) == before, "reading changed a file");
    }
}

/// Each directory is opened in every format and with each storage: they are the choice of the
/// start, not of the directory.
#[test]
fn every_golden_directory_can_be_drawn_on_from() {
    for (format, storage) in COMBINATIONS {
        let (place, _) = places(format, storage);
        let (state, _) = inspect::load(&place).unwrap();
        let last = state.last_request_id();
        for (format, storage) in COMBINATIONS {
            let copy = directory();
            write_files(copy.path(), &files(&place));
            let config = small(copy.path(), format, storage);
            let engine = Engine::open(&config).unwrap();
            let handle = engine.handle();
            let again = handle.draw(keyed_draw(), PATIENCE).unwrap();
            assert!(again.replayed && again.items.len() == 3, "{again:?}");
            let Draws { first_request_id, replayed, .. } =
                handle.draw(draws(SUMMER, 5), PATIENCE).unwrap();
            assert_eq!((first_request_id.number(), replayed), (last + 1, false));
            engine.stop().unwrap();
            assert_eq!(inspect::verify(copy.path()).unwrap().last_request_id, last + 5);
        }
    }
    let (directories, opened) = (COMBINATIONS.len() as u64, COMBINATIONS.len().pow(2) as u64);
    rewardpool_tally::record("T16 golden directories of format 1", directories + opened, 0, 0);
}

/// Puts the checksums of a segment's or snapshot's header right again.
fn fix_header(name: &str, bytes: &mut [u8]) {
    let checksum = if name.starts_with("wal.") { SECTOR - 4 } else { 72 };
    let crc = crc32c(&bytes[..checksum]);
    bytes[checksum..checksum + 4].copy_from_slice(&crc.to_le_bytes());
    if name.starts_with("snapshot.") {
        let signed = bytes.len() - 32;
        let sha256 = Sha256::digest(&bytes[..signed]);
        bytes[signed..].copy_from_slice(&sha256);
    }
}

/// The file as a program of format version 2 would have written it.
fn of_version_2(name: &str, bytes: &[u8]) -> Vec<u8> {
    if name == "POOL" {
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace("format 1\n", "format 2\n");
        let body = &text[..text.find("crc32c").unwrap()];
        return format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes())).into_bytes();
    }
    let mut bytes = bytes.to_vec();
    bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
    fix_header(name, &mut bytes);
    bytes
}

/// A start and the examination refuse these files with this text, and change nothing.
#[track_caller]
fn refused(at: &EngineConfig, changed: &Files, what: &str) {
    write_files(&at.directory, changed);
    let Err(error) = Engine::open(at) else { panic!("accepted: {what}") };
    assert!(error.is_corruption(), "{error:?}");
    let text = rewardpool_engine::Chain(&error).to_string();
    assert_eq!(text, what);
    let found = inspect::examine(&at.directory).unwrap();
    assert_eq!(found.damages[0].place(), error.place());
    assert!(found.start.is_none());
    assert!(files(&at.directory) == *changed, "{what}: a refusal changed a file");
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let mut tried = 0;
    for (format, storage) in COMBINATIONS {
        let (place, _) = places(format, storage);
        let original = files(&place);
        let scratch = directory();
        let at = small(scratch.path(), format, storage);
        let newest = inspect::snapshots(&place).unwrap().pop().unwrap();
        let first_needed = newest.next_segment;
        for (name, bytes) in &original {
            let is_needed = match name.split('.').next().unwrap() {
                "wal" => *name >= first_needed,
                "snapshot" => *name == newest.name,
                _ => name == "POOL",
            };
            let offset = if name == "POOL" { 11 } else { 8 };
            let mut changed = original.clone();
            if is_needed {
                changed.insert(name.clone(), of_version_2(name, bytes));
                let what = format!(
                    "{name} has format version 2 at offset {offset}, this program reads version 1"
                );
                refused(&at, &changed, &what);
                tried += 1;
            }
        }
        let mut changed = original.clone();
        let body = changed.get_mut(&newest.name).unwrap();
        body[76] = 2;
        fix_header(&newest.name, body);
        let what = format!(
            "{} is corrupt at offset 76: it does not hold a state: the state has format version 2, \
             this software reads version 1",
            newest.name
        );
        refused(&at, &changed, &what);
        tried += 1;
    }
    rewardpool_tally::record("T16 directories of another version", tried, tried, 0);
}

/// A snapshot that no start looks at is still told of.
#[test]
fn another_version_of_an_older_snapshot_is_told() {
    let (place, _) = places(Format::Binary, StorageKind::File);
    let mut changed = files(&place);
    let snapshots = inspect::snapshots(&place).unwrap();
    let [older, _] = &snapshots[..] else { panic!("{snapshots:?}") };
    let bytes = of_version_2(&older.name, &changed[&older.name]);
    changed.insert(older.name.clone(), bytes);
    let scratch = directory();
    write_files(scratch.path(), &changed);
    let found = inspect::examine(scratch.path()).unwrap();
    assert_eq!(found.damages.len(), 1);
    assert!(matches!(&found.damages[0], EngineError::Log(_)));
    assert_eq!(found.damages[0].place(), Some((older.name.as_str(), Some(8))));
    assert!(found.start.is_some());
}
