//! One line of the log for each administrator's change: who did what to which pool, why, and where it
//! stands in the log of records. One that the state refuses leaves a line, too.
//!
//! The lines have a target of their own, and are written whatever the level of the log.
use rewardpool_core::command::{ItemChange, QuantityChange};
use tonic::metadata::MetadataMap;

use crate::auth::Caller;
use crate::convert::Fault;

/// The target of the lines.
pub(crate) const TARGET: &str = "audit";

/// What an administrator asks for. Every text was checked; empty ones are left out of the line.
#[derive(Debug, Default)]
pub(super) struct Action<'a> {
    /// What is done, as the line says it.
    pub(super) what: &'static str,
    /// Name of the pool.
    pub(super) pool: &'a str,
    /// Name of the item, if it is about one.
    pub(super) item: &'a str,
    /// The change, where the names alone do not say it.
    pub(super) change: String,
    /// How the item, or the pool, was just before.
    pub(super) before: String,
    /// And just after.
    pub(super) after: String,
    /// Who asks, as the record has it.
    pub(super) actor: &'a str,
    /// Why.
    pub(super) reason: &'a str,
}

impl Action<'_> {
    /// Writes the line about what became of it: the position of its record, or why there is none.
    pub(super) fn audit(&self, caller: &Caller, metadata: &MetadataMap, lsn: Result<u64, &Fault>) {
        let Self { what, before, after, .. } = self;
        let (pool, item, change) = (known(self.pool), known(self.item), known(&self.change));
        let (before, after) = (known(before), known(after));
        let (principal, actor) = (known(caller.name()), known(self.actor));
        let reason = known(self.reason);
        let peer = caller.peer().map(tracing::field::display);
        let request_id = metadata.get("x-request-id").and_then(|id| id.to_str().ok());
        match lsn {
            Ok(lsn) => tracing::info!(
                target: TARGET,
                principal, pool, item, change, before, after, actor, reason, lsn, request_id, peer,
                "{what}"
            ),
            Err(fault) => {
                let refused = fault.reason;
                tracing::info!(
                    target: TARGET,
                    principal, pool, item, change, before, actor, reason, refused, request_id,
                    peer,
                    "{what}: refused"
                );
            }
        }
    }
}

/// Leaves out what says nothing.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A change of an item as people write it: `quantity +50, weight 3`.
pub(super) fn change(change: &ItemChange) -> String {
    let quantity = change.quantity.map(|quantity| match quantity {
        QuantityChange::Add(units) => format!("quantity {units:+}"),
        QuantityChange::Set { to, .. } => format!("quantity {}", to.to_number()),
    });
    let weight = change.weight.map(|weight| format!("weight {weight}"));
    quantity.into_iter().chain(weight).collect::<Vec<_>>().join(", ")
}
