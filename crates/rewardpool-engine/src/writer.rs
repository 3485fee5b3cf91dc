//! The one thread that owns the state: decide, stage, write, sync, answer.
//!
//! A turn takes what waits in the mailbox, decides and applies each command at once, and encodes
//! its record into the open batch; the commit is one write and one sync; then the answers leave.
//! What arrives during the sync is the next batch, so batches grow with the load and no timer is
//! needed. There is no way back: room for a record is made sure of before its command is decided,
//! and after a failed write or sync nothing is answered and the process ends.
//!
//! Invariant: answered LSN <= durable LSN <= LSN of the state.
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use rewardpool_core::command::{AdminCommand, DrawCommand, KeyHash, Rejection};
use rewardpool_core::format::{Encoder, Format};
use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::limits::DIGEST_EVERY_LSN;
use rewardpool_core::name::PoolId;
use rewardpool_core::record::{Record, SnapshotRef};
use rewardpool_core::state::State;
use rewardpool_core::view::PoolView;
use rewardpool_mutant::{Mutant, is_on};
use rewardpool_wal::{Appender, Committed, Position};

use crate::compactor::ClosedSegment;
use crate::engine::{begun, stopwatch};
use crate::error::EngineError;
use crate::handle::PoolRegistry;
use crate::progress::{Progress, SnapshotTaken};
use crate::recount::Recount;
use crate::request::{
    Answer, DrawAnswer, LogPosition, NewPool, PoolPage, PoolSummary, PoolsPage, Refusal, Request,
    Status,
};
use crate::secrets::{random_secret, store};
use crate::statistics::{Counted, Staged, Standing, Statistics};
use crate::submission::Submission;
use crate::supplier::Supply;

/// Bytes of a batch that are kept for the small records which the writer adds on its own: the
/// snapshot that begins a segment, and digests.
const OWN_RECORDS_BYTES: usize = 512;

/// Moments as the caller of a turn sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// Wall clock in milliseconds since 1970, which is only ever logged.
    pub(crate) wall_ms: u64,
    /// For deadlines.
    pub(crate) instant: std::time::Instant,
}

/// Owns the state and the log. Its methods are the steps of the thread that drives it.
pub(crate) struct Writer {
    pub(crate) state: State,
    pub(crate) generators: Vec<Generator>,
    pub(crate) log: Appender,
    pub(crate) encoder: Encoder,
    pub(crate) supply: Supply,
    pub(crate) closed: Sender<ClosedSegment>,
    pub(crate) registry: Arc<PoolRegistry>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) statistics: Arc<Statistics>,
    pub(crate) format: Format,
    pub(crate) segment_bytes: usize,
    /// The last commit: the proof that everything answered is durable.
    pub(crate) committed: Committed,
    /// Time of the open batch.
    pub(crate) time_ms: u64,
    pub(crate) staged: Vec<Submission>,
    /// Pools created in the open batch, to be made known when it is durable.
    pub(crate) new_pools: Vec<(PoolId, PoolNumber)>,
    /// Draws decided since the last commit.
    pub(crate) staged_draws: usize,
    /// What the statistics count of draws already.
    pub(crate) counted: Counted,
    pub(crate) recount: Recount,
    /// Records of the open batch that nobody asked for.
    pub(crate) own_records: u64,
    /// Whether something was committed since the last marker.
    pub(crate) is_unmarked: bool,
    /// Whether the log is written by another service, of which this one keeps a copy.
    pub(crate) follows: bool,
}

/// Why a request is not answered, and whether the engine goes on.
enum Stop {
    Refused(Refusal),
    Failed(EngineError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Refused(Refusal::Rejected(rejection))
    }
}

impl Writer {
    /// Sets the time of the batch that begins. Never falls.
    pub(crate) fn begin_turn(&mut self, now: Now) {
        // The open batch of this defect has records of earlier turns, and one time.
        if is_on(Mutant::AnswerAndWriteLater) && self.encoder.count() > 0 {
            return;
        }
        self.time_ms = self.time_ms.max(self.state.time_ms()).max(now.wall_ms);
    }

