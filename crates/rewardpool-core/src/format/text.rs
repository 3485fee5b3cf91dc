//! What the two text formats share: which fields a record has, in which order, and how numbers and
//! hashes are written. The formats themselves only know how a field looks.
//!
//! Invariant: reading accepts only what writing produces, field by field, so a line has no second
//! form.
//!
//! Reserved types of records to come, which this version refuses: `award_resolved`,
//! `stock_released`, `moments_seeded`, `user_adjusted`, `epoch_opened`, `epoch_revealed`.
use std::borrow::Cow;

use super::cursor::Cursor;
use super::{FormatError, FormatFault};
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolStatus, QuantityChange};
use crate::ids::{Epoch, ItemIndex, Lsn, Outcome, PoolNumber, RequestId};
use crate::limits::DRAW_COUNT_MAX;
use crate::name::{ItemId, PoolId};
use crate::names::{ItemNames, Names, PoolNames};
use crate::quantity::Quantity;
use crate::record::{
    DrawRecord, ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, Record,
    SnapshotRef, Update,
};
use crate::selector::SelectorKind;

/// A closed list of values. The place is the value's code in the binary format, the text its name
/// in the others, so neither ever changes.
pub(super) struct Choices<T: 'static>(&'static [(T, &'static str)]);

pub(super) const MODES: Choices<DrawMode> =
    Choices(&[(DrawMode::BestEffort, "best_effort"), (DrawMode::AllOrNothing, "all_or_nothing")]);

pub(super) const SELECTORS: Choices<SelectorKind> = Choices(&[
    (SelectorKind::Auto, "auto"),
    (SelectorKind::Fenwick, "fenwick"),
    (SelectorKind::PrefixSum, "prefix_sum"),
    (SelectorKind::SumTree, "sum_tree"),
]);

pub(super) const STATUSES: Choices<PoolStatus> = Choices(&[
    (PoolStatus::Active, "active"),
    (PoolStatus::Paused, "paused"),
    (PoolStatus::Closed, "closed"),
]);

impl<T: Copy + PartialEq> Choices<T> {
    pub(super) fn code(&self, value: T) -> u8 {
        let place = self.0.iter().position(|(known, _)| *known == value);
        place.and_then(|place| u8::try_from(place).ok()).expect("every value is listed")
    }

    pub(super) fn at(&self, code: u8) -> Option<T> {
        self.0.get(usize::from(code)).map(|(value, _)| *value)
    }

    fn name(&self, value: T) -> &'static str {
        let found = self.0.iter().find(|(known, _)| *known == value);
        found.map(|(_, name)| *name).expect("every value is listed")
    }

    fn named(&self, name: &str) -> Option<T> {
        self.0.iter().find(|(_, known)| *known == name).map(|(value, _)| *value)
    }
}

/// Writes the fields of one record in the order in which they come.
pub(super) trait FieldWriter {
    fn start(&mut self, lsn: Lsn, kind: &str);
    fn text(&mut self, field: &str, text: &str);
    fn unsigned(&mut self, field: &str, number: u64);
    fn signed(&mut self, field: &str, number: i64);
    fn hex(&mut self, field: &str, bytes: &[u8]);
    /// In place of an optional field that has no value.
    fn absent(&mut self);
    fn outcomes(&mut self, field: &str, names: &ItemNames, outcomes: &[Outcome]);
    fn items(&mut self, field: &str, items: &[CatalogItem]);
    fn end(&mut self);
}

/// Reads the fields of one record in the order in which they come: first [`FieldReader::field`],
/// then its value.
pub(super) trait FieldReader<'p> {
    fn cursor(&mut self) -> &mut Cursor<'p>;
    /// The position and the type of the record.
    fn start(&mut self) -> Result<(u64, &'p [u8]), FormatError>;
    fn field(&mut self, field: &'static str) -> Result<(), FormatError>;
    /// Whether the optional field has a value, which is next then.
    fn optional_field(&mut self, field: &'static str) -> Result<bool, FormatError>;
    fn text(&mut self) -> Result<Cow<'p, str>, FormatError>;
    fn hex<const N: usize>(&mut self) -> Result<[u8; N], FormatError>;
    fn open_list(&mut self, field: &'static str) -> Result<(), FormatError>;
    /// Whether the list goes on after an element. No list is empty.
    fn more_elements(&mut self) -> Result<bool, FormatError>;
    /// An element of a list of outcomes: a name, or `None` when it is empty.
    fn outcome(&mut self) -> Result<Option<Cow<'p, str>>, FormatError>;
    /// An element of a list of items: name, weight, quantity.
    fn item(&mut self) -> Result<(Cow<'p, str>, u64, i64), FormatError>;
    fn end(&mut self) -> Result<(), FormatError>;
}

pub(super) fn put_unsigned(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn put_signed(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend([byte >> 4, byte & 0x0f].map(|nibble| hex_digit(nibble, b'a')));
    }
}

/// The digit of a number below 16; `ten` is `a` or `A`.
pub(super) fn hex_digit(nibble: u8, ten: u8) -> u8 {
    assert!(nibble < 16, "a digit is below its base");
    if nibble < 10 { b'0' + nibble } else { ten + (nibble - 10) }
}

pub(super) fn take_unsigned(cursor: &mut Cursor<'_>) -> Result<u64, FormatError> {
    let start = *cursor;
    let digits = cursor.take_while(|byte| byte.is_ascii_digit());
    let mut number = 0_u64;
    for digit in digits {
        let next = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
        number = next.ok_or_else(|| start.fault(FormatFault::NumberRange))?;
    }
    match digits {
        [] | [b'0', _, ..] => Err(start.fault(FormatFault::NumberForm)),
        _ => Ok(number),
    }
}

pub(super) fn take_signed(cursor: &mut Cursor<'_>) -> Result<i64, FormatError> {
    let start = *cursor;
    let is_negative = cursor.eat(b"-");
    let number = take_unsigned(cursor)?;
    if !is_negative {
        return i64::try_from(number).map_err(|_| start.fault(FormatFault::NumberRange));
    }
    if number == 0 {
        return Err(start.fault(FormatFault::NumberForm));
    }
    0_i64.checked_sub_unsigned(number).ok_or_else(|| start.fault(FormatFault::NumberRange))
}

pub(super) fn take_hex<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], FormatError> {
    let start = *cursor;
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let high = cursor.peek().and_then(value).ok_or_else(|| start.fault(FormatFault::Hex))?;
        cursor.byte()?;
        let low = cursor.peek().and_then(value).ok_or_else(|| start.fault(FormatFault::Hex))?;
        cursor.byte()?;
        *byte = high << 4 | low;
    }
    Ok(bytes)
}

/// The name of a type of records.
pub(super) fn take_kind<'p>(cursor: &mut Cursor<'p>) -> &'p [u8] {
    cursor.take_while(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

pub(super) fn write_record(
    lsn: Lsn,
    record: &Record<'_>,
    names: &Names,
    writer: &mut impl FieldWriter,
) {
    match record {
        Record::Draw(draw) => write_draw(lsn, draw, names, writer),
        Record::PoolCreated(created) => write_pool_created(lsn, created, writer),
        Record::Update(update) => write_update(lsn, update, names, writer),
        Record::ItemAdded(added) => {
            writer.start(lsn, "item_added");
            writer.text("pool", pool_of(names, added.pool).id().as_str());
            writer.unsigned("index", u64::from(added.index.number()));
            writer.text("item", added.item.id.as_str());
            writer.unsigned("weight", added.item.weight);
            writer.signed("quantity", added.item.quantity.to_number());
            writer.unsigned("catalog_version", added.catalog_version);
            write_note(&added.note, writer);
        }
        Record::ItemRetired(retired) => {
            let pool = pool_of(names, retired.pool);
            writer.start(lsn, "item_retired");
            writer.text("pool", pool.id().as_str());
            writer.text("item", item_of(pool.items(), retired.item).as_str());
            writer.unsigned("catalog_version", retired.catalog_version);
            write_note(&retired.note, writer);
        }
        Record::PoolStateChanged(changed) => {
            writer.start(lsn, "pool_state_changed");
            writer.text("pool", pool_of(names, changed.pool).id().as_str());
            writer.text("status", STATUSES.name(changed.status));
            write_note(&changed.note, writer);
        }
        Record::Snapshot(snapshot) => {
            writer.start(lsn, "snapshot");
            writer.unsigned("snapshot_lsn", snapshot.lsn);
            writer.hex("sha256", &snapshot.sha256);
        }
        &Record::Rotate { next_segment, digest } => {
            writer.start(lsn, "rotate");
            writer.unsigned("next_segment", u64::from(next_segment));
            writer.hex("digest", &digest.to_be_bytes());
        }
        Record::Marker => writer.start(lsn, "marker"),
        Record::Digest(digest) => {
            writer.start(lsn, "digest");
            writer.hex("digest", &digest.to_be_bytes());
        }
        Record::Closed(digest) => {
            writer.start(lsn, "closed");
            writer.hex("digest", &digest.to_be_bytes());
        }
        Record::LeaderEpoch(epoch) => {
            writer.start(lsn, "leader_epoch");
            writer.unsigned("epoch", u64::from(epoch.0));
        }
        Record::SecretChanged { pool, commitment } => {
            writer.start(lsn, "secret_changed");
            writer.text("pool", pool_of(names, *pool).id().as_str());
            writer.hex("commitment", commitment);
        }
    }
    writer.end();
}

fn write_draw(lsn: Lsn, draw: &DrawRecord<'_>, names: &Names, writer: &mut impl FieldWriter) {
    let pool = pool_of(names, draw.pool);
    writer.start(lsn, "draw");
    writer.text("pool", pool.id().as_str());
    writer.unsigned("first_request_id", draw.first_request_id.number());
    writer.unsigned("catalog_version", draw.catalog_version);
    writer.text("mode", MODES.name(draw.mode));
    if let Some(key) = draw.key {
        writer.hex("key", &key.hash.0);
        writer.unsigned("fingerprint", key.fingerprint);
    } else {
        writer.absent();
        writer.absent();
    }
    writer.outcomes("items", pool.items(), draw.outcomes);
}

fn write_pool_created(lsn: Lsn, created: &PoolCreated, writer: &mut impl FieldWriter) {
    writer.start(lsn, "pool_created");
    writer.text("pool", created.id.as_str());
    writer.unsigned("number", u64::from(created.pool.0));
    writer.text("selector", SELECTORS.name(created.selector));
    writer.unsigned("key_window_ms", created.keys.window_ms);
    writer.unsigned("keys_max", created.keys.keys_max);
    writer.unsigned("key_outcomes_max", created.keys.outcomes_max);
    writer.hex("commitment", &created.commitment);
    writer.items("items", created.catalog.items());
}

fn write_update(lsn: Lsn, update: &Update, names: &Names, writer: &mut impl FieldWriter) {
    let pool = pool_of(names, update.pool);
    writer.start(lsn, "update");
    writer.text("pool", pool.id().as_str());
    writer.text("item", item_of(pool.items(), update.item).as_str());
    match update.change.quantity {
        None => {
            writer.absent();
            writer.absent();
            writer.absent();
        }
        Some(QuantityChange::Add(units)) => {
            writer.signed("add_quantity", units);
            writer.absent();
            writer.absent();
        }
        Some(QuantityChange::Set { to, expected_version }) => {
            writer.absent();
            writer.signed("set_quantity", to.to_number());
            writer.unsigned("expected_version", expected_version);
        }
    }
    match update.change.weight {
        Some(weight) => writer.unsigned("set_weight", weight),
        None => writer.absent(),
    }
    writer.signed("quantity", update.quantity.to_number());
    writer.unsigned("weight", update.weight);
    writer.unsigned("catalog_version", update.catalog_version);
    write_note(&update.note, writer);
}

fn write_note(note: &Note, writer: &mut impl FieldWriter) {
    writer.text("actor", note.actor());
    writer.text("reason", note.reason());
}

fn pool_of(names: &Names, pool: PoolNumber) -> &PoolNames {
    names.pool(pool).expect("a record's pool exists")
}

pub(super) fn item_of(names: &ItemNames, item: ItemIndex) -> &ItemId {
    names.get(item).expect("a record's item exists")
}

pub(super) fn read_record<'p, 'o>(
    lsn: Lsn,
    names: &Names,
    outcomes: &'o mut Vec<Outcome>,
    reader: &mut impl FieldReader<'p>,
) -> Result<Record<'o>, FormatError> {
    let start = *reader.cursor();
    let (found, kind) = reader.start()?;
    if found != lsn.number() {
        return Err(start.fault(FormatFault::Lsn { expected: lsn.number(), found }));
    }
    let record = match kind {
        b"draw" => read_draw(names, outcomes, reader)?,
        b"pool_created" => Record::PoolCreated(Box::new(read_pool_created(names, reader)?)),
        b"update" => Record::Update(Box::new(read_update(names, reader)?)),
        b"item_added" => Record::ItemAdded(Box::new(read_item_added(names, reader)?)),
        b"item_retired" => {
            let (pool, pool_names) = read_pool(names, reader)?;
            Record::ItemRetired(Box::new(ItemRetired {
                pool,
                item: read_item_name(pool_names, reader)?,
                catalog_version: read_unsigned("catalog_version", reader)?,
                note: read_note(reader)?,
            }))
        }
        b"pool_state_changed" => {
            let (pool, _names) = read_pool(names, reader)?;
            let status = read_choice("status", &STATUSES, reader)?;
            let note = read_note(reader)?;
            Record::PoolStateChanged(Box::new(PoolStateChanged { pool, status, note }))
        }
        b"snapshot" => Record::Snapshot(SnapshotRef {
            lsn: read_unsigned("snapshot_lsn", reader)?,
            sha256: read_hex("sha256", reader)?,
        }),
        b"rotate" => Record::Rotate {
            next_segment: read_u32("next_segment", reader)?,
            digest: read_digest(reader)?,
        },
        b"marker" => Record::Marker,
        b"digest" => Record::Digest(read_digest(reader)?),
        b"closed" => Record::Closed(read_digest(reader)?),
        b"leader_epoch" => Record::LeaderEpoch(Epoch(read_u32("epoch", reader)?)),
        b"secret_changed" => {
            let (pool, _names) = read_pool(names, reader)?;
            Record::SecretChanged { pool, commitment: read_hex("commitment", reader)? }
        }
        _ => return Err(start.fault(FormatFault::UnknownType)),
    };
    reader.end()?;
    Ok(record)
}

fn read_draw<'p, 'o>(
    names: &Names,
    outcomes: &'o mut Vec<Outcome>,
    reader: &mut impl FieldReader<'p>,
) -> Result<Record<'o>, FormatError> {
    let (pool, pool_names) = read_pool(names, reader)?;
    let start = *reader.cursor();
    let first_request_id = RequestId::new(read_unsigned("first_request_id", reader)?)
        .ok_or_else(|| start.fault(FormatFault::RequestIdRange))?;
    let catalog_version = read_unsigned("catalog_version", reader)?;
    let mode = read_choice("mode", &MODES, reader)?;
    let key = read_key(reader)?;
    reader.open_list("items")?;
    outcomes.clear();
    loop {
        let start = *reader.cursor();
        if outcomes.len() == usize::from(DRAW_COUNT_MAX) {
            return Err(start.fault(FormatFault::DrawCount));
        }
        outcomes.push(match reader.outcome()? {
            None => Outcome::EMPTY,
            Some(name) => {
                let item = pool_names.find(&name);
                Outcome::award(item.ok_or_else(|| start.fault(FormatFault::UnknownItem))?)
            }
        });
        if !reader.more_elements()? {
            break;
        }
    }
    Ok(Record::Draw(DrawRecord { pool, catalog_version, first_request_id, outcomes, mode, key }))
}

fn read_key<'p>(reader: &mut impl FieldReader<'p>) -> Result<Option<KeyStamp>, FormatError> {
    if reader.optional_field("key")? {
        let hash = KeyHash(reader.hex()?);
        return Ok(Some(KeyStamp { hash, fingerprint: read_unsigned("fingerprint", reader)? }));
    }
    refuse_field("fingerprint", reader)?;
    Ok(None)
}

