//! The idempotency keys of one pool: what each key's draw gave, so that a retry gets it again.
//!
//! Keys expire by what is in the log alone (the times and counts of keyed draws), never by a clock,
//! so every replay holds the same keys. The oldest always goes first: the entries stand in the
//! order of their draws, and a table finds the number of an entry by its key's hash. Nothing ever
//! walks over that table, so its order is of no consequence.
use std::collections::VecDeque;
use std::slice;

use hashbrown::HashTable;

use crate::command::{KeyHash, KeyLimits};
use crate::digest::Digest;
use crate::ids::{Outcome, PoolNumber, RequestId};
use crate::record::KeyStamp;
use crate::violation::{Sum, Violation};

/// Outcomes of a keyed draw. Most draws have one, which needs no memory of its own.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcomes {
    One(Outcome),
    Many(Box<[Outcome]>),
}

impl Outcomes {
    fn as_slice(&self) -> &[Outcome] {
        match self {
            Self::One(outcome) => slice::from_ref(outcome),
            Self::Many(outcomes) => outcomes,
        }
    }
}

impl From<&[Outcome]> for Outcomes {
    fn from(outcomes: &[Outcome]) -> Self {
        match outcomes {
            [outcome] => Self::One(*outcome),
            outcomes => Self::Many(outcomes.into()),
        }
    }
}

/// One keyed draw.
#[derive(Clone, Debug)]
pub(crate) struct KeyedDraw {
    /// The key's hash and the fingerprint of what was asked for.
    pub(crate) stamp: KeyStamp,
    /// Id of the first draw.
    pub(crate) first_request_id: RequestId,
    /// Version of the catalogue that was in force.
    pub(crate) catalog_version: u64,
    /// When it was drawn, in milliseconds.
    pub(crate) time_ms: u64,
    outcomes: Outcomes,
}

const _: () = assert!(size_of::<KeyedDraw>() <= 64, "one cache line a key");

impl KeyedDraw {
    /// A keyed draw as it is kept.
    pub(crate) fn new(
        stamp: KeyStamp,
        first_request_id: RequestId,
        outcomes: &[Outcome],
        catalog_version: u64,
        time_ms: u64,
    ) -> Self {
        Self { stamp, first_request_id, catalog_version, time_ms, outcomes: outcomes.into() }
    }

    /// The outcome of each draw.
    pub(crate) fn outcomes(&self) -> &[Outcome] {
        self.outcomes.as_slice()
    }

    fn outcome_count(&self) -> u64 {
        u64::try_from(self.outcomes().len()).expect("a draw has few outcomes")
    }

    fn digest(&self) -> u64 {
        let key = u128::from_le_bytes(self.stamp.hash.0);
        let digest = Digest::new()
            .wide(key)
            .word(self.stamp.fingerprint)
            .word(self.first_request_id.number())
            .word(self.catalog_version)
            .word(self.time_ms);
        let outcomes = self.outcomes().iter();
        outcomes.fold(digest, |digest, &outcome| digest.outcome(outcome)).finish()
    }
}

/// The keys of one pool in the order of their draws.
///
/// Invariant: the entry with number `n` stands at place `n - first_number`, and `numbers` holds the
/// number of each entry exactly once.
#[derive(Clone, Debug)]
pub(crate) struct KeyTable {
    limits: KeyLimits,
    entries: VecDeque<KeyedDraw>,
    first_number: u64,
    numbers: HashTable<u64>,
    outcomes: u64,
    /// Sum of the entries' digests.
    summary: u64,
}

