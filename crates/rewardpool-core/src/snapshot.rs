//! The whole state as bytes, and back.
//!
//! The same state always gives the same bytes, and only those bytes give it back: numbers are
//! written in their shortest form and every derived value is compared. Nothing is believed: a count
//! never reserves more than the bytes that follow can hold, each number is checked against its
//! range, and the state counts itself again before it is handed out.
//!
//! Layout (`number` is a little-endian base-128 varint, `text` a length byte and UTF-8):
//!
//! ```text
//! state: version byte, last lsn, last request id, time, count of pools (numbers), pools,
//!        digest (8 bytes, little-endian)
//! pool:  name (text), status byte, selector byte, commitment (32 bytes),
//!        window, keys max, outcomes max, catalogue version, awards, empties, count of items
//!        (numbers), items, SHA-256 of the catalogue, count of keys (number), keys
//! item:  name (text), flags byte (1 retired, 2 unlimited), weight, awarded and, unless it is
//!        unlimited, quantity and granted (numbers)
//! key:   hash (16 bytes), fingerprint, first request id, catalogue version, time, count of
//!        outcomes (numbers), outcomes (numbers: 0 for empty, else the item's place plus 1)
//! ```
use rewardpool_mutant::{Mutant, is_on};
use sha2::{Digest as _, Sha256};

use crate::command::{KeyHash, KeyLimits, PoolStatus};
use crate::ids::{ItemIndex, Outcome, PoolNumber, RequestId};
use crate::keys::KeyedDraw;
use crate::limits::{
    DRAW_COUNT_MAX, ITEMS_MAX, NAME_BYTES_MAX, POOLS_MAX, QUANTITY_MAX, REQUEST_ID_MAX,
    TOTAL_WEIGHT_MAX,
};
use crate::name::{ItemId, NameError, PoolId};
use crate::names::{ItemNames, PoolNames};
use crate::pool::{Charter, Counters, Item, Pool};
use crate::record::KeyStamp;
use crate::selector::SelectorKind;
use crate::state::State;
use crate::violation::Violation;

const VERSION: u8 = 1;
const FLAG_RETIRED: u8 = 1;
const FLAG_UNLIMITED: u8 = 2;

/// Bytes that the smallest pool, item, key and outcome take: what a count is checked against.
const POOL_BYTES_MIN: usize = 2 + 2 + 32 + 7 + ITEM_BYTES_MIN + 32 + 1;
const ITEM_BYTES_MIN: usize = 2 + 1 + 2;
const KEY_BYTES_MIN: usize = 16 + 5 + OUTCOME_BYTES_MIN;
const OUTCOME_BYTES_MIN: usize = 1;

/// Why bytes are not a state.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes were written by another version of this software.
    #[error("the state has format version {0}, this software reads version {VERSION}")]
    Version(u8),
    /// The bytes end too early.
    #[error("the state ends at byte {offset}, within {what}")]
    Truncated {
        /// What was to be read.
        what: &'static str,
        /// Where it begins.
        offset: usize,
    },
    /// Something follows where the state ends.
    #[error("the state ends at byte {offset}, but more bytes follow")]
    Trailing {
        /// Where the state ends.
        offset: usize,
    },
    /// A number is not in its range, or not in its shortest form.
    #[error("{what} is out of range, before byte {offset}")]
    Range {
        /// What was read.
        what: &'static str,
        /// Where it ends.
        offset: usize,
    },
    /// A text is not a name.
    #[error("not a name, before byte {offset}: {source}")]
    Name {
        /// Where it ends.
        offset: usize,
        /// Why it is not a name.
        source: NameError,
    },
    /// Two pools, or two items of a pool, have the same name.
    #[error("the name {name:?} stands twice, before byte {offset}")]
    DuplicateName {
        /// The name.
        name: Box<str>,
        /// Where it stands the second time.
        offset: usize,
    },
    /// The items of a pool do not have the hash that stands beside them.
    #[error("the catalogue of the pool {pool:?} does not have the SHA-256 that is stored with it")]
    CatalogHash {
        /// The pool.
        pool: PoolId,
    },
    /// The bytes are in order, but the state contradicts itself.
    #[error(transparent)]
    State(#[from] Violation),
}

