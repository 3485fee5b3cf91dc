//! Opens a directory, recovers what it holds, starts the threads, and stops them.
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use rewardpool_core::format::{Encoder, Format};
use rewardpool_core::generator::Generator;
use rewardpool_core::record::Record;
use rewardpool_core::state::State;
use rewardpool_wal::storage::{FileStorage, MmapStorage, Storage};
use rewardpool_wal::{
    Appender, Committed, DirectoryLock, Following, Identity, LogReader, Position, Prepared, SECTOR,
    SegmentHeader, SegmentNumber, SegmentSpan, create_directory, remove_leftovers,
    sync_directory_name,
};

use crate::compactor::{
    ClosedSegment, Compactor, SnapshotPlace, finish_snapshot, publish_snapshot,
};
use crate::config::{EngineConfig, StorageKind};
use crate::error::{Chain, EngineError};
use crate::feed::LogPlace;
use crate::follower::{
    COPIED_BATCHES_MAX, CopiedBatch, Copier, CopyStanding, Copying, Follower, start_copy,
};
use crate::handle::{Handle, PoolRegistry};
use crate::mailbox::{MailboxReceiver, mailbox};
use crate::progress::Progress;
use crate::recount::Recount;
use crate::recovery::{Recovered, RecoveryReport, recover_to_serve};
use crate::scheduling::{Scheduled, schedule_this_thread};
use crate::statistics::{Counted, Standing, Statistics};
use crate::submission::Submission;
use crate::succession::{begin_epoch, take_over};
use crate::supplier::{Supply, supply};
use crate::writer::{Now, Writer, encode_and_apply, first_record};

/// After so long without work a commit marker is written.
const IDLE: Duration = Duration::from_millis(2);
/// Submissions of one batch.
pub(crate) const SUBMISSIONS_MAX: usize = 4096;
/// Closed segments that may wait for the compactor before it only hears of the newest.
pub(crate) const CLOSED_SEGMENTS_MAX: usize = 1024;

/// A running engine: the writer's thread and those that work ahead of it and behind it.
pub struct Engine {
    handle: Handle,
    recovery: RecoveryReport,
    scheduled: Scheduled,
    stop: Sender<()>,
    ended: Receiver<()>,
    writer: JoinHandle<Result<(), EngineError>>,
    workers: Vec<JoinHandle<()>>,
    /// Of the workers. The writer hears of them until it ends, [`Engine::stop`] after that.
    failures: Receiver<EngineError>,
    _lock: DirectoryLock,
}

impl Engine {
    /// Opens the directory, or sets it up when it holds no log. Returns when the state is
    /// recovered, verified and durable again.
    ///
    /// # Errors
    /// See [`EngineError::is_locked`] and [`EngineError::is_corruption`]. When it refuses because
    /// of corruption, nothing in the directory was changed.
    pub fn open(config: &EngineConfig) -> Result<Self, EngineError> {
        let lock = lock(&config.directory)?;
        let storage = open_storage(&config.directory, config.storage)?;
        if let Some(Following { leader, .. }) = Following::load(storage.as_ref())? {
            return Err(EngineError::Follower { leader });
        }
        Self::lead(lock, storage, config, Leadership::Kept)
    }

    /// Opens the copy of another service's log, and takes over: from now on this directory is the log,
    /// in a new epoch. What that service wrote and the copy does not have is lost.
    ///
    /// # Errors
    /// As [`Engine::open`], and [`EngineError::NotFollower`].
    pub fn take_over(config: &EngineConfig) -> Result<Self, EngineError> {
        let lock = lock(&config.directory)?;
        let storage = open_storage(&config.directory, config.storage)?;
        let because = match Following::load(storage.as_ref())? {
            Some(following) if !following.is_copying => {
                return Self::lead(lock, storage, config, Leadership::Taken);
            }
            Some(_) => "the copy of the leader's log was begun, but is not finished",
            None => "it does not follow another service",
        };
        Err(EngineError::NotFollower { because })
    }

