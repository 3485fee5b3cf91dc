//! The records one by one, with the stock that they leave. Checks I3, I7, I9, I12's generator, I13,
//! and what reads showed (I10).
//!
//! Nothing of the engine is used but the generator and the selector, which are what a draw has to
//! be compared with.
use std::collections::BTreeMap;

use rewardpool_core::command::{DrawMode, PoolStatus, QuantityChange};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::{ItemIndex, Outcome, PoolNumber, RequestId};
use rewardpool_core::record::{ItemAdded, ItemRetired, PoolCreated, PoolStateChanged, Update};
use rewardpool_core::selector::{Selector, SelectorKind};

use super::Limits;
use super::changes::NoOp;
use super::claims::Owners;
use super::distribution::{Spread, Tally};
use super::index::Index;
use super::timeline::Operation;
use crate::history::{Answer, Call, PoolAnswer};
use crate::log::{Change, Checkpoint, Draw, Entry, ItemTotals};
use crate::report::Findings;
use crate::violation::{Finding, Invariant, Violation};

/// Judges the records, and what was read between them.
pub(super) fn check(
    operations: &[Operation<'_>],
    owners: &Owners,
    no_ops: &[NoOp],
    index: &Index<'_>,
    limits: &Limits,
    findings: &mut Findings,
) {
    let log = index.log;
    let mut questions = questions(operations, no_ops, &log.checkpoints, index);
    let mut model = Model::new(index);
    model.answer(log.base.lsn, &mut questions, findings);
    for (place, entry) in log.entries.iter().enumerate() {
        findings.checked(Invariant::I3);
        findings.expect(entry.lsn == model.lsn + 1, || {
            Violation::new(Finding::LsnGap).lsn(entry.lsn).told(model.lsn + 1)
        });
        model.lsn = entry.lsn;
        let owner = owners.get(&place).map(|&number| &operations[number]);
        model.apply(entry, owner.is_some_and(Operation::is_suspicious), findings);
        model.answer(entry.lsn, &mut questions, findings);
    }
    model.judge_distribution(limits.probability_min, findings);
}

/// What has to be compared with the state at a position.
enum Question<'a> {
    Read { op: &'a str, answer: &'a PoolAnswer, pool: PoolNumber },
    NoOp { op: &'a str, call: &'a Call, pool: PoolNumber },
    Checkpoint(&'a Checkpoint),
}

type Questions<'a> = BTreeMap<u64, Vec<Question<'a>>>;

fn questions<'a>(
    operations: &[Operation<'a>],
    no_ops: &[NoOp],
    checkpoints: &'a [Checkpoint],
    index: &Index<'_>,
) -> Questions<'a> {
    let mut questions = Questions::new();
    for checkpoint in checkpoints {
        questions.entry(checkpoint.lsn).or_default().push(Question::Checkpoint(checkpoint));
    }
    for operation in operations {
        let Call::ReadPool { pool } = operation.call else { continue };
        let Some(pool) = index.pool(pool) else { continue };
        for (_, _, answer) in operation.answers() {
            if let Answer::Pool(answer) = answer {
                let question = Question::Read { op: operation.id, answer, pool };
                questions.entry(answer.lsn).or_default().push(question);
            }
        }
    }
    for no_op in no_ops {
        let Operation { id, call, .. } = operations[no_op.operation];
        let (Call::UpdateItem { pool, .. } | Call::SetStatus { pool, .. }) = call else { continue };
        if let Some(pool) = index.pool(pool) {
            let question = Question::NoOp { op: id, call, pool };
            questions.entry(no_op.lsn).or_default().push(question);
        }
    }
    questions
}

/// The state, counted again.
struct Model<'l> {
    index: &'l Index<'l>,
    lsn: u64,
    last_request_id: u64,
    pools: Vec<Pool>,
}

struct Pool {
    status: PoolStatus,
    catalog_version: u64,
    draws: u64,
    awards: u64,
    items: Vec<Item>,
    /// Weight of all that can be drawn now.
    total: u64,
    /// The words of the requests at present, and the secret that they come from.
    words: Option<(Generator, Secret)>,
    selector: Selector,
    /// Over all draws, and over those that a crash may have touched.
    spreads: [Spread; 2],
}

