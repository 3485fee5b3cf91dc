//! One line of the log for each administrator's change: who did what to which pool, why, and where it
//! stands in the log of records. One that the state refuses leaves a line, too.
use rewardpool_core::command::{ItemChange, QuantityChange};

use crate::convert::Fault;

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
    /// Who asks.
    pub(super) actor: &'a str,
    /// Why.
    pub(super) reason: &'a str,
}

impl Action<'_> {
    /// Writes the line about what became of it: the position of its record, or why there is none.
    pub(super) fn audit(&self, lsn: Result<u64, &Fault>) {
        let known = |text| Some(text).filter(|text: &&str| !text.is_empty());
        let (pool, item, change) = (known(self.pool), known(self.item), known(&self.change));
        let (actor, reason) = (known(self.actor), known(self.reason));
        let what = self.what;
        match lsn {
            Ok(lsn) => tracing::info!(pool, item, change, actor, reason, lsn, "{what}"),
            Err(fault) => {
                let refused = fault.reason;
                tracing::info!(pool, item, change, actor, reason, refused, "{what}: refused");
            }
        }
    }
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
