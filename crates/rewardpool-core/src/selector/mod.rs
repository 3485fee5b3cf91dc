//! Weighted choice: which item's interval holds a number.

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

/// Stub: a Fenwick tree.
#[derive(Clone, Debug)]
pub struct Selector {
    weights: Vec<u64>,
    tree: Vec<u64>,
    total: u64,
}

impl Selector {
    /// Builds from all weights.
    pub fn new(_kind: SelectorKind, weights: impl ExactSizeIterator<Item = u64>) -> Self {
        let weights: Vec<u64> = weights.collect();
        let mut tree = weights.clone();
        for i in 1..=tree.len() {
            let up = i + (i & i.wrapping_neg());
            if up <= tree.len() {
                tree[up - 1] += tree[i - 1];
            }
        }
        let total = weights.iter().sum();
        Self { weights, tree, total }
    }

    /// Sum of the weights.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The weight of an item.
    pub fn weight(&self, item: crate::ids::ItemIndex) -> u64 {
        self.weights[item.as_usize()]
    }

    /// The item whose interval holds `r`.
    pub fn locate(&self, mut r: u64) -> crate::ids::ItemIndex {
        let mut at = 0;
        let mut step = self.tree.len().next_power_of_two();
        while step > 0 {
            if at + step <= self.tree.len() && self.tree[at + step - 1] <= r {
                at += step;
                r -= self.tree[at - 1];
            }
            step /= 2;
        }
        crate::ids::ItemIndex::from_usize(at).expect("an item")
    }

    /// Sets the weight of an item.
    pub fn set(&mut self, item: crate::ids::ItemIndex, weight: u64) {
        let old = std::mem::replace(&mut self.weights[item.as_usize()], weight);
        self.total = self.total - old + weight;
        let mut i = item.as_usize() + 1;
        while i <= self.tree.len() {
            self.tree[i - 1] = self.tree[i - 1] - old + weight;
            i += i & i.wrapping_neg();
        }
    }

    /// Appends an item.
    pub fn push(&mut self, weight: u64) {
        self.weights.push(weight);
        *self = Self::new(SelectorKind::Auto, self.weights.clone().into_iter());
    }
}
