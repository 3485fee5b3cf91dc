//! Keeps a copy of the log that another service writes: the same batches in the same segments, byte by
//! byte, and a state from them by the code that recovers. It answers reads and decides nothing.
//!
//! Each batch is sealed here as it was there, and must get the same checksum, which covers all that was
//! written before it. So what is here is a prefix of the leader's log, and neither a bit that flipped on
//! the way nor another history can get in. The digests in the log compare the states; each snapshot that
//! the leader's log names is made here as well, and must have the same SHA-256.
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crc32c::crc32c;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, never, select};
use rewardpool_core::format::Decoder;
use rewardpool_core::ids::{Lsn, Outcome};
use rewardpool_core::record::{Record, SnapshotRef};
use rewardpool_wal::storage::{FileStorage, Storage};
use rewardpool_wal::{
    Appender, Batch, CopyError, Following, Identity, LogReader, Position, Prepared, SegmentHeader,
    SegmentNumber, SnapshotFile, segment_name,
};

use crate::compactor::ClosedSegment;
use crate::config::StorageKind;
use crate::engine::{Inputs, Resumed, SUBMISSIONS_MAX, Started, lock, now, open_storage, resume};
use crate::error::{Chain, EngineError};
use crate::handle::Handle;
use crate::progress::Progress;
use crate::recovery::{SEGMENT_FORMAT, apply_batch, known_format, recover};
use crate::submission::Submission;
use crate::writer::Writer;

/// Batches that wait to be written, at most.
pub(crate) const COPIED_BATCHES_MAX: usize = 64;
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long somebody who hands over a batch waits before looking whether it is wanted still.
const GLANCE: Duration = Duration::from_millis(100);

/// A batch of the leader's log as it stands there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopiedBatch {
    /// By which way it came: batches of a way from which one was refused are not looked at any more.
    pub way: u64,
    /// LSN of the first record.
    pub first_lsn: u64,
    /// How many records.
    pub count: u32,
    /// Wall clock of the leader in milliseconds since 1970.
    pub time_ms: u64,
    /// Leadership epoch.
    pub epoch: u32,
    /// Format of the payload, by its number.
    pub format: u8,
    /// The encoded records.
    pub payload: Vec<u8>,
    /// CRC-32C of the payload.
    pub payload_checksum: u32,
    /// Checksum of the header in the leader's log.
    pub chain: u32,
    /// The header of the next segment, when the batch closes its own.
    pub next: Option<SegmentHeader>,
}

impl CopiedBatch {
    /// A batch that was read from a log. A closing one comes with the header of the next segment.
    pub fn read(batch: &Batch<'_>, way: u64, next: Option<SegmentHeader>) -> Self {
        Self {
            way,
            first_lsn: batch.first_lsn,
            count: batch.count,
            time_ms: batch.time_ms,
            epoch: batch.epoch,
            format: batch.format,
            payload: batch.payload.to_vec(),
            payload_checksum: batch.payload_checksum,
            chain: batch.chain,
            next,
        }
    }
}

/// Why a batch was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotCopied {
    /// It, or one before it from the same way, does not follow: come again by another way.
    #[error("the batch from LSN {lsn} on does not follow")]
    Refused {
        /// The first record of the batch that was refused.
        lsn: u64,
    },
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
}

/// Hands batches over to the engine that follows.
pub struct Copier {
    pub(crate) handle: Handle,
    pub(crate) sender: Sender<CopiedBatch>,
    pub(crate) standing: Arc<CopyStanding>,
    pub(crate) position: Position,
    pub(crate) segment: SegmentHeader,
}

/// What the engine tells the one who hands over.
#[derive(Debug)]
pub(crate) struct CopyStanding {
    /// The way from which nothing is taken any more, and the batch because of which.
    refused_way: AtomicU64,
    refused_lsn: AtomicU64,
}

impl Default for CopyStanding {
    fn default() -> Self {
        Self { refused_way: AtomicU64::new(u64::MAX), refused_lsn: AtomicU64::new(0) }
    }
}

impl CopyStanding {
    fn refuse(&self, way: u64, lsn: u64) {
        self.refused_lsn.store(lsn, Ordering::Relaxed);
        self.refused_way.store(way, Ordering::Release);
    }

