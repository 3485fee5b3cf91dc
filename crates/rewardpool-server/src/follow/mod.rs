//! A service that follows another one: it copies the leader's log, answers reads from it, and can take
//! over.
//!
//! One process goes through these stages, each with the parts that it needs: it copies a snapshot of the
//! leader (`copy.rs`), unless its directory goes on from there; then it serves reads while a thread of
//! its own keeps the copy up to date (`link.rs`); and when it is promoted, the same process opens the
//! directory again as a leader, at the same addresses. What is known of the leader stands in
//! `leader.rs`; `refuse.rs` answers what a follower does not do.
mod backoff;
mod copy;
mod leader;
mod link;
mod refuse;

use std::path::PathBuf;
use std::sync::Arc;

use rewardpool_client::{Access, AccessError};
use rewardpool_engine::{Chain, CopyState, EngineError, copy_state};
use tokio::sync::watch;

use crate::config::Config;
use crate::log_ring::LogRing;
use crate::serve::{ServeError, Service};

pub(crate) use self::leader::Leader;
use self::link::{Link, Outcome};
pub(crate) use self::refuse::FollowerLayer;

/// The service that is followed, and how it is reached.
#[derive(Clone, Debug)]
pub struct Source {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// What is shown to it.
    pub access: Access,
}

/// Why a service does not follow (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The service failed as any other may.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The leader cannot be reached in this way.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The leader does not take what it is shown.
    #[error("the leader at {leader} refuses: {problem}")]
    Refused {
        /// Where it listens.
        leader: String,
        /// What it says.
        problem: String,
    },
    /// The directory is not a copy of the leader's log, and cannot become one.
    #[error("{} does not go on as the log of {leader}: {because}", directory.display())]
    Diverged {
        /// The directory.
        directory: PathBuf,
        /// Where the leader listens.
        leader: String,
        /// What differs, and at which LSN.
        because: String,
    },
}

impl From<EngineError> for FollowError {
    fn from(error: EngineError) -> Self {
        Self::Serve(error.into())
    }
}

impl FollowError {
    /// The exit code of the process, as in `sysexits.h`.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Serve(error) => error.exit_code(),
            Self::Access(_) | Self::Refused { .. } => 78,
            Self::Diverged { .. } => 65,
        }
    }
}

/// Follows until `stopping` becomes true, or until it fails. Returns after everything that was copied is
/// on disk and the working directory is free.
///
/// # Errors
/// See [`FollowError`].
pub fn follow(
    config: &Config,
    source: &Source,
    log: &LogRing,
    stopping: &watch::Receiver<bool>,
) -> Result<(), FollowError> {
    // What can never work is told before anything is waited for.
    drop(source.access.endpoint(&source.url)?);
    let directory = config.working_dir.clone();
    let diverged = |because: String| FollowError::Diverged {
        directory: directory.clone(),
        leader: source.url.clone(),
        because,
    };
    let (mut config, leader) = (config.clone(), Arc::new(Leader::new(&source.url)));
    let config = &mut config;
    let mut must_copy = copy_state(&directory)? == CopyState::Nothing;
    loop {
        if must_copy && !copy::copy(&directory, source, &leader, stopping)? {
            return Ok(());
        }
        let (service, copier) = Service::follower(config, Arc::clone(&leader))?;
        // Whoever knows where this service listens finds its successor there.
        service.keep_addresses(config);
        let link = Link::start(source.clone(), Arc::clone(&leader), copier);
        let link = link.map_err(ServeError::Start)?;
        let until = async {
            let stopped = wait_for(stopping.clone());
            tokio::select! {
                () = stopped => {}
                () = leader.promoted() => {}
                () = leader.link_ended() => {}
            }
        };
        let served = service.with_log(log.clone()).run(until);
        let outcome = link.end();
        served?;
        match outcome {
            Outcome::Diverged(because) => return Err(diverged(because)),
            Outcome::Refused(problem) => {
                let leader = source.url.clone();
                return Err(FollowError::Refused { leader, problem });
            }
            Outcome::Stopped if leader.is_promoted() => {
                let service = Service::successor(config)?;
                return Ok(service.with_log(log.clone()).run(wait_for(stopping.clone()))?);
            }
            Outcome::Failed(error) => return Err(error.into()),
            Outcome::Stopped => return Ok(()),
            Outcome::TooOld => {
                tracing::warn!(
                    "the leader does not have the records any more that come next here: the copy is begun again from a snapshot"
                );
                must_copy = true;
            }
        }
    }
}

async fn wait_for(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone has stopped, too.
    drop(stopping.wait_for(|stopping| *stopping).await);
}

/// A failure in words, with its causes.
fn words(error: &dyn std::error::Error) -> String {
    Chain(error).to_string()
}
