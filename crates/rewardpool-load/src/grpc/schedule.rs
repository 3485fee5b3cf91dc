//! When requests are due in an open loop, and who sends them.
//!
//! Request k is due k / rate after the begin, whatever the service does. A latency is measured from
//! that moment, so the requests that a slow answer holds up count with all the time that a client
//! at this rate would have waited (no coordinated omission).
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

const NANOSECONDS: u128 = 1_000_000_000;

/// The moments at which requests are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    begun: Instant,
    per_second: NonZeroU64,
}

impl Rate {
    pub(super) fn new(begun: Instant, per_second: NonZeroU64) -> Self {
        Self { begun, per_second }
    }

    /// How many requests are due by now. The first one is due at once.
    pub(super) fn due(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.begun).as_nanos();
        let due = since * u128::from(self.per_second.get()) / NANOSECONDS + 1;
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    /// When this request is due, rounded up: at this moment it is.
    pub(super) fn moment(&self, index: u64) -> Instant {
        let per_second = u128::from(self.per_second.get());
        let after = (u128::from(index) * NANOSECONDS).div_ceil(per_second);
        self.begun + Duration::from_nanos(u64::try_from(after).unwrap_or(u64::MAX))
    }
}

/// What a lane is told that asks for work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// It sends a request that was due at this moment.
    Due(Instant),
    /// Nothing is sent any more.
    Over,
}

/// Hands requests that are due to the lanes that have room, those first that waited longest.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: Rate,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Requests that are due.
    due: u64,
    /// Requests that were taken.
    taken: u64,
    is_over: bool,
    /// Lanes that wait, each once.
    waiting: VecDeque<usize>,
    /// By lane: who is told.
    wakers: Vec<Option<Waker>>,
}

impl Schedule {
    pub(super) fn new(rate: Rate, lanes: usize) -> Self {
        let inner = Inner { wakers: vec![None; lanes], ..Inner::default() };
        Self { rate, inner: Mutex::new(inner) }
    }

    pub(super) fn rate(&self) -> &Rate {
        &self.rate
    }

    /// The next request for a lane that has room; the lane is woken when there is none yet.
    pub(super) fn poll_next(&self, lane: usize, context: &mut Context<'_>) -> Poll<Next> {
        let mut inner = self.lock();
        if inner.is_over {
            return Poll::Ready(Next::Over);
        }
        if inner.taken < inner.due {
            let index = inner.taken;
            inner.taken += 1;
            return Poll::Ready(Next::Due(self.rate.moment(index)));
        }
        if inner.wakers[lane].replace(context.waker().clone()).is_none() {
            inner.waiting.push_back(lane);
        }
        Poll::Pending
    }

    /// Makes the requests due that are due by now, and wakes lanes for them. Gives the next one.
    pub(super) fn advance(&self, now: Instant) -> u64 {
        let mut inner = self.lock();
        inner.due = self.rate.due(now).max(inner.due);
        let mut wakes = inner.due - inner.taken;
        while wakes > 0 {
            let Some(lane) = inner.waiting.pop_front() else { break };
            inner.wakers[lane].take().expect("who waits has a waker").wake();
            wakes -= 1;
        }
        inner.due
    }

    /// Ends it. Gives how many requests were due and never taken.
    pub(super) fn finish(&self) -> u64 {
        let mut inner = self.lock();
        inner.is_over = true;
        inner.waiting.clear();
        for waker in inner.wakers.iter_mut().filter_map(Option::take) {
            waker.wake();
        }
        inner.due - inner.taken
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u64) -> Rate {
        Rate::new(Instant::now(), NonZeroU64::new(per_second).unwrap())
    }

    #[test]
    fn a_request_is_due_at_its_moment_and_not_before() {
        for per_second in [1, 3, 7, 1_000, 999_983, 1_000_000_000, 3_000_000_000] {
            let rate = rate(per_second);
            for index in [0, 1, 2, 3, 1_000, 123_456_789] {
                let moment = rate.moment(index);
                assert!(rate.due(moment) > index, "{per_second} {index}");
                if per_second <= 1_000_000_000 && index > 0 {
                    let before = moment.checked_sub(Duration::from_nanos(1)).unwrap();
                    assert_eq!(rate.due(before), index, "{per_second} {index}");
                }
            }
        }
    }

    #[test]
    fn the_moments_do_not_drift() {
        let rate = rate(7);
        let hour = Duration::from_hours(1);
        assert_eq!(rate.moment(7 * 3600) - rate.moment(0), hour);
        assert_eq!(rate.due(rate.begun + hour), 7 * 3600 + 1);
    }

    /// A service that stops for a second holds up a hundred requests at a rate of a hundred; each
    /// counts with the time since it was due, not since it could be sent.
    #[test]
    fn what_a_pause_holds_up_counts_from_its_moment() {
        let schedule = Schedule::new(rate(100), 1);
        let begun = schedule.rate.begun;
        let mut context = Context::from_waker(Waker::noop());
        schedule.advance(begun);
        assert_eq!(schedule.poll_next(0, &mut context), Poll::Ready(Next::Due(begun)));
        assert_eq!(schedule.poll_next(0, &mut context), Poll::Pending);
        let resumed = begun + Duration::from_secs(1);
        assert_eq!(schedule.advance(resumed), 101);
        let mut waited = Vec::new();
        while let Poll::Ready(Next::Due(moment)) = schedule.poll_next(0, &mut context) {
            waited.push((resumed - moment).as_millis());
        }
        let expected: Vec<u128> = (0..100).rev().map(|n| n * 10).collect();
        assert_eq!(waited, expected);
    }

    #[test]
    fn lanes_take_turns_and_learn_the_end() {
        let schedule = Schedule::new(rate(10), 2);
        let begun = schedule.rate.begun;
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(schedule.poll_next(1, &mut context), Poll::Pending);
        assert_eq!(schedule.poll_next(0, &mut context), Poll::Pending);
        assert_eq!(schedule.poll_next(1, &mut context), Poll::Pending);
        assert_eq!(schedule.lock().waiting, [1, 0]);
        assert_eq!(schedule.advance(begun), 1);
        assert_eq!(schedule.lock().waiting, [0]);
        schedule.advance(begun + Duration::from_millis(250));
        assert!(schedule.lock().waiting.is_empty());
        assert_eq!(schedule.finish(), 3);
        assert_eq!(schedule.poll_next(0, &mut context), Poll::Ready(Next::Over));
    }
}
