//! The compact format. A record is a tag byte and what belongs to it; integers are little-endian
//! with seven bits a byte and in their shortest form, unless a width is given.
//!
//! | tag | record | fields |
//! |---|---|---|
//! | `0x00` | none: never written, so that no record begins with a zero | |
//! | `0x01` | pool created | pool, name, selector (1 byte), window, keys, outcomes, commitment (32 bytes), count, then for each item name, weight, quantity |
//! | `0x02` | update | pool, item, change (1 byte of flags) and its numbers, quantity, weight, version, note |
//! | `0x03` | item added | pool, index, name, weight, quantity, version, note |
//! | `0x04` | item retired | pool, item, version, note |
//! | `0x05` | pool state changed | pool, status (1 byte), note |
//! | `0x06` | snapshot | position, SHA-256 (32 bytes) |
//! | `0x07` | rotate | next segment, digest (8 bytes) |
//! | `0x08` | marker | |
//! | `0x09` | digest | digest (8 bytes) |
//! | `0x0a` | closed | digest (8 bytes) |
//! | `0x0b`–`0x10` | reserved, in this order: award resolved, stock released, moments seeded, user adjusted, epoch opened, epoch revealed | |
//! | `0x11` | leader epoch | epoch |
//! | `0x12` | secret changed | pool, commitment (32 bytes) |
//! | `0x80`–`0xff` | draw | see below |
//!
//! A draw's tag carries its flags in the low bits. After it follow the first request id (only in
//! the batch's first draw: the ids of a batch have no gaps), the context (pool, version, width in 1
//! byte; only when it differs from the draw before), the count (only when it is not 1), the key's
//! hash (16 bytes) and fingerprint (only when there is a key), and the outcomes.
//!
//! An outcome is an integer of the context's width: the item's index + 1, or all ones when it is
//! empty. It is never 0, so that long draws have no long runs of zero bytes.
//!
//! A text is its length and its bytes. A quantity is the units + 1, or 0 when it is unlimited. A
//! change of units is zigzag-coded. A note is the text of the actor and that of the reason.
use super::cursor::Cursor;
use super::text::{SELECTORS, STATUSES};
use super::{FormatError, FormatFault};
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolStatus, QuantityChange};
use crate::ids::{Epoch, ItemIndex, Outcome, PoolNumber, RequestId};
use crate::limits::{DRAW_COUNT_MAX, QUANTITY_MAX};
use crate::name::{ItemId, PoolId};
use crate::names::{Names, PoolNames};
use crate::quantity::Quantity;
use crate::record::{
    DrawRecord, ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, Record,
    SnapshotRef, Update,
};
use crate::selector::SelectorKind;

const POOL_CREATED: u8 = 0x01;
const UPDATE: u8 = 0x02;
const ITEM_ADDED: u8 = 0x03;
const ITEM_RETIRED: u8 = 0x04;
const POOL_STATE_CHANGED: u8 = 0x05;
const SNAPSHOT: u8 = 0x06;
const ROTATE: u8 = 0x07;
const MARKER: u8 = 0x08;
const DIGEST: u8 = 0x09;
const CLOSED: u8 = 0x0a;
const LEADER_EPOCH: u8 = 0x11;
const SECRET_CHANGED: u8 = 0x12;

const DRAW: u8 = 0x80;
const DRAW_CONTEXT: u8 = 0x01;
const DRAW_KEY: u8 = 0x02;
const DRAW_COUNT: u8 = 0x04;
const DRAW_ALL_OR_NOTHING: u8 = 0x08;
/// Options of later versions follow. This version refuses the draw.
const DRAW_OPTIONS: u8 = 0x10;
const DRAW_RESERVED: u8 = DRAW_OPTIONS | 0x20 | 0x40;

const CHANGE_ADD: u8 = 0x01;
const CHANGE_SET: u8 = 0x02;
const CHANGE_WEIGHT: u8 = 0x04;

const U64_BYTES_MAX: usize = 10;
const U32_BYTES_MAX: usize = 5;
const COUNT_BYTES_MAX: usize = 2;
const KEY_BYTES_MAX: usize = 16 + U64_BYTES_MAX;
/// Tag, request id, context, count, key.
const DRAW_BYTES_MAX: usize =
    1 + U64_BYTES_MAX + CONTEXT_BYTES_MAX + COUNT_BYTES_MAX + KEY_BYTES_MAX;