    fn lead(
        lock: DirectoryLock,
        storage: Arc<dyn Storage>,
        config: &EngineConfig,
        leadership: Leadership,
    ) -> Result<Self, EngineError> {
        let progress = Arc::new(Progress::default());
        let begun = now();
        let origin = Origin { now: begun, uuid: uuid()?, leadership };
        let mut started = start(&storage, config, &progress, origin)?;
        started.report.duration = begun.instant.elapsed();
        Self::run(started, storage, config, progress, lock, Duty::Lead)
    }

    /// Opens a copy of another service's log, to go on copying.
    ///
    /// # Errors
    /// As [`Engine::open`]; [`EngineError::NotFollower`] when nothing was copied yet.
    pub fn follow(config: &EngineConfig) -> Result<(Self, Copier), EngineError> {
        let lock = lock(&config.directory)?;
        let storage = open_storage(&config.directory, config.storage)?;
        let progress = Arc::new(Progress::default());
        let begun = now();
        let (mut started, copying) = start_copy(&storage, &progress)?;
        started.report.duration = begun.instant.elapsed();
        let (sender, batches) = bounded(COPIED_BATCHES_MAX);
        let standing = Arc::new(CopyStanding::default());
        let (position, segment) = (started.position(), copying.segment);
        let duty = Duty::Follow(Box::new(copying), batches, Arc::clone(&standing));
        let engine = Self::run(started, storage, config, progress, lock, duty)?;
        let copier = Copier { handle: engine.handle(), sender, standing, position, segment };
        Ok((engine, copier))
    }

    /// The one place where the threads and their channels are wired.
    fn run(
        started: Started,
        storage: Arc<dyn Storage>,
        config: &EngineConfig,
        progress: Arc<Progress>,
        lock: DirectoryLock,
        duty: Duty,
    ) -> Result<Self, EngineError> {
        let (mailbox, requests) = mailbox(config.mailbox_capacity);
        let (stop, stops) = bounded(1);
        let (ending, ended) = bounded(0);
        let (failing, failures) = bounded(2);
        let (scheduling, schedules) = bounded(1);
        let (closed, closed_segments) = bounded(CLOSED_SEGMENTS_MAX);
        let (mut supply, supplier) = supply(Arc::clone(&storage), failing.clone());
        supply.order(duty.segment_bytes(config));
        let registry = Arc::new(PoolRegistry::default());
        for pool in started.state.pools() {
            registry.insert(pool.names.id().clone(), pool.number);
        }
        let handle_storage = Arc::clone(&storage);
        let mut compactor =
            Compactor::new(storage, closed_segments, failing, Arc::clone(&progress));
        let recovery = started.report.clone();
        let disk_is_full = supply.disk_is_full();
        let mut writer = started.into_writer(config, supply, closed, registry, progress);
        writer.follows = matches!(duty, Duty::Follow(..));
        let handle = Handle {
            mailbox,
            pools: Arc::clone(&writer.registry),
            progress: Arc::clone(&writer.progress),
            statistics: Arc::clone(&writer.statistics),
            disk_is_full,
            place: Arc::new(LogPlace::new(&config.directory, writer.log.identity())),
            storage: handle_storage,
            ended: ended.clone(),
        };
        let inputs = Inputs { requests, stops, failures: failures.clone() };
        let (batch_draws_max, wanted) = (config.batch_draws_max, config.scheduling);
        let workers = vec![
            spawn("rewardpool-segments", move || supplier.run())?,
            spawn("rewardpool-snapshots", move || compactor.run())?,
        ];
        let writer = spawn("rewardpool-writer", move || {
            // Dropped when the thread ends, however it ends.
            let _ending: Sender<()> = ending;
            // Dropped before, so that nothing is in the mailbox when the end is told.
            let inputs = inputs;
            let _told: Result<(), _> = scheduling.send(schedule_this_thread(wanted));
            match duty {
                Duty::Lead => drive(writer, &inputs, batch_draws_max),
                Duty::Follow(copying, batches, standing) => {
                    Follower::new(writer, *copying, standing).drive(&inputs, &batches)
                }
            }
        })?;
        let scheduled = schedules.recv().map_err(|_| EngineError::Panicked("rewardpool-writer"))?;
        Ok(Self {
            handle,
            recovery,
            scheduled,
            stop,
            ended,
            writer,
            workers,
            failures,
            _lock: lock,
        })
    }

