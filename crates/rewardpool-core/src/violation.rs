//! What does not fit: a record that the state cannot have produced, or a state that contradicts
//! itself.
use std::fmt;

use crate::command::{KeyHash, Rejection};
use crate::ids::{Epoch, ItemIndex, Lsn, PoolNumber, RequestId};
use crate::quantity::Quantity;

/// Why a record, or the state itself, cannot be true. Whoever reads a log adds file and offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The record is not the next one.
    #[error("the record has lsn {found}, the next one is {expected}")]
    Lsn {
        /// The number of the next record.
        expected: u64,
        /// What the record has.
        found: Lsn,
    },
    /// A leadership epoch that is not above the one before.
    #[error("epoch {found} does not follow epoch {last}")]
    Epoch {
        /// The epoch of the state.
        last: Epoch,
        /// What the record has.
        found: Epoch,
    },
    /// The record names a pool that does not exist.
    #[error("there is no pool {}", .pool.0)]
    UnknownPool {
        /// What the record names.
        pool: PoolNumber,
    },
    /// A new pool has not the next number.
    #[error("the new pool has number {}, the next one is {expected}", .found.0)]
    PoolNumber {
        /// The number of the next pool.
        expected: usize,
        /// What the record has.
        found: PoolNumber,
    },
    /// The record does what a rule forbids.
    #[error("the record breaks a rule: {rejection}")]
    Refused {
        /// The answer that a client would have been given.
        rejection: Rejection,
    },
    /// The record changes nothing; such a record is never written.
    #[error("the record changes nothing in pool {}", .pool.0)]
    NothingChanges {
        /// The pool.
        pool: PoolNumber,
    },
    /// The record has not the version of the catalogue that the state gives.
    #[error("pool {}: the catalogue is at version {expected}, the record says {found}", .pool.0)]
    CatalogVersion {
        /// The pool.
        pool: PoolNumber,
        /// What the state gives.
        expected: u64,
        /// What the record has.
        found: u64,
    },
    /// The request ids have a gap, or a draw is there twice.
    #[error("the draw has request id {found}, the next one is {expected}")]
    RequestId {
        /// The next request id.
        expected: u64,
        /// What the record has.
        found: RequestId,
    },
    /// The request ids would exceed their maximum.
    #[error("{count} draws after request id {last} exceed the maximum")]
    RequestIdMax {
        /// The last request id given.
        last: u64,
        /// How many draws the record has.
        count: u16,
    },
    /// The record has no outcome, or more than a command may ask for.
    #[error("a draw of {found} outcomes")]
    DrawCount {
        /// What the record has.
        found: usize,
    },
    /// The idempotency key is known already, so the first answer would have been given again.
    #[error("pool {}: the idempotency key {key:?} is known already", .pool.0)]
    KeyKnown {
        /// The pool.
        pool: PoolNumber,
        /// What the record has.
        key: KeyHash,
    },
    /// The fingerprint beside the idempotency key is not that of the draw.
    #[error("the draw has fingerprint {expected}, the record says {found}")]
    KeyFingerprint {
        /// What the draw gives.
        expected: u64,
        /// What the record has.
        found: u64,
    },
    /// The record names an item that does not exist.
    #[error("pool {}: there is no item {}", .pool.0, .item.number())]
    UnknownItem {
        /// The pool.
        pool: PoolNumber,
        /// What the record names.
        item: ItemIndex,
    },
    /// An item was awarded that could not be drawn: no unit, no weight, or retired.
    #[error("pool {}: item {} was awarded but is not available", .pool.0, .item.number())]
    NotAvailable {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
    },
    /// A draw gave nothing although something was available.
    #[error("pool {}: a draw gave nothing while {units} units and {unlimited} unlimited items were available", .pool.0)]
    NotEmpty {
        /// The pool.
        pool: PoolNumber,
        /// Units that could be drawn.
        units: u128,
        /// Unlimited items that could be drawn.
        unlimited: u64,
    },
    /// The change does not give the quantity that the record says.
    #[error("pool {}: the change leaves item {} at {expected}, the record says {found}", .pool.0, .item.number())]
    Quantity {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
        /// What the change gives.
        expected: Quantity,
        /// What the record has.
        found: Quantity,
    },
    /// The change does not give the weight that the record says.
    #[error("pool {}: the change leaves item {} at weight {expected}, the record says {found}", .pool.0, .item.number())]
    Weight {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
        /// What the change gives.
        expected: u64,
        /// What the record has.
        found: u64,
    },
    /// A new item has not the next place.
    #[error("pool {}: the new item has place {}, the next one is {expected}", .pool.0, .found.number())]
    ItemIndex {
        /// The pool.
        pool: PoolNumber,
        /// The next place.
        expected: usize,
        /// What the record has.
        found: ItemIndex,
    },
    /// A snapshot covers records that are not written yet.
    #[error("the snapshot of lsn {found} is named by the record {lsn}")]
    SnapshotAhead {
        /// What the snapshot covers.
        found: u64,
        /// The record that names it.
        lsn: Lsn,
    },
    /// The state is not the one that the writer had.
    #[error("the state has digest {expected:016x}, the record says {found:016x}")]
    Digest {
        /// What the state gives.
        expected: u64,
        /// What the record has.
        found: u64,
    },
    /// Units of an item appeared or vanished.
    #[error("pool {}: item {} was granted {granted} units, but {quantity} are left and {awarded} awarded", .pool.0, .item.number())]
    Conservation {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
        /// Units at the start, with all adjustments; 0 for an unlimited item.
        granted: u64,
        /// Units left, -1 for unlimited.
        quantity: i64,
        /// Units awarded.
        awarded: u64,
    },
    /// The mark that lets an item be drawn does not follow from its weight and its retirement.
    #[error("pool {}: item {} is wrongly marked as drawable: {found}", .pool.0, .item.number())]
    DrawableMark {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
        /// The mark.
        found: bool,
    },
    /// The selector has another weight than the item.
    #[error("pool {}: the selector has weight {found} for item {}, its effective weight is {expected}", .pool.0, .item.number())]
    SelectorWeight {
        /// The pool.
        pool: PoolNumber,
        /// The item.
        item: ItemIndex,
        /// The effective weight.
        expected: u64,
        /// What the selector has.
        found: u64,
    },
    /// A sum that is kept up to date differs from its parts.
    #[error("pool {}: the {sum} is kept as {kept}, its parts give {counted}", .pool.0)]
    Sum {
        /// The pool.
        pool: PoolNumber,
        /// Which sum.
        sum: Sum,
        /// What is kept.
        kept: u128,
        /// What the parts give.
        counted: u128,
    },
    /// The last request id is not the number of draws.
    #[error("the last request id is {last}, the pools made {draws} draws")]
    LastRequestId {
        /// The last request id given.
        last: u64,
        /// Draws over all pools.
        draws: u128,
    },
    /// There are more or fewer names than pools, or than items of a pool.
    #[error("there are {names} names for {things} pools or items")]
    Names {
        /// How many names.
        names: usize,
        /// How many pools or items.
        things: usize,
    },
}

