//! Goal: a difference names all that differs, and making its changes leaves only what is to be
//! told. Method: cases by hand, and random pairs of a state that drew and a file, where the changes
//! are made by the engine's own state machine and the comparison is done again.
use proptest::prelude::*;
use rewardpool_core::catalog::Catalog;
use rewardpool_core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, KeyLimits, Note, PoolSpec,
};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::record::Record;
use rewardpool_core::selector::SelectorKind;
use rewardpool_core::state::State;

use super::*;

fn quantity(number: i64) -> Quantity {
    Quantity::from_number(number).unwrap()
}

fn pool(id: &str, items: &[(&str, u64, i64)]) -> PoolConfig {
    let items = items.iter().map(|&(id, weight, units)| CatalogItem {
        id: ItemId::new(id).unwrap(),
        weight,
        quantity: quantity(units),
    });
    let spec = PoolSpec {
        id: PoolId::new(id).unwrap(),
        catalog: Catalog::new(items.collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    PoolConfig { spec, seed: None }
}

fn running(id: &str, items: &[(&str, u64, i64, u64)]) -> RunningPool {
    let items = items.iter().map(|&(id, weight, granted, awarded)| RunningItem {
        id: id.to_owned(),
        weight,
        granted: quantity(granted),
        awarded,
        retired: false,
    });
    RunningPool {
        id: id.to_owned(),
        status: PoolStatus::Active,
        catalog_version: 7,
        items: items.collect(),
    }
}

/// The changes of one pool that differs, as short texts.
fn changes_of(running: RunningPool, file: PoolConfig) -> Vec<String> {
    let difference = Difference::between(&[running], &[file]);
    let changes = difference.changes();
    let texts = changes.iter().map(|change| match change {
        Change::CreatePool(config) => format!("create {}", config.spec.id),
        Change::AddItem { item, version, .. } => format!("{version}: add {}", item.id),
        Change::UpdateItem { item, change, version, .. } => {
            let weight = change.weight.map(|weight| format!(" weight {weight}"));
            let quantity = change.quantity.map(|quantity| match quantity {
                QuantityChange::Add(units) => format!(" {units:+}"),
                QuantityChange::Set { to, expected_version } => {
                    assert_eq!(expected_version, *version);
                    format!(" = {to}")
                }
            });
            format!(
                "{version}: {item}{}{}",
                weight.unwrap_or_default(),
                quantity.unwrap_or_default()
            )
        }
    });
    texts.collect()
}

#[test]
fn what_is_the_same_is_not_told() {
    let running = running("p", &[("a", 1, 10, 4), ("b", 0, -1, 99)]);
    let file = pool("p", &[("b", 0, -1), ("a", 1, 10)]);
    let difference = Difference::between(&[running], &[file]);
    assert!(difference.is_empty(), "draws and the order of items are no difference");
    assert_eq!(difference.changes(), []);
}

#[test]
fn each_kind_of_difference_is_told() {
    let mut old = running("old", &[("a", 1, 1, 0)]);
    let mut closed = running("closed", &[("a", 1, 1, 0)]);
    closed.status = PoolStatus::Closed;
    old.status = PoolStatus::Paused;
    let mut both = running("both", &[("a", 1, 10, 4), ("gone", 2, 5, 5), ("late", 1, 1, 1)]);
    both.items[2].retired = true;
    let mut past = both.items[2].clone();
    past.id = "past".to_owned();
    both.items.push(past);
    both.status = PoolStatus::Paused;
    let file = [
        pool("both", &[("late", 1, 1), ("a", 3, 12), ("fresh", 1, -1)]),
        pool("new", &[("a", 1, 1)]),
    ];
    let missing = ItemDifference::Missing(both.items[1].clone());
    let difference = Difference::between(&[old, closed, both], &file);
    let (late, fresh) = (&file[0].spec.catalog.items()[0], &file[0].spec.catalog.items()[2]);
    let weight = WeightDifference { running: 1, file: 3 };
    let units = QuantityDifference { granted: quantity(10), awarded: 4, file: quantity(12) };
    let items = vec![
        ItemDifference::Retired(late.clone()),
        ItemDifference::Changed {
            item: ItemId::new("a").unwrap(),
            weight: Some(weight),
            quantity: Some(units),
        },
        ItemDifference::New(fresh.clone()),
        missing,
    ];
    let expected = vec![
        PoolDifference::Changed {
            pool: PoolId::new("both").unwrap(),
            status: PoolStatus::Paused,
            catalog_version: 7,
            items,
        },
        PoolDifference::New(file[1].clone()),
        PoolDifference::Missing {
            pool: "old".to_owned(),
            status: PoolStatus::Paused,
            item_count: 1,
        },
    ];
    assert_eq!(difference.pools, expected);
}

#[test]
fn units_change_by_the_difference_and_awards_stay() {
    let running = running(
        "p",
        &[
            ("more", 1, 10, 4),
            ("less", 1, 10, 4),
            ("all", 1, 10, 4),
            ("too few", 1, 10, 4),
            ("end", 1, 10, 4),
            ("begin", 1, -1, 4),
            ("too late", 1, -1, 4),
        ],
    );
    let file = pool(
        "p",
        &[
            ("more", 1, 15),
            ("less", 1, 7),
            ("all", 1, 4),
            ("too few", 1, 3),
            ("end", 1, -1),
            ("begin", 1, 9),
            ("too late", 1, 3),
        ],
    );
    let expected =
        ["7: more +5", "8: less -3", "9: all -6", "10: end = unlimited", "11: begin = 5"];
    assert_eq!(changes_of(running, file), expected);
}

#[test]
fn weights_fall_before_others_rise() {
    let running = running("p", &[("up", 1, -1, 0), ("down", 9, -1, 0), ("down too", 9, 1, 0)]);
    let file = pool("p", &[("new", 5, 1), ("up", 5, -1), ("down", 1, -1), ("down too", 8, 2)]);
    let expected = ["7: down weight 1", "8: down too weight 8 +1", "9: up weight 5", "10: add new"];
    assert_eq!(changes_of(running, file), expected);
}

#[test]
fn nothing_is_changed_in_a_closed_pool() {
    let mut running = running("p", &[("a", 1, 1, 0)]);
    running.status = PoolStatus::Closed;
    let difference = Difference::between(&[running.clone()], &[pool("p", &[("a", 1, 1)])]);
    assert!(!difference.is_empty(), "in the file it is active");
    assert_eq!(changes_of(running, pool("p", &[("a", 2, 3), ("b", 1, 1)])), [""; 0]);
}

#[test]
fn the_largest_numbers_do_not_overflow() {
    let running = running("p", &[("a", 1, i64::MAX, 0), ("b", 1, 0, 0)]);
    let file = pool("p", &[("a", 1, 0), ("b", 1, i64::MAX)]);
    assert_eq!(
        changes_of(running, file),
        [format!("7: a {}", -i64::MAX), format!("8: b +{}", i64::MAX)]
    );
}

/// A state machine with one way to change it, as an administrator has it.
struct Machine(State);

impl Machine {
    fn apply(&mut self, record: &Record<'_>) {
        let lsn = self.0.next_lsn();
        self.0.apply(record, lsn, 0).unwrap();
    }

    fn change(&mut self, command: &AdminCommand) {
        let record = self.0.decide(command).unwrap().expect("each change changes something");
        self.apply(&record);
    }

    fn create(&mut self, config: &PoolConfig) {
        let spec = config.spec.clone();
        self.change(&AdminCommand::CreatePool { spec, commitment: [0; 32] });
    }

    fn number(&self, pool: &str) -> PoolNumber {
        self.0.names().find(pool).unwrap()
    }

    fn draw(&mut self, pool: PoolNumber, count: u16) {
        let mut generator = Generator::new(&Secret::new([7; 32]));
        let count = DrawCount::new(count.into()).unwrap();
        let command = DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None };
        let mut outcomes = Vec::new();
        let drawn = self.0.draw(&command, &mut generator, 0, &mut outcomes).unwrap();
        assert!(!drawn.replayed);
        let lsn = self.0.next_lsn();
        self.0.advance(lsn, 0).unwrap();
    }

    fn make(&mut self, change: Change) {
        let note = Note::default();
        let (pool, version) = match change {
            Change::CreatePool(config) => return self.create(&config),
            Change::AddItem { pool, item, version } => {
                let number = self.number(pool.as_str());
                self.change(&AdminCommand::AddItem { pool: number, item, note });
                (number, version)
            }
            Change::UpdateItem { pool, item, change, version } => {
                let number = self.number(pool.as_str());
                self.change(&AdminCommand::UpdateItem { pool: number, item, change, note });
                (number, version)
            }
        };
        assert_eq!(self.0.pool(pool).unwrap().catalog_version, version + 1);
    }

    fn running(&self) -> Vec<RunningPool> {
        let pools = self.0.pools().map(|pool| {
            let items = self.0.items(pool.number, 0, usize::MAX).unwrap();
            let name = |item: &ItemState| pool.names.items().get(item.index).unwrap().clone();
            RunningPool {
                id: pool.names.id().as_str().to_owned(),
                status: pool.status,
                catalog_version: pool.catalog_version,
                items: items.map(|item| RunningItem::new(name(&item).as_str(), &item)).collect(),
            }
        });
        pools.collect()
    }
}

/// Whether nothing makes up for it.
fn is_only_told(difference: &PoolDifference) -> bool {
    let is_told = |item: &ItemDifference| match item {
        ItemDifference::Missing(_) | ItemDifference::Retired(_) => true,
        ItemDifference::New(_) => false,
        ItemDifference::Changed { weight, quantity, .. } => {
            weight.is_none() && quantity.is_some_and(|quantity| quantity.is_below_awards())
        }
    };
    match difference {
        PoolDifference::New(_) => false,
        PoolDifference::Missing { .. }
        | PoolDifference::Changed { status: PoolStatus::Closed, .. } => true,
        PoolDifference::Changed { items, .. } => items.iter().all(is_told),
    }
}

/// Up to eight items of the names `a` to `h`.
fn catalogs() -> impl Strategy<Value = Vec<(&'static str, u64, i64)>> {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let item = (0_u64..5, prop_oneof![Just(-1_i64), 0_i64..40]);
    proptest::collection::vec(proptest::option::of(item), 8).prop_map(move |items| {
        let items = names.into_iter().zip(items);
        let mut items: Vec<_> = items
            .filter_map(|(name, item)| item.map(|(weight, units)| (name, weight, units)))
            .collect();
        if items.is_empty() {
            items.push(("a", 1, 1));
        }
        items
    })
}

proptest! {
    #[test]
    fn making_the_changes_leaves_only_what_is_told(
        before in catalogs(),
        after in catalogs(),
        draws in 0_u16..200,
        retired in proptest::collection::vec(any::<bool>(), 8),
        status in prop_oneof![
            Just(PoolStatus::Active), Just(PoolStatus::Paused), Just(PoolStatus::Closed)
        ],
        has_new_pool in any::<bool>(),
    ) {
        let mut machine = Machine(State::new());
        machine.0.activate();
        let first = pool("first", &before);
        machine.create(&first);
        let number = machine.number("first");
        if draws > 0 {
            machine.draw(number, draws);
        }
        for (item, _) in first.spec.catalog.items().iter().zip(retired).filter(|(_, is)| *is) {
            let (item, note) = (item.id.clone(), Note::default());
            machine.change(&AdminCommand::RetireItem { pool: number, item, note });
        }
        if status != PoolStatus::Active {
            let note = Note::default();
            machine.change(&AdminCommand::SetStatus { pool: number, status, note });
        }
        let mut file = vec![pool("first", &after)];
        if has_new_pool {
            file.push(pool("second", &before));
        }
        let awarded = |machine: &Machine| -> u64 {
            machine.0.pools().map(|pool| pool.awards).sum()
        };
        let awards = awarded(&machine);
        for change in Difference::between(&machine.running(), &file).changes() {
            machine.make(change);
        }
        let left = Difference::between(&machine.running(), &file);
        prop_assert_eq!(left.changes(), []);
        prop_assert!(left.pools.iter().all(is_only_told), "{:?}", left);
        prop_assert_eq!(awarded(&machine), awards);
        machine.0.check().unwrap();
    }
}