impl State {
    /// Appends the whole state as bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    /// SHA-256 of the encoded state, without the memory for it.
    pub fn state_hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        self.write(&mut hash);
        hash.finalize().into()
    }

    /// Reads a state back and checks all of it.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut input = Input { bytes, offset: 0 };
        let version = input.byte("the version")?;
        if version != VERSION {
            return Err(SnapshotError::Version(version));
        }
        let mut state = Self::new();
        state.last_lsn = input.number("the last lsn")?;
        state.last_request_id = input.number_to("the last request id", REQUEST_ID_MAX)?;
        state.time_ms = input.number("the time")?;
        let pools = input.count("the count of pools", POOLS_MAX, POOL_BYTES_MIN)?;
        for place in 0..pools {
            let number = u32::try_from(place).expect("the count of pools is bounded");
            read_pool(&mut input, &mut state, PoolNumber(number))?;
        }
        let found = u64::from_le_bytes(*input.array("the digest")?);
        if input.offset != bytes.len() {
            return Err(SnapshotError::Trailing { offset: input.offset });
        }
        let expected = state.digest();
        if expected != found {
            return Err(Violation::Digest { expected, found }.into());
        }
        if is_on(Mutant::IdReuse) {
            state.last_request_id /= 2;
            return Ok(state);
        }
        state.check()?;
        Ok(state)
    }

    fn write(&self, out: &mut impl Output) {
        out.byte(VERSION);
        out.number(self.last_lsn);
        out.number(self.last_request_id);
        out.number(self.time_ms);
        out.length(self.pools.len());
        for (names, pool) in self.names.pools().iter().zip(&self.pools) {
            write_pool(out, names, pool);
        }
        out.put(&self.digest().to_le_bytes());
    }
}

fn write_pool(out: &mut impl Output, names: &PoolNames, pool: &Pool) {
    let (charter, limits, counters) = (pool.charter(), pool.keys().limits(), pool.counters());
    out.text(names.id().as_str());
    out.byte(match pool.status() {
        PoolStatus::Active => 0,
        PoolStatus::Paused => 1,
        PoolStatus::Closed => 2,
    });
    out.byte(match charter.selector {
        SelectorKind::Auto => 0,
        SelectorKind::Fenwick => 1,
        SelectorKind::PrefixSum => 2,
        SelectorKind::SumTree => 3,
    });
    out.put(&charter.commitment);
    out.number(limits.window_ms);
    out.number(limits.keys_max);
    out.number(limits.outcomes_max);
    out.number(pool.catalog_version());
    out.number(counters.awards);
    out.number(counters.empties);
    out.length(pool.item_count());
    for (place, item) in pool.items().enumerate() {
        out.text(name_at(names.items(), place).as_str());
        write_item(out, &item);
    }
    out.put(&catalog_sha256(names.items(), pool));
    out.length(pool.keys().iter().len());
    pool.keys().iter().for_each(|draw| write_key(out, draw));
}

fn write_item(out: &mut impl Output, item: &Item) {
    let quantity = u64::try_from(item.quantity).ok();
    let retired = if item.retired { FLAG_RETIRED } else { 0 };
    let unlimited = if quantity.is_none() { FLAG_UNLIMITED } else { 0 };
    out.byte(retired | unlimited);
    out.number(item.weight);
    out.number(item.awarded);
    if let Some(units) = quantity {
        out.number(units);
        out.number(item.granted);
    }
}

