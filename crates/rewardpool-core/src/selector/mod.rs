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
