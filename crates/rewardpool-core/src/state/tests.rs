//! The state machine by examples: exhaustion, the ends of the ranges, keys, and a record for each
//! way in which a log can be wrong.
use super::*;
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{
    AdminCommand, DrawMode, ItemChange, KeyLimits, Note, PoolSpec, PoolStatus, QuantityChange,
};
use crate::generator::Secret;
use crate::ids::ItemIndex;
use crate::limits::{DRAW_COUNT_MAX, QUANTITY_MAX, TOTAL_WEIGHT_MAX};
use crate::name::{ItemId, PoolId};
use crate::quantity::Quantity;
use crate::record::SnapshotRef;
use crate::selector::SelectorKind;

const POOL: PoolNumber = PoolNumber(0);

pub(super) fn no_note() -> Note {
    Note::default()
}

pub(super) fn generator() -> Generator {
    Generator::new(&Secret::new([7; 32]))
}

pub(super) const fn keys(window_ms: u64, keys_max: u64, outcomes_max: u64) -> KeyLimits {
    KeyLimits { window_ms, keys_max, outcomes_max }
}

fn catalog_item(&(name, weight, quantity): &(&str, u64, i64)) -> CatalogItem {
    let quantity = Quantity::from_number(quantity).unwrap();
    CatalogItem { id: ItemId::new(name).unwrap(), weight, quantity }
}

fn create(name: &str, items: &[(&str, u64, i64)], keys: KeyLimits) -> AdminCommand {
    let spec = PoolSpec {
        id: PoolId::new(name).unwrap(),
        catalog: Catalog::new(items.iter().map(catalog_item).collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys,
    };
    AdminCommand::CreatePool { spec, commitment: [1; 32] }
}

fn update(item: &str, quantity: Option<QuantityChange>, weight: Option<u64>) -> AdminCommand {
    AdminCommand::UpdateItem {
        pool: POOL,
        item: ItemId::new(item).unwrap(),
        change: ItemChange { quantity, weight },
        note: no_note(),
    }
}

fn add(item: &str, units: i64) -> AdminCommand {
    update(item, Some(QuantityChange::Add(units)), None)
}

fn set_status(status: PoolStatus) -> AdminCommand {
    AdminCommand::SetStatus { pool: POOL, status, note: no_note() }
}

fn add_item(item: &(&str, u64, i64)) -> AdminCommand {
    AdminCommand::AddItem { pool: POOL, item: catalog_item(item), note: no_note() }
}

fn retire(item: &str) -> AdminCommand {
    AdminCommand::RetireItem { pool: POOL, item: ItemId::new(item).unwrap(), note: no_note() }
}

fn index(place: u32) -> ItemIndex {
    ItemIndex::new(place).unwrap()
}

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

fn next_lsn(state: &State) -> Lsn {
    Lsn::new(state.last_lsn() + 1).unwrap()
}

/// Decides and applies; whether anything changed.
fn change(state: &mut State, command: &AdminCommand) -> Result<bool, Rejection> {
    let record = state.decide(command)?;
    if let Some(record) = &record {
        state.apply(record, next_lsn(state), 0).unwrap();
    }
    state.check().unwrap();
    Ok(record.is_some())
}

/// A live state with one pool.
fn state(items: &[(&str, u64, i64)], keys: KeyLimits) -> State {
    let mut state = State::new();
    state.activate();
    change(&mut state, &create("pool", items, keys)).unwrap();
    state
}

fn command(count: i64, mode: DrawMode, key: Option<&[u8]>) -> DrawCommand {
    let count = DrawCount::new(count).unwrap();
    DrawCommand { pool: POOL, count, mode, key: key.and_then(KeyHash::of) }
}

fn draw(
    state: &mut State,
    command: &DrawCommand,
    time_ms: u64,
) -> Result<(Drawn, Vec<Outcome>), Rejection> {
    let mut outcomes = Vec::new();
    let drawn = state.draw(command, &mut generator(), time_ms, &mut outcomes)?;
    if !drawn.replayed {
        state.advance(next_lsn(state), time_ms).unwrap();
    }
    state.check().unwrap();
    Ok((drawn, outcomes))
}

fn quantities(state: &State) -> Vec<i64> {
    state.items(POOL, 0, 100).unwrap().map(|item| item.quantity.to_number()).collect()
}

#[test]
fn ten_units_give_ten_awards_and_not_one_more() {
    let items = [("a", 5, 3), ("b", 1, 6), ("c", 90, 1)];
    let mut state = state(&items, KeyLimits::default());
    let (drawn, outcomes) = draw(&mut state, &command(25, DrawMode::BestEffort, None), 0).unwrap();
    assert_eq!(drawn.first_request_id, RequestId::FIRST);
    let awards = outcomes.iter().filter_map(|outcome| outcome.item());
    let mut places: Vec<u32> = awards.map(ItemIndex::number).collect();
    assert!(outcomes[10..].iter().all(|&outcome| outcome == Outcome::EMPTY));
    places.sort_unstable();
    assert_eq!(places, [0, 0, 0, 1, 1, 1, 1, 1, 1, 2]);
    assert_eq!(quantities(&state), [0, 0, 0]);
    let view = state.pool(POOL).unwrap();
    assert_eq!((view.draws, view.awards, view.empties), (25, 10, 15));
    assert_eq!((view.available_weight, view.listed_weight), (0, 96));
    let again = draw(&mut state, &command(1, DrawMode::AllOrNothing, None), 0);
    assert_eq!(again, Err(Rejection::InsufficientStock));
    change(&mut state, &add("b", 1)).unwrap();
    let (drawn, outcomes) = draw(&mut state, &command(2, DrawMode::BestEffort, None), 0).unwrap();
    assert_eq!(drawn.first_request_id.number(), 26);
    assert_eq!(outcomes, [Outcome::award(index(1)), Outcome::EMPTY]);
}

#[test]
fn all_or_nothing_draws_to_the_last_unit_and_not_beyond() {
    let mut state = state(&[("a", 1, 4), ("b", 0, 9), ("c", 3, 3)], KeyLimits::default());
    let refused = draw(&mut state, &command(8, DrawMode::AllOrNothing, None), 0);
    assert_eq!(refused, Err(Rejection::InsufficientStock));
    assert_eq!(state.last_request_id(), 0);
    let (_, outcomes) = draw(&mut state, &command(7, DrawMode::AllOrNothing, None), 0).unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.item().is_some()));
    assert_eq!(quantities(&state), [0, 9, 0]);
}