impl KeyTable {
    /// A table without keys.
    pub(crate) fn new(limits: KeyLimits) -> Self {
        Self {
            limits,
            entries: VecDeque::new(),
            first_number: 0,
            numbers: HashTable::new(),
            outcomes: 0,
            summary: 0,
        }
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> KeyLimits {
        self.limits
    }

    /// Whether the pool keeps keys at all.
    pub(crate) fn is_on(&self) -> bool {
        self.limits.keys_max > 0
    }

    /// The draw with this key, unless it expired.
    pub(crate) fn find(&self, hash: KeyHash) -> Option<&KeyedDraw> {
        let same = |&number: &u64| self.entry(number).stamp.hash == hash;
        self.numbers.find(bits(hash), same).map(|&number| self.entry(number))
    }

    /// Keeps a draw, then lets the oldest go until the table is within its bounds. The draw itself
    /// stays in any case. The key must be new.
    pub(crate) fn insert(&mut self, draw: KeyedDraw) {
        assert!(self.is_on(), "a pool without keys has no keyed draws");
        let now_ms = draw.time_ms;
        self.append(draw);
        while self.len() > 1 && self.is_oldest_due(now_ms) {
            self.forget_oldest();
        }
    }

    /// Keeps a draw without letting any go: for a table that is read back.
    pub(crate) fn append(&mut self, draw: KeyedDraw) {
        let hash = draw.stamp.hash;
        assert!(self.find(hash).is_none(), "a key is new when it is kept");
        let number = self.first_number + self.len();
        self.outcomes += draw.outcome_count();
        self.summary = self.summary.wrapping_add(draw.digest());
        self.entries.push_back(draw);
        let (entries, first_number) = (&self.entries, self.first_number);
        self.numbers.insert_unique(bits(hash), number, |&number| {
            bits(entries[place(number, first_number)].stamp.hash)
        });
    }

    /// Makes the summary wrong.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self) {
        self.summary ^= 1;
    }

    fn is_oldest_due(&self, now_ms: u64) -> bool {
        self.len() > self.limits.keys_max
            || self.outcomes > self.limits.outcomes_max
            || self.entries.front().is_some_and(|oldest| self.is_late(oldest, now_ms))
    }

    fn is_late(&self, draw: &KeyedDraw, now_ms: u64) -> bool {
        draw.time_ms.saturating_add(self.limits.window_ms) < now_ms
    }

    fn forget_oldest(&mut self) {
        let oldest = self.entries.pop_front().expect("the table has more than one key");
        let number = self.first_number;
        let found = self.numbers.find_entry(bits(oldest.stamp.hash), |&other| other == number);
        found.expect("each entry's number is in the table").remove();
        self.first_number += 1;
        self.outcomes -= oldest.outcome_count();
        self.summary = self.summary.wrapping_sub(oldest.digest());
    }

    /// The draws from the oldest to the newest.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &KeyedDraw> {
        self.entries.iter()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u64 {
        u64::try_from(self.entries.len()).expect("a length fits 64 bits")
    }

    /// Outcomes over all keys.
    pub(crate) fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// A digest of the whole table, kept up to date with each change.
    pub(crate) fn summary(&self) -> u64 {
        Digest::new().word(self.len()).word(self.outcomes).word(self.summary).finish()
    }

    /// Whether the bounds hold. `insert` sees to it; a table that was read back has to prove it.
    pub(crate) fn is_within_limits(&self) -> bool {
        let newest_ms = self.entries.back().map_or(0, |newest| newest.time_ms);
        match self.len() {
            0 => true,
            1 => self.is_on(),
            _ => !self.is_oldest_due(newest_ms),
        }
    }

    /// Counts everything again.
    pub(crate) fn check(&self, pool: PoolNumber) -> Result<(), Violation> {
        let sum = |sum, kept: u64, counted: u64| {
            let (kept, counted) = (u128::from(kept), u128::from(counted));
            if kept == counted { Ok(()) } else { Err(Violation::Sum { pool, sum, kept, counted }) }
        };
        let found = |draw: &&KeyedDraw| {
            self.find(draw.stamp.hash).is_some_and(|found| std::ptr::eq(found, *draw))
        };
        let findable = u64::try_from(self.iter().filter(found).count());
        sum(Sum::Keys, self.len(), findable.expect("a count fits 64 bits"))?;
        let numbers = u64::try_from(self.numbers.len()).expect("a length fits 64 bits");
        sum(Sum::Keys, self.len(), numbers)?;
        sum(Sum::KeyOutcomes, self.outcomes, self.iter().map(KeyedDraw::outcome_count).sum())?;
        let digests = self.iter().map(KeyedDraw::digest);
        sum(Sum::KeySummary, self.summary, digests.fold(0, u64::wrapping_add))
    }

