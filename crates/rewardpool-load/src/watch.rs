//! How somebody outside sees how far a run is, and ends it early.
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a run does at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It makes the pool, the service or the log that it measures.
    Preparing,
    /// It fills a log up to so many draws.
    Filling {
        /// Draws at the end.
        draws: u64,
    },
    /// It measures, from this moment for so long.
    Measuring {
        /// When it began.
        since: Instant,
        /// How long it takes.
        duration: Duration,
    },
    /// It reads a log.
    Replaying,
    /// It stops what it started and reads what was written.
    Finishing,
}

/// Shared by a run and whoever watches it.
#[derive(Debug)]
pub struct Watch {
    is_stopped: AtomicBool,
    draws: AtomicU64,
    phase: Mutex<Phase>,
}

impl Watch {
    /// Of a run that has not begun.
    pub const fn new() -> Self {
        Self {
            is_stopped: AtomicBool::new(false),
            draws: AtomicU64::new(0),
            phase: Mutex::new(Phase::Preparing),
        }
    }

    /// Ends the run early. What was measured until then is reported.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether the run was ended early.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Draws so far.
    pub fn draws(&self) -> u64 {
        self.draws.load(Ordering::Relaxed)
    }

    /// What the run does at present.
    pub fn phase(&self) -> Phase {
        *self.phase.lock().expect("no holder of this lock panics")
    }

    pub(crate) fn add_draws(&self, draws: u64) {
        self.draws.fetch_add(draws, Ordering::Relaxed);
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *self.phase.lock().expect("no holder of this lock panics") = phase;
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}