#[test]
fn the_ends_of_the_quantity_range_are_exact() {
    let mut state = state(&[("a", 1, i64::MAX), ("b", 0, -1)], KeyLimits::default());
    assert_eq!(change(&mut state, &add("a", 1)), Err(Rejection::QuantityRange));
    draw(&mut state, &command(3, DrawMode::AllOrNothing, None), 0).unwrap();
    assert_eq!(change(&mut state, &add("a", 4)), Err(Rejection::QuantityRange));
    assert_eq!(change(&mut state, &add("a", 3)), Ok(true));
    let item = state.item(POOL, index(0)).unwrap();
    assert_eq!(item.quantity, Quantity::Limited(QUANTITY_MAX));
    assert_eq!(item.granted, Some(QUANTITY_MAX + 3), "more was granted than can be left");
    let decoded = State::decode(&bytes(&state)).unwrap();
    assert_eq!(decoded.item(POOL, index(0)), Some(item));
    assert_eq!(change(&mut state, &add("a", i64::MIN)), Err(Rejection::QuantityRange));
    assert_eq!(change(&mut state, &add("a", -i64::MAX)), Ok(true));
    assert_eq!(change(&mut state, &add("a", -1)), Err(Rejection::QuantityRange));
    assert_eq!(quantities(&state), [0, -1]);
    assert_eq!(change(&mut state, &add("b", 1)), Err(Rejection::QuantityUnlimited));
    let set = |to, expected_version| Some(QuantityChange::Set { to, expected_version });
    let too_many = set(Quantity::Limited(QUANTITY_MAX + 1), 3);
    let refused = change(&mut state, &update("b", too_many, None));
    assert_eq!(refused, Err(Rejection::QuantityRange));
    let stale = change(&mut state, &update("b", set(Quantity::Limited(5), 2), None));
    assert_eq!(stale, Err(Rejection::VersionMismatch { current: 3 }));
    change(&mut state, &update("b", set(Quantity::Limited(5), 3), Some(1))).unwrap();
    draw(&mut state, &command(9, DrawMode::BestEffort, None), 0).unwrap();
    assert_eq!(state.item(POOL, index(1)).unwrap().granted, Some(5));
    change(&mut state, &update("b", set(Quantity::Unlimited, 4), None)).unwrap();
    assert_eq!(state.item(POOL, index(1)).unwrap().granted, None);
    change(&mut state, &update("b", set(Quantity::Limited(2), 5), None)).unwrap();
    assert_eq!(state.item(POOL, index(1)).unwrap().granted, Some(7));
}

