//! A life of the state machine: commands are decided and logged in all three formats, and each log
//! gives the state back. What was awarded is counted beside it.
use std::collections::BTreeMap;

use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolSpec,
    PoolStatus, QuantityChange,
};
use rewardpool_core::format::{Decoder, Encoder, Format};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{Lsn, Outcome, PoolNumber};
use rewardpool_core::limits::QUANTITY_MAX;
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::record::{Record, SnapshotRef};
use rewardpool_core::selector::SelectorKind;
use rewardpool_core::state::State;

use crate::records::assert_no_zero_sector;
use crate::script::Script;

const STEPS_MAX: usize = 200;
const POOLS_MAX: usize = 4;
const DRAWS_MAX: usize = 4000;
const SELECTORS: [SelectorKind; 4] =
    [SelectorKind::Auto, SelectorKind::Fenwick, SelectorKind::PrefixSum, SelectorKind::SumTree];
const STATUSES: [PoolStatus; 3] = [PoolStatus::Active, PoolStatus::Paused, PoolStatus::Closed];
const NAMES: [&str; 6] = ["gold", "silver", "-", "50 %; \"a\\b\",", "金", "a%2Cb"];

/// A state and its three logs.
struct Life {
    state: State,
    generators: Vec<Generator>,
    encoders: [Encoder; 3],
    replicas: [State; 3],
    time_ms: u64,
    outcomes: Vec<Outcome>,
    /// Awards by pool and item.
    awards: BTreeMap<(u32, u32), u64>,
    draws: usize,
}

/// The input is a list of commands.
pub fn life(data: &[u8]) {
    let mut script = Script::new(data);
    let mut life = Life::new();
    let mut steps = 0;
    while !script.is_over() && steps < STEPS_MAX && life.draws < DRAWS_MAX {
        life.step(&mut script);
        steps += 1;
    }
    life.commit();
    life.end();
}

/// What the commands of an input log as one batch from LSN 1 on, in each format, and the state after
/// it: seeds for the other targets.
pub(crate) fn batch(data: &[u8]) -> ([Encoder; 3], State) {
    let mut script = Script::new(data);
    let mut life = Life::new();
    while !script.is_over() {
        life.one_step(&mut script, 14);
    }
    (life.encoders, life.state)
}

