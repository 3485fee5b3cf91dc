//! The whole state: all pools, the last request id, the last record.
//!
//! There is one way in for each kind of change. A draw is decided and made by [`State::draw`] at
//! once and logged afterwards; an administrator's change is decided by [`State::decide`] into a
//! record that [`State::apply`] makes true. Replay and followers use `apply` alone, for both. Each
//! record is counted by [`State::advance`], whichever way it came.
use crate::command::{DrawCommand, DrawCount, DrawMode, KeyHash, Rejection};
use crate::digest::Digest;
use crate::generator::Generator;
use crate::ids::{Epoch, Lsn, Outcome, PoolNumber, RequestId};
use crate::keys::KeyedDraw;
use crate::limits::REQUEST_ID_MAX;
use crate::names::Names;
use crate::pool::{Charter, Item, Pool};
use crate::record::{
    DrawRecord, ItemAdded, ItemRetired, KeyStamp, PoolCreated, PoolStateChanged, Record,
    SingleDraws, Update,
};
use crate::violation::Violation;

/// What a draw command gave, beside its outcomes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drawn {
    /// Id of the first draw; the others follow without gaps.
    pub first_request_id: RequestId,
    /// Whether this is the first answer again, because the key is known. Then nothing was changed
    /// and there is nothing to log.
    pub replayed: bool,
    /// Version of the catalogue that was in force.
    pub catalog_version: u64,
}

impl Drawn {
    /// The record of the draw that the command made. Only for a draw that is not replayed.
    pub fn record<'a>(&self, command: &DrawCommand, outcomes: &'a [Outcome]) -> DrawRecord<'a> {
        assert!(!self.replayed, "a replayed draw is in the log already");
        assert_eq!(outcomes.len(), command.count.as_usize(), "each draw has an outcome");
        DrawRecord {
            pool: command.pool,
            catalog_version: self.catalog_version,
            first_request_id: self.first_request_id,
            outcomes,
            mode: command.mode,
            key: stamp(command),
        }
    }
}

/// The state of a service, or of one partition of it.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(crate) names: Names,
    pub(crate) pools: Vec<Pool>,
    pub(crate) last_request_id: u64,
    pub(crate) last_lsn: u64,
    pub(crate) time_ms: u64,
    pub(crate) live_empties: u64,
    epoch: Epoch,
    is_active: bool,
}

impl State {
    /// The state before the first record.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds what only live draws need. Called once, after replay; pools that are created later
    /// can draw at once.
    pub fn activate(&mut self) {
        self.pools.iter_mut().for_each(Pool::activate);
        self.is_active = true;
    }

