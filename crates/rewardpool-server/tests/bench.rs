//! Goal: `bench` reports what the service really counted, and leaves nothing behind, however it
//! ends. Method: the real program, for a fraction of a second each time, against services of its
//! own and against one that runs already. Nothing here depends on how fast anything is.
#![expect(clippy::unwrap_used, reason = "a test may end by it, in its own functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rewardpool_engine::inspect;
use rewardpool_load::service::Process;
use serde_json::Value;

/// Longer than anything here takes, also on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(50);
const POLL: Duration = Duration::from_millis(2);

/// A directory in which benches run, and which must be empty after each.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A run of this command line in the directory.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        command.arg("bench").args(line.split_whitespace()).current_dir(self.path());
        command.env_remove("REWARDPOOL_ADDR").stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn output(&self, line: &str, code: i32) -> Output {
        let output = self.command(line).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{line}: {}", text(&output.stderr));
        assert_eq!(output.stderr.is_empty(), code == 0, "{line}: {}", text(&output.stderr));
        output
    }

    /// The report of a run that succeeds and leaves nothing.
    #[track_caller]
    fn report(&self, line: &str) -> Value {
        let output = self.output(&format!("{line} -o json"), 0);
        self.assert_nothing_is_left();
        json(&output.stdout)
    }

    /// No file, and no process that names this directory.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let files: Vec<PathBuf> = benches(self.path()).collect();
        assert_eq!(files, Vec::<PathBuf>::new());
        assert_eq!(processes(self.path()), Vec::<u32>::new());
    }
}

/// The temporary directories of the benches that run below a directory.
fn benches(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().contains("rewardpool-bench-"))
}

/// Processes other than this one with the directory in their arguments or as their own.
fn processes(directory: &Path) -> Vec<u32> {
    let ids = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok());
    let names_it = |id: &u32| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        let cwd = fs::read_link(format!("/proc/{id}/cwd")).unwrap_or_default();
        let directory = directory.to_str().unwrap();
        *id != std::process::id()
            && (text(&words).contains(directory) || cwd.starts_with(directory))
    };
    ids.filter(names_it).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("stdout is one JSON value")
}

#[track_caller]
fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer).and_then(Value::as_u64);
    value.unwrap_or_else(|| panic!("{pointer} of {report:#}"))
}

/// What holds for every run that was not ended early.
#[track_caller]
fn assert_sound(report: &Value, kind: &str, count: u64) {
    assert_eq!(report["version"], 1);
    assert_eq!(report["kind"], kind);
    assert_eq!(report["errors"], serde_json::json!({}), "{report:#}");
    assert_eq!(report["interrupted"], false);
    let (requests, draws) = (number(report, "/requests"), number(report, "/draws"));
    assert!(requests > 0, "{report:#}");
    assert_eq!(draws, requests * count, "{report:#}");
    assert_eq!(number(report, "/empties"), 0);
    assert_eq!(number(report, "/latency_us/count"), requests);
    let rate = report["draws_per_second"].as_f64().unwrap();
    let seconds = report["seconds"].as_f64().unwrap();
    #[expect(clippy::cast_precision_loss, reason = "a test draws less than 2^53 times")]
    let expected = draws as f64;
    assert!((rate * seconds / expected - 1.0).abs() < 1e-9);
    let figures = ["p50", "p90", "p99", "p99_9", "max"];
    let figures = figures.map(|name| report["latency_us"][name].as_f64().unwrap());
    assert!(figures[0] > 0.0 && figures.is_sorted(), "{figures:?}");
    // It took less than a second, which the report must say.
    assert_eq!(report["trust"]["trusted"], false);
}

/// A service that runs beside the benches.
struct Running {
    process: Process,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        command.args(["serve", "--until-stdin-ends", "--listen", "127.0.0.1:0", "--working-dir"]);
        command.arg(directory.path().join("data"));
        Self { process: Process::start(command).unwrap(), _directory: directory }
    }

    fn draws(&self) -> u64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        let output = command.args(["state", "-o", "json", "--addr", self.process.address()]);
        number(&json(&output.output().unwrap().stdout), "/draws")
    }
}

/// A bench that is killed when the test ends in any way.
struct Started(Child);

