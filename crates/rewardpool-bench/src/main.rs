//! Measures the service beside its limits, and checks the distribution of its draws.
mod bench;
mod children;
mod distribution;
mod in_process;
mod limits;
mod peers;
mod report;
mod rounds;
mod rows;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::bench::{Bench, Part, Scale};

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
    /// Measures every figure beside its limit, prints the table and saves it.
    Table {
        /// Only these, separated by blanks: 1 to 18, batches, selectors, growth. The rest of the
        /// report stays as it is.
        #[arg(long, value_delimiter = ' ')]
        rows: Vec<Part>,
        /// Where the report is saved.
        #[arg(long, default_value = "target/bench/report.json")]
        json: PathBuf,
        /// The service to measure; built by `cargo build --release`.
        #[arg(long, default_value = "target/release/rewardpool")]
        service: PathBuf,
        /// Where logs are made: on the disk to be measured.
        #[arg(long, default_value = "target/bench")]
        directory: PathBuf,
        /// Only sees that everything works: the figures mean nothing.
        #[arg(long)]
        smoke: bool,
    },
    /// Draws figures and plots from a saved report into a document, between its markers.
    Report {
        /// The report.
        json: PathBuf,
        /// The document; its plots go into a directory of the same name beside it.
        document: PathBuf,
    },
    /// Measures the service and what people would use instead, in one run.
    Peers(peers::Options),
    /// Serves the echo, on a port of its own.
    #[command(hide = true)]
    Echo {
        /// Where to listen.
        #[arg(long)]
        listen: std::net::SocketAddr,
    },
    /// Takes a CPU until it is killed.
    #[command(hide = true)]
    Hog,
    /// Prints the memory that a directory takes when it is opened.
    #[command(hide = true)]
    Memory {
        /// The directory.
        data: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Distribution { draws } => distribution::run(draws),
        Command::Table { rows, json, service, directory, smoke } => {
            let parts = if rows.is_empty() { Part::all() } else { rows };
            let scale = if smoke { Scale::SMOKE } else { Scale::FULL };
            let myself = std::env::current_exe()?;
            bench::run(&Bench { scale, service, myself, parent: directory }, &parts, &json)
        }
        Command::Report { json, document } => report::render(&json, &document),
        Command::Echo { listen } => limits::echo::run(listen),
        Command::Hog => children::hog(),
        Command::Memory { data } => rows::report_memory(&data),
        Command::Peers(options) => peers::run(&options),
    }
}
