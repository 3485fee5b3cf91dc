//! A writer as the engine is one, with a history of what it wrote, and the recovery that must
//! find that history again.
use std::sync::Arc;

use crc32c::crc32c_append;
use rewardpool_wal::storage::Storage;
use rewardpool_wal::{
    Appender, Error, Identity, LogReader, Prepared, SECTOR, SegmentNumber, SnapshotHeader, Tail,
};

use rewardpool_sim::{MemoryStorage, Numbers};

pub const IDENTITY: Identity = Identity { uuid: *b"a-test-of-a-log!" };
pub const FORMAT: u8 = 2;
/// Bytes of each segment.
pub const SEGMENT_BYTES: usize = 24 * SECTOR;
/// Longest payload that closes a segment.
const CLOSING_PAYLOAD: usize = 300;

/// What one batch holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    pub bytes: Vec<u8>,
    pub count: u32,
}

impl Payload {
    /// A payload in which zeros are frequent, but never a run of them as long as a sector.
    pub fn random(length: usize, count: u32, numbers: &mut Numbers) -> Self {
        let mut bytes: Vec<u8> = (0..length).map(|_| numbers.byte() | 1).collect();
        let zeros = numbers.below(length.min(200));
        let start = numbers.below(length - zeros);
        bytes[start..start + zeros].fill(0);
        Self { bytes, count }
    }

    fn any(numbers: &mut Numbers) -> Self {
        // 447 bytes fill a sector to its last byte, 448 leave only the trailer for the next one.
        const LENGTHS: [usize; 8] = [1, 40, 447, 448, 700, 959, 960, 1800];
        let length = LENGTHS[numbers.below(LENGTHS.len())];
        let count = u32::try_from(1 + numbers.below(4)).unwrap();
        Self::random(length, count, numbers)
    }

    fn closing(numbers: &mut Numbers) -> Self {
        Self::random(1 + numbers.below(CLOSING_PAYLOAD), 1, numbers)
    }
}

fn digest_of(payloads: &[Payload]) -> u32 {
    payloads.iter().fold(0, |digest, payload| {
        crc32c_append(crc32c_append(digest, &payload.count.to_le_bytes()), &payload.bytes)
    })
}

pub fn records_of(payloads: &[Payload]) -> u64 {
    payloads.iter().map(|payload| u64::from(payload.count)).sum()
}

/// Stands for the state: how many payloads led to it, and their digest.
pub fn body_of(payloads: &[Payload]) -> Vec<u8> {
    let mut body = u32::try_from(payloads.len()).unwrap().to_le_bytes().to_vec();
    body.extend_from_slice(&digest_of(payloads).to_le_bytes());
    body.resize(1100, 7);
    body
}

/// What a recovery found.
pub struct Recovered {
    /// Payloads that the snapshot covers.
    covered: usize,
    digest: u32,
    /// Payloads that were replayed after it.
    replayed: Vec<Payload>,
    pub tail: Tail,
    pub damaged: Vec<Error>,
    pub is_torn: bool,
}

impl Recovered {
    /// How many payloads there are.
    pub fn payloads(&self) -> usize {
        self.covered + self.replayed.len()
    }

    /// Whether exactly the first payloads of this history were found.
    pub fn agrees(&self, history: &[Payload]) -> bool {
        self.payloads() <= history.len()
            && digest_of(&history[..self.covered]) == self.digest
            && history[self.covered..self.payloads()] == self.replayed
            && self.tail.last_lsn() == records_of(&history[..self.payloads()])
    }
}

/// Reads a log as the engine does; `None` when there is none.
pub fn recover(storage: Arc<dyn Storage>) -> Result<Option<Recovered>, Error> {
    let Some(reader) = LogReader::open(storage)? else { return Ok(None) };
    let (snapshot, damaged) = reader.newest_snapshot()?;
    let number = |at: usize| u32::from_le_bytes(snapshot.body()[at..at + 4].try_into().unwrap());
    let mut lsn = snapshot.header.lsn;
    let mut replayed = Vec::new();
    let result = reader.replay(&snapshot.header, None, &mut |header, batch| {
        assert_eq!((batch.first_lsn, batch.format), (lsn + 1, header.format), "LSNs have no gaps");
        lsn += u64::from(batch.count);
        replayed.push(Payload { bytes: batch.payload.to_vec(), count: batch.count });
        Ok::<_, Error>(())
    })?;
    assert_eq!(result.tail.last_lsn(), lsn);
    assert_eq!(result.records, records_of(&replayed));
    let covered = usize::try_from(number(0)).unwrap();
    let (digest, is_torn) = (number(4), result.torn.is_some());
    Ok(Some(Recovered { covered, digest, replayed, tail: result.tail, damaged, is_torn }))
}

