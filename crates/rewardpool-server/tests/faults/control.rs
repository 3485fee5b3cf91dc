//! Goal: the kill test can fail. A build that answers before its log is written is caught.
//! Method: the same rounds as in `kill.rs`, with a build that has the defect; within a bounded number
//! of rounds the checker has to report an acknowledged draw that is lost (I1). Without the defect
//! switched on, the same build passes. `REWARDPOOL_MUTANTS` names the program, which `tests/run`
//! builds with the feature `mutants`.
use std::path::PathBuf;

use rewardpool_checker::Invariant;

use crate::dice::Dice;
use crate::kill::campaign;
use crate::load::config;
use crate::service::Setup;
use crate::tools::skip;

/// A round in which nothing is lost is rare, so many in a row are a checker that sees nothing.
const ROUNDS_MAX: u64 = 30;

#[test]
fn a_build_that_answers_before_the_log_is_written_is_caught() {
    let Some(binary) = mutants() else { return };
    let seed = Dice::seed();
    println!("SEED={seed}");
    let mut dice = Dice::new(seed);
    let (mut runs, mut missed) = (0, 0);
    for (format, storage) in [("binary", "file"), ("json", "mmap"), ("string_line", "file")] {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path(), &config(format, storage));
        let setup = Setup { binary: binary.clone(), ..setup };
        let report = campaign(&setup, home.path(), 1, &mut dice);
        assert!(report.is_good(), "the defect is not switched on: {report}");
        let caught = (1..=ROUNDS_MAX).find(|_| {
            let home = tempfile::tempdir().unwrap();
            let setup = Setup::new(home.path(), &config(format, storage));
            let setup = Setup { binary: binary.clone(), ..setup }
                .with_variable("REWARDPOOL_MUTANT", "AnswerAndWriteLater");
            campaign(&setup, home.path(), 1, &mut dice).violates(Invariant::I1)
        });
        println!("{format}/{storage}: caught in round {caught:?}");
        runs += caught.unwrap_or(ROUNDS_MAX);
        missed += u64::from(caught.is_none());
    }
    rewardpool_tally::record("T5 control: answers before the write, caught", runs, runs, missed);
    assert_eq!(missed, 0, "the loss of acknowledged draws is not reported");
}

/// The build that has defects to switch on. Where there is none the test is skipped, but not under
/// CI.
pub(crate) fn mutants() -> Option<PathBuf> {
    let binary = std::env::var_os("REWARDPOOL_MUTANTS").map(PathBuf::from);
    if binary.is_none() {
        skip("REWARDPOOL_MUTANTS names no build with the feature `mutants`");
    }
    binary
}