    /// A way in. Clones are cheap.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What the start found.
    pub fn recovery(&self) -> &RecoveryReport {
        &self.recovery
    }

    /// When the writer's thread gets a processor.
    pub fn scheduled(&self) -> Scheduled {
        self.scheduled
    }

    /// A channel that is disconnected when the writer has ended. When nobody called
    /// [`Engine::stop`], that is a failure, which `stop` then gives.
    pub fn ended(&self) -> Receiver<()> {
        self.ended.clone()
    }

    /// Stops: what was handed over before is finished and answered, the log ends with the record
    /// of a clean stop, and later submissions are refused.
    ///
    /// # Errors
    /// The failure that ended the writer, now or earlier, or one of a snapshot or segment that was
    /// being made.
    pub fn stop(self) -> Result<(), EngineError> {
        // A writer that failed hears nothing and has its own result.
        let _heard = self.stop.send(()).is_ok();
        let result = self.writer.join().unwrap_or(Err(EngineError::Panicked("rewardpool-writer")));
        for worker in self.workers {
            worker.join().map_err(|_| EngineError::Panicked("rewardpool-worker"))?;
        }
        result.and_then(|()| self.failures.try_recv().map_or(Ok(()), Err))
    }
}

/// What reaches the writer's thread.
pub(crate) struct Inputs {
    pub(crate) requests: MailboxReceiver,
    pub(crate) stops: Receiver<()>,
    pub(crate) failures: Receiver<EngineError>,
}

/// What the writer's thread does.
enum Duty {
    Lead,
    Follow(Box<Copying>, Receiver<CopiedBatch>, Arc<CopyStanding>),
}

impl Duty {
    /// Length of the next segment, as far as it is known.
    fn segment_bytes(&self, config: &EngineConfig) -> usize {
        match self {
            Self::Lead => config.segment_bytes,
            Self::Follow(copying, ..) => {
                usize::try_from(copying.segment.bytes).expect("a segment fits the address space")
            }
        }
    }
}

enum Input {
    Submission(Submission),
    Idle,
    Stop,
    Failure(EngineError),
}

/// The loop of the writer's thread.
fn drive(mut writer: Writer, inputs: &Inputs, batch_draws_max: usize) -> Result<(), EngineError> {
    match turns(&mut writer, inputs, batch_draws_max) {
        Ok(()) => writer.close(),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the engine stops: a write or sync failed");
            writer.abandon();
            Err(error)
        }
    }
}

fn turns(writer: &mut Writer, inputs: &Inputs, draws_max: usize) -> Result<(), EngineError> {
    loop {
        match next_input(inputs, writer.is_unmarked) {
            Input::Submission(first) => {
                turn(writer, first, inputs, (draws_max, SUBMISSIONS_MAX))?;
            }
            Input::Idle => {
                writer.begin_turn(now());
                writer.mark()?;
            }
            Input::Stop => {
                // Callers may hand over more all the time, so only what waits now is begun.
                let mut waiting = inputs.requests.queue().len();
                while waiting > 0 {
                    let Ok(first) = inputs.requests.queue().try_recv() else { break };
                    let bounds = (draws_max, waiting.min(SUBMISSIONS_MAX));
                    waiting -= turn(writer, first, inputs, bounds)?;
                }
                return Ok(());
            }
            Input::Failure(error) => return Err(error),
        }
    }
}

