//! What the reliability tests report: one line each, and the table of all lines at the end of a
//! test run.
//!
//! A test that looks for faults is worth as much as it tried, so it says how much that was. The
//! lines are appended to the file that `REWARDPOOL_TALLY` names, by whichever process runs the
//! test; `rewardpool-tally FILE` prints them as a table.
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

/// Names the file that the lines are appended to. Without it nothing is recorded.
pub const FILE_VARIABLE: &str = "REWARDPOOL_TALLY";

/// One line of the table.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Name of the test, which begins with its number in the test plan.
    pub test: String,
    /// How often it ran: lives, states, rounds, whatever it counts in.
    pub runs: u64,
    /// How many faults it injected.
    pub faults: u64,
    /// How many runs ended in anything else than what is promised.
    pub failures: u64,
}

/// Records what a test did. Called once, at its end, also when it is about to fail.
///
/// # Panics
/// When the file cannot be written: a table that misses a test would say too much.
pub fn record(test: &str, runs: u64, faults: u64, failures: u64) {
    if let Some(path) = std::env::var_os(FILE_VARIABLE) {
        let row = Row { test: test.to_owned(), runs, faults, failures };
        append(Path::new(&path), &row).expect("the tally can be written");
    }
}

/// A test that tells of its failure even when it ends by a panic.
#[derive(Debug)]
pub struct Trial {
    test: &'static str,
    is_over: bool,
}

impl Trial {
    /// Begins a test.
    pub fn begin(test: &'static str) -> Self {
        Self { test, is_over: false }
    }

    /// Ends a test in which nothing failed.
    pub fn pass(mut self, runs: u64, faults: u64) {
        self.is_over = true;
        record(self.test, runs, faults, 0);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if !self.is_over {
            record(self.test, 1, 0, 1);
        }
    }
}

fn append(path: &Path, row: &Row) -> io::Result<()> {
    assert!(!row.test.contains(['\t', '\n']), "a test's name is one cell");
    let line = format!("{}\t{}\t{}\t{}\n", row.test, row.runs, row.faults, row.failures);
    // One write for the whole line, because tests of several processes append.
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// Reads the rows back. Rows of the same name are added up.
///
/// # Errors
/// The number of the first line that is none of ours.
pub fn parse(text: &str) -> Result<Vec<Row>, usize> {
    let mut rows = Vec::<Row>::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let row = parse_line(line).ok_or(number)?;
        match rows.iter_mut().find(|known| known.test == row.test) {
            Some(known) => {
                known.runs += row.runs;
                known.faults += row.faults;
                known.failures += row.failures;
            }
            None => rows.push(row),
        }
    }
    rows.sort_by(|a, b| plan_order(&a.test).cmp(&plan_order(&b.test)));
    Ok(rows)
}

/// Rows stand in the order of the test plan: T2 before T10.
fn plan_order(test: &str) -> (u32, &str) {
    let digits = test.strip_prefix('T').unwrap_or_default();
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    (digits[..end].parse().unwrap_or(u32::MAX), test)
}

fn parse_line(line: &str) -> Option<Row> {
    let mut cells = line.split('\t');
    let test = cells.next()?.to_owned();
    let mut number = || cells.next()?.parse().ok();
    let row = Row { test, runs: number()?, faults: number()?, failures: number()? };
    cells.next().is_none().then_some(row)
}

/// The table of these rows, with a line of sums.
pub fn table(rows: &[Row]) -> String {
    let sum = Row {
        test: "all".to_owned(),
        runs: rows.iter().map(|row| row.runs).sum(),
        faults: rows.iter().map(|row| row.faults).sum(),
        failures: rows.iter().map(|row| row.failures).sum(),
    };
    let width = rows.iter().map(|row| row.test.chars().count()).max().unwrap_or(0).max(4);
    let mut text = format!("{:width$} {:>12} {:>12} {:>9}\n", "test", "runs", "faults", "failures");
    for Row { test, runs, faults, failures } in rows.iter().chain([&sum]) {
        writeln!(text, "{test:width$} {runs:>12} {faults:>12} {failures:>9}")
            .expect("writing to a string cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(test: &str, runs: u64) -> Row {
        Row { test: test.to_owned(), runs, faults: 2 * runs, failures: 0 }
    }

    #[test]
    fn rows_are_read_back_added_up_and_put_in_the_order_of_the_plan() {
        let path = std::env::temp_dir().join(format!("tally-{}", std::process::id()));
        for row in [row("T10 fuzz", 1), row("T2 crash", 5), row("golden", 4), row("T10 fuzz", 2)] {
            append(&path, &row).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let rows = parse(&text).unwrap();
        assert_eq!(rows, [row("T2 crash", 5), row("T10 fuzz", 3), row("golden", 4)]);
        let text = table(&rows);
        let last = text.lines().last().unwrap().split_whitespace().collect::<Vec<_>>();
        assert_eq!(last, ["all", "12", "24", "0"]);
    }

    #[test]
    fn other_lines_are_refused() {
        assert_eq!(parse("T1\t1\t2\t3\nT2\t1\t2\n"), Err(2));
        assert_eq!(parse("T1\t1\t2\t3\t4\n"), Err(1));
    }
}
