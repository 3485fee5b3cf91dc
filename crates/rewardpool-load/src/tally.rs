//! What clients count while they work: draws, refusals, and how long requests took.
use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Significant decimal digits of a latency: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// How long something took, each time.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    pub fn new() -> Self {
        Self(Histogram::new(DIGITS).expect("a histogram may have three digits"))
    }

    /// Adds one that took so long, or several that took equally long.
    pub fn record(&mut self, took: Duration, times: u64) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        self.0.record_n(nanoseconds, times).expect("the histogram grows as needed");
    }

    /// Adds all those of another client.
    pub fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("the histogram grows as needed");
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The distribution, in nanoseconds.
    pub fn nanoseconds(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

/// What clients counted.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were answered by draws.
    pub requests: u64,
    /// Draws that were answered, empty ones included.
    pub draws: u64,
    /// Draws for which nothing was available.
    pub empties: u64,
    /// From the hand-over of a request to its answer. In an open loop, from the moment at which it
    /// was due.
    pub latency: Latencies,
    /// In an open loop: from the moment at which a request was due to its hand-over.
    pub send_delay: Latencies,
    /// Requests that were not answered by draws, by reason.
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts requests that failed for a reason.
    pub fn fail(&mut self, reason: &str, times: u64) {
        if times == 0 {
            return;
        }
        match self.errors.get_mut(reason) {
            Some(count) => *count += times,
            None => drop(self.errors.insert(reason.to_owned(), times)),
        }
    }

    /// Adds what another client counted.
    pub fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.draws += other.draws;
        self.empties += other.empties;
        self.latency.merge(&other.latency);
        self.send_delay.merge(&other.send_delay);
        for (reason, &times) in &other.errors {
            self.fail(reason, times);
        }
    }

    /// Requests that failed, for whatever reason.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_two_clients_is_what_both_counted() {
        let mut both = Tally { requests: 2, draws: 20, empties: 1, ..Tally::default() };
        both.latency.record(Duration::from_micros(10), 2);
        both.fail("OVERLOADED", 3);
        both.fail("STOPPING", 0);
        let mut other = Tally { requests: 1, draws: 10, ..Tally::default() };
        other.latency.record(Duration::from_millis(1), 1);
        other.fail("OVERLOADED", 1);
        other.fail("UNAVAILABLE", 2);
        both.merge(&other);
        assert_eq!((both.requests, both.draws, both.empties, both.failed()), (3, 30, 1, 6));
        let errors: Vec<_> = both.errors.iter().map(|(name, &n)| (name.as_str(), n)).collect();
        assert_eq!(errors, [("OVERLOADED", 4), ("UNAVAILABLE", 2)]);
        assert_eq!(both.latency.count(), 3);
        assert!(both.latency.nanoseconds().max().abs_diff(1_000_000) <= 1_000);
    }

    #[test]
    fn no_duration_is_too_long_to_be_recorded() {
        let mut latencies = Latencies::new();
        latencies.record(Duration::MAX, 1);
        latencies.record(Duration::ZERO, 1);
        assert_eq!(latencies.count(), 2);
    }
}