const CONTEXT_BYTES_MAX: usize = U32_BYTES_MAX + U64_BYTES_MAX + 1;
const OUTCOME_BYTES_MAX: usize = 4;
/// More than the fields of any other record take without its texts and its items.
const RECORD_BYTES_MAX: usize = 96;
const TEXT_BYTES_MAX: usize = 2;
/// A name has at least one byte, and the three numbers beside it too.
const ITEM_BYTES_MIN: usize = 4;

const _: () = assert!(DRAW_COUNT_MAX < 1 << (7 * COUNT_BYTES_MAX));

/// Bytes of an outcome: 1 to 4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Width(u8);

impl Width {
    /// The smallest width that has a number for each item, for empty, and 0 to spare.
    #[inline]
    fn of(items: u32) -> Self {
        Self(match items {
            0..=0xfe => 1,
            0xff..=0xfffe => 2,
            0xffff..=0xff_fffe => 3,
            _ => 4,
        })
    }

    fn bytes(self) -> usize {
        usize::from(self.0)
    }
}

/// What a draw has in common with the draw before it in the batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) pool: PoolNumber,
    width: Width,
    /// Invariant: the pool's items, so that most draws need no look at the names; 0 when another
    /// record came since, which may have added one.
    items: u32,
    pub(super) catalog_version: u64,
}

impl Context {
    /// Whether the written fields are the same.
    fn is_written_as(&self, other: &Self) -> bool {
        let same_catalog = self.catalog_version == other.catalog_version;
        self.pool == other.pool && self.width == other.width && same_catalog
    }
}

pub(super) fn draw_bytes_max(pool: &PoolNames, count: usize) -> usize {
    DRAW_BYTES_MAX + count * Width::of(item_count(pool)).bytes()
}

pub(super) fn record_bytes_max(record: &Record<'_>) -> usize {
    let text = |text: &str| TEXT_BYTES_MAX + text.len();
    let note = |note: &Note| text(note.actor()) + text(note.reason());
    let item = |item: &CatalogItem| text(item.id.as_str()) + 2 * U64_BYTES_MAX;
    let variable = match record {
        Record::Draw(draw) => return DRAW_BYTES_MAX + OUTCOME_BYTES_MAX * draw.outcomes.len(),
        Record::PoolCreated(created) => {
            let items = created.catalog.items().iter();
            text(created.id.as_str()) + items.map(item).sum::<usize>()
        }
        Record::Update(update) => note(&update.note),
        Record::ItemAdded(added) => item(&added.item) + note(&added.note),
        Record::ItemRetired(retired) => note(&retired.note),
        Record::PoolStateChanged(changed) => note(&changed.note),
        Record::Snapshot(_)
        | Record::Rotate { .. }
        | Record::Marker
        | Record::Digest(_)
        | Record::Closed(_)
        | Record::LeaderEpoch(_)
        | Record::SecretChanged { .. } => 0,
    };
    RECORD_BYTES_MAX + variable
}

#[inline]
pub(super) fn encode(
    record: &Record<'_>,
    names: &Names,
    context: &mut Option<Context>,
    out: &mut Vec<u8>,
) {
    match record {
        Record::Draw(draw) => encode_draw(draw, names, context, out),
        Record::PoolCreated(_)
        | Record::Update(_)
        | Record::ItemAdded(_)
        | Record::ItemRetired(_)
        | Record::PoolStateChanged(_)
        | Record::Snapshot(_)
        | Record::Rotate { .. }
        | Record::Marker
        | Record::Digest(_)
        | Record::Closed(_)
        | Record::LeaderEpoch(_)
        | Record::SecretChanged { .. } => {
            forget_items(context);
            encode_rare(record, out);
        }
    }
}

fn forget_items(context: &mut Option<Context>) {
    if let Some(context) = context {
        context.items = 0;
    }
}

#[inline]
fn encode_draw(
    draw: &DrawRecord<'_>,
    names: &Names,
    context: &mut Option<Context>,
    out: &mut Vec<u8>,
) {
    if let (&mut Some(previous), &[outcome], None) = (&mut *context, draw.outcomes, draw.key)
        && previous.pool == draw.pool
        && previous.catalog_version == draw.catalog_version
        && previous.items != 0
    {
        let tag = DRAW | mode_flag(draw.mode);
        return encode_single(tag, outcome, previous.width, previous.items, out);
    }
    encode_any_draw(draw, names, context, out);
}

