//! Load on an engine in this process, without a network: what the machine and the log can give.
//!
//! Each producer is a thread that keeps a number of submissions in flight and hands over the next
//! one when a reply comes (a closed loop). Buffers of replies are used again, so that the load
//! allocates nothing for a draw.
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, Handle, Refusal, Reply, ReplyPort, Request, Scheduling,
    StorageKind, Submission, inspect,
};
use serde_json::json;
use tempfile::TempDir;

use crate::error::Error;
use crate::machine::{Machine, Observer};
use crate::report::{self, Kind, Parameters, Report};
use crate::tally::Tally;
use crate::watch::{Phase, Watch};
use crate::{catalog, log};

/// How long the engine may take for a single question.
const PATIENCE: Duration = Duration::from_mins(1);
/// Submissions that may wait for the writer, unless more are in flight.
const MAILBOX: usize = 4096;

/// How the engine is set up and how the load is laid on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnginePlan {
    /// Items of the pool: 1 to 16 000 000.
    pub items: u32,
    /// How they are located.
    pub selector: SelectorKind,
    /// Format of the records.
    pub format: Format,
    /// How the log is written.
    pub storage: StorageKind,
    /// Length of a segment.
    pub segment_bytes: usize,
    /// Draws after which a batch is written although more wait.
    pub batch_draws_max: usize,
    /// Draws of a command: 1 to 10 000.
    pub count: u16,
    /// Commands of a submission: 1 to 1024.
    pub commands: u16,
    /// Submissions that each producer has in flight: at least 1.
    pub in_flight: u16,
    /// Threads that hand over: at least 1.
    pub producers: u16,
    /// How long.
    pub duration: Duration,
    /// The load ends earlier when so many draws are handed over.
    pub draws_max: u64,
    /// Whether one snapshot after another is taken beside the load.
    pub with_snapshots: bool,
}

impl Default for EnginePlan {
    /// Single draws from 6 items, in submissions of 1024, eight of them in flight, for 5 seconds.
    fn default() -> Self {
        Self {
            items: 6,
            selector: SelectorKind::Auto,
            format: Format::Binary,
            storage: StorageKind::File,
            segment_bytes: 64 << 20,
            batch_draws_max: 16_384,
            count: 1,
            commands: 1024,
            in_flight: 8,
            producers: 1,
            duration: Duration::from_secs(5),
            draws_max: u64::MAX,
            with_snapshots: false,
        }
    }
}

impl EnginePlan {
    /// The configuration of an engine for this plan.
    pub fn config(&self, directory: &Path) -> EngineConfig {
        let in_flight = usize::from(self.in_flight) * usize::from(self.producers);
        EngineConfig {
            directory: directory.to_owned(),
            storage: self.storage,
            format: self.format,
            segment_bytes: self.segment_bytes,
            mailbox_capacity: in_flight.max(MAILBOX),
            batch_draws_max: self.batch_draws_max,
            scheduling: Scheduling::Normal,
        }
    }

    /// What was asked for, by the names of the command line.
    pub(crate) fn parameters(&self) -> Parameters {
        report::parameters(json!({
            "items": self.items,
            "selector": selector_name(self.selector),
            "format": self.format.to_string(),
            "storage": storage_name(self.storage),
            "segment_bytes": self.segment_bytes,
            "batch_draws_max": self.batch_draws_max,
            "count": self.count,
            "commands": self.commands,
            "in_flight": self.in_flight,
            "producers": self.producers,
            "seconds": self.duration.as_secs_f64(),
            "snapshots": self.with_snapshots,
        }))
    }

    /// Checks the bounds that are not those of a type.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.items == 0 {
            return Err(Error::Plan("a pool has at least one item"));
        }
        if DrawCount::new(self.count.into()).is_none() {
            return Err(Error::Plan("a command makes 1 to 10000 draws"));
        }
        if !(1..=Submission::REQUESTS_MAX).contains(&self.commands.into()) {
            return Err(Error::Plan("a submission has 1 to 1024 commands"));
        }
        if self.in_flight == 0 || self.producers == 0 {
            return Err(Error::Plan("at least one submission of one producer is in flight"));
        }
        Ok(())
    }
}