impl Life {
    fn new() -> Self {
        let mut state = State::new();
        state.activate();
        let encoders = Format::ALL.map(Encoder::new);
        Self {
            state,
            generators: Vec::new(),
            encoders,
            replicas: [State::new(), State::new(), State::new()],
            time_ms: 1_764_000_000_000,
            outcomes: Vec::new(),
            awards: BTreeMap::new(),
            draws: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        self.one_step(script, 16);
    }

    /// One of the first so many kinds of steps; the last two end the batch.
    fn one_step(&mut self, script: &mut Script<'_>, kinds: u8) {
        match script.byte() % kinds {
            0 => self.create_pool(script),
            1..=7 => self.draw(script),
            8 => self.change(
                |pool, script| AdminCommand::AddItem {
                    pool,
                    item: item(script),
                    note: note(script),
                },
                script,
            ),
            9 => self.change(
                |pool, script| AdminCommand::RetireItem {
                    pool,
                    item: item_id(script),
                    note: note(script),
                },
                script,
            ),
            10 | 11 => self.change(
                |pool, script| AdminCommand::UpdateItem {
                    pool,
                    item: item_id(script),
                    change: item_change(script),
                    note: note(script),
                },
                script,
            ),
            12 => self.change(
                |pool, script| AdminCommand::SetStatus {
                    pool,
                    status: script.pick(&STATUSES),
                    note: note(script),
                },
                script,
            ),
            13 => self.own_record(script),
            14 => self.commit(),
            _ => {
                self.commit();
                self.time_ms += script.number() % (1 << 40);
            }
        }
    }

    fn create_pool(&mut self, script: &mut Script<'_>) {
        let secret = Secret::new([script.byte(); 32]);
        let Some(spec) = pool_spec(script) else { return };
        if self.generators.len() == POOLS_MAX {
            return;
        }
        let commitment = secret.commitment();
        if let Ok(Some(record)) = self.state.decide(&AdminCommand::CreatePool { spec, commitment })
        {
            self.log(&record);
            self.generators.push(Generator::new(&secret));
        }
    }

    fn draw(&mut self, script: &mut Script<'_>) {
        let Some(pool) = self.pool(script) else { return };
        let count = match script.byte() {
            single @ 0..=127 => i64::from(single % 2) + 1,
            several @ 128..=250 => i64::from(several - 126),
            _ => i64::from(script.short() % 2000) + 1,
        };
        let mode = script.pick(&[DrawMode::BestEffort, DrawMode::AllOrNothing]);
        let key = match script.byte() {
            key @ 0..=19 => KeyHash::of(&[key]),
            _ => None,
        };
        let count = DrawCount::new(count).expect("the count is in range");
        let command = DrawCommand { pool, count, mode, key };
        let generator = &mut self.generators[pool.as_usize()];
        self.outcomes.clear();
        let drawn = self.state.draw(&command, generator, self.time_ms, &mut self.outcomes);
        let Ok(drawn) = drawn else { return };
        self.draws += self.outcomes.len();
        assert_eq!(self.outcomes.len(), count.as_usize(), "as many outcomes as draws");
        if drawn.replayed {
            return;
        }
        let record = Record::Draw(drawn.record(&command, &self.outcomes));
        push(&mut self.encoders, &record, &self.state);
        for item in self.outcomes.iter().filter_map(|outcome| outcome.item()) {
            *self.awards.entry((pool.0, item.number())).or_default() += 1;
        }
        let lsn = self.state.next_lsn();
        self.state.advance(lsn, self.time_ms).expect("the position is the next");
    }

    fn change(
        &mut self,
        command: impl Fn(PoolNumber, &mut Script<'_>) -> AdminCommand,
        script: &mut Script<'_>,
    ) {
        let Some(pool) = self.pool(script) else { return };
        if let Ok(Some(record)) = self.state.decide(&command(pool, script)) {
            self.log(&record);
        }
    }

    /// A record that the writer adds by itself.
    fn own_record(&mut self, script: &mut Script<'_>) {
        let digest = self.state.digest();
        let lsn = script.number() % self.state.next_lsn().number();
        let record = match script.byte() % 5 {
            0 => Record::Marker,
            1 => Record::Digest(digest),
            2 => Record::Rotate { next_segment: script.byte().into(), digest },
            3 => Record::Closed(digest),
            _ => Record::Snapshot(SnapshotRef { lsn, sha256: [script.byte(); 32] }),
        };
        self.log(&record);
    }

    fn log(&mut self, record: &Record<'_>) {
        push(&mut self.encoders, record, &self.state);
        let lsn = self.state.next_lsn();
        self.state.apply(record, lsn, self.time_ms).expect("what was decided can be applied");
    }

    /// Replays the open batch in each format, and opens the next.
    fn commit(&mut self) {
        for (encoder, replica) in self.encoders.iter_mut().zip(&mut self.replicas) {
            replay(encoder, replica, self.time_ms);
            assert_eq!(replica.last_lsn(), self.state.last_lsn());
            assert_eq!(replica.digest(), self.state.digest(), "{}", encoder.format());
            encoder.begin(self.state.next_lsn());
        }
    }

    fn end(&self) {
        self.state.check().expect("the sums are right");
        self.count_awards();
        let mut body = Vec::new();
        self.state.encode(&mut body);
        for replica in &self.replicas {
            let mut same = Vec::new();
            replica.encode(&mut same);
            assert!(body == same, "a replica has another state");
        }
        let read = State::decode(&body).expect("a state is read back");
        assert_eq!(read.state_hash(), self.state.state_hash());
    }

    /// Nothing was awarded that was not drawn, and nothing appeared or vanished.
    fn count_awards(&self) {
        for pool in self.state.pools() {
            for item in self.state.items(pool.number, 0, usize::MAX).expect("the pool exists") {
                let counted = self.awards.get(&(pool.number.0, item.index.number()));
                assert_eq!(item.awarded, counted.copied().unwrap_or(0));
                if let (Quantity::Limited(left), Some(granted)) = (item.quantity, item.granted) {
                    assert_eq!(granted, left + item.awarded, "conservation");
                }
            }
        }
    }

    fn pool(&self, script: &mut Script<'_>) -> Option<PoolNumber> {
        let pools = u8::try_from(self.generators.len()).expect("there are few pools");
        let number = script.byte().checked_rem(pools)?;
        Some(PoolNumber(number.into()))
    }
}

fn push(encoders: &mut [Encoder; 3], record: &Record<'_>, state: &State) {
    for encoder in encoders {
        let before = encoder.payload().len();
        encoder.push(record, state.names());
        let bytes = encoder.payload().len() - before;
        assert!(bytes <= encoder.record_bytes_max(record), "{record:?} takes {bytes} bytes");
    }
}

fn replay(encoder: &Encoder, replica: &mut State, time_ms: u64) {
    assert_no_zero_sector(encoder.payload());
    let mut lsn = replica.next_lsn();
    let mut decoder = Decoder::new(encoder.format(), encoder.payload(), lsn, encoder.count());
    let mut outcomes = Vec::new();
    while let Some(record) =
        decoder.next(replica.names(), &mut outcomes).expect("what was encoded is read")
    {
        replica.apply(&record, lsn, time_ms).expect("what was decided can be replayed");
        lsn = lsn.next();
    }
    assert!(lsn >= Lsn::FIRST);
}

fn pool_spec(script: &mut Script<'_>) -> Option<PoolSpec> {
    let id = PoolId::new(script.pick(&["a", "default", "x-1_y", "summer"])).expect("a name");
    let count = match script.byte() {
        few @ 0..=249 => usize::from(few % 6) + 1,
        _ => 250 + script.below(20),
    };
    let items = (0..count).map(|place| {
        let weight = script.number();
        let id = if place < NAMES.len() { NAMES[place].to_owned() } else { place.to_string() };
        CatalogItem { id: ItemId::new(&id).expect("a name"), weight, quantity: quantity(script) }
    });
    let catalog = Catalog::new(items.collect()).ok()?;
    let keys = KeyLimits {
        window_ms: script.number(),
        keys_max: script.number(),
        outcomes_max: script.number(),
    };
    Some(PoolSpec { id, catalog, selector: script.pick(&SELECTORS), keys })
}

fn quantity(script: &mut Script<'_>) -> Quantity {
    match script.byte() % 4 {
        0 => Quantity::Unlimited,
        _ => Quantity::Limited(script.number().min(QUANTITY_MAX)),
    }
}

fn item_id(script: &mut Script<'_>) -> ItemId {
    let known = script.pick(&NAMES);
    if script.flag() {
        let length = usize::from(script.byte() % 66);
        let name = String::from_utf8_lossy(script.take(length));
        if let Ok(id) = ItemId::new(&name) {
            return id;
        }
    }
    ItemId::new(known).expect("a name")
}

fn item(script: &mut Script<'_>) -> CatalogItem {
    CatalogItem { id: item_id(script), weight: script.number(), quantity: quantity(script) }
}

fn note(script: &mut Script<'_>) -> Note {
    let length = usize::from(script.byte());
    let text = String::from_utf8_lossy(script.take(length % 40));
    Note::new(&text, "a, \"reason\"; -").unwrap_or_default()
}

fn item_change(script: &mut Script<'_>) -> ItemChange {
    let quantity = match script.byte() % 4 {
        0 => None,
        1 => Some(QuantityChange::Add(script.long().cast_signed())),
        2 => Some(QuantityChange::Add(i64::from(script.byte().cast_signed()))),
        _ => {
            let expected_version = u64::from(script.byte());
            Some(QuantityChange::Set { to: quantity(script), expected_version })
        }
    };
    let weight = script.flag().then(|| script.number());
    ItemChange { quantity, weight }
}
