//! Weighted choice: which item's interval holds a number.
//!
//! The weights of a catalogue, put end to end in catalogue order, cover `0..total`; an item's
//! interval is as long as its weight. Selectors know neither names nor generators.
//!
//! Invariant: the total is at most [`TOTAL_WEIGHT_MAX`], so that no sum overflows and sums compare
//! as signed numbers.

mod fenwick;
mod prefix_sum;
mod sum_tree;
#[cfg(test)]
mod tests;

pub use fenwick::Fenwick;
pub use prefix_sum::PrefixSum;
pub use sum_tree::SumTree;

use crate::ids::ItemIndex;
use crate::limits::{ITEMS_MAX, TOTAL_WEIGHT_MAX};

/// How items are located. All kinds give the same item for the same number, so a log never
/// depends on the choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SelectorKind {
    /// The best known: [`SelectorKind::SumTree`].
    #[default]
    Auto,
    /// A Fenwick tree: O(log n) to locate and to change a weight.
    Fenwick,
    /// Prefix sums: O(log n) to locate, O(n) to change a weight. For small catalogues.
    PrefixSum,
    /// A tree of 16-way nodes of exclusive sums: O(log16 n), one or two cache lines a level.
    SumTree,
}

/// The weights of a catalogue, arranged to find the item at a number.
#[derive(Clone, Debug)]
pub enum Selector {
    /// See [`SelectorKind::Fenwick`].
    Fenwick(Fenwick),
    /// See [`SelectorKind::PrefixSum`].
    PrefixSum(PrefixSum),
    /// See [`SelectorKind::SumTree`].
    SumTree(SumTree),
}

impl Selector {
    /// Arranges the weights of a catalogue in O(n).
    ///
    /// # Panics
    /// Above [`ITEMS_MAX`] items, or if the weights add up to more than [`TOTAL_WEIGHT_MAX`].
    pub fn new(kind: SelectorKind, weights: impl ExactSizeIterator<Item = u64>) -> Self {
        assert!(weights.len() <= ITEMS_MAX, "a catalogue has at most ITEMS_MAX items");
        match kind {
            SelectorKind::Fenwick => Self::Fenwick(Fenwick::new(weights)),
            SelectorKind::PrefixSum => Self::PrefixSum(PrefixSum::new(weights)),
            SelectorKind::SumTree | SelectorKind::Auto => Self::SumTree(SumTree::new(weights)),
        }
    }

    /// How items are located; never [`SelectorKind::Auto`].
    pub const fn kind(&self) -> SelectorKind {
        match self {
            Self::Fenwick(_) => SelectorKind::Fenwick,
            Self::PrefixSum(_) => SelectorKind::PrefixSum,
            Self::SumTree(_) => SelectorKind::SumTree,
        }
    }

    /// The number of items, those without weight included.
    pub fn len(&self) -> usize {
        match self {
            Self::Fenwick(fenwick) => fenwick.len(),
            Self::PrefixSum(sums) => sums.len(),
            Self::SumTree(tree) => tree.len(),
        }
    }

    /// Whether there is no item at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of all weights, at most [`TOTAL_WEIGHT_MAX`].
    #[inline]
    pub fn total(&self) -> u64 {
        match self {
            Self::Fenwick(fenwick) => fenwick.total(),
            Self::PrefixSum(sums) => sums.total(),
            Self::SumTree(tree) => tree.total(),
        }
    }

    /// The weight of an item.
    ///
    /// # Panics
    /// If there is no such item.
    #[inline]
    pub fn weight(&self, item: ItemIndex) -> u64 {
        match self {
            Self::Fenwick(fenwick) => fenwick.weight(item),
            Self::PrefixSum(sums) => sums.weight(item),
            Self::SumTree(tree) => tree.weight(item),
        }
    }

    /// The item whose interval holds `r`. An item without weight is never found.
    ///
    /// # Panics
    /// If `r` is not below the total.
    #[inline]
    pub fn locate(&self, r: u64) -> ItemIndex {
        assert!(r < self.total(), "r is below the total");
        let index = match self {
            Self::Fenwick(fenwick) => fenwick.locate(r),
            Self::PrefixSum(sums) => sums.locate(r),
            Self::SumTree(tree) => tree.locate(r),
        };
        debug_assert!(index < self.len());
        let item = ItemIndex::from_usize(index).expect("ITEMS_MAX is below ItemIndex::MAX");
        debug_assert_ne!(self.weight(item), 0);
        item
    }

    /// The items whose intervals hold the numbers, as [`Selector::locate`] gives them. The numbers
    /// are of no use afterwards. Cheaper than one by one, since the reads of many descents wait for
    /// memory at the same time.
    ///
    /// # Panics
    /// If a number is not below the total, or if there are not as many items as numbers.
    #[inline]
    pub fn locate_each(&self, numbers: &mut [u64], items: &mut [ItemIndex]) {
        assert_eq!(numbers.len(), items.len(), "each number has a place for its item");
        if let Self::SumTree(tree) = self {
            let total = self.total();
            assert!(numbers.iter().all(|&r| r < total), "each r is below the total");
            return tree.locate_each(numbers, items);
        }
        for (&mut r, item) in numbers.iter_mut().zip(items) {
            *item = self.locate(r);
        }
    }

    /// Changes the weight of an item.
    ///
    /// # Panics
    /// If there is no such item, or if the total becomes more than [`TOTAL_WEIGHT_MAX`].
    #[inline]
    pub fn set(&mut self, item: ItemIndex, weight: u64) {
        match self {
            Self::Fenwick(fenwick) => fenwick.set(item, weight),
            Self::PrefixSum(sums) => sums.set(item, weight),
            Self::SumTree(tree) => tree.set(item, weight),
        }
        debug_assert_eq!(self.weight(item), weight);
    }

    /// Appends an item. Amortised as cheap as [`Selector::set`].
    ///
    /// # Panics
    /// Above [`ITEMS_MAX`] items, or if the total becomes more than [`TOTAL_WEIGHT_MAX`].
    pub fn push(&mut self, weight: u64) {
        assert!(self.len() < ITEMS_MAX, "a catalogue has at most ITEMS_MAX items");
        match self {
            Self::Fenwick(fenwick) => fenwick.push(weight),
            Self::PrefixSum(sums) => sums.push(weight),
            Self::SumTree(tree) => tree.push(weight),
        }
    }
}

/// The total after one more weight, checked.
#[inline]
fn grown(total: u64, weight: u64) -> u64 {
    assert!(total <= TOTAL_WEIGHT_MAX);
    assert!(weight <= TOTAL_WEIGHT_MAX - total, "the total is at most TOTAL_WEIGHT_MAX");
    total + weight
}