fn read_pool_created<'p>(
    names: &Names,
    reader: &mut impl FieldReader<'p>,
) -> Result<PoolCreated, FormatError> {
    reader.field("pool")?;
    let start = *reader.cursor();
    let id = PoolId::new(&reader.text()?).map_err(|error| start.fault(error.into()))?;
    let pool = PoolNumber(read_u32("number", reader)?);
    if pool.as_usize() != names.pools().len() || names.find(id.as_str()).is_some() {
        return Err(start.fault(FormatFault::NotANewPool));
    }
    let selector = read_choice("selector", &SELECTORS, reader)?;
    let keys = KeyLimits {
        window_ms: read_unsigned("key_window_ms", reader)?,
        keys_max: read_unsigned("keys_max", reader)?,
        outcomes_max: read_unsigned("key_outcomes_max", reader)?,
    };
    let commitment = read_hex("commitment", reader)?;
    reader.open_list("items")?;
    let list = *reader.cursor();
    let mut items = Vec::new();
    loop {
        let start = *reader.cursor();
        let (name, weight, quantity) = reader.item()?;
        let id = ItemId::new(&name).map_err(|error| start.fault(error.into()))?;
        items.push(CatalogItem { id, weight, quantity: quantity_of(quantity, &start)? });
        if !reader.more_elements()? {
            break;
        }
    }
    let catalog = Catalog::new(items).map_err(|error| list.fault(error.into()))?;
    Ok(PoolCreated { pool, id, catalog, selector, keys, commitment })
}

