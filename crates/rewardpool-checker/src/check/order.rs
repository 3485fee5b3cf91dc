//! Real time against the log's order, and what crashes took away. Checks I6, the positions of I10
//! and I11, and I1 at each crash.
use std::collections::HashMap;

use super::claims::told;
use super::timeline::Operation;
use crate::history::{Answer, Call, Event, What};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// Where in the log an operation took effect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effect {
    pub(super) lsn: u64,
    pub(super) kind: Kind,
}

/// What took effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Draw,
    Change,
}

/// The highest position that anybody was told of so far, of one kind.
#[derive(Clone, Copy, Default)]
struct Highest<'h> {
    lsn: u64,
    op: &'h str,
}

impl<'h> Highest<'h> {
    fn rise(&mut self, lsn: u64, op: &'h str) {
        if lsn > self.lsn {
            *self = Self { lsn, op };
        }
    }
}

/// What happens at one place of the history.
enum Step {
    Begin(usize),
    Answer(usize, u64, Level),
}

#[derive(Clone, Copy)]
enum Level {
    Draw,
    Change,
    Read,
}

/// The highest position that each operation can have: after the death of the process that had it,
/// nothing of it happens any more.
pub(super) fn ends(events: &[Event], operations: &[Operation<'_>]) -> Vec<u64> {
    let restarts: Vec<(usize, u64)> = events
        .iter()
        .enumerate()
        .filter_map(|(place, event)| match event.what {
            What::Ready { recovered_lsn } => Some((place, recovered_lsn?)),
            What::Invoke { .. }
            | What::Ok { .. }
            | What::Fail { .. }
            | What::Info { .. }
            | What::Spawn
            | What::Kill
            | What::Terminate
            | What::Exit { .. }
            | What::Fault { .. } => None,
        })
        .collect();
    let end = |operation: &Operation<'_>| {
        let ended = operation.ended()?;
        let next = restarts.partition_point(|&(place, _)| place < ended);
        restarts.get(next).map(|&(_, recovered)| recovered)
    };
    operations.iter().map(|operation| end(operation).unwrap_or(u64::MAX)).collect()
}

pub(super) fn check(
    events: &[Event],
    operations: &[Operation<'_>],
    effects: &[Option<Effect>],
    ends: &[u64],
    last_lsn: u64,
    findings: &mut Findings,
) {
    let steps = steps(operations, effects);
    let mut highest = [Highest::default(); 3];
    let mut floors = HashMap::new();
    for (place, event) in events.iter().enumerate() {
        for step in steps.get(&place).into_iter().flatten() {
            match *step {
                Step::Begin(number) => {
                    floors.insert((number, place), top(&highest));
                }
                Step::Answer(number, lsn, level) => {
                    highest[level as usize].rise(lsn, operations[number].id);
                }
            }
        }
        if let What::Ready { recovered_lsn: Some(recovered) } = event.what {
            survived(&highest, recovered, findings);
        }
    }
    positions(operations, effects, ends, &floors, findings);
    reads(operations, &floors, last_lsn, findings);
    streams(operations, findings);
}

fn top<'h>(highest: &[Highest<'h>; 3]) -> Highest<'h> {
    highest.iter().copied().max_by_key(|highest| highest.lsn).unwrap_or_default()
}

