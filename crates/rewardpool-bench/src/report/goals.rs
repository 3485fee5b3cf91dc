//! The figures to reach: what each is called, what it is compared with, and how it is judged.
//!
//! A row of the table has one line for each figure that it asks for.
use serde::{Deserialize, Serialize};

/// What a figure counts, always in the base unit: seconds, events a second, bytes, or a plain
/// ratio.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Seconds.
    Seconds,
    /// Draws a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
}

/// One demand on a figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Goal {
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// At least this share of the limit.
    ShareAtLeast(f64),
    /// At most so many times the limit.
    ShareAtMost(f64),
    /// At most so much more than the limit.
    OverAtMost(f64),
}

impl Goal {
    /// Whether the figure meets it. Without the limit that it needs, it does not.
    pub(crate) fn is_met(self, reached: f64, limit: Option<f64>) -> bool {
        let against = |judge: fn(f64, f64, f64) -> bool, by: f64| {
            limit.is_some_and(|limit| judge(reached, limit, by))
        };
        match self {
            Self::AtMost(most) => reached <= most,
            Self::AtLeast(least) => reached >= least,
            Self::ShareAtLeast(share) => against(|r, limit, share| r >= share * limit, share),
            Self::ShareAtMost(share) => against(|r, limit, share| r <= share * limit, share),
            Self::OverAtMost(over) => against(|r, limit, over| r <= limit + over, over),
        }
    }

    /// The demand in words.
    pub(crate) fn text(self, unit: Unit) -> String {
        match self {
            Self::AtMost(most) => format!("<= {}", unit.text(most)),
            Self::AtLeast(least) => format!(">= {}", unit.text(least)),
            Self::ShareAtLeast(share) => format!(">= {:.0} % of the limit", 100.0 * share),
            Self::ShareAtMost(share) => format!("<= {share:.1}x the limit"),
            Self::OverAtMost(over) => format!("<= limit + {}", unit.text(over)),
        }
    }
}

