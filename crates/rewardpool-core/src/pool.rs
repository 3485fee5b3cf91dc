//! One pool: its stock, the sums over it, and the one place where a draw takes a unit.
//!
//! What a draw touches stands by itself (`stock`, 16 bytes an item); what only changes touch stands
//! aside (`terms`). Everything that follows from the items is kept up to date with each change and
//! counted again by `check`.
//!
//! Invariants: units granted = units left + units awarded, for each limited item; draws = awards +
//! empties; the selector, once built, has each item's effective weight.
use crate::command::{
    DrawCommand, DrawMode, ItemChange, KeyLimits, PoolStatus, QuantityChange, Rejection,
};
use crate::digest::{Digest, coefficient};
use crate::generator::Generator;
use crate::ids::{ItemIndex, Outcome, PoolNumber, RequestId};
use crate::keys::{KeyTable, KeyedDraw};
use crate::limits::{ITEMS_MAX, REQUEST_ID_MAX, TOTAL_WEIGHT_MAX};
use crate::quantity::Quantity;
use crate::selector::{Selector, SelectorKind};
use crate::violation::{Sum, Violation};

/// What a draw reads and writes of an item.
#[derive(Clone, Copy, Debug)]
struct Stock {
    /// Units left; -1 is unlimited.
    quantity: i64,
    /// Units awarded; the highest bit is set while the item has a weight and is not retired, so
    /// that a draw needs to read nothing else to know that it may take a unit.
    awarded_and_mark: u64,
}

/// How many draws of a command are chosen ahead of the one whose unit is taken, at most. Their
/// reads of memory overlap.
const AHEAD_MAX: usize = 16;
/// How many outcomes of the log are read ahead of the one that is taken.
const READ_AHEAD: usize = 32;
/// The stock of so many items stays in the nearest cache.
const CACHED_ITEMS: usize = 2048;

/// What only changes read and write of an item.
#[derive(Clone, Copy, Debug)]
struct Terms {
    /// The weight; the highest bit is set when the item is retired.
    weight_and_retired: u64,
    /// Units at the start plus all adjustments; 0 for an unlimited item.
    granted: u64,
}

const DRAWABLE: u64 = 1 << 63;
const RETIRED: u64 = 1 << 63;

const _: () = assert!(size_of::<Stock>() == 16);
const _: () = assert!(size_of::<Stock>() + size_of::<Terms>() == 32);
const _: () = assert!(REQUEST_ID_MAX < DRAWABLE, "awards never reach the mark");
const _: () = assert!(TOTAL_WEIGHT_MAX < RETIRED, "weights never reach the mark");

/// All about one item, unpacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Item {
    /// Units left; -1 is unlimited.
    pub(crate) quantity: i64,
    /// Units awarded.
    pub(crate) awarded: u64,
    /// Chance relative to the other available items.
    pub(crate) weight: u64,
    /// Units at the start plus all adjustments; 0 for an unlimited item.
    pub(crate) granted: u64,
    /// Whether it was taken out of the draws for ever.
    pub(crate) retired: bool,
}

impl Item {
    /// A new item.
    pub(crate) fn new(weight: u64, quantity: Quantity) -> Result<Self, Rejection> {
        let item = Self { quantity: 0, awarded: 0, weight, granted: 0, retired: false };
        item.with_quantity(quantity)
    }

    /// The units left.
    pub(crate) fn quantity(&self) -> Quantity {
        Quantity::from_number(self.quantity).expect("a quantity is at least -1")
    }

    /// Whether it counts in draws as long as there are units.
    pub(crate) fn is_drawable(&self) -> bool {
        self.weight > 0 && !self.retired
    }

    /// The weight with which it takes part in draws now.
    pub(crate) fn effective_weight(&self) -> u64 {
        if self.retired || self.quantity == 0 { 0 } else { self.weight }
    }

    fn is_conserved(&self) -> bool {
        match u64::try_from(self.quantity) {
            Ok(units) => units.checked_add(self.awarded) == Some(self.granted),
            Err(_) => self.quantity == -1 && self.granted == 0,
        }
    }

