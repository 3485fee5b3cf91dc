//! What clients alone can tell, without the records: nobody was told the same id twice (I3), and
//! nobody won what was not there (I8).
use std::collections::BTreeMap;

use rewardpool_core::ids::PoolNumber;

use super::claims::told;
use super::index::Index;
use super::timeline::Operation;
use crate::history::Call;
use crate::log::Change;
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

pub(super) fn check(operations: &[Operation<'_>], index: &Index<'_>, findings: &mut Findings) {
    ids_are_told_once(operations, findings);
    wins_are_granted(operations, index, findings);
    draws_are_asked_for(operations, index, findings);
}

fn ids_are_told_once(operations: &[Operation<'_>], findings: &mut Findings) {
    let mut ranges = Vec::new();
    for operation in operations {
        if !matches!(operation.call, Call::Draw { .. }) {
            continue;
        }
        let mut answers: Vec<_> = told(operation)
            .map(|(_, answer)| (answer.first_request_id, answer.outcomes.len() as u64))
            .collect();
        answers.dedup();
        ranges.extend(answers.iter().map(|&(first, count)| (first, first + count, operation.id)));
    }
    ranges.sort_unstable();
    let mut last: Option<(u64, &str)> = None;
    for (first, end, op) in ranges {
        findings.checked(Invariant::I3);
        if let Some((known, other)) = last.filter(|&(known, other)| first < known && other != op) {
            findings.add(
                Violation::new(Finding::ToldTwice)
                    .op(op)
                    .request(first)
                    .logged(format_args!("up to {} told to {other}", known - 1)),
            );
        }
        if last.is_none_or(|(known, _)| end > known) {
            last = Some((end, op));
        }
    }
}

/// Units that were there at the start or were added by a change that may have happened. `None` when
/// the item was unlimited at any time.
fn wins_are_granted(operations: &[Operation<'_>], index: &Index<'_>, findings: &mut Findings) {
    let mut granted = BTreeMap::<(PoolNumber, &str), Option<u64>>::new();
    let units = |quantity: i64| u64::try_from(quantity).ok();
    for (number, pool) in (0..).zip(&index.log.base.pools) {
        for item in &pool.items {
            granted.insert((PoolNumber(number), &item.name), units(item.totals.quantity));
        }
    }
    for entry in &index.log.entries {
        if let Change::PoolCreated(created) = &entry.change {
            for item in created.catalog.items() {
                let quantity = units(item.quantity.to_number());
                granted.insert((created.pool, item.id.as_str()), quantity);
            }
        }
    }
    for operation in operations.iter().filter(|operation| !operation.is_refused()) {
        let (pool, item, more) = match operation.call {
            Call::AddItem { pool, item, quantity, .. } => (pool, item, units(*quantity)),
            Call::UpdateItem { pool, item, add, set, .. } => {
                let added = add.map_or(0, |units| u64::try_from(units).unwrap_or(0));
                (pool, item, set.map_or(Some(0), units).map(|units| units.saturating_add(added)))
            }
            Call::Draw { .. }
            | Call::FindDraw { .. }
            | Call::RetireItem { .. }
            | Call::SetStatus { .. }
            | Call::CreatePool { .. }
            | Call::ReadPool { .. }
            | Call::TakeSnapshot => continue,
        };
        if let Some(pool) = index.pool(pool) {
            let known = granted.entry((pool, item)).or_insert(Some(0));
            *known = known.zip(more).map(|(known, more)| known.saturating_add(more));
        }
    }
    let mut won = BTreeMap::<(PoolNumber, &str), u64>::new();
    for operation in operations {
        let Call::Draw { pool, .. } = operation.call else { continue };
        let (Some(pool), Some((_, answer))) = (index.pool(pool), told(operation).next()) else {
            continue;
        };
        if answer.first_request_id <= index.log.base.last_request_id {
            continue;
        }
        for item in answer.items().unwrap_or_default().into_iter().flatten() {
            *won.entry((pool, item)).or_default() += 1;
        }
    }
    for ((pool, item), won) in won {
        let Some(&Some(granted)) = granted.get(&(pool, item)) else { continue };
        findings.checked(Invariant::I8);
        findings.expect(won <= granted, || {
            let pool = index.pools().get(pool.as_usize()).copied().unwrap_or_default();
            Violation::new(Finding::MoreToldThanGranted)
                .told(format_args!("at most {granted} of {item} in {pool}"))
                .logged(won)
        });
    }
}

/// The log holds no more draws than were answered or are unknown.
fn draws_are_asked_for(operations: &[Operation<'_>], index: &Index<'_>, findings: &mut Findings) {
    let mut asked = 0;
    for operation in operations.iter().filter(|operation| !operation.is_refused()) {
        let Call::Draw { pool, count, key, .. } = operation.call else { continue };
        // A key that was forgotten may be drawn again; whether it may, is judged elsewhere.
        let places = match (index.pool(pool), key) {
            (Some(pool), Some(key)) => index.keyed(pool, key).len(),
            _ => 1,
        };
        asked += u64::from(*count) * places.max(1) as u64;
    }
    let logged: u64 = index.log.draws().map(|(_, draw)| draw.outcomes.len() as u64).sum();
    findings.checked(Invariant::I8);
    findings.expect(logged <= asked, || {
        Violation::new(Finding::MoreLoggedThanAsked)
            .told(format_args!("at most {asked}"))
            .logged(logged)
    });
}
