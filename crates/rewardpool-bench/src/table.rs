//! Numbers as people read them.
#![expect(clippy::print_stdout, reason = "the output of the program")]

use std::time::Duration;

/// A count as a float, for ratios.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// Events in a second.
pub(crate) fn per_second(count: u64, elapsed: Duration) -> f64 {
    float(count) / elapsed.as_secs_f64()
}

/// Prints one line of a table.
pub(crate) fn row(columns: &[&str]) {
    let widths = [44, 16, 16, 12, 10, 10];
    let cells = columns.iter().zip(widths).enumerate().map(|(place, (text, width))| {
        if place == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    });
    println!("{}", cells.collect::<Vec<_>>().join(" "));
}