impl Unit {
    /// A figure as people read it.
    pub(crate) fn text(self, value: f64) -> String {
        match self {
            Self::Seconds => scaled(value, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")]),
            Self::PerSecond => {
                scaled(value, &[(1e9, "G/s"), (1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")])
            }
            Self::Bytes => scaled(value, &[(1_048_576.0, "MiB"), (1.0, "B")]),
            Self::BytesPerSecond => scaled(value, &[(1e9, "GB/s"), (1e6, "MB/s"), (1.0, "B/s")]),
        }
    }
}

impl Unit {
    /// The same for a power of ten, without digits after the point.
    pub(crate) fn short_text(self, value: f64) -> String {
        let text = self.text(value);
        let (number, unit) = text.split_once(' ').expect("a unit follows");
        let number = number.split_once('.').map_or(number, |(whole, _)| whole);
        format!("{number} {unit}")
    }
}

/// Three digits that count, with the largest unit that leaves at least one before the point.
fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let last = units.last().expect("there is a smallest unit");
    let &(size, name) = units.iter().find(|(size, _)| value.abs() >= *size).unwrap_or(last);
    match value / size {
        short if short.abs() >= 100.0 => format!("{short:.0} {name}"),
        short if short.abs() >= 10.0 => format!("{short:.1} {name}"),
        short => format!("{short:.2} {name}"),
    }
}

/// One figure of the table.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Line {
    /// The row of the table, from 1 on.
    pub(crate) row: u8,
    /// Tells the lines of a row apart.
    pub(crate) key: &'static str,
    /// What is measured.
    pub(crate) what: &'static str,
    pub(crate) unit: Unit,
    /// All of them must be met.
    pub(crate) goals: &'static [Goal],
    /// What stands in the column of limits; empty when there is none.
    pub(crate) limit: &'static str,
}

const fn line(
    (row, key): (u8, &'static str),
    what: &'static str,
    unit: Unit,
    goals: &'static [Goal],
    limit: &'static str,
) -> Line {
    Line { row, key, what, unit, goals, limit }
}

/// Rows of the table.
pub(crate) const ROWS: u8 = 18;

use Goal::{AtLeast, AtMost, OverAtMost, ShareAtLeast, ShareAtMost};
use Unit::{Bytes, BytesPerSecond, PerSecond, Seconds};

const BARE_DRAW: &str = "select, decrement, encode 2 bytes";
const BARE_LOOP: &str = "select, encode, pwrite, fdatasync";
const BARE_COMMIT: &str = "pwrite, fdatasync";
const ECHO: &str = "echo of the same messages";

/// The whole table, by row.
pub(crate) const LINES: [Line; 36] = [
    line((1, "6"), "draw in process, 6 items", Seconds, &[AtMost(8e-9)], BARE_DRAW),
    line((1, "1000"), "draw in process, 1 000 items", Seconds, &[AtMost(18e-9)], BARE_DRAW),
    line((1, "100000"), "draw in process, 100 000 items", Seconds, &[AtMost(40e-9)], BARE_DRAW),
    line(
        (2, "hundreds"),
        "durable in process, 100 a command, batches of 4 096",
        PerSecond,
        &[ShareAtLeast(0.7), AtLeast(20e6)],
        BARE_LOOP,
    ),
    line((2, "hundreds p99"), "its commit, p99", Seconds, &[AtMost(250e-6)], BARE_LOOP),
    line(
        (2, "singles"),
        "durable in process, single draws, batches of 4 096",
        PerSecond,
        &[ShareAtLeast(0.7), AtLeast(20e6)],
        BARE_LOOP,
    ),
    line((2, "singles p99"), "its commit, p99", Seconds, &[AtMost(250e-6)], BARE_LOOP),
    line((3, "6"), "durable in process, 6 items", PerSecond, &[AtLeast(60e6)], BARE_LOOP),
    line((3, "1000"), "durable in process, 1 000 items", PerSecond, &[AtLeast(30e6)], BARE_LOOP),
    line((4, "p50"), "commit, one caller, p50", Seconds, &[ShareAtMost(1.1)], BARE_COMMIT),
    line((4, "p99"), "commit, one caller, p99", Seconds, &[ShareAtMost(1.2)], BARE_COMMIT),
    line((5, "p50"), "gRPC, 1 in flight, p50", Seconds, &[OverAtMost(20e-6)], "echo + sync"),
    line((6, "rate"), "gRPC stream, 64 connections x 1", PerSecond, &[ShareAtLeast(0.75)], ECHO),
    line((6, "p99"), "its p99", Seconds, &[AtMost(1.5e-3)], ECHO),
    line(
        (7, "rate"),
        "gRPC stream, 8 x 64 in flight, singles",
        PerSecond,
        &[ShareAtLeast(0.65), AtLeast(1.8e6)],
        ECHO,
    ),
    line((7, "p99"), "its p99", Seconds, &[AtMost(1e-3)], ECHO),
    line(
        (8, "rate"),
        "gRPC stream, 8 x 16 in flight, count 100",
        PerSecond,
        &[ShareAtLeast(0.5), AtLeast(40e6)],
        ECHO,
    ),
    line((9, "rate"), "older interface, count 100", PerSecond, &[ShareAtLeast(0.65)], ECHO),
    line((10, "6"), "row 6 with 1 000 items", PerSecond, &[ShareAtLeast(0.95)], "with 6 items"),
    line((10, "7"), "row 7 with 1 000 items", PerSecond, &[ShareAtLeast(0.95)], "with 6 items"),
    line((10, "8"), "row 8 with 1 000 items", PerSecond, &[ShareAtLeast(0.8)], "with 6 items"),
    line((11, "p99"), "commit p99 beside 2 CPU hogs", Seconds, &[AtMost(500e-6)], BARE_COMMIT),
    line(
        (12, "thousands"),
        "replay from cache, 1 000 draws a record",
        PerSecond,
        &[AtLeast(100e6)],
        "raw read",
    ),
    line(
        (12, "singles"),
        "replay from cache, single draws",
        PerSecond,
        &[AtLeast(100e6)],
        "raw read",
    ),
    line(
        (12, "cold"),
        "replay from disk, single draws",
        BytesPerSecond,
        &[ShareAtLeast(0.8)],
        "raw read, cold",
    ),
    line(
        (13, "rotation"),
        "draw p99 beside rotations, 1 M items",
        Seconds,
        &[OverAtMost(1e-3)],
        "without",
    ),
    line(
        (13, "snapshot"),
        "draw p99 beside snapshots, 1 M items",
        Seconds,
        &[OverAtMost(1e-3)],
        "without",
    ),
    line((14, "rate"), "gRPC unary, 8 x 32 in flight", PerSecond, &[ShareAtLeast(0.65)], ECHO),
    line((15, "select"), "select with generator, 1 M items", Seconds, &[AtMost(30e-9)], ""),
    line((15, "update"), "update of a weight, 1 M items", Seconds, &[AtMost(40e-9)], ""),
    line((16, "single"), "log of a single draw, full batches", Bytes, &[AtMost(4.0)], ""),
    line((16, "multi"), "log of a draw among 100, full batches", Bytes, &[AtMost(2.0)], ""),
    line((17, "item"), "memory of an item beside its name, 1 M items", Bytes, &[AtMost(96.0)], ""),
    line((17, "idle"), "memory of an idle service", Bytes, &[AtMost(20.0 * 1_048_576.0)], ""),
    line(
        (18, "start"),
        "start with 1 M items and 10 M records",
        Seconds,
        &[OverAtMost(1.0)],
        "raw read",
    ),
    line((18, "replay"), "its replay alone", Seconds, &[OverAtMost(1.0)], "raw read"),
];

/// The line with this row and key.
pub(crate) fn find(row: u8, key: &str) -> Option<&'static Line> {
    LINES.iter().find(|line| line.row == row && line.key == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_goal_and_a_way_to_be_judged() {
        for row in 1..=ROWS {
            assert!(LINES.iter().any(|line| line.row == row), "row {row}");
        }
        for line in &LINES {
            assert!((1..=ROWS).contains(&line.row), "{line:?}");
            assert!(!line.goals.is_empty(), "{line:?}");
            let is_relative = |goal: &Goal| !goal.is_met(1.0, None) && !goal.is_met(1e-12, None);
            let needs_limit =
                line.goals.iter().any(|goal| is_relative(goal) && !goal.is_met(1e12, None));
            assert!(!needs_limit || !line.limit.is_empty(), "{line:?}");
            let same = LINES.iter().filter(|other| (other.row, other.key) == (line.row, line.key));
            assert_eq!(same.count(), 1, "{line:?}");
            // Each goal can be met and can be missed.
            for goal in line.goals {
                let met = |reached| goal.is_met(reached, Some(1.0));
                assert_ne!(met(1e-12), met(1e12), "{line:?}");
            }
        }
        assert!(LINES.is_sorted_by_key(|line| line.row));
    }

    #[test]
    fn goals_are_judged_on_the_right_side() {
        assert!(AtMost(8.0).is_met(8.0, None) && !AtMost(8.0).is_met(8.1, None));
        assert!(AtLeast(8.0).is_met(8.0, None) && !AtLeast(8.0).is_met(7.9, None));
        let limit = Some(10.0);
        assert!(ShareAtLeast(0.7).is_met(7.0, limit) && !ShareAtLeast(0.7).is_met(6.9, limit));
        assert!(ShareAtMost(1.1).is_met(11.0, limit) && !ShareAtMost(1.1).is_met(11.1, limit));
        assert!(OverAtMost(1.0).is_met(11.0, limit) && !OverAtMost(1.0).is_met(11.1, limit));
        assert!(!ShareAtLeast(0.7).is_met(7.0, None));
    }

    #[test]
    fn figures_are_read_with_three_digits() {
        let texts = [
            (Seconds, 6.94e-9, "6.94 ns"),
            (Seconds, 104e-6, "104 us"),
            (Seconds, 0.0335, "33.5 ms"),
            (PerSecond, 34e6, "34.0 M/s"),
            (PerSecond, 135_000.0, "135 k/s"),
            (Bytes, 1.125, "1.12 B"),
            (Bytes, 20.0 * 1_048_576.0, "20.0 MiB"),
            (BytesPerSecond, 1.09e9, "1.09 GB/s"),
        ];
        for (unit, value, text) in texts {
            assert_eq!(unit.text(value), text);
        }
    }
}