    fn check(&self, way: u64) -> Result<(), NotCopied> {
        if self.refused_way.load(Ordering::Acquire) == way {
            return Err(NotCopied::Refused { lsn: self.refused_lsn.load(Ordering::Relaxed) });
        }
        Ok(())
    }
}

impl Copier {
    /// The last record that was here when the engine was opened.
    pub fn last_lsn(&self) -> u64 {
        self.position.lsn
    }

    /// Header of the segment that the copy ended with when the engine was opened.
    pub fn segment(&self) -> &SegmentHeader {
        &self.segment
    }

    /// The last record that is on disk here.
    pub fn durable_lsn(&self) -> u64 {
        self.handle.durable_lsn()
    }

    /// The highest epoch that was seen here.
    pub fn epoch(&self) -> u32 {
        self.handle.epoch()
    }

    /// Which log is copied.
    pub fn identity(&self) -> Identity {
        self.handle.identity()
    }

    /// The header of a segment of the copy, if it has that.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn own_segment(&self, number: SegmentNumber) -> Result<Option<SegmentHeader>, EngineError> {
        let spans = self.handle.segment_spans();
        if !spans.iter().any(|span| span.number == number) {
            return Ok(None);
        }
        let name = segment_name(number);
        let source = self.handle.storage.source(&name);
        let source = source.map_err(|source| rewardpool_wal::Error::Io {
            operation: "read",
            file: name,
            source,
        })?;
        Ok(Some(SegmentHeader::read(source.as_ref(), number, self.identity())?))
    }

    /// Whether batches from this way are taken.
    ///
    /// # Errors
    /// [`NotCopied::Refused`] when one did not follow.
    pub fn check(&self, way: u64) -> Result<(), NotCopied> {
        self.standing.check(way)
    }

    /// Hands a batch over; waits while many are waiting already.
    ///
    /// # Errors
    /// See [`NotCopied`].
    pub fn put(&self, batch: CopiedBatch) -> Result<(), NotCopied> {
        let mut batch = batch;
        loop {
            self.check(batch.way)?;
            batch = match self.sender.send_timeout(batch, GLANCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(batch)) => batch,
                Err(SendTimeoutError::Disconnected(_)) => return Err(NotCopied::Ended),
            };
        }
    }

    /// Notes durably whom the directory follows.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark(&self, leader: &str) -> Result<(), EngineError> {
        let following = Following { leader: leader.to_owned(), is_copying: false };
        let storage = self.handle.storage.as_ref();
        if Following::load(storage)?.as_ref() != Some(&following) {
            following.publish(storage)?;
        }
        Ok(())
    }
}

/// What a directory holds, for somebody who wants to follow with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyState {
    /// No log, or one that was begun to be copied.
    Nothing,
    /// A copy of another service's log.
    Copy,
    /// A log of its own.
    Log,
}

/// Looks what a directory holds.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub fn copy_state(directory: &Path) -> Result<CopyState, EngineError> {
    if !directory.exists() {
        return Ok(CopyState::Nothing);
    }
    let failed = |source| EngineError::Directory { path: directory.to_owned(), source };
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(directory).map_err(failed)?);
    match Following::load(storage.as_ref())? {
        Some(Following { is_copying: true, .. }) => Ok(CopyState::Nothing),
        Some(_) => Ok(CopyState::Copy),
        None if LogReader::open(storage)?.is_none() => Ok(CopyState::Nothing),
        None => Ok(CopyState::Log),
    }
}

