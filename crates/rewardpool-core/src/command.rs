//! What a client may ask for, already checked, and how it may be refused.
use std::fmt;
use std::num::NonZeroU16;

use sha2::{Digest as _, Sha256};

use crate::catalog::{Catalog, CatalogItem};
use crate::ids::PoolNumber;
use crate::limits::{DRAW_COUNT_MAX, KEY_BYTES_MAX, NOTE_BYTES_MAX};
use crate::name::{ItemId, PoolId};
use crate::quantity::Quantity;
use crate::selector::SelectorKind;

/// How many draws one command makes: 1 to [`DRAW_COUNT_MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrawCount(NonZeroU16);

impl DrawCount {
    /// A single draw.
    pub const ONE: Self = Self(NonZeroU16::MIN);

    /// The count, or `None` when it is not in 1 to [`DRAW_COUNT_MAX`].
    pub fn new(count: i64) -> Option<Self> {
        let count = u16::try_from(count).ok().filter(|&count| count <= DRAW_COUNT_MAX)?;
        NonZeroU16::new(count).map(Self)
    }

    /// The count as a number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }

    /// The count as a length.
    pub const fn as_usize(self) -> usize {
        self.0.get() as usize
    }
}

/// What a draw of several does when the pool runs out on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DrawMode {
    /// Awards until nothing is available; the rest of the outcomes are empty.
    #[default]
    BestEffort,
    /// Refuses the whole command unless every draw of it wins an item.
    AllOrNothing,
}

/// Hash of an idempotency key: the first 16 bytes of its SHA-256. Keys are compared by this hash
/// within one pool, so the key itself is never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u8; 16]);

impl KeyHash {
    /// Hashes a key; `None` when it is empty or longer than [`KEY_BYTES_MAX`].
    pub fn of(key: &[u8]) -> Option<Self> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return None;
        }
        let digest: [u8; 32] = Sha256::digest(key).into();
        let (hash, _rest) = digest.split_first_chunk().expect("32 bytes hold 16");
        Some(Self(*hash))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Ask for draws from one pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrawCommand {
    /// The pool to draw from.
    pub pool: PoolNumber,
    /// How many draws.
    pub count: DrawCount,
    /// What happens when the pool runs out on the way.
    pub mode: DrawMode,
    /// A retry with the same key gets the first answer again.
    pub key: Option<KeyHash>,
}

impl DrawCommand {
    /// What a later command with the same key must share to count as its retry.
    ///
    /// Options that are added later join this number only when they differ from their default, so
    /// that stored fingerprints stay valid.
    pub fn fingerprint(&self) -> u64 {
        let mode = match self.mode {
            DrawMode::BestEffort => 0,
            DrawMode::AllOrNothing => 1,
        };
        u64::from(self.count.number()) | mode << 16
    }
}

/// How the units of an item change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuantityChange {
    /// Adds so many units, or takes them away. Refused for an unlimited item.
    Add(i64),
    /// Sets the units that are left, if the catalogue still has this version.
    Set {
        /// The new quantity.
        to: Quantity,
        /// The version that the administrator saw.
        expected_version: u64,
    },
}

/// What changes about an item. At least one of the two is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ItemChange {
    /// The change of its units.
    pub quantity: Option<QuantityChange>,
    /// Its new weight.
    pub weight: Option<u64>,
}

/// Who makes an administrative change and why; both may be empty.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Note {
    actor: Box<str>,
    reason: Box<str>,
}

impl Note {
    /// A note, or `None` when a text is longer than [`NOTE_BYTES_MAX`] or has control characters.
    pub fn new(actor: &str, reason: &str) -> Option<Self> {
        let fits = |text: &str| text.len() <= NOTE_BYTES_MAX && !text.chars().any(char::is_control);
        (fits(actor) && fits(reason)).then(|| Self { actor: actor.into(), reason: reason.into() })
    }

    /// Who made the change.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// Why the change was made.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// Whether a pool draws.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolStatus {
    /// Draws are served.
    Active,
    /// Draws are refused until the pool is resumed.
    Paused,
    /// Draws and changes are refused for ever.
    Closed,
}

impl PoolStatus {
    /// The name in texts: `active`, `paused`, `closed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Closed => "closed",
        }
    }
}

