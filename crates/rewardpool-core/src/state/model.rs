//! Goal: the state machine does what a model does that is too simple to be wrong. Method: random
//! commands go to both; the model keeps plain lists and walks over them for each draw. Then the
//! records go to a state that begins anew, and that state's bytes to another one.
use proptest::prelude::*;

use super::tests::{generator, keys, no_note};
use super::*;
use crate::catalog::{Catalog, CatalogItem};
use crate::command::{
    AdminCommand, DrawMode, ItemChange, KeyLimits, PoolSpec, PoolStatus, QuantityChange,
};
use crate::ids::ItemIndex;
use crate::limits::{QUANTITY_MAX, TOTAL_WEIGHT_MAX};
use crate::name::{ItemId, PoolId};
use crate::quantity::Quantity;
use crate::selector::SelectorKind;

#[derive(Clone)]
struct ModelItem {
    name: String,
    weight: u64,
    quantity: i64,
    awarded: u64,
    granted: i128,
    retired: bool,
}

struct ModelKey {
    hash: KeyHash,
    fingerprint: u64,
    drawn: Drawn,
    outcomes: Vec<Outcome>,
    time_ms: u64,
}

struct ModelPool {
    name: String,
    items: Vec<ModelItem>,
    status: PoolStatus,
    version: u64,
    limits: KeyLimits,
    keys: Vec<ModelKey>,
}

#[derive(Default)]
struct Model {
    pools: Vec<ModelPool>,
    last_request_id: u64,
}

impl ModelPool {
    fn effective(&self, place: usize) -> u64 {
        let item = &self.items[place];
        if item.retired || item.quantity == 0 { 0 } else { item.weight }
    }

    /// Items in the order of the catalogue, each with an interval as long as its weight.
    fn draw_one(&mut self, id: u64, generator: &mut Generator) -> Outcome {
        let total: u64 = (0..self.items.len()).map(|place| self.effective(place)).sum();
        if total == 0 {
            return Outcome::EMPTY;
        }
        let mut rest = generator.below(RequestId::new(id).unwrap(), total);
        for place in 0..self.items.len() {
            let weight = self.effective(place);
            if rest < weight {
                let item = &mut self.items[place];
                item.awarded += 1;
                if item.quantity > 0 {
                    item.quantity -= 1;
                }
                return Outcome::award(ItemIndex::from_usize(place).unwrap());
            }
            rest -= weight;
        }
        unreachable!("the number is below the total")
    }

    fn has_units_for(&self, count: usize) -> bool {
        let mut units: i128 = 0;
        for place in 0..self.items.len() {
            if self.effective(place) > 0 {
                let quantity = self.items[place].quantity;
                units += if quantity < 0 { i128::from(i64::MAX) } else { i128::from(quantity) };
            }
        }
        units >= i128::try_from(count).unwrap()
    }

    fn expire_keys(&mut self, now_ms: u64) {
        while self.keys.len() > 1 {
            let outcomes: usize = self.keys.iter().map(|key| key.outcomes.len()).sum();
            let too_many = u64::try_from(self.keys.len()).unwrap() > self.limits.keys_max
                || u64::try_from(outcomes).unwrap() > self.limits.outcomes_max;
            if !too_many && self.keys[0].time_ms + self.limits.window_ms >= now_ms {
                break;
            }
            self.keys.remove(0);
        }
    }

    fn listed_weight_without(&self, skip: Option<usize>) -> u128 {
        let listed = |&(place, item): &(usize, &ModelItem)| !item.retired && Some(place) != skip;
        let items = self.items.iter().enumerate().filter(listed);
        items.map(|(_, item)| u128::from(item.weight)).sum()
    }

    fn find(&self, id: &ItemId) -> Result<usize, Rejection> {
        if self.status == PoolStatus::Closed {
            return Err(Rejection::PoolClosed);
        }
        let place = self.items.iter().position(|item| item.name == id.as_str());
        let place = place.ok_or(Rejection::UnknownItem)?;
        if self.items[place].retired { Err(Rejection::RetiredItem) } else { Ok(place) }
    }

