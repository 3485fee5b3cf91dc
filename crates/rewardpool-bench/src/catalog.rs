//! Catalogues and engines to measure with.
use std::path::Path;

use anyhow::Context as _;
use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
use rewardpool_engine::core::command::{KeyLimits, PoolSpec};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{EngineConfig, NewPool, StorageKind};

/// A pool of unlimited items with these weights.
pub(crate) fn pool(weights: &[u64], selector: SelectorKind) -> anyhow::Result<NewPool> {
    let items = weights.iter().enumerate().map(|(index, &weight)| {
        let id = ItemId::new(&format!("item-{index}"))?;
        Ok(CatalogItem { id, weight, quantity: Quantity::Unlimited })
    });
    let catalog = Catalog::new(items.collect::<anyhow::Result<Vec<_>>>()?)?;
    let id = PoolId::new("default").context("a valid name")?;
    let spec = PoolSpec { id, catalog, selector, keys: KeyLimits::default() };
    Ok(NewPool { spec, secret: None })
}

/// An engine as a service would run it.
pub(crate) fn config(directory: &Path, batch_draws_max: usize) -> EngineConfig {
    EngineConfig {
        directory: directory.to_owned(),
        storage: StorageKind::File,
        format: Format::Binary,
        segment_bytes: 64 << 20,
        mailbox_capacity: 4096,
        batch_draws_max,
    }
}
