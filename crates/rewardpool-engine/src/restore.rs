//! Writes a log again, up to any of its records, as a log of its own.
//!
//! What was answered behind that record is lost, and other answers take its place: LSNs and request
//! ids are given a second time. So the copy gets a new identity, by which it is not taken for the
//! old log and none of the old files is taken for one of its own; and its pools go on with random
//! numbers that nobody has seen, because those of the lost draws were. Each record is the same byte
//! by byte, at the same place of a segment of the same number.
use std::sync::Arc;

use rewardpool_core::format::{Decoder, Encoder};
use rewardpool_core::generator::StreamStart;
use rewardpool_core::ids::{Lsn, Outcome, RequestId};
use rewardpool_core::state::State;
use rewardpool_wal::storage::{BulkStorage, Storage};
use rewardpool_wal::{
    Ancestry, Appender, Batch, Error, Identity, LogReader, Prepared, Restoration, SegmentHeader,
    SegmentNumber, SnapshotFile, SnapshotHeader, segment_name,
};

use crate::error::{EngineError, SNAPSHOT_BODY};
use crate::examine::{compare, examine_storage};
use crate::inspect::{oldest, read_log};
use crate::recovery::{BATCH_FORMAT, apply_batch, known_format};
use crate::secrets::{load_secrets, random_u64, store};

/// The last record that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// The last one that there is.
    End,
    /// The one with this LSN.
    Lsn(u64),
    /// The last one that is not later than this, in milliseconds since 1970.
    Time(u64),
}

/// Why a log is not restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The log cannot be read or is damaged, or the copy cannot be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The log begins with a snapshot of a later position.
    #[error("the log begins with a snapshot of lsn {first}, of {first_ms} ms since 1970")]
    Earlier {
        /// The first position that can be had.
        first: u64,
        /// Its time.
        first_ms: u64,
    },
    /// The log ends before.
    #[error("the log ends at lsn {last}")]
    Later {
        /// The last position that can be had.
        last: u64,
    },
    /// The copy does not hold what was written to it, which is a defect or a broken disk.
    #[error("the copy holds another state than the log")]
    Differs,
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Where the log and the secrets of its pools are, and what is wanted of it.
pub struct Restore<'a> {
    /// The log, which nobody writes to.
    pub log: Arc<dyn Storage>,
    /// Where the secrets are.
    pub secrets: &'a dyn Storage,
    /// The last record.
    pub until: Until,
}

/// The state after the last record that is wanted.
#[derive(Debug)]
pub struct Reached {
    /// The log that it is of.
    pub identity: Identity,
    /// The snapshot that the log begins with.
    pub snapshot_lsn: u64,
    /// Segments up to there.
    pub segments: u32,
    /// Records after the snapshot.
    pub records: u64,
    /// Checksum of the header of the last batch, if the log was read to its end.
    pub chain: Option<u32>,
    /// The state.
    pub state: State,
}

impl Restore<'_> {
    /// Reads the log up to the last record that is wanted, and changes nothing.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn look(&self) -> Result<Reached, RestoreError> {
        self.read(&mut Nowhere)
    }

    /// Looks whether the secrets of these pools are there, and right.
    ///
    /// # Errors
    /// [`RestoreError::Engine`] with the first that is not.
    pub fn check_secrets(&self, state: &State) -> Result<(), RestoreError> {
        load_secrets(self.secrets, state)?;
        Ok(())
    }

    /// Writes the log to an empty storage. Durable when it returns, and verified by what a start
    /// would read; until then the storage is none that a start takes.
    ///
    /// # Errors
    /// See [`RestoreError`].
    pub fn write(&self, into: &Arc<dyn Storage>, now_ms: u64) -> Result<Reached, RestoreError> {
        let identity = Identity { uuid: crate::engine::uuid()? };
        let bulk = Arc::new(BulkStorage::new(Arc::clone(into)));
        let mut copy = Copy { identity, bulk: Arc::clone(&bulk), appender: None };
        let reached = self.read(&mut copy)?;
        self.write_secrets(bulk.as_ref(), &reached.state)?;
        self.write_ancestry(bulk.as_ref(), &reached, now_ms)?;
        copy.settle()?;
        // From here on it is a log.
        identity.publish(into.as_ref())?;
        let examined = examine_storage(into)?;
        if let Some(damage) = examined.damages.into_iter().next() {
            return Err(damage.into());
        }
        let hash = reached.state.state_hash();
        match examined.start {
            Some(start) if start.state_sha256 == hash => Ok(Reached { identity, ..reached }),
            Some(_) | None => Err(RestoreError::Differs),
        }
    }

    fn read(&self, target: &mut dyn Target) -> Result<Reached, RestoreError> {
        let reader = read_log(Arc::clone(&self.log))?;
        let (first, state) = oldest(&reader)?;
        let SnapshotHeader { lsn, time_ms, .. } = first.header;
        let is_earlier = match self.until {
            Until::End => false,
            Until::Lsn(wanted) => wanted < lsn,
            Until::Time(wanted_ms) => wanted_ms < time_ms,
        };
        if is_earlier {
            return Err(RestoreError::Earlier { first: lsn, first_ms: time_ms });
        }
        let headers = headers(self.log.as_ref(), &reader, first.header.next_segment)?;
        target.begin(&first, &headers[0])?;
        let mut walk = Walk {
            reader: &reader,
            headers,
            state,
            target,
            outcomes: Vec::new(),
            records: 0,
            segments: 1,
        };
        let chain = walk.run(&first.header, self.until)?;
        let Walk { state, records, segments, .. } = walk;
        if let Until::Lsn(wanted) = self.until
            && state.last_lsn() < wanted
        {
            return Err(RestoreError::Later { last: state.last_lsn() });
        }
        state.check().map_err(|violation| EngineError::State {
            file: segment_name(SegmentNumber(first.header.next_segment.0 + segments - 1)),
            offset: SNAPSHOT_BODY,
            source: Box::new(violation),
        })?;
        let identity = reader.identity();
        Ok(Reached { identity, snapshot_lsn: lsn, segments, records, chain, state })
    }

    /// Every request id that was given behind the last record was answered with an outcome; the
    /// outcomes of the ids to come must have nothing to do with those.
    fn write_secrets(&self, into: &dyn Storage, state: &State) -> Result<(), RestoreError> {
        let next = RequestId::new(state.last_request_id() + 1).expect("there is a next id");
        let start = loop {
            if let Some(start) = StreamStart::new(next, random_u64()?) {
                break start;
            }
        };
        let secrets = load_secrets(self.secrets, state)?;
        for (pool, secret) in state.pools().zip(secrets) {
            store(into, pool.number, &secret.restarted(start))?;
        }
        Ok(())
    }

    fn write_ancestry(
        &self,
        into: &dyn Storage,
        reached: &Reached,
        time_ms: u64,
    ) -> Result<(), RestoreError> {
        let mut ancestry = Ancestry::load(self.log.as_ref())?;
        ancestry.0.push(Restoration {
            from: reached.identity,
            lsn: reached.state.last_lsn(),
            last_request_id: reached.state.last_request_id(),
            time_ms,
        });
        Ok(ancestry.publish(into)?)
    }
}

