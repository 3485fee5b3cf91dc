//! What draws cost in the log.
use rewardpool_engine::inspect::SegmentInfo;
use serde::{Deserialize, Serialize};

/// What draws cost in the log. Segments that are removed during a run are taken to be like those
/// that are left.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Use {
    /// Bytes of the log for each draw, with the headers and padding of batches.
    pub bytes_per_draw: f64,
    /// Draws that shared one write and sync, on average.
    pub draws_per_commit: f64,
}

impl Use {
    /// From the segments that are left after so many requests, each with its record, and so many
    /// draws.
    pub(crate) fn of(segments: &[SegmentInfo], requests: u64, draws: u64) -> Self {
        let sum = |of: fn(&SegmentInfo) -> u64| float(segments.iter().map(of).sum());
        let (bytes, records) = (sum(|s| s.used_bytes), sum(|s| s.records));
        let draws_per_record = ratio(float(draws), float(requests));
        Self {
            bytes_per_draw: ratio(bytes, records * draws_per_record),
            draws_per_commit: ratio(records, sum(|s| s.batches)) * draws_per_record,
        }
    }
}

/// A count as a float, for ratios and rates.
#[expect(clippy::cast_precision_loss, reason = "an error of 2^-53 is far below that of a clock")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// The quotient, or 0 when there is nothing to divide by.
pub(crate) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
