//! The gRPC services. Each request is checked here, at the edge, and becomes a request of the
//! engine in the vocabulary of the core; what comes back is turned into messages.
mod admin;
mod admission;
mod answer;
pub(crate) mod audit;
mod backup;
pub(crate) mod call;
mod calls;
mod check;
mod deadline;
mod draw_stream;
mod draws;
#[cfg(test)]
mod fake;
mod replies;
mod seed;
mod stream;
mod wal_stream;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{Handle, RecoveryReport, Refusal, Submission};
use rewardpool_proto::v1;
use tokio::sync::{Semaphore, watch as watch_channel};

use crate::activity::Meter;
use crate::auth::{Caller, Peer};
use crate::convert::Fault;
use crate::follow::Leader;
use crate::log_ring::LogRing;

pub(crate) use self::admin::PoolAdminService;
pub(crate) use self::admission::AdmissionLayer;
pub(crate) use self::calls::{CallCounts, CallLayer, Calls};
pub(crate) use self::check::note;
pub(crate) use self::deadline::DeadlineLayer;
pub(crate) use self::draws::RewardPoolService;
use self::replies::Replies;
pub(crate) use self::seed::SeedService;
pub(crate) use self::wal_stream::WalStreamService;

/// What all services share.
#[derive(Clone)]
pub(crate) struct Edge {
    /// The way into the engine and back.
    pub(crate) mailbox: EngineMailbox,
    /// Becomes true when the service stops: streams then end by themselves.
    pub(crate) stopping: watch_channel::Receiver<bool>,
    /// How busy the service is.
    pub(crate) meter: Arc<Meter>,
    /// Whom the service follows, if it follows somebody.
    pub(crate) leader: Option<Arc<Leader>>,
    /// Whether a guard stands before the services and tells who calls.
    is_guarded: bool,
    /// One permit for each more who may watch.
    watchers: Arc<Semaphore>,
}

impl Edge {
    /// The edge of an engine that was just opened.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn new(
        handle: Handle,
        meter: Arc<Meter>,
        calls: Arc<Calls>,
        stopping: watch_channel::Receiver<bool>,
    ) -> Self {
        meter.tick();
        let watchers = Arc::new(Semaphore::new(watch::WATCHERS_MAX));
        let mailbox = EngineMailbox::new(handle, calls);
        Self { mailbox, stopping, meter, leader: None, is_guarded: false, watchers }
    }

    /// The same edge of a service that follows.
    #[must_use]
    pub(crate) fn behind(mut self, leader: Option<Arc<Leader>>) -> Self {
        self.leader = leader;
        self
    }

    /// How old answers are, when the service follows.
    pub(super) fn freshness(&self) -> Option<v1::Freshness> {
        let leader = self.leader.as_ref()?;
        Some(leader.freshness(self.mailbox.handle.durable_lsn()))
    }

    /// The same edge behind a guard.
    #[must_use]
    pub(crate) fn guarded(mut self) -> Self {
        self.is_guarded = true;
        self
    }

    /// Who makes this call. Behind a guard, a call that it did not see has no caller.
    pub(super) fn caller<T>(&self, request: &tonic::Request<T>) -> Result<Caller, Fault> {
        let extensions = request.extensions();
        match extensions.get::<Caller>() {
            Some(caller) => Ok(caller.clone()),
            None if self.is_guarded => Err(Fault::unauthenticated()),
            None => Ok(Caller::anybody(extensions.get::<Peer>().and_then(|peer| peer.address))),
        }
    }
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
    /// When the writer's thread gets a processor.
    pub(crate) scheduling: &'static str,
    /// What the start found.
    pub(crate) recovery: RecoveryReport,
    /// Whether a backup may have the secrets of the pools.
    pub(crate) backup_secrets: bool,
    /// Where the log and the snapshots are.
    pub(crate) working_dir: PathBuf,
    /// What the service says about itself.
    pub(crate) log: LogRing,
}

/// What the edge needs of the engine for draws; tests put their own in its place.
pub(crate) trait Mailbox: Send + Sync + 'static {
    /// See [`Handle::submit`].
    #[expect(clippy::result_large_err, reason = "the submission goes back to its owner, unboxed")]
    fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)>;
    /// The way back.
    fn replies(&self) -> &Replies;
    /// See [`Handle::pool`].
    fn pool(&self, name: &str) -> Option<PoolNumber>;
    /// See [`Handle::only_pool`].
    fn only_pool(&self) -> Option<PoolNumber>;
    /// Counts a request that the engine does not hear of, and why.
    fn count_refusal(&self, refusal: Refusal);
    /// Counts a request of a stream that has a value that it must not have.
    fn count_invalid(&self);
}

/// The engine of the service.
#[derive(Clone)]
pub(crate) struct EngineMailbox {
    /// The way in.
    pub(crate) handle: Handle,
    replies: Replies,
    calls: Arc<Calls>,
}

impl EngineMailbox {
    /// The mailbox of this engine.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn new(handle: Handle, calls: Arc<Calls>) -> Self {
        Self { handle, replies: Replies::dispatched(), calls }
    }
}

impl Mailbox for EngineMailbox {
    fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        self.handle.submit(submission)
    }

    fn replies(&self) -> &Replies {
        &self.replies
    }

    fn pool(&self, name: &str) -> Option<PoolNumber> {
        self.handle.pool(name)
    }

    fn only_pool(&self) -> Option<PoolNumber> {
        self.handle.only_pool()
    }

    fn count_refusal(&self, refusal: Refusal) {
        self.handle.count_refusal(refusal);
    }

    fn count_invalid(&self) {
        self.calls.count_invalid();
    }
}