#[test]
fn weights_add_up_to_their_maximum_whether_available_or_not() {
    let mut state = state(&[("a", TOTAL_WEIGHT_MAX - 1, 0), ("b", 1, 1)], KeyLimits::default());
    let heavier = change(&mut state, &update("b", None, Some(2)));
    assert_eq!(heavier, Err(Rejection::TotalWeight));
    assert_eq!(change(&mut state, &add_item(&("c", 1, 1))), Err(Rejection::TotalWeight));
    change(&mut state, &add_item(&("c", 0, 1))).unwrap();
    change(&mut state, &retire("a")).unwrap();
    change(&mut state, &update("c", None, Some(TOTAL_WEIGHT_MAX - 1))).unwrap();
    assert_eq!(change(&mut state, &update("a", None, Some(0))), Err(Rejection::RetiredItem));
    assert_eq!(change(&mut state, &retire("a")), Err(Rejection::RetiredItem));
    assert_eq!(change(&mut state, &add_item(&("a", 0, 1))), Err(Rejection::ItemExists));
    assert_eq!(change(&mut state, &retire("x")), Err(Rejection::UnknownItem));
    let view = state.pool(POOL).unwrap();
    assert_eq!((view.listed_weight, view.available_weight), (TOTAL_WEIGHT_MAX, TOTAL_WEIGHT_MAX));
}

#[test]
fn a_retry_gets_the_first_answer_whatever_became_of_the_pool() {
    let mut state = state(&[("a", 1, 2), ("b", 1, 2)], KeyLimits::default());
    let keyed = command(3, DrawMode::BestEffort, Some(b"k"));
    let (first, outcomes) = draw(&mut state, &keyed, 0).unwrap();
    assert!(!first.replayed);
    for status in [PoolStatus::Paused, PoolStatus::Closed] {
        change(&mut state, &set_status(status)).unwrap();
        let before = bytes(&state);
        let (again, same) = draw(&mut state, &keyed, 0).unwrap();
        assert_eq!((again, same), (Drawn { replayed: true, ..first }, outcomes.clone()));
        let other = command(2, DrawMode::BestEffort, Some(b"k"));
        assert_eq!(draw(&mut state, &other, 0), Err(Rejection::KeyReused));
        let other = command(3, DrawMode::AllOrNothing, Some(b"k"));
        assert_eq!(draw(&mut state, &other, 0), Err(Rejection::KeyReused));
        assert_eq!(bytes(&state), before);
    }
    let fresh = command(1, DrawMode::BestEffort, Some(b"l"));
    assert_eq!(draw(&mut state, &fresh, 0), Err(Rejection::PoolClosed));
    let unknown = KeyHash::of(b"l").unwrap();
    assert_eq!(state.find_draw(POOL, unknown), Err(Rejection::UnknownKey));
    assert_eq!(state.find_draw(PoolNumber(1), unknown), Err(Rejection::UnknownPool));
    let reopened = change(&mut state, &set_status(PoolStatus::Active));
    assert_eq!(reopened, Err(Rejection::PoolClosed));
    assert_eq!(change(&mut state, &set_status(PoolStatus::Closed)), Ok(false));
}

