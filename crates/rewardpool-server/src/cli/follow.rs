//! `follow`: runs a service that keeps a copy of another one.
use std::path::PathBuf;
use std::{io, thread};

use clap::Args;
use rewardpool_engine::Chain;
use rewardpool_server::follow::{FollowError, Source, follow};
use rewardpool_server::{serve, telemetry};
use tokio::sync::watch;

use super::Failure;
use super::failure::exit;
use super::log::LogArgs;
use super::serve::{ServiceArgs, begin, effective_config, stdin_end};
use super::service::{AccessArgs, Address};

const EXAMPLES: &str = "\
Examples:
  rewardpool follow --leader http://127.0.0.1:50051 --dir copy --listen :50052
  rewardpool follow --leader https://pool.example:50051 --dir copy --token-file follower.token
  rewardpool state --addr http://127.0.0.1:50052    What is left, and how old that is
  rewardpool promote --addr http://127.0.0.1:50052  Makes it the leader";

/// Keep a copy of a running service, and answer reads from it
///
/// Copies the leader's log as it is written, byte by byte, and tells with each answer how old it is.
/// Draws and changes are refused with the leader's address. An empty directory is filled from the
/// leader's snapshot. `rewardpool promote` makes it the leader. Needs a token with the role `admin` where
/// the leader needs tokens: --token-file, and --ca-file for its certificate.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct FollowArgs {
    /// The service to follow
    #[arg(long, value_name = "URL", env = "REWARDPOOL_LEADER", hide_env_values = true)]
    leader: Address,
    /// Where the copy is, instead of `working_dir`
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Where to listen, for example `:50052`, instead of `grpc.listen_address`
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The configuration, which is that of the service also when it leads; without one, a built-in sample
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: LogArgs,
    /// Stop when the standard input ends too: for whoever runs the service as its child
    #[arg(long, hide = true)]
    until_stdin_ends: bool,
}

pub(crate) fn run(args: FollowArgs, access: &AccessArgs) -> Result<(), Failure> {
    let FollowArgs { leader, dir, listen, config, log, until_stdin_ends } = args;
    let service = ServiceArgs { config, working_dir: dir, listen, log };
    let config = effective_config(&service)?;
    let leader = leader.with_access(access.clone());
    let source = Source { url: leader.as_str().to_owned(), access: leader.access()? };
    let log = telemetry::start(&config.log).map_err(|error| {
        let hint = "start the service in a process of its own";
        Failure::new(exit::INPUT_OUTPUT, Chain(&error).to_string(), hint)
    })?;
    begin(&config);
    let stopping = hear_signals(until_stdin_ends)?;
    follow(&config, &source, &log, &stopping).map_err(|error| failure(&error))
}

/// Becomes true when somebody asks the process to stop. Heard on a thread of its own, because the
/// process goes through several services.
fn hear_signals(until_stdin_ends: bool) -> Result<watch::Receiver<bool>, Failure> {
    let stdin_ended = until_stdin_ends.then(stdin_end).transpose()?;
    let failed = |error: io::Error| {
        let what = format!("a thread cannot be started: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of processes and memory")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let (stop, stopping) = watch::channel(false);
    let hear = move || {
        runtime.block_on(async {
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
        });
        stop.send_replace(true);
    };
    // Nobody waits for this thread: it ends with the process.
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(hear);
    thread.map(drop).map_err(failed)?;
    Ok(stopping)
}

fn failure(error: &FollowError) -> Failure {
    let hint = match error {
        FollowError::Serve(error) => return super::serve::failure(error),
        FollowError::Diverged { .. } => {
            "only one of the two can go on: find out which service leads; then move this directory \
             away, keep it until nobody needs its last draws, and follow with an empty one"
        }
        FollowError::Access(_) => {
            "write https:// in --leader, and check --token-file and --ca-file"
        }
        FollowError::Refused { .. } | _ => {
            "give a token with the role `admin` in --token-file, and check that the leader is of this \
             version"
        }
    };
    Failure::new(error.exit_code(), Chain(error).to_string(), hint)
}
