//! One stream: many requests in flight, answered in their order.
//!
//! Requests and answers meet in the lane. Requests that are sent together are one run of it, and
//! answers that have arrived together are settled together, so a draw costs neither a lock nor a
//! look at the clock of its own.
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use rewardpool_client::Authorized;
use tokio_stream::Stream;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};

use super::Method;
use super::client::{Client, reason};
use super::codec::{Ask, Told};
use super::schedule::Next;
use crate::tally::Tally;

/// Answers that are settled together at most.
const BATCH_MAX: u64 = 4096;

/// What the two directions of a stream share.
pub(super) struct Lane(Mutex<Road>);

struct Road {
    in_flight: u32,
    /// Requests that are not answered yet, oldest first: the moment from which they count, and how
    /// many.
    runs: VecDeque<(Instant, u32)>,
    /// Draws of the oldest request that have been answered; only for the older interface.
    partial: u32,
    /// Why one of them was refused.
    refusal: Option<Box<str>>,
    /// The moment of the last answers, from which the requests that follow them count.
    now: Instant,
    /// The direction of the requests, while it waits.
    waker: Option<Waker>,
}

impl Lane {
    pub(super) fn new(client: &Client) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Road {
            in_flight: 0,
            runs: VecDeque::new(),
            partial: 0,
            refusal: None,
            now: client.begun,
            waker: None,
        })))
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.road().in_flight.into()
    }

    /// Lets the direction of the requests look again.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.road().waker.take() {
            waker.wake();
        }
    }

    fn road(&self) -> MutexGuard<'_, Road> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

/// Sends and receives until the run is over or the stream breaks.
pub(super) async fn run(client: Arc<Client>, lane: Arc<Lane>, number: usize, channel: Authorized) {
    if let Err(status) = exchange(&client, &lane, number, channel).await {
        let (reason, _) = reason(&status);
        let left = lane.in_flight();
        client.count(Instant::now(), |tally| tally.fail(&reason, left.max(1)));
    }
}

async fn exchange(
    client: &Arc<Client>,
    lane: &Arc<Lane>,
    number: usize,
    channel: Authorized,
) -> Result<(), Status> {
    let requests =
        Requests { client: Arc::clone(client), lane: Arc::clone(lane), number, granted: 0 };
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let answers = grpc.streaming(Request::new(requests), client.path(), client.codec()).await?;
    let mut answers = answers.into_inner();
    loop {
        let batch = poll_fn(|context| poll_batch(&mut answers, client, context)).await;
        let end = settle(client, lane, batch);
        if let Some(end) = end {
            end?;
            let left = lane.in_flight();
            return if left == 0 { Ok(()) } else { Err(Status::cancelled("the stream ended")) };
        }
    }
}

/// The direction of the requests.
struct Requests {
    client: Arc<Client>,
    lane: Arc<Lane>,
    number: usize,
    /// Requests that are counted as sent already.
    granted: u32,
}