fn write_key(out: &mut impl Output, draw: &KeyedDraw) {
    out.put(&draw.stamp.hash.0);
    out.number(draw.stamp.fingerprint);
    out.number(draw.first_request_id.number());
    out.number(draw.catalog_version);
    out.number(draw.time_ms);
    out.length(draw.outcomes().len());
    for outcome in draw.outcomes() {
        out.number(outcome.item().map_or(0, |item| u64::from(item.number()) + 1));
    }
}

fn read_pool(
    input: &mut Input<'_>,
    state: &mut State,
    number: PoolNumber,
) -> Result<(), SnapshotError> {
    let id = input.name(PoolId::new)?;
    if state.names.find(id.as_str()).is_some() {
        return Err(input.duplicate(id.as_str()));
    }
    let status = match input.byte("the status")? {
        0 => PoolStatus::Active,
        1 => PoolStatus::Paused,
        2 => PoolStatus::Closed,
        _ => return Err(input.range("the status")),
    };
    let selector = match input.byte("the selector")? {
        0 => SelectorKind::Auto,
        1 => SelectorKind::Fenwick,
        2 => SelectorKind::PrefixSum,
        3 => SelectorKind::SumTree,
        _ => return Err(input.range("the selector")),
    };
    let commitment = *input.array("the commitment")?;
    let limits = KeyLimits {
        window_ms: input.number("the window of the keys")?,
        keys_max: input.number("the maximum of keys")?,
        outcomes_max: input.number("the maximum of outcomes")?,
    };
    let version = input.number_from("the catalogue's version", 1, u64::MAX)?;
    let awards = input.number_to("the awards", state.last_request_id)?;
    let empties = input.number_to("the empties", state.last_request_id - awards)?;
    let mut pool = Pool::new(Charter { number, selector, commitment }, limits);
    state.names.push(id.clone());
    let names = state.names.pool_mut(number).expect("the name was pushed just now");
    read_items(input, names, &mut pool, awards)?;
    let sha256: &[u8; 32] = input.array("the catalogue's SHA-256")?;
    if *sha256 != catalog_sha256(names.items(), &pool) {
        return Err(SnapshotError::CatalogHash { pool: id });
    }
    pool.restore(status, version, Counters { draws: awards + empties, awards, empties });
    read_keys(input, state, &mut pool)?;
    state.pools.push(pool);
    Ok(())
}

fn read_items(
    input: &mut Input<'_>,
    names: &mut PoolNames,
    pool: &mut Pool,
    awards: u64,
) -> Result<(), SnapshotError> {
    let count = input.count("the count of items", ITEMS_MAX, ITEM_BYTES_MIN)?;
    if count == 0 {
        return Err(input.range("the count of items"));
    }
    names.reserve(count);
    pool.reserve(count);
    for _ in 0..count {
        let id = input.name(ItemId::new)?;
        if names.find(id.as_str()).is_some() {
            return Err(input.duplicate(id.as_str()));
        }
        let item = read_item(input, awards, TOTAL_WEIGHT_MAX - pool.listed_weight())?;
        names.push(id);
        pool.push(&item);
    }
    Ok(())
}

/// An item of which at most so many units were awarded, and whose weight the others leave room for.
fn read_item(input: &mut Input<'_>, awards: u64, weight_max: u64) -> Result<Item, SnapshotError> {
    let flags = input.byte("the flags of an item")?;
    if flags & !(FLAG_RETIRED | FLAG_UNLIMITED) != 0 {
        return Err(input.range("the flags of an item"));
    }
    let retired = flags & FLAG_RETIRED != 0;
    let weight_max = if retired { TOTAL_WEIGHT_MAX } else { weight_max };
    let weight = input.number_to("the weight of an item", weight_max)?;
    let awarded = input.number_to("the awards of an item", awards)?;
    if flags & FLAG_UNLIMITED != 0 {
        return Ok(Item { quantity: -1, awarded, weight, granted: 0, retired });
    }
    let units = input.number_to("the quantity of an item", QUANTITY_MAX)?;
    let quantity = i64::try_from(units).expect("units are at most QUANTITY_MAX");
    let granted = input.number("the granted units of an item")?;
    Ok(Item { quantity, awarded, weight, granted, retired })
}