struct Item {
    totals: ItemTotals,
    tallies: [Tally; 2],
}

/// The weight with which an item takes part in draws.
fn effective(totals: &ItemTotals) -> u64 {
    if totals.retired || totals.quantity == 0 { 0 } else { totals.weight }
}

impl Pool {
    fn new(status: PoolStatus, catalog_version: u64, secret: Option<&Secret>) -> Self {
        Self {
            status,
            catalog_version,
            draws: 0,
            awards: 0,
            items: Vec::new(),
            total: 0,
            words: secret.map(|secret| (Generator::new(secret), secret.clone())),
            selector: Selector::new(SelectorKind::Auto, std::iter::empty::<u64>()),
            spreads: [Spread::default(); 2],
        }
    }

    fn push(&mut self, totals: ItemTotals) {
        let weight = effective(&totals);
        self.total += weight;
        self.selector.push(weight);
        self.items.push(Item { totals, tallies: self.spreads.map(Tally::from_now) });
    }

    /// Changes an item, and what follows from it.
    fn set(&mut self, index: ItemIndex, totals: ItemTotals) {
        let item = &mut self.items[index.as_usize()];
        let (before, after) = (effective(&item.totals), effective(&totals));
        item.totals = totals;
        if before != after {
            for (tally, spread) in item.tallies.iter_mut().zip(self.spreads) {
                tally.settle(before, spread);
            }
            self.total = self.total - before + after;
            self.selector.set(index, after);
        }
    }

    /// What the generator gives for a request now.
    fn expected(&mut self, request_id: u64) -> Option<Outcome> {
        let (generator, secret) = self.words.as_mut()?;
        let request = RequestId::new(request_id)?;
        // A restored log goes on in another stream.
        if generator.stream() != secret.stream_of(request) {
            *generator = Generator::of_request(secret, request);
        }
        if self.total == 0 {
            return Some(Outcome::EMPTY);
        }
        Some(Outcome::award(self.selector.locate(generator.below(request, self.total))))
    }
}

impl<'l> Model<'l> {
    fn new(index: &'l Index<'l>) -> Self {
        let log = index.log;
        let pools = log.base.pools.iter().enumerate().map(|(number, base)| {
            let mut pool = Pool::new(base.status, base.catalog_version, log.secrets.get(number));
            pool.draws = base.draws;
            pool.awards = base.items.iter().map(|item| item.totals.awarded).sum();
            base.items.iter().for_each(|item| pool.push(item.totals));
            pool
        });
        let pools = pools.collect();
        Self { index, lsn: log.base.lsn, last_request_id: log.base.last_request_id, pools }
    }

    fn apply(&mut self, entry: &Entry, is_suspicious: bool, findings: &mut Findings) {
        match &entry.change {
            Change::PoolCreated(created) => self.create(created),
            Change::Draw(draw) => self.draw(entry.lsn, draw, is_suspicious, findings),
            Change::Update(update) => self.update(entry.lsn, update, findings),
            Change::ItemAdded(added) => self.add(entry.lsn, added, findings),
            Change::ItemRetired(retired) => self.retire(entry.lsn, retired, findings),
            Change::PoolStateChanged(changed) => self.set_status(entry.lsn, changed, findings),
            Change::Snapshot(_) | Change::Closed | Change::Nothing => {}
        }
    }

    fn create(&mut self, created: &PoolCreated) {
        let secret = self.index.log.secrets.get(self.pools.len());
        let mut pool = Pool::new(PoolStatus::Active, 1, secret);
        for item in created.catalog.items() {
            pool.push(ItemTotals {
                weight: item.weight,
                quantity: item.quantity.to_number(),
                awarded: 0,
                retired: false,
            });
        }
        self.pools.push(pool);
    }

