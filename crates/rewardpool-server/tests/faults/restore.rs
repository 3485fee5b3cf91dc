//! Restores. Goal: whatever happens to the program or the disk while a directory is restored, a start
//! finds all of the backup or nothing that it takes; and no damaged or malicious archive is restored.
//! Method: the real program meets a fault at each call that it makes, on a directory that is not there
//! and on one that is empty; archives are damaged in each of their regions.
use std::fs;
use std::path::{Path, PathBuf};

use rewardpool_engine::inspect;
use serde_json::Value;
use tempfile::TempDir;

use crate::backup::{filled, open_config};
use crate::operator::{CORRUPT, LOCKED, Run, USAGE, backup, command, number, restore, run};
use crate::service::INPUT_OUTPUT;
use crate::shim::{Fault, Plan, Shim, calls};
use crate::volume::{Kind, Volume};

/// A backup of a few segments, and what was told about it.
struct Backup {
    _home: TempDir,
    data: PathBuf,
    file: PathBuf,
    told: Value,
}

impl Backup {
    fn new(options: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (setup, service) = filled(home.path(), &open_config("binary", "file"), 300);
        let snapshot = run(&format!("snapshot take --addr {}", service.address()), &[]);
        snapshot.expect(0);
        let file = home.path().join("backup.tar");
        let told = backup(options, &file, &service.address());
        assert!(service.stop().success());
        Self { data: setup.data, _home: home, file, told }
    }
}

/// What a start would find in a directory.
#[derive(PartialEq, Eq, Debug)]
enum Found {
    /// There is no log, or none that it takes.
    Nothing,
    /// A log with this state.
    State(String),
}

fn found(directory: &Path) -> Found {
    if !directory.exists() {
        return Found::Nothing;
    }
    let examined = inspect::examine(directory).unwrap();
    match examined.start {
        None => Found::Nothing,
        Some(start) => {
            assert!(examined.damages.is_empty(), "{:?}", examined.damages);
            let digits: Vec<_> =
                start.state_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            Found::State(digits.concat())
        }
    }
}

#[test]
fn whichever_call_of_a_restore_fails_a_start_finds_all_or_nothing() {
    let Some(shim) = Shim::new() else { return };
    let backup = Backup::new("--history");
    let whole = Found::State(backup.told["state_sha256"].as_str().unwrap().to_owned());
    let faults = [Fault::Kill, Fault::KillAfter, Fault::InputOutput, Fault::NoSpace];
    let mut met = 0;
    for exists in [false, true] {
        for fault in faults {
            for at in 1.. {
                let place = in_memory();
                let directory = place.path().join("data");
                if exists {
                    fs::create_dir(&directory).unwrap();
                }
                let log = tempfile::NamedTempFile::new().unwrap();
                let mut command = command("restore --dir", &[&directory, &backup.file]);
                let plan = Some(Plan { fault, at });
                shim.preload_command(&mut command, place.path(), log.path(), plan);
                let run = Run::of(command.output().unwrap());
                let calls = calls(log.path(), place.path());
                let Some(call) = calls.iter().find(|call| call.is_met) else {
                    assert_eq!(run.code, Some(0), "{}", run.stderr);
                    break;
                };
                met += 1;
                let what = format!("{fault:?} at {at}, {call:?}: {:?} {}", run.code, run.stderr);
                let found = found(&directory);
                assert!(found == whole || found == Found::Nothing, "{what}");
                if let Some(code) = run.code {
                    assert!([0, INPUT_OUTPUT].contains(&code), "{what}");
                    assert!(code != 0 || found == whole, "{what}");
                }
                if found == Found::Nothing {
                    repeat(&backup.file, &directory, &what);
                }
            }
        }
    }
    rewardpool_tally::record("T17 each call of a restore", met, met, 0);
    assert!(met > 400, "too few calls: {met}");
}

/// What a restore left behind that was killed does not keep the next one from its work. Only when it
/// was killed while it moved files has somebody to remove those.
fn repeat(file: &Path, directory: &Path, what: &str) {
    let again = run("restore --dir", &[&directory, &file]);
    if again.code == Some(0) {
        return;
    }
    assert!(again.stderr.contains("is not empty"), "{what}: {}", again.stderr);
    fs::remove_dir_all(directory).unwrap();
    run("restore --dir", &[&directory, &file]).expect(0);
}

fn in_memory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

