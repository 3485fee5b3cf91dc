//! Goal: bytes are a state, the same state, or refused. Method: a state with something of
//! everything is encoded, then its bytes are damaged in each place, cut, and made up.
use proptest::prelude::*;

use super::*;
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{DrawMode, Note};
use crate::ids::Lsn;
use crate::quantity::Quantity;
use crate::record::{DrawRecord, ItemRetired, PoolCreated, Record};

const SEED: [(&str, u64, i64); 5] = [
    ("b", 2, 5),
    ("a long name, of more than 16 bytes", 1, -1),
    ("c", 4, 3),
    ("d", 0, 7),
    ("e", 9, 1),
];

fn catalog(items: &[(&str, u64, i64)]) -> Catalog {
    let item = |&(name, weight, quantity): &(&str, u64, i64)| CatalogItem {
        id: ItemId::new(name).unwrap(),
        weight,
        quantity: Quantity::from_number(quantity).unwrap(),
    };
    Catalog::new(items.iter().map(item).collect()).unwrap()
}

fn pool_created(number: u32, items: &[(&str, u64, i64)], keys_max: u64) -> Record<'static> {
    Record::PoolCreated(Box::new(PoolCreated {
        pool: PoolNumber(number),
        id: PoolId::new(&format!("pool-{number}")).unwrap(),
        catalog: catalog(items),
        selector: SelectorKind::Fenwick,
        keys: KeyLimits { window_ms: 100, keys_max, outcomes_max: 9 },
        commitment: [3; 32],
    }))
}

fn apply(state: &mut State, record: &Record<'_>, time_ms: u64) {
    let lsn = Lsn::new(state.last_lsn() + 1).unwrap();
    state.apply(record, lsn, time_ms).unwrap();
}

fn draw(state: &mut State, places: &[u32], key: Option<&[u8]>, time_ms: u64) {
    let award = |&place: &u32| Outcome::award(ItemIndex::new(place).unwrap());
    let outcomes: Vec<Outcome> = places.iter().map(award).collect();
    let fingerprint = u64::try_from(outcomes.len()).unwrap();
    let stamp = |key| KeyStamp { hash: KeyHash::of(key).unwrap(), fingerprint };
    let record = DrawRecord {
        pool: PoolNumber(0),
        catalog_version: 1,
        first_request_id: RequestId::new(state.last_request_id() + 1).unwrap(),
        outcomes: &outcomes,
        mode: DrawMode::BestEffort,
        key: key.map(stamp),
    };
    apply(state, &Record::Draw(record), time_ms);
}

fn eventful() -> State {
    let mut state = State::new();
    apply(&mut state, &pool_created(0, &SEED, 5), 5);
    apply(&mut state, &pool_created(1, &[("x", 1, 1)], 0), 5);
    draw(&mut state, &[0, 1, 4], Some(b"first"), 10);
    draw(&mut state, &[1, 1], None, 15);
    draw(&mut state, &[2], Some(b"second"), 300);
    draw(&mut state, &[0, 0], Some(b"third"), 310);
    let retired = ItemRetired {
        pool: PoolNumber(0),
        item: ItemIndex::new(2).unwrap(),
        catalog_version: 2,
        note: Note::default(),
    };
    apply(&mut state, &Record::ItemRetired(Box::new(retired)), 320);
    state
}

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

/// Bytes are refused, or they are exactly the bytes of the state that they give.
fn refused_or_exact(damaged: &[u8]) -> Option<SnapshotError> {
    match State::decode(damaged) {
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Some(error)
        }
        Ok(state) => {
            assert_eq!(bytes(&state), damaged, "a state has one encoding only");
            None
        }
    }
}

#[test]
fn what_is_read_back_is_what_was_written() {
    for state in [State::new(), eventful()] {
        let mut written = vec![1, 2, 3];
        state.encode(&mut written);
        let written = written.split_off(3);
        let read = State::decode(&written).unwrap();
        assert_eq!(bytes(&read), written);
        assert_eq!(read.digest(), state.digest());
        let hash: [u8; 32] = Sha256::digest(&written).into();
        assert_eq!(read.state_hash(), hash);
        assert_eq!((read.last_lsn(), read.time_ms()), (state.last_lsn(), state.time_ms()));
    }
}

#[test]
fn a_state_that_was_read_back_goes_on_alike() {
    let mut state = eventful();
    let mut read = State::decode(&bytes(&state)).unwrap();
    for state in [&mut state, &mut read] {
        let outcomes = [Outcome::award(ItemIndex::new(1).unwrap())];
        let record = DrawRecord {
            pool: PoolNumber(0),
            catalog_version: 2,
            first_request_id: RequestId::new(9).unwrap(),
            outcomes: &outcomes,
            mode: DrawMode::BestEffort,
            key: Some(KeyStamp { hash: KeyHash::of(b"fourth").unwrap(), fingerprint: 1 }),
        };
        apply(state, &Record::Draw(record), 401);
        assert_eq!(state.pool(PoolNumber(0)).unwrap().keys.keys, 2);
    }
    assert_eq!(bytes(&read), bytes(&state));
}

#[test]
fn the_catalogue_hash_is_that_of_a_catalogue_of_the_same_content() {
    let state = eventful();
    let written = bytes(&state);
    let left = [("b", 2, 2), (SEED[1].0, 1, -1), ("d", 0, 7), ("e", 9, 0)];
    let hash = catalog(&left).sha256();
    assert!(written.windows(32).any(|window| window == hash));
    let names = ["a", "aa", "aaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaab", "aaaaaaaaaaaaaaaba", "ä", "b"];
    let mut items: Vec<(&str, u64, i64)> = (0..).zip(names).map(|(w, name)| (name, w, 1)).collect();
    items.swap(0, 4);
    items.swap(2, 6);
    let mut state = State::new();
    apply(&mut state, &pool_created(0, &items, 5), 5);
    let hash = catalog_sha256(state.names().pools()[0].items(), &state.pools[0]);
    assert_eq!(hash, catalog(&items).sha256());
}