fn headers(
    storage: &dyn Storage,
    reader: &LogReader,
    first: SegmentNumber,
) -> Result<Vec<SegmentHeader>, RestoreError> {
    let mut headers = Vec::new();
    for &number in reader.segments().iter().filter(|number| **number >= first) {
        let name = segment_name(number);
        let source = storage.source(&name);
        let source =
            source.map_err(|source| Error::Io { operation: "read", file: name, source })?;
        headers.push(SegmentHeader::read(source.as_ref(), number, reader.identity())?);
    }
    let because = "a snapshot names it";
    match headers.first() {
        Some(header) if header.number == first => Ok(headers),
        Some(_) | None => Err(Error::Missing { file: segment_name(first), because }.into()),
    }
}

/// Where a log is written to while it is read.
trait Target {
    /// The snapshot that it begins with, and the header of the segment that goes on from there.
    fn begin(&mut self, snapshot: &SnapshotFile, header: &SegmentHeader)
    -> Result<(), EngineError>;
    /// A batch. `next` is the header of the segment that follows, if this batch closes its own.
    fn batch(&mut self, batch: &Batch<'_>, next: Option<&SegmentHeader>)
    -> Result<(), EngineError>;
    /// A snapshot of the position behind the last batch.
    fn snapshot(&mut self, snapshot: &SnapshotFile) -> Result<(), EngineError>;
}

/// For those who only look.
struct Nowhere;

impl Target for Nowhere {
    fn begin(&mut self, _: &SnapshotFile, _: &SegmentHeader) -> Result<(), EngineError> {
        Ok(())
    }

    fn batch(&mut self, _: &Batch<'_>, _: Option<&SegmentHeader>) -> Result<(), EngineError> {
        Ok(())
    }

    fn snapshot(&mut self, _: &SnapshotFile) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Why the walk over a log ends before its end.
enum Stop {
    Reached,
    Failed(EngineError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// Applies batch after batch, and hands each on.
struct Walk<'a> {
    reader: &'a LogReader,
    headers: Vec<SegmentHeader>,
    state: State,
    target: &'a mut dyn Target,
    outcomes: Vec<Outcome>,
    records: u64,
    segments: u32,
}

impl Walk<'_> {
    fn run(&mut self, from: &SnapshotHeader, until: Until) -> Result<Option<u32>, RestoreError> {
        let reader = self.reader;
        let walked =
            reader.replay(from, None, &mut |header, batch| self.batch(header, batch, until));
        match walked {
            Ok(replayed) => Ok(Some(replayed.tail.chain())),
            Err(Stop::Reached) => Ok(None),
            Err(Stop::Failed(error)) => Err(error.into()),
        }
    }