    /// Decides and stages every request of a submission. Its reply leaves with the next commit.
    pub(crate) fn stage(
        &mut self,
        mut submission: Submission,
        now: Now,
    ) -> Result<(), EngineError> {
        if submission.deadline.is_some_and(|deadline| deadline <= now.instant) {
            submission.requests.iter().for_each(|_| self.statistics.refuse(Refusal::Expired));
            submission.refuse(Refusal::Expired);
            return Ok(());
        }
        let requests = std::mem::take(&mut submission.requests);
        let mut failure = None;
        for request in &requests {
            let executed = if self.follows && request.changes() {
                Err(Refusal::Follower.into())
            } else {
                self.execute(request, &mut submission)
            };
            let answer = match executed {
                Ok(answer) => Ok(answer),
                Err(Stop::Refused(refusal)) => {
                    self.statistics.refuse(refusal);
                    Err(refusal)
                }
                Err(Stop::Failed(error)) => {
                    failure = Some(error);
                    break;
                }
            };
            submission.answers.push(answer);
        }
        submission.requests = requests;
        self.staged.push(submission);
        failure.map_or(Ok(()), Err)
    }

    /// Makes everything staged durable and sends the answers.
    pub(crate) fn commit(&mut self) -> Result<(), EngineError> {
        if is_on(Mutant::AnswerBeforeSync) {
            self.release();
        }
        if is_on(Mutant::AnswerAndWriteLater) {
            self.release();
            self.is_unmarked = true;
            return Ok(());
        }
        self.write_batch()?;
        // An answer leaves only with the proof that the state it came from is on disk.
        assert_eq!(self.committed.last_lsn(), self.state.last_lsn(), "answers are durable");
        self.release();
        Ok(())
    }

    /// Makes new pools known and sends the answers. What they tell of is durable.
    pub(crate) fn release(&mut self) {
        for (id, number) in self.new_pools.drain(..) {
            self.registry.insert(id, number);
        }
        self.staged_draws = 0;
        for submission in self.staged.drain(..) {
            submission.reply();
        }
    }

    /// Writes a commit marker: proof that what stands before it was durable. Called when idle.
    pub(crate) fn mark(&mut self) -> Result<(), EngineError> {
        if self.log.payload_room() > OWN_RECORDS_BYTES {
            self.own_records += 1;
            self.push(&Record::Marker)?;
            self.write_batch()?;
        }
        self.is_unmarked = false;
        Ok(())
    }

    /// Ends the log with the record of a clean stop.
    pub(crate) fn close(mut self) -> Result<(), EngineError> {
        self.commit()?;
        if is_on(Mutant::AnswerAndWriteLater) {
            self.write_batch()?;
        }
        if self.log.has_room_to_close() {
            let payload = self.closing_payload(&Record::Closed(self.state.digest()))?;
            self.committed = self.log.close(&payload, self.time_ms)?;
            self.stand();
        }
        Ok(())
    }

    /// Refuses what was staged: the engine failed, and nobody knows what reached the disk.
    pub(crate) fn abandon(&mut self) {
        for submission in self.staged.drain(..) {
            submission.refuse(Refusal::OutcomeUnknown);
        }
    }

    fn execute(&mut self, request: &Request, into: &mut Submission) -> Result<Answer, Stop> {
        match request {
            Request::Draw(command) => self.draw(command, into),
            Request::FindDraw { pool, key } => Ok(self.find_draw(*pool, *key, into)?),
            Request::ReadPool { pool, from, limit } => Ok(self.read_pool(*pool, *from, *limit)?),
            Request::ReadPools { from, limit } => Ok(self.read_pools(*from, *limit)),
            Request::ReadStatus => Ok(self.read_status()),
            Request::ReadPosition => self.read_position(),
            Request::CreatePool(pool) => self.create_pool(pool),
            Request::Change(command) => self.change(command),
            Request::Rotate => self.rotate_on_request(),
        }
    }

