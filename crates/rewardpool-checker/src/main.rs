//! The program `rewardpool-check`: judges a history against the directory of a dead service.
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::{Report, history, log};
use rewardpool_engine::Chain;

/// The exit codes, those of sysexits; 1 for a run that is not right.
mod exit {
    pub(crate) const VIOLATED: u8 = 1;
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const UNREADABLE: u8 = 65;
    pub(crate) const OUTPUT: u8 = 74;
}

const EXAMPLES: &str = "\
Examples:
  rewardpool-check history.jsonl /var/lib/rewardpool
  rewardpool-check history.jsonl archive --ready-within 20 -o json

DIR must hold the log from its beginning to judge everything: keep hard links of the segments,
snapshots and secrets that the service prunes. Of a log that begins later, only what follows is
judged.

Exit codes: 0 nothing violated, 1 violations, 64 usage, 65 the log or the history cannot be read.";

/// Compares what clients of the reward pool were told with what its log holds.
#[derive(Parser, Debug)]
#[command(name = "rewardpool-check", version, after_help = EXAMPLES)]
struct Cli {
    /// What clients saw: one JSON object a line
    #[arg(value_name = "HISTORY")]
    history: PathBuf,
    /// The working directory of a service that does not run; it is only read
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Seconds in which the service has to be ready
    #[arg(long, value_name = "SECONDS", default_value = "5")]
    ready_within: u32,
    /// How the verdict is printed: `text` or `json`
    #[arg(short, long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    output: String,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to be told when this fails.
            let _printed = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { 0 });
        }
    };
    let report = match judge(&cli) {
        Ok(report) => report,
        Err(message) => {
            let _written = writeln!(io::stderr(), "error: {message}");
            return ExitCode::from(exit::UNREADABLE);
        }
    };
    let printed = if cli.output == "json" {
        serde_json::to_string_pretty(&report).map_err(io::Error::from).map(|text| text + "\n")
    } else {
        Ok(report.to_string())
    };
    match printed.and_then(|text| io::stdout().write_all(text.as_bytes())) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(exit::OUTPUT),
        _ if report.is_good() => ExitCode::SUCCESS,
        _ => ExitCode::from(exit::VIOLATED),
    }
}

fn judge(cli: &Cli) -> Result<Report, String> {
    let events = history::read(&cli.history).map_err(|error| error.to_string())?;
    let log = log::load(&cli.directory)
        .map_err(|error| format!("{}: {}", cli.directory.display(), Chain(&error)))?;
    let ready_within = Duration::from_secs(cli.ready_within.into());
    Ok(check(&events, &log, &Limits { ready_within, ..Limits::default() }))
}
