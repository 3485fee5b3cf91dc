//! The program `rewardpool`: the service, and the commands that look after one.
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    let result = cli::Cli::parse_arguments().and_then(cli::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
