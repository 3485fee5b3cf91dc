//! `serve`: runs the service.
use std::io::{self, Write as _};
use std::path::{self, PathBuf};

use clap::Args;
use rewardpool_engine::Chain;
use rewardpool_server::config::{Config, parse_listen_address};
use rewardpool_server::{serve, telemetry};

use super::Failure;
use super::failure::exit;

const EXAMPLES: &str = "\
Examples:
  rewardpool serve                                  A sample pool in ./rewardpool-data
  rewardpool serve --config rewardpool.yaml         What `rewardpool config init` wrote
  rewardpool serve --working-dir /tmp/try --listen :0";

/// Run the service until it is stopped with Ctrl-C or SIGTERM
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// The configuration; without one, a built-in sample
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the log and the snapshots are, instead of `working_dir`
    #[arg(long, value_name = "DIR")]
    working_dir: Option<PathBuf>,
    /// Where to listen, for example `:50051`, instead of `grpc.listen_address`
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = effective_config(args)?;
    if let Err(error) = telemetry::start(&config.log) {
        return Err(Failure::new(
            exit::INPUT_OUTPUT,
            Chain(&error).to_string(),
            "start the service in a process of its own",
        ));
    }
    announce(&config);
    let stop = async {
        if let Err(error) = serve::asked_to_stop().await {
            tracing::error!(%error, "cannot hear signals, stopping");
        }
    };
    serve::serve(&config, stop).map_err(|error| {
        let code = error.exit_code();
        let hint = match code {
            _ if error.is_out_of_space() => {
                "make room on the disk of the working directory; the next start recovers what was \
                 answered"
            }
            exit::CORRUPT => "copy the working directory first; `rewardpool verify` looks closer",
            exit::LOCKED => "another service runs here: stop it, or choose another --working-dir",
            exit::UNAVAILABLE => "choose another address with --listen",
            exit::CONFIG => "check the file with `rewardpool config check`",
            _ => {
                "check the disk of the working directory; the next start recovers what was answered"
            }
        };
        Failure::new(code, Chain(&error).to_string(), hint)
    })
}

/// The file, or the sample, and what the command line says instead.
fn effective_config(args: &ServeArgs) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(file) => Config::load(file)?,
        None => Config::built_in(),
    };
    if let Some(directory) = &args.working_dir {
        config.working_dir.clone_from(directory);
    }
    if let Some(text) = &args.listen {
        let Some(address) = parse_listen_address(text) else {
            let what = format!("--listen is {text:?}, which is not an address");
            return Err(Failure::usage(what, "write `:50051` or `127.0.0.1:50051`"));
        };
        if !address.ip().is_loopback() && !config.grpc.insecure {
            let what = format!("--listen is {text}, and calls there are not encrypted");
            let hint = "use a loopback address, or write `insecure: true` under `grpc` in the \
                        configuration";
            return Err(Failure::usage(what, hint));
        }
        config.grpc.listen_address = address;
        config.grpc.enabled = true;
    }
    Ok(config)
}

/// Says where data lives. It is not data, so it goes to stderr.
fn announce(config: &Config) {
    let directory = &config.working_dir;
    let directory = path::absolute(directory).unwrap_or_else(|_| directory.clone());
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("rewardpool {version}: data lives in {}\n", directory.display());
    // A service without a stderr still serves.
    let _written = io::stderr().lock().write_all(text.as_bytes());
}