/// Bounds of a pool's table of idempotency keys. They are logged with the pool, so that every
/// replay expires the same keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyLimits {
    /// A key is kept at least this long, in milliseconds, unless the table is full.
    pub window_ms: u64,
    /// At most so many keys; the oldest go first. 0 turns keys off.
    pub keys_max: u64,
    /// At most so many outcomes over all keys; the oldest keys go first.
    pub outcomes_max: u64,
}

impl Default for KeyLimits {
    /// 24 hours, one million keys, four million outcomes.
    fn default() -> Self {
        Self { window_ms: 24 * 60 * 60 * 1000, keys_max: 1_000_000, outcomes_max: 4_000_000 }
    }
}

/// What a new pool is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolSpec {
    /// Its name, never used before in this log.
    pub id: PoolId,
    /// Its items.
    pub catalog: Catalog,
    /// How items are located.
    pub selector: SelectorKind,
    /// Bounds of its idempotency keys.
    pub keys: KeyLimits,
}

/// A change by an administrator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AdminCommand {
    /// Creates a pool. The secret's SHA-256 is logged as a commitment.
    CreatePool {
        /// The pool.
        spec: PoolSpec,
        /// SHA-256 of the pool's secret.
        commitment: [u8; 32],
    },
    /// Changes the quantity and/or the weight of an item.
    UpdateItem {
        /// The pool.
        pool: PoolNumber,
        /// The item, which must exist.
        item: ItemId,
        /// What changes.
        change: ItemChange,
        /// Who and why.
        note: Note,
    },
    /// Appends an item to a catalogue.
    AddItem {
        /// The pool.
        pool: PoolNumber,
        /// The new item.
        item: CatalogItem,
        /// Who and why.
        note: Note,
    },
    /// Takes an item out of the draws for ever; it stays resolvable.
    RetireItem {
        /// The pool.
        pool: PoolNumber,
        /// The item, which must exist.
        item: ItemId,
        /// Who and why.
        note: Note,
    },
    /// Pauses, resumes or closes a pool.
    SetStatus {
        /// The pool.
        pool: PoolNumber,
        /// The new status.
        status: PoolStatus,
        /// Who and why.
        note: Note,
    },
}

/// A correct answer to a client: no. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Rejection {
    /// There is no pool with this number.
    #[error("there is no such pool")]
    UnknownPool,
    /// The pool has no item of this name.
    #[error("the pool has no such item")]
    UnknownItem,
    /// The item was retired.
    #[error("the item is retired")]
    RetiredItem,
    /// The pool already has an item of this name, maybe a retired one.
    #[error("the pool already has an item of this name")]
    ItemExists,
    /// A pool of this name exists, or existed and is closed.
    #[error("a pool of this name exists already")]
    PoolExists,
    /// The pool is paused.
    #[error("the pool is paused")]
    PoolPaused,
    /// The pool is closed.
    #[error("the pool is closed")]
    PoolClosed,
    /// Fewer units are left than an all-or-nothing draw asks for.
    #[error("fewer units are left than this draw asks for")]
    InsufficientStock,
    /// The idempotency key was used with another count or mode.
    #[error("the idempotency key was used before with other arguments")]
    KeyReused,
    /// No draw with this key is known (any more).
    #[error("no draw with this idempotency key is known")]
    UnknownKey,
    /// The pool keeps no idempotency keys.
    #[error("idempotency keys are turned off for this pool")]
    KeysOff,
    /// The catalogue has another version than the one that the change expects.
    #[error("the catalogue is at version {current}, not at the expected one")]
    VersionMismatch {
        /// The version that the catalogue has.
        current: u64,
    },
    /// The change would leave less than nothing, or more than the maximum.
    #[error("the change would leave a quantity outside 0 to 2^63-1")]
    QuantityRange,
    /// Units cannot be added to or taken from an unlimited item.
    #[error("units cannot be added to or taken from an unlimited item")]
    QuantityUnlimited,
    /// The weights would add up to more than the maximum.
    #[error("the weights would add up to more than 2^63-1")]
    TotalWeight,
    /// The catalogue or the list of pools is full.
    #[error("the catalogue or the list of pools is full")]
    Full,
}