    /// Adds or takes away units; what was granted changes with them.
    fn with_units_added(mut self, units: i64) -> Result<Self, Rejection> {
        if self.quantity < 0 {
            return Err(Rejection::QuantityUnlimited);
        }
        let quantity = self.quantity.checked_add(units).filter(|&quantity| quantity >= 0);
        let granted = self.granted.checked_add_signed(units);
        self.quantity = quantity.ok_or(Rejection::QuantityRange)?;
        self.granted = granted.ok_or(Rejection::QuantityRange)?;
        Ok(self)
    }

    /// Sets the units left. Nothing is conserved across a change from or to unlimited, so what was
    /// granted starts anew there: as what is left and awarded, or as 0.
    fn with_quantity(mut self, to: Quantity) -> Result<Self, Rejection> {
        let Quantity::Limited(units) = to else {
            self.quantity = -1;
            self.granted = 0;
            return Ok(self);
        };
        let quantity = i64::try_from(units).map_err(|_| Rejection::QuantityRange)?;
        if self.quantity >= 0 {
            return self.with_units_added(quantity - self.quantity);
        }
        self.quantity = quantity;
        self.granted = units.checked_add(self.awarded).ok_or(Rejection::QuantityRange)?;
        Ok(self)
    }
}

/// What follows from all items and is needed without looking at all of them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Sums {
    /// A linear fingerprint: the sum over all items of `coefficient(place)` times a fixed
    /// combination of all that the item holds.
    fingerprint: u64,
    /// Units of limited items that can be drawn.
    units: u128,
    /// Unlimited items that can be drawn.
    unlimited: u64,
    /// Weights of all items that are not retired, available or not.
    listed_weight: u64,
    /// Weights of all items that are available.
    available_weight: u64,
    /// Items that are available.
    available_items: u64,
}

/// What the awards of one command change in the sums, gathered aside: the sums themselves would
/// cost each award a round through memory.
#[derive(Default, Debug)]
struct Taken {
    awards: u64,
    fingerprint: u64,
    units: u64,
}

/// The parts of an item in the fingerprint. Odd and without simple relations.
const AWARDED: u64 = 0xA24B_AED4_963E_E407;
const QUANTITY: u64 = 0x9FB2_1C65_1E98_DF25;
const WEIGHT: u64 = 0xD6E8_FEB8_6659_FD93;
const GRANTED: u64 = 0xC2B2_AE3D_27D4_EB4F;
const RETIREMENT: u64 = 0x1656_67B1_9E37_79F9;

impl Sums {
    fn add(&mut self, index: ItemIndex, item: &Item) {
        let part = Self::of(index, item);
        self.fingerprint = self.fingerprint.wrapping_add(part.fingerprint);
        self.units = self.units.wrapping_add(part.units);
        self.unlimited = self.unlimited.wrapping_add(part.unlimited);
        self.listed_weight = self.listed_weight.wrapping_add(part.listed_weight);
        self.available_weight = self.available_weight.wrapping_add(part.available_weight);
        self.available_items = self.available_items.wrapping_add(part.available_items);
    }

    fn subtract(&mut self, index: ItemIndex, item: &Item) {
        let part = Self::of(index, item);
        self.fingerprint = self.fingerprint.wrapping_sub(part.fingerprint);
        self.units = self.units.wrapping_sub(part.units);
        self.unlimited = self.unlimited.wrapping_sub(part.unlimited);
        self.listed_weight = self.listed_weight.wrapping_sub(part.listed_weight);
        self.available_weight = self.available_weight.wrapping_sub(part.available_weight);
        self.available_items = self.available_items.wrapping_sub(part.available_items);
    }

    /// What one item adds to the sums.
    fn of(index: ItemIndex, item: &Item) -> Self {
        let content = [
            (item.awarded, AWARDED),
            (item.quantity.cast_unsigned(), QUANTITY),
            (item.weight, WEIGHT),
            (item.granted, GRANTED),
            (u64::from(item.retired), RETIREMENT),
        ];
        let content = content
            .iter()
            .fold(0, |sum: u64, (number, factor)| sum.wrapping_add(number.wrapping_mul(*factor)));
        let units = if item.is_drawable() { u128::try_from(item.quantity).ok() } else { Some(0) };
        Self {
            fingerprint: coefficient(index.number()).wrapping_mul(content),
            units: units.unwrap_or(0),
            unlimited: u64::from(units.is_none()),
            listed_weight: if item.retired { 0 } else { item.weight },
            available_weight: item.effective_weight(),
            available_items: u64::from(item.effective_weight() > 0),
        }
    }
}