    fn draw(&mut self, command: &DrawCommand, into: &mut Submission) -> Result<Answer, Stop> {
        let pool = command.pool;
        let names = self.state.names().pool(pool).ok_or(Rejection::UnknownPool)?;
        let count = command.count.as_usize();
        let room = self.encoder.draw_bytes_max(names, count);
        let made = self.make_room(room);
        if !is_on(Mutant::RecordLeftAfterRefusal) || !matches!(made, Err(Stop::Refused(_))) {
            made?;
        }
        let generator = &mut self.generators[pool.as_usize()];
        let start = into.outcomes.len();
        let drawn = self.state.draw(command, generator, self.time_ms, &mut into.outcomes)?;
        if !drawn.replayed {
            let record = Record::Draw(drawn.record(command, &into.outcomes[start..]));
            self.encoder.push(&record, self.state.names());
            self.advance()?;
            self.staged_draws += count;
        }
        let names = self.state.names().pool(pool).expect("the pool was drawn from");
        Ok(attach(pool, drawn.first_request_id, start, drawn.replayed, names.items(), into))
    }

    fn find_draw(
        &self,
        pool: PoolNumber,
        key: KeyHash,
        into: &mut Submission,
    ) -> Result<Answer, Rejection> {
        let known = self.state.find_draw(pool, key)?;
        let start = into.outcomes.len();
        into.outcomes.extend_from_slice(known.outcomes);
        let names = self.state.names().pool(pool).expect("the draw's pool exists");
        Ok(attach(pool, known.first_request_id, start, true, names.items(), into))
    }

    fn read_pool(&self, pool: PoolNumber, from: usize, limit: usize) -> Result<Answer, Rejection> {
        let view = self.state.pool(pool).ok_or(Rejection::UnknownPool)?;
        Ok(Answer::Pool(Box::new(PoolPage {
            summary: summary(&view),
            lsn: self.state.last_lsn(),
            last_request_id: self.state.last_request_id(),
            items: self.state.items(pool, from, limit)?.collect(),
            names: view.names.items().clone(),
        })))
    }

    fn read_pools(&self, from: usize, limit: usize) -> Answer {
        let pools = self.state.pools().skip(from).take(limit);
        Answer::Pools(Box::new(PoolsPage {
            pools: pools.map(|view| summary(&view)).collect(),
            count: self.state.pools().len(),
            lsn: self.state.last_lsn(),
        }))
    }

    fn read_status(&mut self) -> Answer {
        let conservation_ok = self.recount.step(&self.state);
        self.statistics.counted(conservation_ok);
        Answer::Status(Box::new(Status {
            durable_lsn: self.state.last_lsn(),
            last_request_id: self.state.last_request_id(),
            current_segment: self.log.position().segment.0,
            pools: self.state.pools().len(),
            out_of_space: self.supply.is_out_of_space(),
            conservation_ok,
        }))
    }

    /// Ends the open batch, so that the position is one between two batches.
    fn read_position(&mut self) -> Result<Answer, Stop> {
        self.write_batch()?;
        Ok(Answer::Position(Box::new(position(&self.state, &self.log.position()))))
    }

    fn create_pool(&mut self, pool: &NewPool) -> Result<Answer, Stop> {
        let secret = Secret::new(match pool.secret {
            Some(secret) => secret,
            None => random_secret()?,
        });
        let number =
            u32::try_from(self.state.names().pools().len()).map_err(|_| Rejection::Full)?;
        let number = PoolNumber(number);
        let commitment = secret.commitment();
        let command = AdminCommand::CreatePool { spec: pool.spec.clone(), commitment };
        let decided = self.state.decide(&command)?;
        let record = decided.expect("a pool that can be created changes the state");
        self.make_room(self.encoder.record_bytes_max(&record))?;
        if is_on(Mutant::SecretAfterLog) {
            self.push(&record)?;
            self.write_batch()?;
        }
        // The secret is on disk before the log commits to it.
        match store(self.log.storage().as_ref(), number, &secret) {
            Ok(()) => {}
            Err(error) if error.is_out_of_space() => return Err(Refusal::OutOfSpace.into()),
            Err(error) => return Err(Stop::Failed(error.into())),
        }
        if !is_on(Mutant::SecretAfterLog) {
            self.push(&record)?;
        }
        self.generators.push(Generator::new(&secret));
        self.new_pools.push((pool.spec.id.clone(), number));
        Ok(self.changed(number))
    }