fn read_keys(input: &mut Input<'_>, state: &State, pool: &mut Pool) -> Result<(), SnapshotError> {
    let count = input.count("the count of keys", usize::MAX, KEY_BYTES_MIN)?;
    // Each draw is later than the one before it: the lowest values that the next one may have.
    let (mut request_id, mut version, mut time_ms) = (1, 1, 0);
    for _ in 0..count {
        let hash = KeyHash(*input.array("the hash of a key")?);
        let fingerprint = input.number("the fingerprint of a key")?;
        let first = input.number_from("the request id of a key", request_id, REQUEST_ID_MAX)?;
        let of_key = "the catalogue's version of a key";
        version = input.number_from(of_key, version, pool.catalog_version())?;
        time_ms = input.number_from("the time of a key", time_ms, state.time_ms)?;
        let outcomes = read_outcomes(input, pool)?;
        request_id = first + u64::try_from(outcomes.len()).expect("a draw has few outcomes");
        if request_id - 1 > state.last_request_id {
            return Err(input.range("the request id of a key"));
        }
        if pool.keys().find(hash).is_some() {
            return Err(input.range("the hash of a key"));
        }
        let stamp = KeyStamp { hash, fingerprint };
        let first = RequestId::new(first).ok_or_else(|| input.range("the request id of a key"))?;
        pool.keys_mut().append(KeyedDraw::new(stamp, first, &outcomes, version, time_ms));
    }
    if pool.keys().is_within_limits() { Ok(()) } else { Err(input.range("the table of keys")) }
}

fn read_outcomes(input: &mut Input<'_>, pool: &Pool) -> Result<Vec<Outcome>, SnapshotError> {
    let what = "an outcome";
    let count = input.count(what, usize::from(DRAW_COUNT_MAX), OUTCOME_BYTES_MIN)?;
    if count == 0 {
        return Err(input.range(what));
    }
    let items = u64::try_from(pool.item_count()).expect("a catalogue is bounded");
    let mut outcomes = Vec::with_capacity(count);
    for _ in 0..count {
        outcomes.push(match input.number_to(what, items)?.checked_sub(1) {
            None => Outcome::EMPTY,
            Some(place) => {
                let index = u32::try_from(place).ok().and_then(ItemIndex::new);
                Outcome::award(index.ok_or_else(|| input.range(what))?)
            }
        });
    }
    Ok(outcomes)
}

/// The hash of the items that are not retired, as [`crate::catalog::Catalog::sha256`] has it for a
/// catalogue of the same content.
fn catalog_sha256(names: &ItemNames, pool: &Pool) -> [u8; 32] {
    let mut sorted: Vec<(u128, &str, Item)> = Vec::with_capacity(pool.item_count());
    for (place, item) in pool.items().enumerate().filter(|(_, item)| !item.retired) {
        let name = name_at(names, place).as_str();
        sorted.push((prefix(name), name, item));
    }
    // Names are in memory all over the place; most comparisons need not go there.
    sorted.sort_unstable_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)));
    let mut hash = Sha256::new();
    for (_, name, item) in sorted {
        let length = u64::try_from(name.len()).expect("a name is short");
        hash.update(length.to_le_bytes());
        hash.update(name);
        hash.update(item.weight.to_le_bytes());
        hash.update(item.quantity.to_le_bytes());
    }
    hash.finalize().into()
}

/// The first 16 bytes of a name as a number. Two names with different numbers are in the order of
/// these: a shorter one is filled up with zeros, which stand before all that a name may hold.
fn prefix(name: &str) -> u128 {
    let mut bytes = [0; 16];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    u128::from_be_bytes(bytes)
}

