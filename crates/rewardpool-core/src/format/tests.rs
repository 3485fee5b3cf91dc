//! Goal: a payload and its records are one to one in each format, whatever the bytes. Method:
//! records made from random steps go through all formats and back; every payload that decodes, be
//! it damaged or random, must be what the encoder writes for the records that came out.
mod golden;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::*;
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolStatus, QuantityChange};
use crate::ids::{Epoch, ItemIndex, PoolNumber};
use crate::limits::{NAME_BYTES_MAX, NOTE_BYTES_MAX, QUANTITY_MAX, TOTAL_WEIGHT_MAX};
use crate::name::{ItemId, PoolId};
use crate::quantity::Quantity;
use crate::record::{
    ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, SnapshotRef, Update,
};
use crate::selector::SelectorKind;

/// A record that owns its outcomes; the one inside has none.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Owned {
    record: Record<'static>,
    outcomes: Vec<Outcome>,
}

impl Owned {
    fn of(record: &Record<'_>) -> Self {
        let (record, outcomes) = match record.clone() {
            Record::Draw(draw) => {
                (Record::Draw(DrawRecord { outcomes: &[], ..draw }), draw.outcomes.to_vec())
            }
            Record::PoolCreated(created) => (Record::PoolCreated(created), vec![]),
            Record::Update(update) => (Record::Update(update), vec![]),
            Record::ItemAdded(added) => (Record::ItemAdded(added), vec![]),
            Record::ItemRetired(retired) => (Record::ItemRetired(retired), vec![]),
            Record::PoolStateChanged(changed) => (Record::PoolStateChanged(changed), vec![]),
            Record::Snapshot(snapshot) => (Record::Snapshot(snapshot), vec![]),
            Record::Rotate { next_segment, digest } => {
                (Record::Rotate { next_segment, digest }, vec![])
            }
            Record::Marker => (Record::Marker, vec![]),
            Record::Digest(digest) => (Record::Digest(digest), vec![]),
            Record::Closed(digest) => (Record::Closed(digest), vec![]),
            Record::LeaderEpoch(epoch) => (Record::LeaderEpoch(epoch), vec![]),
            Record::SecretChanged { pool, commitment } => {
                (Record::SecretChanged { pool, commitment }, vec![])
            }
        };
        Self { record, outcomes }
    }

    fn borrow(&self) -> Record<'_> {
        if let Record::Draw(draw) = self.record {
            return Record::Draw(DrawRecord { outcomes: &self.outcomes, ..draw });
        }
        self.record.clone()
    }
}

/// What the state does about names.
fn apply(record: &Record<'_>, names: &mut Names) {
    if let Record::PoolCreated(created) = record {
        let pool = names.push(created.id.clone());
        assert_eq!(pool, created.pool);
        let pool = names.pool_mut(pool).unwrap();
        created.catalog.items().iter().for_each(|item| pool.push(item.id.clone()));
    }
    if let Record::ItemAdded(added) = record {
        names.pool_mut(added.pool).unwrap().push(added.item.id.clone());
    }
}

/// Encodes and checks that each record keeps to its announced maximum.
fn encode_all(format: Format, first_lsn: Lsn, records: &[Owned]) -> (Vec<u8>, u32) {
    let mut names = Names::default();
    let mut encoder = Encoder::new(format);
    encoder.begin(first_lsn);
    for owned in records {
        let record = owned.borrow();
        let before = encoder.payload().len();
        let mut max = encoder.record_bytes_max(&record);
        if let Record::Draw(draw) = &record {
            let pool = names.pool(draw.pool).unwrap();
            max = max.min(encoder.draw_bytes_max(pool, draw.outcomes.len()));
        }
        encoder.push(&record, &names);
        let bytes = encoder.payload().len() - before;
        assert!(bytes <= max, "{bytes} of {max} bytes: {record:?}");
        apply(&record, &mut names);
    }
    (encoder.payload().to_vec(), encoder.count())
}