    fn change(&mut self, command: &AdminCommand) -> Result<Answer, Stop> {
        let pool = match command {
            AdminCommand::CreatePool { .. } => unreachable!("the handle refuses it"),
            AdminCommand::UpdateItem { pool, .. }
            | AdminCommand::AddItem { pool, .. }
            | AdminCommand::RetireItem { pool, .. }
            | AdminCommand::SetStatus { pool, .. } => *pool,
        };
        if let Some(record) = self.state.decide(command)? {
            self.make_room(self.encoder.record_bytes_max(&record))?;
            self.push(&record)?;
        }
        Ok(self.changed(pool))
    }

    fn changed(&self, pool: PoolNumber) -> Answer {
        let view = self.state.pool(pool).expect("the pool was changed just now");
        let catalog_version = view.catalog_version;
        Answer::Changed { lsn: self.state.last_lsn(), catalog_version }
    }

    fn rotate_on_request(&mut self) -> Result<Answer, Stop> {
        self.write_batch()?;
        self.rotate(0, true)?;
        // The rotation is durable; what is read now includes only what was committed before it.
        Ok(Answer::Changed { lsn: self.committed.last_lsn(), catalog_version: 0 })
    }

    /// Applies a record that was decided, and stages it. Room was made sure of.
    fn push(&mut self, record: &Record<'_>) -> Result<(), EngineError> {
        self.encoder.push(record, self.state.names());
        self.state.apply(record, self.state.next_lsn(), self.time_ms)?;
        self.digest_when_due()
    }

    /// Counts a draw's record, which was applied when it was drawn.
    fn advance(&mut self) -> Result<(), EngineError> {
        self.state.advance(self.state.next_lsn(), self.time_ms)?;
        self.digest_when_due()
    }

    fn digest_when_due(&mut self) -> Result<(), EngineError> {
        if (self.state.last_lsn() + 1).is_multiple_of(DIGEST_EVERY_LSN) {
            let digest = self.state.digest();
            self.own_records += 1;
            return self.push(&Record::Digest(digest));
        }
        Ok(())
    }

    /// Makes sure that a record of so many bytes fits: in the open batch, else in a new one, else
    /// in a new segment.
    #[inline]
    fn make_room(&mut self, bytes: usize) -> Result<(), Stop> {
        let needed = bytes + OWN_RECORDS_BYTES;
        if self.encoder.payload().len() + needed <= self.log.payload_room() {
            return Ok(());
        }
        self.write_batch()?;
        if needed <= self.log.payload_room() {
            return Ok(());
        }
        self.rotate(needed, false)
    }

    /// Writes and syncs the open batch, if there is one, and opens the next.
    fn write_batch(&mut self) -> Result<(), EngineError> {
        if self.encoder.count() > 0 {
            let (payload, count) = (self.encoder.payload(), self.encoder.count());
            let begun = stopwatch();
            self.committed = self.log.append(payload, count, self.time_ms)?;
            self.count_commit(begun.elapsed(), u64::from(count));
            self.is_unmarked = true;
            self.encoder.begin(self.state.next_lsn());
        }
        assert_eq!(self.log.position().lsn, self.state.last_lsn(), "the log holds the state");
        Ok(())
    }

    /// Counts a batch of so many records that is durable.
    fn count_commit(&mut self, took: Duration, records: u64) {
        let before = self.counted;
        self.counted = Counted::of(&self.state);
        let draws = self.counted.draws - before.draws;
        let empties = self.counted.empties - before.empties;
        let records = records - std::mem::take(&mut self.own_records);
        self.statistics.commit(Staged { records, draws, empties }, took);
        self.stand();
    }

    /// Shows where the log stands.
    pub(crate) fn stand(&self) {
        self.statistics.stand(Standing {
            durable_lsn: self.committed.last_lsn(),
            last_request_id: self.state.last_request_id(),
            segment_used_bytes: self.log.used_bytes() as u64,
            epoch: self.log.epoch(),
        });
    }