    /// Makes the draws and appends their outcomes. The caller logs them and calls
    /// [`State::advance`], unless they are replayed; on a rejection nothing was changed.
    ///
    /// # Panics
    /// When the state was not activated.
    #[inline]
    pub fn draw(
        &mut self,
        command: &DrawCommand,
        generator: &mut Generator,
        time_ms: u64,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Drawn, Rejection> {
        let index = command.pool.as_usize();
        let pool = self.pools.get_mut(index).ok_or(Rejection::UnknownPool)?;
        if let Some(known) = pool.admit(command)? {
            outcomes.extend_from_slice(known.outcomes());
            let (first_request_id, catalog_version) =
                (known.first_request_id, known.catalog_version);
            return Ok(Drawn { first_request_id, replayed: true, catalog_version });
        }
        let count = command.count.number();
        let last = self.last_request_id;
        assert!(last + u64::from(count) <= REQUEST_ID_MAX, "2^63 draws are never reached");
        let first_request_id = RequestId::new(last + 1).expect("request ids start at 1");
        let catalog_version = pool.catalog_version();
        let before = outcomes.len();
        outcomes.reserve(command.count.as_usize());
        let awards = pool.choose(first_request_id, count, generator, outcomes);
        if awards < u64::from(count) {
            self.live_empties += u64::from(count) - awards;
        }
        self.finish_draw(command, first_request_id, &outcomes[before..], time_ms);
        Ok(Drawn { first_request_id, replayed: false, catalog_version })
    }

    /// Makes a record true that a state of the same content decided: this one, or the one that
    /// wrote the log.
    ///
    /// Everything that can be checked in constant time is checked before anything is changed. The
    /// outcomes of a draw are checked one by one on the way, so after a violation the state must
    /// not be used any more.
    pub fn apply(&mut self, record: &Record<'_>, lsn: Lsn, time_ms: u64) -> Result<(), Violation> {
        self.check_next(lsn)?;
        match record {
            Record::Draw(draw) => self.apply_draw(draw, time_ms)?,
            Record::PoolCreated(created) => self.apply_pool(created)?,
            Record::Update(update) => self.apply_update(update)?,
            Record::ItemAdded(added) => self.apply_addition(added)?,
            Record::ItemRetired(retired) => self.apply_retirement(retired)?,
            Record::PoolStateChanged(changed) => self.apply_status(changed)?,
            Record::Snapshot(snapshot) => {
                let found = snapshot.lsn;
                if found >= lsn.number() {
                    return Err(Violation::SnapshotAhead { found, lsn });
                }
            }
            Record::Rotate { digest, next_segment: _ }
            | Record::Digest(digest)
            | Record::Closed(digest) => {
                let (expected, found) = (self.digest(), *digest);
                if expected != found {
                    return Err(Violation::Digest { expected, found });
                }
            }
            Record::Marker => {}
            Record::LeaderEpoch(epoch) => self.apply_epoch(*epoch)?,
            Record::SecretChanged { pool, commitment } => {
                self.pool_mut(*pool)?.commit_to(*commitment);
            }
        }
        self.advance(lsn, time_ms)
    }

    /// Makes many records true, as [`State::apply`] would one after another. What is the same for
    /// all is checked once, and their reads of memory overlap.
    ///
    /// # Errors
    /// The record that breaks a rule, and which; the state must not be used any more then.
    pub fn apply_singles(
        &mut self,
        draws: &SingleDraws<'_>,
        lsn: Lsn,
        time_ms: u64,
    ) -> Result<(), (Lsn, Violation)> {
        let SingleDraws { pool, catalog_version, first_request_id, outcomes } = *draws;
        let mode = DrawMode::BestEffort;
        let draw =
            DrawRecord { pool, catalog_version, first_request_id, outcomes, mode, key: None };
        let first = |violation| (lsn, violation);
        self.check_next(lsn).map_err(first)?;
        let command = self.check_draw(&draw).map_err(first)?;
        let pool = self.pool_mut(pool).map_err(first)?;
        pool.admit(&command).map_err(|rejection| first(rejection.into()))?;
        let lsn_of = |place: usize| {
            let number = lsn.number().checked_add(u64::try_from(place).ok()?);
            number.and_then(Lsn::new)
        };
        pool.retrace(outcomes)
            .map_err(|(place, violation)| (lsn_of(place).unwrap_or(lsn), violation))?;
        self.finish_draw(&command, first_request_id, outcomes, time_ms);
        let last = lsn_of(outcomes.len() - 1).expect("the log never holds 2^64 records");
        self.last_lsn = last.number();
        self.time_ms = self.time_ms.max(time_ms);
        Ok(())
    }

    /// Counts a record that is part of the state now.
    #[inline]
    pub fn advance(&mut self, lsn: Lsn, time_ms: u64) -> Result<(), Violation> {
        self.check_next(lsn)?;
        self.last_lsn = lsn.number();
        self.time_ms = self.time_ms.max(time_ms);
        Ok(())
    }

    #[inline]
    fn check_next(&self, lsn: Lsn) -> Result<(), Violation> {
        let expected = self.last_lsn.wrapping_add(1);
        if lsn.number() == expected { Ok(()) } else { Err(Violation::Lsn { expected, found: lsn }) }
    }

    /// The end of each draw, live and in replay: its ids are given, and its key is kept.
    #[inline]
    fn finish_draw(
        &mut self,
        command: &DrawCommand,
        first_request_id: RequestId,
        outcomes: &[Outcome],
        time_ms: u64,
    ) {
        self.last_request_id += u64::from(command.count.number());
        if let Some(stamp) = stamp(command) {
            self.keep_key(command.pool, stamp, first_request_id, outcomes, time_ms);
        }
    }

    /// Not part of the caller, so that a draw without a key does not pay for it.
    #[inline(never)]
    fn keep_key(
        &mut self,
        pool: PoolNumber,
        stamp: KeyStamp,
        first_request_id: RequestId,
        outcomes: &[Outcome],
        time_ms: u64,
    ) {
        let pool = &mut self.pools[pool.as_usize()];
        let (version, time_ms) = (pool.catalog_version(), self.time_ms.max(time_ms));
        pool.keep_key(KeyedDraw::new(stamp, first_request_id, outcomes, version, time_ms));
    }

    fn apply_draw(&mut self, draw: &DrawRecord<'_>, time_ms: u64) -> Result<(), Violation> {
        let command = self.check_draw(draw)?;
        let pool = self.pool_mut(draw.pool)?;
        if let Some(known) = pool.admit(&command)? {
            return Err(Violation::KeyKnown { pool: draw.pool, key: known.stamp.hash });
        }
        pool.retrace(draw.outcomes).map_err(|(_, violation)| violation)?;
        self.finish_draw(&command, draw.first_request_id, draw.outcomes, time_ms);
        Ok(())
    }

    /// Checks what a draw's record says beside its outcomes, and gives back the command.
    fn check_draw(&self, draw: &DrawRecord<'_>) -> Result<DrawCommand, Violation> {
        let (last, found) = (self.last_request_id, draw.first_request_id);
        if found.number() != last + 1 {
            return Err(Violation::RequestId { expected: last + 1, found });
        }
        let length = draw.outcomes.len();
        let count = i64::try_from(length).ok().and_then(DrawCount::new);
        let count = count.ok_or(Violation::DrawCount { found: length })?;
        if u64::from(count.number()) > REQUEST_ID_MAX - last {
            return Err(Violation::RequestIdMax { last, count: count.number() });
        }
        let (pool, expected) = (draw.pool, self.known_pool(draw.pool)?.catalog_version());
        check_version(pool, expected, draw.catalog_version)?;
        let key: Option<KeyHash> = draw.key.map(|stamp| stamp.hash);
        let command = DrawCommand { pool, count, mode: draw.mode, key };
        let expected = command.fingerprint();
        match draw.key.map(|stamp| stamp.fingerprint) {
            Some(found) if found != expected => Err(Violation::KeyFingerprint { expected, found }),
            _ => Ok(command),
        }
    }

    fn apply_pool(&mut self, created: &PoolCreated) -> Result<(), Violation> {
        let (expected, found) = (self.pools.len(), created.pool);
        if found.as_usize() != expected {
            return Err(Violation::PoolNumber { expected, found });
        }
        self.plan_pool(created.id.as_str())?;
        let PoolCreated { selector, commitment, .. } = *created;
        let mut pool = Pool::new(Charter { number: found, selector, commitment }, created.keys);
        let items = created.catalog.items();
        pool.reserve(items.len());
        for item in items {
            pool.push(&Item::new(item.weight, item.quantity)?);
        }
        if self.is_active {
            pool.activate();
        }
        let number = self.names.push(created.id.clone());
        assert_eq!(number, found, "names and pools have the same numbers");
        let names = self.names.pool_mut(number).expect("the name was pushed just now");
        names.reserve(items.len());
        for item in items {
            names.push(item.id.clone());
        }
        self.pools.push(pool);
        Ok(())
    }

    fn apply_update(&mut self, update: &Update) -> Result<(), Violation> {
        let (pool, item) = (update.pool, update.item);
        let target = self.pool_mut(pool)?;
        let planned = target.plan_update(item, &update.change)?;
        if Some(planned) == target.item(item) {
            return Err(Violation::NothingChanges { pool });
        }
        let (expected, found) = (planned.quantity(), update.quantity);
        if expected != found {
            return Err(Violation::Quantity { pool, item, expected, found });
        }
        let (expected, found) = (planned.weight, update.weight);
        if expected != found {
            return Err(Violation::Weight { pool, item, expected, found });
        }
        check_version(pool, target.catalog_version() + 1, update.catalog_version)?;
        target.change(item, planned);
        Ok(())
    }

    fn apply_addition(&mut self, added: &ItemAdded) -> Result<(), Violation> {
        let pool = added.pool;
        self.known_pool(pool)?;
        let planned = self.plan_addition(pool, &added.item)?;
        let target = self.pool_mut(pool)?;
        let (expected, found) = (target.item_count(), added.index);
        if found.as_usize() != expected {
            return Err(Violation::ItemIndex { pool, expected, found });
        }
        check_version(pool, target.catalog_version() + 1, added.catalog_version)?;
        target.append(&planned);
        let names = self.names.pool_mut(pool).expect("each pool has names");
        names.push(added.item.id.clone());
        Ok(())
    }

    fn apply_retirement(&mut self, retired: &ItemRetired) -> Result<(), Violation> {
        let pool = self.pool_mut(retired.pool)?;
        let planned = pool.plan_retirement(retired.item)?;
        check_version(retired.pool, pool.catalog_version() + 1, retired.catalog_version)?;
        pool.change(retired.item, planned);
        Ok(())
    }

    fn apply_status(&mut self, changed: &PoolStateChanged) -> Result<(), Violation> {
        let pool = self.pool_mut(changed.pool)?;
        if !pool.plan_status(changed.status)? {
            return Err(Violation::NothingChanges { pool: changed.pool });
        }
        pool.set_status(changed.status);
        Ok(())
    }

    fn apply_epoch(&mut self, found: Epoch) -> Result<(), Violation> {
        let last = self.epoch;
        if found <= last {
            return Err(Violation::Epoch { last, found });
        }
        self.epoch = found;
        Ok(())
    }

    /// How often the log changed hands up to here.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The same state, of a log that changed hands so often. Encoded states do not tell.
    #[must_use]
    pub fn in_epoch(self, epoch: Epoch) -> Self {
        Self { epoch, ..self }
    }

    fn known_pool(&self, pool: PoolNumber) -> Result<&Pool, Violation> {
        self.pools.get(pool.as_usize()).ok_or(Violation::UnknownPool { pool })
    }

    fn pool_mut(&mut self, pool: PoolNumber) -> Result<&mut Pool, Violation> {
        self.pools.get_mut(pool.as_usize()).ok_or(Violation::UnknownPool { pool })
    }

    /// A digest of all that records change, in O(number of pools). Digests, rotations and the
    /// record of a clean stop carry it.
    pub fn digest(&self) -> u64 {
        let digest = Digest::new().word(self.last_request_id);
        self.pools.iter().fold(digest, |digest, pool| pool.digest(digest)).finish()
    }

    /// Counts the items of all pools again, in O(number of items): that no unit appeared or vanished.
    pub fn check_items(&self) -> Result<(), Violation> {
        self.pools.iter().try_for_each(Pool::check_items)
    }

    /// Checks items of a pool one by one, from a place on and at most so many. Gives how many there
    /// were.
    pub fn check_items_from(
        &self,
        pool: PoolNumber,
        from: usize,
        limit: usize,
    ) -> Result<usize, Violation> {
        self.known_pool(pool)?.check_items_from(from, limit)
    }

    /// Counts everything again, in O(number of items and keys): that no unit appeared or vanished,
    /// and that whatever is kept up to date is right.
    pub fn check(&self) -> Result<(), Violation> {
        same_number(self.names.pools().len(), self.pools.len())?;
        for (names, pool) in self.names.pools().iter().zip(&self.pools) {
            same_number(names.items().len(), pool.item_count())?;
            pool.check()?;
        }
        let last = self.last_request_id;
        let draws = self.pools.iter().map(|pool| u128::from(pool.counters().draws)).sum();
        if u128::from(last) == draws {
            Ok(())
        } else {
            Err(Violation::LastRequestId { last, draws })
        }
    }
}

/// The key of a command as it is stored.
fn stamp(command: &DrawCommand) -> Option<KeyStamp> {
    command.key.map(|hash| KeyStamp { hash, fingerprint: command.fingerprint() })
}

fn check_version(pool: PoolNumber, expected: u64, found: u64) -> Result<(), Violation> {
    if expected == found {
        Ok(())
    } else {
        Err(Violation::CatalogVersion { pool, expected, found })
    }
}

fn same_number(names: usize, things: usize) -> Result<(), Violation> {
    if names == things { Ok(()) } else { Err(Violation::Names { names, things }) }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod together;
