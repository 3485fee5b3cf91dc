//! Goal: the life of a directory over several starts. Method: every kind of request, in each
//! format on each storage; what was answered is compared with what is there after the next start.
use rewardpool_engine::core::command::{
    AdminCommand, ItemChange, KeyHash, Note, PoolStatus, QuantityChange, Rejection,
};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::ItemId;
use rewardpool_engine::{Draws, Engine, Handle, Refusal, Request, StorageKind, inspect};

use crate::fixture::{
    COMBINATIONS, PATIENCE, all_or_nothing, change, config, directory, draws, item, keyed,
    new_pool, readable, reopened, stored,
};

const SUMMER: PoolNumber = PoolNumber(0);
const BAG: PoolNumber = PoolNumber(1);
const SHUT: PoolNumber = PoolNumber(2);
const UNKNOWN: PoolNumber = PoolNumber(3);

fn id(name: &str) -> ItemId {
    ItemId::new(name).unwrap()
}

fn note() -> Note {
    Note::new("anna", "because \"she\" \\ can, \u{fc}ber|all").unwrap()
}

fn add(units: i64) -> ItemChange {
    ItemChange { quantity: Some(QuantityChange::Add(units)), weight: None }
}

fn update(pool: PoolNumber, name: &str, change: ItemChange) -> AdminCommand {
    AdminCommand::UpdateItem { pool, item: id(name), change, note: note() }
}

fn status(pool: PoolNumber, status: PoolStatus) -> AdminCommand {
    AdminCommand::SetStatus { pool, status, note: note() }
}

fn retire(pool: PoolNumber, name: &str) -> AdminCommand {
    AdminCommand::RetireItem { pool, item: id(name), note: note() }
}

fn append(pool: PoolNumber, name: &str) -> AdminCommand {
    AdminCommand::AddItem { pool, item: item(name, 3, 40), note: note() }
}

/// Makes three pools and changes all that can change.
fn begin(handle: &Handle) {
    let summer = new_pool("summer", &[("gold", 1, 5), ("silver", 10, 500), ("rock", 90, -1)]);
    assert_eq!(handle.create_pool(summer, PATIENCE), Ok(SUMMER));
    let bag = new_pool("bag", &[("a", 1, 6), ("b", 2, 4), ("never", 0, 9)]);
    assert_eq!(handle.create_pool(bag, PATIENCE), Ok(BAG));
    assert_eq!(handle.create_pool(new_pool("shut", &[("x", 1, 1)]), PATIENCE), Ok(SHUT));
    assert_eq!(handle.pool("bag"), Some(BAG));
    assert_eq!(handle.only_pool(), None);

    assert_eq!(change(handle, update(SUMMER, "gold", add(2))), Ok(2));
    let heavier = ItemChange { quantity: None, weight: Some(20) };
    assert_eq!(change(handle, update(SUMMER, "silver", heavier)), Ok(3));
    assert_eq!(change(handle, append(SUMMER, "late")), Ok(4));
    assert_eq!(change(handle, append(SUMMER, "gone")), Ok(5));
    assert_eq!(change(handle, retire(SUMMER, "gone")), Ok(6));
    assert_eq!(change(handle, status(SHUT, PoolStatus::Paused)), Ok(1));
    assert_eq!(change(handle, status(SHUT, PoolStatus::Active)), Ok(1));
    assert_eq!(change(handle, status(SHUT, PoolStatus::Closed)), Ok(1));
}

/// Draws from two pools; gives the last request id.
fn draw_some(handle: &Handle, mut last: u64) -> u64 {
    let commands = (0..40).map(|_| draws(SUMMER, 1)).chain([
        draws(SUMMER, 100),
        all_or_nothing(SUMMER, 3),
        draws(BAG, 1),
    ]);
    for command in commands {
        let drawn = handle.draw(command, PATIENCE).unwrap();
        assert_eq!(drawn.first_request_id.number(), last + 1);
        assert_eq!(drawn.items.len(), command.count.as_usize());
        assert!(!drawn.replayed);
        last += u64::from(command.count.number());
    }
    last
}

