//! The program `rewardpool`: the service, and the commands that look after one.
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