#[test]
fn keys_expire_by_the_time_in_the_log_and_a_late_clock_keeps_them() {
    let mut state = state(&[("a", 1, -1)], keys(100, 10, 10));
    let keyed = |key: &'static [u8]| command(1, DrawMode::BestEffort, Some(key));
    draw(&mut state, &keyed(b"old"), 1000).unwrap();
    draw(&mut state, &keyed(b"new"), 1100).unwrap();
    assert!(draw(&mut state, &keyed(b"old"), 1100).unwrap().0.replayed);
    // A clock that goes back counts as one that stands still.
    draw(&mut state, &keyed(b"back"), 5).unwrap();
    assert!(draw(&mut state, &keyed(b"old"), 1100).unwrap().0.replayed);
    assert_eq!(state.time_ms(), 1100);
    let back = state.find_draw(POOL, KeyHash::of(b"back").unwrap()).unwrap();
    assert_eq!(back.time_ms, 1100);
    draw(&mut state, &keyed(b"late"), 1101).unwrap();
    assert!(!draw(&mut state, &keyed(b"old"), 1101).unwrap().0.replayed);
    assert_eq!(state.pool(POOL).unwrap().keys.oldest_time_ms, Some(1100));
}

#[test]
fn a_pool_without_keys_refuses_them() {
    let mut state = state(&[("a", 1, -1)], keys(100, 0, 10));
    let keyed = command(1, DrawMode::BestEffort, Some(b"k"));
    assert_eq!(draw(&mut state, &keyed, 0), Err(Rejection::KeysOff));
    let hash = KeyHash::of(b"k").unwrap();
    assert_eq!(state.find_draw(POOL, hash), Err(Rejection::KeysOff));
    assert_eq!(draw(&mut state, &command(1, DrawMode::BestEffort, None), 0).unwrap().1.len(), 1);
}

#[test]
fn pages_of_items_end_where_the_catalogue_ends() {
    let state = state(&[("a", 1, 1), ("b", 1, 1), ("c", 1, 1)], KeyLimits::default());
    let page = |from, limit| -> Vec<u32> {
        state.items(POOL, from, limit).unwrap().map(|item| item.index.number()).collect()
    };
    assert_eq!(page(0, 2), [0, 1]);
    assert_eq!(page(2, usize::MAX), [2]);
    assert!(page(3, 1).is_empty());
    assert!(page(usize::MAX, usize::MAX).is_empty());
    assert!(matches!(state.items(PoolNumber(1), 0, 1), Err(Rejection::UnknownPool)));
}

#[test]
fn what_would_change_nothing_is_not_logged() {
    let mut state = state(&[("a", 3, 1)], KeyLimits::default());
    let before = bytes(&state);
    let same = QuantityChange::Set { to: Quantity::Limited(1), expected_version: 1 };
    for command in [
        set_status(PoolStatus::Active),
        add("a", 0),
        update("a", None, Some(3)),
        update("a", Some(same), None),
    ] {
        assert_eq!(change(&mut state, &command), Ok(false), "{command:?}");
    }
    assert_eq!(bytes(&state), before);
    let pool_exists = change(&mut state, &create("pool", &[("a", 1, 1)], KeyLimits::default()));
    assert_eq!(pool_exists, Err(Rejection::PoolExists));
}

/// A state that has seen everything: draws, a key, a change, a retired and a sold out item.
fn eventful() -> State {
    let items = [("a", 2, 5), ("b", 1, -1), ("c", 4, 3), ("d", 0, 7), ("e", 9, 1)];
    let mut state = state(&items, keys(1000, 10, 100));
    draw(&mut state, &command(6, DrawMode::BestEffort, Some(b"first")), 10).unwrap();
    change(&mut state, &retire("c")).unwrap();
    change(&mut state, &update("a", Some(QuantityChange::Add(2)), Some(3))).unwrap();
    change(&mut state, &create("other", &[("z", 1, 2)], keys(1000, 10, 100))).unwrap();
    draw(&mut state, &command(1, DrawMode::BestEffort, Some(b"second")), 20).unwrap();
    let other = DrawCommand { pool: PoolNumber(1), ..command(3, DrawMode::BestEffort, None) };
    draw(&mut state, &other, 30).unwrap();
    state
}

