//! Defects that tests of the tests switch on, to show that they would be found. Compiled only with
//! the feature `mutants`; one at a time, chosen by the variable `REWARDPOOL_MUTANT` at the start.
use std::sync::LazyLock;

/// A defect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    /// Answers leave at once; their records are written when the batch is full, or when there is
    /// nothing else to do.
    AnswerBeforeSync,
}

/// All of them, by the name that chooses them.
const MUTANTS: [(&str, Mutant); 1] = [("AnswerBeforeSync", Mutant::AnswerBeforeSync)];

static CHOSEN: LazyLock<Option<Mutant>> = LazyLock::new(choose);

#[expect(clippy::disallowed_methods, reason = "no user's configuration can name a defect")]
fn choose() -> Option<Mutant> {
    let name = std::env::var("REWARDPOOL_MUTANT").ok()?;
    let known = MUTANTS.iter().find(|(known, _)| *known == name);
    let (_, mutant) = known.expect("REWARDPOOL_MUTANT names a mutant");
    tracing::warn!(name, "this build has a defect, which is switched on");
    Some(*mutant)
}

/// Whether this defect is switched on.
pub(crate) fn is_on(mutant: Mutant) -> bool {
    *CHOSEN == Some(mutant)
}
