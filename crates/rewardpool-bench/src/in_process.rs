//! An engine in this process whose commits are timed where they end: on the writer's thread, when a
//! reply is delivered. So a caller that gets no CPU does not count as a slow commit.
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use crossbeam_channel::{Receiver, Sender, bounded};
use rewardpool_engine::core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{Engine, EngineConfig, Handle, Reply, ReplyPort, Request, Submission};
use rewardpool_load::{Latencies, catalog};

use crate::rounds::Round;

const PATIENCE: Duration = Duration::from_mins(1);
/// The replies of one commit leave one after the other within less than this; two commits are
/// further apart, because a sync lies between them.
const ONE_COMMIT: Duration = Duration::from_micros(20);

/// How the draws are handed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Draws of one command.
    pub(crate) count: u16,
    /// Commands of one submission.
    pub(crate) commands: u16,
    /// Submissions in flight.
    pub(crate) in_flight: usize,
}

impl Shape {
    /// One caller who waits for each answer.
    pub(crate) const fn lone(count: u16) -> Self {
        Self { count, commands: 1, in_flight: 1 }
    }
}

/// What one round measured.
pub(crate) struct Measured {
    /// From hand-over to reply, as the caller sees it.
    pub(crate) replies: Round,
    /// The turns of the writer: from the end of one commit to the end of the next, or from the
    /// hand-over to the end of its commit when only one is in flight.
    pub(crate) commits: Round,
}

/// A running engine with one pool.
pub(crate) struct InProcess {
    engine: Engine,
    pub(crate) handle: Handle,
    pool: PoolNumber,
}

impl InProcess {
    /// Opens the engine in an empty directory and makes a pool of so many items.
    pub(crate) fn open(config: &EngineConfig, items: u32) -> anyhow::Result<Self> {
        let engine = Engine::open(config)?;
        let handle = engine.handle();
        let pool = handle.create_pool(catalog::rising(items, SelectorKind::Auto)?, PATIENCE)?;
        Ok(Self { engine, handle, pool })
    }

    /// Stops the engine.
    pub(crate) fn stop(self) -> anyhow::Result<()> {
        Ok(self.engine.stop()?)
    }

    /// Lays the load on.
    pub(crate) fn run(&self, shape: &Shape, duration: Duration) -> anyhow::Result<Measured> {
        let (sender, replies): (Sender<Delivered>, Receiver<Delivered>) = bounded(shape.in_flight);
        let port: Arc<dyn ReplyPort> = Arc::new(ClockedPort(sender));
        let mut clock = CommitClock { last: None, commits: Latencies::new() };
        let mut latencies = Latencies::new();
        let mut handed_over = VecDeque::with_capacity(shape.in_flight);
        let begun = Instant::now();
        for _ in 0..shape.in_flight {
            handed_over.push_back(Instant::now());
            self.submit(Submission::new(Arc::clone(&port)), shape)?;
        }
        let mut events = 0;
        while let Some(since) = handed_over.pop_front() {
            let Delivered { reply, at } =
                replies.recv_timeout(PATIENCE).context("the engine ended")?;
            if reply.answers().iter().any(Result::is_err) {
                bail!("the engine refused a draw: {:?}", reply.answers().first());
            }
            let now = Instant::now();
            latencies.record(now - since, 1);
            clock.tick(at, (shape.in_flight == 1).then_some(since));
            events += u64::from(shape.count) * u64::from(shape.commands);
            if now - begun < duration {
                handed_over.push_back(now);
                self.submit(Submission::reuse(reply, Arc::clone(&port)), shape)?;
            }
        }
        let elapsed = begun.elapsed();
        let replies = Round { events, elapsed, latencies };
        Ok(Measured { replies, commits: Round { events, elapsed, latencies: clock.commits } })
    }

    fn submit(&self, mut submission: Submission, shape: &Shape) -> anyhow::Result<()> {
        let count = DrawCount::new(shape.count.into()).context("a valid count")?;
        for _ in 0..shape.commands {
            let (mode, key) = (DrawMode::BestEffort, None);
            submission.push(Request::Draw(DrawCommand { pool: self.pool, count, mode, key }));
        }
        Ok(self.handle.submit(submission).map_err(|(refusal, _)| refusal)?)
    }
}

/// A reply and when the writer let it go.
struct Delivered {
    reply: Reply,
    at: Instant,
}

struct ClockedPort(Sender<Delivered>);

impl ReplyPort for ClockedPort {
    fn deliver(&self, reply: Reply) {
        let delivered = Delivered { reply, at: Instant::now() };
        // The channel holds all that is in flight; a caller that failed wants nothing more.
        drop(self.0.try_send(delivered));
    }
}

/// Tells the commits by the moments at which replies leave.
struct CommitClock {
    last: Option<Instant>,
    commits: Latencies,
}

impl CommitClock {
    /// A reply left. A lone caller knows when its commit was asked for.
    fn tick(&mut self, at: Instant, asked: Option<Instant>) {
        let since = asked.or(self.last);
        let took = since.map(|since| at.saturating_duration_since(since));
        match took {
            // It is of the same commit as the one before.
            Some(took) if asked.is_none() && took < ONE_COMMIT => {}
            Some(took) => self.commits.record(took, 1),
            None => {}
        }
        self.last = Some(at);
    }
}

/// A configuration as a service would have it.
pub(crate) fn config(directory: &Path, batch_draws_max: usize) -> EngineConfig {
    EngineConfig { batch_draws_max, ..rewardpool_load::EnginePlan::default().config(directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_that_leave_together_are_one_commit() {
        let begun = Instant::now();
        let mut clock = CommitClock { last: None, commits: Latencies::new() };
        for micros in [0, 3, 6, 200, 203, 500] {
            clock.tick(begun + Duration::from_micros(micros), None);
        }
        let commits = clock.commits.nanoseconds();
        assert_eq!(commits.len(), 2);
        assert!(commits.min().abs_diff(194_000) < 200);
        assert!(commits.max().abs_diff(297_000) < 300);
    }

    #[test]
    fn the_commit_of_a_lone_caller_begins_when_it_asks() {
        let begun = Instant::now();
        let mut clock = CommitClock { last: None, commits: Latencies::new() };
        let asked = begun + Duration::from_micros(100);
        clock.tick(begun, None);
        clock.tick(asked + Duration::from_micros(7), Some(asked));
        assert_eq!(clock.commits.nanoseconds().len(), 1);
        assert!(clock.commits.nanoseconds().max().abs_diff(7_000) < 10);
    }
}
