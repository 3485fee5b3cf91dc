//! Backups. Goal: a backup of a service under load restores to a part of its log from the beginning,
//! bit by bit, with everything that was acknowledged before the backup was begun; whatever happens to
//! the program, the service or the disk meanwhile, there is a whole backup or none.
//! Method: the real service under four clients, whose segments rotate and are pruned, is backed up by
//! the real program; what is restored is compared with the log, which an archive kept from its
//! beginning, and judged with the history of the clients. Then the program meets faults at each call
//! that it makes, and the service is killed and stopped in the middle. `BACKUPS` sets how many are
//! made of each service.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::ops::Bound;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{Answer, Event, Recorder, What};
use rewardpool_checker::log;
use rewardpool_engine::inspect;
use tokio::runtime::Runtime;

use crate::archive::Archive;
use crate::campaign::runtime;
use crate::client::{Client, DrawOp, Told};
use crate::dice::Dice;
use crate::load::{self, config};
use crate::looked::{BY_EVERY_LOAD, Looked};
use crate::operator::{self, Run, UNAVAILABLE, backup, command, number, restore, run};
use crate::service::{INPUT_OUTPUT, PATIENCE, Service, Setup};
use crate::shim::{Fault, Plan, Shim, calls};
use crate::volume::{Kind, Volume};

/// Backups of each service, unless `BACKUPS` says otherwise.
const BACKUPS: u64 = 6;
/// Draws that are acknowledged between two backups: enough for some segments.
const DRAWS: u64 = 1500;
/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

/// Why a result is not known to a backup.
const WHILE_BACKED_UP: &str = "answered while or after the backup was made";

/// A configuration that lets a backup have the secrets.
pub(crate) fn open_config(format: &str, storage: &str) -> String {
    format!("{}grpc: {{ backup_secrets: true }}\n", config(format, storage))
}

#[test]
fn a_backup_under_load_restores_to_a_prefix_with_all_that_was_acknowledged_before() {
    let backups: u64 = std::env::var("BACKUPS").map_or(BACKUPS, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} BACKUPS={backups}");
    let (mut dice, runtime) = (Dice::new(seed), runtime());
    let (mut looked, mut failures) = (Looked::default(), Vec::new());
    for (format, storage) in [("binary", "file"), ("json", "mmap"), ("string_line", "file")] {
        let home = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let setup = Setup::new(home.path(), &open_config(format, storage));
        let watch = Archive::new(&setup.data, &home.path().join("archive")).watch();
        let taken = take_backups(&setup, home.path(), backups, &runtime, &mut dice);
        let archive = watch.end();
        let whole = lines(&inspect_cat(archive.directory()));
        let report = check(
            &setup.recorder.read().unwrap(),
            &log::load(archive.directory()).unwrap(),
            &LIMITS,
        );
        looked.add(&report);
        if !report.is_good() {
            failures.push(format!("{format}/{storage}: the service itself: {report}"));
        }
        let (mut records, mut positions) = (0, 0);
        for taken in &taken {
            records += judge(taken, home.path(), &whole, &mut looked, &mut failures);
            positions += judge_positions(taken, home.path(), &whole, &mut dice, &mut failures);
        }
        let last = taken.last().expect("some backups were taken");
        draw_from(home.path(), last, &setup, &runtime, &mut looked, &mut failures);
        println!(
            "{format}/{storage}: {} backups with {records} records, {positions} of them restored \
             to, of {} draws, {:.1} s",
            taken.len(),
            report.counts.acknowledged_draws,
            begun.elapsed().as_secs_f64()
        );
    }
    let count = u64::try_from(failures.len()).unwrap();
    rewardpool_tally::record("T17 backups under load", 3 * backups, 3 * backups, count);
    assert!(failures.is_empty(), "SEED={seed}: {}", failures.join("\n"));
    looked.assert_at(&BY_EVERY_LOAD);
}

/// A backup.
struct Taken {
    name: String,
    /// What was asked for until it was made, with what was answered until it was begun.
    history: Vec<Event>,
    has_history: bool,
    told: serde_json::Value,
}

