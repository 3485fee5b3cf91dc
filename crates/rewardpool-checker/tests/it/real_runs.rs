//! Goal: histories of the real engine are accepted, and the least change of one is flagged.
//! Method: random operations on an engine in this process, with restarts in between, whose history
//! is recorded as a client's; then the log, as it was read from the directory, or the history is
//! mutated once, consistently where a lie could be consistent.
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{
    Answer, Call, DrawAnswer, Event, ItemAnswer, PoolAnswer, Recorder, What,
};
use rewardpool_checker::log::load;
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolSpec,
    PoolStatus, QuantityChange,
};
use rewardpool_core::format::Format;
use rewardpool_core::ids::{Outcome, PoolNumber};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::selector::SelectorKind;
use rewardpool_engine::{
    Answer as EngineAnswer, Engine, EngineConfig, Handle, NewPool, Refusal, Request, Scheduling,
    StorageKind,
};

use crate::lies::{LIES, tell};

const PATIENCE: Duration = Duration::from_secs(30);
const ITEMS: [(&str, u64, i64); 4] =
    [("diamond", 1, 3), ("gold", 20, 30), ("silver", 30, 200), ("mud", 49, -1)];
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

/// One step of a client.
#[derive(Clone, Debug)]
enum Step {
    Draw {
        count: i64,
        is_keyed: bool,
        all_or_nothing: bool,
    },
    /// Sends an earlier keyed draw again.
    Again(prop::sample::Index),
    Find(prop::sample::Index),
    Add {
        item: usize,
        units: i64,
    },
    Weigh {
        item: usize,
        weight: u64,
    },
    SetStatus(PoolStatus),
    Read,
    /// The answer gets lost.
    Unanswered {
        count: i64,
        is_keyed: bool,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (1_i64..12, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
            |(count, is_keyed, all_or_nothing)| Step::Draw { count, is_keyed, all_or_nothing }),
        3 => any::<prop::sample::Index>().prop_map(Step::Again),
        2 => any::<prop::sample::Index>().prop_map(Step::Find),
        2 => (0_usize..4, -2_i64..20).prop_map(|(item, units)| Step::Add { item, units }),
        1 => (0_usize..4, 0_u64..60).prop_map(|(item, weight)| Step::Weigh { item, weight }),
        1 => prop_oneof![Just(PoolStatus::Active), Just(PoolStatus::Paused)]
            .prop_map(Step::SetStatus),
        2 => Just(Step::Read),
        2 => (1_i64..6, any::<bool>())
            .prop_map(|(count, is_keyed)| Step::Unanswered { count, is_keyed }),
        1 => Just(Step::Restart),
    ];
    // Draws that always work stand at the beginning, so that there is something to mutate.
    prop::collection::vec(step, 10..60).prop_map(|mut steps| {
        let draw = |is_keyed| Step::Draw { count: 3, is_keyed, all_or_nothing: false };
        steps.splice(0..0, [draw(true), draw(false), draw(true)]);
        steps
    })
}

/// A directory in memory where there is one: the bytes are the same, the syncs cost nothing.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

struct Client<'a> {
    config: EngineConfig,
    recorder: &'a Recorder,
    engine: Option<Engine>,
    serial: u32,
    keyed: Vec<(String, DrawCommand)>,
}

