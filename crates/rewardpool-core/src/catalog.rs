//! The catalogue with which a pool is created: checked as a whole, and its canonical hash.
use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::limits::{ITEMS_MAX, QUANTITY_MAX, TOTAL_WEIGHT_MAX};
use crate::name::ItemId;
use crate::quantity::Quantity;

/// One item of a catalogue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CatalogItem {
    /// Unique within the catalogue.
    pub id: ItemId,
    /// Chance relative to the other available items; 0 is never drawn.
    pub weight: u64,
    /// Units at the start.
    pub quantity: Quantity,
}

/// Why a list of items is not a catalogue.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CatalogError {
    /// There is no item at all.
    #[error("a catalogue has at least one item")]
    Empty,
    /// There are more than [`ITEMS_MAX`] items.
    #[error("a catalogue has at most {ITEMS_MAX} items, this one has {0}")]
    TooManyItems(usize),
    /// The same id stands twice.
    #[error("the item {0:?} stands twice in the catalogue")]
    DuplicateItem(ItemId),
    /// The weights add up to more than [`TOTAL_WEIGHT_MAX`].
    #[error("the weights add up to more than {TOTAL_WEIGHT_MAX}, at the item {0:?}")]
    TotalWeight(ItemId),
    /// A quantity is above [`QUANTITY_MAX`].
    #[error("the quantity of the item {0:?} is above {QUANTITY_MAX}")]
    Quantity(ItemId),
}

/// A checked list of items: not empty, unique ids, a sum of weights that fits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Catalog {
    items: Vec<CatalogItem>,
}

impl Catalog {
    /// Checks the list as a whole.
    pub fn new(items: Vec<CatalogItem>) -> Result<Self, CatalogError> {
        if items.is_empty() {
            return Err(CatalogError::Empty);
        }
        if items.len() > ITEMS_MAX {
            return Err(CatalogError::TooManyItems(items.len()));
        }
        let mut seen = BTreeSet::new();
        let mut total: u64 = 0;
        for item in &items {
            if !seen.insert(&item.id) {
                return Err(CatalogError::DuplicateItem(item.id.clone()));
            }
            total = total
                .checked_add(item.weight)
                .filter(|&sum| sum <= TOTAL_WEIGHT_MAX)
                .ok_or_else(|| CatalogError::TotalWeight(item.id.clone()))?;
            if matches!(item.quantity, Quantity::Limited(units) if units > QUANTITY_MAX) {
                return Err(CatalogError::Quantity(item.id.clone()));
            }
        }
        Ok(Self { items })
    }

    /// The items in catalogue order.
    pub fn items(&self) -> &[CatalogItem] {
        &self.items
    }

    /// SHA-256 of the items sorted by name, each as length, name, weight and quantity
    /// (little-endian). Two catalogues with the same content in another order have the same hash.
    pub fn sha256(&self) -> [u8; 32] {
        let mut sorted: Vec<&CatalogItem> = self.items.iter().collect();
        sorted.sort_by(|a, b| a.id.cmp(&b.id));
        let mut hash = Sha256::new();
        for item in sorted {
            let name = item.id.as_str().as_bytes();
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(item.weight.to_le_bytes());
            hash.update(item.quantity.to_number().to_le_bytes());
        }
        hash.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: &str, weight: u64, quantity: i64) -> CatalogItem {
        let quantity = Quantity::from_number(quantity).unwrap();
        CatalogItem { id: ItemId::new(id).unwrap(), weight, quantity }
    }

    #[test]
    fn order_does_not_change_the_hash_and_content_does() {
        let one = Catalog::new(vec![item("a", 1, 2), item("b", 3, -1)]).unwrap();
        let two = Catalog::new(vec![item("b", 3, -1), item("a", 1, 2)]).unwrap();
        let three = Catalog::new(vec![item("b", 3, -1), item("a", 1, 3)]).unwrap();
        assert_eq!(one.sha256(), two.sha256());
        assert_ne!(one.sha256(), three.sha256());
    }

    #[test]
    fn bad_lists_are_refused() {
        assert_eq!(Catalog::new(vec![]), Err(CatalogError::Empty));
        let twice = Catalog::new(vec![item("a", 1, 1), item("a", 2, 2)]);
        assert!(matches!(twice, Err(CatalogError::DuplicateItem(_))));
        let heavy = Catalog::new(vec![item("a", TOTAL_WEIGHT_MAX, 1), item("b", 1, 1)]);
        assert!(matches!(heavy, Err(CatalogError::TotalWeight(_))));
    }
}