fn take_backups(
    setup: &Setup,
    home: &Path,
    backups: u64,
    runtime: &Runtime,
    dice: &mut Dice,
) -> Vec<Taken> {
    let service = setup.start();
    let address = service.address();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let clients = load::begin(setup, &address, 0, &acknowledged, dice);
    let clients = runtime.block_on(clients).unwrap();
    let mut taken = Vec::new();
    for turn in 0..backups {
        let begun = Instant::now();
        while acknowledged.load(Ordering::Relaxed) < (turn + 1) * DRAWS {
            assert!(begun.elapsed() < PATIENCE, "the service is too slow\n{}", service.said());
            std::thread::sleep(Duration::from_micros(200));
        }
        let before = setup.recorder.read().unwrap().len();
        let name = format!("backup-{turn}.tar");
        let has_history = turn % 2 == 1;
        let options = if has_history { "--history" } else { "" };
        let told = backup(options, &home.join(&name), &address);
        // What was answered while it was made may be in it or not.
        let mut history = setup.recorder.read().unwrap();
        for event in &mut history[before..] {
            if let What::Ok { op, .. } | What::Fail { op, .. } = &event.what {
                event.what = What::Info { op: op.clone(), why: WHILE_BACKED_UP.to_owned() };
            }
        }
        taken.push(Taken { name, history, has_history, told });
    }
    assert!(service.stop().success(), "a clean stop");
    for client in clients {
        runtime.block_on(client).unwrap();
    }
    taken
}

/// Restores a backup, and looks for all that must be in it. Gives the number of its records.
fn judge(
    taken: &Taken,
    home: &Path,
    whole: &BTreeMap<u64, String>,
    looked: &mut Looked,
    failures: &mut Vec<String>,
) -> u64 {
    let Taken { name, history, told, .. } = taken;
    let (file, directory) = (home.join(name), home.join(format!("{name}.restored")));
    let restored = restore("", &file, &directory);
    let (first, last) = (number(told, "snapshot_lsn"), number(told, "last_lsn"));
    assert_eq!(number(&restored, "last_lsn"), last);
    assert_eq!(restored["state_sha256"], told["state_sha256"]);
    assert_eq!(restored["left_out_records"], 0);
    assert_ne!(restored["new_uuid"], restored["uuid"]);
    let verified = run("verify -o json --dir", &[&directory]).expect(0).json();
    assert_eq!(verified["state_sha256"], told["state_sha256"], "{name}");

    // Each record is there, byte by byte, and nothing else.
    let found = run("wal cat --dir", &[&directory]).expect(0).stdout;
    let expected = between(whole, first, last);
    assert_eq!(expected.lines().count() as u64, last - first, "the archive kept the whole log");
    if found != expected.as_bytes() {
        failures.push(format!("{name}: its records are not those of the log"));
    }

    // Whatever was answered before it was asked for is in it.
    let (mut request_id, mut lsn) = (0, 0);
    for event in history {
        let What::Ok { answer, .. } = &event.what else { continue };
        match answer {
            Answer::Draw(draw) => {
                let draws = u64::try_from(draw.outcomes.len()).unwrap();
                request_id = request_id.max(draw.first_request_id + draws - 1);
            }
            Answer::Changed { lsn: changed, .. } | Answer::Snapshot { lsn: changed } => {
                lsn = lsn.max(*changed);
            }
            Answer::Pool(pool) => lsn = lsn.max(pool.lsn),
        }
    }
    assert!(request_id > 0, "something was acknowledged before {name}");
    if number(told, "last_request_id") < request_id || last < lsn {
        failures.push(format!("{name}: it lacks request {request_id} or lsn {lsn}: {told}"));
    }
    let report = check(history, &log::load(&directory).unwrap(), &LIMITS);
    looked.add(&report);
    if !report.is_good() {
        failures.push(format!("{name}: {report}"));
    }
    last - first
}

/// Restores a backup with history to records in the middle of it. Gives their number.
fn judge_positions(
    taken: &Taken,
    home: &Path,
    whole: &BTreeMap<u64, String>,
    dice: &mut Dice,
    failures: &mut Vec<String>,
) -> u64 {
    const POSITIONS: u64 = 6;
    let (first, last) = (number(&taken.told, "snapshot_lsn"), number(&taken.told, "last_lsn"));
    if !taken.has_history {
        return 0;
    }
    for _ in 0..POSITIONS {
        let lsn = first + dice.below(last - first + 1);
        let directory = home.join("position");
        let restored = restore(&format!("--to-lsn {lsn}"), &home.join(&taken.name), &directory);
        let found = run("wal cat --dir", &[&directory]).expect(0).stdout;
        let expected = between(whole, first, lsn);
        let verified = run("verify -o json --dir", &[&directory]).expect(0).json();
        let is_same = verified["state_sha256"] == restored["state_sha256"];
        if found != expected.as_bytes() || number(&verified, "last_lsn") != lsn || !is_same {
            failures.push(format!("{} does not restore to lsn {lsn}: {verified}", taken.name));
        }
        fs::remove_dir_all(directory).unwrap();
    }
    POSITIONS
}

