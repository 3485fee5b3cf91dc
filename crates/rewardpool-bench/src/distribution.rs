//! Do the draws follow the weights? A chi-square test of what the real engine hands out.
//!
//! The bound is a chance of one in a million that an honest generator fails the test of one
//! catalogue (Wilson and Hilferty's approximation of the chi-square distribution, 1931).
#![expect(clippy::print_stdout, reason = "the output of the program")]

use std::process::ExitCode;
use std::time::Duration;

use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{Answer, Engine, Request};
use rewardpool_load::{EnginePlan, catalog};

use crate::table::{float, row};

/// The standard score that an honest generator exceeds once in a million tests.
pub(crate) const SCORE_MAX: f64 = 4.753;
const PATIENCE: Duration = Duration::from_secs(30);
const DRAWS_AT_ONCE: u16 = 10_000;

/// Catalogues by their weights: the sample, the vectors on which others are known to fail, and
/// a long one.
fn catalogues() -> Vec<(&'static str, Vec<u64>)> {
    vec![
        ("the sample", vec![10, 20, 30, 40, 70, 50]),
        ("one in ten thousand", vec![1, 9_999]),
        ("10 : 25 : 65", vec![10, 25, 65]),
        ("5 : 2000 : 7995", vec![5, 2_000, 7_995]),
        ("weight 0 is never drawn", vec![1, 0, 1]),
        ("1 to 1000", (1..=1_000).collect()),
    ]
}

pub(crate) fn run(draws: u64) -> anyhow::Result<ExitCode> {
    let mut failed = 0;
    for (name, weights) in catalogues() {
        for selector in [SelectorKind::Fenwick, SelectorKind::PrefixSum, SelectorKind::SumTree] {
            let counts = count(&weights, selector, draws)?;
            failed += u32::from(!report(name, selector, &weights, &counts));
        }
    }
    println!("{failed} of {} distributions are outside the bound", catalogues().len() * 3);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn count(weights: &[u64], selector: SelectorKind, draws: u64) -> anyhow::Result<Vec<u64>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(&EnginePlan::default().config(directory.path()))?;
    let handle = engine.handle();
    let pool = handle.create_pool(catalog::pool(weights.iter().copied(), selector)?, PATIENCE)?;
    let mut counts = vec![0; weights.len()];
    let mut left = draws;
    while left > 0 {
        let batch = u16::try_from(left).unwrap_or(u16::MAX).min(DRAWS_AT_ONCE);
        let count = DrawCount::new(i64::from(batch)).expect("1 to 10 000");
        let command = DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None };
        let (answer, reply) = handle.call(Request::Draw(command), PATIENCE)?;
        let Answer::Draw(draw) = answer else { unreachable!("a draw is answered by a draw") };
        for outcome in reply.outcomes(&draw) {
            let item = outcome.item().expect("unlimited items are never sold out");
            counts[item.as_usize()] += 1;
        }
        left -= u64::from(batch);
    }
    engine.stop()?;
    Ok(counts)
}

/// Prints the table of one catalogue and tells whether it is within the bound.
fn report(name: &str, selector: SelectorKind, weights: &[u64], counts: &[u64]) -> bool {
    let draws = float(counts.iter().sum());
    let total = float(weights.iter().sum());
    let expected = |weight: u64| draws * float(weight) / total;
    println!("\n{name}, {selector:?}, {draws} draws");
    if weights.len() <= 10 {
        row(&["item", "expected %", "drawn %", "drawn"]);
        for (index, (&weight, &count)) in weights.iter().zip(counts).enumerate() {
            let percent = |part: f64| format!("{:.4}", 100.0 * part / draws);
            let (share, drawn) = (percent(expected(weight)), percent(float(count)));
            row(&[&format!("item-{index} (weight {weight})"), &share, &drawn, &count.to_string()]);
        }
    }
    let impossible = weights.iter().zip(counts).any(|(&weight, &count)| weight == 0 && count > 0);
    let Fit { chi_square, freedom, score } = fit(weights, counts);
    let within = score <= SCORE_MAX && !impossible;
    let verdict = if within { "ok" } else { "OUTSIDE THE BOUND" };
    println!(
        "chi-square {chi_square:.1}, {freedom} degrees of freedom, score {score:+.2} (at most {SCORE_MAX}): {verdict}"
    );
    within
}

/// How well counts follow the weights.
pub(crate) struct Fit {
    chi_square: f64,
    /// Degrees of freedom.
    freedom: f64,
    /// Standard score: 0 is what an honest generator gives on the average.
    pub(crate) score: f64,
}

/// Compares counts with weights; items without weight are left out.
pub(crate) fn fit(weights: &[u64], counts: &[u64]) -> Fit {
    let share = float(counts.iter().sum()) / float(weights.iter().sum());
    let drawable = || weights.iter().zip(counts).filter(|(weight, _)| **weight > 0);
    let chi_square: f64 = drawable()
        .map(|(&weight, &count)| {
            let expected = share * float(weight);
            (float(count) - expected).powi(2) / expected
        })
        .sum();
    let freedom = float(drawable().count() as u64 - 1);
    let spread = 2.0 / (9.0 * freedom);
    let score = ((chi_square / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
    Fit { chi_square, freedom, score }
}