fn mode_flag(mode: DrawMode) -> u8 {
    match mode {
        DrawMode::BestEffort => 0,
        DrawMode::AllOrNothing => DRAW_ALL_OR_NOTHING,
    }
}

fn encode_any_draw(
    draw: &DrawRecord<'_>,
    names: &Names,
    context: &mut Option<Context>,
    out: &mut Vec<u8>,
) {
    let items = item_count(names.pool(draw.pool).expect("a record's pool exists"));
    let (pool, catalog_version) = (draw.pool, draw.catalog_version);
    let new = Context { pool, width: Width::of(items), items, catalog_version };
    let mut tag = DRAW | mode_flag(draw.mode);
    if !context.is_some_and(|previous| previous.is_written_as(&new)) {
        tag |= DRAW_CONTEXT;
    }
    if draw.key.is_some() {
        tag |= DRAW_KEY;
    }
    if draw.outcomes.len() != 1 {
        tag |= DRAW_COUNT;
    }
    encode_draw_head(tag, draw, context.is_none(), new, out);
    *context = Some(new);
    let valid = match new.width {
        Width(1) => encode_outcomes::<1>(draw.outcomes, items, out),
        Width(2) => encode_outcomes::<2>(draw.outcomes, items, out),
        Width(3) => encode_outcomes::<3>(draw.outcomes, items, out),
        Width(_) => encode_outcomes::<4>(draw.outcomes, items, out),
    };
    assert!(valid, "a draw's items exist");
}

/// A draw like the one before, which is the most frequent record.
#[inline]
fn encode_single(tag: u8, outcome: Outcome, width: Width, items: u32, out: &mut Vec<u8>) {
    let (number, valid) = match width {
        Width(1) => outcome_to_number::<1>(outcome, items),
        Width(2) => outcome_to_number::<2>(outcome, items),
        Width(3) => outcome_to_number::<3>(outcome, items),
        Width(_) => outcome_to_number::<4>(outcome, items),
    };
    assert!(valid, "a draw's item exists");
    let [a, b, c, d] = number.to_le_bytes();
    match width {
        Width(1) => out.extend_from_slice(&[tag, a]),
        Width(2) => out.extend_from_slice(&[tag, a, b]),
        Width(3) => out.extend_from_slice(&[tag, a, b, c]),
        Width(_) => out.extend_from_slice(&[tag, a, b, c, d]),
    }
}

fn encode_draw_head(
    tag: u8,
    draw: &DrawRecord<'_>,
    is_first: bool,
    context: Context,
    out: &mut Vec<u8>,
) {
    out.push(tag);
    if is_first {
        put_number(out, draw.first_request_id.number());
    }
    if tag & DRAW_CONTEXT != 0 {
        put_number(out, u64::from(context.pool.0));
        put_number(out, context.catalog_version);
        out.push(context.width.0);
    }
    if tag & DRAW_COUNT != 0 {
        put_length(out, draw.outcomes.len());
    }
    if let Some(key) = draw.key {
        out.extend_from_slice(&key.hash.0);
        put_number(out, key.fingerprint);
    }
}

const fn all_ones<const W: usize>() -> u32 {
    u32::MAX >> (32 - 8 * W)
}

/// Wrapping, so that the loops over it have no branch; the flag says whether the item exists.
#[inline]
fn outcome_to_number<const W: usize>(outcome: Outcome, items: u32) -> (u32, bool) {
    match outcome.item() {
        Some(item) => (item.number().wrapping_add(1), item.number() < items),
        None => (all_ones::<W>(), true),
    }
}

#[inline]
fn number_to_outcome<const W: usize>(number: u32, items: u32) -> (Outcome, bool) {
    let is_empty = number == all_ones::<W>();
    let index = if is_empty { u32::MAX } else { number.wrapping_sub(1) };
    let outcome = ItemIndex::new(index).map_or(Outcome::EMPTY, Outcome::award);
    (outcome, is_empty || index < items)
}

/// Whether all items exist. The bytes are of no use otherwise.
#[inline]
fn encode_outcomes<const W: usize>(outcomes: &[Outcome], items: u32, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    out.resize(start + outcomes.len() * W, 0);
    let (numbers, _none) = out.get_mut(start..).unwrap_or_default().as_chunks_mut::<W>();
    let mut valid = true;
    for (bytes, &outcome) in numbers.iter_mut().zip(outcomes) {
        let (number, exists) = outcome_to_number::<W>(outcome, items);
        valid &= exists;
        bytes.copy_from_slice(&number.to_le_bytes()[..W]);
    }
    valid
}

