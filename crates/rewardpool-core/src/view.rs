//! What may be read of the state: pools, pages of items, draws by idempotency key.
use crate::command::{KeyHash, KeyLimits, PoolStatus, Rejection};
use crate::ids::{ItemIndex, Lsn, Outcome, PoolNumber, RequestId};
use crate::names::{Names, PoolNames};
use crate::pool::{Item, Pool};
use crate::quantity::Quantity;
use crate::selector::SelectorKind;
use crate::state::State;

/// All about one pool but its items.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    /// Its number.
    pub number: PoolNumber,
    /// Its name, and its items' names. A clone of the items' names is cheap.
    pub names: &'a PoolNames,
    /// Whether it draws.
    pub status: PoolStatus,
    /// How items are located.
    pub selector: SelectorKind,
    /// SHA-256 of the secret from which its randomness comes.
    pub commitment: [u8; 32],
    /// Version of the catalogue: 1 at the start, one more with each change of an item.
    pub catalog_version: u64,
    /// How many items there are, retired ones included.
    pub item_count: usize,
    /// Draws so far.
    pub draws: u64,
    /// Draws that won an item.
    pub awards: u64,
    /// Draws that found nothing available.
    pub empties: u64,
    /// Weights of all items that are available, the denominator of all chances.
    pub available_weight: u64,
    /// How many items are available.
    pub available_items: u64,
    /// Weights of all items that are not retired.
    pub listed_weight: u64,
    /// Units of limited items that can be drawn.
    pub drawable_units: u128,
    /// Unlimited items that can be drawn.
    pub drawable_unlimited: u64,
    /// The idempotency keys.
    pub keys: KeyWindow,
}

/// How much the table of idempotency keys holds, and how far back it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyWindow {
    /// Its bounds.
    pub limits: KeyLimits,
    /// Keys that are known.
    pub keys: u64,
    /// Outcomes over all keys.
    pub outcomes: u64,
    /// When the oldest key was used, in milliseconds. `None` when there is no key.
    pub oldest_time_ms: Option<u64>,
}

/// One item.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ItemState {
    /// Its place in the catalogue.
    pub index: ItemIndex,
    /// Its weight.
    pub weight: u64,
    /// The weight with which it takes part in draws now: 0 when it is sold out or retired.
    pub effective_weight: u64,
    /// Units left.
    pub quantity: Quantity,
    /// Units awarded.
    pub awarded: u64,
    /// Units at the start plus all adjustments, which is what is left and awarded. `None` for an
    /// unlimited item.
    pub granted: Option<u64>,
    /// Whether it was taken out of the draws for ever.
    pub retired: bool,
}

impl ItemState {
    fn new(index: ItemIndex, item: &Item) -> Self {
        let quantity = item.quantity();
        Self {
            index,
            weight: item.weight,
            effective_weight: item.effective_weight(),
            quantity,
            awarded: item.awarded,
            granted: (quantity != Quantity::Unlimited).then_some(item.granted),
            retired: item.retired,
        }
    }
}

/// A draw that was found by its idempotency key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KnownDraw<'a> {
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    /// The outcome of each draw.
    pub outcomes: &'a [Outcome],
    /// Version of the catalogue that was in force.
    pub catalog_version: u64,
    /// When it was drawn, in milliseconds.
    pub time_ms: u64,
}

impl State {
    /// The names of all pools and items.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The last request id that was given; 0 before the first.
    pub fn last_request_id(&self) -> u64 {
        self.last_request_id
    }

    /// Number of the last record; 0 before the first.
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn
    }

    /// Number of the record that comes next.
    pub fn next_lsn(&self) -> Lsn {
        Lsn::new(self.last_lsn + 1).expect("the log never holds 2^64 records")
    }

    /// The highest time of any record, in milliseconds.
    pub fn time_ms(&self) -> u64 {
        self.time_ms
    }

    /// All pools in the order of their numbers.
    pub fn pools(&self) -> impl ExactSizeIterator<Item = PoolView<'_>> {
        self.names.pools().iter().zip(&self.pools).map(|(names, pool)| view(names, pool))
    }

    /// Draws from a pool that won an item; 0 for one that does not exist.
    #[inline]
    pub fn awards(&self, pool: PoolNumber) -> u64 {
        self.pools.get(pool.as_usize()).map_or(0, |pool| pool.counters().awards)
    }

    /// One pool.
    pub fn pool(&self, pool: PoolNumber) -> Option<PoolView<'_>> {
        let names = self.names.pool(pool)?;
        self.pools.get(pool.as_usize()).map(|pool| view(names, pool))
    }

    /// The items from a place on, at most so many.
    pub fn items(
        &self,
        pool: PoolNumber,
        from: usize,
        limit: usize,
    ) -> Result<impl ExactSizeIterator<Item = ItemState>, Rejection> {
        let pool = self.pools.get(pool.as_usize()).ok_or(Rejection::UnknownPool)?;
        let from = from.min(pool.item_count());
        let end = pool.item_count().min(from.saturating_add(limit));
        Ok((from..end).map(|place| {
            let index = ItemIndex::from_usize(place).expect("a catalogue is bounded");
            ItemState::new(index, &pool.item(index).expect("the place is below the count"))
        }))
    }

    /// One item.
    pub fn item(&self, pool: PoolNumber, index: ItemIndex) -> Option<ItemState> {
        let item = self.pools.get(pool.as_usize())?.item(index)?;
        Some(ItemState::new(index, &item))
    }

    /// The draw that was made with an idempotency key.
    pub fn find_draw(&self, pool: PoolNumber, key: KeyHash) -> Result<KnownDraw<'_>, Rejection> {
        let pool = self.pools.get(pool.as_usize()).ok_or(Rejection::UnknownPool)?;
        if !pool.keys().is_on() {
            return Err(Rejection::KeysOff);
        }
        let known = pool.keys().find(key).ok_or(Rejection::UnknownKey)?;
        Ok(KnownDraw {
            first_request_id: known.first_request_id,
            outcomes: known.outcomes(),
            catalog_version: known.catalog_version,
            time_ms: known.time_ms,
        })
    }
}

fn view<'a>(names: &'a PoolNames, pool: &Pool) -> PoolView<'a> {
    let (charter, counters, keys) = (pool.charter(), pool.counters(), pool.keys());
    PoolView {
        number: charter.number,
        names,
        status: pool.status(),
        selector: charter.selector,
        commitment: charter.commitment,
        catalog_version: pool.catalog_version(),
        item_count: pool.item_count(),
        draws: counters.draws,
        awards: counters.awards,
        empties: counters.empties,
        available_weight: pool.available_weight(),
        available_items: pool.available_items(),
        listed_weight: pool.listed_weight(),
        drawable_units: pool.drawable_units(),
        drawable_unlimited: pool.drawable_unlimited(),
        keys: KeyWindow {
            limits: keys.limits(),
            keys: keys.len(),
            outcomes: keys.outcomes(),
            oldest_time_ms: keys.iter().next().map(|oldest| oldest.time_ms),
        },
    }
}