    fn batch(
        &mut self,
        header: &SegmentHeader,
        batch: &Batch<'_>,
        until: Until,
    ) -> Result<(), Stop> {
        let wanted = match until {
            Until::Lsn(lsn) => lsn,
            Until::Time(time_ms) if batch.time_ms > time_ms => return Err(Stop::Reached),
            Until::End | Until::Time(_) => u64::MAX,
        };
        if batch.first_lsn > wanted {
            return Err(Stop::Reached);
        }
        let count = u64::from(batch.count).min(wanted - batch.first_lsn + 1);
        self.segments = header.number.0 - self.headers[0].number.0 + 1;
        self.records += count;
        if count < u64::from(batch.count) {
            self.first_records(header, batch, u32::try_from(count).expect("below the whole"))?;
            return Err(Stop::Reached);
        }
        apply_batch(&mut self.state, header, batch, &mut self.outcomes, &mut None)?;
        // What closes a segment is announced by the header of the next one.
        let (number, first_lsn) = (header.number.next(), self.state.last_lsn() + 1);
        let is_next = |next: &&SegmentHeader| (next.number, next.first_lsn) == (number, first_lsn);
        let next = self.headers.iter().find(is_next);
        self.target.batch(batch, next)?;
        let lsn = self.state.last_lsn();
        if self.reader.snapshots().binary_search(&lsn).is_ok() {
            let snapshot = self.reader.load_snapshot(lsn)?;
            compare(&snapshot, &self.state, &mut Vec::new())?;
            self.target.snapshot(&snapshot)?;
        }
        Ok(())
    }

    /// Takes a batch only in part: encodes its first records again, which gives the bytes that they
    /// have in the whole, and applies them.
    fn first_records(
        &mut self,
        header: &SegmentHeader,
        batch: &Batch<'_>,
        count: u32,
    ) -> Result<(), EngineError> {
        let format = known_format(header.number, batch.offset + BATCH_FORMAT, batch.format)?;
        let mut lsn = Lsn::new(batch.first_lsn).expect("the log begins at LSN 1");
        let mut decoder = Decoder::new(format, batch.payload, lsn, batch.count);
        let (mut encoder, mut outcomes) = (Encoder::new(format), Vec::new());
        encoder.begin(lsn);
        while encoder.count() < count {
            let decoded = decoder.next(self.state.names(), &mut outcomes);
            let decoded = decoded.map_err(|source| EngineError::Format {
                file: segment_name(header.number),
                offset: batch.payload_offset,
                source,
            })?;
            let record = decoded.expect("the batch has more records");
            encoder.push(&record, self.state.names());
            self.state.apply(&record, lsn, batch.time_ms).map_err(|violation| {
                EngineError::Record {
                    file: segment_name(header.number),
                    offset: batch.offset,
                    lsn: lsn.number(),
                    source: Box::new(violation),
                }
            })?;
            lsn = lsn.next();
        }
        let payload = encoder.payload();
        assert!(batch.payload.starts_with(payload), "records have one encoding");
        self.target.batch(&Batch { count, payload, ..*batch }, None)
    }
}

/// The log that is written.
struct Copy {
    identity: Identity,
    bulk: Arc<BulkStorage>,
    /// `None` before the first segment.
    appender: Option<Appender>,
}

impl Copy {
    fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.bulk) as Arc<dyn Storage>
    }

    fn appender(&mut self) -> &mut Appender {
        self.appender.as_mut().expect("a walk begins with a segment")
    }

    fn prepare(&self, like: &SegmentHeader) -> Result<Prepared, Error> {
        let bytes = usize::try_from(like.bytes).expect("the segment was read into memory");
        Prepared::create(self.storage(), bytes)
    }

    fn publish(&self, snapshot: &SnapshotFile, chain: u32) -> Result<(), EngineError> {
        let header = SnapshotHeader { identity: self.identity, chain, ..snapshot.header };
        header.publish(self.bulk.as_ref(), snapshot.body())?;
        Ok(())
    }

    fn settle(&self) -> Result<(), EngineError> {
        let (operation, file) = ("sync", "the restored files".to_owned());
        let settled = self.bulk.settle();
        Ok(settled.map_err(|source| Error::Io { operation, file, source })?)
    }
}

impl Target for Copy {
    fn begin(
        &mut self,
        snapshot: &SnapshotFile,
        header: &SegmentHeader,
    ) -> Result<(), EngineError> {
        // Both tell the same value of the chain, whose beginning is in the old log.
        self.publish(snapshot, header.previous)?;
        let prepared = self.prepare(header)?;
        let begun = Appender::begin_like(self.storage(), self.identity, header, prepared)?;
        self.appender = Some(begun);
        Ok(())
    }

    fn batch(
        &mut self,
        batch: &Batch<'_>,
        next: Option<&SegmentHeader>,
    ) -> Result<(), EngineError> {
        let Batch { payload, count, time_ms, .. } = *batch;
        if let Some(next) = next {
            let prepared = self.prepare(next)?;
            self.appender().rotate(prepared, next.format, payload, time_ms)?;
            self.settle()?;
        } else if payload.len() <= self.appender().payload_room() {
            self.appender().append(payload, count, time_ms)?;
        } else {
            // That of a clean stop, for which there is room behind all others.
            self.appender().close(payload, time_ms)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &SnapshotFile) -> Result<(), EngineError> {
        let chain = self.appender().position().chain;
        self.publish(snapshot, chain)
    }
}
