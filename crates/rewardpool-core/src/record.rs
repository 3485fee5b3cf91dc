//! One logged change. A record holds outcomes, never causes: replay calls no generator, no clock
//! and no configuration.
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolStatus};
use crate::ids::{Epoch, ItemIndex, Outcome, PoolNumber, RequestId};
use crate::name::PoolId;
use crate::quantity::Quantity;
use crate::selector::SelectorKind;

/// One logged change. Draws are frequent, so their outcomes are borrowed; everything else is rare
/// and owns what it holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record<'a> {
    /// A pool came to be.
    PoolCreated(Box<PoolCreated>),
    /// One draw command, with all its outcomes.
    Draw(DrawRecord<'a>),
    /// The quantity and/or the weight of an item changed.
    Update(Box<Update>),
    /// An item was appended to a catalogue.
    ItemAdded(Box<ItemAdded>),
    /// An item was taken out of the draws for ever.
    ItemRetired(Box<ItemRetired>),
    /// A pool was paused, resumed or closed.
    PoolStateChanged(Box<PoolStateChanged>),
    /// The newest snapshot when the segment began; the first record of a segment.
    Snapshot(SnapshotRef),
    /// The last record of a segment that is followed by another.
    Rotate {
        /// Number of the segment that follows.
        next_segment: u32,
        /// Digest of the state before this record.
        digest: u64,
    },
    /// Nothing changed; what stands before it was durable. The commit marker.
    Marker,
    /// Digest of the state before this record.
    Digest(u64),
    /// The last record of a clean stop, with the digest of the state.
    Closed(u64),
    /// Another service writes the log from here on. What the one before wrote behind the position where
    /// this record stands was never part of this log.
    LeaderEpoch(Epoch),
    /// The randomness of a pool comes from another secret from here on.
    SecretChanged {
        /// The pool.
        pool: PoolNumber,
        /// SHA-256 of the new secret.
        commitment: [u8; 32],
    },
}

/// A pool came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolCreated {
    /// Its number, the next in order.
    pub pool: PoolNumber,
    /// Its name.
    pub id: PoolId,
    /// Its items.
    pub catalog: Catalog,
    /// How items are located.
    pub selector: SelectorKind,
    /// Bounds of its idempotency keys.
    pub keys: KeyLimits,
    /// SHA-256 of the secret from which its randomness comes.
    pub commitment: [u8; 32],
}

/// One draw command: all of it or nothing of it survives a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrawRecord<'a> {
    /// The pool.
    pub pool: PoolNumber,
    /// Version of the catalogue that was in force.
    pub catalog_version: u64,
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    /// The outcome of each draw, at least one.
    pub outcomes: &'a [Outcome],
    /// What was asked for in case that the pool runs out.
    pub mode: DrawMode,
    /// Given when the client gave an idempotency key.
    pub key: Option<KeyStamp>,
}

/// Consecutive records, each a best-effort draw of one prize without a key, of the same pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SingleDraws<'a> {
    /// The pool.
    pub pool: PoolNumber,
    /// Version of the catalogue that was in force.
    pub catalog_version: u64,
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    /// The outcome of each record, at least one.
    pub outcomes: &'a [Outcome],
}

/// The idempotency key of a draw, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyStamp {
    /// Hash of the key.
    pub hash: KeyHash,
    /// Fingerprint of the command's arguments.
    pub fingerprint: u64,
}

/// The quantity and/or the weight of an item changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update {
    /// The pool.
    pub pool: PoolNumber,
    /// The item.
    pub item: ItemIndex,
    /// What was asked for.
    pub change: ItemChange,
    /// The units left after the change.
    pub quantity: Quantity,
    /// The weight after the change.
    pub weight: u64,
    /// Version of the catalogue after the change.
    pub catalog_version: u64,
    /// Who and why.
    pub note: Note,
}

/// An item was appended to a catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemAdded {
    /// The pool.
    pub pool: PoolNumber,
    /// The item's place, the next in order.
    pub index: ItemIndex,
    /// The item.
    pub item: CatalogItem,
    /// Version of the catalogue after the change.
    pub catalog_version: u64,
    /// Who and why.
    pub note: Note,
}

/// An item was taken out of the draws for ever.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ItemRetired {
    /// The pool.
    pub pool: PoolNumber,
    /// The item.
    pub item: ItemIndex,
    /// Version of the catalogue after the change.
    pub catalog_version: u64,
    /// Who and why.
    pub note: Note,
}

/// A pool was paused, resumed or closed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolStateChanged {
    /// The pool.
    pub pool: PoolNumber,
    /// The new status.
    pub status: PoolStatus,
    /// Who and why.
    pub note: Note,
}

/// The newest snapshot when a segment began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotRef {
    /// The last position that the snapshot covers; 0 for the empty state. Names the file.
    pub lsn: u64,
    /// SHA-256 that stands at the end of the file.
    pub sha256: [u8; 32],
}
