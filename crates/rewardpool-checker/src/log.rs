//! The durable log as the checker sees it: plain values, which a self-test can also write by hand.
use std::path::Path;

use rewardpool_core::command::{DrawMode, KeyLimits, PoolStatus};
use rewardpool_core::generator::Secret;
use rewardpool_core::ids::{ItemIndex, Outcome, PoolNumber};
use rewardpool_core::record::{
    ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, Record, SnapshotRef, Update,
};
use rewardpool_core::state::State;
use rewardpool_engine::EngineError;
use rewardpool_engine::inspect::{self, Seen, Visitor};

/// Above so many items the state is compared at the end of the log only.
const COMPARED_ITEMS_MAX: usize = 4096;

/// All that a directory holds.
#[derive(Debug, Default)]
pub struct Log {
    /// Where it begins.
    pub base: Base,
    /// Every record after that.
    pub entries: Vec<Entry>,
    /// The snapshots, rising.
    pub snapshots: Vec<Snapshot>,
    /// What the engine's own replay makes of the records, at some positions.
    pub checkpoints: Vec<Checkpoint>,
    /// The secrets of the pools, by number; a log without them is judged without the generator.
    pub secrets: Vec<Secret>,
    /// Bytes of an unfinished batch at the end, which were never acknowledged.
    pub torn_bytes: u64,
    /// The last position that was taken over from another log by a restoration; 0 without one. The
    /// records up to there name the snapshots of that log.
    pub restored_lsn: u64,
}

/// The state before the first record of a log. The default is the empty state, before LSN 1.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Base {
    /// The last position that it includes.
    pub lsn: u64,
    /// The last request id that was given.
    pub last_request_id: u64,
    /// The pools, by number.
    pub pools: Vec<BasePool>,
}

/// A pool of the base.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BasePool {
    /// Its name.
    pub name: String,
    /// Whether it draws.
    pub status: PoolStatus,
    /// Version of its catalogue.
    pub catalog_version: u64,
    /// Bounds of its keys.
    pub keys: KeyLimits,
    /// Draws so far.
    pub draws: u64,
    /// Its items.
    pub items: Vec<BaseItem>,
}

/// An item of a pool of the base.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BaseItem {
    /// Its name.
    pub name: String,
    /// Its totals.
    pub totals: ItemTotals,
}

/// What an item holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItemTotals {
    /// Its weight.
    pub weight: u64,
    /// Units left; -1 is unlimited.
    pub quantity: i64,
    /// Units awarded.
    pub awarded: u64,
    /// Whether it was retired.
    pub retired: bool,
}

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its position.
    pub lsn: u64,
    /// Time of its batch, in milliseconds.
    pub time_ms: u64,
    /// What changed.
    pub change: Change,
}

/// What a record changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A pool came to be.
    PoolCreated(Box<PoolCreated>),
    /// Draws.
    Draw(Draw),
    /// An item changed.
    Update(Box<Update>),
    /// An item was appended.
    ItemAdded(Box<ItemAdded>),
    /// An item was retired.
    ItemRetired(Box<ItemRetired>),
    /// A pool was paused, resumed or closed.
    PoolStateChanged(Box<PoolStateChanged>),
    /// Names the newest snapshot.
    Snapshot(SnapshotRef),
    /// The end of a clean stop.
    Closed,
    /// Nothing: markers, digests, rotations.
    Nothing,
}

/// The draws of one command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draw {
    /// The pool.
    pub pool: PoolNumber,
    /// Version of the catalogue.
    pub catalog_version: u64,
    /// Id of the first draw.
    pub first_request_id: u64,
    /// The outcomes.
    pub outcomes: Vec<Outcome>,
    /// What was asked for in case that the pool runs out.
    pub mode: DrawMode,
    /// The idempotency key.
    pub key: Option<KeyStamp>,
}

/// A snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The last position that it includes.
    pub lsn: u64,
    /// The SHA-256 that stands in its file.
    pub sha256: [u8; 32],
    /// Whether it holds the state that the log gives.
    pub is_equal: bool,
}

/// The state at one position.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The position.
    pub lsn: u64,
    /// The last request id.
    pub last_request_id: u64,
    /// The items of each pool.
    pub pools: Vec<Vec<ItemTotals>>,
}

impl Log {
    /// The last position.
    pub fn last_lsn(&self) -> u64 {
        self.entries.last().map_or(self.base.lsn, |entry| entry.lsn)
    }

