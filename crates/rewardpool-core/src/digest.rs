//! A 64-bit digest of a list of numbers, for the log's own checks.
//!
//! It stands in logged records, so it is part of the format and never changes. It is made to find
//! mistakes, not to withstand somebody who looks for two states with the same digest: that is what
//! the SHA-256 of segments and snapshots is for.
use crate::ids::{ItemIndex, Outcome};

/// Two odd numbers without a simple relation: the fractions of the golden ratio and of the square
/// root of 3.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const SPREAD: u64 = 0xBB67_AE85_84CA_A73B;

/// A digest in the making. The order of the numbers counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest(u64);

impl Digest {
    /// The digest of no number at all.
    pub(crate) const fn new() -> Self {
        Self(STEP)
    }

    /// Appends a number.
    pub(crate) const fn word(self, word: u64) -> Self {
        let mixed = (self.0 ^ word).wrapping_mul(STEP);
        Self((mixed ^ (mixed >> 29)).wrapping_mul(SPREAD))
    }

    /// Appends a number of 128 bits.
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken on its own")]
    pub(crate) const fn wide(self, word: u128) -> Self {
        self.word(word as u64).word((word >> 64) as u64)
    }

    /// Appends an outcome.
    pub(crate) fn outcome(self, outcome: Outcome) -> Self {
        let number = outcome.item().map_or(u32::MAX, ItemIndex::number);
        self.word(u64::from(number))
    }

    /// The digest of all numbers so far.
    pub(crate) const fn finish(self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// The factor with which the item at this place counts in a linear sum. Odd, so that no change of
/// one item alone can leave the sum as it was.
#[inline]
pub(crate) const fn coefficient(index: u32) -> u64 {
    let mixed = (index as u64 + 1).wrapping_mul(STEP);
    (mixed ^ (mixed >> 32)).wrapping_mul(SPREAD) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_length_and_content_count() {
        let digest = |words: &[u64]| {
            words.iter().fold(Digest::new(), |digest, &word| digest.word(word)).finish()
        };
        let lists: [&[u64]; 6] = [&[], &[0], &[0, 0], &[1, 2], &[2, 1], &[1, 2, 0]];
        for (at, one) in lists.iter().enumerate() {
            for other in &lists[at + 1..] {
                assert_ne!(digest(one), digest(other), "{one:?} {other:?}");
            }
        }
    }

    /// The digest stands in logs, so its values may never change.
    #[test]
    fn values_are_frozen() {
        assert_eq!(Digest::new().word(1).word(2).finish(), 11_326_417_576_979_168_141);
        assert_eq!(coefficient(0), 10_963_043_380_505_576_101);
        assert_eq!(coefficient(1_000_000), 8_324_901_505_471_363_879);
    }

    #[test]
    fn coefficients_of_neighbours_are_not_in_proportion() {
        let differences: Vec<u64> =
            (0..1000).map(|at| coefficient(at + 1).wrapping_sub(coefficient(at))).collect();
        let mut unique = differences.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), differences.len());
    }
}
