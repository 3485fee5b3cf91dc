//! Refuses calls while they cannot be answered soon.
//!
//! Calls that wait are answered late, and their clients do not wait for ever; so a service that
//! takes all of them answers none in time. It is overloaded when not even the quickest answer of a
//! while came soon, as a queue is too long that never gets empty. Then it takes only as many calls as
//! it answers in [`SOON`], which is all it can do at that time. A refused call costs little, nothing
//! of it has happened, and it has no number.
//!
//! Only single calls of players are counted. Streams are held back by flow control.
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use pin_project_lite::pin_project;
use rewardpool_engine::Refusal;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::convert::Fault;

/// How long a call may wait for those before it.
const SOON: Duration = Duration::from_millis(100);
/// So many calls are taken however late answers are: a disk may pause for a moment.
const ROOM_MIN: usize = 64;
/// And so many while answers come soon; the mailbox has its own limit.
const ROOM_MAX: usize = 1 << 20;
/// How often it is looked how late answers are.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The calls that are counted.
const COUNTED: [&str; 5] = [
    "/rewardpool.v1.RewardPool/Draw",
    "/rewardpool.v1.RewardPool/GetDraw",
    "/rewardpool.v1.RewardPool/GetState",
    "/rewardpool.v1.RewardPool/ListPools",
    "/rewardpool.RewardPoolService/GetState",
];

/// How many calls there are and may be.
#[derive(Debug)]
pub(crate) struct Admission {
    open: AtomicUsize,
    room: AtomicUsize,
    look: Mutex<Look>,
}

/// What was seen since the last look.
#[derive(Clone, Copy, Debug)]
struct Look {
    since: Instant,
    answered: u32,
    quickest: Duration,
}

impl Look {
    fn begin(now: Instant) -> Self {
        Self { since: now, answered: 0, quickest: Duration::MAX }
    }
}

impl Admission {
    fn new(now: Instant) -> Self {
        let (open, room) = (AtomicUsize::new(0), AtomicUsize::new(ROOM_MAX));
        Self { open, room, look: Mutex::new(Look::begin(now)) }
    }

    /// Takes a call, unless there are too many.
    fn take(self: Arc<Self>, now: Instant) -> Option<Taken> {
        if self.open.load(Ordering::Relaxed) >= self.room.load(Ordering::Relaxed) {
            return None;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Some(Taken { admission: self, since: now })
    }

    /// A call was answered, or given up.
    fn answered(&self, since: Instant, now: Instant) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        let mut look = self.look.lock().unwrap_or_else(PoisonError::into_inner);
        look.answered = look.answered.saturating_add(1);
        look.quickest = look.quickest.min(now.saturating_duration_since(since));
        if now.saturating_duration_since(look.since) < LOOK_EVERY {
            return;
        }
        let seen = std::mem::replace(&mut *look, Look::begin(now));
        drop(look);
        let room = self.room.load(Ordering::Relaxed);
        self.room.store(next_room(room, seen, now), Ordering::Relaxed);
    }
}

/// How many calls may be there after what was seen.
fn next_room(room: usize, seen: Look, now: Instant) -> usize {
    if seen.quickest <= SOON {
        // By and by, so that it does not swing.
        return (room + room / 4).min(ROOM_MAX);
    }
    let took = now.saturating_duration_since(seen.since).max(LOOK_EVERY);
    let soon = u128::from(seen.answered) * SOON.as_nanos() / took.as_nanos();
    usize::try_from(soon).unwrap_or(ROOM_MAX).clamp(ROOM_MIN, ROOM_MAX)
}

/// A call that is taken, until it is answered or given up.
struct Taken {
    admission: Arc<Admission>,
    since: Instant,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.admission.answered(self.since, Instant::now());
    }
}

/// Puts [`Admitting`] around the services.
#[derive(Clone)]
pub(crate) struct AdmissionLayer {
    admission: Arc<Admission>,
}

impl AdmissionLayer {
    pub(crate) fn new() -> Self {
        Self { admission: Arc::new(Admission::new(Instant::now())) }
    }
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admitting<S>;

    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting { inner, admission: Arc::clone(&self.admission) }
    }
}

/// The services, for as many calls as they can answer soon.
#[derive(Clone)]
pub(crate) struct Admitting<S> {
    inner: S,
    admission: Arc<Admission>,
}

impl<S, B> Service<Request<B>> for Admitting<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Admitted<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Admitted<S::Future> {
        if !COUNTED.contains(&request.uri().path()) {
            return Admitted { answer: Some(self.inner.call(request)), taken: None };
        }
        match Arc::clone(&self.admission).take(Instant::now()) {
            Some(taken) => Admitted { answer: Some(self.inner.call(request)), taken: Some(taken) },
            None => Admitted { answer: None, taken: None },
        }
    }
}

pin_project! {
    /// The way to an answer, or none for a call that was refused.
    pub(crate) struct Admitted<F> {
        #[pin]
        answer: Option<F>,
        taken: Option<Taken>,
    }
}

impl<F, E> Future for Admitted<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            return Poll::Ready(Ok(Fault::from(Refusal::Overloaded).to_status().into_http()));
        };
        let polled = answer.poll(context);
        if polled.is_ready() {
            drop(this.taken.take());
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(answered: u32, quickest: Duration) -> (Look, Instant) {
        let since = Instant::now();
        (Look { since, answered, quickest }, since + LOOK_EVERY)
    }

    #[test]
    fn late_answers_leave_room_for_what_can_be_answered_soon() {
        let (look, now) = seen(500, SOON * 2);
        assert_eq!(next_room(ROOM_MAX, look, now), 500);
        // The same in ten times the time.
        assert_eq!(next_room(ROOM_MAX, look, now + LOOK_EVERY * 9), ROOM_MIN);
        let (look, now) = seen(5000, SOON * 2);
        assert_eq!(next_room(ROOM_MIN, look, now), 5000);
    }

    #[test]
    fn one_quick_answer_shows_that_the_queue_is_short() {
        let (look, now) = seen(3, SOON);
        assert_eq!(next_room(ROOM_MAX, look, now), ROOM_MAX);
        assert_eq!(next_room(1000, look, now), 1250);
    }

    #[test]
    fn calls_are_refused_while_there_is_no_room_and_taken_again() {
        let begun = Instant::now();
        let admission = Arc::new(Admission::new(begun));
        let take = || Arc::clone(&admission).take(begun);
        let open: Vec<_> = (0..1000).map(|_| take().unwrap()).collect();
        for taken in &open {
            admission.open.fetch_add(1, Ordering::Relaxed);
            admission.answered(taken.since, begun + LOOK_EVERY * 5);
        }
        assert!(take().is_none());
        drop(open);
        assert!(take().is_some());
        assert_eq!(admission.open.load(Ordering::Relaxed), 0);
    }
}
