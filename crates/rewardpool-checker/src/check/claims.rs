//! Which operation each draw in the log belongs to. Checks I1, I2, I4, I5 and the keys of I12.
use std::collections::{BTreeMap, HashMap};

use rewardpool_core::command::DrawMode;
use rewardpool_core::ids::PoolNumber;

use super::index::Index;
use super::order::{Effect, Kind};
use super::timeline::{Operation, Outcome};
use crate::history::{Answer, Call, DrawAnswer};
use crate::log::{Change, Draw};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// The operation that each draw in the log belongs to, by the place of its entry.
pub(super) type Owners = HashMap<usize, usize>;

/// The answers of a draw, or of a search for one, in their order, with the place of the request.
pub(super) fn told<'h>(operation: &Operation<'h>) -> impl Iterator<Item = (usize, &'h DrawAnswer)> {
    operation.answers().filter_map(|(attempt, _, answer)| match answer {
        Answer::Draw(draw) => Some((attempt.invoked, draw)),
        Answer::Changed { .. } | Answer::Pool(_) | Answer::Snapshot { .. } => None,
    })
}

/// What a draw asks for.
#[derive(Clone, Copy)]
struct Wish<'h> {
    pool: Option<PoolNumber>,
    count: usize,
    mode: DrawMode,
    key: Option<&'h str>,
}

