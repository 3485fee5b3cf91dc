//! `serve`: runs the service.
use std::io::{self, Write as _};
use std::path::{self, PathBuf};
use std::thread;

use clap::Args;
use rewardpool_engine::Chain;
use rewardpool_server::config::{Config, parse_listen_address, public_address_fault};
use rewardpool_server::serve::ServeError;
use rewardpool_server::{privacy, serve, telemetry};
use tokio::sync::oneshot;

use super::Failure;
use super::failure::exit;
use super::log::LogArgs;

const EXAMPLES: &str = "\
Examples:
  rewardpool serve                                  A sample pool in ./rewardpool-data
  rewardpool serve --config rewardpool.yaml         What `rewardpool config init` wrote
  rewardpool serve --working-dir /tmp/try --listen :0";

/// Run the service until it is stopped with Ctrl-C or SIGTERM
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    service: ServiceArgs,
    /// Stop when the standard input ends too: for whoever runs the service as its child
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

/// How a service is set up.
#[derive(Args, Debug, Default)]
pub(crate) struct ServiceArgs {
    /// The configuration; without one, a built-in sample
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where the log and the snapshots are, instead of `working_dir`
    #[arg(long, value_name = "DIR")]
    pub(crate) working_dir: Option<PathBuf>,
    /// Where to listen, for example `:50051`, instead of `grpc.listen_address`
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = effective_config(&args.service)?;
    let log = telemetry::start(&config.log).map_err(|error| {
        let hint = "start the service in a process of its own";
        Failure::new(exit::INPUT_OUTPUT, Chain(&error).to_string(), hint)
    })?;
    begin(&config);
    let stdin_ended = args.until_stdin_ends.then(stdin_end).transpose()?;
    let stop = async {
        let stdin_ended = async {
            match stdin_ended {
                // A thread that is gone has read to the end.
                Some(ended) => drop(ended.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = serve::asked_to_stop() => if let Err(error) = heard {
                tracing::error!(%error, "cannot hear signals, stopping");
            },
            () = stdin_ended => {}
        }
    };
    serve::serve(&config, log, stop).map_err(|error| failure(&error))
}

/// Why a service does not run, and what to do.
pub(crate) fn failure(error: &ServeError) -> Failure {
    let code = error.exit_code();
    let hint = match code {
        _ if matches!(error, ServeError::Follower(_)) => {
            "`rewardpool follow` goes on following, `rewardpool promote --dir` makes it the leader"
        }
        _ if error.is_out_of_space() => {
            "make room on the disk of the working directory; the next start recovers what was \
                 answered"
        }
        exit::CORRUPT => "copy the working directory first; `rewardpool verify` looks closer",
        exit::LOCKED => "another service runs here: stop it, or choose another --working-dir",
        exit::UNAVAILABLE => "choose another address with --listen",
        exit::CONFIG => "correct this file, or what names it in the configuration",
        _ => "check the disk of the working directory; the next start recovers what was answered",
    };
    Failure::new(code, Chain(error).to_string(), hint)
}

/// Tells when the standard input ends, which it does also when whoever holds it is killed.
pub(crate) fn stdin_end() -> Result<oneshot::Receiver<()>, Failure> {
    let (ending, ended) = oneshot::channel();
    let read = move || {
        // An error ends it as well.
        drop(io::copy(&mut io::stdin().lock(), &mut io::sink()));
        drop(ending);
    };
    // Nobody waits for this thread: it ends with the process.
    let thread = thread::Builder::new().name("stdin".to_owned()).spawn(read);
    thread.map(drop).map_err(|error| {
        let what = format!("a thread cannot be started: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of processes and memory")
    })?;
    Ok(ended)
}

/// The file, or the sample, and what the command line says instead.
pub(crate) fn effective_config(args: &ServiceArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::built_in(),
    };
    args.log.apply(&mut config.log)?;
    if let Some(directory) = &args.working_dir {
        config.working_dir.clone_from(directory);
    }
    if let Some(text) = &args.listen {
        let Some(address) = parse_listen_address(text) else {
            let what = format!("--listen is {text:?}, which is not an address");
            return Err(Failure::usage(what, "write `:50051` or `127.0.0.1:50051`"));
        };
        let (has_tls, has_tokens) = (config.grpc.tls.is_some(), config.auth.tokens_file.is_some());
        let fault = public_address_fault(address, has_tls, has_tokens, config.grpc.insecure);
        if let Some(fault) = fault {
            let what = format!("--listen is {text}: {fault}");
            let hint = "these options stand in the file of --config";
            return Err(Failure::new(exit::CONFIG, what, hint));
        }
        config.grpc.listen_address = address;
        config.grpc.enabled = true;
    }
    Ok(config)
}

/// Keeps others out of this process, and says where data lives. That is not data, so it goes to stderr.
pub(crate) fn begin(config: &Config) {
    if let Err(error) = privacy::keep_private() {
        tracing::warn!(%error, "others on this machine may read the memory of the service");
    }
    let directory = &config.working_dir;
    let directory = path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("rewardpool {version}: data lives in {}\n", directory.display());
    // A service without a stderr still serves.
    let _written = io::stderr().lock().write_all(text.as_bytes());
}
