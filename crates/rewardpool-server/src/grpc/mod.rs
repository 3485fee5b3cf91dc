//! The gRPC services. Each request is checked here, at the edge, and becomes a request of the
//! engine in the vocabulary of the core; what comes back is turned into messages.
mod admin;
mod call;
mod check;
mod draw_stream;
mod draws;
mod seed;
mod stream;

use std::time::Instant;

use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{Handle, RecoveryReport, Refusal, Submission};
use tokio::sync::watch;

pub use self::admin::PoolAdminService;
pub use self::draws::RewardPoolService;
pub use self::seed::SeedService;

/// What all services share.
#[derive(Clone)]
pub struct Edge {
    /// The way into the engine.
    pub handle: Handle,
    /// Becomes true when the service stops: streams then end by themselves.
    pub stopping: watch::Receiver<bool>,
}

/// What a status tells that the engine does not know.
#[derive(Clone, Debug)]
pub struct StatusInfo {
    /// Version of the program.
    pub version: &'static str,
    /// How the log is written.
    pub storage: &'static str,
    /// Format of the log's records.
    pub format: &'static str,
    /// What the start found.
    pub recovery: RecoveryReport,
    /// When the service became ready.
    pub ready_at: Instant,
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
