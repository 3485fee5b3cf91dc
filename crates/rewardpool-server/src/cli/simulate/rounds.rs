//! The draws themselves: the pool is made and drawn from by the code that serves it, only without a
//! log.
use std::ops::ControlFlow;

use rewardpool_core::command::{AdminCommand, DrawCommand, DrawCount, DrawMode, PoolSpec};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{Outcome, PoolNumber};
use rewardpool_core::limits::DRAW_COUNT_MAX;
use rewardpool_core::quantity::Quantity;
use rewardpool_core::state::State;

use super::fit::{Fit, Periods};

/// The only pool.
const POOL: PoolNumber = PoolNumber(0);

/// What one run of draws gave.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Round {
    /// Draws that were made: all that were asked for, unless the run was ended early.
    pub(super) draws: u64,
    /// Draws that found nothing available.
    pub(super) empties: u64,
    /// Units of each item.
    pub(super) counts: Vec<u64>,
    /// The draw of the last unit of each item, counted from 1; 0 when some are left.
    pub(super) ends: Vec<u64>,
    /// How well the counts follow the odds.
    pub(super) fit: Fit,
}

/// A pool before its first draw.
#[derive(Debug)]
pub(super) struct Campaign {
    state: State,
    units: Vec<Option<u64>>,
}

impl Campaign {
    pub(super) fn new(spec: &PoolSpec) -> Self {
        let mut state = State::new();
        state.activate();
        // The commitment is told to clients, of whom there are none.
        let create = AdminCommand::CreatePool { spec: spec.clone(), commitment: [0; 32] };
        let created = state.decide(&create).expect("the first pool of a log is not refused");
        let created = created.expect("a new pool is a change");
        let lsn = state.next_lsn();
        state.apply(&created, lsn, 0).expect("a state takes what it decided");
        let units = spec.catalog.items().iter().map(|item| match item.quantity {
            Quantity::Limited(units) => Some(units),
            Quantity::Unlimited => None,
        });
        Self { state, units: units.collect() }
    }

    /// Draws so often. `watch` hears after each command how many draws were made, and may end the run.
    pub(super) fn run(
        &self,
        secret: &Secret,
        draws: u64,
        periods: &Periods,
        mut watch: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Round {
        let mut state = self.state.clone();
        let mut generator = Generator::new(secret);
        let items = self.units.len();
        let mut round = Round {
            draws: 0,
            empties: 0,
            counts: vec![0; items],
            ends: vec![0; items],
            fit: Fit::default(),
        };
        let mut in_period = vec![0; items];
        let mut outcomes = Vec::with_capacity(usize::from(DRAW_COUNT_MAX));
        while round.draws < draws {
            let left = periods.end_after(round.draws).min(draws) - round.draws;
            let count =
                i64::try_from(left.min(DRAW_COUNT_MAX.into())).ok().and_then(DrawCount::new);
            let count = count.expect("1 to 10 000 draws are left");
            let command = DrawCommand { pool: POOL, count, mode: DrawMode::BestEffort, key: None };
            outcomes.clear();
            state
                .draw(&command, &mut generator, 0, &mut outcomes)
                .expect("an active pool gives what it has");
            let lsn = state.next_lsn();
            state.advance(lsn, 0).expect("records follow each other");
            self.count(&outcomes, &mut round, &mut in_period);
            if periods.end_after(round.draws - 1) == round.draws {
                round.fit.add(periods, round.draws, &in_period);
                in_period.fill(0);
            }
            if round.empties > 0 {
                // Nothing comes back, so the rest is empty too.
                round.empties += draws - round.draws;
                round.draws = draws;
            }
            if watch(round.draws).is_break() {
                break;
            }
        }
        round
    }

    fn count(&self, outcomes: &[Outcome], round: &mut Round, in_period: &mut [u64]) {
        for outcome in outcomes {
            round.draws += 1;
            let Some(item) = outcome.item() else {
                round.empties += 1;
                continue;
            };
            let item = item.as_usize();
            round.counts[item] += 1;
            in_period[item] += 1;
            if self.units[item] == Some(round.counts[item]) {
                round.ends[item] = round.draws;
            }
        }
    }
}
