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
    Appender, Committed, DirectoryLock, Identity, LogReader, Prepared, SECTOR, SegmentNumber,
    SegmentSpan, create_directory, remove_leftovers, sync_directory_name,
};

use crate::compactor::{
    ClosedSegment, Compactor, SnapshotPlace, finish_snapshot, publish_snapshot,
};
use crate::config::{EngineConfig, StorageKind};
use crate::error::{Chain, EngineError};
use crate::handle::{Handle, PoolRegistry};
use crate::progress::Progress;
use crate::recovery::{RecoveryReport, recover_to_serve};
use crate::request::Refusal;
use crate::scheduling::{Scheduled, schedule_this_thread};
use crate::statistics::{Staged, Standing, Statistics};
use crate::submission::Submission;
use crate::supplier::{Supply, supply};
use crate::writer::{Now, Writer, encode_and_apply, first_record};

/// After so long without work a commit marker is written.
const IDLE: Duration = Duration::from_millis(2);
/// Submissions of one batch.
const SUBMISSIONS_MAX: usize = 4096;
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
        let progress = Arc::new(Progress::default());
        let begun = now();
        let mut started = start(&storage, config, &progress, Origin { now: begun, uuid: uuid()? })?;
        started.report.duration = begun.instant.elapsed();
        Self::run(started, storage, config, progress, lock)
    }

    /// The one place where the threads and their channels are wired.
    fn run(
        started: Started,
        storage: Arc<dyn Storage>,
        config: &EngineConfig,
        progress: Arc<Progress>,
        lock: DirectoryLock,
    ) -> Result<Self, EngineError> {
        let (mailbox, requests) = bounded(config.mailbox_capacity);
        let (stop, stops) = bounded(1);
        let (ending, ended) = bounded(0);
        let (failing, failures) = bounded(2);
        let (scheduling, schedules) = bounded(1);
        let (closed, closed_segments) = bounded(CLOSED_SEGMENTS_MAX);
        let (mut supply, supplier) = supply(Arc::clone(&storage), failing.clone());
        supply.order(config.segment_bytes);
        let registry = Arc::new(PoolRegistry::default());
        for pool in started.state.pools() {
            registry.insert(pool.names.id().clone(), pool.number);
        }
        let mut compactor =
            Compactor::new(storage, closed_segments, failing, Arc::clone(&progress));
        let recovery = started.report.clone();
        let disk_is_full = supply.disk_is_full();
        let writer = started.into_writer(config, supply, closed, registry, progress);
        let handle = Handle {
            mailbox,
            pools: Arc::clone(&writer.registry),
            progress: Arc::clone(&writer.progress),
            statistics: Arc::clone(&writer.statistics),
            disk_is_full,
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
            let _told: Result<(), _> = scheduling.send(schedule_this_thread(wanted));
            drive(writer, &inputs, batch_draws_max)
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
struct Inputs {
    requests: Receiver<Submission>,
    stops: Receiver<()>,
    failures: Receiver<EngineError>,
}

enum Input {
    Submission(Submission),
    Idle,
    Stop,
    Failure(EngineError),
}

/// The loop of the writer's thread.
fn drive(mut writer: Writer, inputs: &Inputs, batch_draws_max: usize) -> Result<(), EngineError> {
    let result = turns(&mut writer, inputs, batch_draws_max);
    let result = match result {
        Ok(()) => writer.close(),
        Err(error) => {
            tracing::error!(error = %Chain(&error), "the engine stops: a write or sync failed");
            writer.abandon();
            Err(error)
        }
    };
    // Whoever was too late had no effect and is told so.
    for submission in inputs.requests.try_iter() {
        submission.refuse(Refusal::Stopping);
    }
    result
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
                let mut waiting = inputs.requests.len();
                while waiting > 0 {
                    let Ok(first) = inputs.requests.try_recv() else { break };
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
        let Ok(submission) = inputs.requests.try_recv() else { break };
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
    if let Ok(submission) = inputs.requests.try_recv() {
        return Input::Submission(submission);
    }
    // Without a channel of its own, which would be made anew for each turn.
    let patience = if is_unmarked { IDLE } else { Duration::MAX };
    select! {
        recv(inputs.requests) -> submission => submission.map_or(Input::Stop, Input::Submission),
        recv(inputs.stops) -> _ => Input::Stop,
        recv(inputs.failures) -> failure => failure.map_or(Input::Stop, Input::Failure),
        default(patience) => Input::Idle,
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where the writer looks at clocks")]
fn now() -> Now {
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

fn lock(path: &Path) -> Result<DirectoryLock, EngineError> {
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
}

fn uuid() -> Result<[u8; 16], EngineError> {
    let mut uuid = [0; 16];
    getrandom::fill(&mut uuid).map_err(|error| EngineError::Random(error.to_string()))?;
    Ok(uuid)
}

/// A state with its log, ready for the first request.
pub(crate) struct Started {
    pub(crate) state: State,
    log: Appender,
    generators: Vec<Generator>,
    committed: Committed,
    pub(crate) report: RecoveryReport,
}

impl Started {
    pub(crate) fn into_writer(
        self,
        config: &EngineConfig,
        supply: Supply,
        closed: Sender<ClosedSegment>,
        registry: Arc<PoolRegistry>,
        progress: Arc<Progress>,
    ) -> Writer {
        let mut encoder = Encoder::new(config.format);
        encoder.begin(self.state.next_lsn());
        let statistics = Arc::new(Statistics::default());
        statistics.stand(Standing {
            durable_lsn: self.committed.last_lsn(),
            last_request_id: self.state.last_request_id(),
            segment_used_bytes: self.log.used_bytes() as u64,
        });
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
            uncounted: Staged::default(),
            is_unmarked: true,
        }
    }
}

/// A directory that was recovered or set up; its last segment has no record yet.
struct TakenUp {
    state: State,
    log: Appender,
    generators: Vec<Generator>,
    report: RecoveryReport,
}

/// Recovers the log or sets it up, and makes what was read durable again before anybody sees it.
pub(crate) fn start(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    progress: &Progress,
    origin: Origin,
) -> Result<Started, EngineError> {
    let TakenUp { mut state, mut log, generators, report } =
        match LogReader::open(Arc::clone(storage))? {
            Some(reader) => take_up(storage, config, &reader, progress, origin.now)?,
            None => set_up(storage, config, progress, origin.uuid)?,
        };
    let record = first_record(progress.newest_snapshot());
    let time_ms = state.time_ms().max(origin.now.wall_ms);
    let payload = encode_and_apply(config.format, &record, &mut state, time_ms)?;
    let committed = log.append(&payload, 1, time_ms)?;
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
    let taken = publish_snapshot(storage.as_ref(), &state, place)?;
    identity.publish(storage.as_ref())?;
    progress.snapshot_taken(taken, vec![0], &[]);
    let report = RecoveryReport { fresh: true, ..RecoveryReport::default() };
    Ok(TakenUp { state, log, generators: Vec::new(), report })
}

/// Recovers a log. What was read may be in memory only (see [`Appender::resume`]), so it is
/// written again, and the log goes on in a new segment from a new snapshot.
fn take_up(
    storage: &Arc<dyn Storage>,
    config: &EngineConfig,
    reader: &LogReader,
    progress: &Progress,
    now: Now,
) -> Result<TakenUp, EngineError> {
    // Nothing is written before all that can be refused was refused.
    let (recovered, generators) = recover_to_serve(storage.as_ref(), reader)?;
    let (mut state, report) = (recovered.state, recovered.report);
    for damage in &report.damaged_snapshots {
        tracing::error!(damage, "a snapshot is damaged; the one before it and the log were used");
    }
    let rewardpool_wal::Replayed { tail, spans, .. } = recovered.replayed;
    progress.segments_found(spans);
    let format = Format::from_id(tail.format()).expect("the recovery knows the format");
    remove_leftovers(storage.as_ref())?;
    let mut log = Appender::resume(Arc::clone(storage), tail)?;
    let next_segment = log.position().segment.next();
    let record = Record::Rotate { next_segment: next_segment.0, digest: state.digest() };
    let time_ms = state.time_ms().max(now.wall_ms);
    let payload = encode_and_apply(format, &record, &mut state, time_ms)?;
    let prepared = Prepared::create(Arc::clone(storage), config.segment_bytes)?;
    let (used_bytes, span) =
        (log.used_bytes() as u64, begun(&prepared, next_segment, state.next_lsn().number()));
    log.rotate(prepared, config.format.id(), &payload, time_ms)?;
    progress.segment_begun(used_bytes, span);
    let (identity, chain) = (reader.identity(), log.position().chain);
    let place = SnapshotPlace { identity, chain, next_segment };
    let taken = publish_snapshot(storage.as_ref(), &state, place)?;
    finish_snapshot(storage, taken, progress)?;
    Ok(TakenUp { state, log, generators, report })
}

/// A segment that is about to be written.
pub(crate) fn begun(prepared: &Prepared, number: SegmentNumber, first_lsn: u64) -> SegmentSpan {
    SegmentSpan { number, first_lsn, bytes: prepared.bytes() as u64, used_bytes: SECTOR as u64 }
}