/// Begins a copy with a snapshot of the leader, which is verified, and the segment behind it. A copy
/// that was there before is removed.
///
/// # Errors
/// [`EngineError::NotFollower`] when the directory has a log of its own.
pub fn begin_copy(
    directory: &Path,
    leader: &str,
    snapshot: &SnapshotFile,
    segment: &SegmentHeader,
) -> Result<(), EngineError> {
    let _lock = lock(directory)?;
    if copy_state(directory)? == CopyState::Log {
        let because = "it holds a log of its own, which is not replaced";
        return Err(EngineError::NotFollower { because });
    }
    let header = &snapshot.header;
    if (segment.number, segment.first_lsn, segment.previous, segment.identity)
        != (header.next_segment, header.lsn + 1, header.chain, header.identity)
    {
        let because = "the segment behind the snapshot does not go on from it";
        return Err(EngineError::Diverged { lsn: header.lsn, because });
    }
    let storage = open_storage(directory, StorageKind::File)?;
    let leader = leader.to_owned();
    let following = Following { leader, is_copying: true };
    following.publish(storage.as_ref())?;
    Following::remove_copy(storage.as_ref())?;
    header.publish(storage.as_ref(), snapshot.body())?;
    let bytes = usize::try_from(segment.bytes).unwrap_or(usize::MAX);
    let prepared = Prepared::create(Arc::clone(&storage), bytes)?;
    if prepared.bytes() != bytes {
        let because = "the segment behind the snapshot has an impossible length";
        return Err(EngineError::Diverged { lsn: header.lsn, because });
    }
    Appender::begin_copy(segment, prepared)?;
    header.identity.publish(storage.as_ref())?;
    Following { is_copying: false, ..following }.publish(storage.as_ref())?;
    Ok(())
}

/// What a follower knows beside its state and its log.
pub(crate) struct Copying {
    /// The segment that is written.
    pub(crate) segment: SegmentHeader,
    /// Closed segments behind the newest snapshot.
    closed: VecDeque<ClosedSegment>,
}

/// Recovers a copy. Nothing is written but what is there already.
pub(crate) fn start_copy(
    storage: &Arc<dyn Storage>,
    progress: &Progress,
) -> Result<(Started, Copying), EngineError> {
    let because = "nothing was copied yet";
    let reader = LogReader::open(Arc::clone(storage))?;
    let reader = reader.ok_or(EngineError::NotFollower { because })?;
    let recovered = recover(&reader, None)?;
    let tail = &recovered.replayed.tail;
    known_format(tail.segment(), SEGMENT_FORMAT, tail.format())?;
    let Resumed { state, log, report, segment, spans } =
        resume(storage, &reader, progress, recovered)?;
    let pairs = spans.windows(2);
    let closed = pairs.map(|pair| ClosedSegment {
        number: pair[0].number,
        last_lsn: pair[1].first_lsn - 1,
        bytes: pair[0].used_bytes,
        wanted: true,
        expected: None,
    });
    let copying = Copying { segment, closed: closed.collect() };
    Ok((Started::of_copy(state, log, report), copying))
}

/// Whether a batch was dealt with.
#[derive(PartialEq, Eq)]
enum Taken {
    Now,
    /// There is no room for the next segment.
    Later,
}

enum Input {
    Submission(Submission),
    Batch(CopiedBatch),
    Stop,
    Failure(EngineError),
    Nothing,
}

/// The loop of the writer's thread of an engine that follows.
pub(crate) struct Follower {
    writer: Writer,
    copying: Copying,
    standing: Arc<CopyStanding>,
    /// A batch for which there was no room.
    pending: Option<CopiedBatch>,
    /// What did not follow last time.
    refused: Option<CopiedBatch>,
    outcomes: Vec<Outcome>,
}

impl Follower {
    pub(crate) fn new(writer: Writer, copying: Copying, standing: Arc<CopyStanding>) -> Self {
        let (pending, refused, outcomes) = (None, None, Vec::new());
        Self { writer, copying, standing, pending, refused, outcomes }
    }

    pub(crate) fn drive(
        mut self,
        inputs: &Inputs,
        batches: &Receiver<CopiedBatch>,
    ) -> Result<(), EngineError> {
        let ended = self.turns(inputs, batches);
        if let Err(error) = &ended {
            tracing::error!(error = %Chain(error), "the follower stops");
            self.writer.abandon();
        }
        ended
    }

    fn turns(
        &mut self,
        inputs: &Inputs,
        batches: &Receiver<CopiedBatch>,
    ) -> Result<(), EngineError> {
        let mut batches = batches.clone();
        loop {
            match self.next_input(inputs, &mut batches) {
                Input::Submission(first) => self.answer(first, inputs)?,
                Input::Batch(batch) => self.take_or_keep(batch)?,
                Input::Stop => return Ok(()),
                Input::Failure(error) => return Err(error),
                Input::Nothing => {}
            }
            if let Some(batch) = self.pending.take() {
                self.take_or_keep(batch)?;
            }
        }
    }