/// Applies a record that must not fit.
fn violation(state: &State, record: &Record<'_>) -> Violation {
    let mut copy = state.clone();
    let lsn = next_lsn(&copy);
    let violation = copy.apply(record, lsn, 40).unwrap_err();
    assert_eq!(copy.last_lsn(), state.last_lsn(), "a record that does not fit is not counted");
    let is_outcome = matches!(
        violation,
        Violation::UnknownItem { .. } | Violation::NotAvailable { .. } | Violation::NotEmpty { .. }
    );
    if !is_outcome {
        assert_eq!(bytes(&copy), bytes(state), "{violation}: checked before anything is changed");
    }
    assert!(!violation.to_string().is_empty());
    violation
}

fn draw_record(state: &State) -> DrawRecord<'static> {
    DrawRecord {
        pool: POOL,
        catalog_version: state.pool(POOL).unwrap().catalog_version,
        first_request_id: RequestId::new(state.last_request_id() + 1).unwrap(),
        outcomes: &[Outcome::EMPTY],
        mode: DrawMode::BestEffort,
        key: None,
    }
}

fn draw_violation(state: &State, draw: DrawRecord<'_>) -> Violation {
    violation(state, &Record::Draw(draw))
}

#[test]
fn a_draw_that_does_not_fit_is_a_violation() {
    let state = eventful();
    let good = draw_record(&state);
    let id = good.first_request_id.number();
    let unlimited = [Outcome::award(index(1))];
    state
        .clone()
        .apply(&Record::Draw(DrawRecord { outcomes: &unlimited, ..good }), next_lsn(&state), 0)
        .unwrap();

    let found = RequestId::new(id + 1).unwrap();
    let gap = draw_violation(&state, DrawRecord { first_request_id: found, ..good });
    assert_eq!(gap, Violation::RequestId { expected: id, found });
    let pool = PoolNumber(2);
    assert_eq!(
        draw_violation(&state, DrawRecord { pool, ..good }),
        Violation::UnknownPool { pool }
    );
    let version = draw_violation(&state, DrawRecord { catalog_version: 2, ..good });
    assert_eq!(version, Violation::CatalogVersion { pool: POOL, expected: 3, found: 2 });
    let none = draw_violation(&state, DrawRecord { outcomes: &[], ..good });
    assert_eq!(none, Violation::DrawCount { found: 0 });
    let many = vec![unlimited[0]; usize::from(DRAW_COUNT_MAX) + 1];
    let too_many = draw_violation(&state, DrawRecord { outcomes: &many, ..good });
    assert_eq!(too_many, Violation::DrawCount { found: many.len() });
    for (outcome, expected) in [
        (Outcome::award(index(5)), Violation::UnknownItem { pool: POOL, item: index(5) }),
        (Outcome::award(index(2)), Violation::NotAvailable { pool: POOL, item: index(2) }),
        (Outcome::award(index(3)), Violation::NotAvailable { pool: POOL, item: index(3) }),
    ] {
        assert_eq!(draw_violation(&state, DrawRecord { outcomes: &[outcome], ..good }), expected);
    }
    assert!(matches!(draw_violation(&state, good), Violation::NotEmpty { unlimited: 1, .. }));
    let stamp =
        |key: &[u8], fingerprint| Some(KeyStamp { hash: KeyHash::of(key).unwrap(), fingerprint });
    let wrong =
        draw_violation(&state, DrawRecord { outcomes: &unlimited, key: stamp(b"k", 2), ..good });
    assert_eq!(wrong, Violation::KeyFingerprint { expected: 1, found: 2 });
    let known = draw_violation(
        &state,
        DrawRecord { outcomes: &unlimited, key: stamp(b"second", 1), ..good },
    );
    assert!(matches!(known, Violation::KeyKnown { pool: POOL, .. }));
    let reused = draw_violation(
        &state,
        DrawRecord { outcomes: &unlimited, key: stamp(b"first", 1), ..good },
    );
    assert_eq!(reused, Violation::Refused { rejection: Rejection::KeyReused });
    let sold_out = DrawRecord { pool: PoolNumber(1), catalog_version: 1, ..good };
    let short = draw_violation(&state, DrawRecord { mode: DrawMode::AllOrNothing, ..sold_out });
    assert_eq!(short, Violation::Refused { rejection: Rejection::InsufficientStock });
    let over =
        draw_violation(&state, DrawRecord { outcomes: &[Outcome::award(index(0))], ..sold_out });
    assert_eq!(over, Violation::NotAvailable { pool: PoolNumber(1), item: index(0) });
}