    fn draw(&mut self, lsn: u64, draw: &Draw, is_suspicious: bool, findings: &mut Findings) {
        let first = draw.first_request_id;
        let at = |finding| Violation::new(finding).lsn(lsn).request(first);
        findings.checked(Invariant::I3);
        let next = self.last_request_id + 1;
        if first != next {
            let finding = if first < next { Finding::IdTwice } else { Finding::IdGap };
            findings.add(at(finding).told(next).logged(first));
        }
        let length = u64::try_from(draw.outcomes.len()).expect("a count is bounded");
        self.last_request_id = first.saturating_add(length).saturating_sub(1);
        let Some(pool) = self.pools.get_mut(draw.pool.as_usize()) else {
            findings.add(at(Finding::IllegalItem).logged(format_args!("{:?}", draw.pool)));
            return;
        };
        findings.checked(Invariant::I9);
        findings.expect(pool.status == PoolStatus::Active, || {
            at(Finding::NotActive).logged(pool.status.name())
        });
        check_version(pool.catalog_version, draw.catalog_version, lsn, findings);
        for (request_id, &outcome) in (first..).zip(&draw.outcomes) {
            findings.checked(Invariant::I7);
            if let Some(expected) = pool.expected(request_id) {
                findings.checked(Invariant::I12);
                findings.expect(expected == outcome, || {
                    let name = |outcome| self.index.item(draw.pool, outcome).unwrap_or("(empty)");
                    Violation::new(Finding::NotGenerated)
                        .lsn(lsn)
                        .request(request_id)
                        .told(name(expected))
                        .logged(name(outcome))
                });
            }
            take(pool, outcome, (lsn, request_id), is_suspicious, findings);
            let is_whole = draw.mode == DrawMode::BestEffort || outcome.item().is_some();
            findings.expect(is_whole, || at(Finding::EmptyInAllOrNothing));
        }
        pool.draws += length;
    }

    fn update(&mut self, lsn: u64, update: &Update, findings: &mut Findings) {
        let Some((pool, before)) = self.changed(lsn, update.pool, update.item, findings) else {
            return;
        };
        check_version(pool.catalog_version + 1, update.catalog_version, lsn, findings);
        let quantity = match update.change.quantity {
            None => Some(before.quantity),
            Some(QuantityChange::Add(units)) if before.quantity >= 0 => {
                before.quantity.checked_add(units).filter(|&quantity| quantity >= 0)
            }
            Some(QuantityChange::Add(_)) => None,
            Some(QuantityChange::Set { to, expected_version }) => {
                check_version(pool.catalog_version, expected_version, lsn, findings);
                Some(to.to_number())
            }
        };
        let weight = update.change.weight.unwrap_or(before.weight);
        let logged = update.quantity.to_number();
        findings.checked(Invariant::I7);
        findings.expect(quantity == Some(logged) && weight == update.weight, || {
            Violation::new(Finding::QuantityDiffers)
                .lsn(lsn)
                .told(format_args!("{quantity:?} units, weight {weight}"))
                .logged(format_args!("{logged} units, weight {}", update.weight))
        });
        pool.catalog_version += 1;
        let quantity = quantity.unwrap_or(logged);
        pool.set(update.item, ItemTotals { weight, quantity, ..before });
    }

    fn add(&mut self, lsn: u64, added: &ItemAdded, findings: &mut Findings) {
        let Some(pool) = self.pools.get_mut(added.pool.as_usize()) else {
            findings.add(Violation::new(Finding::IllegalItem).lsn(lsn));
            return;
        };
        check_version(pool.catalog_version + 1, added.catalog_version, lsn, findings);
        let place = pool.items.len();
        findings.expect(added.index.as_usize() == place, || {
            let logged = added.index.as_usize();
            Violation::new(Finding::StateDiffers).lsn(lsn).told(place).logged(logged)
        });
        pool.catalog_version += 1;
        let (weight, quantity) = (added.item.weight, added.item.quantity.to_number());
        pool.push(ItemTotals { weight, quantity, awarded: 0, retired: false });
    }

