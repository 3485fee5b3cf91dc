//! What a follower knows of its leader: how far that is, since when, and whether it is there.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use rewardpool_proto::v1;
use tokio::sync::Notify;

/// The leader as it is seen from here.
#[derive(Debug)]
pub(crate) struct Leader {
    url: String,
    seen: Mutex<Seen>,
    is_promoted: AtomicBool,
    promoted: Notify,
    link_ended: Notify,
}

#[derive(Debug, Default)]
struct Seen {
    /// How far the leader was when it was last heard of.
    latest: Option<Heard>,
    /// What it said earlier and was not reached here when it was looked at last.
    goal: Option<Heard>,
    /// When it said last what has been reached here.
    fresh_at: Option<Instant>,
    is_connected: bool,
    problem: String,
}

/// What the leader said.
#[derive(Clone, Copy, Debug)]
struct Heard {
    durable_lsn: u64,
    at: Instant,
}

impl Seen {
    /// Sees which of the leader's words have come true.
    fn reach(&mut self, lsn: u64) {
        for heard in [self.goal, self.latest].into_iter().flatten() {
            if heard.durable_lsn <= lsn {
                self.fresh_at = self.fresh_at.max(Some(heard.at));
            }
        }
        if self.goal.is_none_or(|goal| goal.durable_lsn <= lsn) {
            self.goal = self.latest;
        }
    }
}

impl Leader {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            seen: Mutex::default(),
            is_promoted: AtomicBool::new(false),
            promoted: Notify::new(),
            link_ended: Notify::new(),
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// It told how far it is, when this was durable here.
    pub(super) fn heard(&self, durable_lsn: u64, own_lsn: u64) {
        let heard = Heard { durable_lsn, at: Instant::now() };
        let mut seen = self.lock();
        seen.is_connected = true;
        seen.problem.clear();
        seen.reach(own_lsn);
        seen.latest = Some(heard);
        seen.goal.get_or_insert(heard);
    }

    /// It is not connected, and why.
    pub(super) fn lost(&self, problem: &str) {
        let mut seen = self.lock();
        seen.is_connected = false;
        problem.clone_into(&mut seen.problem);
    }

    /// Why it is not connected; empty when it is.
    pub(crate) fn problem(&self) -> String {
        self.lock().problem.clone()
    }

    /// How far the copy is behind that ends with this record.
    pub(crate) fn freshness(&self, lsn: u64) -> v1::Freshness {
        let mut seen = self.lock();
        seen.reach(lsn);
        let age = seen.fresh_at.map(|at| at.elapsed().as_millis());
        v1::Freshness {
            lsn,
            leader_lsn: seen.latest.map_or(0, |heard| heard.durable_lsn).max(lsn),
            staleness_ms: age.map_or(u64::MAX, |age| u64::try_from(age).unwrap_or(u64::MAX)),
            connected: seen.is_connected,
            leader: self.url.clone(),
        }
    }

    /// Somebody wants this service to take over.
    pub(crate) fn promote(&self) {
        self.is_promoted.store(true, Ordering::Release);
        self.promoted.notify_one();
    }

    pub(super) fn is_promoted(&self) -> bool {
        self.is_promoted.load(Ordering::Acquire)
    }

    /// Ends when somebody wants that.
    pub(super) async fn promoted(&self) {
        self.promoted.notified().await;
    }

    /// Nothing more comes from the leader.
    pub(super) fn end_link(&self) {
        self.link_ended.notify_one();
    }

    pub(super) async fn link_ended(&self) {
        self.link_ended.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_answer_is_as_old_as_the_last_word_that_came_true() {
        let leader = Leader::new("http://leader:1");
        let first = leader.freshness(3);
        assert_eq!((first.staleness_ms, first.leader_lsn, first.connected), (u64::MAX, 3, false));
        leader.heard(10, 3);
        assert_eq!(leader.freshness(3).staleness_ms, u64::MAX, "it was never reached");
        thread::sleep(Duration::from_millis(30));
        leader.heard(20, 9);
        // The first word has come true, the second has not.
        let behind = leader.freshness(12);
        assert!(behind.staleness_ms >= 30 && behind.connected, "{behind:?}");
        assert_eq!((behind.lsn, behind.leader_lsn), (12, 20));
        let fresh = leader.freshness(20);
        assert!(fresh.staleness_ms < behind.staleness_ms, "{fresh:?}");
        leader.lost("it is gone");
        thread::sleep(Duration::from_millis(30));
        let lost = leader.freshness(20);
        assert!(!lost.connected && lost.staleness_ms >= 30, "{lost:?}");
        assert_eq!(leader.problem(), "it is gone");
        leader.heard(20, 20);
        assert!(leader.freshness(20).staleness_ms < 30);
        assert_eq!(leader.problem(), "");
    }
}