/// Writes to a log and remembers what it wrote.
pub struct Journal {
    storage: Arc<dyn Storage>,
    /// Is told what is promised, if the storage is a simulated one.
    memory: Option<MemoryStorage>,
    log: Appender,
    /// Every payload that was given to the log, the oldest first.
    pub history: Vec<Payload>,
    numbers: Numbers,
    time_ms: u64,
}

impl Journal {
    /// Sets up a directory as the engine does.
    pub fn set_up(
        storage: Arc<dyn Storage>,
        memory: Option<MemoryStorage>,
        seed: u64,
    ) -> Result<Self, Error> {
        let prepared = Prepared::create(Arc::clone(&storage), SEGMENT_BYTES)?;
        let log = Appender::begin(Arc::clone(&storage), IDENTITY, FORMAT, prepared)?;
        let (history, numbers) = (Vec::new(), Numbers(seed));
        let mut journal = Self { storage, memory, log, history, numbers, time_ms: 1 };
        journal.snapshot(SegmentNumber(0))?;
        IDENTITY.publish(journal.storage.as_ref())?;
        journal.promise();
        Ok(journal)
    }

    /// Goes on where a recovery ended. `history` begins with what was found.
    pub fn resume(
        storage: Arc<dyn Storage>,
        memory: Option<MemoryStorage>,
        recovered: Recovered,
        history: &[Payload],
    ) -> Result<Self, Error> {
        let history = history[..recovered.payloads()].to_vec();
        let numbers = Numbers(history.len() as u64);
        let log = Appender::resume(Arc::clone(&storage), recovered.tail)?;
        let time_ms = history.len() as u64;
        let journal = Self { storage, memory, log, history, numbers, time_ms };
        journal.promise();
        Ok(journal)
    }

    /// All that was given to the log is acknowledged now.
    fn promise(&self) {
        if let Some(memory) = &self.memory {
            memory.promise(|promise| {
                promise.started = self.history.len();
                promise.acknowledged = self.history.len();
                promise.is_marked = true;
            });
        }
    }

    fn begin(&mut self, payload: &Payload) {
        self.history.push(payload.clone());
        self.time_ms += 1;
        if let Some(memory) = &self.memory {
            memory.promise(|promise| promise.started = self.history.len());
        }
    }

    pub fn append(&mut self, payload: &Payload) -> Result<(), Error> {
        self.begin(payload);
        let committed = self.log.append(&payload.bytes, payload.count, self.time_ms)?;
        assert_eq!(committed.last_lsn(), records_of(&self.history));
        self.promise();
        Ok(())
    }

    /// Appends a payload that fits, or rotates.
    pub fn append_any(&mut self) -> Result<(), Error> {
        let payload = Payload::any(&mut self.numbers);
        if payload.bytes.len() > self.log.payload_room() {
            return self.rotate();
        }
        self.append(&payload)
    }

    /// The batch by which an idle writer makes the end of the log certain.
    pub fn mark(&mut self) -> Result<(), Error> {
        self.append(&Payload { bytes: b"marker".to_vec(), count: 1 })
    }

    pub fn rotate(&mut self) -> Result<(), Error> {
        let prepared = Prepared::create(Arc::clone(&self.storage), SEGMENT_BYTES)?;
        let payload = Payload::closing(&mut self.numbers);
        self.begin(&payload);
        let committed = self.log.rotate(prepared, FORMAT, &payload.bytes, self.time_ms)?;
        assert_eq!(committed.last_lsn(), records_of(&self.history));
        self.promise();
        Ok(())
    }

    /// Publishes a snapshot, from which the present segment, still empty, goes on; and prunes.
    pub fn snapshot_here(&mut self) -> Result<(), Error> {
        self.snapshot(self.log.position().segment)?;
        let reader = LogReader::open(Arc::clone(&self.storage))?.expect("the directory is marked");
        reader.prune(None).map(drop)
    }

    fn snapshot(&mut self, next_segment: SegmentNumber) -> Result<(), Error> {
        let place = self.log.position();
        let (lsn, chain, time_ms) = (place.lsn, place.chain, self.time_ms);
        let header =
            SnapshotHeader { identity: IDENTITY, lsn, chain, next_segment, time_ms, epoch: 1 };
        header.publish(self.storage.as_ref(), &body_of(&self.history)).map(drop)
    }

    pub fn segment(&self) -> SegmentNumber {
        self.log.position().segment
    }

    pub fn log(&mut self) -> &mut Appender {
        &mut self.log
    }

    /// A life: several segments, most with a snapshot at their beginning, marked at its end.
    pub fn live(&mut self, segments: u32, batches: usize) -> Result<(), Error> {
        for segment in 0..segments {
            for _ in 0..batches {
                self.append_any()?;
            }
            self.rotate()?;
            // One segment goes on without a snapshot, one is closed empty.
            if segment % 3 != 1 {
                self.snapshot_here()?;
            }
            if segment % 4 == 2 {
                self.rotate()?;
            }
        }
        for _ in 0..batches / 2 {
            self.append_any()?;
        }
        self.mark()
    }
}