    fn next_input(&self, inputs: &Inputs, batches: &mut Receiver<CopiedBatch>) -> Input {
        if let Ok(failure) = inputs.failures.try_recv() {
            return Input::Failure(failure);
        }
        let (arriving, patience) = match &self.pending {
            Some(_) => (never(), RETRY),
            None => (batches.clone(), Duration::MAX),
        };
        select! {
            recv(inputs.stops) -> _ => Input::Stop,
            recv(inputs.failures) -> failure => failure.map_or(Input::Stop, Input::Failure),
            recv(inputs.requests.queue()) -> submission => {
                submission.map_or(Input::Stop, Input::Submission)
            }
            recv(arriving) -> batch => batch.map_or_else(
                |_| {
                    // Whoever handed batches over is gone; reads go on.
                    *batches = never();
                    Input::Nothing
                },
                Input::Batch,
            ),
            default(patience) => Input::Nothing,
        }
    }

    /// Answers what waits. All that is known is durable.
    fn answer(&mut self, first: Submission, inputs: &Inputs) -> Result<(), EngineError> {
        let now = now();
        self.writer.stage(first, now)?;
        for submission in inputs.requests.queue().try_iter().take(SUBMISSIONS_MAX) {
            self.writer.stage(submission, now)?;
        }
        self.writer.commit()
    }

    fn take_or_keep(&mut self, batch: CopiedBatch) -> Result<(), EngineError> {
        if self.take(&batch)? == Taken::Later {
            self.pending = Some(batch);
        }
        Ok(())
    }

    fn take(&mut self, batch: &CopiedBatch) -> Result<Taken, EngineError> {
        if self.standing.check(batch.way).is_err() {
            return Ok(Taken::Now);
        }
        let last_lsn = self.writer.state.last_lsn();
        if batch.first_lsn.saturating_add(u64::from(batch.count)) <= last_lsn + 1 {
            return Ok(Taken::Now);
        }
        if crc32c(&batch.payload) != batch.payload_checksum {
            return self.refuse(batch);
        }
        let next = match &batch.next {
            Some(header) => match self.prepare(header)? {
                Some(prepared) => Some((prepared, header)),
                None => return Ok(Taken::Later),
            },
            None => None,
        };
        self.copy(batch, next)
    }

    /// A batch that does not follow may have been damaged on its way, so it is asked for once more. If
    /// it comes again as it was, it is the leader's log that is another one.
    fn refuse(&mut self, batch: &CopiedBatch) -> Result<Taken, EngineError> {
        let (lsn, last_lsn) = (batch.first_lsn, self.writer.state.last_lsn());
        let is_same =
            |refused: &CopiedBatch| *refused == CopiedBatch { way: refused.way, ..batch.clone() };
        let is_intact = crc32c(&batch.payload) == batch.payload_checksum;
        if is_intact && self.refused.as_ref().is_some_and(is_same) {
            let because = if batch.epoch < self.writer.log.epoch() {
                "the leader is of an epoch that has ended: another service has taken over"
            } else {
                "it came twice and did not follow what is here"
            };
            return Err(EngineError::Diverged { lsn: lsn.min(last_lsn + 1), because });
        }
        tracing::warn!(lsn, last_lsn, "a batch does not follow, it is asked for again");
        self.refused = Some(batch.clone());
        self.standing.refuse(batch.way, lsn);
        Ok(Taken::Now)
    }

