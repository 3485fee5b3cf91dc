//! Where things stand in a log.
use std::collections::HashMap;

use rewardpool_core::command::{KeyHash, KeyLimits};
use rewardpool_core::ids::{Outcome, PoolNumber};

use crate::log::{Change, Draw, Log};

/// A log with what is needed to find things in it.
pub(super) struct Index<'l> {
    pub(super) log: &'l Log,
    pools: Vec<&'l str>,
    numbers: HashMap<&'l str, PoolNumber>,
    items: Vec<Vec<&'l str>>,
    by_first: HashMap<u64, usize>,
    by_key: HashMap<(PoolNumber, KeyHash), Vec<usize>>,
    by_reason: HashMap<&'l str, Vec<usize>>,
    /// For each keyed draw, how many keyed draws and outcomes of its pool precede it.
    keyed: HashMap<usize, (u64, u64)>,
    /// The same at the end of the log.
    totals: HashMap<PoolNumber, (u64, u64)>,
    limits: Vec<KeyLimits>,
}

impl<'l> Index<'l> {
    pub(super) fn new(log: &'l Log) -> Self {
        let mut index = Self {
            log,
            pools: Vec::new(),
            numbers: HashMap::new(),
            items: Vec::new(),
            by_first: HashMap::new(),
            by_key: HashMap::new(),
            by_reason: HashMap::new(),
            keyed: HashMap::new(),
            totals: HashMap::new(),
            limits: Vec::new(),
        };
        for pool in &log.base.pools {
            let items = pool.items.iter().map(|item| item.name.as_str());
            index.push_pool(&pool.name, items, pool.keys);
        }
        for (place, entry) in log.entries.iter().enumerate() {
            let reason = match &entry.change {
                Change::PoolCreated(created) => {
                    let items = created.catalog.items().iter();
                    let items = items.map(|item| item.id.as_str());
                    index.push_pool(created.id.as_str(), items, created.keys);
                    continue;
                }
                Change::Draw(draw) => {
                    index.by_first.entry(draw.first_request_id).or_insert(place);
                    if let Some(key) = draw.key {
                        let count = index.totals.entry(draw.pool).or_default();
                        index.keyed.insert(place, *count);
                        count.0 += 1;
                        count.1 += draw.outcomes.len() as u64;
                        index.by_key.entry((draw.pool, key.hash)).or_default().push(place);
                    }
                    continue;
                }
                Change::ItemAdded(added) => {
                    if let Some(items) = index.items.get_mut(added.pool.as_usize()) {
                        items.push(added.item.id.as_str());
                    }
                    added.note.reason()
                }
                Change::Update(update) => update.note.reason(),
                Change::ItemRetired(retired) => retired.note.reason(),
                Change::PoolStateChanged(changed) => changed.note.reason(),
                Change::Snapshot(_) | Change::Closed | Change::Nothing => continue,
            };
            index.by_reason.entry(reason).or_default().push(place);
        }
        index
    }

    fn push_pool(
        &mut self,
        name: &'l str,
        items: impl Iterator<Item = &'l str>,
        limits: KeyLimits,
    ) {
        let number = u32::try_from(self.pools.len()).expect("the list of pools is bounded");
        self.pools.push(name);
        self.numbers.insert(name, PoolNumber(number));
        self.items.push(items.collect());
        self.limits.push(limits);
    }

    /// The pool that a request means by this name.
    pub(super) fn pool(&self, name: &str) -> Option<PoolNumber> {
        match (name, self.pools.len()) {
            ("", 1) => Some(PoolNumber(0)),
            ("", _) => self.numbers.get("default").copied(),
            _ => self.numbers.get(name).copied(),
        }
    }

    pub(super) fn pools(&self) -> &[&'l str] {
        &self.pools
    }

    /// Names of a pool's items, at the end of the log.
    pub(super) fn items(&self, pool: PoolNumber) -> &[&'l str] {
        self.items.get(pool.as_usize()).map_or(&[], Vec::as_slice)
    }

    /// The name of an outcome; `None` for empty, and for an item that the pool does not have.
    pub(super) fn item(&self, pool: PoolNumber, outcome: Outcome) -> Option<&'l str> {
        self.items(pool).get(outcome.item()?.as_usize()).copied()
    }

    /// The draw at a place of the entries.
    pub(super) fn draw(&self, place: usize) -> (&'l Draw, u64) {
        let entry = &self.log.entries[place];
        let Change::Draw(draw) = &entry.change else {
            unreachable!("only places of draws are indexed as draws")
        };
        (draw, entry.lsn)
    }

    /// Where the draw that begins with this request id stands.
    pub(super) fn first(&self, request_id: u64) -> Option<usize> {
        self.by_first.get(&request_id).copied()
    }

    /// Where the draws with a key stand.
    pub(super) fn keyed(&self, pool: PoolNumber, key: &str) -> &[usize] {
        let hash = KeyHash::of(key.as_bytes());
        hash.and_then(|hash| self.by_key.get(&(pool, hash))).map_or(&[], Vec::as_slice)
    }

    /// All changes, by the reason that stands in the log.
    pub(super) fn changes(&self) -> impl Iterator<Item = (&'l str, &[usize])> {
        self.by_reason.iter().map(|(&reason, places)| (reason, places.as_slice()))
    }

    /// Where the changes with a reason stand.
    pub(super) fn change(&self, reason: &str) -> &[usize] {
        self.by_reason.get(reason).map_or(&[], Vec::as_slice)
    }

    /// Whether a key that was drawn at one place may have been forgotten at a later one; without a
    /// later one, by the end of the log.
    pub(super) fn may_have_expired(&self, earlier: usize, later: Option<usize>) -> bool {
        let (draw, _) = self.draw(earlier);
        let Some(limits) = self.limits.get(draw.pool.as_usize()) else { return false };
        let before = self.keyed.get(&earlier).copied().unwrap_or_default();
        let entries = &self.log.entries;
        let (after, time_ms) = match later {
            Some(later) => (self.keyed.get(&later).copied(), entries[later].time_ms),
            None => (
                self.totals.get(&draw.pool).copied(),
                entries.last().map_or(0, |entry| entry.time_ms),
            ),
        };
        let after = after.unwrap_or_default();
        after.0.saturating_sub(before.0) >= limits.keys_max
            || after.1.saturating_sub(before.1) >= limits.outcomes_max
            || time_ms.saturating_sub(entries[earlier].time_ms) > limits.window_ms
    }
}