    fn retire(&mut self, lsn: u64, retired: &ItemRetired, findings: &mut Findings) {
        let Some((pool, before)) = self.changed(lsn, retired.pool, retired.item, findings) else {
            return;
        };
        check_version(pool.catalog_version + 1, retired.catalog_version, lsn, findings);
        pool.catalog_version += 1;
        pool.set(retired.item, ItemTotals { retired: true, ..before });
    }

    /// The pool and the item that a record changes.
    fn changed(
        &mut self,
        lsn: u64,
        number: PoolNumber,
        item: ItemIndex,
        findings: &mut Findings,
    ) -> Option<(&mut Pool, ItemTotals)> {
        let pool = self.pools.get_mut(number.as_usize());
        let totals =
            pool.as_ref().and_then(|pool| pool.items.get(item.as_usize())).map(|item| item.totals);
        if let Some((pool, totals)) = pool.zip(totals.filter(|totals| !totals.retired)) {
            return Some((pool, totals));
        }
        let logged = format_args!("{number:?}, {item:?}").to_string();
        findings.add(Violation::new(Finding::ChangeDiffers).lsn(lsn).logged(logged));
        None
    }

    fn set_status(&mut self, lsn: u64, changed: &PoolStateChanged, findings: &mut Findings) {
        match self.pools.get_mut(changed.pool.as_usize()) {
            Some(pool) if pool.status != PoolStatus::Closed => pool.status = changed.status,
            _ => findings.add(Violation::new(Finding::ChangeDiffers).lsn(lsn)),
        }
    }

    /// Compares the state at this position with what was said about it.
    fn answer(&self, lsn: u64, questions: &mut Questions<'_>, findings: &mut Findings) {
        for question in questions.remove(&lsn).into_iter().flatten() {
            match question {
                Question::Read { op, answer, pool } => {
                    findings.checked(Invariant::I10);
                    let found = self.as_read(pool);
                    findings.expect(found.as_ref() == Some(answer), || {
                        Violation::new(Finding::ReadDiffers)
                            .op(op)
                            .lsn(lsn)
                            .told(format_args!("{answer:?}"))
                            .logged(format_args!("{found:?}"))
                    });
                }
                Question::NoOp { op, call, pool } => {
                    findings.checked(Invariant::I11);
                    findings.expect(self.is_no_op(call, pool), || {
                        Violation::new(Finding::ChangeLost).op(op).lsn(lsn)
                    });
                }
                Question::Checkpoint(checkpoint) => self.compare(checkpoint, findings),
            }
        }
    }

    fn compare(&self, checkpoint: &Checkpoint, findings: &mut Findings) {
        findings.checked(Invariant::I7);
        let totals = |pool: &Pool| pool.items.iter().map(|item| item.totals).collect::<Vec<_>>();
        let same = checkpoint.last_request_id == self.last_request_id
            && checkpoint.pools.len() == self.pools.len()
            && self.pools.iter().map(totals).eq(checkpoint.pools.iter().cloned());
        findings.expect(same, || {
            let found: Vec<_> = self.pools.iter().map(totals).collect();
            Violation::new(Finding::StateDiffers)
                .lsn(checkpoint.lsn)
                .told(format_args!("{:?}", checkpoint.pools))
                .logged(format_args!("{found:?}"))
        });
    }

    fn as_read(&self, number: PoolNumber) -> Option<PoolAnswer> {
        let pool = self.pools.get(number.as_usize())?;
        let items = pool.items.iter().zip(self.index.items(number)).map(|(item, name)| {
            let ItemTotals { weight, quantity, awarded, .. } = item.totals;
            let units = i64::try_from(awarded).expect("awards are below 2^63");
            let granted = if quantity < 0 { -1 } else { quantity + units };
            crate::history::ItemAnswer {
                item: (*name).to_owned(),
                weight,
                quantity,
                awarded,
                granted,
            }
        });
        Some(PoolAnswer {
            lsn: self.lsn,
            catalog_version: pool.catalog_version,
            last_request_id: self.last_request_id,
            draws: pool.draws,
            awards: pool.awards,
            status: pool.status.name().to_owned(),
            items: items.collect(),
        })
    }