    fn copy(
        &mut self,
        batch: &CopiedBatch,
        next: Option<(Prepared, &SegmentHeader)>,
    ) -> Result<Taken, EngineError> {
        let writer = &mut self.writer;
        let used_bytes = writer.log.used_bytes();
        let copied = Batch {
            first_lsn: batch.first_lsn,
            count: batch.count,
            time_ms: batch.time_ms,
            format: batch.format,
            payload: &batch.payload,
            payload_checksum: batch.payload_checksum,
            epoch: batch.epoch,
            closes: batch.next.is_some(),
            chain: batch.chain,
            offset: used_bytes,
            payload_offset: used_bytes,
        };
        writer.committed = match writer.log.copy(&copied, next) {
            Ok(committed) => committed,
            Err(CopyError::Differs { .. }) => return self.refuse(batch),
            Err(CopyError::Log(error)) => return Err(error.into()),
        };
        self.refused = None;
        let snapshot = self.named_snapshot(&copied)?;
        let writer = &mut self.writer;
        let pools = writer.state.pools().len();
        let segment = &self.copying.segment;
        apply_batch(&mut writer.state, segment, &copied, &mut self.outcomes, &mut None)?;
        for pool in writer.state.pools().skip(pools) {
            writer.registry.insert(pool.names.id().clone(), pool.number);
        }
        if let Some(next) = &batch.next {
            self.closed(next, used_bytes as u64);
        }
        self.writer.stand();
        snapshot.map_or(Ok(()), |snapshot| self.compare(&snapshot))?;
        Ok(Taken::Now)
    }

    /// The snapshot that the first record of a segment names.
    fn named_snapshot(&mut self, batch: &Batch<'_>) -> Result<Option<SnapshotRef>, EngineError> {
        if batch.first_lsn != self.copying.segment.first_lsn {
            return Ok(None);
        }
        let number = self.copying.segment.number;
        let format = known_format(number, SEGMENT_FORMAT, batch.format)?;
        let lsn = Lsn::new(batch.first_lsn).expect("the log begins at LSN 1");
        let mut decoder = Decoder::new(format, batch.payload, lsn, batch.count);
        // What is no record is told of when it is applied.
        match decoder.next(self.writer.state.names(), &mut self.outcomes) {
            Ok(Some(Record::Snapshot(snapshot))) => Ok(Some(snapshot)),
            Ok(_) | Err(_) => Ok(None),
        }
    }

    /// A segment was closed, and this one is written from now on.
    fn closed(&mut self, next: &SegmentHeader, used_bytes: u64) {
        let writer = &mut self.writer;
        let span = rewardpool_wal::SegmentSpan {
            number: next.number,
            first_lsn: next.first_lsn,
            bytes: next.bytes,
            used_bytes: rewardpool_wal::SECTOR as u64,
        };
        writer.progress.segment_begun(used_bytes, span);
        self.copying.closed.push_back(ClosedSegment {
            number: self.copying.segment.number,
            last_lsn: next.first_lsn - 1,
            bytes: used_bytes,
            wanted: true,
            expected: None,
        });
        self.copying.segment = *next;
        writer.supply.order(usize::try_from(next.bytes).expect("the file was made"));
    }

    /// Compares a snapshot of the leader with the one that is here, or has that one made first.
    fn compare(&mut self, leaders: &SnapshotRef) -> Result<(), EngineError> {
        let (lsn, expected) = (leaders.lsn, leaders.sha256);
        let newest = self.writer.progress.newest_snapshot();
        if newest.is_some_and(|taken| taken.lsn == lsn && taken.sha256 != expected) {
            let because = "the leader's snapshot of it has another SHA-256";
            return Err(EngineError::Diverged { lsn, because });
        }
        while let Some(closed) = self.copying.closed.front().filter(|closed| closed.last_lsn <= lsn)
        {
            if closed.last_lsn == lsn {
                let closed = ClosedSegment { expected: Some(expected), ..*closed };
                if self.writer.closed.try_send(closed).is_err() {
                    tracing::warn!(lsn, "the snapshots are far behind the log");
                }
            }
            self.copying.closed.pop_front();
        }
        Ok(())
    }

    /// A file for the next segment; `None` while the disk is full.
    fn prepare(&mut self, header: &SegmentHeader) -> Result<Option<Prepared>, EngineError> {
        let Ok(bytes) = usize::try_from(header.bytes) else { return Ok(None) };
        let Ok(prepared) = self.writer.supply.take(bytes, bytes) else { return Ok(None) };
        if prepared.bytes() == bytes {
            return Ok(Some(prepared));
        }
        // The leader has changed the length of its segments.
        let storage = Arc::clone(self.writer.log.storage());
        match Prepared::create(storage, bytes) {
            Ok(prepared) => Ok(Some(prepared)),
            Err(error) if error.is_out_of_space() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