    fn update(&mut self, id: &ItemId, change: &ItemChange) -> Result<bool, Rejection> {
        let place = self.find(id)?;
        let mut item = self.items[place].clone();
        let (quantity, units_max) = (i128::from(item.quantity), i128::from(QUANTITY_MAX));
        let wanted = match change.quantity {
            None => quantity,
            Some(QuantityChange::Add(_)) if quantity < 0 => {
                return Err(Rejection::QuantityUnlimited);
            }
            Some(QuantityChange::Add(units)) => match quantity + i128::from(units) {
                sum if sum < 0 => return Err(Rejection::QuantityRange),
                sum => sum,
            },
            Some(QuantityChange::Set { expected_version, .. })
                if expected_version != self.version =>
            {
                return Err(Rejection::VersionMismatch { current: self.version });
            }
            Some(QuantityChange::Set { to: Quantity::Unlimited, .. }) => -1,
            Some(QuantityChange::Set { to: Quantity::Limited(units), .. }) => i128::from(units),
        };
        if wanted > units_max {
            return Err(Rejection::QuantityRange);
        }
        item.granted = match (quantity < 0, wanted < 0) {
            (_, true) => 0,
            (true, false) => wanted + i128::from(item.awarded),
            (false, false) => item.granted + wanted - quantity,
        };
        item.quantity = i64::try_from(wanted).unwrap();
        if let Some(weight) = change.weight {
            let sum = self.listed_weight_without(Some(place)) + u128::from(weight);
            if sum > u128::from(TOTAL_WEIGHT_MAX) {
                return Err(Rejection::TotalWeight);
            }
            item.weight = weight;
        }
        let old = &self.items[place];
        let changes = old.quantity != item.quantity || old.weight != item.weight;
        if changes {
            self.items[place] = item;
            self.version += 1;
        }
        Ok(changes)
    }

    fn add(&mut self, item: &CatalogItem) -> Result<bool, Rejection> {
        if self.status == PoolStatus::Closed {
            return Err(Rejection::PoolClosed);
        }
        let sum = self.listed_weight_without(None) + u128::from(item.weight);
        if sum > u128::from(TOTAL_WEIGHT_MAX) {
            return Err(Rejection::TotalWeight);
        }
        if matches!(item.quantity, Quantity::Limited(units) if units > QUANTITY_MAX) {
            return Err(Rejection::QuantityRange);
        }
        if self.items.iter().any(|other| other.name == item.id.as_str()) {
            return Err(Rejection::ItemExists);
        }
        self.items.push(ModelItem::new(item));
        self.version += 1;
        Ok(true)
    }

    fn set_status(&mut self, status: PoolStatus) -> Result<bool, Rejection> {
        if self.status == status {
            return Ok(false);
        }
        if self.status == PoolStatus::Closed {
            return Err(Rejection::PoolClosed);
        }
        self.status = status;
        Ok(true)
    }
}

impl ModelItem {
    fn new(item: &CatalogItem) -> Self {
        let quantity = item.quantity.to_number();
        Self {
            name: item.id.as_str().to_owned(),
            weight: item.weight,
            quantity,
            awarded: 0,
            granted: i128::from(quantity.max(0)),
            retired: false,
        }
    }
}

impl Model {
    fn draw(
        &mut self,
        command: &DrawCommand,
        generator: &mut Generator,
        time_ms: u64,
    ) -> Result<(Drawn, Vec<Outcome>), Rejection> {
        let pool = self.pools.get_mut(command.pool.as_usize()).ok_or(Rejection::UnknownPool)?;
        if let Some(hash) = command.key {
            if pool.limits.keys_max == 0 {
                return Err(Rejection::KeysOff);
            }
            if let Some(key) = pool.keys.iter().find(|key| key.hash == hash) {
                if key.fingerprint != command.fingerprint() {
                    return Err(Rejection::KeyReused);
                }
                return Ok((Drawn { replayed: true, ..key.drawn }, key.outcomes.clone()));
            }
        }
        match pool.status {
            PoolStatus::Active => {}
            PoolStatus::Paused => return Err(Rejection::PoolPaused),
            PoolStatus::Closed => return Err(Rejection::PoolClosed),
        }
        let count = command.count.as_usize();
        if command.mode == DrawMode::AllOrNothing && !pool.has_units_for(count) {
            return Err(Rejection::InsufficientStock);
        }
        let drawn = Drawn {
            first_request_id: RequestId::new(self.last_request_id + 1).unwrap(),
            replayed: false,
            catalog_version: pool.version,
        };
        let mut outcomes = Vec::new();
        for _ in 0..count {
            self.last_request_id += 1;
            outcomes.push(pool.draw_one(self.last_request_id, generator));
        }
        if let Some(hash) = command.key {
            let (fingerprint, outcomes) = (command.fingerprint(), outcomes.clone());
            pool.keys.push(ModelKey { hash, fingerprint, drawn, outcomes, time_ms });
            pool.expire_keys(time_ms);
        }
        Ok((drawn, outcomes))
    }