fn steps(operations: &[Operation<'_>], effects: &[Option<Effect>]) -> HashMap<usize, Vec<Step>> {
    let mut steps = HashMap::<usize, Vec<Step>>::new();
    for (number, operation) in operations.iter().enumerate() {
        for attempt in &operation.attempts {
            steps.entry(attempt.invoked).or_default().push(Step::Begin(number));
        }
        for (_, ended, answer) in operation.answers() {
            let effect = effects[number].map(|effect| effect.lsn);
            let (lsn, level) = match answer {
                Answer::Draw(_) => (effect, Level::Draw),
                Answer::Changed { lsn, .. } => (Some(*lsn), Level::Change),
                Answer::Pool(pool) => (Some(pool.lsn), Level::Read),
                Answer::Snapshot { lsn } => (Some(*lsn), Level::Read),
            };
            if let Some(lsn) = lsn {
                steps.entry(ended).or_default().push(Step::Answer(number, lsn, level));
            }
        }
    }
    steps
}

/// What was told before a restart is at most what the restart found.
fn survived(highest: &[Highest<'_>; 3], recovered: u64, findings: &mut Findings) {
    let kinds = [
        (Invariant::I1, Finding::LostAtCrash),
        (Invariant::I11, Finding::ChangeLostAtCrash),
        (Invariant::I10, Finding::DirtyRead),
    ];
    for (highest, (invariant, finding)) in highest.iter().zip(kinds) {
        if highest.lsn > 0 {
            findings.checked(invariant);
            findings.expect(highest.lsn <= recovered, || {
                Violation::new(finding)
                    .op(highest.op)
                    .lsn(highest.lsn)
                    .logged(format_args!("a log up to LSN {recovered}"))
            });
        }
    }
}

/// Each effect lies after all that was told before its request, and before the death of the process
/// that had the request.
fn positions(
    operations: &[Operation<'_>],
    effects: &[Option<Effect>],
    ends: &[u64],
    floors: &HashMap<(usize, usize), Highest<'_>>,
    findings: &mut Findings,
) {
    for (number, (operation, effect)) in operations.iter().zip(effects).enumerate() {
        let Some(Effect { lsn, kind }) = *effect else { continue };
        let (invariant, finding) = match kind {
            Kind::Draw => (Invariant::I6, Finding::OrderReversed),
            Kind::Change => (Invariant::I11, Finding::ChangeOutOfOrder),
        };
        findings.checked(invariant);
        if let Some(floor) = floors.get(&(number, operation.begun())) {
            findings.expect(lsn > floor.lsn, || {
                Violation::new(finding)
                    .op(operation.id)
                    .lsn(lsn)
                    .told(format_args!("after LSN {} of {}", floor.lsn, floor.op))
            });
        }
        let finding = match kind {
            Kind::Draw => Finding::AfterItsEnd,
            Kind::Change => Finding::ChangeOutOfOrder,
        };
        findings.expect(lsn <= ends[number], || {
            Violation::new(finding)
                .op(operation.id)
                .lsn(lsn)
                .told(format_args!("at most LSN {}", ends[number]))
        });
    }
}

/// A read shows all that was told before it began, and nothing that the log does not have.
fn reads(
    operations: &[Operation<'_>],
    floors: &HashMap<(usize, usize), Highest<'_>>,
    last_lsn: u64,
    findings: &mut Findings,
) {
    for (number, operation) in operations.iter().enumerate() {
        if !matches!(operation.call, Call::ReadPool { .. }) {
            continue;
        }
        for (attempt, _, answer) in operation.answers() {
            let Answer::Pool(pool) = answer else { continue };
            let at = |finding| Violation::new(finding).op(operation.id).lsn(pool.lsn);
            findings.checked(Invariant::I10);
            if let Some(floor) = floors.get(&(number, attempt.invoked)) {
                findings.expect(pool.lsn >= floor.lsn, || {
                    at(Finding::ReadBehind)
                        .told(format_args!("at least LSN {} of {}", floor.lsn, floor.op))
                });
            }
            findings.expect(pool.lsn <= last_lsn, || {
                at(Finding::ReadAhead).logged(format_args!("a log up to LSN {last_lsn}"))
            });
        }
    }
}

/// Within one stream, first answers have rising ids in the order of the requests.
fn streams(operations: &[Operation<'_>], findings: &mut Findings) {
    let mut sent: Vec<(u64, usize, u64, &str)> = Vec::new();
    for operation in operations {
        for (invoked, answer) in told(operation).filter(|(_, answer)| !answer.replayed) {
            let attempt = operation.attempts.iter().find(|attempt| attempt.invoked == invoked);
            if let Some(stream) = attempt.and_then(|attempt| attempt.stream) {
                sent.push((stream, invoked, answer.first_request_id, operation.id));
            }
        }
    }
    sent.sort_unstable();
    for pair in sent.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        findings.checked(Invariant::I6);
        findings.expect(pair[0].2 < pair[1].2, || {
            Violation::new(Finding::StreamReversed)
                .op(pair[1].3)
                .request(pair[1].2)
                .told(format_args!("above {} of {}", pair[0].2, pair[0].3))
        });
    }
}
