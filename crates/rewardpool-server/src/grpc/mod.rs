//! The gRPC services. Each request is checked here, at the edge, and becomes a request of the
//! engine in the vocabulary of the core; what comes back is turned into messages.
mod admin;
mod call;
mod check;
mod draw_stream;
mod draws;
#[cfg(test)]
mod fake;
mod seed;
mod stream;

use std::time::Instant;

use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{Handle, RecoveryReport, Refusal, Submission};
use tokio::sync::watch;

pub(crate) use self::admin::PoolAdminService;
pub(crate) use self::draws::RewardPoolService;
pub(crate) use self::seed::SeedService;

/// What all services share.
#[derive(Clone)]
pub(crate) struct Edge {
    /// The way into the engine.
    pub(crate) handle: Handle,
    /// Becomes true when the service stops: streams then end by themselves.
    pub(crate) stopping: watch::Receiver<bool>,
}

/// What a status tells that the engine does not know.
#[derive(Clone, Debug)]
pub(crate) struct StatusInfo {
    /// Version of the program.
    pub(crate) version: &'static str,
    /// How the log is written.
    pub(crate) storage: &'static str,
    /// Format of the log's records.
    pub(crate) format: &'static str,
    /// What the start found.
    pub(crate) recovery: RecoveryReport,
    /// When the service became ready.
    pub(crate) ready_at: Instant,
}

/// What the edge needs of the engine for draws; tests put their own in its place.
pub(crate) trait Mailbox: Send + Sync + 'static {
    /// See [`Handle::submit`].
    #[expect(clippy::result_large_err, reason = "the submission goes back to its owner, unboxed")]
    fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)>;
    /// See [`Handle::pool`].
    fn pool(&self, name: &str) -> Option<PoolNumber>;
    /// See [`Handle::only_pool`].
    fn only_pool(&self) -> Option<PoolNumber>;
}

impl Mailbox for Handle {
    fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        Self::submit(self, submission)
    }

    fn pool(&self, name: &str) -> Option<PoolNumber> {
        Self::pool(self, name)
    }

    fn only_pool(&self) -> Option<PoolNumber> {
        Self::only_pool(self)
    }
}