/// Whether all items exist. The outcomes are of no use otherwise.
#[inline]
fn decode_outcomes<const W: usize>(bytes: &[u8], items: u32, outcomes: &mut [Outcome]) -> bool {
    let (numbers, _none) = bytes.as_chunks::<W>();
    let mut valid = true;
    for (bytes, outcome) in numbers.iter().zip(outcomes) {
        let mut number = [0; 4];
        number[..W].copy_from_slice(bytes);
        let exists;
        (*outcome, exists) = number_to_outcome::<W>(u32::from_le_bytes(number), items);
        valid &= exists;
    }
    valid
}

fn item_count(pool: &PoolNames) -> u32 {
    u32::try_from(pool.items().len()).expect("a catalogue is bounded")
}

#[cold]
#[inline(never)]
fn encode_rare(record: &Record<'_>, out: &mut Vec<u8>) {
    match record {
        Record::Draw(_) => unreachable!("a draw is encoded with its context"),
        Record::PoolCreated(created) => encode_pool_created(created, out),
        Record::Update(update) => encode_update(update, out),
        Record::ItemAdded(added) => {
            put_head(out, ITEM_ADDED, added.pool);
            put_number(out, u64::from(added.index.number()));
            put_item(out, &added.item);
            put_number(out, added.catalog_version);
            put_note(out, &added.note);
        }
        Record::ItemRetired(retired) => {
            put_head(out, ITEM_RETIRED, retired.pool);
            put_number(out, u64::from(retired.item.number()));
            put_number(out, retired.catalog_version);
            put_note(out, &retired.note);
        }
        Record::PoolStateChanged(changed) => {
            put_head(out, POOL_STATE_CHANGED, changed.pool);
            out.push(STATUSES.code(changed.status));
            put_note(out, &changed.note);
        }
        Record::Snapshot(snapshot) => {
            out.push(SNAPSHOT);
            put_number(out, snapshot.lsn);
            out.extend_from_slice(&snapshot.sha256);
        }
        &Record::Rotate { next_segment, digest } => {
            out.push(ROTATE);
            put_number(out, u64::from(next_segment));
            out.extend_from_slice(&digest.to_le_bytes());
        }
        Record::Marker => out.push(MARKER),
        Record::Digest(digest) => {
            out.push(DIGEST);
            out.extend_from_slice(&digest.to_le_bytes());
        }
        Record::Closed(digest) => {
            out.push(CLOSED);
            out.extend_from_slice(&digest.to_le_bytes());
        }
        Record::LeaderEpoch(epoch) => {
            out.push(LEADER_EPOCH);
            put_number(out, u64::from(epoch.0));
        }
        Record::SecretChanged { pool, commitment } => {
            put_head(out, SECRET_CHANGED, *pool);
            out.extend_from_slice(commitment);
        }
    }
}

fn encode_pool_created(created: &PoolCreated, out: &mut Vec<u8>) {
    put_head(out, POOL_CREATED, created.pool);
    put_text(out, created.id.as_str());
    out.push(SELECTORS.code(created.selector));
    put_number(out, created.keys.window_ms);
    put_number(out, created.keys.keys_max);
    put_number(out, created.keys.outcomes_max);
    out.extend_from_slice(&created.commitment);
    put_length(out, created.catalog.items().len());
    for item in created.catalog.items() {
        put_item(out, item);
    }
}

fn encode_update(update: &Update, out: &mut Vec<u8>) {
    put_head(out, UPDATE, update.pool);
    put_number(out, u64::from(update.item.number()));
    let flags = match update.change.quantity {
        None => 0,
        Some(QuantityChange::Add(_)) => CHANGE_ADD,
        Some(QuantityChange::Set { .. }) => CHANGE_SET,
    };
    out.push(flags | if update.change.weight.is_some() { CHANGE_WEIGHT } else { 0 });
    match update.change.quantity {
        None => {}
        Some(QuantityChange::Add(units)) => put_signed(out, units),
        Some(QuantityChange::Set { to, expected_version }) => {
            put_quantity(out, to);
            put_number(out, expected_version);
        }
    }
    if let Some(weight) = update.change.weight {
        put_number(out, weight);
    }
    put_quantity(out, update.quantity);
    put_number(out, update.weight);
    put_number(out, update.catalog_version);
    put_note(out, &update.note);
}