/// One batch: what waits now, up to the bounds on draws and submissions. Gives the number of
/// submissions that it took.
fn turn(
    writer: &mut Writer,
    first: Submission,
    inputs: &Inputs,
    (draws_max, submissions_max): (usize, usize),
) -> Result<usize, EngineError> {
    let now = now();
    writer.begin_turn(now);
    writer.stage(first, now)?;
    let mut taken = 1;
    while writer.staged_draws < draws_max && taken < submissions_max {
        let Ok(submission) = inputs.requests.queue().try_recv() else { break };
        writer.stage(submission, now)?;
        taken += 1;
    }
    writer.commit()?;
    Ok(taken)
}

fn next_input(inputs: &Inputs, is_unmarked: bool) -> Input {
    // First, because under load there is always a request.
    if let Ok(failure) = inputs.failures.try_recv() {
        return Input::Failure(failure);
    }
    if inputs.stops.try_recv().is_ok() {
        return Input::Stop;
    }
    if let Ok(submission) = inputs.requests.queue().try_recv() {
        return Input::Submission(submission);
    }
    // Without a channel of its own, which would be made anew for each turn.
    let patience = if is_unmarked { IDLE } else { Duration::MAX };
    select! {
        recv(inputs.requests.queue()) -> submission => submission.map_or(Input::Stop, Input::Submission),
        recv(inputs.stops) -> _ => Input::Stop,
        recv(inputs.failures) -> failure => failure.map_or(Input::Stop, Input::Failure),
        default(patience) => Input::Idle,
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the writer looks at clocks")]
pub(crate) fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
    Now { wall_ms, instant: Instant::now() }
}

/// For durations that are only shown: nothing is decided by them.
#[expect(clippy::disallowed_methods, reason = "how long a commit took is only shown")]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}

fn spawn<T: Send + 'static>(
    name: &'static str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, EngineError> {
    Builder::new().name(name.to_owned()).spawn(body).map_err(EngineError::Thread)
}

pub(crate) fn lock(path: &Path) -> Result<DirectoryLock, EngineError> {
    let failed = |source| EngineError::Directory { path: path.to_owned(), source };
    create_directory(path).and_then(|()| sync_directory_name(path)).map_err(failed)?;
    Ok(DirectoryLock::exclusive(path)?)
}

/// Opens the storage of a directory that exists.
pub(crate) fn open_storage(
    directory: &Path,
    kind: StorageKind,
) -> Result<Arc<dyn Storage>, EngineError> {
    let failed = |source| EngineError::Directory { path: directory.to_owned(), source };
    let files = FileStorage::open(directory).map_err(failed)?;
    Ok(match kind {
        StorageKind::File => Arc::new(files),
        StorageKind::Mmap => Arc::new(MmapStorage::new(files)),
    })
}

/// What a start takes from outside, beside the disk.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) now: Now,
    /// Identity of the log, if there is none yet.
    pub(crate) uuid: [u8; 16],
    pub(crate) leadership: Leadership,
}

/// Whether the log goes on in the hands in which it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leadership {
    Kept,
    /// The directory is a copy, and becomes the log.
    Taken,
}

/// An identity for a log.
pub(crate) fn uuid() -> Result<[u8; 16], EngineError> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| EngineError::Random(error.to_string()))?;
    Ok(uuid)
}

/// A state with its log, ready for the first request.
pub(crate) struct Started {
    pub(crate) state: State,
    pub(crate) log: Appender,
    pub(crate) generators: Vec<Generator>,
    pub(crate) committed: Committed,
    pub(crate) report: RecoveryReport,
}

impl Started {
    /// A copy that was recovered. It neither draws nor decides.
    pub(crate) fn of_copy(state: State, log: Appender, report: RecoveryReport) -> Self {
        let committed = log.committed();
        Self { state, log, generators: Vec::new(), committed, report }
    }

    fn position(&self) -> Position {
        self.log.position()
    }

