//! A run made by hand, small and good, with every kind of event in it. Other tests break it.
use rewardpool_checker::Report;
use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{
    Answer, Call, DrawAnswer, Event, FaultKind, ItemAnswer, PoolAnswer, What,
};
use rewardpool_checker::log::{Change, Checkpoint, Draw, Entry, ItemTotals, Log, Snapshot};
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{
    DrawCommand, DrawCount, DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolStatus,
    QuantityChange,
};
use rewardpool_core::ids::{ItemIndex, Outcome, PoolNumber};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::record::{
    ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, SnapshotRef, Update,
};
use rewardpool_core::selector::SelectorKind;

/// One second of a history's clock.
pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const POOL: PoolNumber = PoolNumber(0);
/// Places of the items: 4 units, unlimited, and 2 units that only `c-add` brings.
pub(crate) const GOLD: u32 = 0;
pub(crate) const MUD: u32 = 1;

/// A history with its log.
pub(crate) struct Run {
    pub(crate) events: Vec<Event>,
    pub(crate) log: Log,
}

impl Run {
    pub(crate) fn judge(&self) -> Report {
        check(&self.events, &self.log, &Limits::default())
    }

    /// Appends an event, a millisecond after the last one.
    pub(crate) fn push(&mut self, what: What) {
        let t = self.events.last().map_or(0, |event| event.t + SECOND / 1000);
        self.events.push(Event { t, what });
    }

    pub(crate) fn invoke(&mut self, op: &str, call: Call) {
        self.push(What::Invoke { client: 0, op: op.into(), stream: None, call });
    }

    pub(crate) fn ok(&mut self, op: &str, answer: Answer) {
        self.push(What::Ok { op: op.into(), answer });
    }

    /// An operation that is done at once.
    pub(crate) fn done(&mut self, op: &str, call: Call, answer: Answer) {
        self.invoke(op, call);
        self.ok(op, answer);
    }

    /// Appends a record.
    pub(crate) fn log(&mut self, change: Change) {
        let lsn = self.log.last_lsn() + 1;
        self.log.entries.push(Entry { lsn, time_ms: 1000, change });
    }

    /// The place of the first event of this kind of an operation.
    pub(crate) fn place(&self, op: &str, kind: fn(&What) -> bool) -> usize {
        let of_op = |event: &Event| {
            kind(&event.what)
                && match &event.what {
                    What::Invoke { op: found, .. }
                    | What::Ok { op: found, .. }
                    | What::Fail { op: found, .. }
                    | What::Info { op: found, .. } => found == op,
                    What::Spawn
                    | What::Ready { .. }
                    | What::Kill
                    | What::Terminate
                    | What::Exit { .. }
                    | What::Fault { .. } => op.is_empty(),
                }
        };
        self.events.iter().position(of_op).unwrap()
    }

    /// The answer to an operation.
    pub(crate) fn answer(&mut self, op: &str) -> &mut Answer {
        let place = self.place(op, |what| matches!(what, What::Ok { .. }));
        let What::Ok { answer, .. } = &mut self.events[place].what else { unreachable!() };
        answer
    }

    /// The answer to a draw.
    pub(crate) fn drawn(&mut self, op: &str) -> &mut DrawAnswer {
        let Answer::Draw(draw) = self.answer(op) else { panic!("{op} is no draw") };
        draw
    }

    /// The answer to a read.
    pub(crate) fn read(&mut self, op: &str) -> &mut PoolAnswer {
        let Answer::Pool(pool) = self.answer(op) else { panic!("{op} is no read") };
        pool
    }

    /// The record at a position.
    pub(crate) fn entry(&mut self, lsn: u64) -> &mut Change {
        &mut self.log.entries.iter_mut().find(|entry| entry.lsn == lsn).unwrap().change
    }

    /// The draw at a position.
    pub(crate) fn logged(&mut self, lsn: u64) -> &mut Draw {
        let Change::Draw(draw) = self.entry(lsn) else { panic!("{lsn} is no draw") };
        draw
    }

    /// Moves an event to another place of the history; times stay in order.
    pub(crate) fn shift(&mut self, from: usize, to: usize) {
        let times: Vec<u64> = self.events.iter().map(|event| event.t).collect();
        let event = self.events.remove(from);
        self.events.insert(to, event);
        for (event, t) in self.events.iter_mut().zip(times) {
            event.t = t;
        }
    }
}

