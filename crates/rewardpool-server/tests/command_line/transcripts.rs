//! What every command prints, word for word, as a person who types one after the other sees it. After
//! a change on purpose, `INSTA_UPDATE=always` writes the transcripts anew, for a review.
use insta::{Settings, assert_snapshot};

use crate::program::{Run, command, path_text};
use crate::service::{CONFIG, Service};

/// Runs the commands and writes down what each prints.
fn transcript(run: impl Fn(&str) -> Run, commands: &[&str]) -> String {
    let entries = commands.iter().map(|words| {
        let Run { code, stdout, stderr } = run(words);
        let ended = if code == 0 { String::new() } else { format!("[exit_{code}]\n") };
        format!("$ rewardpool {words}\n{stdout}{stderr}{ended}\n")
    });
    entries.collect()
}

/// Compares with the snapshot, without what differs from run to run.
fn compare(name: &str, text: &str, more: &[(&str, &str)]) {
    let mut settings = Settings::clone_current();
    settings.set_omit_expression(true);
    settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT");
    settings.add_filter(r"[0-9a-f]{64}", "SHA256");
    // Idle moments leave marks in the log, so the position of what follows differs.
    settings.add_filter(r"\blsn \d+", "lsn N");
    settings.add_filter(r#""(lsn|time_ms)": \d+"#, r#""$1": N"#);
    for (pattern, shown) in more {
        settings.add_filter(pattern, *shown);
    }
    settings.bind(|| assert_snapshot!(name, text));
}

/// For tables in which positions and sizes stand: any number, and columns as wide as they are.
const NO_NUMBERS: [(&str, &str); 2] = [(r"\b\d[\d.]*\b", "N"), (r" {2,}", "  ")];

#[test]
fn drawing() {
    let service = Service::start(CONFIG);
    let text = transcript(
        |words| service.run(words),
        &[
            "draw",
            "draw -n 4",
            "draw -n 100",
            "draw -n 3 --key order-7311",
            "draw -n 3 --key order-7311",
            "draw --key order-7311 --lookup",
            "draw --key order-7311 -n 4",
            "draw --key order-9 --lookup",
            "draw -n 2 -o json",
            "draw -n 10001",
            "draw --pool summer",
            "draw --pool summer -o json",
        ],
    );
    compare("drawing", &text, &[]);
}

#[test]
fn looking() {
    let service = Service::start(CONFIG);
    service.run("draw -n 500").good();
    let text = transcript(
        |words| service.run(words),
        &[
            "state",
            "state --sort name",
            "state --sort quantity --limit 2",
            "state --sort awarded --limit 1",
            "state --limit 1",
            "state -o json",
            "state --sort size",
            "state --watch 0",
            "pool ls",
            "pool list -o json",
        ],
    );
    compare("looking", &text, &[]);
    let status = transcript(|words| service.run(words), &["status", "status -o json", "health"]);
    compare("status", &status.replace(path_text(service.home.path()), "HOME"), &NO_NUMBERS);
}

#[test]
fn changing() {
    let service = Service::start(CONFIG);
    service.write(
        "summer.yaml",
        "pool: { id: summer, catalog: [{ item_id: ticket, quantity: 50, weight: 1 }] }\n",
    );
    let text = transcript(
        |words| service.run(words),
        &[
            "update gold --quantity +50 --actor ann --reason delivery",
            "update gold --quantity 10",
            "update gold --quantity unlimited --weight 3",
            "update gold --quantity -1",
            "update gold --quantity 5 --expected-version 1",
            "update silver --weight 1",
            "update gold",
            "pool add-item ticket --quantity 5 --weight 1",
            "pool add-item ticket --quantity 5 --weight 1 -o json",
            "pool retire-item ticket",
            "pool pause",
            "draw",
            "pool resume -o json",
            "pool close default",
            "draw",
            "pool ls",
        ],
    );
    compare("changing", &text, &[]);
    let created = transcript(
        |words| service.run(words),
        &["pool create --file summer.yaml", "pool create --file summer.yaml", "snapshot take"],
    );
    compare("creating", &created, &NO_NUMBERS);
}

#[test]
fn configuring() {
    let service = Service::start(CONFIG);
    service.write(
        "new.yaml",
        "pool:\n  catalog:\n    - { item_id: diamond, quantity: 120, weight: 10 }\n    \
         - { item_id: silver, quantity: -1, weight: 5 }\n",
    );
    service.write("wrong.yaml", "pool:\n  catalog: []\n  sed: 1\nwall: {}\n");
    let text = transcript(
        |words| service.run(words),
        &[
            "config init mine.yaml",
            "config init mine.yaml",
            "config check mine.yaml",
            "config check mine.yaml -o json",
            "config check wrong.yaml",
            "config check wrong.yaml -o json",
            "config check missing.yaml",
            "config diff",
            "config diff -o json",
            "config diff new.yaml",
            "config diff new.yaml -o json",
            "simulate --config rewardpool.yaml -n 3000 --seed 1",
            "simulate --config rewardpool.yaml -n 3000 --seed 1 --runs 20",
        ],
    );
    compare("configuring", &text, &[]);
}

#[test]
fn reading_files() {
    let service = Service::start(CONFIG);
    service.run("draw -n 500").good();
    let directory = service.directory();
    let read = |words: &str| {
        let words = words.split_whitespace().chain(["--dir", path_text(&directory)]);
        Run::new(command(words).output().unwrap())
    };
    let locked = transcript(read, &["verify", "state -o json"]);
    let stopped = service.stop();
    let run = |words: &str| stopped.run(words);
    let good = transcript(
        run,
        &[
            "verify",
            "verify -o json",
            "wal ls",
            "wal ls -o json",
            "wal cat 99",
            "snapshot ls",
            "snapshot show",
            "snapshot show nothing",
            "state",
        ],
    );
    std::fs::write(stopped.directory().join("secret.0"), "none").unwrap();
    let damaged = transcript(run, &["verify", "verify -o json", "state --pool summer"]);
    let other = tempfile::tempdir().unwrap();
    let none = transcript(
        |words| Run::new(command(words.split_whitespace()).current_dir(&other).output().unwrap()),
        &["verify", "wal ls --dir /no/such", "state --dir ."],
    );
    let text = [
        ("While the service runs", locked),
        ("After it was stopped", good),
        ("With a damaged file", damaged),
        ("Without a log", none),
    ]
    .map(|(heading, text)| format!("# {heading}\n\n{text}"))
    .concat();
    // Both homes are temporary.
    let home = format!("{}/", path_text(stopped.home.path()));
    let text = text.replace(&home, "").replace(path_text(&directory), "rewardpool-data");
    compare("reading_files", &text, &NO_NUMBERS);
}

#[test]
fn going_wrong() {
    // Nobody answers at the discard port of this machine.
    let run = |words: &str| {
        let mut command = command(words.split_whitespace());
        Run::new(command.env("REWARDPOOL_ADDR", "127.0.0.1:9").output().unwrap())
    };
    let text = transcript(
        run,
        &[
            "draw",
            "draw -o json",
            "status --addr https://127.0.0.1:9",
            "status --addr localhost",
            "status --timeout 2d",
            "drow",
            "draw --keyy 1",
            "-o json draw --keyy 1",
            "pool",
            "serve --listen 0.0.0.0:1",
            "bench grpc --pool summer",
            "man nothing",
            "completions tcsh",
        ],
    );
    compare("going_wrong", &text, &[]);
}

/// Both helps of every command, as they are without a terminal.
#[test]
fn helping() {
    let home = tempfile::tempdir().unwrap();
    let words = ["man", "--dir", path_text(home.path()), "-o", "json"];
    let pages = Run::new(command(words).output().unwrap()).good().json();
    let pages = pages["files"].as_array().unwrap().iter();
    let names = pages.map(|page| {
        let name = page.as_str().unwrap().rsplit('/').next().unwrap();
        name.trim_end_matches(".1").replacen("rewardpool", "", 1).replace('-', " ")
    });
    // The only commands whose names have a hyphen.
    let names = names.map(|name| {
        let name = name.replace("add item", "add-item").replace("retire item", "retire-item");
        name.trim().to_owned()
    });
    let names: Vec<String> = names.collect();
    let run = |words: &str| {
        let mut command = command(words.split_whitespace());
        Run::new(command.env_remove("COLUMNS").output().unwrap()).good()
    };
    for (name, flag) in [("help_short", "-h"), ("help_long", "--help")] {
        let commands: Vec<String> = names.iter().map(|name| format!("{name} {flag}")).collect();
        let commands: Vec<&str> = commands.iter().map(|command| command.trim_start()).collect();
        compare(name, &transcript(run, &commands), &[]);
    }
}