    pub(crate) fn into_writer(
        self,
        config: &EngineConfig,
        supply: Supply,
        closed: Sender<ClosedSegment>,
        registry: Arc<PoolRegistry>,
        progress: Arc<Progress>,
    ) -> Writer {
        // Of the last segment, which a full disk leaves as it was configured before.
        let format = Format::from_id(self.log.format()).expect("the start knows the format");
        let mut encoder = Encoder::new(format);
        encoder.begin(self.state.next_lsn());
        let statistics = Arc::new(Statistics::default());
        statistics.stand(Standing {
            durable_lsn: self.committed.last_lsn(),
            last_request_id: self.state.last_request_id(),
            segment_used_bytes: self.log.used_bytes() as u64,
            epoch: self.log.epoch(),
        });
        let counted = Counted::of(&self.state);
        Writer {
            time_ms: self.state.time_ms(),
            state: self.state,
            generators: self.generators,
            log: self.log,
            encoder,
            supply,
            closed,
            registry,
            progress,
            statistics,
            format: config.format,
            segment_bytes: config.segment_bytes,
            committed: self.committed,
            staged: Vec::new(),
            new_pools: Vec::new(),
            staged_draws: 0,
            counted,
            recount: Recount::default(),
            own_records: 0,
            is_unmarked: true,
            follows: false,
        }
    }
}

/// A directory that was recovered or set up.
pub(crate) struct TakenUp {
    pub(crate) state: State,
    pub(crate) log: Appender,
    pub(crate) generators: Vec<Generator>,
    pub(crate) report: RecoveryReport,
    /// Whether the last segment has no record yet.
    pub(crate) is_new_segment: bool,
}

/// Recovers the log or sets it up, and makes what was read durable again before anybody sees it.
pub(crate) fn start(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    progress: &Progress,
    origin: Origin,
) -> Result<Started, EngineError> {
    let TakenUp { mut state, mut log, generators, report, is_new_segment } =
        match LogReader::open(Arc::clone(storage))? {
            Some(reader) if origin.leadership == Leadership::Taken => {
                let taken = take_over(storage, config, &reader, progress, origin.now)?;
                return begin_epoch(storage, config, progress, origin.now, taken);
            }
            Some(reader) => take_up(storage, config, &reader, progress, origin.now)?,
            None => set_up(storage, config, progress, origin.uuid)?,
        };
    if is_new_segment {
        let record = first_record(progress.newest_snapshot());
        let time_ms = state.time_ms().max(origin.now.wall_ms);
        let payload = encode_and_apply(config.format, &record, &mut state, time_ms)?;
        log.append(&payload, 1, time_ms)?;
    }
    let committed = log.committed();
    state.activate();
    Ok(Started { state, log, generators, committed, report })
}

/// Sets up an empty directory. The file that marks it is written last.
fn set_up(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    progress: &Progress,
    uuid: [u8; 16],
) -> Result<TakenUp, EngineError> {
    remove_leftovers(storage.as_ref())?;
    let identity = Identity { uuid };
    let state = State::new();
    let prepared = Prepared::create(Arc::clone(storage), config.segment_bytes)?;
    progress.segments_found(vec![begun(&prepared, SegmentNumber(0), 1)]);
    let log = Appender::begin(Arc::clone(storage), identity, config.format.id(), prepared)?;
    let place = SnapshotPlace { identity, chain: 0, next_segment: SegmentNumber(0) };
    let taken = publish_snapshot(storage.as_ref(), &state, place, None)?;
    identity.publish(storage.as_ref())?;
    progress.snapshot_taken(taken, vec![0], &[]);
    let report = RecoveryReport { fresh: true, ..RecoveryReport::default() };
    Ok(TakenUp { state, log, generators: Vec::new(), report, is_new_segment: true })
}

