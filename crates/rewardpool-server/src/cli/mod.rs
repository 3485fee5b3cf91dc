//! The command line: what can be asked for, and the one place that tells which module does it.
//!
//! Data goes to stdout and everything else to stderr, so that stdout can be piped. A command either
//! talks to a running service (`service.rs`) or reads a working directory (`directory.rs`), never
//! both. How a command ends stands in `failure.rs`, how data is written in `output.rs`.
mod archive;
mod backup;
mod bench;
mod complete;
mod completions;
mod config;
mod directory;
mod draw;
mod failure;
mod follow;
mod health;
mod interrupt;
mod log;
mod man;
mod output;
mod pool;
mod promote;
mod restore;
mod running;
mod serve;
mod service;
mod simulate;
mod snapshot;
mod state;
mod status;
mod token;
mod tui;
mod update;
mod verify;
mod wal;
mod wal_tail;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use clap_complete::ArgValueCompleter;

pub(crate) use self::failure::Failure;

use self::output::Format;
use self::service::{AccessArgs, Address, DEFAULT_URL, parse_timeout};

const EXAMPLES: &str = "\
Examples:
  rewardpool                              Runs a sample pool, and shows it on a terminal
  rewardpool tui --attach                 Shows the running service
  rewardpool config init && rewardpool serve --config rewardpool.yaml
  rewardpool draw -n 5                    Draws from the running service
  rewardpool state --watch                Shows what is left, again and again
  rewardpool simulate                     Tries out the sample catalogue
  rewardpool verify --dir /var/lib/pool   Checks a stopped service's files

Exit codes: 0 done, 1 refused by the service (config diff: something differs), 64 usage, 65 corrupt
data, 69 service unavailable, 73 directory locked, 74 input or output, 78 configuration, 130 ended
early, 141 nobody reads the output.";

/// Hands out prizes from pools of limited stock; no answer before it is on disk
///
/// Without a command it runs the service with a built-in sample pool, and shows it when there is a
/// terminal. Commands talk to the running service at --addr, or read the files of a stopped one at
/// --dir. Data goes to stdout, errors with their cause and the next step to stderr; with `-o json`
/// both are JSON.
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
#[command(next_help_heading = "Global options")]
struct Global {
    /// The running service that is asked
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "REWARDPOOL_ADDR",
        hide_env_values = true,
        default_value = DEFAULT_URL
    )]
    addr: Address,
    /// Whether the command line itself names the service.
    #[arg(skip)]
    is_addr_given: bool,
    /// How long a call of the service may take, such as 500ms or 10s [default: 1m]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "REWARDPOOL_TIMEOUT",
        hide_env_values = true,
        value_parser = parse_timeout
    )]
    timeout: Option<Duration>,
    #[command(flatten)]
    access: AccessArgs,
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

impl Global {
    /// For a command that reads either a service or a directory.
    fn refuse_addr_with_dir(&self) -> Result<(), Failure> {
        if self.is_addr_given {
            let what = "--dir reads a directory, and --addr names a service";
            return Err(Failure::usage(what, "leave out one of them"));
        }
        Ok(())
    }
}

#[derive(Subcommand, Debug)]
enum Command {
    Serve(serve::ServeArgs),
    Follow(follow::FollowArgs),
    Promote(promote::PromoteArgs),
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
    Backup(backup::BackupArgs),
    Restore(restore::RestoreArgs),
    Health(health::HealthArgs),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    Simulate(simulate::SimulateArgs),
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// Which pool is meant.
#[derive(Args, Debug)]
struct PoolOption {
    /// The pool; without it the only one, or `default`
    #[arg(
        long, default_value = "", hide_default_value = true, env = "REWARDPOOL_POOL",
        hide_env_values = true, add = ArgValueCompleter::new(complete::pools)
    )]
    pool: String,
}

/// The same for a command of which the pool is the only subject.
#[derive(Args, Debug)]
struct PoolArgument {
    /// The pool; without it the only one, or `default`
    #[arg(
        default_value = "", hide_default_value = true, env = "REWARDPOOL_POOL",
        hide_env_values = true, add = ArgValueCompleter::new(complete::pools)
    )]
    pool: String,
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

/// Does what the arguments of this process ask for.
pub(crate) fn main() -> ExitCode {
    if let Some(code) = completions::answer_shell() {
        return code;
    }
    let arguments: Vec<OsString> = env::args_os().collect();
    output::look_at_terminal();
    match Cli::parse_arguments(&arguments).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(Format::of_arguments(arguments.iter().map(OsString::as_os_str)))
        }
    }
}

impl Cli {
    fn parse_arguments(arguments: &[OsString]) -> Result<Self, Failure> {
        let matches = Self::command().try_get_matches_from(arguments)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        let access = cli.global.access.clone();
        cli.global.addr = cli.global.addr.with_timeout(cli.global.timeout).with_access(access);
        cli.global.is_addr_given = matches.value_source("addr") == Some(ValueSource::CommandLine);
        Ok(cli)
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Global { ref addr, output, .. } = cli.global;
    match cli.command {
        None if tui::has_terminal() => tui::run(tui::TuiArgs::default(), &cli.global),
        None => serve::run(&serve::ServeArgs::default()),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Follow(args)) => follow::run(args, &cli.global.access),
        Some(Command::Promote(args)) => promote::run(&args, &cli.global),
        Some(Command::Tui(args)) => tui::run(args, &cli.global),
        Some(Command::Draw(args)) => draw::run(args, addr, output),
        Some(Command::State(args)) => state::run(&args, &cli.global),
        Some(Command::Update(args)) => update::run(args, addr, output),
        Some(Command::Pool(command)) => pool::run(command, addr, output),
        Some(Command::Snapshot(command)) => snapshot::run(&command, addr, output),
        Some(Command::Status(args)) => status::run(&args, addr, output),
        Some(Command::Wal(command)) => wal::run(&command, addr, output),
        Some(Command::Verify(args)) => verify::verify(&args, output),
        Some(Command::Config(command)) => config::run(&command, &cli.global),
        Some(Command::Simulate(args)) => simulate::run(&args, &cli.global),
        Some(Command::Token(command)) => token::run(&command, output),
        Some(Command::Backup(args)) => backup::run(&args, addr, output),
        Some(Command::Restore(args)) => restore::run(&args, output),
        Some(Command::Health(args)) => health::run(&args, addr, output),
        Some(Command::Bench(command)) => bench::run(&command, &cli.global),
        Some(Command::Completions(args)) => completions::run(&args),
        Some(Command::Man(args)) => man::run(&args, output),
    }
}

#[cfg(test)]
mod tests;
