//! The one way into the engine: cheap to clone, bounded, usable from any thread.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use rewardpool_core::command::{AdminCommand, DrawCommand};
use rewardpool_core::ids::{Outcome, PoolNumber, RequestId};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{FollowError, Identity, SegmentSpan, SnapshotFile};

use crate::backup::{Backup, BackupError, BackupOptions};
use crate::feed::{Feed, FeedStanding, LogPlace};
use crate::mailbox::MailboxSender;
use crate::progress::{Progress, SnapshotTaken, SnapshotsMade};
use crate::request::{Answer, NewPool, Refusal, Request};
use crate::statistics::{Reading, Statistics};
use crate::submission::{Reply, ReplyPort, Submission};

/// How often the files of a backup are opened anew because some of them were removed meanwhile.
const BACKUP_ATTEMPTS: usize = 10;

/// Hands requests to the writer.
#[derive(Clone)]
pub struct Handle {
    pub(crate) mailbox: MailboxSender,
    pub(crate) pools: Arc<PoolRegistry>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) disk_is_full: Arc<AtomicBool>,
    pub(crate) place: Arc<LogPlace>,
    /// For those who read the files of the log.
    pub(crate) storage: Arc<dyn Storage>,
    /// Disconnected when the writer has ended.
    pub(crate) ended: Receiver<()>,
}

/// A draw's result for callers in the same process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draws {
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    /// The item of each draw, or `None` when nothing was available.
    pub items: Vec<Option<ItemId>>,
    /// Whether this is the answer of an earlier draw with the same key.
    pub replayed: bool,
}

impl Handle {
    /// The number of the pool of this name.
    pub fn pool(&self, name: &str) -> Option<PoolNumber> {
        self.pools.find(name)
    }

    /// The name of a pool.
    pub fn pool_id(&self, number: PoolNumber) -> Option<PoolId> {
        self.pools.name(number)
    }

    /// The only pool, if there is exactly one.
    pub fn only_pool(&self) -> Option<PoolNumber> {
        self.pools.only()
    }