/// Requests that are refused by the state, each with its reason.
fn rejected() -> Vec<(Request, Rejection)> {
    let boxed = |command| Request::Change(Box::new(command));
    let set = |expected_version| {
        let to = rewardpool_engine::core::quantity::Quantity::Limited(1);
        let quantity = Some(QuantityChange::Set { to, expected_version });
        ItemChange { quantity, weight: None }
    };
    let heavy = ItemChange { quantity: None, weight: Some(u64::MAX / 2) };
    let unknown_key = KeyHash::of(b"nobody used this").unwrap();
    let twice = new_pool("bag", &[("a", 1, 1)]);
    vec![
        (Request::Draw(draws(UNKNOWN, 1)), Rejection::UnknownPool),
        (Request::Draw(draws(SHUT, 1)), Rejection::PoolClosed),
        (Request::Draw(all_or_nothing(BAG, 11)), Rejection::InsufficientStock),
        (Request::Draw(keyed(SUMMER, 2, "first")), Rejection::KeyReused),
        (Request::FindDraw { pool: SUMMER, key: unknown_key }, Rejection::UnknownKey),
        (Request::ReadPool { pool: UNKNOWN, from: 0, limit: 1 }, Rejection::UnknownPool),
        (Request::CreatePool(Box::new(twice)), Rejection::PoolExists),
        (boxed(update(UNKNOWN, "gold", add(1))), Rejection::UnknownPool),
        (boxed(update(SUMMER, "nothing", add(1))), Rejection::UnknownItem),
        (boxed(update(SUMMER, "gone", add(1))), Rejection::RetiredItem),
        (boxed(update(SUMMER, "rock", add(1))), Rejection::QuantityUnlimited),
        (boxed(update(SUMMER, "silver", add(i64::MIN))), Rejection::QuantityRange),
        (boxed(update(SUMMER, "silver", add(i64::MAX))), Rejection::QuantityRange),
        (boxed(update(SUMMER, "gold", set(2))), Rejection::VersionMismatch { current: 6 }),
        (boxed(update(SUMMER, "gold", heavy)), Rejection::TotalWeight),
        (boxed(append(SUMMER, "gone")), Rejection::ItemExists),
        (boxed(retire(SUMMER, "gone")), Rejection::RetiredItem),
        (boxed(retire(SHUT, "x")), Rejection::PoolClosed),
        (boxed(status(SHUT, PoolStatus::Active)), Rejection::PoolClosed),
    ]
}

fn reject_all(handle: &Handle) {
    let before = readable(handle);
    for (request, rejection) in rejected() {
        let name = format!("{request:?}");
        let refusal = handle.call(request, PATIENCE).map(drop).unwrap_err();
        assert_eq!(refusal, Refusal::Rejected(rejection), "{name}");
        assert_eq!(readable(handle), before, "{name}");
    }
    change(handle, status(BAG, PoolStatus::Paused)).unwrap();
    let paused = readable(handle);
    let refusal = handle.draw(draws(BAG, 1), PATIENCE).unwrap_err();
    assert_eq!(refusal, Refusal::Rejected(Rejection::PoolPaused));
    assert_eq!(readable(handle), paused);
    change(handle, status(BAG, PoolStatus::Active)).unwrap();
    assert_eq!(readable(handle), before);
}

fn replay(handle: &Handle, first: &Draws) {
    let before = readable(handle);
    let again = handle.draw(keyed(SUMMER, 7, "first"), PATIENCE).unwrap();
    assert_eq!(again, Draws { replayed: true, ..first.clone() });
    assert_eq!(readable(handle), before, "a replayed draw changes nothing");
}

#[test]
fn a_directory_lives_through_restarts() {
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let config = config(place.path(), format, storage);
        let engine = Engine::open(&config).unwrap();
        assert!(engine.recovery().fresh);
        let handle = engine.handle();
        begin(&handle);
        let first = handle.draw(keyed(SUMMER, 7, "first"), PATIENCE).unwrap();
        assert_eq!(first.first_request_id.number(), 1);
        let mut last = draw_some(&handle, 7);
        reject_all(&handle);
        let mut seen = readable(&handle);
        engine.stop().unwrap();
        for start in 0..4 {
            let before = stored(place.path());
            inspect::verify(place.path()).unwrap();
            assert_eq!(reopened(&config), before, "{format:?} {storage:?} start {start}");
            let engine = Engine::open(&config).unwrap();
            assert!(!engine.recovery().fresh);
            assert_eq!(engine.recovery().last_request_id, last);
            assert_eq!(engine.recovery().torn_bytes, 0);
            let handle = engine.handle();
            assert_eq!(handle.pool("bag"), Some(BAG));
            assert_eq!(readable(&handle), seen);
            replay(&handle, &first);
            last = draw_some(&handle, last);
            reject_all(&handle);
            seen = readable(&handle);
            engine.stop().unwrap();
        }
        let report = inspect::verify(place.path()).unwrap();
        assert_eq!(report.last_request_id, last);
        assert_eq!(report.torn_bytes, 0);
    }
}

/// The same secret gives the same prizes, whatever the format, the storage and the restarts.
#[test]
fn formats_and_storages_may_change_between_starts() {
    let mut texts = Vec::new();
    for shift in [0, 1, 4] {
        let place = directory();
        let mut last = 0;
        for start in 0..COMBINATIONS.len() {
            let (format, storage) = COMBINATIONS[(start + shift) % COMBINATIONS.len()];
            let engine = Engine::open(&config(place.path(), format, storage)).unwrap();
            let handle = engine.handle();
            if start == 0 {
                begin(&handle);
            }
            last = draw_some(&handle, last);
            engine.stop().unwrap();
        }
        inspect::verify(place.path()).unwrap();
        texts.push(stored(place.path()));
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
}

#[test]
fn a_second_start_is_refused_at_once() {
    let place = directory();
    let config = config(place.path(), Format::Binary, StorageKind::File);
    let engine = Engine::open(&config).unwrap();
    let begun = std::time::Instant::now();
    let refused = Engine::open(&config).map(drop).unwrap_err();
    assert!(refused.is_locked() && !refused.is_corruption(), "{refused}");
    assert!(begun.elapsed().as_secs() < 1);
    assert!(inspect::verify(place.path()).unwrap_err().is_locked());
    engine.stop().unwrap();
    Engine::open(&config).unwrap().stop().unwrap();
}
