//! Goal: a comparison is right for any two reports. Method: reports with any figures.
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use super::*;
use crate::log;
use crate::machine::{Machine, Trust};
use crate::report::{Kind, Latency, Replay, VERSION};

fn latency() -> impl Strategy<Value = Option<Latency>> {
    let figure = || prop_oneof![Just(0.0), 0.001..1e9_f64];
    prop::option::of((1_u64.., prop::array::uniform5(figure())).prop_map(
        |(count, [p50, p90, p99, p99_9, max])| Latency { count, p50, p90, p99, p99_9, max },
    ))
}

fn replay() -> impl Strategy<Value = Option<Replay>> {
    prop::option::of((0.0..1e10_f64, 0.0..10.0_f64).prop_map(
        |(bytes_per_second, start_seconds)| {
            let (log_bytes, fill_seconds, load_seconds) = (1, 1.0, vec![1.0]);
            Replay { log_bytes, fill_seconds, load_seconds, bytes_per_second, start_seconds }
        },
    ))
}

fn trust(reasons: &[&str]) -> Trust {
    Trust {
        trusted: reasons.is_empty(),
        reasons: reasons.iter().map(|&reason| reason.to_owned()).collect(),
        others_cpu_percent: 0.0,
        steal_percent: 0.0,
        own_cpu_percent: 90.0,
    }
}

prop_compose! {
    pub(crate) fn report()(
        latencies in prop::array::uniform3(latency()),
        draws_per_second in prop_oneof![Just(0.0), 0.001..1e9_f64],
        bytes_per_draw in prop::option::of(0.0..512.0_f64),
        recovery in replay(),
        errors in prop::collection::btree_map("[A-Z_]{1,9}", 1..9_u64, 0..3),
        counts: (u32, u32, Option<u64>, Option<u64>),
        interrupted: bool,
        reasons in prop::collection::vec(Just("others"), 0..2),
    ) -> Report {
        let [latency_us, commit_us, send_delay_us] = latencies;
        Report {
            version: VERSION,
            kind: Kind::Grpc,
            program: "1".to_owned(),
            time_ms: 7,
            parameters: [("count".to_owned(), json!(counts.0))].into(),
            machine: Machine {
                cpu: "a CPU".to_owned(),
                cpus: 2,
                kernel: "6".to_owned(),
                filesystem: "ext4".to_owned(),
                optimised: true,
            },
            trust: trust(&reasons),
            interrupted,
            requests: counts.0.into(),
            draws: counts.0.into(),
            empties: counts.1.into(),
            seconds: 1.5,
            draws_per_second,
            latency_us,
            commit_us,
            send_delay_us,
            unsent: counts.2,
            log: bytes_per_draw.map(|bytes_per_draw| log::Use { bytes_per_draw, draws_per_commit: 2.0 }),
            errors,
            service_draws: counts.3,
            recovery,
        }
    }
}

proptest! {
    #[test]
    fn a_run_is_equal_to_itself(run in report()) {
        let compared = Comparison::of(&run, &run).unwrap();
        prop_assert!(!compared.figures.is_empty());
        for figure in &compared.figures {
            prop_assert_eq!(figure.ratio, Some(1.0), "{:?}", figure);
        }
        prop_assert_eq!(compared.differences, []);
        let doubts = run.trust.reasons.len() + usize::from(run.interrupted) + usize::from(!run.errors.is_empty());
        prop_assert_eq!(compared.warnings.len(), 2 * doubts);
    }

    #[test]
    fn ratios_turn_with_the_runs(old in report(), new in report()) {
        let (there, back) = (Comparison::of(&old, &new).unwrap(), Comparison::of(&new, &old).unwrap());
        prop_assert_eq!(there.figures.len(), back.figures.len());
        for (there, back) in there.figures.iter().zip(&back.figures) {
            prop_assert_eq!(&there.name, &back.name);
            if let (Some(there), Some(back)) = (there.ratio, back.ratio) {
                let product = there * back;
                prop_assert!((product - 1.0).abs() < 1e-9 || product.abs() < 1e-9, "{}", product);
            }
        }
        prop_assert_eq!(there.differences.len(), back.differences.len());
    }

    #[test]
    fn a_report_survives_its_file(run in report()) {
        let text = serde_json::to_string(&run).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(read, run);
    }
}

fn plain(count: u32, draws_per_second: f64) -> Report {
    let mut run =
        report().new_tree(&mut prop::test_runner::TestRunner::deterministic()).unwrap().current();
    run.parameters = [("count".to_owned(), json!(count))].into();
    run.draws_per_second = draws_per_second;
    run.errors = BTreeMap::new();
    run.interrupted = false;
    run.trust = trust(&[]);
    run
}

#[test]
fn differences_and_doubts_are_named() {
    let (old, mut new) = (plain(1, 200.0), plain(100, 500.0));
    new.machine.cpus = 4;
    new.parameters.insert("rate".to_owned(), json!(10));
    new.trust = trust(&["others used 40 % of the CPUs"]);
    let compared = Comparison::of(&old, &new).unwrap();
    assert_eq!(compared.figures[0].ratio, Some(2.5));
    let names: Vec<_> = compared.differences.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["machine.cpus", "parameters.count", "parameters.rate"]);
    assert_eq!(compared.differences[2].old, Value::Null);
    assert_eq!(compared.warnings, ["the new run cannot be trusted: others used 40 % of the CPUs"]);
}

#[test]
fn a_ratio_to_nothing_is_absent() {
    let compared = Comparison::of(&plain(1, 0.0), &plain(1, 3.0)).unwrap();
    assert_eq!(compared.figures[0].ratio, None);
    let compared = Comparison::of(&plain(1, 3.0), &plain(1, 0.0)).unwrap();
    assert_eq!(compared.figures[0].ratio, Some(0.0));
}

#[test]
fn runs_of_two_kinds_are_not_compared() {
    let engine = Report { kind: Kind::Engine, ..plain(1, 1.0) };
    let error = Comparison::of(&engine, &plain(1, 1.0)).unwrap_err().to_string();
    assert!(error.contains("engine") && error.contains("grpc"), "{error}");
}