/// Lets a service go on where a backup ends, and judges what it does with the generator of its own.
fn draw_from(
    home: &Path,
    taken: &Taken,
    setup: &Setup,
    runtime: &Runtime,
    looked: &mut Looked,
    failures: &mut Vec<String>,
) {
    // The restored service knows nothing of what came after the backup: its past ends there, as by a
    // kill.
    let recorder = Arc::new(Recorder::create(&home.join("restored.jsonl")).unwrap());
    let mut waiting = BTreeSet::new();
    for event in &taken.history {
        match &event.what {
            What::Invoke { op, .. } => drop(waiting.insert(op)),
            What::Ok { op, .. } | What::Fail { op, .. } | What::Info { op, .. } => {
                waiting.remove(op);
            }
            What::Spawn
            | What::Ready { .. }
            | What::Kill
            | What::Terminate
            | What::Exit { .. }
            | What::Fault { .. } => {}
        }
        recorder.record(event.what.clone());
    }
    recorder.record(What::Kill);
    for op in waiting {
        recorder.record(What::Info { op: op.clone(), why: WHILE_BACKED_UP.to_owned() });
    }
    let data = home.join(format!("{}.restored", taken.name));
    let setup = Setup { data, recorder, ..setup.clone() };
    let service = setup.start();
    let first_request_id = number(&taken.told, "last_request_id") + 1;
    runtime.block_on(async {
        let mut client = Client::connect(&service.address(), &setup.recorder, 0).await.unwrap();
        let told = client.draw(&DrawOp::keyed("first", "main", 7)).await;
        let Told::Ok(Answer::Draw(draw)) = told else { panic!("{told:?}") };
        assert_eq!(draw.first_request_id, first_request_id, "request ids go on");
        for serial in 0..500 {
            let told = client.draw(&DrawOp::keyed(format!("draw-{serial}"), "main", 5)).await;
            assert!(matches!(told, Told::Ok(_)), "{told:?}");
        }
    });
    assert!(service.stop().success());
    let history = setup.recorder.read().unwrap();
    let report = check(&history, &log::load(&setup.data).unwrap(), &LIMITS);
    looked.add(&report);
    if !report.is_good() {
        failures.push(format!("{}: after the restore: {report}", taken.name));
    }
}