impl Client<'_> {
    fn handle(&self) -> Handle {
        self.engine.as_ref().unwrap().handle()
    }

    fn start(&mut self) {
        self.recorder.record(What::Spawn);
        let engine = Engine::open(&self.config).unwrap();
        let recovered_lsn = Some(engine.recovery().last_lsn);
        self.engine = Some(engine);
        self.recorder.record(What::Ready { recovered_lsn });
        if self.handle().pool("p").is_none() {
            let catalog = ITEMS.map(|(id, weight, quantity)| CatalogItem {
                id: ItemId::new(id).unwrap(),
                weight,
                quantity: Quantity::from_number(quantity).unwrap(),
            });
            let spec = PoolSpec {
                id: PoolId::new("p").unwrap(),
                catalog: Catalog::new(catalog.to_vec()).unwrap(),
                selector: SelectorKind::Auto,
                keys: KeyLimits::default(),
            };
            self.handle().create_pool(NewPool { spec, secret: None }, PATIENCE).unwrap();
        }
    }

    fn stop(&mut self) {
        self.recorder.record(What::Terminate);
        self.engine.take().unwrap().stop().unwrap();
        archive(&self.config.directory);
        self.recorder.record(What::Exit { code: Some(0) });
    }

    fn told(&self, op: &str, answer: Result<Answer, Refusal>) {
        let op = op.to_owned();
        self.recorder.record(match answer {
            Ok(answer) => What::Ok { op, answer },
            Err(Refusal::OutcomeUnknown) => What::Info { op, why: String::new() },
            Err(refusal) => What::Fail { op, code: code(&refusal).to_owned() },
        });
    }

    fn draw(&mut self, op: &str, command: DrawCommand, is_answered: bool) {
        let call = Call::Draw {
            pool: "p".into(),
            count: command.count.number().into(),
            all_or_nothing: command.mode == DrawMode::AllOrNothing,
            key: command.key.map(|_| op.to_owned()),
        };
        self.recorder.invoke(0, op, None, call);
        let drawn = self.handle().draw(command, PATIENCE).map(|draws| answer(&draws));
        if is_answered {
            self.told(op, drawn);
        } else {
            self.recorder.record(What::Info { op: op.to_owned(), why: "lost".into() });
        }
    }

    fn change(&self, op: &str, call: Call, command: AdminCommand) {
        self.recorder.invoke(0, op, None, call);
        let answer = self.handle().call(Request::Change(Box::new(command)), PATIENCE);
        self.told(
            op,
            answer.map(|(answer, _)| {
                let EngineAnswer::Changed { lsn, catalog_version } = answer else { unreachable!() };
                Answer::Changed { lsn, catalog_version }
            }),
        );
    }

    fn read(&self, op: &str) {
        self.recorder.invoke(0, op, None, Call::ReadPool { pool: "p".into() });
        let read = Request::ReadPool { pool: PoolNumber(0), from: 0, limit: usize::MAX };
        let answer = self.handle().call(read, PATIENCE).map(|(answer, _)| {
            let EngineAnswer::Pool(page) = answer else { unreachable!() };
            let units = |units: u64| i64::try_from(units).unwrap();
            let items = page.items.iter().map(|item| ItemAnswer {
                item: page.names.get(item.index).unwrap().as_str().to_owned(),
                weight: item.weight,
                quantity: item.quantity.to_number(),
                awarded: item.awarded,
                granted: item.granted.map_or(-1, units),
            });
            Answer::Pool(Box::new(PoolAnswer {
                lsn: page.lsn,
                catalog_version: page.summary.catalog_version,
                last_request_id: page.last_request_id,
                draws: page.summary.draws,
                awards: page.summary.awards,
                status: page.summary.status.name().to_owned(),
                items: items.collect(),
            }))
        });
        self.told(op, answer);
    }

    fn find(&self, op: &str, key: String, hash: KeyHash) {
        self.recorder.invoke(0, op, None, Call::FindDraw { pool: "p".into(), key });
        let find = Request::FindDraw { pool: PoolNumber(0), key: hash };
        let found = self.handle().call(find, PATIENCE).map(|(found, reply)| {
            let EngineAnswer::Draw(draw) = found else { unreachable!() };
            let names = reply.names(&draw);
            let name = |o: &Outcome| o.item().and_then(|item| names.get(item)).cloned();
            answer(&rewardpool_engine::Draws {
                first_request_id: draw.first_request_id,
                items: reply.outcomes(&draw).iter().map(name).collect(),
                replayed: draw.replayed,
            })
        });
        self.told(op, found);
    }

    fn update(&self, op: &str, item: usize, change: ItemChange) {
        let add = change.quantity.map(|quantity| match quantity {
            QuantityChange::Add(units) => units,
            QuantityChange::Set { .. } => unreachable!("no step sets a quantity"),
        });
        let (pool, item, weight) = ("p".to_owned(), ITEMS[item].0.to_owned(), change.weight);
        let id = ItemId::new(&item).unwrap();
        let call = Call::UpdateItem { pool, item, add, set: None, weight };
        let (pool, note) = (PoolNumber(0), Note::new("", op).unwrap());
        self.change(op, call, AdminCommand::UpdateItem { pool, item: id, change, note });
    }

    fn step(&mut self, step: &Step) {
        self.serial += 1;
        let op = format!("op-{}", self.serial);
        let pool = PoolNumber(0);
        let note = Note::new("", &op).unwrap();
        match *step {
            Step::Draw { count, is_keyed, all_or_nothing } => {
                let mode =
                    if all_or_nothing { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
                let command = DrawCommand { mode, ..draws(&op, count, is_keyed) };
                self.draw(&op, command, true);
                self.keyed.extend(is_keyed.then_some((op, command)));
            }
            Step::Unanswered { count, is_keyed } => {
                let command = draws(&op, count, is_keyed);
                self.draw(&op, command, false);
                self.keyed.extend(is_keyed.then_some((op, command)));
            }
            Step::Again(which) => {
                let (op, command) = which.get(&self.keyed).clone();
                self.draw(&op, command, true);
            }
            Step::Find(which) => {
                let (key, command) = which.get(&self.keyed).clone();
                self.find(&op, key, command.key.unwrap());
            }
            Step::Add { item, units } => {
                let quantity = Some(QuantityChange::Add(units));
                self.update(&op, item, ItemChange { quantity, weight: None });
            }
            Step::Weigh { item, weight } => {
                self.update(&op, item, ItemChange { quantity: None, weight: Some(weight) });
            }
            Step::SetStatus(status) => {
                let (pool_name, text) = ("p".to_owned(), status.name().to_owned());
                let call = Call::SetStatus { pool: pool_name, status: text };
                self.change(&op, call, AdminCommand::SetStatus { pool, status, note });
            }
            Step::Read => self.read(&op),
            Step::Restart => {
                self.stop();
                self.start();
            }
        }
    }
}