fn decode_all(
    format: Format,
    payload: &[u8],
    first_lsn: Lsn,
    count: u32,
) -> Result<Vec<Owned>, FormatError> {
    let mut names = Names::default();
    let mut outcomes = Vec::new();
    let mut records = Vec::new();
    let mut decoder = Decoder::new(format, payload, first_lsn, count);
    loop {
        match decoder.next(&names, &mut outcomes) {
            Ok(Some(ref record)) => {
                records.push(Owned::of(record));
                apply(record, &mut names);
            }
            Ok(None) => return Ok(records),
            Err(error) => {
                let again = decoder.next(&names, &mut outcomes);
                assert_eq!(again, Err(error.clone()), "an error stays");
                assert!(error.offset <= payload.len());
                return Err(error);
            }
        }
    }
}

fn assert_round_trip(first_lsn: Lsn, records: &[Owned]) {
    for format in Format::ALL {
        let (payload, count) = encode_all(format, first_lsn, records);
        let decoded = decode_all(format, &payload, first_lsn, count).unwrap();
        assert_eq!(decoded, records, "{format}");
        assert!(zero_run(&payload) < 128, "{format}");
    }
}

/// A payload of unknown origin is refused, or it is the only payload of what it decodes to.
fn assert_refused_or_canonical(format: Format, payload: &[u8], first_lsn: Lsn, count: u32) {
    if let Ok(records) = decode_all(format, payload, first_lsn, count) {
        let (again, count_again) = encode_all(format, first_lsn, &records);
        assert_eq!((again.as_slice(), count_again), (payload, count), "{format}: {records:?}");
    }
}

fn zero_run(payload: &[u8]) -> usize {
    payload.split(|&byte| byte != 0).map(<[u8]>::len).max().unwrap_or(0)
}

fn lsn(number: u64) -> Lsn {
    Lsn::new(number).unwrap()
}

/// One of those that are there when it is known how many there are.
#[derive(Clone, Copy, Debug)]
struct Pick(usize);

impl Pick {
    fn index(self, count: usize) -> usize {
        self.0 % count
    }
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<usize>().prop_map(Pick)
}

/// A record to be, made valid when it is known what stands before it.
#[derive(Clone, Debug)]
enum Step {
    Pool { id: String, items: Vec<(String, u64, Option<u64>)>, keys: [u64; 3], bytes: [u8; 32] },
    Draw { pool: Pick, version: u8, outcomes: Vec<Option<Pick>>, key: Option<([u8; 16], u64)> },
    Update { pool: Pick, item: Pick, change: u8, numbers: [u64; 4], note: [String; 2] },
    Add { pool: Pick, item: (String, u64, Option<u64>), version: u8, note: [String; 2] },
    Retire { pool: Pick, item: Pick, note: [String; 2] },
    Status { pool: Pick, status: PoolStatus, note: [String; 2] },
    Plain(Record<'static>),
}

fn text(bytes_max: usize) -> impl Strategy<Value = String> {
    let strange = "abZ09 -,;%\"\\{}[]:null_\u{e9}\u{91d1}\u{1f381}\u{2028}";
    let chars: Vec<char> = strange.chars().collect();
    vec(select(chars), 0..12).prop_map(move |chars| {
        let mut text: String = chars.into_iter().collect::<String>().trim().to_owned();
        while text.len() > bytes_max {
            text.pop();
        }
        text.trim().to_owned()
    })
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..300_u64, any::<u64>(), Just(u64::MAX), Just(1 << 53)]
}

fn item() -> impl Strategy<Value = (String, u64, Option<u64>)> {
    let quantity = prop_oneof![Just(0), 0..1000_u64, Just(QUANTITY_MAX)];
    (text(NAME_BYTES_MAX), number(), proptest::option::of(quantity))
}

fn note() -> impl Strategy<Value = [String; 2]> {
    [text(NOTE_BYTES_MAX), text(NOTE_BYTES_MAX)]
}

fn pool_step() -> impl Strategy<Value = Step> {
    let id = vec(select(b"ab09_-".to_vec()), 1..5)
        .prop_map(|bytes| bytes.into_iter().map(char::from).collect::<String>());
    (id, vec(item(), 1..6), [number(), number(), number()], any::<[u8; 32]>())
        .prop_map(|(id, items, keys, bytes)| Step::Pool { id, items, keys, bytes })
}