fn put_head(out: &mut Vec<u8>, tag: u8, pool: PoolNumber) {
    out.push(tag);
    put_number(out, u64::from(pool.0));
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put_number(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    put_number(out, u64::try_from(length).expect("a length fits 64 bits"));
}

fn put_quantity(out: &mut Vec<u8>, quantity: Quantity) {
    put_number(
        out,
        match quantity {
            Quantity::Limited(units) => {
                assert!(units <= QUANTITY_MAX, "units are bounded");
                units + 1
            }
            Quantity::Unlimited => 0,
        },
    );
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_length(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_item(out: &mut Vec<u8>, item: &CatalogItem) {
    put_text(out, item.id.as_str());
    put_number(out, item.weight);
    put_quantity(out, item.quantity);
}

fn put_note(out: &mut Vec<u8>, note: &Note) {
    put_text(out, note.actor());
    put_text(out, note.reason());
}

/// The outcome and the mode of a draw like the one before with one outcome, which is the most
/// frequent record. `None` when the next record is another, or is wrong: [`decode`] tells then.
///
/// The caller makes the record in place: moving one costs more than all of this.
#[inline]
pub(super) fn decode_single(
    cursor: &mut Cursor<'_>,
    context: &Context,
    names: &Names,
) -> Option<(Outcome, DrawMode)> {
    let (&tag, bytes) = cursor.rest().split_first()?;
    if tag & !DRAW_ALL_OR_NOTHING != DRAW {
        return None;
    }
    let &Context { pool, width, items, .. } = context;
    if items == 0 {
        return None;
    }
    debug_assert_eq!(names.pool(pool).map(item_count), Some(items), "a draw adds no items");
    let (outcome, exists) = match (width, bytes) {
        (Width(1), &[a, ..]) => number_to_outcome::<1>(u32::from(a), items),
        (Width(2), &[a, b, ..]) => number_to_outcome::<2>(u32::from_le_bytes([a, b, 0, 0]), items),
        (Width(3), &[a, b, c, ..]) => {
            number_to_outcome::<3>(u32::from_le_bytes([a, b, c, 0]), items)
        }
        (Width(4), &[a, b, c, d, ..]) => {
            number_to_outcome::<4>(u32::from_le_bytes([a, b, c, d]), items)
        }
        _ => return None,
    };
    if !exists {
        return None;
    }
    cursor.skip(1 + width.bytes());
    Some((outcome, mode_of(tag)))
}

#[inline]
fn mode_of(tag: u8) -> DrawMode {
    if tag & DRAW_ALL_OR_NOTHING == 0 { DrawMode::BestEffort } else { DrawMode::AllOrNothing }
}

/// `next_id` is what follows the draws before, `None` before the first of the batch.
#[inline]
pub(super) fn decode<'o>(
    cursor: &mut Cursor<'_>,
    context: &mut Option<Context>,
    next_id: Option<RequestId>,
    names: &Names,
    outcomes: &'o mut Vec<Outcome>,
) -> Result<Record<'o>, FormatError> {
    let start = *cursor;
    let tag = cursor.byte()?;
    if tag & DRAW == 0 {
        forget_items(context);
        return decode_rare(tag, &start, cursor, names);
    }
    if tag & DRAW_RESERVED != 0 {
        return Err(start.fault(FormatFault::UnknownFlags { flags: tag & DRAW_RESERVED }));
    }
    let first_request_id = match next_id {
        Some(next) => next,
        None => take_request_id(cursor)?,
    };
    let mut current = match *context {
        Some(previous) if tag & DRAW_CONTEXT == 0 => previous,
        previous => take_context(tag, previous, cursor)?,
    };
    let count = if tag & DRAW_COUNT == 0 { 1 } else { take_draw_count(cursor)? };
    let key = if tag & DRAW_KEY == 0 { None } else { Some(take_key(cursor)?) };
    let Some(pool) = names.pool(current.pool) else {
        return Err(start.fault(FormatFault::UnknownPool));
    };
    let items = item_count(pool);
    let width = Width::of(items);
    if width != current.width {
        let (expected, found) = (width.0, current.width.0);
        return Err(start.fault(FormatFault::OutcomeWidth { expected, found }));
    }
    let before = *cursor;
    let bytes = cursor.take(count * width.bytes())?;
    // The length is bounded by the payload here. Lists of equal length need no new zeros.
    outcomes.resize(count, Outcome::EMPTY);
    let valid = match width {
        Width(1) => decode_outcomes::<1>(bytes, items, outcomes),
        Width(2) => decode_outcomes::<2>(bytes, items, outcomes),
        Width(3) => decode_outcomes::<3>(bytes, items, outcomes),
        Width(_) => decode_outcomes::<4>(bytes, items, outcomes),
    };
    if !valid {
        return Err(before.fault(FormatFault::UnknownItem));
    }
    current.items = items;
    *context = Some(current);
    let mode = mode_of(tag);
    let (pool, catalog_version) = (current.pool, current.catalog_version);
    Ok(Record::Draw(DrawRecord { pool, catalog_version, first_request_id, outcomes, mode, key }))
}

#[cold]
fn take_request_id(cursor: &mut Cursor<'_>) -> Result<RequestId, FormatError> {
    let start = *cursor;
    RequestId::new(take_number(cursor)?).ok_or_else(|| start.fault(FormatFault::RequestIdRange))
}

fn take_context(
    tag: u8,
    previous: Option<Context>,
    cursor: &mut Cursor<'_>,
) -> Result<Context, FormatError> {
    let start = *cursor;
    if tag & DRAW_CONTEXT == 0 {
        return Err(start.fault(FormatFault::MissingContext));
    }
    let pool = PoolNumber(take_u32(cursor)?);
    let catalog_version = take_number(cursor)?;
    let width = Width(cursor.byte()?);
    let context = Context { pool, width, items: 0, catalog_version };
    if previous.is_some_and(|previous| previous.is_written_as(&context)) {
        return Err(start.fault(FormatFault::RepeatedContext));
    }
    Ok(context)
}

fn take_draw_count(cursor: &mut Cursor<'_>) -> Result<usize, FormatError> {
    let start = *cursor;
    match usize::try_from(take_number(cursor)?) {
        Ok(1) => Err(start.fault(FormatFault::NumberForm)),
        Ok(count @ 2..) if count <= usize::from(DRAW_COUNT_MAX) => Ok(count),
        _ => Err(start.fault(FormatFault::DrawCount)),
    }
}

fn take_key(cursor: &mut Cursor<'_>) -> Result<KeyStamp, FormatError> {
    Ok(KeyStamp { hash: KeyHash(cursor.array()?), fingerprint: take_number(cursor)? })
}

#[cold]
#[inline(never)]
fn decode_rare<'o>(
    tag: u8,
    start: &Cursor<'_>,
    cursor: &mut Cursor<'_>,
    names: &Names,
) -> Result<Record<'o>, FormatError> {
    Ok(match tag {
        POOL_CREATED => Record::PoolCreated(Box::new(decode_pool_created(cursor, names)?)),
        UPDATE => Record::Update(Box::new(decode_update(cursor, names)?)),
        ITEM_ADDED => Record::ItemAdded(Box::new(decode_item_added(cursor, names)?)),
        ITEM_RETIRED => {
            let (pool, pool_names) = take_pool(cursor, names)?;
            Record::ItemRetired(Box::new(ItemRetired {
                pool,
                item: take_item_index(cursor, pool_names)?,
                catalog_version: take_number(cursor)?,
                note: take_note(cursor)?,
            }))
        }
        POOL_STATE_CHANGED => {
            let (pool, _names) = take_pool(cursor, names)?;
            let (status, note) = (take_status(cursor)?, take_note(cursor)?);
            Record::PoolStateChanged(Box::new(PoolStateChanged { pool, status, note }))
        }
        SNAPSHOT => {
            let lsn = take_number(cursor)?;
            Record::Snapshot(SnapshotRef { lsn, sha256: cursor.array()? })
        }
        ROTATE => {
            let next_segment = take_u32(cursor)?;
            Record::Rotate { next_segment, digest: take_digest(cursor)? }
        }
        MARKER => Record::Marker,
        DIGEST => Record::Digest(take_digest(cursor)?),
        CLOSED => Record::Closed(take_digest(cursor)?),
        LEADER_EPOCH => Record::LeaderEpoch(Epoch(take_u32(cursor)?)),
        SECRET_CHANGED => {
            let (pool, _names) = take_pool(cursor, names)?;
            Record::SecretChanged { pool, commitment: cursor.array()? }
        }
        tag => return Err(start.fault(FormatFault::UnknownRecord { tag })),
    })
}

