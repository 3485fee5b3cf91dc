//! Goal: a backup holds all that was answered before it was begun and nothing that was not logged,
//! and restores to any of its records, bit by bit. Method: engines under load are backed up while
//! their segments rotate and are pruned; a stopped log is restored to each of its records, and each
//! copy is compared with the log, and drawn from.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use rewardpool_engine::core::command::{AdminCommand, ItemChange, Note, QuantityChange};
use rewardpool_engine::core::generator::StreamStart;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::ItemId;
use rewardpool_engine::core::state::State;
use rewardpool_engine::inspect::{Seen, Visitor};
use rewardpool_engine::restore::{Restore, RestoreError, Until};
use rewardpool_engine::{
    Backup, BackupError, BackupOptions, Draws, Engine, EngineConfig, EngineError, Handle, Reply,
    ReplyPort, Request, Submission, inspect, open_stopped,
};
use rewardpool_wal::storage::{FileStorage, Storage};
use rewardpool_wal::{Ancestry, LogFile, SECTOR, SegmentHeader};
use tempfile::TempDir;

use crate::fixture::{
    COMBINATIONS, PATIENCE, change, config, directory, draws, files, keyed, new_pool,
};

const NOW_MS: u64 = 1_764_000_000_000;
const EVERYTHING: BackupOptions = BackupOptions { history: true, secrets: true };
const NEWEST: BackupOptions = BackupOptions { history: false, secrets: true };
const THREADS: usize = 3;

fn open(directory: &Path) -> Arc<dyn Storage> {
    Arc::new(FileStorage::open(directory).unwrap())
}

/// Writes the files of a backup to a directory, with the zeros behind their bytes.
fn unpack(backup: &Backup, to: &Path) {
    for file in &backup.files {
        let mut bytes = vec![0; usize::try_from(file.bytes).unwrap()];
        file.source.read_at(0, &mut bytes).unwrap();
        if let LogFile::Segment(_) = file.name {
            let sector = bytes[..SECTOR].try_into().unwrap();
            let whole = SegmentHeader::stated_bytes(&sector).unwrap();
            bytes.resize(usize::try_from(whole).unwrap(), 0);
        }
        fs::write(to.join(file.name.to_string()), bytes).unwrap();
    }
}

fn restore(from: &Path, to: &Path, until: Until) -> Result<u64, RestoreError> {
    let log = open(from);
    let restore = Restore { log: Arc::clone(&log), secrets: log.as_ref(), until };
    let looked = restore.look()?;
    restore.check_secrets(&looked.state)?;
    let reached = restore.write(&open(to), NOW_MS)?;
    assert_eq!(reached.state.state_hash(), looked.state.state_hash());
    assert_ne!(reached.identity, looked.identity);
    assert_eq!((reached.records, reached.segments), (looked.records, looked.segments));
    Ok(reached.state.last_lsn())
}

/// Position, time, JSON line and state of each record.
#[derive(Default)]
struct Truth {
    begins_after: u64,
    records: BTreeMap<u64, (u64, [u8; 32], u64)>,
}

impl Truth {
    fn of(directory: &Path) -> Self {
        let mut truth = Self::default();
        inspect::walk(directory, &mut truth).unwrap();
        truth
    }
}

impl Visitor for Truth {
    fn begin(&mut self, state: &State) {
        self.begins_after = state.last_lsn();
        let seen = (state.time_ms(), state.state_hash(), state.last_request_id());
        self.records.insert(state.last_lsn(), seen);
    }

