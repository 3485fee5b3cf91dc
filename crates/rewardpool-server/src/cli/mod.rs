//! The command line: what can be asked for, and the one place that tells which module does it.
//!
//! Data goes to stdout and everything else to stderr, so that stdout can be piped. A command either
//! talks to a running service (`service.rs`) or reads a working directory (`directory.rs`), never
//! both. How a command ends stands in `failure.rs`, how data is written in `output.rs`.
mod bench;
mod config;
mod directory;
mod draw;
mod failure;
mod output;
mod pool;
mod serve;
mod service;
mod snapshot;
mod state;
mod status;
mod tui;
mod update;
mod verify;
mod wal;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub(crate) use self::failure::Failure;

use self::output::Format;
use self::service::Address;

const EXAMPLES: &str = "\
Examples:
  rewardpool                              Runs a sample pool, and shows it on a terminal
  rewardpool tui --attach                 Shows the running service
  rewardpool config init && rewardpool serve --config rewardpool.yaml
  rewardpool draw -n 5                    Draws from the running service
  rewardpool state                        Shows what is left
  rewardpool verify --dir /var/lib/pool   Checks a stopped service's files

Exit codes: 0 done, 1 refused by the service, 64 usage, 65 corrupt data, 69 service unavailable,
73 directory locked, 74 input or output, 78 configuration, 130 bench ended early.";

/// Hands out prizes from pools of limited stock; every answer is on disk before it is given.
///
/// Without a command it runs the service with a built-in sample pool, and shows it when there is a
/// terminal.
#[derive(Parser, Debug)]
#[command(name = "rewardpool", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    global: Global,
}

/// Options of every command.
#[derive(Args, Debug)]
struct Global {
    /// The running service that is asked
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "REWARDPOOL_ADDR",
        default_value = "http://127.0.0.1:50051"
    )]
    addr: Address,
    /// Whether the command line itself names the service.
    #[arg(skip)]
    is_addr_given: bool,
    /// How data is printed: `table` or `json`
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Format,
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::ServeArgs),
    Tui(tui::TuiArgs),
    Draw(draw::DrawArgs),
    State(state::StateArgs),
    Update(update::UpdateArgs),
    #[command(subcommand)]
    Pool(pool::PoolCommand),
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    Status(status::StatusArgs),
    #[command(subcommand)]
    Wal(wal::WalCommand),
    Verify(verify::VerifyArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Bench(bench::BenchCommand),
}

/// Who changes something, and why. Both are kept in the log.
#[derive(Args, Debug)]
struct NoteArgs {
    /// Who asks for the change, for the log
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
    /// Why, for the log
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

impl Cli {
    /// Reads the arguments of this process.
    pub(crate) fn parse_arguments() -> Result<Self, Failure> {
        let matches = Self::command().try_get_matches()?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.global.is_addr_given = matches.value_source("addr") == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

/// Does what was asked for.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    let Global { ref addr, output, .. } = cli.global;
    match cli.command {
        None if tui::has_terminal() => tui::run(tui::TuiArgs::default(), &cli.global),
        None => serve::run(&serve::ServeArgs::default()),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Tui(args)) => tui::run(args, &cli.global),
        Some(Command::Draw(args)) => draw::run(args, addr, output),
        Some(Command::State(args)) => state::run(&args, addr, output),
        Some(Command::Update(args)) => update::run(args, addr, output),
        Some(Command::Pool(command)) => pool::run(command, addr, output),
        Some(Command::Snapshot(command)) => snapshot::run(&command, addr, output),
        Some(Command::Status(args)) => status::run(&args, addr, output),
        Some(Command::Wal(command)) => wal::run(&command, output),
        Some(Command::Verify(args)) => verify::verify(&args, output),
        Some(Command::Config(command)) => config::run(&command, output),
        Some(Command::Bench(command)) => bench::run(&command, &cli.global),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
