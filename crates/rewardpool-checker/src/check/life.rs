//! Starts, stops and ends of the process. Checks I16, I17 and I18.
use std::time::Duration;

use super::Limits;
use super::order::Effect;
use super::timeline::Operation;
use crate::history::{Answer, Call, Event, FaultKind, What};
use crate::log::{Change, Log};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// Exit codes of the service that need a reason.
const CORRUPT: i32 = 65;
const LOCKED: i32 = 73;
const INPUT_OUTPUT: i32 = 74;

pub(super) fn check(
    events: &[Event],
    operations: &[Operation<'_>],
    effects: &[Option<Effect>],
    log: &Log,
    limits: &Limits,
    findings: &mut Findings,
) {
    refusals(events, findings);
    liveness(events, operations, limits.ready_within, findings);
    clean_stops(events, operations, effects, log, findings);
}

/// An end that nobody asked for has a fault that explains it.
fn refusals(events: &[Event], findings: &mut Findings) {
    let mut faults: Vec<FaultKind> = Vec::new();
    let mut is_asked_to_end = false;
    for event in events {
        match event.what {
            What::Spawn => is_asked_to_end = false,
            What::Kill | What::Terminate => is_asked_to_end = true,
            What::Fault { kind: FaultKind::Healed, .. } => {
                // Damage stays until the files are replaced, which is a new history.
                faults.retain(|&kind| kind == FaultKind::Damage);
            }
            What::Fault { kind, .. } => faults.push(kind),
            What::Exit { code } => {
                findings.checked(Invariant::I16);
                let reasons: &[FaultKind] = match code {
                    Some(CORRUPT) => &[FaultKind::Damage],
                    Some(LOCKED) => &[FaultKind::DirectoryInUse],
                    Some(INPUT_OUTPUT) => &[FaultKind::InputOutput, FaultKind::NoSpace],
                    _ => &[],
                };
                let is_clean = is_asked_to_end && code.is_none_or(|code| code == 0);
                let is_explained = faults.iter().any(|kind| reasons.contains(kind));
                findings.expect(is_clean || is_explained, || {
                    Violation::new(Finding::RefusedWithoutReason)
                        .logged(format_args!("exit code {code:?}"))
                });
            }
            What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Info { .. }
            | What::Ready { .. } => {}
        }
    }
}

/// Every process that nobody disturbs becomes ready in time; the last one serves.
fn liveness(
    events: &[Event],
    operations: &[Operation<'_>],
    within: Duration,
    findings: &mut Findings,
) {
    let within = u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
    let mut spawned = None;
    let mut ready = None;
    let mut is_faulty = false;
    for (place, event) in events.iter().enumerate() {
        match &event.what {
            What::Spawn => (spawned, ready) = (Some(event.t), None),
            What::Ready { .. } => {
                if let Some(begun) = spawned.take().filter(|_| !is_faulty) {
                    findings.checked(Invariant::I17);
                    findings.expect(event.t - begun <= within, || {
                        let seconds = Duration::from_nanos(event.t - begun).as_secs_f64();
                        Violation::new(Finding::NeverReady).logged(format_args!("{seconds:.1} s"))
                    });
                }
                ready = Some((place, event.t));
            }
            What::Kill | What::Terminate | What::Exit { .. } => (spawned, ready) = (None, None),
            What::Fault { kind, .. } => is_faulty = *kind != FaultKind::Healed,
            What::Invoke { .. } | What::Ok { .. } | What::Fail { .. } | What::Info { .. } => {}
        }
    }
    let last = events.last().map_or(0, |event| event.t);
    if let Some(begun) = spawned.filter(|&begun| !is_faulty && last - begun > within) {
        let seconds = Duration::from_nanos(last - begun).as_secs_f64();
        let told = format_args!("not ready after {seconds:.1} s").to_string();
        findings.add(Violation::new(Finding::NeverReady).logged(told));
    }
    let Some((place, begun)) = ready.filter(|&(_, begun)| !is_faulty && last - begun > within)
    else {
        return;
    };
    let draws = operations.iter().filter(|operation| matches!(operation.call, Call::Draw { .. }));
    let mut attempts = draws.flat_map(|operation| operation.attempts.iter());
    let asked = |attempt: &&super::timeline::Attempt<'_>| attempt.invoked > place;
    let mut asked_for = attempts.by_ref().filter(asked).peekable();
    if asked_for.peek().is_none() {
        return;
    }
    findings.checked(Invariant::I17);
    let served = asked_for.any(|attempt| {
        let ended = attempt.ended.map(|ended| events[ended].t);
        matches!(attempt.result, super::timeline::Outcome::Ok(_))
            && ended.is_some_and(|ended| ended - begun <= within)
    });
    findings.expect(served, || Violation::new(Finding::NeverServed));
}

/// After SIGTERM the process ends with 0, the log with the record of a clean stop, and every request
/// has a result.
fn clean_stops(
    events: &[Event],
    operations: &[Operation<'_>],
    effects: &[Option<Effect>],
    log: &Log,
    findings: &mut Findings,
) {
    let closes: Vec<u64> = log
        .entries
        .iter()
        .filter(|entry| entry.change == Change::Closed)
        .map(|entry| entry.lsn)
        .collect();
    let mut terminated: Option<usize> = None;
    let mut exited: Option<usize> = None;
    let mut can_write = true;
    for (place, event) in events.iter().enumerate() {
        match event.what {
            What::Terminate => terminated = Some(place),
            // A process that was started since, and locked out by another: the stop was over.
            What::Exit { code: Some(LOCKED) } if exited.is_some() => {}
            What::Exit { code } => {
                if terminated.is_some() {
                    findings.checked(Invariant::I18);
                    // A stop writes too, and may fail at it.
                    let has_failed = !can_write && code == Some(INPUT_OUTPUT);
                    findings.expect(code == Some(0) || has_failed, || {
                        Violation::new(Finding::UncleanStop)
                            .logged(format_args!("exit code {code:?}"))
                    });
                    exited = (code == Some(0)).then_some(place);
                }
            }
            What::Kill => (terminated, exited) = (None, None),
            What::Ready { recovered_lsn } => {
                if let (Some(begun), Some(_)) = (terminated.take(), exited.take())
                    && let Some(end) = recovered_lsn
                {
                    let span = begun..place;
                    // Of a stop before the beginning of the log nothing can be said.
                    if end > log.base.lsn {
                        closed_at(end, span, &closes, operations, effects, findings);
                    }
                }
            }
            What::Fault { kind, .. } => {
                can_write = !matches!(kind, FaultKind::InputOutput | FaultKind::NoSpace);
            }
            What::Spawn
            | What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Info { .. } => {}
        }
    }
    if let (Some(begun), Some(_)) = (terminated, exited) {
        let span = begun..events.len();
        closed_at(log.last_lsn(), span, &closes, operations, effects, findings);
    }
}

/// Judges one clean stop, of which the log ended at this position.
fn closed_at(
    end: u64,
    span: std::ops::Range<usize>,
    closes: &[u64],
    operations: &[Operation<'_>],
    effects: &[Option<Effect>],
    findings: &mut Findings,
) {
    findings.checked(Invariant::I18);
    findings
        .expect(closes.binary_search(&end).is_ok(), || Violation::new(Finding::NotClosed).lsn(end));
    for (operation, effect) in operations.iter().zip(effects) {
        let is_open = operation.attempts.iter().any(|attempt| {
            attempt.invoked < span.end && attempt.ended.is_none_or(|ended| ended >= span.end)
        });
        findings.expect(!is_open, || Violation::new(Finding::LeftUnanswered).op(operation.id));
        for (_, ended, answer) in operation.answers() {
            let lsn = match answer {
                Answer::Draw(_) => effect.map(|effect| effect.lsn),
                Answer::Changed { lsn, .. } | Answer::Snapshot { lsn } => Some(*lsn),
                Answer::Pool(pool) => Some(pool.lsn),
            };
            let is_late = span.contains(&ended) && lsn.is_some_and(|lsn| lsn >= end);
            findings.expect(!is_late, || {
                let violation = Violation::new(Finding::AnsweredAfterClose).op(operation.id);
                violation.lsn(lsn.unwrap_or(end)).told(format_args!("below LSN {end}"))
            });
        }
    }
}
