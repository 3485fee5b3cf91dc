//! Goal: a report is what was counted, its file is read as it was written or refused with a reason,
//! and the document tells every field of it.
use super::*;

fn full() -> Report {
    let mut tally = Tally { requests: 3, draws: 300, empties: 1, ..Tally::default() };
    for millis in [1, 2, 3] {
        tally.latency.record(Duration::from_millis(millis), 1);
        tally.send_delay.record(Duration::from_micros(millis), 1);
    }
    tally.fail("OVERLOADED", 2);
    let run = Run {
        kind: Kind::Grpc,
        parameters: parameters(serde_json::json!({ "count": 100, "rate": null })),
        machine: Machine::of(Some(&std::env::temp_dir())),
        trust: crate::machine::Observer::begin(&[]).end(&Machine::of(None)),
        interrupted: false,
        elapsed: Duration::from_millis(1500),
    };
    let mut report = Report::new(run, &tally);
    report.commit_us = report.latency_us;
    report.unsent = Some(0);
    report.log = Some(log::Use { bytes_per_draw: 2.5, draws_per_commit: 100.0 });
    report.service_draws = Some(300);
    report.recovery = Some(Replay {
        log_bytes: 1,
        fill_seconds: 1.0,
        load_seconds: vec![1.0],
        bytes_per_second: 1.0,
        start_seconds: 1.0,
    });
    report
}

#[test]
fn a_report_is_what_was_counted() {
    let report = full();
    assert_eq!((report.requests, report.draws, report.empties), (3, 300, 1));
    assert!((report.draws_per_second - 200.0).abs() < 1e-9);
    let latency = report.latency_us.unwrap();
    assert_eq!(latency.count, 3);
    let near = |is: f64, expected: f64| (is / expected - 1.0).abs() <= 0.001;
    for (name, us) in latency.figures() {
        assert!(near(us, if name == "p50" { 2000.0 } else { 3000.0 }), "{name} {us}");
    }
    assert_eq!(Latency::of(&Latencies::new()), None);
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    let report = full();
    report.write(&path).unwrap();
    assert_eq!(Report::read(&path).unwrap(), report);
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.json");
    for (text, reason) in [
        ("", "is not the report"),
        ("[1]", "is not the report"),
        ("{\"version\": 1}", "is not the report"),
        ("{\"version\": 2}", "version 2"),
    ] {
        fs::write(&path, text).unwrap();
        let error = Report::read(&path).unwrap_err().to_string();
        assert!(error.contains(reason) && error.contains("report.json"), "{text}: {error}");
    }
    let error = Report::read(&directory.path().join("none")).unwrap_err().to_string();
    assert!(error.contains("none"), "{error}");
}

#[test]
fn the_document_tells_every_field_and_no_other() {
    let document = fs::read_to_string("../../docs/bench-report.md").unwrap();
    let (document, _) = document.split_once("With `--compare`").unwrap();
    let mut told: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    told.sort_unstable();
    let mut fields = Vec::new();
    let Value::Object(report) = serde_json::to_value(full()).unwrap() else { unreachable!() };
    for (name, value) in report {
        let nested = ["machine", "trust", "log", "recovery"].contains(&name.as_str());
        if let (true, Value::Object(inner)) = (nested, &value) {
            fields.extend(inner.keys().map(|key| format!("{name}.{key}")));
        } else {
            fields.push(name);
        }
    }
    fields.sort_unstable();
    assert_eq!(told, fields);
}

#[test]
fn rates_have_a_unit_that_suits_them() {
    let rates = [0.4, 999.0, 1500.0, 2_345_678.0].map(rate);
    assert_eq!(rates, ["0 /s", "999 /s", "1.5 k/s", "2.35 M/s"]);
}