    fn pool(&mut self, number: PoolNumber) -> Result<&mut ModelPool, Rejection> {
        self.pools.get_mut(number.as_usize()).ok_or(Rejection::UnknownPool)
    }

    /// Whether anything changed.
    fn change(&mut self, command: &AdminCommand) -> Result<bool, Rejection> {
        if let AdminCommand::CreatePool { spec, .. } = command {
            if self.pools.iter().any(|pool| pool.name == spec.id.as_str()) {
                return Err(Rejection::PoolExists);
            }
            self.pools.push(ModelPool {
                name: spec.id.as_str().to_owned(),
                items: spec.catalog.items().iter().map(ModelItem::new).collect(),
                status: PoolStatus::Active,
                version: 1,
                limits: spec.keys,
                keys: Vec::new(),
            });
            return Ok(true);
        }
        match command {
            AdminCommand::UpdateItem { pool: number, item, change, .. } => {
                self.pool(*number)?.update(item, change)
            }
            AdminCommand::AddItem { pool: number, item, .. } => self.pool(*number)?.add(item),
            AdminCommand::RetireItem { pool: number, item, .. } => {
                let pool = self.pool(*number)?;
                let place = pool.find(item)?;
                pool.items[place].retired = true;
                pool.version += 1;
                Ok(true)
            }
            AdminCommand::SetStatus { pool: number, status, .. } => {
                self.pool(*number)?.set_status(*status)
            }
            AdminCommand::CreatePool { .. } => unreachable!("handled above"),
        }
    }
}

/// What a test does; numbers that depend on the state are filled in on the way.
#[derive(Clone, Debug)]
enum Action {
    Draw { pool: u32, count: i64, mode: DrawMode, key: Option<u8> },
    Create { name: u8, keys: KeyLimits },
    Add { pool: u32, item: u8, units: i64 },
    Set { pool: u32, item: u8, to: Quantity, version_off: u64, weight: Option<u64> },
    Weight { pool: u32, item: u8, weight: u64 },
    AddItem { pool: u32, item: u8, weight: u64, quantity: Quantity },
    Retire { pool: u32, item: u8 },
    Status { pool: u32, status: PoolStatus },
    Digest,
}