fn decode_pool_created(cursor: &mut Cursor<'_>, names: &Names) -> Result<PoolCreated, FormatError> {
    let start = *cursor;
    let pool = PoolNumber(take_u32(cursor)?);
    let name = *cursor;
    let id = PoolId::new(take_text(cursor)?).map_err(|error| name.fault(error.into()))?;
    if pool.as_usize() != names.pools().len() || names.find(id.as_str()).is_some() {
        return Err(start.fault(FormatFault::NotANewPool));
    }
    let selector = take_selector(cursor)?;
    let keys = KeyLimits {
        window_ms: take_number(cursor)?,
        keys_max: take_number(cursor)?,
        outcomes_max: take_number(cursor)?,
    };
    let commitment = cursor.array()?;
    let list = *cursor;
    let count = usize::try_from(take_number(cursor)?).unwrap_or(usize::MAX);
    // A count that the payload cannot hold must not decide how much memory is asked for.
    if count > cursor.rest().len() / ITEM_BYTES_MIN + 1 {
        return Err(list.fault(FormatFault::Truncated));
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        items.push(take_item(cursor)?);
    }
    let catalog = Catalog::new(items).map_err(|error| list.fault(error.into()))?;
    Ok(PoolCreated { pool, id, catalog, selector, keys, commitment })
}