#[test]
fn a_draw_beyond_the_last_request_id_is_a_violation() {
    let mut state = eventful();
    state.last_request_id = REQUEST_ID_MAX;
    let record = Record::Draw(draw_record(&state));
    let violation = state.apply(&record, next_lsn(&state), 0).unwrap_err();
    assert_eq!(violation, Violation::RequestIdMax { last: REQUEST_ID_MAX, count: 1 });
}

#[test]
fn a_draw_from_a_pool_that_does_not_draw_is_a_violation() {
    let mut state = eventful();
    for (status, rejection) in
        [(PoolStatus::Paused, Rejection::PoolPaused), (PoolStatus::Closed, Rejection::PoolClosed)]
    {
        change(&mut state, &set_status(status)).unwrap();
        let violation = violation(&state, &Record::Draw(draw_record(&state)));
        assert_eq!(violation, Violation::Refused { rejection });
    }
}

#[test]
fn a_record_out_of_its_place_is_a_violation() {
    let mut state = eventful();
    let (expected, last) = (state.last_lsn() + 1, state.last_lsn());
    for found in [last, last + 2] {
        let lsn = Lsn::new(found).unwrap();
        let violation = state.apply(&Record::Marker, lsn, 0).unwrap_err();
        assert_eq!(violation, Violation::Lsn { expected, found: lsn });
        assert_eq!(state.advance(lsn, 0), Err(violation));
    }
    state.apply(&Record::Marker, Lsn::new(expected).unwrap(), 0).unwrap();
}

#[test]
fn a_digest_of_another_state_is_a_violation() {
    let mut state = eventful();
    let (expected, found) = (state.digest(), state.digest() ^ 1);
    let wrong = Violation::Digest { expected, found };
    for (record, good) in [
        (Record::Digest(found), Record::Digest(expected)),
        (Record::Closed(found), Record::Closed(expected)),
        (
            Record::Rotate { next_segment: 1, digest: found },
            Record::Rotate { next_segment: 1, digest: expected },
        ),
    ] {
        assert_eq!(violation(&state, &record), wrong);
        state.clone().apply(&good, next_lsn(&state), 0).unwrap();
    }
    let lsn = next_lsn(&state);
    let snapshot = |lsn| Record::Snapshot(SnapshotRef { lsn, sha256: [0; 32] });
    let ahead = violation(&state, &snapshot(lsn.number()));
    assert_eq!(ahead, Violation::SnapshotAhead { found: lsn.number(), lsn });
    state.apply(&snapshot(lsn.number() - 1), lsn, 0).unwrap();
}

#[test]
fn a_pool_that_does_not_fit_is_a_violation() {
    let state = eventful();
    let decided = state.decide(&create("new", &[("a", 1, 1)], KeyLimits::default()));
    let Ok(Some(Record::PoolCreated(good))) = decided else { unreachable!() };
    let found = PoolNumber(3);
    let record = Record::PoolCreated(Box::new(PoolCreated { pool: found, ..*good.clone() }));
    assert_eq!(violation(&state, &record), Violation::PoolNumber { expected: 2, found });
    let id = PoolId::new("other").unwrap();
    let record = Record::PoolCreated(Box::new(PoolCreated { id, ..*good }));
    let exists = Violation::Refused { rejection: Rejection::PoolExists };
    assert_eq!(violation(&state, &record), exists);
}