/// What a pool is made of beside its items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Charter {
    /// The pool's number.
    pub(crate) number: PoolNumber,
    /// How items are located.
    pub(crate) selector: SelectorKind,
    /// SHA-256 of the secret from which its randomness comes.
    pub(crate) commitment: [u8; 32],
}

/// How often a pool drew.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counters {
    /// All draws.
    pub(crate) draws: u64,
    /// Draws that won an item.
    pub(crate) awards: u64,
    /// Draws that found nothing available.
    pub(crate) empties: u64,
}

/// One pool without its names.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    stock: Vec<Stock>,
    /// `None` until the state is activated: replay touches quantities only.
    selector: Option<Selector>,
    sums: Sums,
    counters: Counters,
    catalog_version: u64,
    status: PoolStatus,
    charter: Charter,
    terms: Vec<Terms>,
    keys: KeyTable,
}

impl Pool {
    /// An active pool without items.
    pub(crate) fn new(charter: Charter, limits: KeyLimits) -> Self {
        Self {
            stock: Vec::new(),
            selector: None,
            sums: Sums::default(),
            counters: Counters::default(),
            catalog_version: 1,
            status: PoolStatus::Active,
            charter,
            terms: Vec::new(),
            keys: KeyTable::new(limits),
        }
    }

    /// Makes room for so many items.
    pub(crate) fn reserve(&mut self, items: usize) {
        self.stock.reserve_exact(items);
        self.terms.reserve_exact(items);
    }

    /// The randomness comes from another secret from now on.
    pub(crate) fn commit_to(&mut self, commitment: [u8; 32]) {
        self.charter.commitment = commitment;
    }

    /// Builds the selector, after which the pool can draw.
    pub(crate) fn activate(&mut self) {
        let items = self.stock.iter().zip(&self.terms);
        let weights = items.map(|(&stock, &terms)| unpack(stock, terms).effective_weight());
        self.selector = Some(Selector::new(self.charter.selector, weights));
    }

    /// Checks whether the draw may be made. `Some` when it is a retry, whose answer is known.
    ///
    /// A known key comes before everything else: a draw that was made is never denied, whatever
    /// became of the pool since.
    pub(crate) fn admit(&self, command: &DrawCommand) -> Result<Option<&KeyedDraw>, Rejection> {
        if let Some(hash) = command.key {
            if !self.keys.is_on() {
                return Err(Rejection::KeysOff);
            }
            if let Some(known) = self.keys.find(hash) {
                let same = known.stamp.fingerprint == command.fingerprint();
                return if same { Ok(Some(known)) } else { Err(Rejection::KeyReused) };
            }
        }
        match self.status {
            PoolStatus::Active => {}
            PoolStatus::Paused => return Err(Rejection::PoolPaused),
            PoolStatus::Closed => return Err(Rejection::PoolClosed),
        }
        if command.mode == DrawMode::AllOrNothing
            && self.sums.unlimited == 0
            && self.sums.units < u128::from(command.count.number())
        {
            return Err(Rejection::InsufficientStock);
        }
        Ok(None)
    }

