//! A 16-ary tree of sums: a step down is one comparison of 16 sums with the number.
//!
//! Each node holds, for each of its 16 children, the sum of the weights of the children before it
//! (an exclusive sum). The first is always 0 and the sum after the last is the node's own weight,
//! which the parent knows. So the count of sums that are not above `r`, minus one, is the child:
//! always in 0..16, and never one without weight, because its successor has the same sum.
//! Children that do not exist yet are children without weight.
//!
//! The loops are written for the compiler to turn into vector instructions, once for any processor
//! and once for AVX2, chosen when the tree is built.

use super::grown;
use crate::ids::ItemIndex;
use crate::limits::ITEMS_MAX;

/// Children of a node.
const FANOUT: usize = 16;
/// Levels of a tree with [`ITEMS_MAX`] items.
const LEVELS_MAX: usize = 6;

const _: () = assert!(ITEMS_MAX <= 1 << (FANOUT.ilog2() as usize * LEVELS_MAX));
const _: () = assert!(size_of::<Node>() == 128);

/// All bits set for the places after a child: 16 entries, the first of them at 15 - child.
///
/// Loaded as a mask, which beats comparing places on any processor.
static AFTER: [u64; 2 * FANOUT - 1] = {
    let mut masks = [0; 2 * FANOUT - 1];
    let mut place = FANOUT;
    while place < masks.len() {
        masks[place] = u64::MAX;
        place += 1;
    }
    masks
};

/// Exclusive sums of the children.
///
/// Invariant: starts with 0, never falls.
#[derive(Clone, Debug)]
#[repr(align(128))]
struct Node([u64; FANOUT]);

impl Node {
    const EMPTY: Self = Self([0; FANOUT]);
}

/// Weights as a 16-ary tree of sums.
#[derive(Clone, Debug)]
pub struct SumTree {
    /// Leaves first.
    ///
    /// Invariant: the first `depth` levels have nodes, the last of them has one, the others none.
    levels: [Vec<Node>; LEVELS_MAX],
    depth: usize,
    len: usize,
    total: u64,
    instructions: Instructions,
}