#[test]
fn an_update_that_does_not_fit_is_a_violation() {
    let state = eventful();
    let Ok(Some(Record::Update(good))) = state.decide(&add("a", 5)) else { unreachable!() };
    let violation = |update| violation(&state, &Record::Update(Box::new(update)));
    let pool = PoolNumber(9);
    assert_eq!(violation(Update { pool, ..*good.clone() }), Violation::UnknownPool { pool });
    let (pool, item, expected) = (POOL, index(0), good.quantity);
    let Quantity::Limited(units) = expected else { unreachable!() };
    let found = Quantity::Limited(units + 1);
    let wrong = violation(Update { quantity: found, ..*good.clone() });
    assert_eq!(wrong, Violation::Quantity { pool, item, expected, found });
    let wrong = violation(Update { weight: 4, ..*good.clone() });
    assert_eq!(wrong, Violation::Weight { pool, item, expected: 3, found: 4 });
    let wrong = violation(Update { catalog_version: 3, ..*good.clone() });
    assert_eq!(wrong, Violation::CatalogVersion { pool, expected: 4, found: 3 });
    let nothing = violation(Update { change: ItemChange::default(), ..*good.clone() });
    assert_eq!(nothing, Violation::NothingChanges { pool });
    for (item, rejection) in
        [(index(5), Rejection::UnknownItem), (index(2), Rejection::RetiredItem)]
    {
        let refused = violation(Update { item, ..*good.clone() });
        assert_eq!(refused, Violation::Refused { rejection });
    }
}

#[test]
fn an_item_that_does_not_fit_is_a_violation() {
    let state = eventful();
    let item = ("new", 1, 1);
    let Ok(Some(Record::ItemAdded(good))) = state.decide(&add_item(&item)) else { unreachable!() };
    let added = |added| violation(&state, &Record::ItemAdded(Box::new(added)));
    let pool = PoolNumber(9);
    assert_eq!(added(ItemAdded { pool, ..*good.clone() }), Violation::UnknownPool { pool });
    let pool = POOL;
    let wrong = added(ItemAdded { index: index(4), ..*good.clone() });
    assert_eq!(wrong, Violation::ItemIndex { pool, expected: 5, found: index(4) });
    let wrong = added(ItemAdded { catalog_version: 5, ..*good.clone() });
    assert_eq!(wrong, Violation::CatalogVersion { pool, expected: 4, found: 5 });
    let exists = added(ItemAdded { item: catalog_item(&("c", 1, 1)), ..*good });
    assert_eq!(exists, Violation::Refused { rejection: Rejection::ItemExists });

    let Ok(Some(Record::ItemRetired(good))) = state.decide(&retire("a")) else { unreachable!() };
    let retired = |retired| violation(&state, &Record::ItemRetired(Box::new(retired)));
    let wrong = retired(ItemRetired { catalog_version: 3, ..*good.clone() });
    assert_eq!(wrong, Violation::CatalogVersion { pool, expected: 4, found: 3 });
    let twice = retired(ItemRetired { item: index(2), ..*good });
    assert_eq!(twice, Violation::Refused { rejection: Rejection::RetiredItem });

    let status = |status| {
        let note = no_note();
        let changed = PoolStateChanged { pool, status, note };
        Record::PoolStateChanged(Box::new(changed))
    };
    let same = violation(&state, &status(PoolStatus::Active));
    assert_eq!(same, Violation::NothingChanges { pool });
}

#[test]
fn the_digest_sees_each_kind_of_change() {
    let base = eventful();
    let mut digests = vec![base.digest(), State::new().digest()];
    for command in [
        add("a", 1),
        update("a", None, Some(4)),
        retire("d"),
        add_item(&("new", 0, 0)),
        set_status(PoolStatus::Paused),
        set_status(PoolStatus::Closed),
        create("new", &[("a", 1, 1)], KeyLimits::default()),
    ] {
        let mut state = base.clone();
        change(&mut state, &command).unwrap();
        digests.push(state.digest());
    }
    for key in [None, Some(&b"k"[..]), Some(&b"l"[..])] {
        let mut state = base.clone();
        draw(&mut state, &command(1, DrawMode::BestEffort, key), 40).unwrap();
        digests.push(state.digest());
    }
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn a_state_that_lost_count_is_found_out() {
    let mut state = eventful();
    state.check().unwrap();
    state.last_request_id += 1;
    assert!(matches!(state.check(), Err(Violation::LastRequestId { .. })));
    let mut state = eventful();
    state.pools.pop();
    assert_eq!(state.check(), Err(Violation::Names { names: 2, things: 1 }));
}

#[test]
#[should_panic(expected = "activated before it draws")]
fn a_state_that_was_not_activated_does_not_draw() {
    let mut state = State::decode(&bytes(&eventful())).unwrap();
    let drawn = draw(&mut state, &command(1, DrawMode::BestEffort, None), 0);
    unreachable!("{drawn:?}");
}
