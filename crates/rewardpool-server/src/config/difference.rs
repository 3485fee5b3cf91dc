//! How the pools that run differ from those of a file, and which changes would make up for it.
//!
//! The file names the units with which an item begins, so its quantity is compared with the units
//! that were granted: what is left and what was awarded. A change of it adds or takes away units
//! and leaves the awards as they are. Three differences are only told, because nobody may make up
//! for them without having said so: an item or a pool that the file does not have (it is retired or
//! closed by hand), what is retired or closed already (it stays so), and the status of a pool (it
//! was paused on purpose).
//!
//! Nothing here reads or writes anything: [`Difference::between`] compares two descriptions, and
//! [`Difference::changes`] lists the changes for whoever makes them.
use std::collections::{HashMap, HashSet};

use rewardpool_core::catalog::CatalogItem;
use rewardpool_core::command::{ItemChange, PoolStatus, QuantityChange};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::view::ItemState;
use rewardpool_proto::v1;

use super::PoolConfig;

#[cfg(test)]
mod tests;

/// A pool as it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningPool {
    /// Its name.
    pub id: String,
    /// Whether it draws.
    pub status: PoolStatus,
    /// Version of its catalogue.
    pub catalog_version: u64,
    /// All its items, retired ones included.
    pub items: Vec<RunningItem>,
}

/// An item as it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunningItem {
    /// Its name.
    pub id: String,
    /// Chance relative to the other available items.
    pub weight: u64,
    /// Units at the start plus all adjustments.
    pub granted: Quantity,
    /// Units awarded, which for a limited item are at most those that were granted.
    pub awarded: u64,
    /// Whether it was taken out of the draws for ever.
    pub retired: bool,
}

impl RunningItem {
    /// An item of a state.
    pub fn new(id: &str, item: &ItemState) -> Self {
        Self {
            id: id.to_owned(),
            weight: item.weight,
            granted: item.granted.map_or(Quantity::Unlimited, Quantity::Limited),
            awarded: item.awarded,
            retired: item.retired,
        }
    }
}

impl From<&v1::ItemState> for RunningItem {
    fn from(item: &v1::ItemState) -> Self {
        Self {
            id: item.item_id.clone(),
            weight: item.weight,
            granted: u64::try_from(item.granted).map_or(Quantity::Unlimited, Quantity::Limited),
            awarded: item.awarded,
            retired: item.retired,
        }
    }
}

/// All that differs. Pools and items that are the same are not in it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Difference {
    /// In the order of the file, then those that only run in their order.
    pub pools: Vec<PoolDifference>,
}

/// How a pool differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolDifference {
    /// Only the file has it.
    New(PoolConfig),
    /// It runs and the file does not have it. Not for a closed one, which is past.
    Missing {
        /// Its name.
        pool: String,
        /// Whether it draws.
        status: PoolStatus,
        /// Items, retired ones included.
        item_count: usize,
    },
    /// Both have it, and its items or its status differ: in a file a pool is active.
    Changed {
        /// Its name.
        pool: PoolId,
        /// Its status as it runs.
        status: PoolStatus,
        /// Version of the catalogue that was compared.
        catalog_version: u64,
        /// The items that differ: in the order of the file, then those that only run.
        items: Vec<ItemDifference>,
    },
}

/// How an item differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ItemDifference {
    /// Only the file has it.
    New(CatalogItem),
    /// It runs and the file does not have it. Not for a retired one, which is past.
    Missing(RunningItem),
    /// The file has it, and it is retired, so that its name is not free either.
    Retired(CatalogItem),
    /// Both have it, and at least one of these differs.
    Changed {
        /// Its name.
        item: ItemId,
        /// Its weight, if that differs.
        weight: Option<WeightDifference>,
        /// Its units, if they differ.
        quantity: Option<QuantityDifference>,
    },
}

/// How a weight differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WeightDifference {
    /// The weight that is in force.
    pub running: u64,
    /// The weight in the file.
    pub file: u64,
}

/// How the units of an item differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuantityDifference {
    /// Units that were granted so far.
    pub granted: Quantity,
    /// Units of these that were awarded.
    pub awarded: u64,
    /// Units that the file grants.
    pub file: Quantity,
}

impl QuantityDifference {
    /// Units that are added, or taken away, so that the file's units are those that were granted.
    /// `None` when one of the two is unlimited.
    pub fn units(&self) -> Option<i64> {
        let (Quantity::Limited(granted), Quantity::Limited(file)) = (self.granted, self.file)
        else {
            return None;
        };
        let units = i128::from(file) - i128::from(granted);
        Some(i64::try_from(units).expect("both are from 0 to 2^63 - 1"))
    }

    /// Whether the file grants less than was awarded already, for which nothing makes up.
    pub fn is_below_awards(&self) -> bool {
        matches!(self.file, Quantity::Limited(units) if units < self.awarded)
    }

    /// The change that makes up for it, made at this version of the catalogue.
    fn change(&self, expected_version: u64) -> Option<QuantityChange> {
        if self.is_below_awards() {
            return None;
        }
        if let Some(units) = self.units() {
            return Some(QuantityChange::Add(units));
        }
        let to = match self.file {
            Quantity::Limited(units) => Quantity::Limited(units - self.awarded),
            Quantity::Unlimited => Quantity::Unlimited,
        };
        Some(QuantityChange::Set { to, expected_version })
    }
}