impl Started {
    fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until draws of this bench are in a log below the directory.
    fn wait_for_draws(&mut self, directory: &Path) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            assert_eq!(self.0.try_wait().unwrap(), None, "it ended before it was told to");
            for bench in benches(directory) {
                // While the log is being made it cannot be read.
                let segments = inspect::segments(&bench.join("data")).unwrap_or_default();
                if segments.iter().map(|segment| segment.records).sum::<u64>() > 100 {
                    return;
                }
            }
            std::thread::sleep(POLL);
        }
        panic!("no draw was made");
    }

    fn output(mut self) -> Output {
        let begun = Instant::now();
        while self.0.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(POLL);
        }
        let (stdout, stderr) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let status = self.0.wait().unwrap();
        let stdout = std::io::read_to_string(stdout).unwrap().into_bytes();
        Output { status, stdout, stderr: std::io::read_to_string(stderr).unwrap().into_bytes() }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It has ended unless the test failed.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn an_engine_is_measured_in_all_its_settings() {
    let bench = Bench::new();
    let lines = [
        ("", 1024),
        ("--count 100 --commands 3 --producers 3 --in-flight 2 --items 1000", 300),
        ("--format json --selector fenwick --commands 10 --batch-draws-max 1", 10),
        ("--storage mmap --commands 1 --in-flight 1 --snapshots --segment-mib 1", 1),
    ];
    for (line, draws_each) in lines {
        let report = bench.report(&format!("engine --seconds 0.2 {line}"));
        assert_sound(&report, "engine", draws_each);
        // Snapshots remove nearly all of the log that this is told from.
        let least = if line.contains("--snapshots") { 0.0 } else { 1.0 };
        for figure in ["bytes_per_draw", "draws_per_commit"] {
            assert!(report["log"][figure].as_f64().unwrap() >= least, "{line}: {report:#}");
        }
        let is_alone = line.contains("--in-flight 1 ");
        assert_eq!(report["commit_us"].is_null(), !is_alone, "{line}");
    }
}

#[test]
fn a_service_of_its_own_counts_what_is_reported() {
    let bench = Bench::new();
    let lines = [
        ("", 1),
        ("--method unary --connections 2 --in-flight 3 --keys", 1),
        ("--method seed --count 100 --connections 2 --in-flight 2", 100),
        ("--count 7 --keys --threads 2 --items 1000 --format string_line", 7),
        ("--count 10000 --in-flight 2 --selector sum_tree --batch-draws-max 1", 10_000),
    ];
    for (line, count) in lines {
        let report = bench.report(&format!("grpc --seconds 0.2 {line}"));
        assert_sound(&report, "grpc", count);
        assert_eq!(report["service_draws"], report["draws"], "{line}");
        assert_eq!(report["parameters"]["target"], "temporary");
        assert!(report["log"]["bytes_per_draw"].as_f64().unwrap() > 1.0, "{line}");
        assert!(report["unsent"].is_null() && report["send_delay_us"].is_null());
    }
}

#[test]
fn an_open_loop_sends_what_is_due_and_no_more() {
    let bench = Bench::new();
    for line in ["--threads 2", "--method unary --connections 2", "--method seed --count 3"] {
        let report = bench.report(&format!("grpc --seconds 0.5 --rate 1000 {line}"));
        let requests = number(&report, "/requests");
        // The first request is due at once, on each thread.
        let due = requests + number(&report, "/unsent");
        assert!(requests > 0 && due <= 502, "{report:#}");
        assert_eq!(report["service_draws"], report["draws"]);
        assert_eq!(number(&report, "/send_delay_us/count"), requests);
    }
}

#[test]
fn a_running_service_counts_what_is_reported() {
    let (service, bench) = (Running::start(), Bench::new());
    let address = service.process.address().to_owned();
    let refused = bench.output(&format!("grpc --addr {address}"), 64);
    let why = text(&refused.stderr);
    assert!(why.contains("real") && why.contains("--yes") && why.contains(&address), "{why}");
    let refused = bench.output(&format!("grpc --yes --items 9 --addr {address}"), 64);
    assert!(text(&refused.stderr).contains("--items"), "{}", text(&refused.stderr));
    bench.output(&format!("grpc --addr {address} --yes --pool winter"), 1);
    assert_eq!(service.draws(), 0);
    let mut drawn = 0;
    for line in ["--pool default", "--method unary", "--method seed --count 2", "--rate 500"] {
        let line = format!("grpc --seconds 0.2 --addr {address} --yes {line}");
        let report = bench.report(&line);
        assert_eq!(report["service_draws"], report["draws"], "{report:#}");
        assert_eq!(report["parameters"]["target"], address.as_str());
        assert!(report["log"].is_null());
        drawn += number(&report, "/draws");
        assert_eq!(service.draws(), drawn);
    }
}

#[test]
fn the_environment_does_not_choose_whose_prizes_are_drawn() {
    let (service, bench) = (Running::start(), Bench::new());
    let mut command = bench.command("grpc --seconds 0.2 -o json");
    let output = command.env("REWARDPOOL_ADDR", service.process.address()).output().unwrap();
    assert_eq!(json(&output.stdout)["parameters"]["target"], "temporary");
    assert_eq!(service.draws(), 0);
}

#[test]
fn refusals_are_counted_by_reason_and_told_by_the_exit_code() {
    let (service, bench) = (Running::start(), Bench::new());
    let address = service.process.address();
    let mut pause = Command::new(env!("CARGO_BIN_EXE_rewardpool"));
    assert!(pause.args(["pool", "pause", "--addr", address]).output().unwrap().status.success());
    for method in ["stream", "unary"] {
        let line = format!("grpc --seconds 0.2 --method {method} --yes -o json --addr {address}");
        let output = bench.output(&line, 1);
        let report = json(&output.stdout);
        assert!(number(&report, "/errors/POOL_PAUSED") > 0, "{report:#}");
        assert_eq!((number(&report, "/draws"), &report["latency_us"]), (0, &Value::Null));
        assert!(text(&output.stderr).contains("POOL_PAUSED"));
    }
}