fn read_update<'p>(
    names: &Names,
    reader: &mut impl FieldReader<'p>,
) -> Result<Update, FormatError> {
    let (pool, pool_names) = read_pool(names, reader)?;
    let item = read_item_name(pool_names, reader)?;
    let quantity = if reader.optional_field("add_quantity")? {
        let units = take_signed(reader.cursor())?;
        refuse_field("set_quantity", reader)?;
        refuse_field("expected_version", reader)?;
        Some(QuantityChange::Add(units))
    } else if reader.optional_field("set_quantity")? {
        let start = *reader.cursor();
        let to = quantity_of(take_signed(reader.cursor())?, &start)?;
        let expected_version = read_unsigned("expected_version", reader)?;
        Some(QuantityChange::Set { to, expected_version })
    } else {
        refuse_field("expected_version", reader)?;
        None
    };
    let weight = if reader.optional_field("set_weight")? {
        Some(take_unsigned(reader.cursor())?)
    } else {
        None
    };
    Ok(Update {
        pool,
        item,
        change: ItemChange { quantity, weight },
        quantity: read_quantity(reader)?,
        weight: read_unsigned("weight", reader)?,
        catalog_version: read_unsigned("catalog_version", reader)?,
        note: read_note(reader)?,
    })
}

fn read_item_added<'p>(
    names: &Names,
    reader: &mut impl FieldReader<'p>,
) -> Result<ItemAdded, FormatError> {
    let (pool, pool_names) = read_pool(names, reader)?;
    let start = *reader.cursor();
    let index = ItemIndex::new(read_u32("index", reader)?);
    reader.field("item")?;
    let name = *reader.cursor();
    let id = ItemId::new(&reader.text()?).map_err(|error| name.fault(error.into()))?;
    let next = ItemIndex::from_usize(pool_names.items().len());
    let Some(index) = index.filter(|_| index == next && pool_names.find(id.as_str()).is_none())
    else {
        return Err(start.fault(FormatFault::NotANewItem));
    };
    let weight = read_unsigned("weight", reader)?;
    let item = CatalogItem { id, weight, quantity: read_quantity(reader)? };
    let catalog_version = read_unsigned("catalog_version", reader)?;
    Ok(ItemAdded { pool, index, item, catalog_version, note: read_note(reader)? })
}

