//! Measures the service beside its limits, and checks the distribution of its draws.
mod catalog;
mod distribution;
mod echo;
mod engine;
mod grpc;
mod peers;
mod recovery;
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
    /// Measures what rotations and snapshots of a large pool add to the draws beside them.
    Pauses {
        /// Seconds for each row.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Items of the pool.
        #[arg(long, default_value_t = 1_000_000)]
        items: u64,
    },
    /// Measures replay, the start, and the memory of a large pool.
    Recovery {
        /// Seconds for which each log is filled.
        #[arg(long, default_value_t = 1)]
        seconds: u64,
        /// Items of the large pool.
        #[arg(long, default_value_t = 1_000_000)]
        items: u64,
    },
    /// Measures a service over gRPC beside an echo of the same messages.
    Grpc {
        /// Seconds for each row.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// The service to measure; built by `cargo build --release`.
        #[arg(long, default_value = "target/release/rewardpool")]
        binary: std::path::PathBuf,
        /// Items of the pool.
        #[arg(long, default_value_t = 6)]
        items: u64,
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
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Distribution { draws } => distribution::run(draws),
        Command::Engine { seconds } => engine::run(seconds),
        Command::Pauses { seconds, items } => engine::pauses(seconds, items),
        Command::Recovery { seconds, items } => recovery::run(seconds, items),
        Command::Grpc { seconds, binary, items } => grpc::run(seconds, &binary, items),
        Command::Peers(options) => peers::run(&options),
        Command::Echo { listen } => echo::run(listen),
    }
}
