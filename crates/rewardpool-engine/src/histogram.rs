//! Counts how often a number was seen, in buckets whose width grows with the number: the writer
//! counts without a lock and without an allocation, and anybody reads beside it.
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Each power of two has so many buckets, so a bucket is at most a sixteenth of its numbers wide.
const SPLIT: usize = 16;
const SPLIT_BITS: u32 = SPLIT.ilog2();
/// The numbers below [`SPLIT`] have a bucket each; each power of two from there on has [`SPLIT`].
const BUCKETS: usize = SPLIT * (u64::BITS - SPLIT_BITS + 1) as usize;

/// The bucket of a number.
fn bucket(number: u64) -> usize {
    let Some(power) = number.checked_ilog2().filter(|&power| power >= SPLIT_BITS) else {
        return usize::try_from(number).expect("it is below the number of buckets");
    };
    let shift = power - SPLIT_BITS;
    let within = usize::try_from(number >> shift).expect("a few bits are left") - SPLIT;
    (shift as usize + 1) * SPLIT + within
}

/// The greatest number of a bucket.
fn greatest(bucket: usize) -> u64 {
    let (group, within) = (bucket / SPLIT, bucket % SPLIT);
    let Some(shift) = group.checked_sub(1) else { return within as u64 };
    let first = ((SPLIT + within) as u64) << shift;
    first + ((1 << shift) - 1)
}

/// A histogram that one thread writes to and others read.
pub(crate) struct Histogram {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts a number. Only for the one thread that writes.
    pub(crate) fn record(&self, number: u64) {
        add(&self.counts[bucket(number)], 1);
        add(&self.sum, number);
    }

    pub(crate) fn read_into(&self, counts: &mut Distribution) {
        for (to, from) in counts.counts.iter_mut().zip(&self.counts) {
            *to = from.load(Ordering::Relaxed);
        }
        counts.sum = self.sum.load(Ordering::Relaxed);
    }
}

/// Adds to a number that one thread writes: a plain addition that others may watch.
pub(crate) fn add(to: &AtomicU64, number: u64) {
    to.store(to.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
}

/// How often each number was seen, as of one moment.
#[derive(Clone, PartialEq, Eq)]
pub struct Distribution {
    counts: Box<[u64]>,
    sum: u64,
}

impl Default for Distribution {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), sum: 0 }
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Distribution {
    /// How many numbers were seen.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many numbers were at most as great as the bound. Numbers that are up to a sixteenth
    /// greater may be counted as well.
    pub fn count_to(&self, bound: u64) -> u64 {
        self.counts[..=bucket(bound)].iter().sum()
    }

    /// Takes away what an earlier moment had, which leaves what came since.
    pub fn subtract(&mut self, earlier: &Self) {
        for (to, from) in self.counts.iter_mut().zip(&earlier.counts) {
            *to = to.wrapping_sub(*from);
        }
        self.sum = self.sum.wrapping_sub(earlier.sum);
    }

    /// The number which so many per mille of all do not exceed, at most a sixteenth too great; 0
    /// when none was seen. A thousand gives the greatest.
    ///
    /// # Panics
    /// Above a thousand.
    pub fn per_mille(&self, rank: u64) -> u64 {
        assert!(rank <= 1000, "a rank is at most a thousand per mille");
        let wanted = u128::from(self.count()) * u128::from(rank);
        let mut below = 0_u128;
        for (bucket, &count) in self.counts.iter().enumerate() {
            below += u128::from(count) * 1000;
            if count > 0 && below >= wanted {
                return greatest(bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    //! Goal: the buckets cover every number once, in order, and what is read of them is right up to
    //! a sixteenth. Method: any numbers, sorted, as the oracle.
    use proptest::prelude::*;

    use super::*;

    fn distribution(numbers: &[u64]) -> Distribution {
        let (histogram, mut read) = (Histogram::default(), Distribution::default());
        for &number in numbers {
            histogram.record(number);
        }
        histogram.read_into(&mut read);
        read
    }

    /// Numbers of every size.
    fn number() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(number, shift)| number >> shift)
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        assert_eq!(bucket(0), 0);
        for place in 0..BUCKETS - 1 {
            assert_eq!(bucket(greatest(place)), place);
            assert_eq!(bucket(greatest(place) + 1), place + 1);
        }
        assert_eq!(greatest(BUCKETS - 1), u64::MAX);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_never_seen_is_zero() {
        let none = distribution(&[]);
        assert_eq!(
            (none.count(), none.sum(), none.per_mille(500), none.per_mille(1000)),
            (0, 0, 0, 0)
        );
    }

    proptest! {
        #[test]
        fn a_rank_is_right_up_to_a_sixteenth(
            mut numbers in prop::collection::vec(number(), 1..200),
            rank in 0..=1000_u64,
        ) {
            let read = distribution(&numbers);
            numbers.sort_unstable();
            prop_assert_eq!(read.count(), numbers.len() as u64);
            prop_assert_eq!(read.sum(), numbers.iter().fold(0_u64, |sum, n| sum.wrapping_add(*n)));
            let place = (numbers.len() as u64 * rank).div_ceil(1000).max(1) - 1;
            let exact = numbers[usize::try_from(place).unwrap()];
            let found = read.per_mille(rank);
            prop_assert!(found >= exact && found - exact <= exact / 16, "{found} for {exact}");
        }

        #[test]
        fn a_bound_counts_all_below_it(
            numbers in prop::collection::vec(number(), 0..200),
            bound in number(),
        ) {
            let found = distribution(&numbers).count_to(bound);
            let count = |most: u64| numbers.iter().filter(|&&n| n <= most).count() as u64;
            prop_assert!(found >= count(bound) && found <= count(bound.saturating_add(bound / 16)));
        }

        #[test]
        fn what_came_since_is_the_difference(
            before in prop::collection::vec(number(), 0..50),
            since in prop::collection::vec(number(), 0..50),
        ) {
            let all: Vec<u64> = before.iter().chain(&since).copied().collect();
            let mut difference = distribution(&all);
            difference.subtract(&distribution(&before));
            prop_assert_eq!(difference, distribution(&since));
        }
    }
}
