//! Identifiers and positions. None of them can be mixed up with another.
use std::fmt;
use std::num::NonZeroU64;

/// Position of a record in the log: 1, 2, 3, … without gaps over all segments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Lsn(NonZeroU64);

impl Lsn {
    /// The first record of a new log.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The position with this number, or `None` for 0 (which means "before the first record").
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The record after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("the log never holds 2^64 records"))
    }

    /// The position as a number, at least 1.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often the log changed hands: 1 until somebody takes over, and one more each time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub u32);

impl Epoch {
    /// That of a log that nobody took over.
    pub const FIRST: Self = Self(1);
}

impl Default for Epoch {
    fn default() -> Self {
        Self::FIRST
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a draw: given by the service, unique, without gaps, rising across restarts.
///
/// The numbers are shared by all pools of a service.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(NonZeroU64);

impl RequestId {
    /// The first draw of a new service.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// The id with this number, or `None` for 0 (which means "no draw yet").
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The id as a number, at least 1.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a pool within its log, in the order of creation, starting at 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PoolNumber(pub u32);

impl PoolNumber {
    /// The pool's place in a list of all pools.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// Place of an item in its pool's catalogue, starting at 0. It never changes: items are only
/// appended, and a retired item keeps its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ItemIndex(u32);

impl ItemIndex {
    /// The first item of a catalogue.
    pub const FIRST: Self = Self(0);
    /// The highest possible index. `u32::MAX` itself is [`Outcome::EMPTY`].
    pub const MAX: Self = Self(u32::MAX - 1);

    /// The item at this place; `None` above [`ItemIndex::MAX`].
    pub const fn new(index: u32) -> Option<Self> {
        if index == u32::MAX { None } else { Some(Self(index)) }
    }

    /// The item at this place of a list; `None` above [`ItemIndex::MAX`].
    pub fn from_usize(index: usize) -> Option<Self> {
        u32::try_from(index).ok().and_then(Self::new)
    }

    /// The index as a number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The index into a list of items.
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

/// What one draw gave: an item, or nothing because nothing was available. Four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome(u32);

impl Outcome {
    /// Nothing was available.
    pub const EMPTY: Self = Self(u32::MAX);

    /// One unit of this item was awarded.
    pub const fn award(item: ItemIndex) -> Self {
        Self(item.0)
    }

    /// The item that was awarded, or `None` when nothing was available.
    pub const fn item(self) -> Option<ItemIndex> {
        ItemIndex::new(self.0)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item() {
            Some(item) => write!(f, "award({})", item.0),
            None => f.write_str("empty"),
        }
    }
}

const _: () = assert!(size_of::<Option<Lsn>>() == 8);
const _: () = assert!(size_of::<Option<RequestId>>() == 8);
const _: () = assert!(size_of::<Outcome>() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_the_successor() {
        assert!(Lsn::FIRST < Lsn::FIRST.next());
        assert_eq!(Lsn::FIRST.next().number(), 2);
    }

    #[test]
    fn empty_is_no_item() {
        assert_eq!(Outcome::EMPTY.item(), None);
        assert_eq!(ItemIndex::new(u32::MAX), None);
        let last = ItemIndex::MAX;
        assert_eq!(Outcome::award(last).item(), Some(last));
    }
}
