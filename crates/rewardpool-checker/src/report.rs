//! The verdict on a run: one line for each invariant, the violations, and how much was looked at.
use std::fmt;

use serde::Serialize;

use crate::violation::{Invariant, Violation};

/// Of each invariant so many violations are kept with their evidence; all are counted.
const KEPT_MAX: u64 = 20;

/// What was found out about one invariant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "status")]
pub enum Status {
    /// It held, so often as it was looked at.
    Holds,
    /// It was broken so often.
    Violated {
        /// How often.
        count: u64,
    },
    /// Nothing in this run could have broken it.
    NotApplicable {
        /// Why.
        because: &'static str,
    },
}

/// The verdict on one invariant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// The invariant.
    pub invariant: Invariant,
    /// What was found out.
    #[serde(flatten)]
    pub status: Status,
    /// How often it was looked at: a verdict over nothing is worth nothing.
    pub checked: u64,
}

/// How much a run was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Counts {
    /// Lines of the history.
    pub events: u64,
    /// Operations.
    pub operations: u64,
    /// Draw operations that were acknowledged at least once.
    pub acknowledged: u64,
    /// Draws in them.
    pub acknowledged_draws: u64,
    /// Draw operations whose outcome no client knows.
    pub unknown: u64,
    /// Draw operations that were sent more than once.
    pub retried: u64,
    /// Draw operations that were definitely refused.
    pub refused: u64,
    /// SIGKILLs and cuts of power.
    pub kills: u64,
    /// Other faults.
    pub faults: u64,
    /// Records of the log.
    pub records: u64,
    /// Draws in the log.
    pub logged_draws: u64,
    /// Acknowledged draws that are older than the log reaches, which cannot be looked up.
    pub before_log: u64,
    /// Snapshots that were compared.
    pub snapshots: u64,
}

/// The verdict on a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// One for each invariant, in their order.
    pub verdicts: Vec<Verdict>,
    /// The violations, at most some of each invariant.
    pub violations: Vec<Violation>,
    /// How much was looked at.
    pub counts: Counts,
}

impl Report {
    /// Whether nothing was violated.
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }

    /// The verdict on one invariant.
    pub fn verdict(&self, invariant: Invariant) -> Verdict {
        self.verdicts[invariant.place()]
    }

    /// Whether this invariant is violated.
    pub fn violates(&self, invariant: Invariant) -> bool {
        matches!(self.verdict(invariant).status, Status::Violated { .. })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for verdict in &self.verdicts {
            let Verdict { invariant, status, checked } = verdict;
            write!(f, "{:4}{:32}", invariant.to_string(), invariant.title())?;
            match status {
                Status::Holds => writeln!(f, "holds         checked {checked} times")?,
                Status::Violated { count } => writeln!(f, "VIOLATED      {count} times")?,
                Status::NotApplicable { because } => writeln!(f, "not judged    {because}")?,
            }
        }
        if self.violates(Invariant::I0) {
            writeln!(f, "\nthe history is not sound, so the other verdicts are void")?;
        }
        let Counts { events, operations, acknowledged, acknowledged_draws, .. } = self.counts;
        let Counts { unknown, retried, refused, kills, faults, .. } = self.counts;
        let Counts { records, logged_draws, before_log, snapshots, .. } = self.counts;
        writeln!(
            f,
            "\nhistory: {events} events, {operations} operations; draws: {acknowledged} \
             acknowledged with {acknowledged_draws} outcomes, {unknown} unknown, {retried} retried, \
             {refused} refused; {kills} kills, {faults} other faults"
        )?;
        writeln!(
            f,
            "log: {records} records, {logged_draws} draws, {snapshots} snapshots; {before_log} \
             acknowledged draws are older than the log reaches"
        )?;
        if !self.violations.is_empty() {
            writeln!(f)?;
        }
        self.violations.iter().try_for_each(|violation| writeln!(f, "{violation}"))
    }
}

/// Gathers what the parts of the checker find.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    violations: Vec<Violation>,
    counts: [u64; Invariant::ALL.len()],
    checked: [u64; Invariant::ALL.len()],
    excuses: [Option<&'static str>; Invariant::ALL.len()],
}

impl Findings {
    pub(crate) fn add(&mut self, violation: Violation) {
        let count = &mut self.counts[violation.invariant().place()];
        *count += 1;
        if *count <= KEPT_MAX {
            self.violations.push(violation);
        }
    }

    /// Counts that an invariant was looked at.
    pub(crate) fn checked(&mut self, invariant: Invariant) {
        self.checked[invariant.place()] += 1;
    }

    /// Looks at an invariant, and adds the violation unless the condition holds.
    pub(crate) fn expect(&mut self, holds: bool, violation: impl FnOnce() -> Violation) {
        if !holds {
            self.add(violation());
        }
    }

    /// Says why an invariant was not looked at.
    pub(crate) fn excuse(&mut self, invariant: Invariant, because: &'static str) {
        self.excuses[invariant.place()] = Some(because);
    }

    pub(crate) fn into_report(self, counts: Counts) -> Report {
        let verdict = |&invariant: &Invariant| {
            let place = invariant.place();
            let (count, checked) = (self.counts[place], self.checked[place]);
            let because = self.excuses[place].unwrap_or("nothing in this run could break it");
            let status = match (count, checked) {
                (0, 0) => Status::NotApplicable { because },
                (0, _) => Status::Holds,
                (count, _) => Status::Violated { count },
            };
            Verdict { invariant, status, checked }
        };
        let verdicts = Invariant::ALL.iter().map(verdict).collect();
        let mut violations = self.violations;
        violations.sort_by_key(Violation::invariant);
        Report { verdicts, violations, counts }
    }
}