#[test]
fn a_recovery_replays_what_was_filled() {
    let bench = Bench::new();
    for line in ["--draws 200000", "--draws 100000 --count 100 --cold --repeats 2 --format json"] {
        let report = bench.report(&format!("recovery {line}"));
        assert_eq!(report["kind"], "recovery");
        assert!(number(&report, "/draws") >= 100_000, "{report:#}");
        assert!(number(&report, "/recovery/log_bytes") > 100_000);
        let loads = report["recovery"]["load_seconds"].as_array().unwrap();
        assert_eq!(loads.len(), if line.contains("repeats") { 2 } else { 3 });
        assert!(!report["trust"]["reasons"].to_string().contains("rotated"), "{report:#}");
    }
}

/// Both kinds of load, in the middle of it.
#[test]
fn ctrl_c_prints_what_was_measured_and_leaves_nothing() {
    let bench = Bench::new();
    for line in ["grpc --seconds 3000", "engine --seconds 3000", "grpc --seconds 3000 --rate 2000"]
    {
        for signal in ["INT", "TERM"] {
            let mut started = Started::start(bench.command(&format!("{line} -o json")));
            started.wait_for_draws(bench.path());
            started.signal(signal);
            let output = started.output();
            assert_eq!(output.status.code(), Some(130), "{line}: {}", text(&output.stderr));
            assert!(text(&output.stderr).contains("ended early"));
            let report = json(&output.stdout);
            assert_eq!(report["interrupted"], true);
            assert!(number(&report, "/draws") > 0);
            if line.starts_with("grpc") {
                assert_eq!(report["service_draws"], report["draws"], "{report:#}");
            }
            bench.assert_nothing_is_left();
        }
    }
}

#[test]
fn the_service_of_a_bench_that_is_killed_ends_too() {
    let bench = Bench::new();
    let mut started = Started::start(bench.command("grpc --seconds 3000"));
    started.wait_for_draws(bench.path());
    assert_eq!(processes(bench.path()).len(), 2);
    started.signal("KILL");
    started.output();
    let begun = Instant::now();
    while !processes(bench.path()).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "the service goes on");
        std::thread::sleep(POLL);
    }
}

#[test]
fn runs_are_saved_and_compared() {
    let bench = Bench::new();
    let saved = bench.report("engine --seconds 0.1 --save old.json");
    assert_eq!(json(&fs::read(bench.path().join("old.json")).unwrap()), saved);
    let same = json(&bench.output("compare old.json old.json -o json", 0).stdout);
    for figure in same["figures"].as_array().unwrap() {
        assert_eq!(figure["ratio"], 1.0, "{figure}");
    }
    assert_eq!(same["differences"], serde_json::json!([]));
    let table = text(&bench.output("compare old.json old.json", 0).stdout);
    assert!(table.contains("draws_per_second") && table.contains("1.000"), "{table}");
    assert!(table.contains("the old run cannot be trusted"), "{table}");

    let line = "engine --seconds 0.1 --count 2 --compare old.json";
    let report = bench.report(line);
    assert_eq!(report["comparison"]["differences"][0]["name"], "parameters.count");
    let table = text(&bench.output(line, 0).stdout);
    assert!(table.contains("differs: parameters.count was 1, is 2"), "{table}");
    fs::write(bench.path().join("new.json"), report.to_string()).unwrap();
    bench.output("compare old.json new.json", 0);

    fs::write(bench.path().join("wrong.json"), "{}").unwrap();
    bench.output("compare old.json wrong.json", 65);
    bench.output("compare old.json none.json", 74);
    bench.output("engine --compare none.json", 74);
    bench.output("recovery --draws 1 --repeats 1 --compare old.json", 64);
    bench.assert_nothing_is_left();
}

#[test]
fn what_does_not_go_together_is_refused_before_anything_starts() {
    let bench = Bench::new();
    let wrong = [
        "engine --count 0",
        "engine --count 10001",
        "engine --commands 1025",
        "engine --items 0",
        "engine --seconds 0",
        "engine --seconds nan",
        "engine --seconds 3601",
        "engine --storage tape",
        "engine --format yaml",
        "grpc --rate 0",
        "grpc --connections 0",
        "grpc --in-flight 10001",
        "grpc --method seed --keys",
        "grpc --pool default",
        "grpc --method carrier-pigeon",
        "recovery --draws 0",
        "recovery --draws 2000000000 --format json --items 1",
        "compare one.json",
    ];
    for line in wrong {
        let output = bench.output(line, 64);
        assert!(output.stdout.is_empty(), "{line}");
    }
    bench.output("engine --dir nowhere", 74);
    bench.output("grpc --dir nowhere", 74);
    bench.output("grpc --addr 127.0.0.1:1 --yes", 69);
    bench.assert_nothing_is_left();
}
