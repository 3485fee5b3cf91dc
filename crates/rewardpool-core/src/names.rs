//! Which number has which name: of pools, and of the items of each pool.
//!
//! Numbers are given in order and never change, so a list of names only ever grows. Answers carry
//! numbers and a cheap clone of the list; only the edge turns them into text.
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::ids::{ItemIndex, PoolNumber};
use crate::name::{ItemId, PoolId};

const CHUNK: usize = 1024;

/// The names of a pool's items in catalogue order. A clone shares them; appending to a list that
/// is shared copies one chunk and the list of chunks, never all names.
#[derive(Clone, Debug, Default)]
#[expect(clippy::rc_buffer, reason = "chunks grow in place while nobody else holds them")]
pub struct ItemNames {
    chunks: Arc<Vec<Arc<Vec<ItemId>>>>,
}

impl ItemNames {
    /// How many items there are.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The name of an item.
    pub fn get(&self, item: ItemIndex) -> Option<&ItemId> {
        let index = item.as_usize();
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    fn push(&mut self, id: ItemId) {
        let chunks = Arc::make_mut(&mut self.chunks);
        if chunks.last().is_none_or(|last| last.len() == CHUNK) {
            chunks.push(Arc::default());
        }
        let last = chunks.last_mut().expect("a chunk with room was made sure of");
        Arc::make_mut(last).push(id);
    }
}

/// The names of one pool and of its items, in both directions.
#[derive(Clone, Debug)]
pub struct PoolNames {
    id: PoolId,
    items: ItemNames,
    by_name: HashTable<u32>,
    item_bytes_max: usize,
}

impl PoolNames {
    fn new(id: PoolId) -> Self {
        Self { id, items: ItemNames::default(), by_name: HashTable::new(), item_bytes_max: 0 }
    }

    /// The pool's name.
    pub fn id(&self) -> &PoolId {
        &self.id
    }

    /// The names of its items.
    pub fn items(&self) -> &ItemNames {
        &self.items
    }

    /// The item of this name.
    pub fn find(&self, name: &str) -> Option<ItemIndex> {
        let same = |&index: &u32| self.name_at(index) == name;
        self.by_name.find(hash(name), same).copied().and_then(ItemIndex::new)
    }

    /// Bytes of the longest name, which bounds the size of a text record.
    pub fn item_bytes_max(&self) -> usize {
        self.item_bytes_max
    }

    /// Appends an item. The name must be new.
    pub fn push(&mut self, id: ItemId) {
        let index = ItemIndex::from_usize(self.items.len()).expect("a catalogue is bounded");
        assert!(self.find(id.as_str()).is_none(), "an item's name is unique in its pool");
        self.item_bytes_max = self.item_bytes_max.max(id.as_str().len());
        let hash_of_id = hash(id.as_str());
        self.items.push(id);
        let items = &self.items;
        let rehash = |&index: &u32| {
            let item = ItemIndex::new(index).and_then(|item| items.get(item));
            hash(item.expect("the table holds indexes of the list").as_str())
        };
        self.by_name.insert_unique(hash_of_id, index.number(), rehash);
    }

    /// Makes room for so many more items.
    pub fn reserve(&mut self, additional: usize) {
        let items = &self.items;
        self.by_name.reserve(additional, |&index| {
            let item = ItemIndex::new(index).and_then(|item| items.get(item));
            hash(item.expect("the table holds indexes of the list").as_str())
        });
    }

    fn name_at(&self, index: u32) -> &str {
        let item = ItemIndex::new(index).and_then(|item| self.items.get(item));
        item.expect("the table holds indexes of the list").as_str()
    }
}

/// Item names are chosen by administrators, so a hasher with fixed keys is enough.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The names of all pools.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pools: Vec<PoolNames>,
    by_id: BTreeMap<PoolId, PoolNumber>,
}

impl Names {
    /// All pools, in the order of their numbers.
    pub fn pools(&self) -> &[PoolNames] {
        &self.pools
    }

    /// The names of one pool.
    pub fn pool(&self, pool: PoolNumber) -> Option<&PoolNames> {
        self.pools.get(pool.as_usize())
    }

    /// The names of one pool, to append an item.
    pub fn pool_mut(&mut self, pool: PoolNumber) -> Option<&mut PoolNames> {
        self.pools.get_mut(pool.as_usize())
    }

    /// The pool of this name.
    pub fn find(&self, name: &str) -> Option<PoolNumber> {
        self.by_id.get(name).copied()
    }

    /// Appends a pool without items. The name must be new.
    pub fn push(&mut self, id: PoolId) -> PoolNumber {
        let number = u32::try_from(self.pools.len()).expect("the list of pools is bounded");
        let previous = self.by_id.insert(id.clone(), PoolNumber(number));
        assert!(previous.is_none(), "a pool's name is unique in its log");
        self.pools.push(PoolNames::new(id));
        PoolNumber(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_over_many_chunks() {
        let mut names = Names::default();
        let pool = names.push(PoolId::new("p").unwrap());
        let pool_names = names.pool_mut(pool).unwrap();
        let before = pool_names.items().clone();
        for number in 0..5000_u32 {
            pool_names.push(ItemId::new(&format!("item-{number}")).unwrap());
        }
        assert!(before.is_empty(), "a clone keeps what it saw");
        let pool_names = names.pool(pool).unwrap();
        assert_eq!(pool_names.items().len(), 5000);
        for number in 0..5000_u32 {
            let item = pool_names.find(&format!("item-{number}")).unwrap();
            assert_eq!(item.number(), number);
            let name = pool_names.items().get(item).unwrap();
            assert_eq!(name.as_str(), format!("item-{number}"));
        }
        assert_eq!(pool_names.find("item-5000"), None);
        assert_eq!(names.find("p"), Some(pool));
        assert_eq!(names.find("q"), None);
    }
}
