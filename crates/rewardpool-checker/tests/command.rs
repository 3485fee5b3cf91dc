//! Goal: the command gives the verdict by its exit code and says why.
//! Method: run it on a directory that an engine wrote, with a history that fits and one that does not.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::process::{Command, Output};

use rewardpool_checker::history::{Answer, Call, DrawAnswer, Recorder, What};
use rewardpool_core::format::Format;
use rewardpool_engine::{Engine, EngineConfig, Scheduling, StorageKind};

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rewardpool-check")).args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_exit_code_is_the_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let (data, history) = (directory.path().join("data"), directory.path().join("history.jsonl"));
    let config = EngineConfig {
        directory: data.clone(),
        storage: StorageKind::File,
        format: Format::Binary,
        segment_bytes: 1 << 16,
        mailbox_capacity: 8,
        batch_draws_max: 8,
        scheduling: Scheduling::Normal,
    };
    Engine::open(&config).unwrap().stop().unwrap();
    let recorder = Recorder::create(&history).unwrap();
    recorder.record(What::Spawn);
    recorder.record(What::Ready { recovered_lsn: Some(0) });
    let good = check(&[text(&history), text(&data)]);
    let said = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{said}");
    assert!(said.contains("I17 serves soon after a fault       holds"), "{said}");

    let call = Call::Draw { pool: "p".into(), count: 1, all_or_nothing: false, key: None };
    recorder.invoke(0, "a", None, call);
    let (item_ids, outcomes) = (vec!["gold".into()], vec![1]);
    let answer = DrawAnswer { first_request_id: 1, item_ids, outcomes, replayed: false };
    recorder.record(What::Ok { op: "a".into(), answer: Answer::Draw(answer) });
    let bad = check(&[text(&history), text(&data)]);
    let said = String::from_utf8(bad.stdout).unwrap();
    assert_eq!(bad.status.code(), Some(1), "{said}");
    assert!(said.contains("I1: an acknowledged draw is not in the log; operation a"), "{said}");
    let json = check(&[text(&history), text(&data), "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["verdicts"][1]["status"], "violated");
    assert_eq!(json["violations"].as_array().unwrap().len(), 2, "{json}");

    assert_eq!(check(&[text(&history)]).status.code(), Some(64));
    assert_eq!(check(&["--help"]).status.code(), Some(0));
    assert_eq!(check(&[text(&data.join("POOL")), text(&data)]).status.code(), Some(65));
    assert_eq!(check(&[text(&history), text(directory.path())]).status.code(), Some(65));
    let snapshot = data.join("snapshot.0");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes[80] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let damaged = check(&[text(&history), text(&data)]);
    assert_eq!(damaged.status.code(), Some(65));
    assert!(String::from_utf8(damaged.stderr).unwrap().contains("snapshot.0"));
}
