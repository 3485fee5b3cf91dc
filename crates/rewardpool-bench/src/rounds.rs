//! Short rounds of the limit and of the product in turns, and their medians: a neighbour that takes
//! the CPU or the disk for a while then meets both.
use std::time::Duration;

use rewardpool_load::Latencies;

use crate::table::{float, per_second};

/// Quantiles of a distribution that is kept.
const QUANTILES: [f64; 22] = [
    0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.985, 0.99,
    0.993, 0.995, 0.997, 0.998, 0.999, 0.9999,
];

/// What one round measured.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// What was counted, mostly draws.
    pub(crate) events: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// How long each took, where that is measured.
    pub(crate) latencies: Latencies,
}

impl Round {
    /// The latency below which this share of them is, in seconds.
    fn quantile(&self, quantile: f64) -> f64 {
        float(self.latencies.nanoseconds().value_at_quantile(quantile)) * 1e-9
    }
}

/// All rounds of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<Round>);

impl Rounds {
    /// No round yet.
    pub(crate) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds a round.
    pub(crate) fn push(&mut self, round: Round) {
        self.0.push(round);
    }

    /// Events in a second: the median of the rounds.
    pub(crate) fn per_second(&self) -> f64 {
        median(self.0.iter().map(|round| per_second(round.events, round.elapsed)))
    }

    /// Seconds for each event: the median of the rounds.
    pub(crate) fn seconds_each(&self) -> f64 {
        median(self.0.iter().map(|round| round.elapsed.as_secs_f64() / float(round.events.max(1))))
    }

    /// A quantile of the latencies in seconds: the median of the rounds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        median(self.0.iter().map(|round| round.quantile(quantile)))
    }

    /// The distribution of all rounds together: quantiles and nanoseconds, as far as there are
    /// enough to tell.
    pub(crate) fn distribution(&self) -> Vec<(f64, u64)> {
        let mut sum = Latencies::new();
        self.0.iter().for_each(|round| sum.merge(&round.latencies));
        let told = |&quantile: &f64| (1.0 - quantile) * float(sum.count()) >= 3.0;
        let at = |quantile| (quantile, sum.nanoseconds().value_at_quantile(quantile));
        QUANTILES.into_iter().filter(told).map(at).collect()
    }

    /// The longest latency of all rounds, in seconds.
    pub(crate) fn longest(&self) -> f64 {
        let longest = self.0.iter().map(|round| round.latencies.nanoseconds().max()).max();
        float(longest.unwrap_or(0)) * 1e-9
    }
}

/// Measures the limit and the product in turns.
pub(crate) fn alternate(
    rounds: usize,
    mut limit: impl FnMut() -> anyhow::Result<Round>,
    mut ours: impl FnMut() -> anyhow::Result<Round>,
) -> anyhow::Result<(Rounds, Rounds)> {
    let (mut limits, mut reached) = (Rounds::default(), Rounds::default());
    for _ in 0..rounds {
        limits.push(limit()?);
        reached.push(ours()?);
    }
    Ok((limits, reached))
}

/// The value in the middle; of an even number the upper one of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(events: u64, micros: &[u64]) -> Round {
        let mut latencies = Latencies::new();
        for &micros in micros {
            latencies.record(Duration::from_micros(micros), 1);
        }
        Round { events, elapsed: Duration::from_secs(2), latencies }
    }

    #[test]
    fn the_median_is_not_moved_by_one_bad_round() {
        let mut rounds = [round(10, &[1]), round(2_000, &[5_000]), round(12, &[2])].into_iter();
        let one = || Ok(round(4, &[]));
        let (limit, ours) = alternate(3, one, || Ok(rounds.next().unwrap())).unwrap();
        assert!((ours.per_second() - 6.0).abs() < 1e-9);
        assert!((limit.per_second() - 2.0).abs() < 1e-9);
        assert!((ours.seconds_each() - 2.0 / 12.0).abs() < 1e-9);
        assert!((ours.quantile(0.5) - 2e-6).abs() < 1e-7);
        assert!((ours.longest() - 5e-3).abs() < 1e-5);
    }

    #[test]
    fn a_quantile_is_told_only_with_enough_behind_it() {
        let mut rounds = Rounds::default();
        rounds.push(round(1, &(1..=100).collect::<Vec<_>>()));
        let last = rounds.distribution().last().unwrap().0;
        assert!((last - 0.97).abs() < 1e-9, "{last}");
    }
}