fn decode_update(cursor: &mut Cursor<'_>, names: &Names) -> Result<Update, FormatError> {
    let (pool, pool_names) = take_pool(cursor, names)?;
    let item = take_item_index(cursor, pool_names)?;
    let start = *cursor;
    let flags = cursor.byte()?;
    let quantity = match flags & !CHANGE_WEIGHT {
        0 => None,
        CHANGE_ADD => Some(QuantityChange::Add(take_signed(cursor)?)),
        CHANGE_SET => {
            let to = take_quantity(cursor)?;
            Some(QuantityChange::Set { to, expected_version: take_number(cursor)? })
        }
        _ => return Err(start.fault(FormatFault::UnknownValue)),
    };
    let weight = if flags & CHANGE_WEIGHT == 0 { None } else { Some(take_number(cursor)?) };
    Ok(Update {
        pool,
        item,
        change: ItemChange { quantity, weight },
        quantity: take_quantity(cursor)?,
        weight: take_number(cursor)?,
        catalog_version: take_number(cursor)?,
        note: take_note(cursor)?,
    })
}

fn decode_item_added(cursor: &mut Cursor<'_>, names: &Names) -> Result<ItemAdded, FormatError> {
    let (pool, pool_names) = take_pool(cursor, names)?;
    let start = *cursor;
    let index = ItemIndex::new(take_u32(cursor)?);
    let item = take_item(cursor)?;
    let next = ItemIndex::from_usize(pool_names.items().len());
    let Some(index) =
        index.filter(|_| index == next && pool_names.find(item.id.as_str()).is_none())
    else {
        return Err(start.fault(FormatFault::NotANewItem));
    };
    let (catalog_version, note) = (take_number(cursor)?, take_note(cursor)?);
    Ok(ItemAdded { pool, index, item, catalog_version, note })
}

fn take_number(cursor: &mut Cursor<'_>) -> Result<u64, FormatError> {
    let start = *cursor;
    let mut number = 0;
    for shift in (0..).step_by(7).take(U64_BYTES_MAX) {
        let byte = cursor.byte()?;
        let digit = u64::from(byte & 0x7f);
        if digit << shift >> shift != digit {
            return Err(start.fault(FormatFault::NumberRange));
        }
        number |= digit << shift;
        if byte < 0x80 {
            let is_shortest = byte != 0 || shift == 0;
            return if is_shortest {
                Ok(number)
            } else {
                Err(start.fault(FormatFault::NumberForm))
            };
        }
    }
    Err(start.fault(FormatFault::NumberRange))
}

fn take_u32(cursor: &mut Cursor<'_>) -> Result<u32, FormatError> {
    let start = *cursor;
    let number = take_number(cursor)?;
    u32::try_from(number).map_err(|_| start.fault(FormatFault::NumberRange))
}