pub(crate) fn draw_call(count: u32, key: Option<&str>) -> Call {
    let key = key.map(str::to_owned);
    Call::Draw { pool: "p".into(), count, all_or_nothing: false, key }
}

/// The answer of a draw of gold (1), mud (2) and nothing (0).
pub(crate) fn drawn(first_request_id: u64, outcomes: &[u32]) -> Answer {
    let item_ids = vec!["gold".into(), "mud".into()];
    let outcomes = outcomes.to_vec();
    Answer::Draw(DrawAnswer { first_request_id, item_ids, outcomes, replayed: false })
}

/// The record of a draw of gold (1), mud (2) and nothing (0).
pub(crate) fn draw_record(
    catalog_version: u64,
    first_request_id: u64,
    outcomes: &[u32],
    key: Option<&str>,
) -> Change {
    let count = DrawCount::new(i64::try_from(outcomes.len()).unwrap()).unwrap();
    let key = key.map(|key| KeyHash::of(key.as_bytes()).unwrap());
    let command = DrawCommand { pool: POOL, count, mode: DrawMode::BestEffort, key };
    let fingerprint = command.fingerprint();
    let outcome = |&number: &u32| match number {
        0 => Outcome::EMPTY,
        number => Outcome::award(ItemIndex::new(number - 1).unwrap()),
    };
    Change::Draw(Draw {
        pool: POOL,
        catalog_version,
        first_request_id,
        outcomes: outcomes.iter().map(outcome).collect(),
        mode: DrawMode::BestEffort,
        key: key.map(|hash| KeyStamp { hash, fingerprint }),
    })
}

pub(crate) fn item(id: &str, weight: u64, quantity: i64) -> CatalogItem {
    let (id, quantity) = (ItemId::new(id).unwrap(), Quantity::from_number(quantity).unwrap());
    CatalogItem { id, weight, quantity }
}

pub(crate) fn created(name: &str) -> Change {
    Change::PoolCreated(Box::new(PoolCreated {
        pool: POOL,
        id: PoolId::new(name).unwrap(),
        catalog: Catalog::new(vec![item("gold", 1, 4), item("mud", 3, -1)]).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
        commitment: [0; 32],
    }))
}

fn note(reason: &str) -> Note {
    Note::new("", reason).unwrap()
}

pub(crate) fn update_record(
    reason: &str,
    add: i64,
    (quantity, catalog_version): (u64, u64),
) -> Change {
    Change::Update(Box::new(Update {
        pool: POOL,
        item: ItemIndex::new(GOLD).unwrap(),
        change: ItemChange { quantity: Some(QuantityChange::Add(add)), weight: None },
        quantity: Quantity::Limited(quantity),
        weight: 1,
        catalog_version,
        note: note(reason),
    }))
}

pub(crate) fn status_record(reason: &str, status: PoolStatus) -> Change {
    Change::PoolStateChanged(Box::new(PoolStateChanged { pool: POOL, status, note: note(reason) }))
}

pub(crate) fn status_call(status: &str) -> Call {
    Call::SetStatus { pool: "p".into(), status: status.into() }
}

pub(crate) fn update_call(add: i64) -> Call {
    let (pool, item) = ("p".into(), "gold".into());
    Call::UpdateItem { pool, item, add: Some(add), set: None, weight: None }
}

pub(crate) fn read_call() -> Call {
    Call::ReadPool { pool: "p".into() }
}

fn changed(lsn: u64, catalog_version: u64) -> Answer {
    Answer::Changed { lsn, catalog_version }
}

fn totals(weight: u64, quantity: i64, awarded: u64, retired: bool) -> ItemTotals {
    ItemTotals { weight, quantity, awarded, retired }
}

/// Two lives: the first is killed with `lost` and `half` unanswered, of which the log has `half`;
/// the second ends with a clean stop.
pub(crate) fn good() -> Run {
    let mut run = Run { events: Vec::new(), log: Log::default() };
    first_life(&mut run);
    second_life(&mut run);
    run.log.snapshots = vec![
        Snapshot { lsn: 0, sha256: [1; 32], is_equal: true },
        Snapshot { lsn: 7, sha256: [7; 32], is_equal: true },
    ];
    run
}

