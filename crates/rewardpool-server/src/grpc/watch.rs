//! The streams of those who watch: the state of a pool again and again, and the lines of the log.
//!
//! Invariant: a message is made when the transport asks for it, which it does only while the client
//! reads. So nothing queues for a slow client, and nothing runs for one that left.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{Answer, Refusal, Request};
use rewardpool_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{self, Interval, MissedTickBehavior};
use tokio_stream::Stream;
use tonic::Status;

use super::check::Page;
use super::{Edge, call, draws};
use crate::auth::Caller;
use crate::convert::Fault;
use crate::log_ring::{Found, Line, LogRing};

/// Streams of this kind that may be open at the same time.
pub(super) const WATCHERS_MAX: usize = 256;

/// Makes the messages of a stream, one by one.
pub(crate) trait Source: Send + 'static {
    /// What clients get.
    type Message: Send + 'static;

    /// Waits until there is something to tell. `None` and an error are the end of the stream.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Message>, Status>> + Send;
}

/// The messages of a source, until the client's deadline passes or the service stops.
pub(crate) struct Messages<S: Source> {
    next: Next<S>,
}

type Next<S> = Pin<Box<dyn Future<Output = Option<Made<S>>> + Send>>;

/// A message, and what makes the ones after it.
struct Made<S: Source> {
    message: Result<S::Message, Status>,
    rest: Option<Rest<S>>,
}

struct Rest<S> {
    source: S,
    caller: Caller,
    deadline: Option<Instant>,
    stopping: watch::Receiver<bool>,
    _permit: OwnedSemaphorePermit,
}

impl<S: Source> Messages<S> {
    /// A stream, unless there are too many.
    pub(super) fn new(
        edge: &Edge,
        caller: Caller,
        deadline: Option<Instant>,
        source: S,
    ) -> Result<Self, Fault> {
        let permit = edge.watchers.clone().try_acquire_owned();
        let permit = permit.map_err(|_| Fault::too_many_watchers())?;
        let rest =
            Rest { source, caller, deadline, stopping: edge.stopping.clone(), _permit: permit };
        Ok(Self { next: Box::pin(rest.make()) })
    }
}

impl<S: Source> Rest<S> {
    async fn make(mut self) -> Option<Made<S>> {
        let Self { source, deadline, stopping, .. } = &mut self;
        let stopped = async {
            // A sender that is gone has stopped, too.
            drop(stopping.wait_for(|stopping| *stopping).await);
        };
        let expired = async {
            match *deadline {
                Some(deadline) => time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let message = tokio::select! {
            biased;
            () = stopped => Err(Fault::from(Refusal::Stopping).to_status()),
            () = expired => Err(Status::deadline_exceeded("the deadline of the stream passed")),
            message = source.next() => message.transpose()?,
        };
        // Whoever lost their token in the meantime is shown nothing more.
        let message = self.caller.check_still().map_err(Status::from).and(message);
        let rest = message.is_ok().then_some(self);
        Some(Made { message, rest })
    }
}

impl<S: Source> Stream for Messages<S> {
    type Item = Result<S::Message, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.next.as_mut().poll(context).map(|made| {
            let Made { message, rest } = made?;
            self.next = match rest {
                Some(rest) => Box::pin(rest.make()),
                None => Box::pin(std::future::ready(None)),
            };
            Some(message)
        })
    }
}

/// Shows a pool at each tick.
pub(crate) struct StateSource {
    edge: Edge,
    pool: PoolNumber,
    page: Page,
    ticks: Interval,
    /// Whether the whole service is shown, too.
    shows_service: bool,
}

impl StateSource {
    pub(super) fn new(edge: Edge, pool: PoolNumber, page: Page, every: time::Duration) -> Self {
        let mut ticks = time::interval(every);
        // A client that was slow gets the next one in its turn, and none in a hurry.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { edge, pool, page, ticks, shows_service: true }
    }

    /// The same for this caller: how busy the whole service is does not concern who is bound to some
    /// of its pools.
    pub(super) fn for_caller(mut self, caller: &Caller) -> Self {
        self.shows_service = !caller.is_bound();
        self
    }

    async fn look(&self) -> Result<v1::WatchStateResponse, Fault> {
        let Edge { mailbox, meter, .. } = &self.edge;
        if meter.is_recount_due() {
            call::answer(&call::ask(mailbox, Request::ReadStatus, None).await?)?;
        }
        let request =
            Request::ReadPool { pool: self.pool, from: self.page.from, limit: self.page.limit };
        let reply = call::ask(mailbox, request, None).await?;
        let Answer::Pool(found) = call::answer(&reply)? else {
            unreachable!("a read of a pool is answered by a pool")
        };
        let state = Some(draws::state(&self.edge, self.page, found)?);
        Ok(v1::WatchStateResponse { state, activity: self.shows_service.then(|| meter.activity()) })
    }
}

impl Source for StateSource {
    type Message = v1::WatchStateResponse;

    async fn next(&mut self) -> Result<Option<v1::WatchStateResponse>, Status> {
        loop {
            self.ticks.tick().await;
            match self.look().await {
                // Who only watches waits for better times.
                Err(fault) if fault.is_overload() => {}
                looked => return looked.map(Some).map_err(Status::from),
            }
        }
    }
}

/// Shows each line of the log.
pub(crate) struct LogSource {
    ring: LogRing,
    /// Number of the line that comes next.
    next: u64,
    changes: watch::Receiver<u64>,
}

impl LogSource {
    /// Begins with the line of this number, or with the first behind it that is kept.
    pub(super) fn new(ring: LogRing, next: u64) -> Self {
        let changes = ring.changes();
        Self { ring, next, changes }
    }
}

impl Source for LogSource {
    type Message = v1::LogEvent;

    async fn next(&mut self) -> Result<Option<v1::LogEvent>, Status> {
        loop {
            match self.ring.find(self.next) {
                Found::Line(line, missed) => {
                    self.next = line.sequence + 1;
                    return Ok(Some(event(&line, missed)));
                }
                Found::Nothing => {
                    let next = self.next;
                    let changed = self.changes.wait_for(|last| *last > next).await;
                    // The source has a ring, so there is always a sender.
                    changed.map(drop).map_err(|_| Fault::from(Refusal::Stopping).to_status())?;
                }
            }
        }
    }
}

fn event(line: &Line, missed: u64) -> v1::LogEvent {
    let fields = line.fields.iter().map(|(name, text)| ((*name).to_owned(), text.clone()));
    v1::LogEvent {
        sequence: line.sequence,
        time_ms: line.time_ms,
        level: line.level.to_string(),
        target: line.target.to_owned(),
        message: line.message.clone(),
        fields: fields.collect(),
        missed,
    }
}
