//! Goal: every part of the table can be measured, and the report can be drawn. Method: the program
//! itself on the smallest scale; what it measures means nothing and is not looked at.
#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rewardpool-bench");
/// Rows that need nothing but the program.
const ALONE: &str = "1 2 3 4 11 12 13 15 16 18 batches selectors growth";
/// Rows that need the service.
const WITH_SERVICE: &str = "5 6 7 8 9 10 14 17";

fn run(directory: &Path, arguments: &[&str]) {
    let output = Command::new(PROGRAM).args(arguments).current_dir(directory).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
}

fn measure(directory: &Path, rows: &str, service: &Path) -> Value {
    let service = service.to_str().unwrap();
    let place = ["--json", "out/report.json", "--directory", "logs", "--service", service];
    run(directory, &[["table", "--smoke", "--rows", rows].as_slice(), &place].concat());
    let json = std::fs::read(directory.join("out/report.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The rows that have figures, each once.
fn rows(report: &Value) -> Vec<u64> {
    let figures = report["figures"].as_array().unwrap();
    let mut rows: Vec<u64> = figures.iter().map(|figure| figure["row"].as_u64().unwrap()).collect();
    assert!(rows.is_sorted());
    rows.dedup();
    rows
}

/// Nothing that a figure counts can be nothing.
fn check_figures(report: &Value) {
    for figure in report["figures"].as_array().unwrap() {
        assert!(figure["reached"].as_f64().unwrap() > 0.0, "{figure}");
        assert!(figure["limit"].is_null() || figure["limit"].as_f64().unwrap() > 0.0, "{figure}");
    }
}

#[test]
fn each_row_in_process_is_measured_and_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let report = measure(directory.path(), ALONE, Path::new("none"));
    assert_eq!(rows(&report), [1, 2, 3, 4, 11, 12, 13, 15, 16, 18]);
    check_figures(&report);
    for series in ["batches", "latencies", "selectors", "recoveries", "growth"] {
        assert!(!report[series].as_array().unwrap().is_empty(), "{series}");
    }
    let again = measure(directory.path(), "16", Path::new("none"));
    assert_eq!(rows(&again), rows(&report), "what another run measured stays");
    let document = directory.path().join("benchmarks.md");
    std::fs::write(&document, include_str!("../../../docs/benchmarks.md")).unwrap();
    run(directory.path(), &["report", "out/report.json", "benchmarks.md"]);
    let drawn = std::fs::read_to_string(document).unwrap();
    for plot in ["throughput", "latency", "select", "update", "recovery"] {
        assert!(drawn.contains(&format!("(benchmarks/{plot}.svg)")), "{plot}");
        assert!(directory.path().join(format!("benchmarks/{plot}.svg")).exists(), "{plot}");
    }
    let left: Vec<_> = std::fs::read_dir(directory.path().join("logs")).unwrap().collect();
    assert!(left.is_empty(), "the logs are removed: {left:?}");
}

#[test]
fn each_row_with_a_service_is_measured() {
    let service: PathBuf = Path::new(PROGRAM).with_file_name("rewardpool");
    if !service.exists() {
        assert!(std::env::var_os("CI").is_none(), "the tests of a workspace build the service");
        eprintln!("skipped: {} was not built", service.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let report = measure(directory.path(), WITH_SERVICE, &service);
    assert_eq!(rows(&report), [5, 6, 7, 8, 9, 10, 14, 17]);
    check_figures(&report);
}