/// Lays the load on an engine in a temporary directory below `parent`, and reports.
///
/// # Errors
/// As [`run`].
pub fn bench(parent: &Path, plan: &EnginePlan, watch: &Watch) -> Result<Report, Error> {
    let directory = temporary_directory(parent)?;
    let machine = Machine::of(Some(directory.path()));
    let observer = Observer::begin(&[]);
    let run = run(&directory.path().join("data"), plan, watch)?;
    let told = report::Run {
        kind: Kind::Engine,
        parameters: plan.parameters(),
        trust: observer.end(&machine),
        machine,
        interrupted: watch.is_stopped(),
        elapsed: run.elapsed,
    };
    let mut report = Report::new(told, &run.tally);
    // A reply is a commit when nobody else can share it.
    let is_alone = plan.in_flight == 1 && plan.producers == 1;
    report.commit_us = report.latency_us.filter(|_| is_alone);
    report.log = Some(run.log);
    Ok(report)
}

/// A directory that goes when it is dropped.
pub(crate) fn temporary_directory(parent: &Path) -> Result<TempDir, Error> {
    let directory = tempfile::Builder::new().prefix("rewardpool-bench-").tempdir_in(parent);
    directory.map_err(Error::file(parent))
}

/// What a run on an engine measured.
#[derive(Clone, Debug)]
pub struct EngineRun {
    /// What the producers counted. The latency is that of a submission.
    pub tally: Tally,
    /// From the first hand-over to the last reply.
    pub elapsed: Duration,
    /// What the log took.
    pub log: log::Use,
    /// Number of the last segment: how often the log rotated.
    pub rotations: u32,
}

/// Lays the load on a new engine in a directory, which must hold no log. The log stays there.
///
/// # Errors
/// When the plan is out of bounds, or the engine fails.
pub fn run(directory: &Path, plan: &EnginePlan, watch: &Watch) -> Result<EngineRun, Error> {
    plan.check()?;
    watch.enter(Phase::Preparing);
    let engine = Engine::open(&plan.config(directory))?;
    let measured = measure(&engine.handle(), plan, watch);
    watch.enter(Phase::Finishing);
    // The failure of the engine says more than that of a producer which met it.
    engine.stop()?;
    let (tally, elapsed, rotations) = measured?;
    let log = log::Use::of(&inspect::segments(directory)?, tally.draws);
    Ok(EngineRun { tally, elapsed, log, rotations })
}

fn measure(
    handle: &Handle,
    plan: &EnginePlan,
    watch: &Watch,
) -> Result<(Tally, Duration, u32), Error> {
    let pool = handle.create_pool(catalog::rising(plan.items, plan.selector)?, PATIENCE)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let snapshots = plan.with_snapshots.then(|| take_snapshots(handle, &is_over)).transpose()?;
    let since = Instant::now();
    watch.enter(match plan.draws_max {
        u64::MAX => Phase::Measuring { since, duration: plan.duration },
        draws => Phase::Filling { draws },
    });
    let tally = produce(handle, plan, pool, (since, watch));
    let elapsed = since.elapsed();
    is_over.store(true, Ordering::Relaxed);
    if let Some(snapshots) = snapshots {
        snapshots.join().expect("the thread does not panic")?;
    }
    let tally = tally?;
    let (Answer::Status(status), _) = handle.call(Request::ReadStatus, PATIENCE)? else {
        unreachable!("a status is answered by a status")
    };
    Ok((tally, elapsed, status.current_segment))
}

/// Runs the producers to their end and adds up what they counted.
fn produce(
    handle: &Handle,
    plan: &EnginePlan,
    pool: PoolNumber,
    (since, watch): (Instant, &Watch),
) -> Result<Tally, Error> {
    let draws_max = plan.draws_max.div_ceil(plan.producers.into());
    std::thread::scope(|scope| {
        let mut producers = Vec::new();
        for number in 0..plan.producers {
            let producer = Producer::new(handle.clone(), plan, pool, watch);
            let body = move || producer.run(since + plan.duration, draws_max);
            let thread = Builder::new().name(format!("load-{number}"));
            producers.push(thread.spawn_scoped(scope, body).map_err(Error::system("run threads"))?);
        }
        let mut sum = Tally::default();
        for producer in producers {
            sum.merge(&producer.join().expect("a producer does not panic")?);
        }
        Ok(sum)
    })
}

/// Takes one snapshot after another until the load is over.
fn take_snapshots(
    handle: &Handle,
    is_over: &Arc<AtomicBool>,
) -> Result<JoinHandle<Result<(), Refusal>>, Error> {
    let (handle, is_over) = (handle.clone(), Arc::clone(is_over));
    let snapshots = move || {
        while !is_over.load(Ordering::Relaxed) {
            handle.take_snapshot(PATIENCE)?;
        }
        Ok(())
    };
    let thread = Builder::new().name("load-snapshots".to_owned());
    thread.spawn(snapshots).map_err(Error::system("run threads"))
}