    fn entry(&self, number: u64) -> &KeyedDraw {
        &self.entries[place(number, self.first_number)]
    }
}

fn place(number: u64, first_number: u64) -> usize {
    usize::try_from(number - first_number).expect("the table holds numbers of entries")
}

/// The key's hash is a piece of a SHA-256 already; its first eight bytes spread well enough.
fn bits(hash: KeyHash) -> u64 {
    let (bits, _rest) = hash.0.split_first_chunk().expect("16 bytes hold 8");
    u64::from_le_bytes(*bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ItemIndex;

    const POOL: PoolNumber = PoolNumber(0);

    fn hash(number: u64) -> KeyHash {
        KeyHash::of(&number.to_le_bytes()).unwrap()
    }

    fn draw(number: u64, time_ms: u64, count: usize) -> KeyedDraw {
        let stamp = KeyStamp { hash: hash(number), fingerprint: number };
        let outcomes = vec![Outcome::award(ItemIndex::new(3).unwrap()); count];
        KeyedDraw::new(stamp, RequestId::new(number + 1).unwrap(), &outcomes, 1, time_ms)
    }

    fn table(window_ms: u64, keys_max: u64, outcomes_max: u64) -> KeyTable {
        KeyTable::new(KeyLimits { window_ms, keys_max, outcomes_max })
    }

    /// The numbers below `end` whose keys are known.
    fn known(table: &KeyTable, end: u64) -> Vec<u64> {
        table.check(POOL).unwrap();
        assert!(table.is_within_limits());
        (0..end).filter(|&number| table.find(hash(number)).is_some()).collect()
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut table = table(1_000_000, 3, 1_000_000);
        for number in 0..1000 {
            table.insert(draw(number, number, 1));
        }
        assert_eq!(known(&table, 1000), [997, 998, 999]);
        assert_eq!(table.find(hash(998)).unwrap().first_request_id.number(), 999);
    }

    #[test]
    fn the_oldest_go_when_they_hold_too_many_outcomes() {
        let mut table = table(1_000_000, 100, 10);
        table.insert(draw(0, 0, 4));
        table.insert(draw(1, 0, 1));
        table.insert(draw(2, 0, 5));
        assert_eq!(known(&table, 9), [0, 1, 2]);
        table.insert(draw(3, 0, 2));
        assert_eq!(known(&table, 9), [1, 2, 3]);
        table.insert(draw(4, 0, 50));
        assert_eq!(known(&table, 9), [4], "the newest stays whatever it holds");
        assert_eq!(table.find(hash(4)).unwrap().outcomes().len(), 50);
    }

    #[test]
    fn the_oldest_go_after_the_window_and_not_at_its_end() {
        let mut table = table(100, 100, 100);
        table.insert(draw(0, 1000, 1));
        table.insert(draw(1, 1001, 1));
        table.insert(draw(2, 1100, 1));
        assert_eq!(known(&table, 9), [0, 1, 2]);
        table.insert(draw(3, 1101, 1));
        assert_eq!(known(&table, 9), [1, 2, 3]);
        table.insert(draw(4, u64::MAX, 1));
        assert_eq!(known(&table, 9), [4]);
    }

    #[test]
    fn a_window_without_end_never_closes() {
        let mut table = table(u64::MAX, 100, 100);
        table.insert(draw(0, 5, 1));
        table.insert(draw(1, u64::MAX, 1));
        assert_eq!(known(&table, 9), [0, 1]);
    }

    #[test]
    fn the_summary_depends_on_what_is_kept_and_on_nothing_else() {
        let mut long = table(10, 5, 50);
        for number in 0..40 {
            long.insert(draw(number, number, 1 + usize::try_from(number % 3).unwrap()));
        }
        let mut short = table(10, 5, 50);
        let kept: Vec<KeyedDraw> = long.iter().cloned().collect();
        for draw in kept {
            short.append(draw);
        }
        assert_eq!(long.summary(), short.summary());
        short.insert(draw(99, 40, 1));
        assert_ne!(long.summary(), short.summary());
    }
}
