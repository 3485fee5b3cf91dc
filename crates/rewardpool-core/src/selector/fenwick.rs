//! A Fenwick tree: each entry sums the weights of a power-of-two run that ends at it.
//!
//! Entries count from 1. The number of entries is a power of two, so that the descent has no
//! bounds to mind; entries past the last item sum what is there. The entry at the capacity itself
//! would be the total and is not stored.

use core::hint::select_unpredictable;

use super::grown;
use crate::ids::ItemIndex;

/// Weights as a Fenwick tree.
#[derive(Clone, Debug)]
pub struct Fenwick {
    /// Invariant: the length is a power of two and not below the number of items. Entry 0 is 0.
    sums: Vec<u64>,
    weights: Vec<u64>,
    total: u64,
}

impl Fenwick {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u64>) -> Self {
        let weights: Vec<u64> = weights.collect();
        let total = weights.iter().fold(0, |total, &weight| grown(total, weight));
        let capacity = weights.len().next_power_of_two();
        let mut sums = vec![0; capacity];
        for (sum, weight) in sums.iter_mut().skip(1).zip(&weights) {
            *sum = *weight;
        }
        for entry in 1..capacity {
            let parent = parent_of(entry);
            if parent < capacity {
                sums[parent] += sums[entry];
            }
        }
        Self { sums, weights, total }
    }

    pub(super) fn len(&self) -> usize {
        self.weights.len()
    }

    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    #[inline]
    pub(super) fn weight(&self, item: ItemIndex) -> u64 {
        self.weights[item.as_usize()]
    }

    /// Precondition: `r` is below the total.
    #[inline]
    pub(super) fn locate(&self, r: u64) -> usize {
        let mut rest = r;
        let mut entry = 0;
        let mut step = self.sums.len() / 2;
        while step > 0 {
            let next = entry | step;
            let sum = self.sums[next];
            // The outcome is random: a branch would be mispredicted half of the time.
            let right = sum <= rest;
            entry = select_unpredictable(right, next, entry);
            rest = select_unpredictable(right, rest.wrapping_sub(sum), rest);
            step /= 2;
        }
        entry
    }

    #[inline]
    pub(super) fn set(&mut self, item: ItemIndex, weight: u64) {
        let old = self.weight(item);
        self.total = grown(self.total - old, weight);
        self.weights[item.as_usize()] = weight;
        self.add(item.as_usize() + 1, weight.wrapping_sub(old));
    }

    pub(super) fn push(&mut self, weight: u64) {
        let total = grown(self.total, weight);
        let capacity = self.sums.len();
        if self.weights.len() == capacity {
            self.sums.resize(capacity * 2, 0);
            self.sums[capacity] = self.total;
        }
        self.weights.push(weight);
        self.total = total;
        self.add(self.weights.len(), weight);
        assert!(self.weights.len() <= self.sums.len());
    }

    /// Adds a difference, modulo 2^64, to the runs that hold this entry.
    #[inline]
    fn add(&mut self, entry: usize, delta: u64) {
        let mut entry = entry;
        while let Some(sum) = self.sums.get_mut(entry) {
            *sum = sum.wrapping_add(delta);
            entry = parent_of(entry);
        }
    }
}

/// The next entry whose run holds the run of this one.
#[inline]
fn parent_of(entry: usize) -> usize {
    entry + (entry & entry.wrapping_neg())
}
