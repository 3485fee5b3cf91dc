//! Prefix sums: the plainest selector, against which the others are checked.

use super::grown;
use crate::ids::ItemIndex;

/// Weights as the sums of all weights up to and including each item.
#[derive(Clone, Debug)]
pub struct PrefixSum {
    /// Invariant: never falling; the last one is the total.
    sums: Vec<u64>,
}

impl PrefixSum {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut total = 0;
        let sums = weights
            .map(|weight| {
                total = grown(total, weight);
                total
            })
            .collect();
        Self { sums }
    }

    pub(super) fn len(&self) -> usize {
        self.sums.len()
    }

    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.sums.last().copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn weight(&self, item: ItemIndex) -> u64 {
        let index = item.as_usize();
        let before = index.checked_sub(1).map_or(0, |previous| self.sums[previous]);
        self.sums[index] - before
    }

    /// Precondition: `r` is below the total.
    #[inline]
    pub(super) fn locate(&self, r: u64) -> usize {
        self.sums.partition_point(|&sum| sum <= r)
    }

    #[inline]
    pub(super) fn set(&mut self, item: ItemIndex, weight: u64) {
        let old = self.weight(item);
        let total = grown(self.total() - old, weight);
        // A difference modulo 2^64: each sum is in range before and after.
        let delta = weight.wrapping_sub(old);
        for sum in &mut self.sums[item.as_usize()..] {
            *sum = sum.wrapping_add(delta);
        }
        assert_eq!(self.total(), total);
    }

    pub(super) fn push(&mut self, weight: u64) {
        self.sums.push(grown(self.total(), weight));
    }
}