impl SumTree {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u64>) -> Self {
        let len = weights.len();
        let mut levels = [const { Vec::new() }; LEVELS_MAX];
        let mut weights = build_level(&mut levels[0], weights);
        let mut depth = 1;
        while weights.len() > 1 {
            weights = build_level(&mut levels[depth], weights.into_iter());
            depth += 1;
        }
        assert_eq!(levels[depth - 1].len(), 1);
        Self { levels, depth, len, total: weights[0], instructions: Instructions::detect() }
    }

    /// The tree as it is on a processor without vector instructions of interest.
    #[cfg(test)]
    pub(super) fn new_portable(weights: impl ExactSizeIterator<Item = u64>) -> Self {
        Self { instructions: Instructions::Portable, ..Self::new(weights) }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    #[inline]
    pub(super) fn weight(&self, item: ItemIndex) -> u64 {
        let mut index = item.as_usize();
        assert!(index < self.len, "the item is in the catalogue");
        // The weight of a last child ends where its node ends, which is one level up.
        let mut before = 0;
        for level in &self.levels[..self.depth] {
            let sums = &level[index / FANOUT].0;
            let child = index % FANOUT;
            before += sums[child];
            if let Some(end) = sums.get(child + 1) {
                return end - before;
            }
            index /= FANOUT;
        }
        self.total - before
    }

    /// Precondition: `r` is below the total.
    #[inline]
    pub(super) fn locate(&self, r: u64) -> usize {
        let levels = &self.levels[..self.depth];
        match self.instructions {
            Instructions::Portable => descend_portable(levels, r),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::detect` found AVX2 on this processor.
            Instructions::Avx2 => unsafe { descend_avx2(levels, r) },
        }
    }

    /// Precondition: each number is below the total, and there are as many items.
    #[inline]
    pub(super) fn locate_each(&self, numbers: &mut [u64], items: &mut [ItemIndex]) {
        let levels = &self.levels[..self.depth];
        match self.instructions {
            Instructions::Portable => descend_each_portable(levels, numbers, items),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::detect` found AVX2 on this processor.
            Instructions::Avx2 => unsafe { descend_each_avx2(levels, numbers, items) },
        }
    }

    #[inline]
    pub(super) fn set(&mut self, item: ItemIndex, weight: u64) {
        let old = self.weight(item);
        self.total = grown(self.total - old, weight);
        self.add(item.as_usize(), weight.wrapping_sub(old));
    }

    pub(super) fn push(&mut self, weight: u64) {
        let total = grown(self.total, weight);
        let index = self.len;
        if index.is_multiple_of(FANOUT) && index > 0 {
            self.grow();
        }
        self.len += 1;
        self.total = total;
        self.add(index, weight);
        assert_eq!(self.levels[0].len(), self.len.div_ceil(FANOUT));
        assert_eq!(self.levels[self.depth - 1].len(), 1);
    }

    /// Adds a leaf, and with it a node on each level that is full.
    #[cold]
    fn grow(&mut self) {
        for level in 0..LEVELS_MAX {
            if level == self.depth {
                // The old root is the new one's only child until now.
                let mut root = [self.total; FANOUT];
                root[0] = 0;
                self.levels[level].push(Node(root));
                self.depth += 1;
                return;
            }
            let nodes = &mut self.levels[level];
            let was_full = nodes.len().is_multiple_of(FANOUT);
            nodes.push(Node::EMPTY);
            if !was_full && level + 1 < self.depth {
                return;
            }
        }
    }

    /// Adds a difference, modulo 2^64, to the weight of an item.
    #[inline]
    fn add(&mut self, index: usize, delta: u64) {
        let levels = &mut self.levels[..self.depth];
        match self.instructions {
            Instructions::Portable => add_portable(levels, index, delta),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Instructions::detect` found AVX2 on this processor.
            Instructions::Avx2 => unsafe { add_avx2(levels, index, delta) },
        }
    }
}

/// Sums the weights of each 16 children into a node, and gives the weights of the nodes.
///
/// There is always a node, if only an empty one.
fn build_level(nodes: &mut Vec<Node>, weights: impl ExactSizeIterator<Item = u64>) -> Vec<u64> {
    let mut weights = weights;
    let count = weights.len().div_ceil(FANOUT).max(1);
    nodes.reserve_exact(count);
    let mut node_weights = Vec::with_capacity(count);
    let mut total = 0;
    for _ in 0..count {
        let mut node_weight = 0_u64;
        let mut node = Node::EMPTY;
        for sum in &mut node.0 {
            *sum = node_weight;
            if let Some(weight) = weights.next() {
                total = grown(total, weight);
                node_weight += weight;
            }
        }
        nodes.push(node);
        node_weights.push(node_weight);
    }
    node_weights
}

/// Which instructions the loops are compiled to.
#[derive(Clone, Copy, Debug)]
enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Instructions {
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Portable
    }
}

/// Finds the index of the item that holds `r`.
#[expect(clippy::inline_always, reason = "compiled into each caller with its instructions")]
#[inline(always)]
fn descend(levels: &[Vec<Node>], r: u64) -> usize {
    let mut rest = r;
    let mut index = 0;
    for level in levels.iter().rev() {
        (index, rest) = step(level, index, rest);
    }
    index
}

/// Finds the items that hold the numbers, all of them one level down at a time.
#[expect(clippy::inline_always, reason = "compiled into each caller with its instructions")]
#[inline(always)]
fn descend_each(levels: &[Vec<Node>], numbers: &mut [u64], items: &mut [ItemIndex]) {
    let mut levels = levels.iter().rev();
    if let Some(root) = levels.next() {
        for (rest, item) in numbers.iter_mut().zip(&mut *items) {
            let index;
            (index, *rest) = step(root, 0, *rest);
            *item = ItemIndex::from_usize(index).expect("ITEMS_MAX is below ItemIndex::MAX");
        }
    }
    for level in levels {
        for (rest, item) in numbers.iter_mut().zip(&mut *items) {
            let index;
            (index, *rest) = step(level, item.as_usize(), *rest);
            *item = ItemIndex::from_usize(index).expect("ITEMS_MAX is below ItemIndex::MAX");
        }
    }
}

/// One level down: the child of a node that holds the rest of a number, and what rests of it there.
#[expect(clippy::inline_always, reason = "compiled into each caller with its instructions")]
#[inline(always)]
fn step(level: &[Node], index: usize, rest: u64) -> (usize, u64) {
    let sums = &level[index].0;
    // The count is at least 1, as the first sum is 0.
    let child = place(count_not_above(sums, rest).wrapping_sub(1));
    (index.wrapping_mul(FANOUT).wrapping_add(child), rest.wrapping_sub(sums[child]))
}

/// The remainder, which changes nothing, spares bounds checks.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below FANOUT")]
#[inline]
fn place(child: u64) -> usize {
    (child % FANOUT as u64) as usize
}

/// Counts the sums that are not above a number.
#[expect(clippy::inline_always, reason = "compiled into each caller with its instructions")]
#[inline(always)]
fn count_not_above(sums: &[u64; FANOUT], number: u64) -> u64 {
    // As both are below 2^63, the top bit of `sum - number - 1` tells. Written as a comparison, this
    // compiles to a long gathering of single bits and takes 2.5 times as long.
    let minus_number_minus_one = !number;
    let (quarters, _) = sums.as_chunks::<4>();
    let mut counts = [0_u64; 4];
    for quarter in quarters {
        for (count, &sum) in counts.iter_mut().zip(quarter) {
            *count = count.wrapping_add(sum.wrapping_add(minus_number_minus_one) >> 63);
        }
    }
    counts.iter().fold(0, |all, &count| all.wrapping_add(count))
}

/// Adds a difference, modulo 2^64, to all sums that hold the item.
#[expect(clippy::inline_always, reason = "compiled into each caller with its instructions")]
#[inline(always)]
fn add(levels: &mut [Vec<Node>], index: usize, delta: u64) {
    let mut index = index;
    for level in levels {
        let after = &AFTER[FANOUT - 1 - index % FANOUT..][..FANOUT];
        index /= FANOUT;
        let node = &mut level[index];
        // A copy: the compiler cannot see that the masks do not change as the sums are stored.
        let mut sums = node.0;
        for (sum, mask) in sums.iter_mut().zip(after) {
            *sum = sum.wrapping_add(delta & mask);
        }
        node.0 = sums;
    }
}

#[inline(never)]
fn descend_portable(levels: &[Vec<Node>], r: u64) -> usize {
    descend(levels, r)
}

#[inline(never)]
fn descend_each_portable(levels: &[Vec<Node>], numbers: &mut [u64], items: &mut [ItemIndex]) {
    descend_each(levels, numbers, items);
}

#[inline(never)]
fn add_portable(levels: &mut [Vec<Node>], index: usize, delta: u64) {
    add(levels, index, delta);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn descend_avx2(levels: &[Vec<Node>], r: u64) -> usize {
    descend(levels, r)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn descend_each_avx2(levels: &[Vec<Node>], numbers: &mut [u64], items: &mut [ItemIndex]) {
    descend_each(levels, numbers, items);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn add_avx2(levels: &mut [Vec<Node>], index: usize, delta: u64) {
    add(levels, index, delta);
}
