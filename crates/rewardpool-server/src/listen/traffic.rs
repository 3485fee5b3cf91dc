//! What goes on in a connection, as its parts see it: bytes that moved, calls that are open, and
//! answers that are not read.
//!
//! Everything here runs on the thread of the network. Atomics and locks are there because tasks may
//! move, so nothing depends on their order.
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Ended calls whose answers are looked through for those that were read, when there are so many.
const UNREAD_KEPT: usize = 256;

/// The traffic of one connection.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    has_greeted: AtomicBool,
    /// Bytes that were read and written.
    moved: AtomicU64,
    /// Calls that began.
    begun: AtomicU64,
    /// Calls that are open.
    open: AtomicUsize,
    /// Answers of calls that ended here, which the client has not taken yet.
    unread: Mutex<Vec<Unread>>,
}

#[derive(Debug)]
struct Unread {
    outbox: Arc<Outbox>,
    stall: Stall,
}

impl Traffic {
    pub(super) fn greet(&self) {
        self.has_greeted.store(true, Ordering::Relaxed);
    }

    /// Whether the client speaks HTTP/2.
    pub(super) fn has_greeted(&self) -> bool {
        self.has_greeted.load(Ordering::Relaxed)
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.moved.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Bytes that moved so far.
    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Calls that began so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Calls that are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A call begins.
    pub(super) fn begin_call(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A call ended. What is left of its answer is watched on.
    pub(super) fn end_call(&self, outbox: Arc<Outbox>) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if outbox.unsent() == 0 {
            return;
        }
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        // Nearly all of them leave with the next write of the connection.
        if unread.len() >= UNREAD_KEPT {
            unread.retain(|unread| unread.outbox.unsent() > 0);
        }
        let stall = Stall::begin(&outbox, Instant::now());
        unread.push(Unread { outbox, stall });
    }

    /// Whether answers are left, and the longest time that one of them made no progress.
    pub(super) fn longest_unread(&self, now: Instant) -> Option<Duration> {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        unread.retain(|unread| unread.outbox.unsent() > 0);
        unread.iter_mut().map(|unread| unread.stall.look(&unread.outbox, now)).max()
    }
}

/// The answer of one call on its way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// Pieces that were made and not sent completely.
    unsent: AtomicUsize,
    /// Pieces that were made, and bytes that were sent: neither changes while the client holds the
    /// answer up.
    progress: AtomicU64,
}

impl Outbox {
    pub(super) fn add_piece(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end_piece(&self) {
        self.unsent.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_sent(&self, bytes: usize) {
        self.progress.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    /// Pieces that were made and not sent completely.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }
}

/// How long an answer has made no progress.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stall {
    progress: u64,
    since: Instant,
}

impl Stall {
    pub(super) fn begin(outbox: &Outbox, now: Instant) -> Self {
        Self { progress: outbox.progress.load(Ordering::Relaxed), since: now }
    }

    /// The time since the last look that saw progress.
    pub(super) fn look(&mut self, outbox: &Outbox, now: Instant) -> Duration {
        let progress = outbox.progress.load(Ordering::Relaxed);
        if progress != self.progress {
            *self = Self { progress, since: now };
        }
        now.saturating_duration_since(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stalls_from_its_last_progress_on() {
        let (outbox, begun) = (Outbox::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        let mut stall = Stall::begin(&outbox, begun);
        assert_eq!(stall.look(&outbox, after(5)), Duration::from_secs(5));
        outbox.count_sent(1);
        assert_eq!(stall.look(&outbox, after(6)), Duration::ZERO);
        assert_eq!(stall.look(&outbox, after(9)), Duration::from_secs(3));
    }

    #[test]
    fn what_ended_calls_left_is_watched_until_it_is_sent() {
        let traffic = Traffic::default();
        let (read, left) = (Arc::new(Outbox::default()), Arc::new(Outbox::default()));
        left.add_piece();
        for outbox in [&read, &left] {
            traffic.begin_call();
            traffic.end_call(Arc::clone(outbox));
        }
        assert_eq!((traffic.open(), traffic.begun()), (0, 2));
        let later = Instant::now() + Duration::from_mins(1);
        assert!(traffic.longest_unread(later).is_some_and(|age| age > Duration::from_secs(50)));
        left.end_piece();
        assert_eq!(traffic.longest_unread(later), None);
    }
}