/// An optional field that must have no value beside the one before it.
fn refuse_field<'p>(
    field: &'static str,
    reader: &mut impl FieldReader<'p>,
) -> Result<(), FormatError> {
    let start = *reader.cursor();
    if reader.optional_field(field)? {
        return Err(start.fault(FormatFault::UnknownValue));
    }
    Ok(())
}

fn read_pool<'p, 'n>(
    names: &'n Names,
    reader: &mut impl FieldReader<'p>,
) -> Result<(PoolNumber, &'n PoolNames), FormatError> {
    reader.field("pool")?;
    let start = *reader.cursor();
    let pool = names.find(&reader.text()?);
    let found = pool.and_then(|pool| Some((pool, names.pool(pool)?)));
    found.ok_or_else(|| start.fault(FormatFault::UnknownPool))
}

fn read_item_name<'p>(
    pool: &PoolNames,
    reader: &mut impl FieldReader<'p>,
) -> Result<ItemIndex, FormatError> {
    reader.field("item")?;
    let start = *reader.cursor();
    pool.find(&reader.text()?).ok_or_else(|| start.fault(FormatFault::UnknownItem))
}

fn read_note<'p>(reader: &mut impl FieldReader<'p>) -> Result<Note, FormatError> {
    let start = *reader.cursor();
    reader.field("actor")?;
    let actor = reader.text()?;
    reader.field("reason")?;
    let reason = reader.text()?;
    Note::new(&actor, &reason).ok_or_else(|| start.fault(FormatFault::Note))
}