fn wish<'h>(call: &'h Call, index: &Index<'_>) -> Option<Wish<'h>> {
    let Call::Draw { pool, count, all_or_nothing, key } = call else { return None };
    let mode = if *all_or_nothing { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
    let count = usize::try_from(*count).unwrap_or(usize::MAX);
    Some(Wish { pool: index.pool(pool), count, mode, key: key.as_deref() })
}

/// Finds the draw of each operation in the log, and notes its position as the operation's effect.
pub(super) fn claim(
    operations: &[Operation<'_>],
    ends: &[u64],
    index: &Index<'_>,
    effects: &mut [Option<Effect>],
    findings: &mut Findings,
) -> Owners {
    let mut owners = Owners::new();
    for (number, operation) in operations.iter().enumerate() {
        if let Some(wish) = wish(operation.call, index) {
            let places = match (wish.key, wish.pool) {
                (Some(key), Some(pool)) => keyed_places(operation, index, pool, key, findings),
                _ => unkeyed_places(operation, index),
            };
            answers_agree(operation, wish, places.len() <= 1, findings);
            answers_are_logged(operation, wish, &places, index, findings);
            retries_are_served(operation, places.first().copied(), index, findings);
            for place in places {
                let (draw, lsn) = index.draw(place);
                findings.checked(Invariant::I5);
                findings.expect(
                    draw.outcomes.len() == wish.count && draw.mode == wish.mode,
                    || {
                        Violation::new(Finding::PartOfOperation)
                            .op(operation.id)
                            .request(draw.first_request_id)
                            .lsn(lsn)
                            .told(format_args!("{} outcomes, {:?}", wish.count, wish.mode))
                            .logged(format_args!(
                                "{} outcomes, {:?}",
                                draw.outcomes.len(),
                                draw.mode
                            ))
                    },
                );
                effects[number].get_or_insert(Effect { lsn, kind: Kind::Draw });
                owners.insert(place, number);
            }
        } else if let Call::FindDraw { pool, key } = operation.call {
            searches_are_served(operation, pool, key, index, findings);
        }
    }
    claim_unanswered(operations, ends, index, effects, &mut owners);
    made_up(operations, index, &owners, findings);
    owners
}

/// Checks I4 among the answers of one operation, and their form.
fn answers_agree(
    operation: &Operation<'_>,
    wish: Wish<'_>,
    is_drawn_once: bool,
    findings: &mut Findings,
) {
    let mut first: Option<&DrawAnswer> = None;
    for (invoked, answer) in told(operation) {
        let at =
            |finding| Violation::new(finding).op(operation.id).request(answer.first_request_id);
        findings.checked(Invariant::I4);
        findings.expect(answer.outcomes.len() == wish.count, || {
            at(Finding::PartOfOperation).told(wish.count).logged(answer.outcomes.len())
        });
        let is_whole = wish.mode == DrawMode::BestEffort || !answer.outcomes.contains(&0);
        findings.expect(is_whole, || at(Finding::EmptyInAllOrNothing));
        let Some(known) = first else {
            let mut earlier = operation.attempts.iter().filter(|attempt| attempt.invoked < invoked);
            let alone = earlier.all(|attempt| matches!(attempt.result, Outcome::Fail(_)));
            findings.expect(!(alone && answer.replayed), || at(Finding::ReplayOfNothing));
            first = Some(answer);
            continue;
        };
        // A key that was forgotten is drawn anew; whether it may be, is judged with the log.
        if is_drawn_once {
            let same = known.first_request_id == answer.first_request_id
                && known.items() == answer.items();
            findings
                .expect(same, || at(Finding::AnswersDiffer).told(show(known)).logged(show(answer)));
            findings.expect(answer.replayed, || at(Finding::NotReplayed));
        }
    }
}

/// The draws with the operation's key. More than one is a re-roll, unless the key had expired.
fn keyed_places(
    operation: &Operation<'_>,
    index: &Index<'_>,
    pool: PoolNumber,
    key: &str,
    findings: &mut Findings,
) -> Vec<usize> {
    let places = index.keyed(pool, key).to_vec();
    if !places.is_empty() {
        findings.checked(Invariant::I12);
    }
    for pair in places.windows(2) {
        let (draw, lsn) = index.draw(pair[1]);
        findings.expect(index.may_have_expired(pair[0], Some(pair[1])), || {
            Violation::new(Finding::Rerolled)
                .op(operation.id)
                .request(draw.first_request_id)
                .lsn(lsn)
                .told(format_args!("request {} only", index.draw(pair[0]).0.first_request_id))
        });
    }
    places
}

/// The draw that was told, when it has no key either.
fn unkeyed_places(operation: &Operation<'_>, index: &Index<'_>) -> Vec<usize> {
    let first = told(operation).find_map(|(_, answer)| index.first(answer.first_request_id));
    first.filter(|&place| index.draw(place).0.key.is_none()).into_iter().collect()
}

/// Checks I1 for one operation.
fn answers_are_logged(
    operation: &Operation<'_>,
    wish: Wish<'_>,
    places: &[usize],
    index: &Index<'_>,
    findings: &mut Findings,
) {
    if operation.is_refused()
        && let Some(&place) = places.first()
    {
        let (draw, lsn) = index.draw(place);
        findings.add(
            Violation::new(Finding::RefusedButLogged)
                .op(operation.id)
                .request(draw.first_request_id)
                .lsn(lsn),
        );
    }
    for (_, answer) in told(operation) {
        let first = answer.first_request_id;
        if first <= index.log.base.last_request_id {
            continue;
        }
        findings.checked(Invariant::I1);
        let at =
            |finding| Violation::new(finding).op(operation.id).request(first).told(show(answer));
        let Some(place) = index.first(first) else {
            findings.add(at(Finding::Lost));
            continue;
        };
        let (draw, lsn) = index.draw(place);
        if !places.contains(&place) || wish.pool != Some(draw.pool) {
            findings.add(at(Finding::OfAnotherOperation).lsn(lsn).logged(show_draw(draw, index)));
        } else if !is_same(answer, draw, index) {
            findings.add(at(Finding::OutcomeDiffers).lsn(lsn).logged(show_draw(draw, index)));
        }
    }
}

/// A retry of an acknowledged draw is never refused for what became of the pool since.
fn retries_are_served(
    operation: &Operation<'_>,
    place: Option<usize>,
    index: &Index<'_>,
    findings: &mut Findings,
) {
    let Some((_, first, _)) = operation.answers().next() else { return };
    for attempt in operation.attempts.iter().filter(|attempt| attempt.invoked > first) {
        let Outcome::Fail(code) = attempt.result else { continue };
        let denies = matches!(
            code,
            "POOL_PAUSED" | "POOL_CLOSED" | "INSUFFICIENT_STOCK" | "KEY_REUSED" | "UNKNOWN_KEY"
        );
        let has_expired = place.is_some_and(|place| index.may_have_expired(place, None));
        findings.checked(Invariant::I4);
        findings.expect(!denies || has_expired, || {
            Violation::new(Finding::RetryRefused).op(operation.id).logged(code)
        });
    }
}

/// What a search for a draw finds is what the log holds.
fn searches_are_served(
    operation: &Operation<'_>,
    pool: &str,
    key: &str,
    index: &Index<'_>,
    findings: &mut Findings,
) {
    let Some(pool) = index.pool(pool) else { return };
    let places = index.keyed(pool, key);
    for (_, answer) in told(operation) {
        if answer.first_request_id <= index.log.base.last_request_id {
            continue;
        }
        findings.checked(Invariant::I12);
        let known = places.iter().any(|&place| {
            let (draw, _) = index.draw(place);
            draw.first_request_id == answer.first_request_id && is_same(answer, draw, index)
        });
        findings.expect(known, || {
            Violation::new(Finding::SearchDiffers)
                .op(operation.id)
                .request(answer.first_request_id)
                .told(show(answer))
        });
    }
}

/// Gives the draws without a key that nobody was told of to unanswered operations that asked for
/// the like. An operation fits until the death of the process that had it; each draw, in the order
/// of the log, goes to the operation whose end is nearest, so that every draw that can have an
/// owner gets one.
fn claim_unanswered(
    operations: &[Operation<'_>],
    ends: &[u64],
    index: &Index<'_>,
    effects: &mut [Option<Effect>],
    owners: &mut Owners,
) {
    type Like = (PoolNumber, usize, bool);
    let mut unanswered = BTreeMap::<Like, Vec<usize>>::new();
    for (number, operation) in operations.iter().enumerate() {
        let Some(Wish { pool: Some(pool), count, mode, key: None }) = wish(operation.call, index)
        else {
            continue;
        };
        if !operation.is_acknowledged() && !operation.is_refused() {
            let like = (pool, count, mode == DrawMode::AllOrNothing);
            unanswered.entry(like).or_default().push(number);
        }
    }
    let mut waiting = BTreeMap::new();
    for (like, mut numbers) in unanswered {
        numbers.sort_by_key(|&number| ends[number]);
        waiting.insert(like, numbers.into_iter());
    }
    for (place, entry) in index.log.entries.iter().enumerate() {
        let Change::Draw(draw) = &entry.change else { continue };
        if draw.key.is_some() || owners.contains_key(&place) {
            continue;
        }
        let like = (draw.pool, draw.outcomes.len(), draw.mode == DrawMode::AllOrNothing);
        let Some(numbers) = waiting.get_mut(&like) else { continue };
        if let Some(number) = numbers.find(|&number| ends[number] >= entry.lsn) {
            owners.insert(place, number);
            effects[number] = Some(Effect { lsn: entry.lsn, kind: Kind::Draw });
        }
    }
}

/// Checks I2: what is in the log and belongs to nobody.
fn made_up(
    operations: &[Operation<'_>],
    index: &Index<'_>,
    owners: &Owners,
    findings: &mut Findings,
) {
    for (place, entry) in index.log.entries.iter().enumerate() {
        let Change::Draw(draw) = &entry.change else { continue };
        findings.checked(Invariant::I2);
        let is_owned = owners.get(&place).is_some_and(|&number| number < operations.len());
        findings.expect(is_owned, || {
            Violation::new(Finding::DrawnByNobody)
                .request(draw.first_request_id)
                .lsn(entry.lsn)
                .logged(show_draw(draw, index))
        });
    }
}

fn is_same(answer: &DrawAnswer, draw: &Draw, index: &Index<'_>) -> bool {
    let Ok(items) = answer.items() else { return false };
    items.len() == draw.outcomes.len()
        && items.iter().zip(&draw.outcomes).all(|(&told, &outcome)| {
            told == index.item(draw.pool, outcome) && (told.is_some() || outcome.item().is_none())
        })
}

fn show(answer: &DrawAnswer) -> String {
    let items = answer.items().unwrap_or_default();
    let more = if items.len() > 8 { ", …" } else { "" };
    let items: Vec<_> = items.iter().take(8).map(|item| item.unwrap_or("(empty)")).collect();
    format!(
        "{} from {}: {}{more}",
        answer.outcomes.len(),
        answer.first_request_id,
        items.join(", ")
    )
}

fn show_draw(draw: &Draw, index: &Index<'_>) -> String {
    let more = if draw.outcomes.len() > 8 { ", …" } else { "" };
    let name = |&outcome| index.item(draw.pool, outcome).unwrap_or("(empty)");
    let items: Vec<_> = draw.outcomes.iter().take(8).map(name).collect();
    format!("{} from {}: {}{more}", draw.outcomes.len(), draw.first_request_id, items.join(", "))
}