    /// The draws with their positions.
    pub fn draws(&self) -> impl Iterator<Item = (u64, &Draw)> {
        self.entries.iter().filter_map(|entry| match &entry.change {
            Change::Draw(draw) => Some((entry.lsn, draw)),
            Change::PoolCreated(_)
            | Change::Update(_)
            | Change::ItemAdded(_)
            | Change::ItemRetired(_)
            | Change::PoolStateChanged(_)
            | Change::Snapshot(_)
            | Change::Closed
            | Change::Nothing => None,
        })
    }
}

/// Reads the log of a directory that nobody has open: from its oldest snapshot on, which is the
/// beginning of everything when nothing was pruned, or when what was pruned has been put back.
///
/// # Errors
/// When the files are damaged. A snapshot that merely differs from the log is no error here.
pub fn load(directory: &Path) -> Result<Log, EngineError> {
    let mut loader = Loader::default();
    let report = inspect::walk(directory, &mut loader)?;
    let restored_lsn = inspect::restored_lsn(directory)?;
    Ok(Log { torn_bytes: report.torn_bytes, restored_lsn, ..loader.log })
}

#[derive(Default)]
struct Loader {
    log: Log,
    /// Whether pools drew with other secrets before than at the end.
    has_other_secrets: bool,
}

impl Loader {
    fn checkpoint(&mut self, state: &State) {
        let pools = state.pools().map(|pool| items(state, pool.number)).collect();
        let (lsn, last_request_id) = (state.last_lsn(), state.last_request_id());
        self.log.checkpoints.push(Checkpoint { lsn, last_request_id, pools });
    }
}

impl Visitor for Loader {
    fn begin(&mut self, state: &State) {
        let pools = state.pools().map(|pool| BasePool {
            name: pool.names.id().as_str().to_owned(),
            status: pool.status,
            catalog_version: pool.catalog_version,
            keys: pool.keys.limits,
            draws: pool.draws,
            items: (0..)
                .zip(items(state, pool.number))
                .map(|(place, totals)| {
                    let name = ItemIndex::new(place).and_then(|item| pool.names.items().get(item));
                    let name = name.expect("each item has a name").as_str().to_owned();
                    BaseItem { name, totals }
                })
                .collect(),
        });
        let pools = pools.collect();
        let (lsn, last_request_id) = (state.last_lsn(), state.last_request_id());
        self.log.base = Base { lsn, last_request_id, pools };
    }

    fn record(&mut self, seen: &Seen<'_>) -> Result<(), EngineError> {
        let change = match seen.record {
            Record::PoolCreated(created) => Change::PoolCreated(created.clone()),
            Record::Draw(draw) => Change::Draw(Draw {
                pool: draw.pool,
                catalog_version: draw.catalog_version,
                first_request_id: draw.first_request_id.number(),
                outcomes: draw.outcomes.to_vec(),
                mode: draw.mode,
                key: draw.key,
            }),
            Record::Update(update) => Change::Update(update.clone()),
            Record::ItemAdded(added) => Change::ItemAdded(added.clone()),
            Record::ItemRetired(retired) => Change::ItemRetired(retired.clone()),
            Record::PoolStateChanged(changed) => Change::PoolStateChanged(changed.clone()),
            Record::Snapshot(snapshot) => Change::Snapshot(*snapshot),
            Record::Closed(_) => Change::Closed,
            Record::Rotate { .. } => {
                let items: usize = seen.state.pools().map(|pool| pool.item_count).sum();
                if items <= COMPARED_ITEMS_MAX {
                    self.checkpoint(seen.state);
                }
                Change::Nothing
            }
            Record::SecretChanged { .. } => {
                self.has_other_secrets = true;
                Change::Nothing
            }
            Record::Marker | Record::Digest(_) | Record::LeaderEpoch(_) => Change::Nothing,
        };
        let (lsn, time_ms) = (seen.lsn.number(), seen.time_ms);
        self.log.entries.push(Entry { lsn, time_ms, change });
        Ok(())
    }

    fn snapshot(&mut self, lsn: u64, sha256: [u8; 32], is_equal: bool) -> Result<(), EngineError> {
        self.log.snapshots.push(Snapshot { lsn, sha256, is_equal });
        Ok(())
    }

    fn end(&mut self, state: &State, secrets: &[Secret]) {
        self.checkpoint(state);
        // Those of before a change of secrets are not here, and these did not draw then.
        if !self.has_other_secrets {
            self.log.secrets = secrets.to_vec();
        }
    }
}

fn items(state: &State, pool: PoolNumber) -> Vec<ItemTotals> {
    let items = state.items(pool, 0, usize::MAX).expect("the pool is one of the state");
    let totals = items.map(|item| ItemTotals {
        weight: item.weight,
        quantity: item.quantity.to_number(),
        awarded: item.awarded,
        retired: item.retired,
    });
    totals.collect()
}
