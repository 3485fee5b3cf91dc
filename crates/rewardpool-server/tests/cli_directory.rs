//! Goal: what the program tells about a working directory is what the engine wrote there, and
//! looking changes nothing. Method: the engine fills a directory, the real program reads it.
#![expect(clippy::unwrap_used, reason = "a test may end by it, in its own functions too")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use rewardpool_core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_core::format::Format;
use rewardpool_engine::{Engine, EngineConfig, NewPool, Scheduling, StorageKind};
use rewardpool_server::config::Config;
use serde_json::Value;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const COMMANDS: u64 = 300;
const DRAWS: u64 = COMMANDS * 10;

/// A directory with the sample pool, from which was drawn.
struct Directory {
    _parent: TempDir,
    path: PathBuf,
}

impl Directory {
    fn filled() -> (Self, Engine) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let engine = Engine::open(&EngineConfig {
            directory: path.clone(),
            storage: StorageKind::File,
            format: Format::Binary,
            segment_bytes: 1 << 20,
            mailbox_capacity: 16,
            batch_draws_max: 1000,
            scheduling: Scheduling::Normal,
        })
        .unwrap();
        let handle = engine.handle();
        let spec = Config::built_in().pools.remove(0).spec;
        let pool = handle.create_pool(NewPool { spec, secret: None }, PATIENCE).unwrap();
        let count = DrawCount::new(10).unwrap();
        for _ in 0..COMMANDS {
            let draw = DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None };
            handle.draw(draw, PATIENCE).unwrap();
        }
        (Self { _parent: parent, path }, engine)
    }

    fn stopped() -> Self {
        let (directory, engine) = Self::filled();
        engine.stop().unwrap();
        directory
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        command.args(arguments.split_whitespace()).arg("--dir").arg(&self.path);
        command
    }

    #[track_caller]
    fn run(&self, arguments: &str, code: i32) -> String {
        let output = self.command(arguments).output().unwrap();
        let Output { status, stdout, stderr } = output;
        let told = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{arguments}: {told}");
        assert_eq!(told.is_empty(), code == 0, "{told}");
        if code == 0 { String::from_utf8(stdout).unwrap() } else { told }
    }

    #[track_caller]
    fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.run(&format!("{arguments} -o json"), 0)).unwrap()
    }

    fn segment(&self) -> PathBuf {
        self.path.join("wal.000")
    }
}

/// Names and contents of all files.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