fn first_life(run: &mut Run) {
    run.log(Change::Snapshot(SnapshotRef { lsn: 0, sha256: [1; 32] }));
    run.log(created("p"));
    run.push(What::Spawn);
    run.push(What::Ready { recovered_lsn: Some(0) });
    // LSN 3 to 6.
    run.done("k1", draw_call(2, Some("k1")), drawn(1, &[1, 2]));
    run.log(draw_record(1, 1, &[1, 2], Some("k1")));
    run.done("u1", draw_call(1, None), drawn(3, &[2]));
    run.log(draw_record(1, 3, &[2], None));
    run.done("c1", update_call(2), changed(5, 2));
    run.log(update_record("c1", 2, (5, 2)));
    run.done("refused", draw_call(9, Some("refused")), drawn(0, &[]));
    let place = run.events.len() - 1;
    run.events[place].what = What::Fail { op: "refused".into(), code: "OVERLOADED".into() };
    run.invoke("lost", draw_call(1, None));
    run.invoke("half", draw_call(1, Some("half")));
    run.log(draw_record(2, 4, &[1], Some("half")));
    run.invoke("quiet", draw_call(3, None));
    run.log(draw_record(2, 5, &[2, 2, 2], None));
    run.push(What::Kill);
    for op in ["lost", "half", "quiet"] {
        run.push(What::Info { op: op.into(), why: "the connection broke".into() });
    }
}

fn second_life(run: &mut Run) {
    run.push(What::Spawn);
    run.push(What::Ready { recovered_lsn: Some(7) });
    run.log(Change::Snapshot(SnapshotRef { lsn: 7, sha256: [7; 32] }));
    let mut again = drawn(4, &[1]);
    if let Answer::Draw(draw) = &mut again {
        draw.replayed = true;
    }
    let find = Call::FindDraw { pool: "p".into(), key: "half".into() };
    run.done("f1", find, again.clone());
    run.done("half", draw_call(1, Some("half")), again);
    let read = PoolAnswer {
        lsn: 8,
        catalog_version: 2,
        last_request_id: 7,
        draws: 7,
        awards: 7,
        status: "active".into(),
        items: vec![
            ItemAnswer { item: "gold".into(), weight: 1, quantity: 4, awarded: 2, granted: 6 },
            ItemAnswer { item: "mud".into(), weight: 3, quantity: -1, awarded: 5, granted: -1 },
        ],
    };
    run.done("r1", read_call(), Answer::Pool(Box::new(read)));
    // LSN 9 to 13.
    run.done("c2", status_call("paused"), changed(9, 2));
    run.log(status_record("c2", PoolStatus::Paused));
    run.done("same", status_call("paused"), changed(9, 2));
    run.done("c3", status_call("active"), changed(10, 2));
    run.log(status_record("c3", PoolStatus::Active));
    let (item_id, pool) = ("ruby", "p".to_owned());
    let add = Call::AddItem { pool: pool.clone(), item: item_id.into(), weight: 2, quantity: 2 };
    run.done("c4", add, changed(11, 3));
    run.log(Change::ItemAdded(Box::new(ItemAdded {
        pool: POOL,
        index: ItemIndex::new(2).unwrap(),
        item: item(item_id, 2, 2),
        catalog_version: 3,
        note: note("c4"),
    })));
    run.done("c5", Call::RetireItem { pool, item: item_id.into() }, changed(12, 4));
    run.log(Change::ItemRetired(Box::new(ItemRetired {
        pool: POOL,
        item: ItemIndex::new(2).unwrap(),
        catalog_version: 4,
        note: note("c5"),
    })));
    run.done("s1", Call::TakeSnapshot, Answer::Snapshot { lsn: 12 });
    let stream = Some(3);
    for (op, first) in [("k3", 8), ("k4", 9)] {
        let call = draw_call(1, Some(op));
        run.push(What::Invoke { client: 0, op: op.into(), stream, call });
        run.ok(op, drawn(first, &[2]));
        run.log(draw_record(4, first, &[2], Some(op)));
    }
    run.push(What::Fault { kind: FaultKind::Nuisance, detail: String::new() });
    run.push(What::Fault { kind: FaultKind::Healed, detail: String::new() });
    run.push(What::Terminate);
    run.push(What::Exit { code: Some(0) });
    run.log(Change::Closed);
    let items = vec![totals(1, 4, 2, false), totals(3, -1, 7, false), totals(2, 2, 0, true)];
    run.log.checkpoints = vec![Checkpoint { lsn: 15, last_request_id: 9, pools: vec![items] }];
}
