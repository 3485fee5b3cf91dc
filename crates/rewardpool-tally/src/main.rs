//! Prints the table of a test run: `rewardpool-tally FILE`. Fails when a test reported a failure.
use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        return fail("usage: rewardpool-tally FILE");
    };
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return fail(&format!("cannot read {path}: {error}")),
    };
    let rows = match rewardpool_tally::parse(&text) {
        Ok(rows) => rows,
        Err(line) => return fail(&format!("{path}:{line}: not a line of a tally")),
    };
    if write!(std::io::stdout(), "{}", rewardpool_tally::table(&rows)).is_err() {
        return ExitCode::FAILURE;
    }
    let failed = rows.is_empty() || rows.iter().any(|row| row.failures > 0);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn fail(message: &str) -> ExitCode {
    // Nothing is left to do when standard error is closed.
    drop(writeln!(std::io::stderr(), "rewardpool-tally: {message}"));
    ExitCode::from(64)
}
