//! A mailbox without an engine, for tests.
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{Refusal, Submission};

use super::Mailbox;
use super::replies::Replies;

/// Knows the pools that it is told of, refuses so many submissions, and keeps the others.
#[derive(Clone, Default)]
pub(super) struct FakeMailbox {
    pub(super) pools: Vec<&'static str>,
    pub(super) refusals: Arc<Mutex<Vec<Refusal>>>,
    pub(super) tries: Arc<AtomicUsize>,
    /// Refusals that were counted; `None` for a value that a request must not have.
    pub(super) counted: Arc<Mutex<Vec<Option<Refusal>>>>,
    pub(super) taken: Arc<Mutex<Vec<Submission>>>,
    replies: Replies,
}

impl FakeMailbox {
    /// Knows these pools and refuses so often for want of room.
    pub(super) fn new(pools: &[&'static str], overloaded: usize) -> Self {
        let fake = Self { pools: pools.to_vec(), ..Self::default() };
        fake.refusals.lock().unwrap().resize(overloaded, Refusal::Overloaded);
        fake
    }

    pub(super) fn tries(&self) -> usize {
        self.tries.load(Ordering::Relaxed)
    }

    /// Lengths of the submissions that were taken.
    pub(super) fn lengths(&self) -> Vec<usize> {
        self.taken.lock().unwrap().iter().map(Submission::len).collect()
    }

    /// Drops what was taken, as an engine that fails does.
    pub(super) fn fail(&self) {
        self.taken.lock().unwrap().clear();
    }
}

impl Mailbox for FakeMailbox {
    fn submit(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        self.tries.fetch_add(1, Ordering::Relaxed);
        if let Some(refusal) = self.refusals.lock().unwrap().pop() {
            return Err((refusal, submission));
        }
        self.taken.lock().unwrap().push(submission);
        Ok(())
    }

    fn replies(&self) -> &Replies {
        &self.replies
    }

    fn pool(&self, name: &str) -> Option<PoolNumber> {
        let place = self.pools.iter().position(|pool| *pool == name)?;
        Some(PoolNumber(u32::try_from(place).unwrap()))
    }

    fn only_pool(&self) -> Option<PoolNumber> {
        (self.pools.len() == 1).then_some(PoolNumber(0))
    }

    fn count_refusal(&self, refusal: Refusal) {
        self.counted.lock().unwrap().push(Some(refusal));
    }

    fn count_invalid(&self) {
        self.counted.lock().unwrap().push(None);
    }
}
