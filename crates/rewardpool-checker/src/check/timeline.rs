//! Folds a history into operations with their attempts. Checks I0.
use std::collections::HashMap;

use crate::history::{Answer, Call, Event, What};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// One logical operation, sent once or several times.
#[derive(Debug)]
pub(super) struct Operation<'h> {
    pub(super) id: &'h str,
    pub(super) call: &'h Call,
    /// Never empty, in the order of their requests.
    pub(super) attempts: Vec<Attempt<'h>>,
}

/// One request with its result.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt<'h> {
    /// Place of the request in the history, which serves as its time.
    pub(super) invoked: usize,
    /// Place of the result; `None` while there is none.
    pub(super) ended: Option<usize>,
    pub(super) stream: Option<u64>,
    pub(super) result: Outcome<'h>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'h> {
    Ok(&'h Answer),
    Fail(&'h str),
    Unknown,
}

impl<'h> Operation<'h> {
    /// The answers, with the place of their request and their own.
    pub(super) fn answers(&self) -> impl Iterator<Item = (&Attempt<'h>, usize, &'h Answer)> {
        self.attempts.iter().filter_map(|attempt| match (attempt.result, attempt.ended) {
            (Outcome::Ok(answer), Some(ended)) => Some((attempt, ended, answer)),
            _ => None,
        })
    }

    /// Whether every attempt was definitely refused.
    pub(super) fn is_refused(&self) -> bool {
        self.attempts.iter().all(|attempt| matches!(attempt.result, Outcome::Fail(_)))
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        self.answers().next().is_some()
    }

    /// Place of the first request that may have taken effect.
    pub(super) fn begun(&self) -> usize {
        let effective =
            self.attempts.iter().find(|attempt| !matches!(attempt.result, Outcome::Fail(_)));
        effective.unwrap_or(&self.attempts[0]).invoked
    }

    /// Place after which no request of the operation is open; `None` when one never ended.
    pub(super) fn ended(&self) -> Option<usize> {
        self.attempts.iter().try_fold(0, |last, attempt| Some(last.max(attempt.ended?)))
    }

    /// Whether it was sent again or never answered: what a crash may have touched.
    pub(super) fn is_suspicious(&self) -> bool {
        self.attempts.len() > 1 || !self.is_acknowledged()
    }
}

/// The operations of a history, in the order of their first requests.
pub(super) fn fold<'h>(events: &'h [Event], findings: &mut Findings) -> Vec<Operation<'h>> {
    let mut operations: Vec<Operation<'h>> = Vec::new();
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    let mut by_key: HashMap<(&str, &str), usize> = HashMap::new();
    let mut last = 0;
    for (place, event) in events.iter().enumerate() {
        findings.checked(Invariant::I0);
        findings.expect(event.t >= last, || {
            Violation::new(Finding::TimeFalls).told(format!("at least {last}")).logged(event.t)
        });
        last = event.t;
        let (op, result) = match &event.what {
            What::Invoke { op, call, stream, client: _ } => {
                let attempt = Attempt {
                    invoked: place,
                    ended: None,
                    stream: *stream,
                    result: Outcome::Unknown,
                };
                let index = *by_id.entry(op).or_insert(operations.len());
                match operations.get_mut(index) {
                    Some(operation) => {
                        findings.expect(operation.call == call, || {
                            Violation::new(Finding::OperationReused).op(op)
                        });
                        operation.attempts.push(attempt);
                    }
                    None => operations.push(Operation { id: op, call, attempts: vec![attempt] }),
                }
                if let Call::Draw { pool, key: Some(key), .. } = call {
                    let owner = *by_key.entry((pool, key)).or_insert(index);
                    findings.expect(owner == index, || Violation::new(Finding::KeyShared).op(op));
                }
                continue;
            }
            What::Ok { op, answer } => (op, Outcome::Ok(answer)),
            What::Fail { op, code } => (op, Outcome::Fail(code)),
            What::Info { op, why: _ } => (op, Outcome::Unknown),
            What::Spawn
            | What::Ready { .. }
            | What::Kill
            | What::Terminate
            | What::Exit { .. }
            | What::Fault { .. } => continue,
        };
        let operation = by_id.get(op.as_str()).map(|&index| &mut operations[index]);
        let open = operation.and_then(|operation| {
            let call = operation.call;
            let last = operation.attempts.last_mut().filter(|attempt| attempt.ended.is_none())?;
            Some((call, last))
        });
        let Some((call, attempt)) = open else {
            findings.add(Violation::new(Finding::ResultWithoutRequest).op(op));
            continue;
        };
        attempt.ended = Some(place);
        if let Outcome::Ok(answer) = result
            && !belongs(call, answer)
        {
            findings.add(Violation::new(Finding::AnswerOfOtherKind).op(op));
            continue;
        }
        attempt.result = result;
    }
    operations
}

fn belongs(call: &Call, answer: &Answer) -> bool {
    match call {
        Call::Draw { .. } | Call::FindDraw { .. } => {
            matches!(answer, Answer::Draw(draw) if draw.items().is_ok())
        }
        Call::UpdateItem { .. }
        | Call::AddItem { .. }
        | Call::RetireItem { .. }
        | Call::SetStatus { .. }
        | Call::CreatePool { .. } => matches!(answer, Answer::Changed { .. }),
        Call::ReadPool { .. } => matches!(answer, Answer::Pool(_)),
        Call::TakeSnapshot => matches!(answer, Answer::Snapshot { .. }),
    }
}
