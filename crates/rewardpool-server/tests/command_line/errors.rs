//! Errors: each has its exit code, names the cause and the next step, and is JSON where that is asked
//! for.
use std::fs;

use serde_json::{Value, json};

use crate::program::{Run, command};
use crate::service::{CONFIG, Service};

/// What stands on stderr as JSON, checked for its form.
#[track_caller]
fn error(run: &Run) -> Value {
    assert!(run.stderr.ends_with('\n') && run.stderr.trim_end().lines().count() == 1, "{run:?}");
    let mut told: Value = serde_json::from_str(&run.stderr).expect("stderr is one JSON value");
    let error = told["error"].take();
    assert_eq!(error["exit_code"], run.code);
    for text in ["reason", "message", "hint"] {
        let text = error[text].as_str().unwrap();
        assert!(!text.is_empty() && !text.contains('\n'), "{error}");
    }
    error
}

fn run(words: &str) -> Run {
    Run::new(command(words.split_whitespace()).output().unwrap())
}

#[test]
fn typos_get_a_suggestion() {
    for (words, told) in [
        ("verfy", "a similar subcommand exists: 'verify'"),
        ("pool crate", "a similar subcommand exists: 'create'"),
        ("draw --cout 5", "a similar argument exists: '--count'"),
        ("state --sort nam", "a similar value exists: 'name'"),
        ("draw --dir x", "unexpected argument '--dir'"),
        ("completions basch", "a similar value exists: 'bash'"),
    ] {
        let told_people = run(words).expect(64);
        assert!(told_people.stderr.contains(told), "{told_people:?}");
        let told_programs = run(&format!("-o json {words}")).expect(64);
        let error = error(&told_programs);
        assert_eq!(error["reason"], "USAGE");
        assert!(
            error["hint"].as_str().unwrap().contains(told)
                || error["message"].as_str().unwrap().contains(told),
            "{error}"
        );
        assert!(!error["message"].as_str().unwrap().starts_with("error"), "{error}");
    }
}

#[test]
fn each_fault_of_a_file_is_told_to_programs_as_well() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configs/invalid/numbers.yaml");
    let run = run(&format!("config check {file} -o json")).expect(78);
    let error = error(&run);
    assert_eq!((&error["reason"], &error["details"][0]["line"]), (&json!("CONFIG"), &json!(3)));
    assert_eq!(error["details"].as_array().unwrap().len(), 15);
    for fault in error["details"].as_array().unwrap() {
        assert_eq!(fault["file"], file);
        assert!(fault["line"].is_u64() && fault["column"].is_u64() && fault["message"].is_string());
    }
}

/// A configuration that is named wrongly is a fault of the configuration.
#[test]
fn an_unreadable_configuration_is_78() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().display();
    fs::write(home.path().join("latin.yaml"), b"pool: \xe9\n").unwrap();
    for (file, told) in [
        (format!("{path}/missing.yaml"), "No such file"),
        (format!("{path}"), "Is a directory"),
        (format!("{path}/latin.yaml"), "valid UTF-8"),
    ] {
        for words in [
            "config check",
            "config diff",
            "simulate --config",
            "serve --config",
            "pool create --file",
        ] {
            let run = run(&format!("{words} {file}")).expect(78);
            assert!(run.stderr.contains("the configuration cannot be read: "), "{run:?}");
            assert!(run.stderr.contains(told) && run.stderr.contains("\nhint: "), "{run:?}");
        }
    }
}

/// The message of the service names the field already.
#[test]
fn a_wrong_field_is_named_once() {
    let service = Service::start(CONFIG);
    for (words, told) in [
        (
            "draw --pool UPPER",
            "INVALID_ARGUMENT: pool: the character 'U' is not allowed in this name",
        ),
        (
            "pool add-item diamond2 --quantity 1 --weight 1 --actor \u{7}",
            "INVALID_ARGUMENT: actor: it has at most 256 bytes and no control characters",
        ),
    ] {
        let run = service.run(words).expect(1);
        let first = run.stderr.lines().next().unwrap();
        assert_eq!(first, format!("error: {told}"));
    }
    let run = service.run("draw --pool UPPER -o json").expect(1);
    let error = error(&run);
    assert_eq!(error["reason"], "INVALID_ARGUMENT");
    assert_eq!(error["message"], "pool: the character 'U' is not allowed in this name");
}

/// What the service refuses, as programs hear it: the reason is one of the protocol.
#[test]
fn refusals_have_the_reason_of_the_protocol() {
    let service = Service::start(CONFIG);
    service.run("draw --key once -n 3").good();
    service.run("pool retire-item gold").good();
    for (words, reason, hint) in [
        ("draw --pool summer", "UNKNOWN_POOL", "`rewardpool pool ls` lists the pools"),
        ("update nothing --weight 1", "UNKNOWN_ITEM", "`rewardpool state` lists the items"),
        ("draw --key other --lookup", "UNKNOWN_KEY", "nothing was drawn with it"),
        ("draw --key once -n 4", "KEY_REUSED", "repeat the first request exactly"),
        ("pool add-item diamond --quantity 1 --weight 1", "ITEM_EXISTS", "`rewardpool update`"),
        ("update gold --weight 1", "RETIRED_ITEM", "a retired item stays retired"),
        ("update diamond --quantity -101", "QUANTITY_RANGE", "`rewardpool state` shows"),
        ("update mud --quantity +1", "QUANTITY_UNLIMITED", "set a number without a sign"),
        ("update mud --weight 9223372036854775807", "TOTAL_WEIGHT", "use smaller ones"),
        ("update diamond --quantity 5 --expected-version 1", "VERSION_MISMATCH", "decide again"),
        ("pool create --file rewardpool.yaml --pool other", "CONFIG", "a pool that is in the file"),
    ] {
        let code = if reason == "CONFIG" { 78 } else { 1 };
        let run = service.run(&format!("{words} -o json")).expect(code);
        let error = error(&run);
        assert_eq!(error["reason"], reason, "{error}");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
        let run = service.run(words).expect(code);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains("\nhint: "), "{run:?}");
    }
    service.run("pool pause").good();
    let paused = service.run("draw -o json").expect(1);
    assert_eq!(error(&paused)["reason"], "POOL_PAUSED");
}

/// With `pipefail`, as scripts have it: the status is the one of a program that SIGPIPE ends.
#[test]
fn a_broken_pipe_ends_quietly_like_other_tools() {
    let service = Service::start(CONFIG);
    for _ in 0..5 {
        service.run("draw -n 10000").good();
    }
    let stopped = service.stop();
    // Far more than a pipe and `head` hold, so that nobody reads the rest.
    let records = stopped.run("wal cat").good().stdout;
    assert!(records.len() > 200_000, "{}", records.len());
    let program = env!("CARGO_BIN_EXE_rewardpool");
    let line = format!(
        "yes | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}
         {program} wal cat --dir rewardpool-data | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}
         {program} state --dir rewardpool-data > /dev/full; echo $?"
    );
    let mut bash = std::process::Command::new("bash");
    let run = Run::new(bash.args(["-c", &line]).current_dir(stopped.home.path()).output().unwrap());
    assert_eq!(run.stdout, "141\n141\n74\n", "{run:?}");
    // Only the full disk is told.
    assert!(run.stderr.starts_with("error: the output cannot be written: "), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
}