/// Recovers a log. What was read may be in memory only (see [`Appender::resume`]), so it is
/// written again, and the log goes on in a new segment from a new snapshot. On a full disk it goes on
/// without: in the segment that it ends with, or from the snapshot that there is.
fn take_up(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    reader: &LogReader,
    progress: &Progress,
    now: Now,
) -> Result<TakenUp, EngineError> {
    // Nothing is written before all that can be refused was refused.
    let (recovered, generators) = recover_to_serve(storage.as_ref(), reader)?;
    let Resumed { mut state, mut log, report, .. } = resume(storage, reader, progress, recovered)?;
    let prepared = Prepared::create(Arc::clone(storage), config.segment_bytes);
    let Some(prepared) = unless_full(prepared.map_err(EngineError::from))? else {
        tracing::error!(
            "the disk is full: draws are served as long as the last segment has room, and reads"
        );
        return Ok(TakenUp { state, log, generators, report, is_new_segment: false });
    };
    let place = go_on(&mut log, &mut state, config, progress, (prepared, now))?;
    let taken = publish_snapshot(storage.as_ref(), &state, place, None);
    if let Some(taken) = unless_full(taken)? {
        finish_snapshot(storage, taken, progress)?;
    } else {
        tracing::error!("the disk is full: the next start will read more than it needs to");
    }
    Ok(TakenUp { state, log, generators, report, is_new_segment: true })
}

/// A log that was recovered and is durable again.
pub(crate) struct Resumed {
    pub(crate) state: State,
    pub(crate) log: Appender,
    pub(crate) report: RecoveryReport,
    /// The segment that it ends with.
    pub(crate) segment: SegmentHeader,
    /// The segments from the snapshot on.
    pub(crate) spans: Vec<SegmentSpan>,
}

/// Makes durable again what was read. Nothing new is written.
pub(crate) fn resume(
    storage: &Arc<dyn Storage>,
    reader: &LogReader,
    progress: &Progress,
    recovered: Recovered,
) -> Result<Resumed, EngineError> {
    let Recovered { state, report, snapshot, replayed } = recovered;
    for damage in &report.damaged_snapshots {
        tracing::error!(damage, "a snapshot is damaged; the one before it and the log were used");
    }
    let rewardpool_wal::Replayed { tail, spans, .. } = replayed;
    progress.segments_found(spans.clone());
    let is_covered = |lsn: &u64| *lsn <= snapshot.lsn;
    let snapshots = reader.snapshots().iter().copied().filter(is_covered).collect();
    progress.snapshot_taken(snapshot, snapshots, &[]);
    remove_leftovers(storage.as_ref())?;
    let segment = *tail.segment_header();
    let log = Appender::resume(Arc::clone(storage), tail)?;
    Ok(Resumed { state, log, report, segment, spans })
}

/// Closes the segment and begins the next one.
pub(crate) fn go_on(
    log: &mut Appender,
    state: &mut State,
    config: &EngineConfig,
    progress: &Progress,
    (prepared, now): (Prepared, Now),
) -> Result<SnapshotPlace, EngineError> {
    let format = Format::from_id(log.format()).expect("the recovery knows the format");
    let next_segment = log.position().segment.next();
    let record = Record::Rotate { next_segment: next_segment.0, digest: state.digest() };
    let time_ms = state.time_ms().max(now.wall_ms);
    let payload = encode_and_apply(format, &record, state, time_ms)?;
    let (used_bytes, span) =
        (log.used_bytes() as u64, begun(&prepared, next_segment, state.next_lsn().number()));
    log.rotate(prepared, config.format.id(), &payload, time_ms)?;
    progress.segment_begun(used_bytes, span);
    Ok(SnapshotPlace { identity: log.identity(), chain: log.position().chain, next_segment })
}

/// What was made, or `None` when the disk is full.
fn unless_full<T>(made: Result<T, EngineError>) -> Result<Option<T>, EngineError> {
    match made {
        Err(error) if error.is_out_of_space() => Ok(None),
        made => made.map(Some),
    }
}

/// A segment that is about to be written.
pub(crate) fn begun(prepared: &Prepared, number: SegmentNumber, first_lsn: u64) -> SegmentSpan {
    SegmentSpan { number, first_lsn, bytes: prepared.bytes() as u64, used_bytes: SECTOR as u64 }
}
