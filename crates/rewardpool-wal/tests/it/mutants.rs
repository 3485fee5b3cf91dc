//! Goal: the tests of the log find defects that the engine above it would make up for (T4 of the
//! test plan).
use std::panic::{self, catch_unwind};

use rewardpool_mutant::{Mutant, switch_on};

use crate::{rot, torn};

/// Whether a test fails with this defect.
fn finds(mutant: Mutant, test: fn()) -> bool {
    panic::set_hook(Box::new(|_| {}));
    switch_on(Some(mutant));
    let found = catch_unwind(test).is_err();
    switch_on(None);
    drop(panic::take_hook());
    rewardpool_tally::record("T4 mutants", 1, 1, u64::from(!found));
    found
}

/// The engine would notice by the request ids and versions in the records.
#[test]
fn a_batch_at_another_position_is_found() {
    assert!(finds(Mutant::PositionIgnored, rot::a_lost_sector_loses_no_payload));
}

/// The engine would write its next segment over it.
#[test]
fn a_segment_that_was_never_begun_is_found() {
    let test = torn::a_log_may_go_on_in_the_segment_that_was_found;
    assert!(finds(Mutant::NeverBegunKept, test));
}