/// One thread that hands over draws.
struct Producer<'a> {
    handle: Handle,
    pool: PoolNumber,
    count: DrawCount,
    commands: u16,
    in_flight: u16,
    port: Arc<dyn ReplyPort>,
    replies: Receiver<Reply>,
    /// When each submission in flight was handed over.
    handed_over: VecDeque<Instant>,
    tally: Tally,
    watch: &'a Watch,
}

impl<'a> Producer<'a> {
    fn new(handle: Handle, plan: &EnginePlan, pool: PoolNumber, watch: &'a Watch) -> Self {
        let (sender, replies): (Sender<Reply>, Receiver<Reply>) = bounded(plan.in_flight.into());
        Self {
            handle,
            pool,
            count: DrawCount::new(plan.count.into()).expect("the plan was checked"),
            commands: plan.commands,
            in_flight: plan.in_flight,
            port: Arc::new(ChannelPort(sender)),
            replies,
            handed_over: VecDeque::with_capacity(plan.in_flight.into()),
            tally: Tally::default(),
            watch,
        }
    }

    fn run(mut self, until: Instant, draws_max: u64) -> Result<Tally, Refusal> {
        let draws_each = u64::from(self.commands) * u64::from(self.count.number());
        let mut handed_over = 0;
        for _ in 0..self.in_flight {
            if handed_over < draws_max {
                self.submit(Submission::new(Arc::clone(&self.port)), Instant::now())?;
                handed_over += draws_each;
            }
        }
        while let Some(since) = self.handed_over.pop_front() {
            let reply = self.replies.recv().map_err(|_| Refusal::OutcomeUnknown)?;
            let now = Instant::now();
            self.count(&reply, now - since);
            if now < until && handed_over < draws_max && !self.watch.is_stopped() {
                self.submit(Submission::reuse(reply, Arc::clone(&self.port)), now)?;
                handed_over += draws_each;
            }
        }
        Ok(self.tally)
    }

    fn submit(&mut self, mut submission: Submission, now: Instant) -> Result<(), Refusal> {
        let (pool, count) = (self.pool, self.count);
        for _ in 0..self.commands {
            let mode = DrawMode::BestEffort;
            submission.push(Request::Draw(DrawCommand { pool, count, mode, key: None }));
        }
        self.handle.submit(submission).map_err(|(refusal, _)| refusal)?;
        self.handed_over.push_back(now);
        Ok(())
    }

    fn count(&mut self, reply: &Reply, took: Duration) {
        let mut draws = 0;
        for answer in reply.answers() {
            match answer {
                Ok(Answer::Draw(draw)) => draws += reply.outcomes(draw).len() as u64,
                Ok(_) => unreachable!("a draw is answered by a draw"),
                Err(refusal) => self.tally.fail(reason(*refusal), 1),
            }
        }
        self.tally.draws += draws;
        self.tally.requests += 1;
        self.tally.latency.record(took, 1);
        self.watch.add_draws(draws);
    }
}

/// The name of a selector in texts.
pub const fn selector_name(kind: SelectorKind) -> &'static str {
    match kind {
        SelectorKind::Auto => "auto",
        SelectorKind::Fenwick => "fenwick",
        SelectorKind::PrefixSum => "prefix_sum",
        SelectorKind::SumTree => "sum_tree",
    }
}

/// The name of a storage in texts.
pub const fn storage_name(kind: StorageKind) -> &'static str {
    match kind {
        StorageKind::File => "file",
        StorageKind::Mmap => "mmap",
    }
}

/// The names under which the service tells them.
fn reason(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Rejected(_) => "REJECTED",
        Refusal::Overloaded => "OVERLOADED",
        Refusal::Expired => "EXPIRED",
        Refusal::OutOfSpace => "NO_SPACE",
        Refusal::Follower => "FOLLOWER",
        Refusal::Stopping => "STOPPING",
        Refusal::OutcomeUnknown => "OUTCOME_UNKNOWN",
    }
}

struct ChannelPort(Sender<Reply>);

impl ReplyPort for ChannelPort {
    fn deliver(&self, reply: Reply) {
        // The channel holds all that is in flight; a producer that failed wants nothing more.
        drop(self.0.try_send(reply));
    }
}