#[test]
fn each_damaged_byte_is_refused_or_exact() {
    let written = bytes(&eventful());
    let mut exact = Vec::new();
    for offset in 0..written.len() {
        for mask in [1, 2, 4, 8, 16, 32, 64, 128, 0xFF, written[offset]] {
            let mut damaged = written.clone();
            damaged[offset] ^= mask;
            if refused_or_exact(&damaged).is_none() && mask != 0 {
                exact.push(offset);
            }
        }
    }
    exact.dedup();
    // What nothing else depends on: the lsn, the time, two names of pools, two selectors, two
    // commitments, bounds of keys. The SHA-256 of the file is what protects these.
    assert!(exact.len() < 100, "{exact:?}");
}

#[test]
fn each_cut_and_each_appended_byte_is_refused() {
    let written = bytes(&eventful());
    for length in 0..written.len() {
        assert!(refused_or_exact(&written[..length]).is_some(), "{length}");
    }
    for byte in 0..=u8::MAX {
        let longer = [&written[..], &[byte]].concat();
        let trailing = SnapshotError::Trailing { offset: written.len() };
        assert_eq!(refused_or_exact(&longer), Some(trailing));
    }
}

#[test]
fn an_unknown_version_and_long_forms_are_refused() {
    let written = bytes(&State::new());
    assert_eq!(written.len(), 1 + 4 + 8);
    let mut newer = written.clone();
    newer[0] = 2;
    assert_eq!(refused_or_exact(&newer), Some(SnapshotError::Version(2)));
    for (form, what) in [
        (&[0x80, 0][..], "the last lsn"),
        (&[0xFF; 11], "the last lsn"),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2], "the last lsn"),
        (&[0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], "the last request id"),
        (&[0, 0, 0, 0x90, 0x4E], "the count of pools"),
    ] {
        let longer = [&[VERSION], form, &written[2..]].concat();
        let error = refused_or_exact(&longer).unwrap();
        assert!(matches!(error, SnapshotError::Range { what: found, .. } if found == what));
    }
}

#[test]
fn a_state_that_contradicts_itself_is_refused() {
    let damage = |change: fn(&mut State)| {
        let mut state = eventful();
        change(&mut state);
        refused_or_exact(&bytes(&state)).unwrap()
    };
    let lost = damage(|state| state.last_request_id += 1);
    assert!(matches!(lost, SnapshotError::State(Violation::LastRequestId { .. })));
    let back = damage(|state| state.time_ms = 309);
    assert!(matches!(back, SnapshotError::Range { what: "the time of a key", .. }));
    let written = bytes(&eventful());
    let name = written.windows(2).position(|window| window == b"\x01d").unwrap();
    let mut twice = written;
    twice[name + 1] = b'b';
    let name: Box<str> = "b".into();
    let duplicate = SnapshotError::DuplicateName { name, offset: twice.len() };
    let error = refused_or_exact(&twice).unwrap();
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&duplicate));
    let mut renamed = bytes(&eventful());
    let name = renamed.windows(2).position(|window| window == b"\x01d").unwrap();
    renamed[name + 1] = b'q';
    let error = refused_or_exact(&renamed).unwrap();
    assert_eq!(error, SnapshotError::CatalogHash { pool: PoolId::new("pool-0").unwrap() });
}

#[test]
fn keys_out_of_their_order_are_refused() {
    let found = |keys: [(&[u8], u64, u64, u64); 2]| {
        let mut state = State::new();
        apply(&mut state, &pool_created(0, &SEED, 5), 5);
        draw(&mut state, &[0, 1, 0], None, 50);
        for (key, first, version, time_ms) in keys {
            let stamp = KeyStamp { hash: KeyHash::of(key).unwrap(), fingerprint: 1 };
            let first = RequestId::new(first).unwrap();
            let draw = KeyedDraw::new(stamp, first, &[Outcome::EMPTY], version, time_ms);
            state.pools[0].keys_mut().append(draw);
        }
        match refused_or_exact(&bytes(&state)) {
            Some(SnapshotError::Range { what, .. }) => what,
            other => unreachable!("{other:?}"),
        }
    };
    let of_time = "the time of a key";
    assert_eq!(found([(b"a", 1, 1, 50), (b"b", 2, 1, 49)]), of_time);
    assert_eq!(found([(b"a", 1, 1, 50), (b"b", 2, 1, 51)]), of_time);
    let of_id = "the request id of a key";
    assert_eq!(found([(b"a", 2, 1, 50), (b"b", 2, 1, 50)]), of_id);
    assert_eq!(found([(b"a", 2, 1, 50), (b"b", 4, 1, 50)]), of_id);
    let of_version = "the catalogue's version of a key";
    assert_eq!(found([(b"a", 1, 1, 50), (b"b", 2, 2, 50)]), of_version);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_refused_or_exact(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        refused_or_exact(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
            refused_or_exact(&bytes);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_exact(
        damages in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::of(any::<prop::sample::Index>()),
        copy in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        let mut damaged = bytes(&eventful());
        for (place, byte) in damages {
            let place = place.index(damaged.len());
            damaged[place] = byte;
        }
        if let Some((from, to)) = copy {
            let (from, to) = (from.index(damaged.len()), to.index(damaged.len()));
            let piece = damaged[from..damaged.len().min(from + 20)].to_vec();
            damaged.splice(to..to, piece);
        }
        if let Some(cut) = cut {
            damaged.truncate(cut.index(damaged.len()));
        }
        refused_or_exact(&damaged);
    }
}
