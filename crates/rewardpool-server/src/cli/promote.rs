//! `promote`: makes a follower the leader.
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use rewardpool_engine::{Engine, EngineConfig, EngineError};
use rewardpool_proto::v1::{GetStatusRequest, GetStatusResponse, PromoteRequest, ReplicationRole};
use rewardpool_server::config::Config;
use rewardpool_server::serve::engine_config;
use serde_json::json;

use super::failure::exit;
use super::output;
use super::service::{Address, with_service};
use super::{Failure, Global, NoteArgs};

const EXAMPLES: &str = "\
Examples:
  rewardpool promote --addr http://127.0.0.1:50052   Takes over at once, in the same process
  rewardpool promote --dir copy                      Of a stopped one, which `serve` starts then";

/// How long a follower may take to become the leader, unless --timeout says otherwise.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it has.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Make a follower the leader
///
/// Begins a new epoch, which is logged: whoever has seen it takes nothing more from the old leader. What
/// the old leader wrote and the follower does not have is lost, so stop the old leader first if it still
/// runs, and wait until the follower has everything. Its directory cannot lead any more: start it with
/// `rewardpool follow`, which tells what to do.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PromoteArgs {
    /// The directory of a stopped follower, instead of the running one at --addr
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The configuration of the service that will lead; without one, a built-in sample
    #[arg(long, value_name = "FILE", requires = "dir")]
    config: Option<PathBuf>,
    #[command(flatten)]
    note: NoteArgs,
}

/// What became of the follower.
struct Promoted {
    epoch: u32,
    lsn: u64,
    seconds: f64,
}

pub(crate) fn run(args: &PromoteArgs, global: &Global) -> Result<(), Failure> {
    let begun = Instant::now();
    let (epoch, lsn) = match &args.dir {
        Some(directory) => {
            global.refuse_addr_with_dir()?;
            stopped(directory, args.config.as_deref())?
        }
        None => running(&global.addr, &args.note)?,
    };
    let promoted = Promoted { epoch, lsn, seconds: begun.elapsed().as_secs_f64() };
    let Promoted { epoch, lsn, seconds } = promoted;
    let table = || {
        let next = args.dir.as_ref().map_or_else(String::new, |directory| {
            format!("; `rewardpool serve --working-dir {}` starts it", directory.display())
        });
        format!(
            "leads in epoch {epoch}, behind LSN {lsn} of the old leader ({seconds:.3} s){next}\n"
        )
    };
    output::print(
        global.output,
        table,
        || json!({ "epoch": epoch, "lsn": lsn, "seconds": seconds }),
    )
}

fn stopped(directory: &Path, config: Option<&Path>) -> Result<(u32, u64), Failure> {
    let config = match config {
        Some(file) => Config::load(file)?,
        None => Config::built_in(),
    };
    let config = EngineConfig { directory: directory.to_owned(), ..engine_config(&config) };
    if !directory.exists() {
        let what = format!("{}: there is no such directory", directory.display());
        return Err(Failure::new(exit::INPUT_OUTPUT, what, "name the directory of a follower"));
    }
    let failed = |error: EngineError| {
        if matches!(error, EngineError::NotFollower { .. }) {
            let what = format!("{}: {error}", directory.display());
            let hint = "`rewardpool follow` makes a follower; a directory without the file FOLLOWER \
                        leads already";
            return Failure::new(exit::CONFIG, what, hint);
        }
        Failure::directory(directory, &error)
    };
    let engine = Engine::take_over(&config).map_err(failed)?;
    let (epoch, lsn) = (engine.handle().epoch(), engine.recovery().last_lsn);
    engine.stop().map_err(failed)?;
    Ok((epoch, lsn))
}

fn running(address: &Address, note: &NoteArgs) -> Result<(u32, u64), Failure> {
    let request = PromoteRequest { actor: note.actor.clone(), reason: note.reason.clone() };
    let lsn = with_service(address, async |service| {
        let answer = service.log().promote(request).await;
        Ok(answer.map_err(|status| Failure::status(&status))?.into_inner().lsn)
    })?;
    // It closes its connections and opens its address again.
    let until = Instant::now() + address.timeout_or(PATIENCE);
    loop {
        let status = with_service(address, async |service| {
            let status = service.admin().get_status(GetStatusRequest {}).await;
            Ok(status.map_err(|status| Failure::status(&status))?.into_inner())
        });
        match status.as_ref().ok().and_then(leading_epoch) {
            Some(epoch) => return Ok((epoch, lsn)),
            None if Instant::now() < until => sleep(ASK_AGAIN),
            None => {
                let what = "the follower does not lead yet";
                let hint = "its log says why; `rewardpool status` tells its role";
                return Err(Failure::new(exit::UNAVAILABLE, what, hint));
            }
        }
    }
}

fn leading_epoch(status: &GetStatusResponse) -> Option<u32> {
    let replication = status.replication.as_ref()?;
    (replication.role() == ReplicationRole::Leader).then_some(replication.epoch)
}