fn name_at(names: &ItemNames, place: usize) -> &ItemId {
    let name = ItemIndex::from_usize(place).and_then(|index| names.get(index));
    name.expect("each item has a name")
}

/// Where the bytes go: into memory, or into a hash.
trait Output {
    fn put(&mut self, bytes: &[u8]);

    fn byte(&mut self, byte: u8) {
        self.put(&[byte]);
    }

    fn number(&mut self, mut number: u64) {
        let mut bytes = [0; 10];
        let mut length = 0;
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            let more = if number > 0 { 0x80 } else { 0 };
            bytes[length] = low & 0x7F | more;
            length += 1;
            if number == 0 {
                return self.put(&bytes[..length]);
            }
        }
    }

    fn length(&mut self, length: usize) {
        self.number(u64::try_from(length).expect("a length fits 64 bits"));
    }

    fn text(&mut self, text: &str) {
        self.byte(u8::try_from(text.len()).expect("a name is short"));
        self.put(text.as_bytes());
    }
}

impl Output for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Output for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        self.update(bytes);
    }
}

/// The bytes that are left to read.
struct Input<'a> {
    bytes: &'a [u8],
    /// Invariant: at most the length of `bytes`.
    offset: usize,
}

impl<'a> Input<'a> {
    fn byte(&mut self, what: &'static str) -> Result<u8, SnapshotError> {
        let [byte] = *self.array(what)?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<&'a [u8; N], SnapshotError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let (array, _rest) = rest.split_first_chunk().ok_or_else(|| self.truncated(what))?;
        self.offset += N;
        Ok(array)
    }

    fn number(&mut self, what: &'static str) -> Result<u64, SnapshotError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte(what)?;
            let bits = u64::from(byte & 0x7F);
            let is_last = byte & 0x80 == 0;
            let is_longer_than_needed = is_last && bits == 0 && shift > 0;
            if bits << shift >> shift != bits || is_longer_than_needed {
                return Err(self.range(what));
            }
            number |= bits << shift;
            if is_last {
                return Ok(number);
            }
        }
        Err(self.range(what))
    }

    fn number_to(&mut self, what: &'static str, max: u64) -> Result<u64, SnapshotError> {
        self.number_from(what, 0, max)
    }

    fn number_from(
        &mut self,
        what: &'static str,
        min: u64,
        max: u64,
    ) -> Result<u64, SnapshotError> {
        let number = self.number(what)?;
        if (min..=max).contains(&number) { Ok(number) } else { Err(self.range(what)) }
    }

    /// A count of things of which each takes at least so many bytes, so that the count may be used
    /// to reserve memory.
    fn count(
        &mut self,
        what: &'static str,
        max: usize,
        bytes_min: usize,
    ) -> Result<usize, SnapshotError> {
        let number = self.number(what)?;
        let room = (self.bytes.len() - self.offset) / bytes_min;
        let count = usize::try_from(number).ok().filter(|&count| count <= max.min(room));
        count.ok_or_else(|| self.range(what))
    }

    fn name<T>(&mut self, new: impl Fn(&str) -> Result<T, NameError>) -> Result<T, SnapshotError> {
        let what = "a name";
        let length = usize::from(self.byte(what)?);
        if length > NAME_BYTES_MAX {
            return Err(self.range(what));
        }
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let (name, _rest) = rest.split_at_checked(length).ok_or_else(|| self.truncated(what))?;
        self.offset += length;
        let name = std::str::from_utf8(name).map_err(|_| self.range(what))?;
        new(name).map_err(|source| SnapshotError::Name { offset: self.offset, source })
    }

    fn truncated(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Truncated { what, offset: self.offset }
    }

    fn range(&self, what: &'static str) -> SnapshotError {
        SnapshotError::Range { what, offset: self.offset }
    }

    fn duplicate(&self, name: &str) -> SnapshotError {
        SnapshotError::DuplicateName { name: name.into(), offset: self.offset }
    }
}

#[cfg(test)]
mod tests;
