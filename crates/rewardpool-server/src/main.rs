//! The program `rewardpool`: the service, and the commands that look after one.
mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let result = cli::Cli::try_parse().map_err(cli::Failure::from).and_then(cli::run);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
