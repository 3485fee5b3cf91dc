//! How often the checker looked at each invariant: a verdict over nothing is worth nothing.
use std::fmt;

use rewardpool_checker::{Invariant, Report};

/// What every load with draws, retries and a clean stop makes it possible to judge.
pub(crate) const BY_EVERY_LOAD: [Invariant; 6] =
    [Invariant::I1, Invariant::I3, Invariant::I4, Invariant::I7, Invariant::I12, Invariant::I18];

/// The sums over some reports.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Looked {
    checked: [u64; Invariant::ALL.len()],
}

impl Looked {
    pub(crate) fn add(&mut self, report: &Report) {
        for verdict in &report.verdicts {
            self.checked[verdict.invariant.place()] += verdict.checked;
        }
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (sum, more) in self.checked.iter_mut().zip(other.checked) {
            *sum += more;
        }
    }

    /// # Panics
    /// When one of these was never looked at, so that "not violated" says nothing.
    #[track_caller]
    pub(crate) fn assert_at(&self, invariants: &[Invariant]) {
        for invariant in invariants {
            assert!(self.checked[invariant.place()] > 0, "{invariant} was never judged: {self:?}");
        }
    }
}

impl fmt::Debug for Looked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(Invariant::ALL.iter().zip(self.checked)).finish()
    }
}
