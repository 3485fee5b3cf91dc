//! What may be asked of the engine, and what it answers.
use std::ops::Range;

use rewardpool_core::command::{
    AdminCommand, DrawCommand, KeyHash, PoolSpec, PoolStatus, Rejection,
};
use rewardpool_core::ids::{PoolNumber, RequestId};
use rewardpool_core::name::PoolId;
use rewardpool_core::names::ItemNames;
use rewardpool_core::view::{ItemState, KeyWindow};

/// One request. A draw is small and frequent; everything else is boxed.
#[derive(Debug)]
pub enum Request {
    /// Draw prizes.
    Draw(DrawCommand),
    /// Find the answer of an earlier draw.
    FindDraw {
        /// The pool.
        pool: PoolNumber,
        /// The key of the draw.
        key: KeyHash,
    },
    /// Read the totals of a pool and a page of its items.
    ReadPool {
        /// The pool.
        pool: PoolNumber,
        /// Place of the first item of the page.
        from: usize,
        /// Most items of the page.
        limit: usize,
    },
    /// Read a page of the list of pools.
    ReadPools {
        /// Number of the first pool of the page.
        from: usize,
        /// Most pools of the page.
        limit: usize,
    },
    /// Read how the engine is.
    ReadStatus,
    /// Read where the log ends.
    ReadPosition,
    /// Create a pool.
    CreatePool(Box<NewPool>),
    /// Change a pool. Never [`AdminCommand::CreatePool`], for which the engine makes the secret.
    Change(Box<AdminCommand>),
    /// Begin a new segment, so that a snapshot of everything before it is made.
    Rotate,
}

impl Request {
    /// Whether it may change the state or the log, which only the leader does.
    pub(crate) const fn changes(&self) -> bool {
        match self {
            Self::Draw(_) | Self::CreatePool(_) | Self::Change(_) | Self::Rotate => true,
            Self::FindDraw { .. }
            | Self::ReadPool { .. }
            | Self::ReadPools { .. }
            | Self::ReadStatus
            | Self::ReadPosition => false,
        }
    }
}

/// A pool to create.
#[derive(Debug)]
pub struct NewPool {
    /// What it is.
    pub spec: PoolSpec,
    /// Fixes its randomness, for tests and simulation. `None` takes it from the operating system.
    pub secret: Option<[u8; 32]>,
}

/// The answer to one request.
#[derive(Debug)]
pub enum Answer {
    /// To [`Request::Draw`] and [`Request::FindDraw`].
    Draw(DrawAnswer),
    /// To [`Request::CreatePool`], [`Request::Change`] and [`Request::Rotate`].
    Changed {
        /// Position of the change in the log; the last position when nothing had to change.
        lsn: u64,
        /// Version of the pool's catalogue afterwards; 0 after a rotation.
        catalog_version: u64,
    },
    /// To [`Request::ReadPool`].
    Pool(Box<PoolPage>),
    /// To [`Request::ReadPools`].
    Pools(Box<PoolsPage>),
    /// To [`Request::ReadStatus`].
    Status(Box<Status>),
    /// To [`Request::ReadPosition`].
    Position(Box<LogPosition>),
}

/// What a draw gave. Its outcomes stand in the reply that holds this answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrawAnswer {
    /// The pool.
    pub pool: PoolNumber,
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Whether this is the answer of an earlier draw with the same key.
    pub replayed: bool,
}

impl DrawAnswer {
    pub(crate) fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// The totals of a pool and a page of its items, as of one position of the log.
#[derive(Debug)]
pub struct PoolPage {
    /// The totals.
    pub summary: PoolSummary,
    /// The last record that this includes.
    pub lsn: u64,
    /// The last request id of the service; 0 before the first draw.
    pub last_request_id: u64,
    /// The items of the page.
    pub items: Vec<ItemState>,
    /// Names of all items of the pool.
    pub names: ItemNames,
}

/// A page of the list of pools.
#[derive(Debug)]
pub struct PoolsPage {
    /// The pools of the page, in the order of their creation.
    pub pools: Vec<PoolSummary>,
    /// How many pools there are.
    pub count: usize,
    /// The last record that this includes.
    pub lsn: u64,
}

/// The totals of a pool.
#[derive(Clone, Debug)]
pub struct PoolSummary {
    /// Its number.
    pub number: PoolNumber,
    /// Its name.
    pub id: PoolId,
    /// Whether it draws.
    pub status: PoolStatus,
    /// Version of its catalogue.
    pub catalog_version: u64,
    /// Items, retired ones included.
    pub item_count: usize,
    /// Draws so far.
    pub draws: u64,
    /// Draws that won an item.
    pub awards: u64,
    /// Draws that found nothing available.
    pub empties: u64,
    /// Weights of all items that are available now.
    pub available_weight: u64,
    /// How many items are available now.
    pub available_items: u64,
    /// Units of limited items that can be drawn.
    pub drawable_units: u128,
    /// The idempotency keys.
    pub keys: KeyWindow,
    /// SHA-256 of the pool's secret.
    pub commitment: [u8; 32],
}

/// How the engine is.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// The last record that is on disk.
    pub durable_lsn: u64,
    /// The last request id; 0 before the first draw.
    pub last_request_id: u64,
    /// Number of the segment that is written at present.
    pub current_segment: u32,
    /// How many pools there are.
    pub pools: usize,
    /// Whether draws are refused because the disk is full.
    pub out_of_space: bool,
    /// Whether the conservation law held at the last check.
    pub conservation_ok: bool,
}

/// Where a log ends, between two batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogPosition {
    /// The last record; it is on disk.
    pub lsn: u64,
    /// The last request id; 0 before the first draw.
    pub last_request_id: u64,
    /// Time of the last record, in milliseconds since 1970.
    pub time_ms: u64,
    /// Digest of the state, as the log holds it now and then.
    pub digest: u64,
    /// Checksum of the header of the last batch.
    pub chain: u32,
    /// The segment that holds the last record, or that it closed.
    pub segment: u32,
    /// How many pools there are.
    pub pools: u32,
}

/// Why a request has no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The state says no. Nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The mailbox is full. Nothing was changed.
    #[error("the service is overloaded")]
    Overloaded,
    /// The deadline passed before the request was begun. Nothing was changed.
    #[error("the deadline passed while the request waited")]
    Expired,
    /// The disk is full. Nothing was changed; the service resumes by itself when there is space.
    #[error("the disk is full")]
    OutOfSpace,
    /// The service follows another one, which is the only one that changes anything. Nothing was
    /// changed.
    #[error("the service is a follower")]
    Follower,
    /// The service is stopping. Nothing was changed.
    #[error("the service is stopping")]
    Stopping,
    /// The service failed. The request may or may not have happened.
    #[error("the service failed, it is not known whether the request happened")]
    OutcomeUnknown,
}
