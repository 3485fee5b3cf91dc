//! Between whole numbers and those of statistics.

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "15 digits are enough for statistics")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// The nearest whole number; the largest one for what is beyond it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "this conversion keeps to the bounds, and no counting depends on it"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.round() as u64
}