#[test]
fn a_stopped_directory_is_shown_and_not_changed() {
    let directory = Directory::stopped();
    let before = contents(&directory.path);
    let state = directory.json("state");
    assert_eq!((&state["pool"], number(&state["draws"])), (&"default".into(), DRAWS));
    let items = state["items"].as_array().unwrap();
    assert_eq!(items.len(), 6);
    let awarded: u64 = items.iter().map(|item| number(&item["awarded"])).sum();
    assert_eq!(awarded, DRAWS);
    assert!(directory.run("state --pool default", 0).contains("unlimited"));
    assert!(directory.run("state --pool summer", 1).contains("with --pool: default"));

    let report = directory.json("verify");
    assert_eq!(number(&report["draws"]), DRAWS);
    assert_eq!(report["last_lsn"], state["lsn"]);
    assert_eq!(directory.json("wal verify"), report);
    assert!(directory.run("verify", 0).contains(" is good\n"));

    let segments = directory.json("wal ls")["segments"].take();
    let records: u64 = segments.as_array().unwrap().iter().map(|s| number(&s["records"])).sum();
    assert_eq!(number(&report["records"]), records);
    assert!(directory.run("wal ls", 0).contains("closed"));
    let lines = directory.run("wal cat", 0);
    assert_eq!(u64::try_from(lines.lines().count()).unwrap(), records);
    assert!(lines.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    let first = segments[0]["name"].as_str().unwrap();
    let part = directory.run(&format!("wal cat {first}"), 0);
    assert_eq!(u64::try_from(part.lines().count()).unwrap(), number(&segments[0]["records"]));
    assert!(directory.run("wal cat 99", 74).contains("no segment 99\nhint: "));

    let snapshots = directory.json("snapshot ls")["snapshots"].take();
    let newest = snapshots.as_array().unwrap().last().unwrap();
    assert_eq!(&directory.json("snapshot show"), newest);
    let name = newest["name"].as_str().unwrap();
    assert_eq!(&directory.json(&format!("snapshot show {name}")), newest);
    assert!(
        directory.run("snapshot show nothing", 74).contains("there is no snapshot \"nothing\"")
    );
    assert!(contents(&directory.path) == before, "looking changes nothing");
}

#[test]
fn a_directory_in_use_is_73_for_what_needs_it_stopped() {
    let (directory, engine) = Directory::filled();
    for arguments in ["state", "verify", "wal verify"] {
        let told = directory.run(arguments, 73);
        assert!(told.contains("hint: a service runs on this directory"), "{told}");
    }
    engine.stop().unwrap();
    directory.run("state", 0);
}

#[test]
fn a_damaged_log_is_65_with_its_place() {
    let directory = Directory::stopped();
    let used = number(&directory.json("wal ls")["segments"][0]["used_bytes"]);
    let mut bytes = fs::read(directory.segment()).unwrap();
    // Batches begin on sectors of 512 bytes, with a header of 64 whose mark is at 4; the end of a
    // sector is filling, and an idle service writes short batches in between.
    let middle = usize::try_from(used / 2).unwrap() / 512 * 512;
    let mark = bytes[512 + 4..512 + 8].to_vec();
    let begins = |sector: &usize| bytes[sector + 4..sector + 8] == mark;
    let sector = (512..=middle).step_by(512).filter(begins).last().unwrap();
    bytes[sector + 64] ^= 1;
    fs::write(directory.segment(), bytes).unwrap();
    for arguments in ["verify", "wal cat", "wal ls"] {
        let told = directory.run(arguments, 65);
        assert!(told.contains("wal.000"), "{told}");
        assert!(told.contains("hint: copy the directory"), "{told}");
    }
    let told = directory.run("verify", 65);
    assert!(told.contains(&format!("wal.000 is corrupt at offset {sector}")), "{told}");
    assert!(told.contains("a start would refuse"), "{told}");
}

/// A start does not need every file. `verify` still tells of each damage, and of the start.
#[test]
fn all_damages_are_told_and_what_a_start_would_do() {
    let (directory, engine) = Directory::filled();
    engine.handle().take_snapshot(PATIENCE).unwrap();
    engine.stop().unwrap();
    let good = directory.json("verify");
    assert_eq!((&good["good"], &good["damages"]), (&true.into(), &Value::Array(Vec::new())));
    let older = directory.json("snapshot ls")["snapshots"][0]["name"].take();
    let path = directory.path.join(older.as_str().unwrap());
    let mut bytes = fs::read(&path).unwrap();
    bytes[80] ^= 1;
    fs::write(path, &bytes).unwrap();

    let told = directory.run("verify", 65);
    assert!(told.contains("a start would succeed, from snapshot."), "{told}");
    let output = directory.command("verify -o json").output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["good"], &report["start"]), (&false.into(), &good["start"]));
    let damages = report["damages"].as_array().unwrap();
    assert_eq!((damages.len(), &damages[0]["file"]), (1, &older));
    assert_eq!(number(&damages[0]["offset"]), u64::try_from(bytes.len()).unwrap() - 32);

    let parts = ["wal.001", "secret.0"].map(|name| directory.path.join(name));
    fs::remove_file(&parts[0]).unwrap();
    fs::write(&parts[1], "none").unwrap();
    let output = directory.command("verify").output().unwrap();
    assert_eq!(output.status.code(), Some(65));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("is damaged; a start would refuse\n"), "{told}");
    for name in ["wal.001", "secret.0", older.as_str().unwrap()] {
        assert!(told.lines().any(|line| line.starts_with(name)), "{told}");
    }
}

#[test]
fn a_directory_without_a_log_is_74() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("notes.txt"), "mine").unwrap();
    let directory = Directory { path: parent.path().to_owned(), _parent: parent };
    for arguments in ["state", "verify", "wal ls", "wal cat", "snapshot ls"] {
        let told = directory.run(arguments, 74);
        assert!(told.contains("holds no log of a reward pool\nhint: "), "{told}");
    }
}

/// What a later program wrote is no damage, but it is refused like one, before anything is changed.
#[test]
fn a_directory_of_a_later_version_is_65_and_stays_as_it_is() {
    let directory = Directory::stopped();
    let mark = "rewardpool\nformat 2\nuuid 30313233343536373839616263646566\ncrc32c 2ad48b42\n";
    fs::write(directory.path.join("POOL"), mark).unwrap();
    let before = contents(&directory.path);
    for arguments in ["verify", "state", "wal ls", "wal cat", "snapshot ls"] {
        let told = directory.run(arguments, 65);
        let reason = "POOL has format version 2 at offset 11, this program reads version 1";
        assert!(told.contains(reason), "{told}");
    }
    let mut serve = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    serve.args(["serve", "--listen", "127.0.0.1:0", "--working-dir"]).arg(&directory.path);
    let Output { status, stderr, .. } = serve.output().unwrap();
    let told = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(65), "{told}");
    assert!(told.contains("POOL has format version 2"), "{told}");
    assert!(contents(&directory.path) == before, "a refusal changes nothing");
}

#[test]
fn a_reader_of_the_records_may_go_away() {
    let directory = Directory::stopped();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let output = directory.command("wal cat").stdout(writer).output().unwrap();
    assert_eq!(output.status.code(), Some(141), "as a program that SIGPIPE ends: {output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
