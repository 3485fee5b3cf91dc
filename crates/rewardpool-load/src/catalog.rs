//! The pool that is drawn from: items without end, so that a long run never sells out.
use rewardpool_engine::NewPool;
use rewardpool_engine::core::catalog::{Catalog, CatalogError, CatalogItem};
use rewardpool_engine::core::command::{KeyLimits, PoolSpec};
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;

/// Name of the pool.
pub const POOL: &str = "default";

/// A pool of unlimited items `item-0`, `item-1`, … with these weights.
///
/// # Errors
/// Without items, with too many, or when the weights add up to too much.
pub fn pool(
    weights: impl IntoIterator<Item = u64>,
    selector: SelectorKind,
) -> Result<NewPool, CatalogError> {
    let items = weights.into_iter().enumerate().map(|(index, weight)| CatalogItem {
        id: ItemId::new(&format!("item-{index}")).expect("a short name without blanks"),
        weight,
        quantity: Quantity::Unlimited,
    });
    let catalog = Catalog::new(items.collect())?;
    let id = PoolId::new(POOL).expect("a valid name");
    let spec = PoolSpec { id, catalog, selector, keys: KeyLimits::default() };
    Ok(NewPool { spec, secret: None })
}

/// A pool of so many unlimited items with the weights 1, 2, 3, …
///
/// # Errors
/// Without items, or with too many.
pub fn rising(items: u32, selector: SelectorKind) -> Result<NewPool, CatalogError> {
    pool((1..=items).map(u64::from), selector)
}