#[test]
fn a_full_disk_leaves_nothing_of_a_restore() {
    let backup = Backup::new("--history");
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        let Some(volume) = Volume::new(kind) else { return };
        for exists in [false, true] {
            let directory = volume.path().join(format!("data-{exists}"));
            if exists {
                fs::create_dir(&directory).unwrap();
            }
            volume.fill();
            let told = run("restore --dir", &[&directory, &backup.file]).expect(INPUT_OUTPUT);
            assert!(told.stderr.contains("hint: make room"), "{}", told.stderr);
            assert_eq!(directory.exists(), exists);
            assert!(!exists || fs::read_dir(&directory).unwrap().count() == 0);
            volume.free();
            let restored = restore("", &backup.file, &directory);
            assert_eq!(restored["state_sha256"], backup.told["state_sha256"]);
        }
    }
}

/// A mounted volume is a directory that cannot be renamed, with an entry of its own.
#[test]
fn a_mount_point_is_restored_to() {
    let backup = Backup::new("");
    let Some(volume) = Volume::new(Kind::Ext4) else { return };
    assert!(volume.path().join("lost+found").is_dir());
    restore("", &backup.file, &volume.path());
    let verified = run("verify -o json --dir", &[&volume.path()]).expect(0).json();
    assert_eq!(verified["state_sha256"], backup.told["state_sha256"]);
}

