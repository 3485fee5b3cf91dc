//! What clients ask for, by chance.
use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
use rewardpool_engine::core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolSpec,
    PoolStatus, QuantityChange,
};
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{NewPool, Request};

use crate::clients::Clients;
use crate::numbers::Numbers;

const POOLS_MAX: usize = 3;
const ITEMS_MAX: usize = 9;

/// A request that makes sense to clients who know this much.
pub(crate) fn any_request(clients: &Clients, numbers: &mut Numbers) -> Request {
    if clients.pools() == 0 || (clients.pools() < POOLS_MAX && numbers.one_in(40)) {
        return Request::CreatePool(Box::new(new_pool(clients.pools(), numbers)));
    }
    let pool = number(numbers.below(clients.pools()));
    match numbers.below(40) {
        0..=27 => Request::Draw(any_draw(pool, clients, numbers)),
        28 | 29 => match clients.earlier_draw(numbers.below(8)) {
            Some((DrawCommand { pool, key: Some(key), .. }, _)) => Request::FindDraw { pool, key },
            _ => Request::ReadStatus,
        },
        30 | 31 => Request::ReadPool { pool, from: 0, limit: usize::MAX },
        32 => Request::ReadPools { from: 0, limit: usize::MAX },
        33 => Request::ReadStatus,
        34 => Request::Rotate,
        _ => Request::Change(Box::new(any_change(pool, clients, numbers))),
    }
}

fn any_draw(pool: PoolNumber, clients: &Clients, numbers: &mut Numbers) -> DrawCommand {
    if numbers.one_in(6)
        && let Some((earlier, is_answered)) = clients.earlier_draw(numbers.below(8))
    {
        // Now and then a client uses a key for something else; one that is still in doubt it only
        // repeats, or nobody could say what the key stands for.
        let is_other = is_answered && numbers.one_in(8);
        let mode = if is_other { DrawMode::AllOrNothing } else { earlier.mode };
        return DrawCommand { mode, ..earlier };
    }
    let count = match numbers.below(20) {
        0..=11 => 1,
        12..=17 => 1 + numbers.below(10),
        18 => 1 + numbers.below(100),
        _ => 1 + numbers.below(1500),
    };
    let count = DrawCount::new(i64::try_from(count).expect("it is small"));
    let mode = if numbers.one_in(6) { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
    let key = numbers.coin().then(|| numbers.next().to_le_bytes());
    let key = key.and_then(|key| KeyHash::of(&key));
    DrawCommand { pool, count: count.expect("it is in range"), mode, key }
}

fn any_change(pool: PoolNumber, clients: &Clients, numbers: &mut Numbers) -> AdminCommand {
    let note = Note::new("operator", "why not").expect("it is short");
    let items = clients.items(pool);
    let item = name(numbers.below(items));
    match numbers.below(12) {
        0..=4 => {
            let units = i64::try_from(numbers.below(60)).expect("it is small") - 10;
            let quantity = numbers.coin().then_some(QuantityChange::Add(units));
            let weight = (quantity.is_none() || numbers.coin()).then(|| numbers.next() % 50);
            AdminCommand::UpdateItem { pool, item, change: ItemChange { quantity, weight }, note }
        }
        5 | 6 => {
            let to = quantity(numbers);
            let set = QuantityChange::Set { to, expected_version: 1 + numbers.next() % 8 };
            let change = ItemChange { quantity: Some(set), weight: None };
            AdminCommand::UpdateItem { pool, item, change, note }
        }
        7 | 8 if items < ITEMS_MAX => {
            AdminCommand::AddItem { pool, item: catalog_item(items, numbers), note }
        }
        9 => AdminCommand::RetireItem { pool, item, note },
        10 if numbers.coin() => AdminCommand::SetStatus { pool, status: PoolStatus::Paused, note },
        11 if numbers.one_in(12) => {
            AdminCommand::SetStatus { pool, status: PoolStatus::Closed, note }
        }
        _ => AdminCommand::SetStatus { pool, status: PoolStatus::Active, note },
    }
}

fn new_pool(place: usize, numbers: &mut Numbers) -> NewPool {
    let items = (0..=numbers.below(5)).map(|place| catalog_item(place, numbers)).collect();
    let mut secret = [0; 32];
    secret.fill_with(|| numbers.byte());
    let spec = PoolSpec {
        id: PoolId::new(&format!("pool-{place}")).expect("it is a name"),
        catalog: Catalog::new(items).expect("the items have different names"),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    NewPool { spec, secret: Some(secret) }
}

fn catalog_item(place: usize, numbers: &mut Numbers) -> CatalogItem {
    let weight = 1 + numbers.next() % 100;
    CatalogItem { id: name(place), weight, quantity: quantity(numbers) }
}

fn quantity(numbers: &mut Numbers) -> Quantity {
    if numbers.one_in(3) {
        return Quantity::Unlimited;
    }
    Quantity::Limited(if numbers.coin() { numbers.next() % 10 } else { numbers.next() % 5000 })
}

fn name(place: usize) -> ItemId {
    ItemId::new(&place.to_string()).expect("a number is a name")
}

fn number(place: usize) -> PoolNumber {
    PoolNumber(u32::try_from(place).expect("there are few pools"))
}