fn actions() -> impl Strategy<Value = Vec<(Action, u64)>> {
    let pool = || prop_oneof![5 => Just(0_u32), 3 => Just(1), 1 => Just(2)];
    let item = || 0..9_u8;
    let count = prop_oneof![3 => Just(1_i64), 3 => 2..8_i64, 1 => 8..=50_i64];
    let mode = prop_oneof![3 => Just(DrawMode::BestEffort), 1 => Just(DrawMode::AllOrNothing)];
    let weight = || prop_oneof![1 => Just(0), 6 => 1..9_u64, 1 => Just(TOTAL_WEIGHT_MAX - 20), 1 => Just(TOTAL_WEIGHT_MAX), 1 => any::<u64>()];
    let quantity = || {
        let units =
            prop_oneof![8 => 0..30_u64, 1 => Just(QUANTITY_MAX), 1 => Just(QUANTITY_MAX + 1)];
        prop_oneof![6 => units.prop_map(Quantity::Limited), 1 => Just(Quantity::Unlimited)]
    };
    let units = prop_oneof![8 => -20..40_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let status = prop_oneof![
        4 => Just(PoolStatus::Active),
        2 => Just(PoolStatus::Paused),
        1 => Just(PoolStatus::Closed)
    ];
    let limits =
        prop_oneof![Just(keys(60, 5, 60)), Just(keys(5, 0, 5)), Just(KeyLimits::default())];
    let off = prop_oneof![4 => Just(0_u64), 1 => Just(1)];
    let valid = |quantity: &Quantity| *quantity != Quantity::Limited(QUANTITY_MAX + 1);
    let action = prop_oneof![
        40 => (pool(), count, mode, proptest::option::of(0..12_u8))
            .prop_map(|(pool, count, mode, key)| Action::Draw { pool, count, mode, key }),
        1 => (0..4_u8, limits).prop_map(|(name, keys)| Action::Create { name, keys }),
        8 => (pool(), item(), units).prop_map(|(pool, item, units)| Action::Add { pool, item, units }),
        4 => (pool(), item(), quantity(), off, proptest::option::of(weight())).prop_map(
            |(pool, item, to, version_off, weight)| Action::Set { pool, item, to, version_off, weight }
        ),
        3 => (pool(), item(), weight())
            .prop_map(|(pool, item, weight)| Action::Weight { pool, item, weight }),
        3 => (pool(), item(), weight(), quantity().prop_filter("a number", valid)).prop_map(
            |(pool, item, weight, quantity)| Action::AddItem { pool, item, weight, quantity }
        ),
        1 => (pool(), item()).prop_map(|(pool, item)| Action::Retire { pool, item }),
        3 => (pool(), status).prop_map(|(pool, status)| Action::Status { pool, status }),
        1 => Just(Action::Digest),
    ];
    let step = prop_oneof![6 => 0..4_u64, 1 => 0..100_u64];
    proptest::collection::vec((action, step), 1..80)
}

fn item_name(item: u8) -> ItemId {
    ItemId::new(&format!("item {item}")).unwrap()
}

impl Action {
    /// The command of an administrator; draws and digests are none.
    fn command(&self, model: &Model) -> AdminCommand {
        let update = |&pool: &u32, &item: &u8, quantity, weight| AdminCommand::UpdateItem {
            pool: PoolNumber(pool),
            item: item_name(item),
            change: ItemChange { quantity, weight },
            note: no_note(),
        };
        match self {
            Self::Create { name, keys } => create(*name, *keys),
            Self::Add { pool, item, units } => {
                update(pool, item, Some(QuantityChange::Add(*units)), None)
            }
            Self::Set { pool, item, to, version_off, weight } => {
                let version =
                    model.pools.get(PoolNumber(*pool).as_usize()).map_or(0, |p| p.version);
                let change =
                    QuantityChange::Set { to: *to, expected_version: version + version_off };
                update(pool, item, Some(change), *weight)
            }
            Self::Weight { pool, item, weight } => update(pool, item, None, Some(*weight)),
            Self::AddItem { pool, item, weight, quantity } => AdminCommand::AddItem {
                pool: PoolNumber(*pool),
                item: CatalogItem { id: item_name(*item), weight: *weight, quantity: *quantity },
                note: no_note(),
            },
            Self::Retire { pool, item } => AdminCommand::RetireItem {
                pool: PoolNumber(*pool),
                item: item_name(*item),
                note: no_note(),
            },
            Self::Status { pool, status } => AdminCommand::SetStatus {
                pool: PoolNumber(*pool),
                status: *status,
                note: no_note(),
            },
            Self::Draw { .. } | Self::Digest => unreachable!("not an administrator's command"),
        }
    }
}

fn create(name: u8, keys: KeyLimits) -> AdminCommand {
    let contents = [(5, 3), (1, 10), (0, 4), (2, 0), (3, 6)];
    let items = (0..).zip(contents).map(|(item, (weight, quantity))| CatalogItem {
        id: item_name(item),
        weight,
        quantity: Quantity::Limited(quantity),
    });
    let spec = PoolSpec {
        id: PoolId::new(&format!("pool-{name}")).unwrap(),
        catalog: Catalog::new(items.collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys,
    };
    AdminCommand::CreatePool { spec, commitment: [name; 32] }
}

/// A record with what it borrows.
enum Logged {
    Draw { record: DrawRecord<'static>, outcomes: Vec<Outcome> },
    Other(Record<'static>),
}

/// Both machines, and the log of the one.
struct Pair {
    state: State,
    model: Model,
    log: Vec<(Logged, u64)>,
    time_ms: u64,
}

impl Pair {
    fn next_lsn(&self) -> Lsn {
        Lsn::new(self.state.last_lsn() + 1).unwrap()
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Draw { pool, count, mode, key } => self.draw(&DrawCommand {
                pool: PoolNumber(*pool),
                count: DrawCount::new(*count).unwrap(),
                mode: *mode,
                key: key.and_then(|key| KeyHash::of(&[key])),
            }),
            Action::Digest => {
                let record = Record::Digest(self.state.digest());
                self.apply(record);
            }
            Action::Create { .. }
            | Action::Add { .. }
            | Action::Set { .. }
            | Action::Weight { .. }
            | Action::AddItem { .. }
            | Action::Retire { .. }
            | Action::Status { .. } => self.change(&action.command(&self.model)),
        }
        self.state.check().unwrap();
        self.compare();
    }

    fn draw(&mut self, command: &DrawCommand) {
        let mut outcomes = Vec::new();
        let drawn = self.state.draw(command, &mut generator(), self.time_ms, &mut outcomes);
        let expected = self.model.draw(command, &mut generator(), self.time_ms);
        assert_eq!(drawn.map(|drawn| (drawn, outcomes.clone())), expected, "{command:?}");
        let Ok(drawn) = drawn else { return };
        if !drawn.replayed {
            let record = DrawRecord { outcomes: &[], ..drawn.record(command, &outcomes) };
            self.log.push((Logged::Draw { record, outcomes: outcomes.clone() }, self.time_ms));
            self.state.advance(self.next_lsn(), self.time_ms).unwrap();
        }
        if let Some(key) = command.key {
            let known = self.state.find_draw(command.pool, key).unwrap();
            assert_eq!(known.outcomes, outcomes);
            assert_eq!(known.first_request_id, drawn.first_request_id);
        }
    }

    fn change(&mut self, command: &AdminCommand) {
        let decided = self.state.decide(command);
        let expected = self.model.change(command);
        assert_eq!(decided.clone().map(|record| record.is_some()), expected, "{command:?}");
        if let Ok(Some(record)) = decided {
            self.apply(record);
        }
    }

    fn apply(&mut self, record: Record<'static>) {
        self.state.apply(&record, self.next_lsn(), self.time_ms).unwrap();
        self.log.push((Logged::Other(record), self.time_ms));
    }

    fn compare(&self) {
        assert_eq!(self.state.last_request_id(), self.model.last_request_id);
        assert_eq!(self.state.pools().len(), self.model.pools.len());
        for (view, pool) in self.state.pools().zip(&self.model.pools) {
            assert_eq!(view.names.id().as_str(), pool.name);
            assert_eq!((view.status, view.catalog_version), (pool.status, pool.version));
            assert_eq!(u128::from(view.listed_weight), pool.listed_weight_without(None));
            assert_eq!(view.keys.keys, u64::try_from(pool.keys.len()).unwrap());
            assert_eq!(view.keys.oldest_time_ms, pool.keys.first().map(|key| key.time_ms));
            let items: Vec<_> = self.state.items(view.number, 0, 100).unwrap().collect();
            assert_eq!(items.len(), pool.items.len());
            for (place, (item, expected)) in items.iter().zip(&pool.items).enumerate() {
                assert_eq!(item.index.as_usize(), place);
                assert_eq!(item.weight, expected.weight);
                assert_eq!(item.effective_weight, pool.effective(place));
                assert_eq!(item.quantity.to_number(), expected.quantity);
                assert_eq!(item.awarded, expected.awarded);
                assert_eq!(item.granted.map_or(0, i128::from), expected.granted);
                assert_eq!(item.retired, expected.retired);
                let name = view.names.items().get(item.index).unwrap();
                assert_eq!(name.as_str(), expected.name);
            }
        }
    }
}

/// Applies the log to a state that begins anew, and is activated after so many records.
fn replay(log: &[(Logged, u64)], activate_at: usize) -> State {
    let mut state = State::new();
    for (place, (logged, time_ms)) in log.iter().enumerate() {
        if place == activate_at {
            state.activate();
        }
        let lsn = Lsn::new(state.last_lsn() + 1).unwrap();
        match logged {
            Logged::Draw { record, outcomes } => {
                let record = Record::Draw(DrawRecord { outcomes, ..*record });
                state.apply(&record, lsn, *time_ms).unwrap();
            }
            Logged::Other(record) => state.apply(record, lsn, *time_ms).unwrap(),
        }
    }
    state.check().unwrap();
    state
}

fn bytes(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.encode(&mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]
    #[test]
    fn the_state_does_what_the_model_does(actions in actions()) {
        let mut state = State::new();
        state.activate();
        let mut pair = Pair { state, model: Model::default(), log: Vec::new(), time_ms: 1000 };
        pair.change(&create(0, keys(60, 5, 60)));
        pair.change(&create(1, keys(60, 0, 60)));
        for (action, step) in &actions {
            pair.time_ms += step;
            pair.step(action);
        }
        let expected = bytes(&pair.state);
        for activate_at in [pair.log.len(), pair.log.len() / 2] {
            let replayed = replay(&pair.log, activate_at);
            prop_assert_eq!(replayed.digest(), pair.state.digest());
            prop_assert_eq!(&bytes(&replayed), &expected);
        }
        let mut decoded = State::decode(&expected).unwrap();
        prop_assert_eq!(&bytes(&decoded), &expected);
        decoded.activate();
        decoded.check().unwrap();
        pair.state = decoded;
        for (action, step) in actions.iter().rev() {
            pair.time_ms += step;
            pair.step(action);
        }
    }
}