#[test]
fn a_damaged_archive_is_refused_with_its_place_and_nothing_is_written() {
    let backup = Backup::new("--history");
    let good = fs::read(&backup.file).unwrap();
    let place = tempfile::tempdir().unwrap();
    let (file, directory) = (place.path().join("damaged.tar"), place.path().join("data"));
    let refuse = |bytes: &[u8], at: usize| {
        fs::write(&file, bytes).unwrap();
        let run = run("restore --dir", &[&directory, &file]).expect(CORRUPT);
        let told = run.stderr;
        assert!(told.contains("is corrupt at offset ") && told.contains("hint: "), "{told}");
        let (_, rest) = told.split_once("is corrupt at offset ").unwrap();
        let offset: usize = rest.split_once(':').unwrap().0.parse().unwrap();
        assert!(offset <= at, "byte {at}: {told}");
        assert!(!directory.exists());
        told
    };
    // The header, the content and the filling of each member, and the end.
    let mut regions = vec![good.len() - 1, good.len() - 700];
    let mut at = 0;
    while good[at] != 0 {
        let size = std::str::from_utf8(&good[at + 124..at + 135]).unwrap();
        let size = usize::from_str_radix(size, 8).unwrap();
        regions.extend([at, at + 100, at + 150, at + 300, at + 512, at + 512 + size - 1]);
        regions.extend((!size.is_multiple_of(512)).then_some(at + 512 + size));
        at += 512 + size.next_multiple_of(512);
    }
    assert!(regions.len() > 40, "{regions:?}");
    for &region in &regions {
        let mut bad = good.clone();
        bad[region] ^= 0x10;
        refuse(&bad, region);
    }
    for length in [0, 1, 511, 512, 10_000, good.len() / 2, good.len() - 1] {
        let told = refuse(&good[..length], length);
        assert!(told.contains("it ends here, before it is whole"), "{told}");
    }
    let swapped = [&good[1024..2048], &good[..1024], &good[2048..]].concat();
    refuse(&swapped, good.len());
    // One that is whole, and of something else.
    let output = std::process::Command::new("tar")
        .args(["cf", file.to_str().unwrap(), "-C", "/", "etc/hostname"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let told = run("restore --dir", &[&directory, &file]).expect(CORRUPT).stderr;
    assert!(told.contains("at offset 0: a backup has no file of the name"), "{told}");
    let tried = u64::try_from(regions.len()).unwrap();
    rewardpool_tally::record("T17 damaged backups", tried, tried, 0);
}

#[test]
fn a_backup_restores_to_a_record_or_a_time_in_its_reach() {
    let backup = Backup::new("--history");
    let place = tempfile::tempdir().unwrap();
    let (first, last) = (number(&backup.told, "snapshot_lsn"), number(&backup.told, "last_lsn"));
    for lsn in [first, first + 1, u64::midpoint(first, last), last - 1, last] {
        let directory = place.path().join(lsn.to_string());
        let told = restore(&format!("--to-lsn {lsn}"), &backup.file, &directory);
        assert_eq!(number(&told, "last_lsn"), lsn);
        assert_eq!(number(&told, "left_out_records"), last - lsn);
        let verified = run("verify -o json --dir", &[&directory]).expect(0).json();
        assert_eq!(verified["state_sha256"], told["state_sha256"]);
        assert_eq!(number(&verified, "last_lsn"), lsn);
        // A dry run tells the same.
        let dry = run(&format!("restore -o json --dry-run --to-lsn {lsn}"), &[&backup.file]);
        assert_eq!(dry.expect(0).json()["state_sha256"], told["state_sha256"]);
    }
    let refused = |options: &str| {
        let directory = place.path().join("refused");
        let run = run(&format!("restore {options} --dir"), &[&directory, &backup.file]);
        assert!(!directory.exists());
        run.expect(USAGE).stderr
    };
    assert!(refused(&format!("--to-lsn {}", last + 1)).contains(&format!("ends at lsn {last}")));
    let later = run("restore -o json --dry-run --to-time 2999-01-01T00:00:00Z", &[&backup.file]);
    assert_eq!(number(&later.expect(0).json(), "last_lsn"), last);
    assert!(refused("--to-time yesterday").contains("2026-11-24T18:30:00Z"));
    assert!(refused("--to-lsn 1 --to-time 2026-11-24T18:30:00Z").contains("cannot be used with"));
    let newest = Backup::new("");
    let directory = place.path().join("earlier");
    let told = run("restore --to-lsn 1 --dir", &[&directory, &newest.file]).expect(USAGE).stderr;
    assert!(told.contains("--history"), "{told}");
}

#[test]
fn a_directory_that_holds_something_or_is_in_use_is_left_alone() {
    let backup = Backup::new("");
    let told = run("restore --dir", &[&backup.data, &backup.file]).expect(INPUT_OUTPUT).stderr;
    assert!(told.contains("is not empty") && told.contains("move this one away"), "{told}");
    run("verify --dir", &[&backup.data]).expect(0);
    let place = tempfile::tempdir().unwrap();
    let lock = rewardpool_wal::DirectoryLock::exclusive(place.path()).unwrap();
    let told = run("restore --dir", &[&place.path(), &backup.file]).expect(LOCKED).stderr;
    assert!(told.contains("is in use"), "{told}");
    drop(lock);
    run("restore --dir", &[&place.path(), &backup.file]).expect(0);
    // Without a directory there is nothing to write to.
    let told = run("restore", &[&backup.file]).expect(USAGE).stderr;
    assert!(told.contains("--dir"), "{told}");
}

/// A service gives its secrets only when it may; without them a backup needs them from elsewhere.
#[test]
fn secrets_are_given_only_when_the_configuration_says_so() {
    let home = tempfile::tempdir().unwrap();
    let closed = crate::load::config("binary", "file");
    let (setup, service) = filled(home.path(), &closed, 50);
    let (address, file) = (service.address(), home.path().join("backup.tar"));
    let arguments = format!("backup --secrets require --addr {address}");
    let told = run(&arguments, &[&file]).expect(1).stderr;
    assert!(told.contains("SECRETS_NOT_SERVED") && told.contains("backup_secrets: true"), "{told}");
    assert!(!file.exists());
    let told = backup("", &file, &address);
    assert_eq!(told["has_secrets"], false);
    assert!(service.stop().success());
    assert!(!String::from_utf8_lossy(&fs::read(&file).unwrap()).contains("secret.0"));
    let secret = fs::read_to_string(setup.data.join("secret.0")).unwrap();
    let is_in = |bytes: &[u8]| bytes.windows(64).any(|part| part == &secret.as_bytes()[..64]);
    assert!(!is_in(&fs::read(&file).unwrap()));

    run("restore --dry-run", &[&file]).expect(0);
    let directory = home.path().join("restored");
    let told = run("restore --dir", &[&directory, &file]).expect(USAGE).stderr;
    assert!(told.contains("secret.0 is missing") && told.contains("--secrets"), "{told}");
    assert!(!directory.exists());
    // Those of another log.
    let others = home.path().join("others");
    fs::create_dir(&others).unwrap();
    fs::copy(setup.data.join("secret.0"), others.join("secret.1")).unwrap();
    fs::copy(setup.data.join("secret.1"), others.join("secret.0")).unwrap();
    let words = "restore --dir";
    let told = run(words, &[&directory, &"--secrets", &others, &file]).expect(USAGE).stderr;
    assert!(told.contains("not the secret that the log is committed to"), "{told}");
    run(words, &[&directory, &"--secrets", &setup.data, &file]).expect(0);
    assert!(fs::read_to_string(directory.join("secret.0")).unwrap().starts_with(&secret));

    // From a directory they are there, unless they are not wanted.
    let offline = home.path().join("offline.tar");
    let told = run("backup -o json --dir", &[&setup.data, &offline]).expect(0).json();
    assert_eq!(told["has_secrets"], true);
    assert!(is_in(&fs::read(&offline).unwrap()));
    let omitted = home.path().join("omitted.tar");
    let told = run("backup -o json --secrets omit --dir", &[&setup.data, &omitted]);
    assert_eq!(told.expect(0).json()["has_secrets"], false);
    assert!(!is_in(&fs::read(&omitted).unwrap()));
}
