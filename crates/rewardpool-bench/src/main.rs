//! Measures the service beside its limits, and checks the distribution of its draws.
mod catalog;
mod distribution;
mod engine;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures rewardpool and checks its odds.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Draws a million times from each of several catalogues and compares with the weights.
    Distribution {
        /// Draws from each catalogue.
        #[arg(long, default_value_t = 1_000_000)]
        draws: u64,
    },
    /// Measures the engine in this process beside a bare loop of write and sync.
    Engine {
        /// Seconds for each row.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Distribution { draws } => distribution::run(draws),
        Command::Engine { seconds } => engine::run(seconds),
    }
}
