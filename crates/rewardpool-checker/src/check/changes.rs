//! Which operation each change in the log belongs to: the one whose id is its reason. Checks I11.
use rewardpool_core::command::{ItemChange, QuantityChange};

use super::index::Index;
use super::order::{Effect, Kind};
use super::timeline::Operation;
use crate::history::{Answer, Call};
use crate::log::{Change, Entry};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// A change that was acknowledged and is not in the log, because all was as it asked for: to be
/// compared with the state at its position.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoOp {
    pub(super) lsn: u64,
    pub(super) operation: usize,
}

/// Finds the record of each change, and notes its position as the operation's effect.
pub(super) fn claim(
    operations: &[Operation<'_>],
    index: &Index<'_>,
    effects: &mut [Option<Effect>],
    findings: &mut Findings,
) -> Vec<NoOp> {
    let mut no_ops = Vec::new();
    let mut owned = std::collections::HashSet::new();
    for (number, operation) in operations.iter().enumerate() {
        if !operation.call.is_change() {
            continue;
        }
        let created;
        let places = if let Call::CreatePool { pool } = operation.call {
            created = created_at(index, pool);
            created.as_slice()
        } else {
            owned.insert(operation.id);
            index.change(operation.id)
        };
        if let Some(no_op) = one(number, operation, places, index, effects, findings) {
            no_ops.push(no_op);
        }
    }
    let mut others: Vec<_> =
        index.changes().filter(|(reason, _)| !owned.contains(reason)).collect();
    others.sort_unstable();
    for (reason, places) in others {
        for &place in places {
            findings.checked(Invariant::I11);
            let lsn = index.log.entries[place].lsn;
            findings.add(Violation::new(Finding::ChangeByNobody).lsn(lsn).logged(reason));
        }
    }
    no_ops.sort_by_key(|no_op| no_op.lsn);
    no_ops
}

fn one(
    number: usize,
    operation: &Operation<'_>,
    places: &[usize],
    index: &Index<'_>,
    effects: &mut [Option<Effect>],
    findings: &mut Findings,
) -> Option<NoOp> {
    let at = |finding| Violation::new(finding).op(operation.id);
    let lsn_of = |place: usize| index.log.entries[place].lsn;
    findings.checked(Invariant::I11);
    if let Some(&place) = places.first() {
        let entry = &index.log.entries[place];
        effects[number] = Some(Effect { lsn: entry.lsn, kind: Kind::Change });
        findings.expect(is_asked_for(operation.call, entry, index), || {
            at(Finding::ChangeDiffers).lsn(entry.lsn).logged(format_args!("{:?}", entry.change))
        });
        findings
            .expect(!operation.is_refused(), || at(Finding::ChangeRefusedButLogged).lsn(entry.lsn));
    }
    if let Some(&place) = places.get(1) {
        findings.add(at(Finding::ChangeTwice).lsn(lsn_of(place)));
    }
    let mut no_op = None;
    for (_, _, answer) in operation.answers() {
        let &Answer::Changed { lsn, catalog_version } = answer else { continue };
        if lsn <= index.log.base.lsn {
            continue;
        }
        match places.first() {
            Some(&place) => {
                let told = (lsn, catalog_version);
                let logged = (lsn_of(place), version(&index.log.entries[place].change));
                let same = told.0 == logged.0 && logged.1.is_none_or(|version| version == told.1);
                findings.expect(same, || {
                    at(Finding::ChangeDiffers)
                        .lsn(logged.0)
                        .told(format_args!("LSN and version {told:?}"))
                        .logged(format_args!("{logged:?}"))
                });
            }
            None if lsn <= index.log.last_lsn() && can_be_no_op(operation.call) => {
                no_op = Some(NoOp { lsn, operation: number });
            }
            None => findings.add(at(Finding::ChangeLost).told(format_args!("LSN {lsn}"))),
        }
    }
    no_op
}

fn created_at(index: &Index<'_>, name: &str) -> Vec<usize> {
    let entries = index.log.entries.iter().enumerate();
    let of_name = |entry: &Entry| matches!(&entry.change, Change::PoolCreated(created) if created.id.as_str() == name);
    entries.filter(|(_, entry)| of_name(entry)).map(|(place, _)| place).collect()
}

/// Whether the service may answer it without a record.
fn can_be_no_op(call: &Call) -> bool {
    matches!(call, Call::SetStatus { .. } | Call::UpdateItem { .. })
}

fn version(change: &Change) -> Option<u64> {
    match change {
        Change::Update(update) => Some(update.catalog_version),
        Change::ItemAdded(added) => Some(added.catalog_version),
        Change::ItemRetired(retired) => Some(retired.catalog_version),
        Change::PoolCreated(_)
        | Change::PoolStateChanged(_)
        | Change::Draw(_)
        | Change::Snapshot(_)
        | Change::Closed
        | Change::Nothing => None,
    }
}

fn is_asked_for(call: &Call, entry: &Entry, index: &Index<'_>) -> bool {
    match (call, &entry.change) {
        (Call::UpdateItem { pool, item, add, set, weight }, Change::Update(update)) => {
            index.pool(pool) == Some(update.pool)
                && index.items(update.pool).get(update.item.as_usize()) == Some(&item.as_str())
                && is_same_update(&update.change, *add, *set, *weight)
        }
        (Call::AddItem { pool, item, weight, quantity }, Change::ItemAdded(added)) => {
            index.pool(pool) == Some(added.pool)
                && added.item.id.as_str() == item
                && added.item.weight == *weight
                && added.item.quantity.to_number() == *quantity
        }
        (Call::RetireItem { pool, item }, Change::ItemRetired(retired)) => {
            index.pool(pool) == Some(retired.pool)
                && index.items(retired.pool).get(retired.item.as_usize()) == Some(&item.as_str())
        }
        (Call::SetStatus { pool, status }, Change::PoolStateChanged(changed)) => {
            index.pool(pool) == Some(changed.pool) && changed.status.name() == status
        }
        (Call::CreatePool { pool }, Change::PoolCreated(created)) => created.id.as_str() == pool,
        _ => false,
    }
}

fn is_same_update(
    change: &ItemChange,
    add: Option<i64>,
    set: Option<i64>,
    weight: Option<u64>,
) -> bool {
    let quantity = match change.quantity {
        None => add.is_none() && set.is_none(),
        Some(QuantityChange::Add(units)) => add == Some(units) && set.is_none(),
        Some(QuantityChange::Set { to, .. }) => set == Some(to.to_number()) && add.is_none(),
    };
    quantity && change.weight == weight
}