impl Stream for Requests {
    type Item = Ask;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Ask>> {
        let this = self.get_mut();
        if this.granted == 0 {
            match this.grant(context) {
                Poll::Ready(Some(granted)) => this.granted = granted,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        this.granted -= 1;
        Poll::Ready(Some(this.client.ask()))
    }
}

impl Requests {
    /// How many requests may be sent now; at least one.
    fn grant(&self, context: &mut Context<'_>) -> Poll<Option<u32>> {
        let mut road = self.lane.road();
        if self.client.is_over(road.now) {
            return Poll::Ready(None);
        }
        let room = u32::from(self.client.plan.in_flight) - road.in_flight;
        if room == 0 {
            road.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (since, granted) = match &self.client.schedule {
            None => (road.now, room),
            Some(schedule) => match schedule.poll_next(self.number, context) {
                Poll::Ready(Next::Due(moment)) => (moment, 1),
                Poll::Ready(Next::Over) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            },
        };
        road.in_flight += granted;
        road.runs.push_back((since, granted));
        drop(road);
        if self.client.schedule.is_some() {
            let now = Instant::now();
            self.client.count(now, |tally| tally.send_delay.record(now - since, 1));
        }
        Poll::Ready(Some(granted))
    }
}

/// Answers that arrived together. A refusal is the last one of its batch, so that it is settled in
/// its place.
#[derive(Default)]
struct Batch {
    /// Answers with draws.
    answers: u64,
    draws: u64,
    empties: u64,
    /// One more answer, which refuses.
    refusal: Option<Box<str>>,
    /// How the stream ended.
    end: Option<Result<(), Status>>,
}

fn poll_batch(
    answers: &mut Streaming<Told>,
    client: &Client,
    context: &mut Context<'_>,
) -> Poll<Batch> {
    let mut batch = Batch::default();
    while batch.answers < BATCH_MAX {
        let told = match Pin::new(&mut *answers).poll_next(context) {
            Poll::Pending if batch.answers == 0 => return Poll::Pending,
            Poll::Pending => break,
            Poll::Ready(Some(Ok(told))) => told,
            Poll::Ready(Some(Err(status))) => {
                batch.end = Some(Err(status));
                break;
            }
            Poll::Ready(None) => {
                batch.end = Some(Ok(()));
                break;
            }
        };
        batch.draws += u64::from(told.draws);
        batch.empties += u64::from(told.empties);
        let is_whole = client.plan.method == Method::Seed
            || told.draws == u32::from(client.plan.count)
            || told.refusal.is_some();
        batch.refusal = if is_whole { told.refusal } else { Some("WRONG_COUNT".into()) };
        if batch.refusal.is_some() {
            break;
        }
        batch.answers += 1;
    }
    Poll::Ready(batch)
}

/// Counts a batch and makes room for as many requests as it answers.
fn settle(client: &Client, lane: &Lane, batch: Batch) -> Option<Result<(), Status>> {
    let now = Instant::now();
    let draws_each = match client.plan.method {
        Method::Seed => client.plan.count.into(),
        Method::Unary | Method::Stream => 1,
    };
    let waker = {
        let mut road = lane.road();
        client.count(now, |tally| {
            tally.draws += batch.draws;
            tally.empties += batch.empties;
            road.answer(batch.answers, draws_each, now, tally);
            if let Some(refusal) = batch.refusal {
                road.refusal = Some(refusal);
                road.answer(1, draws_each, now, tally);
            }
        });
        road.now = now;
        road.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
    batch.end
}

impl Road {
    /// Settles the oldest requests with so many answers, of which each request needs some.
    fn answer(&mut self, answers: u64, answers_each: u32, now: Instant, tally: &mut Tally) {
        let whole = u64::from(self.partial) + answers;
        let each = u64::from(answers_each);
        self.partial = u32::try_from(whole % each).expect("less than a request needs");
        let ended = whole / each;
        let mut settled = u32::try_from(ended).unwrap_or(u32::MAX).min(self.in_flight);
        tally.fail("UNASKED_ANSWER", ended - u64::from(settled));
        if settled > 0
            && let Some(refusal) = self.refusal.take()
        {
            self.settle(1, |_, _| tally.fail(&refusal, 1));
            settled -= 1;
        }
        tally.requests += u64::from(settled);
        self.settle(settled, |since, times| {
            tally.latency.record(now.saturating_duration_since(since), times.into());
        });
    }

    /// Takes the oldest requests off the road.
    fn settle(&mut self, mut settled: u32, mut each: impl FnMut(Instant, u32)) {
        self.in_flight -= settled;
        while settled > 0 {
            let run = self.runs.front_mut().expect("the runs hold all that is in flight");
            let part = run.1.min(settled);
            each(run.0, part);
            run.1 -= part;
            settled -= part;
            if run.1 == 0 {
                self.runs.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn road(runs: &[(u64, u32)], begun: Instant) -> Road {
        let at = |&(ms, times): &(u64, u32)| (begun + Duration::from_millis(ms), times);
        Road {
            in_flight: runs.iter().map(|run| run.1).sum(),
            runs: runs.iter().map(at).collect(),
            partial: 0,
            refusal: None,
            now: begun,
            waker: None,
        }
    }

    fn millis(tally: &Tally, quantile: f64) -> u64 {
        (tally.latency.nanoseconds().value_at_quantile(quantile) + 500_000) / 1_000_000
    }

    #[test]
    fn answers_settle_the_oldest_requests_first() {
        let begun = Instant::now();
        let (mut road, mut tally) = (road(&[(0, 3), (10, 2)], begun), Tally::default());
        let now = begun + Duration::from_millis(30);
        road.answer(4, 1, now, &mut tally);
        assert_eq!((road.in_flight, road.runs.len(), tally.requests), (1, 1, 4));
        assert_eq!((millis(&tally, 0.5), millis(&tally, 1.0)), (30, 30));
        assert_eq!(millis(&tally, 0.0), 20);
        road.answer(1, 1, now, &mut tally);
        assert_eq!((road.in_flight, road.runs.len()), (0, 0));
    }

    #[test]
    fn a_request_of_several_answers_ends_with_its_last() {
        let begun = Instant::now();
        let (mut road, mut tally) = (road(&[(0, 2)], begun), Tally::default());
        road.answer(2, 3, begun, &mut tally);
        assert_eq!((road.in_flight, tally.requests), (2, 0));
        road.answer(1, 3, begun, &mut tally);
        assert_eq!((road.in_flight, tally.requests), (1, 1));
        road.refusal = Some("paused".into());
        road.answer(3, 3, begun, &mut tally);
        assert_eq!((road.in_flight, tally.requests, tally.failed()), (0, 1, 1));
        assert_eq!(tally.latency.count(), 1);
    }

    #[test]
    fn a_refusal_is_counted_in_its_place_and_has_no_latency() {
        let begun = Instant::now();
        let (mut road, mut tally) = (road(&[(0, 1), (20, 1), (40, 1)], begun), Tally::default());
        let now = begun + Duration::from_millis(50);
        road.answer(1, 1, now, &mut tally);
        road.refusal = Some("OVERLOADED".into());
        road.answer(1, 1, now, &mut tally);
        road.answer(1, 1, now, &mut tally);
        assert_eq!((millis(&tally, 0.0), millis(&tally, 1.0)), (10, 50));
        assert_eq!((tally.requests, tally.errors["OVERLOADED"]), (2, 1));
    }
}