/// One change that makes up for a part of a difference, to be made in the order of the list. Each
/// but the first kind raises the version of the pool's catalogue by one: an answer that tells
/// another version than `version + 1` tells that somebody else changes the pool at the same time,
/// and that it should be compared again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Create the pool.
    CreatePool(PoolConfig),
    /// Add an item.
    AddItem {
        /// The pool.
        pool: PoolId,
        /// The item.
        item: CatalogItem,
        /// Version of the catalogue before the change.
        version: u64,
    },
    /// Change the weight or the units of an item, or both.
    UpdateItem {
        /// The pool.
        pool: PoolId,
        /// The item.
        item: ItemId,
        /// The change.
        change: ItemChange,
        /// Version of the catalogue before the change.
        version: u64,
    },
}

impl Difference {
    /// Compares all pools that run with those of a file.
    pub fn between(running: &[RunningPool], file: &[PoolConfig]) -> Self {
        let by_name: HashMap<&str, &RunningPool> =
            running.iter().map(|pool| (pool.id.as_str(), pool)).collect();
        let in_file: HashSet<&str> = file.iter().map(|pool| pool.spec.id.as_str()).collect();
        let of_file = file.iter().filter_map(|config| match by_name.get(config.spec.id.as_str()) {
            Some(pool) => compare(pool, config),
            None => Some(PoolDifference::New(config.clone())),
        });
        let missing = running
            .iter()
            .filter(|pool| pool.status != PoolStatus::Closed && !in_file.contains(&*pool.id));
        let missing = missing.map(|pool| PoolDifference::Missing {
            pool: pool.id.clone(),
            status: pool.status,
            item_count: pool.items.len(),
        });
        Self { pools: of_file.chain(missing).collect() }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    /// The changes that make up for all that is not only told.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        for pool in &self.pools {
            match pool {
                PoolDifference::New(config) => changes.push(Change::CreatePool(config.clone())),
                PoolDifference::Changed { pool, status, catalog_version, items }
                    if *status != PoolStatus::Closed =>
                {
                    push_changes(&mut changes, pool, *catalog_version, items);
                }
                PoolDifference::Missing { .. } | PoolDifference::Changed { .. } => {}
            }
        }
        changes
    }
}

fn compare(running: &RunningPool, file: &PoolConfig) -> Option<PoolDifference> {
    let by_name: HashMap<&str, &RunningItem> =
        running.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let catalog = file.spec.catalog.items();
    let in_file: HashSet<&str> = catalog.iter().map(|item| item.id.as_str()).collect();
    let of_file = catalog.iter().filter_map(|item| match by_name.get(item.id.as_str()) {
        Some(running) => compare_item(running, item),
        None => Some(ItemDifference::New(item.clone())),
    });
    let missing = running
        .items
        .iter()
        .filter(|item| !item.retired && !in_file.contains(&*item.id))
        .map(|item| ItemDifference::Missing(item.clone()));
    let items: Vec<ItemDifference> = of_file.chain(missing).collect();
    let status = running.status;
    (status != PoolStatus::Active || !items.is_empty()).then(|| PoolDifference::Changed {
        pool: file.spec.id.clone(),
        status,
        catalog_version: running.catalog_version,
        items,
    })
}

fn compare_item(running: &RunningItem, file: &CatalogItem) -> Option<ItemDifference> {
    if running.retired {
        return Some(ItemDifference::Retired(file.clone()));
    }
    let weight = WeightDifference { running: running.weight, file: file.weight };
    let weight = (weight.running != weight.file).then_some(weight);
    let RunningItem { granted, awarded, .. } = *running;
    let quantity = QuantityDifference { granted, awarded, file: file.quantity };
    let quantity = (granted != file.quantity).then_some(quantity);
    (weight.is_some() || quantity.is_some()).then(|| ItemDifference::Changed {
        item: file.id.clone(),
        weight,
        quantity,
    })
}

/// Weights that fall come first, and new items last, so that the sum of the weights is at no moment
/// above what it is at the beginning or at the end.
fn push_changes(
    changes: &mut Vec<Change>,
    pool: &PoolId,
    mut version: u64,
    items: &[ItemDifference],
) {
    for wants_falling in [true, false] {
        for difference in items {
            let ItemDifference::Changed { item, weight, quantity } = difference else { continue };
            if weight.is_some_and(|weight| weight.file < weight.running) != wants_falling {
                continue;
            }
            let change = ItemChange {
                quantity: quantity.and_then(|quantity| quantity.change(version)),
                weight: weight.map(|weight| weight.file),
            };
            if change != ItemChange::default() {
                let (pool, item) = (pool.clone(), item.clone());
                changes.push(Change::UpdateItem { pool, item, change, version });
                version += 1;
            }
        }
    }
    for difference in items {
        if let ItemDifference::New(item) = difference {
            let (pool, item) = (pool.clone(), item.clone());
            changes.push(Change::AddItem { pool, item, version });
            version += 1;
        }
    }
}