fn step() -> impl Strategy<Value = Step> {
    let outcomes = prop_oneof![
        3 => vec(proptest::option::weighted(0.8, pick()), 1),
        2 => vec(proptest::option::weighted(0.8, pick()), 1..300),
    ];
    let status = select(vec![PoolStatus::Active, PoolStatus::Paused, PoolStatus::Closed]);
    let key = proptest::option::weighted(0.2, (any::<[u8; 16]>(), number()));
    let any_pool = pick;
    prop_oneof![
        1 => pool_step(),
        8 => (any_pool(), 0..3_u8, outcomes, key)
            .prop_map(|(pool, version, outcomes, key)| Step::Draw { pool, version, outcomes, key }),
        1 => (any_pool(), pick(), any::<u8>(), [number(), number(), number(), number()], note())
            .prop_map(|(pool, item, change, numbers, note)| {
                Step::Update { pool, item, change, numbers, note }
            }),
        2 => (any_pool(), item(), 0..3_u8, note())
            .prop_map(|(pool, item, version, note)| Step::Add { pool, item, version, note }),
        1 => (any_pool(), pick(), note())
            .prop_map(|(pool, item, note)| Step::Retire { pool, item, note }),
        1 => (any_pool(), status, note())
            .prop_map(|(pool, status, note)| Step::Status { pool, status, note }),
        2 => plain_record().prop_map(Step::Plain),
    ]
}

fn plain_record() -> impl Strategy<Value = Record<'static>> {
    prop_oneof![
        Just(Record::Marker),
        number().prop_map(Record::Digest),
        number().prop_map(Record::Closed),
        any::<u32>().prop_map(|epoch| Record::LeaderEpoch(Epoch(epoch))),
        any::<[u8; 32]>()
            .prop_map(|commitment| Record::SecretChanged { pool: PoolNumber(0), commitment }),
        (any::<u32>(), number())
            .prop_map(|(next_segment, digest)| Record::Rotate { next_segment, digest }),
        (number(), any::<[u8; 32]>())
            .prop_map(|(lsn, sha256)| Record::Snapshot(SnapshotRef { lsn, sha256 })),
    ]
}

/// A first pool and what happens to it, as valid records.
fn records(steps_max: usize) -> impl Strategy<Value = Vec<Owned>> {
    (pool_step(), vec(step(), 0..steps_max), 1..u64::MAX / 2).prop_map(|(first, steps, id)| {
        let mut build = Build { names: Names::default(), next_id: id };
        let mut records = Vec::new();
        for step in std::iter::once(first).chain(steps) {
            if let Some(record) = build.record(step) {
                apply(&record.borrow(), &mut build.names);
                records.push(record);
            }
        }
        records
    })
}

struct Build {
    names: Names,
    next_id: u64,
}

impl Build {
    fn record(&mut self, step: Step) -> Option<Owned> {
        Some(Owned::of(&match step {
            Step::Pool { id, items, keys, bytes } => self.pool(&id, items, keys, bytes)?,
            Step::Draw { pool, version, outcomes, key } => {
                return Some(self.draw(pool, version, &outcomes, key));
            }
            Step::Update { pool, item, change, numbers, note } => {
                self.update(pool, item, change, numbers, &note)
            }
            Step::Add { pool, item, version, note } => self.add(pool, item, version, &note)?,
            Step::Retire { pool, item, note } => {
                let (pool, items) = self.pick(pool);
                let item = ItemIndex::from_usize(item.index(items)).unwrap();
                let note = note_of(&note);
                Record::ItemRetired(Box::new(ItemRetired { pool, item, catalog_version: 9, note }))
            }
            Step::Status { pool, status, note } => {
                let (pool, note) = (self.pick(pool).0, note_of(&note));
                Record::PoolStateChanged(Box::new(PoolStateChanged { pool, status, note }))
            }
            Step::Plain(record) => record,
        }))
    }