    /// Draws so many times and appends the outcomes. Gives how many won an item.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        first: RequestId,
        count: u16,
        generator: &mut Generator,
        outcomes: &mut Vec<Outcome>,
    ) -> u64 {
        let mut taken = Taken::default();
        if count == 1 {
            outcomes.push(self.choose_one(first, generator, &mut taken));
        } else {
            self.choose_ahead(first, count, generator, &mut taken, outcomes);
        }
        self.settle(&taken, u64::from(count));
        taken.awards
    }

    /// The most frequent draw. Bodies of their own leave the loops the registers that their caller
    /// needs for other things.
    #[inline(never)]
    fn choose_one(
        &mut self,
        request: RequestId,
        generator: &mut Generator,
        taken: &mut Taken,
    ) -> Outcome {
        let selector = self.selector.as_ref().expect("a state is activated before it draws");
        let total = selector.total();
        if total == 0 {
            assert!(!self.has_more_than(taken), "the selector misses an available item");
            return Outcome::EMPTY;
        }
        let item = selector.locate(generator.below(request, total));
        self.take(item, taken).expect("the selector locates available items only");
        Outcome::award(item)
    }

    /// Draws several times, each time as [`Pool::choose_one`] does.
    #[inline(never)]
    fn choose_ahead(
        &mut self,
        first: RequestId,
        count: u16,
        generator: &mut Generator,
        taken: &mut Taken,
        outcomes: &mut Vec<Outcome>,
    ) {
        let mut number = first.number();
        let end = number + u64::from(count);
        let mut numbers = [0; AHEAD_MAX];
        let mut items = [ItemIndex::FIRST; AHEAD_MAX];
        let mut ahead = AHEAD_MAX;
        while number < end {
            let selector = self.selector.as_ref().expect("a state is activated before it draws");
            let total = selector.total();
            let rest = usize::try_from(end - number).expect("a count is 16 bits");
            if total == 0 {
                assert!(!self.has_more_than(taken), "the selector misses an available item");
                outcomes.resize(outcomes.len() + rest, Outcome::EMPTY);
                break;
            }
            let request = RequestId::new(number).expect("request ids start at 1");
            let length = ahead.min(rest);
            let (numbers, items) = (&mut numbers[..length], &mut items[..length]);
            generator.each_below(request, total, numbers);
            selector.locate_each(numbers, items);
            let awarded = self.take_each(items, taken, outcomes);
            number += awarded as u64;
            // What was chosen behind a sale-out had other odds, so it is chosen again. Where one
            // sale-out follows another, little is chosen ahead in vain.
            ahead = if awarded < length { 1 } else { AHEAD_MAX.min(2 * ahead) };
        }
    }

    /// Takes one unit of each item in their order, and stops behind one that is sold out by it. Gives
    /// how many were taken.
    #[inline]
    fn take_each(
        &mut self,
        items: &[ItemIndex],
        taken: &mut Taken,
        outcomes: &mut Vec<Outcome>,
    ) -> usize {
        let before = outcomes.len();
        for &item in items {
            let sold_out =
                self.take(item, taken).expect("the selector locates available items only");
            outcomes.push(Outcome::award(item));
            if sold_out {
                break;
            }
        }
        outcomes.len() - before
    }

    /// Takes one unit for an award. True when it was the last one. Every award goes through here, live
    /// and in replay. The sums and counters follow when the awards of the command are settled.
    #[inline]
    fn take(&mut self, item: ItemIndex, taken: &mut Taken) -> Result<bool, Violation> {
        let Some(stock) = self.stock.get_mut(item.as_usize()) else {
            return Err(self.unknown_item(item));
        };
        if stock.quantity == 0 || stock.awarded_and_mark < DRAWABLE {
            return Err(self.not_available(item));
        }
        // Without a branch on "unlimited", which a mixed catalogue would make unpredictable. Nothing
        // wraps: a quantity above 0 has a unit, and awards stay below the last request id.
        let limited = u64::from(stock.quantity > 0);
        stock.quantity = stock.quantity.wrapping_sub_unsigned(limited);
        stock.awarded_and_mark = stock.awarded_and_mark.wrapping_add(1);
        let is_sold_out = stock.quantity == 0;
        let content = if limited > 0 { AWARDED.wrapping_sub(QUANTITY) } else { AWARDED };
        let change = coefficient(item.number()).wrapping_mul(content);
        taken.awards = taken.awards.wrapping_add(1);
        taken.fingerprint = taken.fingerprint.wrapping_add(change);
        taken.units = taken.units.wrapping_add(limited);
        if is_sold_out {
            self.sell_out(item);
        }
        Ok(is_sold_out)
    }

    /// Counts so many draws and what they took.
    #[inline]
    fn settle(&mut self, taken: &Taken, draws: u64) {
        self.sums.fingerprint = self.sums.fingerprint.wrapping_add(taken.fingerprint);
        self.sums.units -= u128::from(taken.units);
        self.counters.draws += draws;
        self.counters.awards += taken.awards;
        self.counters.empties += draws - taken.awards;
    }

    /// Whether anything is available, now that so much was taken.
    fn has_more_than(&self, taken: &Taken) -> bool {
        self.sums.units > u128::from(taken.units) || self.sums.unlimited > 0
    }

    #[cold]
    fn sell_out(&mut self, item: ItemIndex) {
        let weight = self.terms[item.as_usize()].weight_and_retired & !RETIRED;
        self.sums.available_weight -= weight;
        self.sums.available_items -= 1;
        if let Some(selector) = &mut self.selector {
            selector.set(item, 0);
        }
    }

    #[cold]
    fn unknown_item(&self, item: ItemIndex) -> Violation {
        Violation::UnknownItem { pool: self.charter.number, item }
    }

    #[cold]
    fn not_available(&self, item: ItemIndex) -> Violation {
        Violation::NotAvailable { pool: self.charter.number, item }
    }

    /// Takes the outcomes of logged draws.
    ///
    /// # Errors
    /// The place of the outcome that cannot be, and why.
    pub(crate) fn retrace(&mut self, outcomes: &[Outcome]) -> Result<(), (usize, Violation)> {
        let mut taken = Taken::default();
        for (chunk, start) in outcomes.chunks(READ_AHEAD).zip((0..).step_by(READ_AHEAD)) {
            if self.stock.len() > CACHED_ITEMS {
                self.read_ahead(chunk);
            }
            for (place, outcome) in chunk.iter().enumerate() {
                let violation = match outcome.item() {
                    Some(item) => self.take(item, &mut taken).err(),
                    None if !self.has_more_than(&taken) => None,
                    None => Some(self.not_empty(&taken)),
                };
                if let Some(violation) = violation {
                    return Err((start + place, violation));
                }
            }
        }
        let count = u64::try_from(outcomes.len()).expect("a draw has few outcomes");
        self.settle(&taken, count);
        Ok(())
    }

    /// Reads what the takes of these outcomes will read. To take is too long for the processor to
    /// have several under way, so each would wait for the memory alone; these reads overlap.
    fn read_ahead(&self, outcomes: &[Outcome]) {
        let items = outcomes.iter().filter_map(|outcome| outcome.item());
        let stock = items.filter_map(|item| self.stock.get(item.as_usize()));
        let read = stock.fold(0, |read, stock| read ^ stock.awarded_and_mark);
        std::hint::black_box(read);
    }

    #[cold]
    fn not_empty(&self, taken: &Taken) -> Violation {
        let (pool, unlimited) = (self.charter.number, self.sums.unlimited);
        let units = self.sums.units - u128::from(taken.units);
        Violation::NotEmpty { pool, units, unlimited }
    }

    /// Keeps what a draw gave, under its key.
    pub(crate) fn keep_key(&mut self, keyed: KeyedDraw) {
        self.keys.insert(keyed);
    }

    /// Works out what an item is after a change, and whether the change is allowed.
    pub(crate) fn plan_update(
        &self,
        index: ItemIndex,
        change: &ItemChange,
    ) -> Result<Item, Rejection> {
        let mut item = self.changeable_item(index)?;
        match change.quantity {
            None => {}
            Some(QuantityChange::Add(units)) => item = item.with_units_added(units)?,
            Some(QuantityChange::Set { to, expected_version }) => {
                if expected_version != self.catalog_version {
                    return Err(Rejection::VersionMismatch { current: self.catalog_version });
                }
                item = item.with_quantity(to)?;
            }
        }
        if let Some(weight) = change.weight {
            check_listed_weight(self.sums.listed_weight - item.weight, weight)?;
            item.weight = weight;
        }
        Ok(item)
    }

    /// Checks whether an item may be appended.
    pub(crate) fn plan_addition(&self, weight: u64, quantity: Quantity) -> Result<Item, Rejection> {
        self.check_open()?;
        if self.stock.len() >= ITEMS_MAX {
            return Err(Rejection::Full);
        }
        check_listed_weight(self.sums.listed_weight, weight)?;
        Item::new(weight, quantity)
    }

    /// Works out what an item is when it is retired.
    pub(crate) fn plan_retirement(&self, index: ItemIndex) -> Result<Item, Rejection> {
        self.changeable_item(index).map(|item| Item { retired: true, ..item })
    }

    /// Whether the status would change.
    pub(crate) fn plan_status(&self, status: PoolStatus) -> Result<bool, Rejection> {
        if self.status == status {
            return Ok(false);
        }
        self.check_open()?;
        Ok(true)
    }

    fn changeable_item(&self, index: ItemIndex) -> Result<Item, Rejection> {
        self.check_open()?;
        let item = self.item(index).ok_or(Rejection::UnknownItem)?;
        if item.retired { Err(Rejection::RetiredItem) } else { Ok(item) }
    }

    /// Refuses a closed pool, to which nothing changes any more.
    pub(crate) fn check_open(&self) -> Result<(), Rejection> {
        if self.status == PoolStatus::Closed { Err(Rejection::PoolClosed) } else { Ok(()) }
    }

    /// Puts a planned item in the place of an item. The catalogue gets its next version.
    pub(crate) fn change(&mut self, index: ItemIndex, planned: Item) {
        let current = self.item(index).expect("a planned change is of an item of this pool");
        assert_eq!(current.awarded, planned.awarded, "a change awards nothing");
        self.sums.subtract(index, &current);
        self.sums.add(index, &planned);
        let (stock, terms) = pack(&planned);
        self.stock[index.as_usize()] = stock;
        self.terms[index.as_usize()] = terms;
        if let Some(selector) = &mut self.selector {
            selector.set(index, planned.effective_weight());
        }
        self.catalog_version += 1;
    }

    /// Appends a planned item. The catalogue gets its next version.
    pub(crate) fn append(&mut self, planned: &Item) {
        self.push(planned);
        self.catalog_version += 1;
    }

    /// Appends an item of the catalogue with which the pool begins.
    pub(crate) fn push(&mut self, item: &Item) {
        let index = ItemIndex::from_usize(self.stock.len()).expect("a catalogue is bounded");
        let (stock, terms) = pack(item);
        self.stock.push(stock);
        self.terms.push(terms);
        self.sums.add(index, item);
        if let Some(selector) = &mut self.selector {
            selector.push(item.effective_weight());
        }
    }

    /// Sets the status.
    pub(crate) fn set_status(&mut self, status: PoolStatus) {
        self.status = status;
    }

    /// Puts back what a snapshot holds beside items and keys.
    pub(crate) fn restore(&mut self, status: PoolStatus, version: u64, counters: Counters) {
        self.status = status;
        self.catalog_version = version;
        self.counters = counters;
    }

    /// One item.
    pub(crate) fn item(&self, index: ItemIndex) -> Option<Item> {
        let stock = self.stock.get(index.as_usize())?;
        let terms = self.terms.get(index.as_usize())?;
        Some(unpack(*stock, *terms))
    }

    /// The items in catalogue order.
    pub(crate) fn items(&self) -> impl ExactSizeIterator<Item = Item> {
        self.stock.iter().zip(&self.terms).map(|(&stock, &terms)| unpack(stock, terms))
    }

    /// How many items there are, retired ones included.
    pub(crate) fn item_count(&self) -> usize {
        self.stock.len()
    }

    /// What it is made of.
    pub(crate) fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Whether it draws.
    pub(crate) fn status(&self) -> PoolStatus {
        self.status
    }

    /// Version of the catalogue.
    pub(crate) fn catalog_version(&self) -> u64 {
        self.catalog_version
    }

    /// How often it drew.
    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// Units of limited items that can be drawn.
    pub(crate) fn drawable_units(&self) -> u128 {
        self.sums.units
    }

    /// Unlimited items that can be drawn.
    pub(crate) fn drawable_unlimited(&self) -> u64 {
        self.sums.unlimited
    }

    /// Weights of all items that are available.
    pub(crate) fn available_weight(&self) -> u64 {
        self.sums.available_weight
    }

    /// Items that are available.
    pub(crate) fn available_items(&self) -> u64 {
        self.sums.available_items
    }

    /// Weights of all items that are not retired.
    pub(crate) fn listed_weight(&self) -> u64 {
        self.sums.listed_weight
    }

    /// The idempotency keys.
    pub(crate) fn keys(&self) -> &KeyTable {
        &self.keys
    }

    /// The idempotency keys, to put back what a snapshot holds.
    pub(crate) fn keys_mut(&mut self) -> &mut KeyTable {
        &mut self.keys
    }

    /// Appends all that changes to a digest, in constant time.
    pub(crate) fn digest(&self, digest: Digest) -> Digest {
        let status = match self.status {
            PoolStatus::Active => 0,
            PoolStatus::Paused => 1,
            PoolStatus::Closed => 2,
        };
        digest
            .word(u64::from(self.charter.number.0))
            .word(status)
            .word(self.catalog_version)
            .word(self.counters.draws)
            .word(self.counters.awards)
            .word(self.counters.empties)
            .word(self.sums.fingerprint)
            .word(self.keys.summary())
    }

    /// Counts everything again and compares it with what is kept.
    pub(crate) fn check(&self) -> Result<(), Violation> {
        self.check_items()?;
        self.keys.check(self.charter.number)
    }

    /// Counts the items again and compares them with what is kept.
    pub(crate) fn check_items(&self) -> Result<(), Violation> {
        let pool = self.charter.number;
        let mut sums = Sums::default();
        let mut awards: u128 = 0;
        for place in 0..self.stock.len() {
            let index = ItemIndex::from_usize(place).expect("a catalogue is bounded");
            let item = self.checked_item(index)?;
            sums.add(index, &item);
            awards += u128::from(item.awarded);
        }
        let kept = &self.sums;
        let counters = self.counters;
        let attempts = u128::from(counters.awards) + u128::from(counters.empties);
        let pairs = [
            (Sum::Fingerprint, u128::from(kept.fingerprint), u128::from(sums.fingerprint)),
            (Sum::DrawableUnits, kept.units, sums.units),
            (Sum::DrawableUnlimited, u128::from(kept.unlimited), u128::from(sums.unlimited)),
            (Sum::ListedWeight, u128::from(kept.listed_weight), u128::from(sums.listed_weight)),
            (
                Sum::AvailableWeight,
                u128::from(kept.available_weight),
                u128::from(sums.available_weight),
            ),
            (
                Sum::AvailableItems,
                u128::from(kept.available_items),
                u128::from(sums.available_items),
            ),
            (Sum::Awards, u128::from(counters.awards), awards),
            (Sum::Draws, u128::from(counters.draws), attempts),
        ];
        for (sum, kept, counted) in pairs {
            if kept != counted {
                return Err(Violation::Sum { pool, sum, kept, counted });
            }
        }
        if let Some(selector) = &self.selector
            && selector.total() != sums.available_weight
        {
            let (kept, counted) = (u128::from(selector.total()), u128::from(sums.available_weight));
            return Err(Violation::Sum { pool, sum: Sum::SelectorTotal, kept, counted });
        }
        Ok(())
    }

    /// Checks items one by one. Gives how many there were.
    pub(crate) fn check_items_from(&self, from: usize, limit: usize) -> Result<usize, Violation> {
        let end = self.stock.len().min(from.saturating_add(limit));
        for place in from..end {
            self.checked_item(ItemIndex::from_usize(place).expect("a catalogue is bounded"))?;
        }
        Ok(end.saturating_sub(from))
    }

    fn checked_item(&self, index: ItemIndex) -> Result<Item, Violation> {
        let pool = self.charter.number;
        let item = self.item(index).ok_or_else(|| self.unknown_item(index))?;
        let Item { quantity, awarded, granted, .. } = item;
        if !item.is_conserved() {
            return Err(Violation::Conservation { pool, item: index, granted, quantity, awarded });
        }
        let mark = self.stock[index.as_usize()].awarded_and_mark >= DRAWABLE;
        if mark != item.is_drawable() {
            return Err(Violation::DrawableMark { pool, item: index, found: mark });
        }
        let expected = item.effective_weight();
        match self.selector.as_ref().map(|selector| selector.weight(index)) {
            Some(found) if found != expected => {
                Err(Violation::SelectorWeight { pool, item: index, expected, found })
            }
            _ => Ok(item),
        }
    }
}

fn check_listed_weight(others: u64, weight: u64) -> Result<(), Rejection> {
    let sum = others.checked_add(weight).filter(|&sum| sum <= TOTAL_WEIGHT_MAX);
    sum.map(|_| ()).ok_or(Rejection::TotalWeight)
}

fn pack(item: &Item) -> (Stock, Terms) {
    assert!(item.awarded < DRAWABLE, "awards never reach the mark");
    assert!(item.weight < RETIRED, "weights never reach the mark");
    let mark = if item.is_drawable() { DRAWABLE } else { 0 };
    let retired = if item.retired { RETIRED } else { 0 };
    let stock = Stock { quantity: item.quantity, awarded_and_mark: item.awarded | mark };
    (stock, Terms { weight_and_retired: item.weight | retired, granted: item.granted })
}

fn unpack(stock: Stock, terms: Terms) -> Item {
    Item {
        quantity: stock.quantity,
        awarded: stock.awarded_and_mark & !DRAWABLE,
        weight: terms.weight_and_retired & !RETIRED,
        granted: terms.granted,
        retired: terms.weight_and_retired & RETIRED != 0,
    }
}

#[cfg(test)]
mod tests;