impl From<Rejection> for Violation {
    fn from(rejection: Rejection) -> Self {
        Self::Refused { rejection }
    }
}

/// A number that a pool keeps up to date although it follows from others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Sum {
    /// The fingerprint of the stock.
    Fingerprint,
    /// Units of limited items that can be drawn.
    DrawableUnits,
    /// Unlimited items that can be drawn.
    DrawableUnlimited,
    /// Weights of all items that are not retired.
    ListedWeight,
    /// Weights of all items that are available.
    AvailableWeight,
    /// Items that are available.
    AvailableItems,
    /// The selector's total.
    SelectorTotal,
    /// Awards over all items.
    Awards,
    /// Awards and empties.
    Draws,
    /// Idempotency keys.
    Keys,
    /// Outcomes over all idempotency keys.
    KeyOutcomes,
    /// The summary of the idempotency keys.
    KeySummary,
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fingerprint => "fingerprint of the stock",
            Self::DrawableUnits => "number of drawable units",
            Self::DrawableUnlimited => "number of drawable unlimited items",
            Self::ListedWeight => "weight of all listed items",
            Self::AvailableWeight => "weight of all available items",
            Self::AvailableItems => "number of available items",
            Self::SelectorTotal => "selector's total",
            Self::Awards => "number of awards",
            Self::Draws => "number of draws",
            Self::Keys => "number of idempotency keys",
            Self::KeyOutcomes => "number of outcomes behind idempotency keys",
            Self::KeySummary => "summary of the idempotency keys",
        })
    }
}
