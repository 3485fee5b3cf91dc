//! The comparison of a history with a log.
//!
//! Each part knows one side of the matter: `timeline` the form of the history, `index` where things
//! stand in the log, `claims` which operation each draw in the log belongs to, `changes` the same
//! for an administrator's changes, `order` real time and crashes, `model` the records one by one
//! with the stock they leave, `blackbox` what clients alone can tell, `life` starts and stops.
mod blackbox;
mod changes;
mod claims;
mod distribution;
mod index;
mod life;
mod model;
mod order;
mod timeline;

use std::time::Duration;

use self::index::Index;
use self::timeline::Operation;
use crate::history::{Call, Event, What};
use crate::log::Log;
use crate::report::{Counts, Findings, Report};
use crate::violation::{Finding, Invariant, Violation};

/// What is tolerated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// A service must be ready and serve so soon.
    pub ready_within: Duration,
    /// Outcomes that are less likely than this are called biased.
    pub probability_min: f64,
}

impl Default for Limits {
    /// 5 seconds, one in a million.
    fn default() -> Self {
        Self { ready_within: Duration::from_secs(5), probability_min: 1e-6 }
    }
}

/// Judges a run.
pub fn check(events: &[Event], log: &Log, limits: &Limits) -> Report {
    let mut findings = Findings::default();
    let operations = timeline::fold(events, &mut findings);
    let index = Index::new(log);
    known_pools(&operations, &index, &mut findings);
    let mut effects = vec![None; operations.len()];
    let ends = order::ends(events, &operations);
    let owners = claims::claim(&operations, &ends, &index, &mut effects, &mut findings);
    let no_ops = changes::claim(&operations, &index, &mut effects, &mut findings);
    order::check(events, &operations, &effects, &ends, log.last_lsn(), &mut findings);
    model::check(&operations, &owners, &no_ops, &index, limits, &mut findings);
    blackbox::check(&operations, &index, &mut findings);
    life::check(events, &operations, &effects, log, limits, &mut findings);
    snapshots(log, &mut findings);
    findings.excuse(Invariant::I14, "the service has no streams of its log yet");
    let counts = count(events, &operations, log);
    findings.into_report(counts)
}

/// An operation that was done names a pool that there is.
fn known_pools(operations: &[Operation<'_>], index: &Index<'_>, findings: &mut Findings) {
    for operation in operations.iter().filter(|operation| operation.is_acknowledged()) {
        let pool = match operation.call {
            Call::Draw { pool, .. }
            | Call::FindDraw { pool, .. }
            | Call::UpdateItem { pool, .. }
            | Call::AddItem { pool, .. }
            | Call::RetireItem { pool, .. }
            | Call::SetStatus { pool, .. }
            | Call::ReadPool { pool } => pool,
            Call::CreatePool { .. } | Call::TakeSnapshot => continue,
        };
        findings.expect(index.pool(pool).is_some(), || {
            Violation::new(Finding::UnknownPoolName).op(operation.id).told(pool)
        });
    }
}

/// Checks I15.
fn snapshots(log: &Log, findings: &mut Findings) {
    for snapshot in &log.snapshots {
        findings.checked(Invariant::I15);
        findings.expect(snapshot.is_equal, || {
            Violation::new(Finding::SnapshotDiffers).lsn(snapshot.lsn)
        });
    }
    for entry in &log.entries {
        let crate::log::Change::Snapshot(named) = &entry.change else { continue };
        let file = log.snapshots.binary_search_by_key(&named.lsn, |snapshot| snapshot.lsn);
        if let Ok(place) = file
            && named.lsn > log.restored_lsn
        {
            findings.checked(Invariant::I15);
            findings.expect(log.snapshots[place].sha256 == named.sha256, || {
                Violation::new(Finding::SnapshotOtherHash).lsn(entry.lsn)
            });
        }
    }
}

fn count(events: &[Event], operations: &[Operation<'_>], log: &Log) -> Counts {
    let wide = |count: usize| u64::try_from(count).expect("a count has at most 64 bits");
    let mut counts = Counts {
        events: wide(events.len()),
        operations: wide(operations.len()),
        records: wide(log.entries.len()),
        snapshots: wide(log.snapshots.len()),
        logged_draws: log.draws().map(|(_, draw)| wide(draw.outcomes.len())).sum(),
        ..Counts::default()
    };
    for event in events {
        match event.what {
            What::Kill => counts.kills += 1,
            What::Fault { .. } | What::Terminate => counts.faults += 1,
            What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Info { .. }
            | What::Spawn
            | What::Ready { .. }
            | What::Exit { .. } => {}
        }
    }
    for operation in operations {
        let Call::Draw { count, .. } = operation.call else { continue };
        counts.retried += u64::from(operation.attempts.len() > 1);
        if let Some((_, answer)) = claims::told(operation).next() {
            counts.acknowledged += 1;
            counts.acknowledged_draws += u64::from(*count);
            counts.before_log += u64::from(answer.first_request_id <= log.base.last_request_id);
        } else if operation.is_refused() {
            counts.refused += 1;
        } else {
            counts.unknown += 1;
        }
    }
    counts
}
