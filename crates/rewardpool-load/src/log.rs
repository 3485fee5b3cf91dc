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
    /// From the segments that are left of a log with so many draws. Records are numbered without
    /// gaps, so their numbers tell which share of the log is left.
    pub(crate) fn of(segments: &[SegmentInfo], draws: u64) -> Self {
        let sum = |of: fn(&SegmentInfo) -> u64| float(segments.iter().map(of).sum());
        let all_records = segments.iter().filter_map(|segment| segment.last_lsn).max().unwrap_or(0);
        let left = ratio(sum(|segment| segment.records), float(all_records));
        let draws_left = float(draws) * left;
        Self {
            bytes_per_draw: ratio(sum(|segment| segment.used_bytes), draws_left),
            draws_per_commit: ratio(draws_left, sum(|segment| segment.batches)),
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

#[cfg(test)]
mod tests {
    use rewardpool_engine::core::format::Format;
    use rewardpool_engine::inspect::SegmentStatus;

    use super::*;

    fn segment(first_lsn: u64, records: u64, used_bytes: u64, batches: u64) -> SegmentInfo {
        SegmentInfo {
            name: String::new(),
            bytes: 1 << 20,
            used_bytes,
            format: Format::Binary,
            first_lsn,
            last_lsn: (first_lsn + records).checked_sub(1).filter(|_| records > 0),
            batches,
            records,
            status: SegmentStatus::Open,
            torn_at: None,
        }
    }

    #[test]
    fn removed_segments_are_taken_to_be_like_those_that_are_left() {
        let whole = Use { bytes_per_draw: 3.0, draws_per_commit: 50.0 };
        let segments = [segment(1, 100, 1_500, 10), segment(101, 100, 1_500, 10)];
        assert_eq!(Use::of(&segments, 1_000), whole);
        assert_eq!(Use::of(&segments[1..], 1_000), whole);
        let open = [segment(101, 100, 1_500, 10), segment(201, 0, 0, 0)];
        assert_eq!(Use::of(&open, 1_000), whole);
        assert_eq!(Use::of(&[], 0), Use { bytes_per_draw: 0.0, draws_per_commit: 0.0 });
    }
}