    fn pick(&self, pool: Pick) -> (PoolNumber, usize) {
        let number = pool.index(self.names.pools().len());
        let items = self.names.pools()[number].items().len();
        (PoolNumber(u32::try_from(number).unwrap()), items)
    }

    fn pool(
        &self,
        id: &str,
        items: Vec<(String, u64, Option<u64>)>,
        [window_ms, keys_max, outcomes_max]: [u64; 3],
        commitment: [u8; 32],
    ) -> Option<Record<'static>> {
        let id = PoolId::new(id).ok().filter(|id| self.names.find(id.as_str()).is_none())?;
        let mut list: Vec<CatalogItem> = Vec::new();
        for (place, (name, weight, quantity)) in items.into_iter().enumerate() {
            let name = if name.is_empty() { format!("item {place}") } else { name };
            let item = catalog_item(&name, weight % (TOTAL_WEIGHT_MAX / 8), quantity)?;
            if list.iter().all(|other| other.id != item.id) {
                list.push(item);
            }
        }
        Some(Record::PoolCreated(Box::new(PoolCreated {
            pool: PoolNumber(u32::try_from(self.names.pools().len()).unwrap()),
            id,
            catalog: Catalog::new(list).unwrap(),
            selector: [SelectorKind::Auto, SelectorKind::SumTree][usize::from(commitment[0] & 1)],
            keys: KeyLimits { window_ms, keys_max, outcomes_max },
            commitment,
        })))
    }

    fn draw(
        &mut self,
        pool: Pick,
        version: u8,
        outcomes: &[Option<Pick>],
        key: Option<([u8; 16], u64)>,
    ) -> Owned {
        let (pool, items) = self.pick(pool);
        let award = |item: Pick| Outcome::award(ItemIndex::from_usize(item.index(items)).unwrap());
        let outcomes: Vec<Outcome> =
            outcomes.iter().map(|item| item.map_or(Outcome::EMPTY, award)).collect();
        let first_request_id = RequestId::new(self.next_id).unwrap();
        self.next_id += u64::try_from(outcomes.len()).unwrap();
        Owned::of(&Record::Draw(DrawRecord {
            pool,
            catalog_version: u64::from(version),
            first_request_id,
            outcomes: &outcomes,
            mode: if version == 1 { DrawMode::AllOrNothing } else { DrawMode::BestEffort },
            key: key.map(|(hash, fingerprint)| KeyStamp { hash: KeyHash(hash), fingerprint }),
        }))
    }

    fn update(
        &self,
        pool: Pick,
        item: Pick,
        change: u8,
        [a, b, c, d]: [u64; 4],
        note: &[String; 2],
    ) -> Record<'static> {
        let (pool, items) = self.pick(pool);
        let quantity = |number: u64| match number {
            0..=QUANTITY_MAX => Quantity::Limited(number),
            _ => Quantity::Unlimited,
        };
        Record::Update(Box::new(Update {
            pool,
            item: ItemIndex::from_usize(item.index(items)).unwrap(),
            change: ItemChange {
                quantity: match change % 3 {
                    0 => None,
                    1 => Some(QuantityChange::Add(a.cast_signed())),
                    _ => Some(QuantityChange::Set { to: quantity(a), expected_version: b }),
                },
                weight: (change & 0x80 != 0).then_some(b),
            },
            quantity: quantity(c),
            weight: d,
            catalog_version: a,
            note: note_of(note),
        }))
    }

    fn add(
        &self,
        pool: Pick,
        (name, weight, quantity): (String, u64, Option<u64>),
        version: u8,
        note: &[String; 2],
    ) -> Option<Record<'static>> {
        let (pool, items) = self.pick(pool);
        let item = catalog_item(&name, weight, quantity)?;
        if self.names.pool(pool).unwrap().find(&name).is_some() {
            return None;
        }
        Some(Record::ItemAdded(Box::new(ItemAdded {
            pool,
            index: ItemIndex::from_usize(items).unwrap(),
            item,
            catalog_version: u64::from(version),
            note: note_of(note),
        })))
    }
}