    /// Hands a submission over without waiting. Its port gets the reply.
    ///
    /// # Errors
    /// Gives the submission back when the mailbox is full or the engine is gone.
    #[expect(clippy::result_large_err, reason = "the submission goes back to its owner, unboxed")]
    pub fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        assert!(!submission.is_empty(), "a submission has at least one request");
        check_requests(&submission.requests);
        self.mailbox.try_send(submission)
    }

    /// Makes one request and waits for its reply, at most so long.
    ///
    /// A request that was handed over is waited for even beyond the timeout, because its outcome
    /// would be unknown otherwise; the timeout bounds how long it may wait to be begun.
    #[expect(clippy::disallowed_methods, reason = "a caller's patience, not logged time")]
    pub fn call(&self, request: Request, timeout: Duration) -> Result<(Answer, Reply), Refusal> {
        let (sender, replies): (Sender<Reply>, Receiver<Reply>) = crossbeam_channel::bounded(1);
        let deadline = Instant::now().checked_add(timeout);
        let mut submission = Submission::new(Arc::new(ThreadPort(sender)));
        submission.set_deadline(deadline);
        submission.push(request);
        check_requests(&submission.requests);
        let sent = self.mailbox.send(submission, deadline);
        sent.inspect_err(|&refusal| self.count_refusal(refusal))?;
        // A submission that got in is answered, or dropped by a writer that panics.
        let (answer, reply) = replies.recv().map_err(|_| Refusal::OutcomeUnknown)?.into_single();
        Ok((answer?, reply))
    }

    /// Draws. Returns after the draw is on disk.
    pub fn draw(&self, command: DrawCommand, timeout: Duration) -> Result<Draws, Refusal> {
        let (answer, reply) = self.call(Request::Draw(command), timeout)?;
        let Answer::Draw(draw) = answer else { unreachable!("a draw is answered by a draw") };
        let names = reply.names(&draw);
        let name = |outcome: &Outcome| outcome.item().and_then(|item| names.get(item)).cloned();
        Ok(Draws {
            first_request_id: draw.first_request_id,
            items: reply.outcomes(&draw).iter().map(name).collect(),
            replayed: draw.replayed,
        })
    }

    /// Creates a pool. Returns after it is on disk.
    pub fn create_pool(&self, pool: NewPool, timeout: Duration) -> Result<PoolNumber, Refusal> {
        let id = pool.spec.id.clone();
        self.call(Request::CreatePool(Box::new(pool)), timeout)?;
        Ok(self.pool(id.as_str()).expect("a created pool is known before its answer leaves"))
    }

    /// Makes a snapshot of everything acknowledged so far and waits until it is on disk.
    ///
    /// # Errors
    /// [`Refusal::Expired`] when it takes longer than the timeout; it is finished all the same.
    #[expect(clippy::disallowed_methods, reason = "a caller's patience, not logged time")]
    pub fn take_snapshot(&self, timeout: Duration) -> Result<SnapshotTaken, Refusal> {
        let deadline = Instant::now() + timeout;
        let (answer, _) = self.call(Request::Rotate, timeout)?;
        let Answer::Changed { lsn, .. } = answer else { unreachable!("a rotation is a change") };
        self.progress.wait_for_snapshot(lsn, deadline)
    }

    /// Every durable record from this LSN on, which is at least 1.
    ///
    /// # Errors
    /// [`FollowError::Gone`] when snapshots have taken its place.
    pub fn feed(&self, from_lsn: u64) -> Result<Feed, FollowError> {
        Feed::open(self, from_lsn)
    }

    /// How far each feed is that somebody reads.
    pub fn feeds(&self) -> Vec<FeedStanding> {
        FeedStanding::of(self)
    }

    /// Keeps so many bytes of segments for feeds that have not read them, at most.
    pub fn keep_for_feeds(&self, bytes_max: u64) {
        self.progress.keep_for_feeds(bytes_max);
    }

    /// How often the log changed hands.
    pub fn epoch(&self) -> u32 {
        self.statistics.epoch()
    }

    /// The newest snapshot that covers no record from this LSN on; the oldest of all when there is
    /// none, because records are gone.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn snapshot_before(&self, from_lsn: u64) -> Result<SnapshotFile, rewardpool_wal::Error> {
        let snapshots = self.progress.snapshots();
        let before = snapshots.iter().rev().find(|&&lsn| lsn < from_lsn);
        let oldest = snapshots.first().expect("a log begins with a snapshot");
        self.place.load_snapshot(*before.unwrap_or(oldest))
    }

    /// Which log this is.
    pub fn identity(&self) -> Identity {
        self.place.identity()
    }

    /// The last record that is on disk.
    pub fn durable_lsn(&self) -> u64 {
        self.statistics.durable_lsn()
    }

    /// Opens all that a backup holds, up to a position that includes everything answered before. Of
    /// the timeout see [`Handle::call`].
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn backup(&self, options: BackupOptions, timeout: Duration) -> Result<Backup, BackupError> {
        for _ in 0..BACKUP_ATTEMPTS {
            let (answer, _) = self.call(Request::ReadPosition, timeout)?;
            let Answer::Position(position) = answer else {
                unreachable!("a read of the position is answered by one")
            };
            if let Some(backup) = Backup::open(&self.storage, &position, options)? {
                return Ok(backup);
            }
        }
        Err(BackupError::Overtaken)
    }

    /// Submissions that wait for the writer.
    pub fn mailbox_depth(&self) -> usize {
        self.mailbox.depth()
    }

    /// Submissions that may wait at most.
    pub fn mailbox_capacity(&self) -> usize {
        self.mailbox.capacity()
    }

    /// The newest snapshot.
    pub fn newest_snapshot(&self) -> Option<SnapshotTaken> {
        self.progress.newest_snapshot()
    }

    /// How many segments the directory holds.
    pub fn segments(&self) -> usize {
        self.progress.segment_count()
    }

    /// The segments that the directory holds, in order. The last one is written.
    pub fn segment_spans(&self) -> Vec<SegmentSpan> {
        let mut segments = self.progress.segments();
        if let Some(written) = segments.last_mut() {
            written.used_bytes = self.statistics.segment_used_bytes();
        }
        segments
    }

    /// LSNs of the snapshots that the directory holds, rising.
    pub fn snapshots(&self) -> Vec<u64> {
        self.progress.snapshots()
    }

    /// How the making of snapshots went.
    pub fn snapshots_made(&self) -> SnapshotsMade {
        self.progress.snapshots_made()
    }

    /// Reads the counters into buffers that were made before. Never waits for the writer.
    pub fn read_statistics(&self, into: &mut Reading) {
        self.statistics.read_into(into);
    }

    /// How often each refusal was given. The version of a mismatch says nothing.
    pub fn refusals(&self) -> impl Iterator<Item = (Refusal, u64)> {
        self.statistics.refusals()
    }

    /// Counts a request that was refused before it was handed over.
    pub fn count_refusal(&self, refusal: Refusal) {
        self.statistics.refuse(refusal);
    }

    /// Whether draws are refused because the disk is full.
    pub fn is_out_of_space(&self) -> bool {
        self.disk_is_full.load(Ordering::Acquire)
    }

    /// Whether the conservation law held whenever [`Request::ReadStatus`] counted all items again.
    pub fn conservation_ok(&self) -> bool {
        self.statistics.conservation_ok()
    }
}

fn check_requests(requests: &[Request]) {
    let creates = |request: &Request| {
        matches!(request, Request::Change(change)
            if matches!(**change, AdminCommand::CreatePool { .. }))
    };
    assert!(!requests.iter().any(creates), "pools are created by Request::CreatePool");
}

/// Names of pools that exist durably.
#[derive(Debug, Default)]
pub(crate) struct PoolRegistry {
    pools: RwLock<BTreeMap<PoolId, PoolNumber>>,
}

impl PoolRegistry {
    pub(crate) fn insert(&self, id: PoolId, number: PoolNumber) {
        let mut pools = self.pools.write().expect("no holder of this lock panics");
        pools.insert(id, number);
    }

    fn find(&self, name: &str) -> Option<PoolNumber> {
        self.pools.read().expect("no holder of this lock panics").get(name).copied()
    }

    fn name(&self, number: PoolNumber) -> Option<PoolId> {
        let pools = self.pools.read().expect("no holder of this lock panics");
        pools.iter().find(|(_, known)| **known == number).map(|(id, _)| id.clone())
    }

    fn only(&self) -> Option<PoolNumber> {
        let pools = self.pools.read().expect("no holder of this lock panics");
        let mut numbers = pools.values();
        let only = numbers.next().copied();
        if numbers.next().is_none() { only } else { None }
    }
}

/// The port of a caller that waits on its own thread.
struct ThreadPort(Sender<Reply>);

impl ReplyPort for ThreadPort {
    fn deliver(&self, reply: Reply) {
        // A caller that went away does not want its reply.
        drop(self.0.try_send(reply));
    }
}