fn take_signed(cursor: &mut Cursor<'_>) -> Result<i64, FormatError> {
    let number = take_number(cursor)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

fn take_digest(cursor: &mut Cursor<'_>) -> Result<u64, FormatError> {
    Ok(u64::from_le_bytes(cursor.array()?))
}

fn take_quantity(cursor: &mut Cursor<'_>) -> Result<Quantity, FormatError> {
    let start = *cursor;
    match take_number(cursor)?.checked_sub(1) {
        None => Ok(Quantity::Unlimited),
        Some(units) if units <= QUANTITY_MAX => Ok(Quantity::Limited(units)),
        Some(_) => Err(start.fault(FormatFault::NumberRange)),
    }
}

fn take_text<'p>(cursor: &mut Cursor<'p>) -> Result<&'p str, FormatError> {
    let length = usize::try_from(take_number(cursor)?).unwrap_or(usize::MAX);
    let start = *cursor;
    str::from_utf8(cursor.take(length)?).map_err(|_| start.fault(FormatFault::Utf8))
}

fn take_item(cursor: &mut Cursor<'_>) -> Result<CatalogItem, FormatError> {
    let start = *cursor;
    let id = ItemId::new(take_text(cursor)?).map_err(|error| start.fault(error.into()))?;
    Ok(CatalogItem { id, weight: take_number(cursor)?, quantity: take_quantity(cursor)? })
}

fn take_note(cursor: &mut Cursor<'_>) -> Result<Note, FormatError> {
    let start = *cursor;
    let (actor, reason) = (take_text(cursor)?, take_text(cursor)?);
    Note::new(actor, reason).ok_or_else(|| start.fault(FormatFault::Note))
}

fn take_pool<'n>(
    cursor: &mut Cursor<'_>,
    names: &'n Names,
) -> Result<(PoolNumber, &'n PoolNames), FormatError> {
    let start = *cursor;
    let pool = PoolNumber(take_u32(cursor)?);
    let found = names.pool(pool).map(|names| (pool, names));
    found.ok_or_else(|| start.fault(FormatFault::UnknownPool))
}

fn take_item_index(cursor: &mut Cursor<'_>, pool: &PoolNames) -> Result<ItemIndex, FormatError> {
    let start = *cursor;
    let item = ItemIndex::new(take_u32(cursor)?).filter(|item| pool.items().get(*item).is_some());
    item.ok_or_else(|| start.fault(FormatFault::UnknownItem))
}

fn take_selector(cursor: &mut Cursor<'_>) -> Result<SelectorKind, FormatError> {
    let start = *cursor;
    SELECTORS.at(cursor.byte()?).ok_or_else(|| start.fault(FormatFault::UnknownValue))
}

fn take_status(cursor: &mut Cursor<'_>) -> Result<PoolStatus, FormatError> {
    let start = *cursor;
    STATUSES.at(cursor.byte()?).ok_or_else(|| start.fault(FormatFault::UnknownValue))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_leave_room_for_empty() {
        for (items, width) in [
            (0, 1),
            (254, 1),
            (255, 2),
            (65_534, 2),
            (65_535, 3),
            (0xff_fffe, 3),
            (0xff_ffff, 4),
            (u32::MAX, 4),
        ] {
            assert_eq!(Width::of(items), Width(width), "{items} items");
        }
    }

    /// No catalogue is large enough for the widest outcomes yet.
    #[test]
    fn the_widest_outcomes_survive() {
        let award = |index| Outcome::award(ItemIndex::new(index).unwrap());
        let outcomes = [award(0), Outcome::EMPTY, award(u32::MAX - 2), award(0x0100_0000)];
        let mut bytes = vec![7];
        assert!(encode_outcomes::<4>(&outcomes, u32::MAX - 1, &mut bytes));
        let mut decoded = [Outcome::EMPTY; 4];
        assert!(decode_outcomes::<4>(&bytes[1..], u32::MAX - 1, &mut decoded));
        assert_eq!(decoded, outcomes);
        assert!(!decode_outcomes::<4>(&bytes[1..], u32::MAX - 2, &mut decoded));
    }

    #[test]
    fn signed_numbers_survive() {
        for number in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, number);
            assert_eq!(take_signed(&mut Cursor::new(&bytes, 0)), Ok(number));
            assert_eq!(bytes.len() == 1, (-64..64).contains(&number));
        }
    }
}