    /// Whether a change finds everything as it asks for.
    fn is_no_op(&self, call: &Call, number: PoolNumber) -> bool {
        let Some(pool) = self.pools.get(number.as_usize()) else { return false };
        match call {
            Call::SetStatus { status, .. } => pool.status.name() == status,
            Call::UpdateItem { item, add, set, weight, .. } => {
                let names = self.index.items(number).iter();
                let item = names.zip(&pool.items).find(|(name, _)| **name == item.as_str());
                item.is_some_and(|(_, Item { totals, .. })| {
                    add.is_none_or(|units| units == 0)
                        && set.is_none_or(|quantity| quantity == totals.quantity)
                        && weight.is_none_or(|weight| weight == totals.weight)
                })
            }
            Call::Draw { .. }
            | Call::FindDraw { .. }
            | Call::AddItem { .. }
            | Call::RetireItem { .. }
            | Call::CreatePool { .. }
            | Call::ReadPool { .. }
            | Call::TakeSnapshot => false,
        }
    }

    /// Checks I13, with as many chances to fail as there are items.
    fn judge_distribution(&mut self, probability_min: f64, findings: &mut Findings) {
        let items: usize = self.pools.iter().map(|pool| pool.items.len()).sum();
        #[expect(clippy::cast_precision_loss, reason = "a catalogue has at most 2^24 items")]
        let chances = items as f64;
        for (number, pool) in (0..).zip(&mut self.pools) {
            let names = self.index.items(PoolNumber(number));
            for (item, name) in pool.items.iter_mut().zip(names) {
                let weight = effective(&item.totals);
                let named = [Finding::Biased, Finding::BiasedAfterFault];
                for ((tally, spread), finding) in
                    item.tallies.iter_mut().zip(pool.spreads).zip(named)
                {
                    tally.settle(weight, spread);
                    if tally.expected() <= 0.0 {
                        continue;
                    }
                    findings.checked(Invariant::I13);
                    findings.expect(tally.p_value() * chances >= probability_min, || {
                        let (expected, variance) = (tally.expected(), tally.variance());
                        Violation::new(finding)
                            .told(format_args!("{expected:.1} ± {:.1}", variance.sqrt()))
                            .logged(format_args!("{} times {name}", tally.drawn()))
                    });
                }
            }
        }
    }
}

/// Takes the unit of one outcome, and counts it for the distribution.
fn take(
    pool: &mut Pool,
    outcome: Outcome,
    (lsn, request_id): (u64, u64),
    is_suspicious: bool,
    findings: &mut Findings,
) {
    let at = |finding| Violation::new(finding).lsn(lsn).request(request_id);
    let sets = if is_suspicious { 2 } else { 1 };
    if pool.total > 0 {
        pool.spreads.iter_mut().take(sets).for_each(|spread| spread.draw(pool.total));
    }
    let Some(index) = outcome.item() else {
        findings.expect(pool.total == 0, || {
            at(Finding::EmptyInStock).logged(format_args!("weights of {} left", pool.total))
        });
        return;
    };
    let Some(item) = pool.items.get_mut(index.as_usize()) else {
        findings.add(at(Finding::IllegalItem).logged(format_args!("{outcome:?}")));
        return;
    };
    let mut totals = item.totals;
    findings.expect(totals.weight > 0 && !totals.retired, || {
        at(Finding::IllegalItem).logged(format_args!("{outcome:?}, {totals:?}"))
    });
    findings.expect(totals.quantity != 0, || {
        at(Finding::Overdrawn).logged(format_args!("{outcome:?}"))
    });
    item.tallies.iter_mut().take(sets).for_each(Tally::draw);
    totals.awarded += 1;
    pool.awards += 1;
    if totals.quantity > 0 {
        totals.quantity -= 1;
    }
    pool.set(index, totals);
}

fn check_version(expected: u64, found: u64, lsn: u64, findings: &mut Findings) {
    findings.expect(expected == found, || {
        Violation::new(Finding::WrongVersion).lsn(lsn).told(expected).logged(found)
    });
}