    /// Goes on in a new segment with room for a payload of so many bytes. The open batch is empty.
    fn rotate(&mut self, payload_bytes: usize, wanted: bool) -> Result<(), Stop> {
        let least = Appender::segment_bytes_for(payload_bytes + OWN_RECORDS_BYTES);
        let prepared = self.supply.take(self.segment_bytes, least)?;
        let position = self.log.position();
        let used_bytes = self.log.used_bytes() as u64;
        let (digest, next_segment) = (self.state.digest(), position.segment.next().0);
        let payload = self.closing_payload(&Record::Rotate { next_segment, digest })?;
        let begun = begun(&prepared, position.segment.next(), self.state.next_lsn().number());
        let rotated = self.log.rotate(prepared, self.format.id(), &payload, self.time_ms);
        self.committed = rotated.map_err(EngineError::from)?;
        self.progress.segment_begun(used_bytes, begun);
        self.stand();
        let last_lsn = self.committed.last_lsn();
        let number = position.segment;
        let closed = ClosedSegment { number, last_lsn, bytes: used_bytes, wanted, expected: None };
        if self.closed.try_send(closed).is_err() {
            tracing::warn!(segment = %position.segment, "the snapshots are far behind the log");
        }
        self.supply.order(self.segment_bytes);
        self.encoder = Encoder::new(self.format);
        self.encoder.begin(self.state.next_lsn());
        let newest = self.progress.newest_snapshot();
        self.own_records += 1;
        Ok(self.push(&first_record(newest))?)
    }

    /// Encodes one record alone, for the batch that closes a segment, and applies it.
    fn closing_payload(&mut self, record: &Record<'static>) -> Result<Vec<u8>, EngineError> {
        assert_eq!(self.encoder.count(), 0, "the open batch was written before");
        let format = Format::from_id(self.log.format()).expect("the segment's format is known");
        encode_and_apply(format, record, &mut self.state, self.time_ms)
    }
}

/// Where a log with this state ends.
pub(crate) fn position(state: &State, end: &Position) -> LogPosition {
    assert_eq!(state.last_lsn(), end.lsn, "the log holds the state");
    LogPosition {
        lsn: end.lsn,
        last_request_id: state.last_request_id(),
        time_ms: state.time_ms(),
        digest: state.digest(),
        chain: end.chain,
        segment: end.segment.0,
        pools: u32::try_from(state.pools().len()).expect("pools have numbers"),
    }
}

/// Encodes a batch of one record and applies the record.
pub(crate) fn encode_and_apply(
    format: Format,
    record: &Record<'_>,
    state: &mut State,
    time_ms: u64,
) -> Result<Vec<u8>, EngineError> {
    let lsn = state.next_lsn();
    let mut encoder = Encoder::new(format);
    encoder.begin(lsn);
    encoder.push(record, state.names());
    state.apply(record, lsn, time_ms)?;
    Ok(encoder.payload().to_vec())
}

/// The record that begins a segment: which snapshot is the newest.
pub(crate) fn first_record(newest: Option<SnapshotTaken>) -> Record<'static> {
    let newest = newest.expect("a log begins with a snapshot");
    Record::Snapshot(SnapshotRef { lsn: newest.lsn, sha256: newest.sha256 })
}

fn attach(
    pool: PoolNumber,
    first_request_id: rewardpool_core::ids::RequestId,
    start: usize,
    replayed: bool,
    names: &rewardpool_core::names::ItemNames,
    into: &mut Submission,
) -> Answer {
    if !into.names.iter().any(|(known, _)| *known == pool) {
        into.names.push((pool, names.clone()));
    }
    let offset = |place: usize| u32::try_from(place).expect("a submission is bounded");
    let (start, end) = (offset(start), offset(into.outcomes.len()));
    Answer::Draw(DrawAnswer { pool, first_request_id, start, end, replayed })
}

fn summary(view: &PoolView<'_>) -> PoolSummary {
    PoolSummary {
        number: view.number,
        id: view.names.id().clone(),
        status: view.status,
        catalog_version: view.catalog_version,
        item_count: view.item_count,
        draws: view.draws,
        awards: view.awards,
        empties: view.empties,
        available_weight: view.available_weight,
        available_items: view.available_items,
        drawable_units: view.drawable_units,
        keys: view.keys,
        commitment: view.commitment,
    }
}
