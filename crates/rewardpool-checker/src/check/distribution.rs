//! Whether draws follow the weights, exactly: expectation and variance are those of each draw, with
//! the stock that was there at that moment.
//!
//! For each item, the number of times that it was drawn minus the sum of its chances is a
//! martingale with steps of at most 1. Freedman's inequality bounds how far it strays: by x with a
//! probability of at most 2 exp(-x² / (2 (V + x / 3))), where V is the sum of p (1 - p). The bound is
//! rigorous for small numbers and for stock that runs out, where a normal approximation is not.
//!
//! While an item's weight does not change, the sum of its chances is its weight times the growth of
//! the sum of 1 / total; so a draw costs O(1) whatever the number of items.

/// The sums over draws of 1 / total and of 1 / total².
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Spread {
    first: f64,
    second: f64,
}

impl Spread {
    /// Counts a draw from items of this total weight.
    #[expect(clippy::cast_precision_loss, reason = "15 digits of a weight are enough for a test")]
    pub(super) fn draw(&mut self, total: u64) {
        let chance = 1.0 / total as f64;
        self.first += chance;
        self.second += chance * chance;
    }
}

/// What is expected of one item, and what came.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Tally {
    since: Spread,
    expected: f64,
    variance: f64,
    drawn: u64,
}

impl Tally {
    /// Of an item that is there from now on.
    pub(super) fn from_now(now: Spread) -> Self {
        Self { since: now, ..Self::default() }
    }

    /// Counts that it was drawn.
    pub(super) fn draw(&mut self) {
        self.drawn += 1;
    }

    /// Accounts for all draws since the last call, in which it had this weight.
    #[expect(clippy::cast_precision_loss, reason = "15 digits of a weight are enough for a test")]
    pub(super) fn settle(&mut self, weight: u64, now: Spread) {
        let weight = weight as f64;
        let chances = weight * (now.first - self.since.first);
        self.expected += chances;
        self.variance += chances - weight * weight * (now.second - self.since.second);
        self.since = now;
    }

    /// An upper bound of the probability to stray so far by chance.
    #[expect(clippy::cast_precision_loss, reason = "a count of draws is below 2^52")]
    pub(super) fn p_value(&self) -> f64 {
        // Sums of floats: half a draw is far above what rounding does and far below what tells.
        let strayed = ((self.drawn as f64 - self.expected).abs() - 0.5).max(0.0);
        let spread = self.variance.max(0.0) + strayed / 3.0;
        if strayed > 0.0 {
            (2.0 * (-strayed * strayed / (2.0 * spread)).exp()).min(1.0)
        } else {
            1.0
        }
    }

    pub(super) fn drawn(&self) -> u64 {
        self.drawn
    }

    pub(super) fn expected(&self) -> f64 {
        self.expected
    }

    pub(super) fn variance(&self) -> f64 {
        self.variance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fair_draws_are_likely_and_unfair_ones_are_not() {
        let mut spread = Spread::default();
        let (mut fair, mut unfair) = (Tally::default(), Tally::default());
        for number in 0..10_000 {
            spread.draw(4);
            if number % 4 == 0 {
                fair.draw();
            }
            if number % 3 == 0 {
                unfair.draw();
            }
        }
        fair.settle(1, spread);
        unfair.settle(1, spread);
        assert!((fair.expected() - 2500.0).abs() < 1e-6);
        assert!((fair.variance() - 1875.0).abs() < 1e-6);
        assert!(fair.p_value() > 0.99);
        assert!(unfair.p_value() < 1e-50);
    }
}