fn inspect_cat(directory: &Path) -> String {
    let mut text = Vec::new();
    inspect::cat(directory, None, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The records by their position, each with its line feed.
fn lines(text: &str) -> BTreeMap<u64, String> {
    let lsn = |line: &str| {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        number(&record, "lsn")
    };
    text.split_inclusive('\n').map(|line| (lsn(line), line.to_owned())).collect()
}

/// The records behind a position, up to another.
fn between(lines: &BTreeMap<u64, String>, first: u64, last: u64) -> String {
    let range = (Bound::Excluded(first), Bound::Included(last));
    lines.range(range).map(|(_, line)| &**line).collect()
}

/// A service with a few segments of draws, and nobody who draws any more.
pub(crate) fn filled(home: &Path, config: &str, calls: u64) -> (Setup, Service) {
    let setup = Setup::new(home, config);
    let service = setup.start();
    fill(&setup, &service, calls);
    (setup, service)
}

fn fill(setup: &Setup, service: &Service, calls: u64) {
    runtime().block_on(async {
        let mut client = Client::connect(&service.address(), &setup.recorder, 0).await.unwrap();
        for serial in 0..calls {
            let op = DrawOp::unkeyed(format!("fill-{serial}-{}", service.id()), "main", 50);
            assert!(matches!(client.draw(&op).await, Told::Ok(_)));
        }
    });
}

/// Whether a file is a whole backup.
#[track_caller]
fn is_good(file: &Path) {
    run("restore --dry-run", &[&file]).expect(0);
}

#[test]
fn whichever_call_of_a_backup_fails_there_is_a_whole_file_or_none() {
    let Some(shim) = Shim::new() else { return };
    let (home, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (setup, service) = filled(home.path(), &open_config("binary", "file"), 300);
    let address = service.address();
    let online = |file: &Path| command(&format!("backup --addr {address}"), &[&file]);
    let (mut runs, mut met) = (0, try_each_call(&shim, place.path(), &online, &mut 0));
    runs += met;
    // Of a directory, the calls that read it can fail as well.
    assert!(service.stop().success());
    let copy = place.path().join("data");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&setup.data).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let offline = |file: &Path| command("backup --dir", &[&copy, &file]);
    met = try_each_call(&shim, place.path(), &offline, &mut 0);
    runs += met;
    run("verify --dir", &[&copy]).expect(0);
    rewardpool_tally::record("T17 each call of a backup", runs, runs, 0);
    assert!(runs > 200, "too few calls: {runs}");
}

/// Lets each call below a directory meet each fault, until there are no more. Gives how many did.
fn try_each_call(
    shim: &Shim,
    place: &Path,
    backup: &dyn Fn(&Path) -> std::process::Command,
    number_of: &mut u64,
) -> u64 {
    let faults =
        [Fault::Kill, Fault::KillAfter, Fault::InputOutput, Fault::NoSpace, Fault::Interrupted];
    let log_home = tempfile::tempdir().unwrap();
    let mut met = 0;
    for fault in faults {
        for at in 1.. {
            *number_of += 1;
            let file = place.join(format!("backup-{number_of}.tar"));
            let log = log_home.path().join(number_of.to_string());
            let mut command = backup(&file);
            shim.preload_command(&mut command, place, &log, Some(Plan { fault, at }));
            let run = Run::of(command.output().unwrap());
            let calls = calls(&log, place);
            let Some(call) = calls.iter().find(|call| call.is_met) else {
                assert_eq!(run.code, Some(0), "{}", run.stderr);
                fs::remove_file(&file).unwrap();
                break;
            };
            met += 1;
            let what = format!("{fault:?} at {at}, {call:?}: {:?} {}", run.code, run.stderr);
            match run.code {
                None => assert!(matches!(fault, Fault::Kill | Fault::KillAfter), "{what}"),
                Some(code) => {
                    // One that said it was done is done; else it told why, and nothing is left.
                    assert!([0, INPUT_OUTPUT].contains(&code), "{what}");
                    assert!(code == 0 || run.stderr.contains("hint: "), "{what}");
                    let is_after_rename = call.function == "fsync" && file.exists();
                    assert!(file.exists() == (code == 0) || is_after_rename, "{what}");
                    let is_left = partial(&file).exists();
                    assert!(!is_left || call.function == "unlink", "left behind: {what}");
                }
            }
            if file.exists() {
                is_good(&file);
                fs::remove_file(&file).unwrap();
            }
            // The next attempt takes over whatever is left.
            let again = Run::of(backup(&file).output().unwrap());
            assert_eq!(again.code, Some(0), "{what}: {}", again.stderr);
            assert!(!partial(&file).exists(), "{what}");
            is_good(&file);
            fs::remove_file(&file).unwrap();
        }
    }
    met
}

fn partial(file: &Path) -> std::path::PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// Many draws in the longest format, so that a backup takes a while.
fn large(home: &Path) -> (Setup, Service) {
    let config = open_config("json", "file").replace("_kb: 64,", "_kb: 65536,");
    let (setup, service) = filled(home, &config, 0);
    fill_large(&setup, &service);
    (setup, service)
}

fn fill_large(setup: &Setup, service: &Service) {
    runtime().block_on(async {
        let mut client = Client::connect(&service.address(), &setup.recorder, 0).await.unwrap();
        for serial in 0..250 {
            let op = DrawOp::unkeyed(format!("large-{serial}-{}", service.id()), "main", 10_000);
            assert!(matches!(client.draw(&op).await, Told::Ok(_)));
        }
    });
}

/// The program waits for its reader, so the service certainly ends in the middle.
#[test]
fn a_service_that_ends_in_the_middle_of_a_backup_is_told_and_nothing_is_taken_for_one() {
    for is_killed in [true, false] {
        let home = tempfile::tempdir().unwrap();
        let (setup, mut service) = large(home.path());
        let file = home.path().join("good.tar");
        let whole = number(&backup("", &file, &service.address()), "bytes");
        assert!(whole > 15_000_000, "{whole}");
        let mut command = command(&format!("backup - --addr {}", service.address()), &[]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = Killed(child.unwrap());
        let mut stdout = child.0.stdout.take().unwrap();
        let mut begun = vec![0; 100_000];
        stdout.read_exact(&mut begun).unwrap();
        if is_killed {
            service.kill_or_find_ended();
        } else {
            service.terminate();
            // From here on no part is handed over.
            let begun = Instant::now();
            while !service.said().contains("backup interrupted") {
                assert!(begun.elapsed() < PATIENCE, "the backup goes on\n{}", service.said());
                std::thread::yield_now();
            }
        }
        let mut rest = Vec::new();
        stdout.read_to_end(&mut rest).unwrap();
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.0.wait().unwrap();
        assert_eq!(status.code(), Some(UNAVAILABLE), "{said}");
        let ended = service.wait(PATIENCE).expect("the service ends");
        assert_eq!(ended.success(), !is_killed, "{}", service.said());
        assert!(said.contains("hint: no backup was written"), "{said}");
        assert!(is_killed || said.contains("STOPPING"), "{said}");
        let length = u64::try_from(begun.len() + rest.len()).unwrap();
        assert!(length < whole, "the whole backup was in the buffers: {length} of {whole}");
        let cut = home.path().join("cut.tar");
        fs::write(&cut, [begun, rest].concat()).unwrap();
        let told = run("restore --dry-run", &[&cut]).expect(operator::CORRUPT).stderr;
        assert!(told.contains("it ends here, before it is whole"), "{told}");
        is_good(&file);
        assert!(setup.start().stop().success());
    }
}

/// The same with a file: none may appear, whenever the service is killed.
#[test]
fn a_killed_service_leaves_no_file_or_a_whole_one() {
    const ROUNDS: u64 = 5;
    let home = tempfile::tempdir().unwrap();
    let (setup, mut service) = large(home.path());
    let (file, mut interrupted) = (home.path().join("backup.tar"), 0);
    for round in 0..ROUNDS {
        let mut command = command(&format!("backup --addr {}", service.address()), &[&file]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = Killed(child.unwrap());
        let begun = Instant::now();
        while !fs::metadata(partial(&file)).is_ok_and(|file| file.len() > round << 21) {
            assert!(begun.elapsed() < PATIENCE, "the backup does not begin");
            std::thread::yield_now();
        }
        service.kill();
        let status = child.0.wait().unwrap();
        assert!(!partial(&file).exists());
        if status.success() {
            is_good(&file);
            fs::remove_file(&file).unwrap();
        } else {
            interrupted += 1;
            assert_eq!(status.code(), Some(UNAVAILABLE));
            assert!(!file.exists());
        }
        // Its snapshot covers all that there was.
        service = setup.start();
        fill_large(&setup, &service);
    }
    rewardpool_tally::record("T17 services killed in a backup", ROUNDS, interrupted, 0);
    assert!(interrupted > 0, "each backup was faster than a kill");
}

/// A process that is killed when the test ends, also when it panics.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_full_disk_leaves_no_half_of_a_backup() {
    let home = tempfile::tempdir().unwrap();
    let (_setup, service) = filled(home.path(), &open_config("binary", "file"), 300);
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        let Some(volume) = Volume::new(kind) else { return };
        let file = volume.path().join("backup.tar");
        volume.fill();
        let arguments = format!("backup --addr {}", service.address());
        let told = run(&arguments, &[&file]).expect(INPUT_OUTPUT).stderr;
        assert!(told.contains("No space left on device"), "{told}");
        assert!(told.contains("hint: make room") || told.contains("with room"), "{told}");
        assert!(!file.exists() && !partial(&file).exists());
        volume.free();
        run(&arguments, &[&file]).expect(0);
        is_good(&file);
    }
    assert!(service.stop().success());
}

/// Draws are answered while a client of a backup takes nothing, and other backups are not kept from
/// running for ever: its place is free when it goes away.
#[test]
fn a_client_that_takes_nothing_disturbs_nobody() {
    let home = tempfile::tempdir().unwrap();
    let (setup, service) = large(home.path());
    let address = service.address();
    let stuck = || {
        let mut command = command(&format!("backup - --addr {address}"), &[]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = Killed(child.unwrap());
        let mut first = [0; 512];
        child.0.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        child
    };
    let both = [stuck(), stuck()];
    fill(&setup, &service, 200);
    let arguments = format!("backup --addr {address}");
    let file = home.path().join("third.tar");
    let told = run(&arguments, &[&file]).expect(1).stderr;
    assert!(told.contains("BACKUP_RUNNING") && told.contains("hint: try again"), "{told}");
    drop(both);
    let begun = Instant::now();
    while run(&arguments, &[&file]).code != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "the places of clients that are gone are not free");
    }
    is_good(&file);
    assert!(service.stop().success());
}
