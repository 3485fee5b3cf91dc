//! Goal: a report is read as it was written, and drawn the same each time. Method: a made-up report
//! with every line of the table and every series.
use super::*;

fn machine() -> Machine {
    Machine {
        cpu: "Test 9000".to_owned(),
        cpus: 2,
        kernel: "6.18".to_owned(),
        filesystem: "ext4".to_owned(),
        optimised: true,
    }
}

/// A report with everything. Each figure meets its goals if `is_good`.
fn full(is_good: bool) -> Report {
    let mut report = Report::new(machine());
    for line in &goals::LINES {
        let limit = (!line.limit.is_empty()).then_some(1.0);
        let met = |&reached: &f64| line.goals.iter().all(|goal| goal.is_met(reached, limit));
        let values = [1e-12, 1.0, 1e12];
        let reached = *values.iter().find(|value| met(value) == is_good).expect("goals differ");
        let (key, note) = (line.key.to_owned(), String::new());
        report.figures.push(Figure { row: line.row, key, limit, reached, others_cpu: 0.01, note });
    }
    for draws in [64, 1024, 65_536] {
        let limit = f64::from(draws) * 10_000.0;
        report.batches.push(BatchSize { draws, limit, reached: 0.8 * limit });
    }
    let quantiles = |scale: u64| {
        [(0.0, 80), (0.5, 100), (0.99, 200), (0.999, 900)]
            .map(|(quantile, micros)| (quantile, scale * micros * 1000))
            .to_vec()
    };
    for is_limit in [false, true] {
        let quantiles = quantiles(2 - u64::from(is_limit));
        report.latencies.push(Latency { name: "one caller".to_owned(), is_limit, quantiles });
    }
    for (selector, items) in [("sum_tree", 6), ("sum_tree", 1_000_000), ("fenwick", 6)] {
        let update = 5e-9;
        let selector = selector.to_owned();
        report.selectors.push(SelectorCost { selector, items, select: 4e-9, update });
    }
    for records in [100_000, 10_000_000] {
        let read = float(records) * 1e-9;
        let (replay, start) = (20.0 * read, 20.0 * read + 0.3);
        report.recoveries.push(Recovery { records, bytes: 2 * records, read, replay, start });
    }
    let points = vec![(100_000, 8e-3), (1_000_000, 80e-3)];
    let (what, by) = ("snapshot".to_owned(), "items".to_owned());
    report.growth.push(Growth { what, by, unit: goals::Unit::Seconds, points });
    report
}

use crate::table::float;

#[test]
fn a_report_round_trips() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/report.json");
    let report = full(true);
    report.save(&path).unwrap();
    assert_eq!(Report::load(&path).unwrap(), report);
}

#[test]
fn other_versions_and_unknown_lines_are_refused() {
    let mut report = full(true);
    report.version = VERSION + 1;
    let newer = serde_json::to_vec(&report).unwrap();
    assert!(Report::from_json(&newer).unwrap_err().to_string().contains("version"));
    report.version = VERSION;
    report.figures[0].key = "7".to_owned();
    assert!(Report::from_json(&serde_json::to_vec(&report).unwrap()).is_err());
    assert!(Report::from_json(b"{}").is_err());
}

#[test]
fn rendering_is_deterministic_and_shows_everything() {
    let draw = |report: &Report| {
        let directory = tempfile::tempdir().unwrap();
        let (json, document) =
            (directory.path().join("report.json"), directory.path().join("benchmarks.md"));
        report.save(&json).unwrap();
        let before = include_str!("../../../../docs/benchmarks.md");
        std::fs::write(&document, before).unwrap();
        render(&json, &document).unwrap();
        let mut files = vec![std::fs::read_to_string(&document).unwrap()];
        for name in ["throughput", "latency", "select", "update", "recovery"] {
            let path = directory.path().join(format!("benchmarks/{name}.svg"));
            files.push(std::fs::read_to_string(path).unwrap());
        }
        files
    };
    let first = draw(&full(true));
    assert_eq!(first, draw(&full(true)));
    for line in &goals::LINES {
        assert!(first[0].contains(line.what), "{line:?}");
    }
    assert!(!first[0].contains("MISSED"));
    assert!(
        first[0].contains("| snapshot | items | 100 000: 8.00 ms · 1 000 000: 80.0 ms | 1.00 |")
    );
    assert!(first[1].contains("<svg") && first[2].contains("99.9 %"));
    assert!(draw(&full(false))[0].contains("MISSED"));
}

#[test]
fn a_run_of_some_rows_replaces_only_those() {
    let mut known = full(false);
    let mut newer = Report::new(machine());
    let row_3 = |figure: &&Figure| figure.row == 3;
    newer.figures.extend(full(true).figures.iter().filter(row_3).cloned());
    newer.batches = vec![BatchSize { draws: 64, limit: 2.0, reached: 1.0 }];
    known.merge(newer.clone());
    assert_eq!(known.figures.len(), goals::LINES.len());
    assert_eq!(known.figures.iter().filter(row_3).cloned().collect::<Vec<_>>(), newer.figures);
    assert!(known.figures.is_sorted_by_key(|figure| figure.row));
    assert_eq!(known.batches, newer.batches);
    assert_eq!(known.selectors, full(false).selectors);
}

#[test]
fn a_busy_machine_is_told() {
    let mut report = full(true);
    assert!(report.figures.iter().all(Figure::is_trusted));
    report.figures[0].others_cpu = 0.11;
    assert!(!report.figures[0].is_trusted());
    let text = document::figures(&report, "benchmarks", &[]);
    assert!(text.contains("Others used more than 10 % of the CPUs during 1 of them"));
}

#[test]
fn growth_is_told_as_an_exponent() {
    let growth = |points: &[(u64, f64)]| Growth {
        what: "memory".to_owned(),
        by: "items".to_owned(),
        unit: goals::Unit::Bytes,
        points: points.to_vec(),
    };
    let exponent = |points: &[(u64, f64)]| growth(points).exponent();
    assert!((exponent(&[(1, 9.0), (10, 5.0), (100, 50.0)]).unwrap() - 1.0).abs() < 1e-9);
    assert!((exponent(&[(10, 5.0), (100, 500.0)]).unwrap() - 2.0).abs() < 1e-9);
    assert!(exponent(&[(10, 5.0), (100, 5.0)]).unwrap().abs() < 1e-9);
    assert_eq!(exponent(&[(10, 5.0)]), None);
}