    fn record(&mut self, seen: &Seen<'_>) -> Result<(), EngineError> {
        let state = (seen.time_ms, seen.state.state_hash(), seen.state.last_request_id());
        self.records.insert(seen.lsn.number(), state);
        Ok(())
    }
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

struct Port(crossbeam_channel::Sender<Reply>);

impl ReplyPort for Port {
    fn deliver(&self, reply: Reply) {
        self.0.send(reply).unwrap();
    }
}

/// Requests of one batch.
fn together(handle: &Handle, requests: Vec<Request>) {
    let (sender, receiver) = crossbeam_channel::bounded(1);
    let mut submission = Submission::new(Arc::new(Port(sender)));
    for request in requests {
        submission.push(request);
    }
    handle.submit(submission).map_err(|(refusal, _)| refusal).unwrap();
    let reply = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(reply.answers().iter().all(Result::is_ok), "{:?}", reply.answers());
}

fn note() -> Note {
    Note::new("ann", "more, \"now\"").unwrap()
}

fn add_item(pool: PoolNumber, name: &str) -> AdminCommand {
    AdminCommand::AddItem { pool, item: crate::fixture::item(name, 3, 4), note: note() }
}

/// A log of a few segments with batches of several records of every kind, and two lives.
fn varied(config: &EngineConfig) {
    let pool = PoolNumber(0);
    let engine = Engine::open(config).unwrap();
    let handle = engine.handle();
    let catalog = [("gold", 1, 9), ("-50 %, once", 5, 30), ("rock", 9, -1)];
    handle.create_pool(new_pool("summer", &catalog), PATIENCE).unwrap();
    let update = AdminCommand::UpdateItem {
        pool,
        item: ItemId::new("gold").unwrap(),
        change: ItemChange { quantity: Some(QuantityChange::Add(5)), weight: Some(2) },
        note: note(),
    };
    together(
        &handle,
        vec![
            Request::Draw(draws(pool, 1)),
            Request::Draw(draws(pool, 3)),
            Request::Change(Box::new(add_item(pool, "late"))),
            Request::Draw(keyed(pool, 2, "a key")),
            Request::Change(Box::new(update)),
            Request::Draw(draws(pool, 1)),
            Request::Draw(draws(pool, 1)),
        ],
    );
    handle.take_snapshot(PATIENCE).unwrap();
    handle.create_pool(new_pool("winter", &[("ice", 1, 3)]), PATIENCE).unwrap();
    let other = PoolNumber(1);
    let mixed = |_| [Request::Draw(draws(other, 1)), Request::Draw(draws(pool, 2))];
    together(&handle, (0..3).flat_map(mixed).collect());
    engine.stop().unwrap();
    let engine = Engine::open(config).unwrap();
    let handle = engine.handle();
    together(&handle, (0..4).flat_map(mixed).collect());
    change(&handle, add_item(other, "snow")).unwrap();
    engine.stop().unwrap();
}

#[test]
fn a_log_is_restored_to_each_of_its_records() {
    for (format, storage) in COMBINATIONS {
        let (place, unpacked) = (directory(), directory());
        let config = config(place.path(), format, storage);
        varied(&config);
        let before = files(place.path());
        let backup = open_stopped(place.path(), EVERYTHING).unwrap();
        unpack(&backup, unpacked.path());
        let (truth, whole) = (Truth::of(place.path()), lines(place.path()));
        let last = *truth.records.keys().last().unwrap();
        assert_eq!((backup.snapshot_lsn, backup.position.lsn), (truth.begins_after, last));
        let parts = whole.len() as u64;
        assert!(parts > 20 && truth.records.len() as u64 == parts + 1, "{format} {parts}");
        for (&lsn, &(time_ms, hash, last_request_id)) in &truth.records {
            let copy = directory();
            assert_eq!(restore(unpacked.path(), copy.path(), Until::Lsn(lsn)).unwrap(), lsn);
            let (found, _) = inspect::load(copy.path()).unwrap();
            assert_eq!((found.state_hash(), found.time_ms()), (hash, time_ms), "{format} {lsn}");
            let records = lines(copy.path());
            let expected = whole.range(..=lsn).map(|(lsn, line)| (*lsn, line.clone()));
            assert_eq!(records, expected.collect(), "{format} {lsn}");
            let ancestry = Ancestry::load(open(copy.path()).as_ref()).unwrap();
            let [restored] = ancestry.0[..] else { panic!("{ancestry:?}") };
            assert_eq!((restored.lsn, restored.time_ms), (lsn, NOW_MS));
            assert_eq!(
                (restored.from, restored.last_request_id),
                (backup.identity, last_request_id)
            );
            goes_on(&EngineConfig { directory: copy.path().to_owned(), ..config.clone() }, &found);
        }
        drop(backup);
        assert!(files(place.path()) == before, "a backup changes nothing");
    }
}

/// A restored log starts, gives the next request ids, and stays good.
fn goes_on(config: &EngineConfig, found: &State) {
    let engine = Engine::open(config).unwrap();
    assert_eq!(engine.recovery().last_lsn, found.last_lsn());
    assert_eq!(engine.recovery().torn_bytes, 0);
    if found.pools().len() > 0 {
        let drawn = engine.handle().draw(draws(PoolNumber(0), 3), PATIENCE).unwrap();
        assert_eq!(drawn.first_request_id.number(), found.last_request_id() + 1);
    }
    engine.stop().unwrap();
    inspect::verify(&config.directory).unwrap();
}

#[test]
fn a_time_finds_the_last_record_that_is_not_later() {
    let (place, unpacked) = (directory(), directory());
    let (format, storage) = COMBINATIONS[0];
    varied(&config(place.path(), format, storage));
    unpack(&open_stopped(place.path(), EVERYTHING).unwrap(), unpacked.path());
    let truth = Truth::of(place.path());
    let times: Vec<u64> = truth.records.values().map(|(time_ms, ..)| *time_ms).collect();
    for time_ms in times.into_iter().flat_map(|time_ms| [time_ms, time_ms + 1]) {
        let not_later = |(_, (time, ..)): &(_, &(u64, [u8; 32], u64))| *time <= time_ms;
        let expected = *truth.records.iter().rfind(not_later).unwrap().0;
        let copy = directory();
        assert_eq!(restore(unpacked.path(), copy.path(), Until::Time(time_ms)).unwrap(), expected);
    }
    let copy = directory();
    let last = *truth.records.keys().last().unwrap();
    assert_eq!(restore(unpacked.path(), copy.path(), Until::Time(u64::MAX)).unwrap(), last);
    let copy = directory();
    assert_eq!(restore(unpacked.path(), copy.path(), Until::End).unwrap(), last);
}

#[test]
fn what_a_backup_does_not_reach_is_refused_and_nothing_is_written() {
    let (place, unpacked, copy) = (directory(), directory(), directory());
    let (format, storage) = COMBINATIONS[0];
    varied(&config(place.path(), format, storage));
    unpack(&open_stopped(place.path(), NEWEST).unwrap(), unpacked.path());
    let truth = Truth::of(unpacked.path());
    let (first, last) = (truth.begins_after, *truth.records.keys().last().unwrap());
    assert!(first > 0, "the newest snapshot covers something");
    let refused = |until| restore(unpacked.path(), copy.path(), until).unwrap_err();
    for until in [Until::Lsn(0), Until::Lsn(first - 1), Until::Time(0)] {
        assert!(matches!(refused(until), RestoreError::Earlier { first: at, .. } if at == first));
    }
    for lsn in [last + 1, u64::MAX] {
        assert!(matches!(refused(Until::Lsn(lsn)), RestoreError::Later { last: at } if at == last));
    }
    assert!(files(copy.path()).is_empty());
    // Without its secrets it is read, and not written.
    fs::remove_file(unpacked.path().join("secret.1")).unwrap();
    let log = open(unpacked.path());
    let restore = Restore { log: Arc::clone(&log), secrets: log.as_ref(), until: Until::End };
    let looked = restore.look().unwrap();
    let told = restore.check_secrets(&looked.state).unwrap_err().to_string();
    assert!(told.contains("secret.1 is missing"), "{told}");
}

/// What was told about the lost draws must not tell anything about those that take their place.
#[test]
fn ids_that_are_given_again_have_other_outcomes() {
    const DRAWS: i64 = 2000;
    let pool = PoolNumber(0);
    let outcomes = |engine: &Engine| {
        let drawn = engine.handle().draw(draws(pool, DRAWS), PATIENCE).unwrap();
        assert_eq!(drawn.first_request_id.number(), 11);
        drawn.items
    };
    let (place, unpacked) = (directory(), directory());
    let (format, storage) = COMBINATIONS[0];
    let first_config = config(place.path(), format, storage);
    let engine = Engine::open(&first_config).unwrap();
    let fair = new_pool("summer", &[("heads", 1, -1), ("tails", 1, -1)]);
    engine.handle().create_pool(fair, PATIENCE).unwrap();
    engine.handle().draw(draws(pool, 10), PATIENCE).unwrap();
    unpack(&engine.handle().backup(NEWEST, PATIENCE).unwrap(), unpacked.path());
    let lost = outcomes(&engine);
    engine.stop().unwrap();
    let mut all = vec![lost];
    let mut newest = directory();
    for _ in 0..2 {
        newest = directory();
        restore(unpacked.path(), newest.path(), Until::End).unwrap();
        let second_config =
            EngineConfig { directory: newest.path().to_owned(), ..first_config.clone() };
        let engine = Engine::open(&second_config).unwrap();
        all.push(outcomes(&engine));
        engine.stop().unwrap();
    }
    for (place, one) in all.iter().enumerate() {
        for other in &all[place + 1..] {
            let same = one.iter().zip(other).filter(|(one, other)| one == other).count();
            // Half of them by chance, with a deviation of 22.
            assert!((800..1200).contains(&same), "{same} of {DRAWS}");
        }
    }
    // Back once more, before the first start: the later one is gone, and an older one would stay.
    let (again, copy) = (directory(), directory());
    unpack(&open_stopped(newest.path(), EVERYTHING).unwrap(), again.path());
    let text = |place: &TempDir| fs::read_to_string(place.path().join("secret.0")).unwrap();
    assert_eq!(text(&again).lines().count(), 3, "{}", text(&again));
    restore(again.path(), copy.path(), Until::End).unwrap();
    let starts: Vec<String> = text(&copy).lines().map(str::to_owned).collect();
    assert_eq!(starts.len(), 4, "{starts:?}");
    assert!(starts[1].starts_with("from 11 stream ") && starts[2].starts_with("from 2011 stream "));
    let of = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    assert!([&starts[1], &starts[2]].iter().all(|line| {
        StreamStart::new(rewardpool_engine::core::ids::RequestId::FIRST, of(line))
            .is_some_and(|start| start.stream == of(line))
    }));
    assert_eq!(Ancestry::load(open(copy.path()).as_ref()).unwrap().0.len(), 2);
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

/// Segments rotate every few dozen batches and are pruned while the files are opened and copied.
#[test]
fn a_backup_under_load_holds_all_that_was_answered_before_it() {
    const BACKUPS: usize = 6;
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let config = config(place.path(), format, storage);
        let engine = Engine::open(&config).unwrap();
        let handle = engine.handle();
        let pool = new_pool("summer", &[("gold", 1, 50), ("silver", 5, 1000), ("rock", 9, -1)]);
        handle.create_pool(pool, PATIENCE).unwrap();
        let (done, answered) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        let (mut backups, mut truth) = (Vec::new(), BTreeMap::new());
        thread::scope(|scope| {
            for name in 0..THREADS {
                let (done, handle, answered) = (&done, &handle, &answered);
                scope.spawn(move || draw_until(done, handle, name, answered));
            }
            for turn in 0..BACKUPS {
                while answered.lock().unwrap().len() < (turn + 1) * 100 {
                    thread::yield_now();
                }
                let known = answered.lock().unwrap().len();
                let history = turn % 2 == 1;
                let backup =
                    handle.backup(BackupOptions { history, secrets: true }, PATIENCE).unwrap();
                // By the time it is read, its files are gone.
                let begun = backup.position.segment;
                while handle.newest_snapshot().unwrap().lsn <= backup.position.lsn
                    || fs::exists(place.path().join(format!("wal.{begun:03}"))).unwrap()
                {
                    thread::yield_now();
                }
                let unpacked = directory();
                unpack(&backup, unpacked.path());
                backups.push((known, backup.position, unpacked));
            }
            done.store(true, Ordering::Release);
        });
        engine.stop().unwrap();
        let answered = answered.into_inner().unwrap();
        for (known, position, unpacked) in backups {
            let copy = directory();
            assert_eq!(restore(unpacked.path(), copy.path(), Until::End).unwrap(), position.lsn);
            for (lsn, line) in lines(copy.path()) {
                // What overlaps with another backup, or the log that is left, is the same there.
                assert_eq!(truth.entry(lsn).or_insert_with(|| line.clone()), &line);
            }
            holds(
                &EngineConfig { directory: copy.path().to_owned(), ..config.clone() },
                &answered[..known],
            );
        }
        for (lsn, line) in lines(place.path()) {
            assert!(truth.get(&lsn).is_none_or(|same| *same == line), "{line}");
        }
        inspect::verify(place.path()).unwrap();
    }
}

/// Each of these draws is there, with the same outcomes.
fn holds(config: &EngineConfig, answered: &[(String, Draws)]) {
    let engine = Engine::open(config).unwrap();
    let handle = engine.handle();
    for (key, first) in answered {
        let again = handle.draw(keyed(PoolNumber(0), 3, key), PATIENCE).unwrap();
        assert_eq!(again, Draws { replayed: true, ..first.clone() }, "{key}");
    }
    engine.stop().unwrap();
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_a_backup_of_damage_is_refused() {
    let place = directory();
    let (format, storage) = COMBINATIONS[0];
    let config = config(place.path(), format, storage);
    let engine = Engine::open(&config).unwrap();
    let handle = engine.handle();
    handle.create_pool(new_pool("summer", &[("rock", 9, -1)]), PATIENCE).unwrap();
    let older = handle.take_snapshot(PATIENCE).unwrap();
    handle.draw(draws(PoolNumber(0), 5), PATIENCE).unwrap();
    let newer = handle.take_snapshot(PATIENCE).unwrap();
    let of = |options| handle.backup(options, PATIENCE);
    assert_eq!(of(NEWEST).unwrap().snapshot_lsn, newer.lsn);
    let begins = of(EVERYTHING).unwrap();
    let names = begins.files.iter().map(|file| file.name.to_string()).collect::<Vec<_>>();
    assert_eq!(begins.snapshot_lsn, older.lsn, "{names:?}");
    assert!(names.contains(&older.file) && names.contains(&newer.file), "{names:?}");
    let damage = |name: &str, place_in_file: usize| {
        let path = place.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[place_in_file] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    damage(&newer.file, 90);
    assert_eq!(of(NEWEST).unwrap().snapshot_lsn, older.lsn);
    damage(&older.file, 90);
    let Err(BackupError::Engine(error)) = of(NEWEST) else { panic!("it is refused") };
    assert!(error.is_corruption(), "{error}");
    damage(&older.file, 90);
    let omitted = of(BackupOptions { history: false, secrets: false }).unwrap();
    assert!(!omitted.files.iter().any(|file| matches!(file.name, LogFile::Secret(_))));
    damage("wal.001", SECTOR + 20);
    let Err(BackupError::Engine(error)) = of(EVERYTHING) else { panic!("it is refused") };
    assert_eq!(error.place(), Some(("wal.001", Some(SECTOR as u64))));
    drop(omitted);
    engine.stop().unwrap();
}

/// Descriptors are for the clients.
#[test]
fn more_segments_than_may_be_open_are_refused() {
    let place = directory();
    let (format, storage) = COMBINATIONS[0];
    let config = EngineConfig { segment_bytes: 0, ..config(place.path(), format, storage) };
    let engine = Engine::open(&config).unwrap();
    let handle = engine.handle();
    // A snapshot is worth it only when the log has grown by twice as much.
    let items = crate::fixture::long_items(20_000, 9);
    handle.create_pool(crate::fixture::pool_of("many", items), PATIENCE).unwrap();
    handle.take_snapshot(PATIENCE).unwrap();
    while handle.segments() <= rewardpool_engine::SEGMENTS_MAX + 1 {
        handle.draw(draws(PoolNumber(0), 2000), PATIENCE).unwrap();
    }
    let Err(BackupError::TooManySegments { count }) = handle.backup(NEWEST, PATIENCE) else {
        panic!("it is refused")
    };
    assert!(count > rewardpool_engine::SEGMENTS_MAX);
    handle.take_snapshot(PATIENCE).unwrap();
    let backup = handle.backup(NEWEST, PATIENCE).unwrap();
    let unpacked = directory();
    unpack(&backup, unpacked.path());
    engine.stop().unwrap();
    restore(unpacked.path(), directory().path(), Until::End).unwrap();
}