/// Keeps what the next start prunes, in `whole` beside the directory.
fn archive(data: &Path) {
    let whole = data.with_file_name("whole");
    fs::create_dir_all(&whole).unwrap();
    for entry in fs::read_dir(data).unwrap() {
        let entry = entry.unwrap();
        let target = whole.join(entry.file_name());
        // A segment that was never begun is replaced by another of its name.
        drop(fs::remove_file(&target));
        fs::hard_link(entry.path(), target).unwrap();
    }
}

fn draws(op: &str, count: i64, is_keyed: bool) -> DrawCommand {
    let count = DrawCount::new(count).unwrap();
    let key = if is_keyed { KeyHash::of(op.as_bytes()) } else { None };
    DrawCommand { pool: PoolNumber(0), count, mode: DrawMode::BestEffort, key }
}

fn answer(draws: &rewardpool_engine::Draws) -> Answer {
    let item_ids: Vec<String> = ITEMS.iter().map(|(id, _, _)| (*id).to_owned()).collect();
    let place = |item: &Option<ItemId>| {
        item.as_ref().map_or(0, |id| {
            let place = item_ids.iter().position(|known| known == id.as_str()).unwrap();
            u32::try_from(place + 1).unwrap()
        })
    };
    let outcomes = draws.items.iter().map(place).collect();
    let first_request_id = draws.first_request_id.number();
    Answer::Draw(DrawAnswer { first_request_id, item_ids, outcomes, replayed: draws.replayed })
}

fn code(refusal: &Refusal) -> &'static str {
    use rewardpool_core::command::Rejection;
    match refusal {
        Refusal::Rejected(Rejection::PoolPaused) => "POOL_PAUSED",
        Refusal::Rejected(Rejection::InsufficientStock) => "INSUFFICIENT_STOCK",
        Refusal::Rejected(Rejection::UnknownKey) => "UNKNOWN_KEY",
        Refusal::Rejected(_)
        | Refusal::Overloaded
        | Refusal::Expired
        | Refusal::OutOfSpace
        | Refusal::Follower
        | Refusal::Stopping
        | Refusal::OutcomeUnknown => "OTHER",
    }
}

/// A run of these steps.
fn run(directory: &Path, steps: &[Step], format: Format) -> Vec<Event> {
    let recorder = Recorder::create(&directory.join("history.jsonl")).unwrap();
    let config = EngineConfig {
        directory: directory.join("data"),
        storage: StorageKind::File,
        format,
        // Large enough that only the restarts rotate.
        segment_bytes: 1 << 16,
        mailbox_capacity: 64,
        batch_draws_max: 1024,
        scheduling: Scheduling::Normal,
    };
    let keyed = Vec::new();
    let mut client = Client { config, recorder: &recorder, engine: None, serial: 0, keyed };
    client.start();
    for step in steps {
        client.step(step);
    }
    client.stop();
    recorder.read().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn real_runs_pass_and_lies_are_flagged(
        steps in steps(),
        format in prop::sample::select(vec![Format::Binary, Format::Json, Format::StringLine]),
        which in any::<prop::sample::Index>(),
        has_secret in any::<bool>(),
    ) {
        let directory = directory();
        let events = run(directory.path(), &steps, format);
        // What a start pruned is missed in the directory, and only what follows is judged.
        let pruned = load(&directory.path().join("data")).unwrap();
        let report = check(&events, &pruned, &LIMITS);
        prop_assert!(report.is_good(), "{report}");
        let data = directory.path().join("whole");
        let log = load(&data).unwrap();
        prop_assert_eq!(log.base.lsn, 0);
        let report = check(&events, &log, &LIMITS);
        prop_assert!(report.is_good(), "{report}");
        for lie in LIES {
            let (mut events, mut log) = (events.clone(), load(&data).unwrap());
            tell(lie, which, has_secret, &mut events, &mut log);
            let report = check(&events, &log, &LIMITS);
            prop_assert!(!report.is_good(), "{lie:?} is not flagged\n{report}");
        }
    }
}