fn read_choice<'p, T: Copy + PartialEq>(
    field: &'static str,
    choices: &Choices<T>,
    reader: &mut impl FieldReader<'p>,
) -> Result<T, FormatError> {
    reader.field(field)?;
    let start = *reader.cursor();
    choices.named(&reader.text()?).ok_or_else(|| start.fault(FormatFault::UnknownValue))
}

fn read_unsigned<'p>(
    field: &'static str,
    reader: &mut impl FieldReader<'p>,
) -> Result<u64, FormatError> {
    reader.field(field)?;
    take_unsigned(reader.cursor())
}

fn read_u32<'p>(
    field: &'static str,
    reader: &mut impl FieldReader<'p>,
) -> Result<u32, FormatError> {
    reader.field(field)?;
    let start = *reader.cursor();
    let number = take_unsigned(reader.cursor())?;
    u32::try_from(number).map_err(|_| start.fault(FormatFault::NumberRange))
}

fn read_quantity<'p>(reader: &mut impl FieldReader<'p>) -> Result<Quantity, FormatError> {
    reader.field("quantity")?;
    let start = *reader.cursor();
    quantity_of(take_signed(reader.cursor())?, &start)
}

fn quantity_of(number: i64, start: &Cursor<'_>) -> Result<Quantity, FormatError> {
    Quantity::from_number(number).map_err(|_| start.fault(FormatFault::NumberRange))
}