fn catalog_item(name: &str, weight: u64, quantity: Option<u64>) -> Option<CatalogItem> {
    let quantity = quantity.map_or(Quantity::Unlimited, Quantity::Limited);
    Some(CatalogItem { id: ItemId::new(name).ok()?, weight, quantity })
}

fn note_of([actor, reason]: &[String; 2]) -> Note {
    Note::new(actor, reason).unwrap()
}

proptest! {
    #[test]
    fn records_survive_every_format(records in records(40), first in 1..u64::MAX - 100) {
        assert_round_trip(lsn(first), &records);
    }

    #[test]
    fn a_damaged_payload_is_refused_or_canonical(
        records in records(12),
        damage in vec((any::<Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<Index>()),
    ) {
        for format in Format::ALL {
            let (mut payload, count) = encode_all(format, Lsn::FIRST, &records);
            for (place, byte) in &damage {
                let place = place.index(payload.len());
                payload[place] = *byte;
            }
            if let Some(cut) = cut {
                payload.truncate(cut.index(payload.len()));
            }
            assert_refused_or_canonical(format, &payload, Lsn::FIRST, count);
        }
    }

    #[test]
    fn random_bytes_are_refused_or_canonical(payload in vec(any::<u8>(), 0..200), count in 0..5_u32) {
        for format in Format::ALL {
            assert_refused_or_canonical(format, &payload, Lsn::FIRST, count);
        }
    }

    /// Random bytes after a valid pool, with tags that are known, so that most reach the fields.
    #[test]
    fn random_binary_records_are_refused_or_canonical(
        tags_and_fields in vec((prop_oneof![0..19_u8, 0x80..=0xa0_u8], vec(0..4_u8, 0..12)), 1..6),
    ) {
        let (mut payload, count) = encode_all(Format::Binary, Lsn::FIRST, &sample()[..1]);
        for (tag, fields) in &tags_and_fields {
            payload.push(*tag);
            payload.extend_from_slice(fields);
        }
        for more in 0..6 {
            assert_refused_or_canonical(Format::Binary, &payload, Lsn::FIRST, count + more);
        }
    }
}

/// An item of `u32::MAX` is empty.
fn sample_draw(id: u64, items: &[u32], key: Option<KeyStamp>) -> Owned {
    let award = |&item: &u32| ItemIndex::new(item).map_or(Outcome::EMPTY, Outcome::award);
    let outcomes: Vec<Outcome> = items.iter().map(award).collect();
    let mode = if items.len() == 2 { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
    Owned::of(&Record::Draw(DrawRecord {
        pool: PoolNumber(0),
        catalog_version: 1 + u64::from(id >= 305),
        first_request_id: RequestId::new(id).unwrap(),
        outcomes: &outcomes,
        mode,
        key,
    }))
}

/// One record of each kind and draws of each shape, small enough to damage every bit.
fn sample() -> Vec<Owned> {
    let names = ["gold", "-50 %, once; \"a\\b\"", "\u{91d1}"];
    let items = names.iter().zip([1, 0, u64::MAX >> 8]);
    let items = items.map(|(name, weight)| catalog_item(name, weight, Some(7)).unwrap()).collect();
    let note = || Note::new("ann", "50 % more, \"now\"; \\o/").unwrap();
    let change = |quantity, weight| {
        Record::Update(Box::new(Update {
            pool: PoolNumber(0),
            item: ItemIndex::new(1).unwrap(),
            change: ItemChange { quantity, weight },
            quantity: Quantity::Unlimited,
            weight: 300,
            catalog_version: 2,
            note: note(),
        }))
    };
    let set = QuantityChange::Set { to: Quantity::Unlimited, expected_version: 1 };
    let key = KeyStamp { hash: KeyHash(*b"0123456789abcdef"), fingerprint: 1 << 16 | 2 };
    let created = PoolCreated {
        pool: PoolNumber(0),
        id: PoolId::new("default").unwrap(),
        catalog: Catalog::new(items).unwrap(),
        selector: SelectorKind::SumTree,
        keys: KeyLimits::default(),
        commitment: [0xc5; 32],
    };
    let added = ItemAdded {
        pool: PoolNumber(0),
        index: ItemIndex::new(3).unwrap(),
        item: catalog_item("late", 5, None).unwrap(),
        catalog_version: 3,
        note: Note::default(),
    };
    let retired = ItemRetired {
        pool: PoolNumber(0),
        item: ItemIndex::new(0).unwrap(),
        catalog_version: 4,
        note: note(),
    };
    let paused = PoolStateChanged { pool: PoolNumber(0), status: PoolStatus::Paused, note: note() };
    let plain = |record: Record<'static>| Owned::of(&record);
    vec![
        plain(Record::PoolCreated(Box::new(created))),
        sample_draw(300, &[2], None),
        sample_draw(301, &[0], None),
        sample_draw(302, &[u32::MAX, 1, u32::MAX], None),
        sample_draw(305, &[0, 2], Some(key)),
        sample_draw(307, &[1], None),
        plain(change(Some(QuantityChange::Add(-5)), None)),
        plain(change(Some(set), Some(9))),
        plain(Record::ItemAdded(Box::new(added))),
        sample_draw(308, &[3], None),
        plain(Record::ItemRetired(Box::new(retired))),
        plain(Record::PoolStateChanged(Box::new(paused))),
        plain(Record::Snapshot(SnapshotRef { lsn: 12, sha256: [0xab; 32] })),
        plain(Record::Rotate { next_segment: 1, digest: 0x00d1_9e57 }),
        plain(Record::Marker),
        plain(Record::Digest(u64::MAX)),
        plain(Record::Closed(0)),
        plain(Record::LeaderEpoch(Epoch(2))),
        plain(Record::SecretChanged { pool: PoolNumber(0), commitment: [0x5c; 32] }),
    ]
}

#[test]
fn the_sample_survives_every_format() {
    assert_round_trip(lsn(7), &sample());
}

/// All bytes of the binary format; in the text formats those that mean something there.
#[test]
fn every_single_damage_is_refused_or_canonical() {
    for format in Format::ALL {
        let (payload, count) = encode_all(format, lsn(7), &sample());
        let values: Vec<u8> = match format {
            Format::Binary => (0..=u8::MAX).collect(),
            Format::Json | Format::StringLine => {
                b"\0\n\r\t \"\\,;:%-+.01aAeEn{}[]\x7f\xc3\xff".to_vec()
            }
        };
        let mut damaged = payload.clone();
        for place in 0..payload.len() {
            let bits = (0..8).map(|bit| payload[place] ^ 1 << bit);
            for value in bits.chain(values.iter().copied()) {
                damaged[place] = value;
                assert_refused_or_canonical(format, &damaged, lsn(7), count);
            }
            damaged[place] = payload[place];
            let truncated = decode_all(format, &payload[..place], lsn(7), count);
            assert!(truncated.is_err(), "{format}: {place} bytes of {}", payload.len());
            assert_inserted_and_removed(format, &payload, place, count);
        }
    }
}

fn assert_inserted_and_removed(format: Format, payload: &[u8], place: usize, count: u32) {
    let mut damaged = payload.to_vec();
    let removed = damaged.remove(place);
    assert_refused_or_canonical(format, &damaged, lsn(7), count);
    for inserted in [removed, 0, b' ', b'0'] {
        damaged.insert(place, inserted);
        assert_refused_or_canonical(format, &damaged, lsn(7), count);
        damaged.remove(place);
    }
}

#[test]
fn a_wrong_count_or_position_is_refused() {
    for format in Format::ALL {
        let (payload, count) = encode_all(format, lsn(7), &sample());
        let fault = |count, first| {
            decode_all(format, &payload, lsn(first), count).map_err(|error| error.fault)
        };
        let (expected, found) = (count + 1, count);
        assert_eq!(fault(expected, 7), Err(FormatFault::MissingRecords { expected, found }));
        assert!(matches!(fault(count - 1, 7), Err(FormatFault::TrailingBytes { .. })));
        assert!(matches!(fault(0, 7), Err(FormatFault::TrailingBytes { .. })));
        if format != Format::Binary {
            let lsn = FormatFault::Lsn { expected: 8, found: 7 };
            assert_eq!(fault(count, 8), Err(lsn));
        }
    }
}

#[test]
fn the_last_positions_and_request_ids_do_not_overflow() {
    let mut sample = sample();
    sample.truncate(2);
    let Record::Draw(draw) = &mut sample[1].record else { panic!("the second is a draw") };
    draw.first_request_id = RequestId::new(u64::MAX - 1).unwrap();
    assert_round_trip(lsn(u64::MAX - 1), &sample);
    for format in Format::ALL {
        let (payload, count) = encode_all(format, lsn(u64::MAX - 1), &sample);
        let beyond = decode_all(format, &payload, lsn(u64::MAX), count);
        assert_eq!(beyond.is_ok(), format == Format::Binary, "binary has no positions inside");
    }
}

#[test]
fn request_ids_have_no_gaps() {
    for format in [Format::Json, Format::StringLine] {
        let (payload, count) = encode_all(format, lsn(7), &sample());
        let text = String::from_utf8(payload).unwrap();
        let gap = text.replacen("301", "304", 1);
        let error = decode_all(format, gap.as_bytes(), lsn(7), count).unwrap_err();
        assert_eq!(error.fault, FormatFault::RequestId { expected: 301, found: 304 });
    }
}

/// Catalogues around the limits of each width, with their first and last items and empties.
#[test]
fn outcomes_of_every_width_survive() {
    let mut names = Names::default();
    let pool = names.push(PoolId::new("wide").unwrap());
    let sizes = [(1, 1), (254, 1), (255, 2), (300, 2), (65_534, 2), (65_535, 3), (70_000, 3)];
    for (items, width) in sizes {
        let pool_names = names.pool_mut(pool).unwrap();
        for number in pool_names.items().len()..items {
            pool_names.push(ItemId::new(&format!("item {number}")).unwrap());
        }
        let award = |item| Outcome::award(ItemIndex::from_usize(item).unwrap());
        let mut outcomes = vec![Outcome::EMPTY; 5000];
        for (place, outcome) in outcomes.iter_mut().enumerate().skip(9) {
            *outcome = award(if place % 3 == 0 { 0 } else { items - 1 - place % items });
        }
        for format in Format::ALL {
            assert_draws_survive(format, &names, &outcomes, width);
        }
    }
}

fn assert_draws_survive(format: Format, names: &Names, outcomes: &[Outcome], width: usize) {
    let draw = |first: usize, outcomes| {
        let id = u64::try_from(first + 1).unwrap();
        Record::Draw(DrawRecord {
            pool: PoolNumber(0),
            catalog_version: 1,
            first_request_id: RequestId::new(id).unwrap(),
            outcomes,
            mode: DrawMode::BestEffort,
            key: None,
        })
    };
    let mut encoder = Encoder::new(format);
    encoder.begin(Lsn::FIRST);
    encoder.push(&draw(0, outcomes), names);
    let multi = encoder.payload().len();
    for (place, outcome) in outcomes.iter().enumerate() {
        encoder.push(&draw(outcomes.len() + place, std::slice::from_ref(outcome)), names);
    }
    if format == Format::Binary {
        assert!(multi <= width * outcomes.len() + 8);
        assert_eq!(encoder.payload().len() - multi, (1 + width) * outcomes.len());
        assert!(zero_run(encoder.payload()) < 8);
    }
    let mut decoder = Decoder::new(format, encoder.payload(), Lsn::FIRST, encoder.count());
    let mut scratch = Vec::new();
    assert_eq!(decoder.next(names, &mut scratch), Ok(Some(draw(0, outcomes))));
    for (place, outcome) in outcomes.iter().enumerate() {
        let single = draw(outcomes.len() + place, std::slice::from_ref(outcome));
        assert_eq!(decoder.next(names, &mut scratch), Ok(Some(single)));
    }
    assert_eq!(decoder.next(names, &mut scratch), Ok(None));
}

#[test]
fn a_large_catalogue_survives() {
    let items = (0..70_000_u64)
        .map(|number| catalog_item(&format!("item, {number}"), number, Some(number)).unwrap());
    let mut sample = sample();
    let Record::PoolCreated(created) = &mut sample[0].record else { panic!("the first is a pool") };
    created.catalog = Catalog::new(items.collect()).unwrap();
    sample.truncate(1);
    assert_round_trip(Lsn::FIRST, &sample);
}

/// The longest record of each kind: the maxima hold with the largest numbers and longest names.
#[test]
fn the_largest_records_keep_to_their_maxima() {
    for worst in ["\"", "%", ",", "-", "\\"] {
        let name = worst.repeat(NAME_BYTES_MAX);
        let text = [worst.repeat(NOTE_BYTES_MAX), worst.repeat(NOTE_BYTES_MAX)];
        let mut build = Build { names: Names::default(), next_id: u64::MAX - 20_000 };
        let big = u64::MAX;
        let id = "-".repeat(NAME_BYTES_MAX);
        let items = vec![(name.clone(), big, Some(QUANTITY_MAX))];
        let draw = |count: usize| Step::Draw {
            pool: Pick(0),
            version: 1,
            outcomes: vec![Some(Pick(0)); count],
            key: Some(([0xff; 16], big)),
        };
        let update = |change| Step::Update {
            pool: Pick(0),
            item: Pick(0),
            change,
            numbers: [1 << 63, big, QUANTITY_MAX, big],
            note: text.clone(),
        };
        let added = (format!("{}x", worst.repeat(NAME_BYTES_MAX - 1)), big, Some(QUANTITY_MAX));
        let steps = [
            Step::Pool { id, items, keys: [big; 3], bytes: [0xff; 32] },
            draw(1),
            draw(10_000),
            update(0x80 | 1),
            update(0x80 | 5),
            update(0x80),
            Step::Add { pool: Pick(0), item: added, version: 255, note: text.clone() },
            Step::Retire { pool: Pick(0), item: Pick(0), note: text.clone() },
            Step::Plain(Record::Rotate { next_segment: u32::MAX, digest: big }),
            Step::Plain(Record::Snapshot(SnapshotRef { lsn: big, sha256: [0xff; 32] })),
        ];
        let mut records = Vec::new();
        for step in steps {
            let record = build.record(step).unwrap();
            apply(&record.borrow(), &mut build.names);
            records.push(record);
        }
        assert_round_trip(lsn(u64::MAX - 100), &records);
    }
}

#[test]
fn records_of_zeros_have_no_long_runs_of_zeros() {
    let zero = |records: &mut Vec<Owned>| {
        records.push(Owned::of(&Record::Snapshot(SnapshotRef { lsn: 0, sha256: [0; 32] })));
        records.push(Owned::of(&Record::Rotate { next_segment: 0, digest: 0 }));
        records.push(Owned::of(&Record::Digest(0)));
        records.push(Owned::of(&Record::Marker));
        records.push(Owned::of(&Record::Closed(0)));
    };
    let mut records = Vec::new();
    (0..100).for_each(|_| zero(&mut records));
    assert_round_trip(Lsn::FIRST, &records);
}

#[test]
fn formats_have_names_and_ids() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
        assert_eq!(Format::from_id(format.id()), Some(format));
    }
    assert_eq!("JSON".parse::<Format>(), Err(UnknownFormat));
    assert_eq!(Format::from_id(0), None);
}

#[test]
#[should_panic(expected = "without gaps")]
fn a_gap_between_request_ids_is_a_bug() {
    let sample = sample();
    encode_all(
        Format::Binary,
        Lsn::FIRST,
        &[sample[0].clone(), sample[1].clone(), sample[3].clone()],
    );
}

#[test]
#[should_panic(expected = "items exist")]
fn an_unknown_item_is_a_bug() {
    let mut sample = sample();
    sample[3].outcomes[0] = Outcome::award(ItemIndex::new(3).unwrap());
    sample[2].outcomes = vec![Outcome::EMPTY];
    encode_all(Format::Binary, Lsn::FIRST, &sample);
}
