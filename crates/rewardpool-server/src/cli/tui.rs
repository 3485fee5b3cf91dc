//! `tui`: the terminal for operators, over a service in this process or over one that runs already.
mod reload;

use std::env;
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::thread::{self, JoinHandle};

use clap::Args;
use rewardpool_engine::Chain;
use rewardpool_server::config::Config;
use rewardpool_server::serve::{ServeError, Service};
use rewardpool_server::telemetry;
use rewardpool_tui::app::Seat;
use rewardpool_tui::client::{Desk, Target};
use rewardpool_tui::look::Look;
use rewardpool_tui::{LocalService, Options, TerminalError};
use tokio::sync::oneshot;

use super::failure::exit;
use super::serve::{ServiceArgs, begin, effective_config, failure};
use super::service::Address;
use super::{Failure, Global};

const EXAMPLES: &str = "\
Examples:
  rewardpool tui                                   A sample pool in ./rewardpool-data
  rewardpool tui --config rewardpool.yaml          The service of this file, as `serve` runs it
  rewardpool tui --attach                          A service that runs here already
  rewardpool tui --attach http://127.0.0.1:50052 --pool summer
  rewardpool tui --attach https://host:50051 --token-file ~/.rewardpool-token

On the screen, ? shows all commands and keys.";

/// Show a service on the terminal, live, with commands to change it
///
/// What is left, how fast it goes, when it will be gone, and what just happened. Without --attach the service runs within: it serves others as well, and ends when you quit, after
/// it has answered what it has.
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct TuiArgs {
    /// Show a service that runs already, at --addr unless another URL is given; quitting leaves it
    /// running
    #[arg(
        long, value_name = "URL", num_args = 0..=1, default_missing_value = "",
        conflicts_with_all = ["working_dir", "listen", "log_file"]
    )]
    attach: Option<Attached>,
    /// The pool to show first; without it the only one, or `default`
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
    /// Write the log of the service to this file, too
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Which service is shown.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Attached {
    /// The one of --addr.
    Default,
    At(Address),
}

impl FromStr for Attached {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() { Ok(Self::Default) } else { text.parse().map(Self::At) }
    }
}

/// Whether somebody sits at a terminal.
pub(crate) fn has_terminal() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

pub(crate) fn run(args: TuiArgs, global: &Global) -> Result<(), Failure> {
    rewardpool_tui::check().map_err(|error| no_terminal(&error))?;
    match args.attach {
        Some(Attached::Default) => attach(&global.addr, args.pool, args.service.config),
        Some(Attached::At(address)) => {
            let address = address.with_access(global.access.clone());
            attach(&address, args.pool, args.service.config)
        }
        None if global.is_addr_given => {
            let what = "--addr names a service that runs, and `tui` starts its own";
            Err(Failure::usage(what, "write --attach to show the one that runs"))
        }
        None => embed(args),
    }
}

/// Shows a service that runs by itself.
fn attach(address: &Address, pool: String, config: Option<PathBuf>) -> Result<(), Failure> {
    let (url, access) = (address.as_str().to_owned(), address.access()?);
    // What cannot be right is told before the screen hides it.
    drop(address.endpoint(&access)?);
    rewardpool_tui::run(Options {
        seat: Seat::Attached { url: url.clone() },
        target: Target::Url(url, access),
        pool,
        desk: desk(config)?,
        look: look(),
        service: None,
    })
    .map_err(|error| no_terminal(&error))
}

/// Runs a service and shows it. Returns after both have ended.
fn embed(args: TuiArgs) -> Result<(), Failure> {
    let config = effective_config(&args.service)?;
    let desk = desk(args.service.config)?;
    let log_file = args.log_file.as_ref().map(|path| {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.map_err(|error| Failure::file(path, &error, "choose another --log-file"))
    });
    let log = telemetry::start_silent(&config.log, log_file.transpose()?).map_err(|error| {
        let hint = "start the service in a process of its own";
        Failure::new(exit::INPUT_OUTPUT, Chain(&error).to_string(), hint)
    })?;
    begin(&config);
    let (service, access) = open(config).map_err(|error| start_failure(&error))?;
    let mut service = service.with_log(log);
    let target = Target::Local(service.connector());
    let (stop, stopped) = oneshot::channel();
    let (ending, ended) = oneshot::channel::<()>();
    let running = start(service, stopped, ending)?;
    let shown = rewardpool_tui::run(Options {
        seat: Seat::Embedded { access },
        target,
        pool: args.pool,
        desk,
        look: look(),
        service: Some(LocalService { stop, ended }),
    });
    // Whatever became of the screen, the service has been asked to stop by now.
    let served = running.join().expect("the service does not panic");
    served.map_err(|error| failure(&error))?;
    shown.map_err(|error| no_terminal(&error))
}

/// Opens the service. An address that is in use keeps others out, and not the user.
fn open(mut config: Config) -> Result<(Service, String), ServeError> {
    let address = config.grpc.listen_address;
    if !config.grpc.enabled {
        return Ok((Service::open(&config)?, "serving nobody else".to_owned()));
    }
    match Service::open(&config) {
        Err(ServeError::Bind { address: refused, .. }) if refused == address => {
            config.grpc.enabled = false;
            let access = format!("serving nobody else: port {} is taken", address.port());
            Ok((Service::open(&config)?, access))
        }
        opened => {
            let service = opened?;
            let address = service.address().unwrap_or(address);
            Ok((service, format!("serving on {address}")))
        }
    }
}

/// Runs the service on a thread of its own, until it is asked to stop or fails.
fn start(
    service: Service,
    stopped: oneshot::Receiver<()>,
    ending: oneshot::Sender<()>,
) -> Result<JoinHandle<Result<(), ServeError>>, Failure> {
    let run = move || {
        // A sender that is gone wants it to stop, too.
        let served = service.run(async { drop(stopped.await) });
        drop(ending);
        served
    };
    thread::Builder::new().name("service".to_owned()).spawn(run).map_err(|error| {
        let what = format!("a thread cannot be started: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of processes and memory")
    })
}

fn start_failure(error: &ServeError) -> Failure {
    let told = failure(error);
    if matches!(error, ServeError::Locked(_)) {
        return told.with_hint("a service runs here already: `rewardpool tui --attach` shows it");
    }
    told
}

fn desk(config: Option<PathBuf>) -> Result<Desk, Failure> {
    let session = rewardpool_tui::session().map_err(|error| {
        let what = format!("the operating system gives no randomness: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check /dev/urandom")
    })?;
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    // A name that the log does not take is nobody's.
    let user = user.filter(|name| name.len() <= 200 && !name.contains(char::is_control));
    let actor = user.map_or_else(|| "tui".to_owned(), |user| format!("{user} (tui)"));
    Ok(Desk { actor, compare: config.map(reload::comparison), session })
}

fn look() -> Look {
    Look::of_environment(|name| env::var(name).ok())
}

fn no_terminal(error: &TerminalError) -> Failure {
    let hint = match error {
        TerminalError::NotATerminal(_) => {
            "run it in a terminal; `rewardpool serve` needs none, `rewardpool state` prints once"
        }
        TerminalError::Dumb(_) => "set TERM to what the terminal is, for example xterm-256color",
        TerminalError::Io(_) => "check the terminal",
    };
    let code = match error {
        TerminalError::NotATerminal(_) | TerminalError::Dumb(_) => exit::USAGE,
        TerminalError::Io(_) => exit::INPUT_OUTPUT,
    };
    Failure::new(code, error.to_string(), hint)
}