fn read_hex<'p, const N: usize>(
    field: &'static str,
    reader: &mut impl FieldReader<'p>,
) -> Result<[u8; N], FormatError> {
    reader.field(field)?;
    reader.hex()
}

fn read_digest<'p>(reader: &mut impl FieldReader<'p>) -> Result<u64, FormatError> {
    read_hex("digest", reader).map(u64::from_be_bytes)
}

/// The sizes of a text format's parts, from which its upper bounds follow.
pub(super) struct Sizes {
    /// More than the fields of any record take without its texts and lists.
    pub(super) record: usize,
    /// More than the fields of a draw take without its pool's name and its outcomes.
    pub(super) draw: usize,
    /// More than the fields of a catalogue's item take without its name.
    pub(super) item: usize,
    /// Quotes and separators of a text.
    pub(super) quotes: usize,
    /// Into how many bytes one byte of a text may turn.
    pub(super) growth: usize,
    /// An empty outcome with its separator.
    pub(super) empty: usize,
}

impl Sizes {
    fn text(&self, bytes: usize) -> usize {
        self.quotes + self.growth * bytes
    }

    pub(super) fn draw_bytes_max(&self, pool: usize, item_max: usize, count: usize) -> usize {
        self.draw + self.text(pool) + count * self.text(item_max).max(self.empty)
    }

    /// `name_max` bounds the names that the record refers to by number.
    pub(super) fn record_bytes_max(&self, record: &Record<'_>, name_max: usize) -> usize {
        let note = |note: &Note| self.text(note.actor().len()) + self.text(note.reason().len());
        let item = |item: &CatalogItem| self.item + self.text(item.id.as_str().len());
        let name = self.text(name_max);
        let variable = match record {
            Record::Draw(draw) => {
                return self.draw_bytes_max(name_max, name_max, draw.outcomes.len());
            }
            Record::PoolCreated(created) => {
                name + created.catalog.items().iter().map(item).sum::<usize>()
            }
            Record::Update(update) => 2 * name + note(&update.note),
            Record::ItemAdded(added) => name + item(&added.item) + note(&added.note),
            Record::ItemRetired(retired) => 2 * name + note(&retired.note),
            Record::PoolStateChanged(changed) => name + note(&changed.note),
            Record::Snapshot(_)
            | Record::Rotate { .. }
            | Record::Marker
            | Record::Digest(_)
            | Record::Closed(_)
            | Record::LeaderEpoch(_) => 0,
            Record::SecretChanged { .. } => name,
        };
        self.record + variable
    }
}
