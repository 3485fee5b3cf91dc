//! The writing end of the log: one batch at a time, each durable when `append` returns.
use std::sync::Arc;

use rewardpool_mutant::{Mutant, is_on};
use sha2::{Digest as _, Sha256};

use crate::batch::{
    Batch, BatchHeader, SECTOR, batch_bytes, content_bytes, payload_bytes_max, seal,
};
use crate::error::Error;
use crate::identity::Identity;
use crate::layout::{SegmentNumber, segment_name};
use crate::reader::Tail;
use crate::segment::{Prepared, SegmentHeader, zero};
use crate::storage::{Storage, StorageFile};

/// Room that is kept in each segment for the batches that close it.
const CLOSING_BYTES: usize = 2 * SECTOR;
/// The leadership epoch of a log that nobody took over.
pub const EPOCH: u32 = 1;

/// Proof that a batch is on the disk. Only a successful sync makes one.
#[derive(Debug)]
pub struct Committed {
    last_lsn: u64,
}

impl Committed {
    /// The last record that is durable.
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn
    }
}

/// Where a log stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The last record; 0 before the first.
    pub lsn: u64,
    /// Checksum of the header of the last batch.
    pub chain: u32,
    /// The segment that is written at present.
    pub segment: SegmentNumber,
}

/// Appends batches to the last segment.
///
/// Invariant: after an error nothing may be appended any more; what reached the disk is known
/// only to the next recovery. The caller stops.
pub struct Appender {
    storage: Arc<dyn Storage>,
    identity: Identity,
    segment: OpenSegment,
    chain: u32,
    last_lsn: u64,
    /// Of the batches that are written. Never falls.
    epoch: u32,
    buffer: Vec<u8>,
}

/// Why a batch of another log is not written here.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It does not go on where this log ends, byte by byte.
    #[error("the logs differ from LSN {lsn} on")]
    Differs {
        /// The first record that differs.
        lsn: u64,
    },
    /// It could not be written.
    #[error(transparent)]
    Log(#[from] Error),
}

struct OpenSegment {
    number: SegmentNumber,
    format: u8,
    salt: u64,
    file: Box<dyn StorageFile>,
    bytes: usize,
    offset: usize,
    sha256: Sha256,
}

impl Appender {
    /// Begins a new log with segment 0.
    pub fn begin(
        storage: Arc<dyn Storage>,
        identity: Identity,
        format: u8,
        prepared: Prepared,
    ) -> Result<Self, Error> {
        let header = SegmentHeader {
            format,
            identity,
            number: SegmentNumber(0),
            epoch: EPOCH,
            bytes: prepared.bytes() as u64,
            salt: SegmentHeader::salt_of(identity, SegmentNumber(0), 1),
            first_lsn: 1,
            previous: 0,
            previous_sha256: [0; 32],
        };
        let segment = OpenSegment::publish(prepared, &header)?;
        let (chain, last_lsn, epoch, buffer) = (0, 0, EPOCH, Vec::new());
        Ok(Self { storage, identity, segment, chain, last_lsn, epoch, buffer })
    }

    /// Begins a log where another one has this segment, to write what that one holds under a new
    /// identity. Number, format and positions stay; the chain goes on from the same value.
    pub fn begin_like(
        storage: Arc<dyn Storage>,
        identity: Identity,
        original: &SegmentHeader,
        prepared: Prepared,
    ) -> Result<Self, Error> {
        let header = SegmentHeader {
            identity,
            bytes: prepared.bytes() as u64,
            salt: SegmentHeader::salt_of(identity, original.number, original.first_lsn),
            ..*original
        };
        let segment = OpenSegment::publish(prepared, &header)?;
        let (chain, last_lsn, epoch) = (header.previous, header.first_lsn - 1, header.epoch);
        Ok(Self { storage, identity, segment, chain, last_lsn, epoch, buffer: Vec::new() })
    }

    /// Publishes a segment of another log, without its batches, as the one that a copy of that log
    /// begins with.
    ///
    /// # Panics
    /// When the file that was prepared has another length.
    pub fn begin_copy(header: &SegmentHeader, prepared: Prepared) -> Result<(), Error> {
        OpenSegment::publish(prepared, header).map(drop)
    }

    /// Goes on at the end of a log that was read.
    ///
    /// After a failed sync the kernel may show bytes that are not on the disk, and a sync that is
    /// tried again succeeds without writing them. So everything that was read from the tail is
    /// written again, with zeros up to the end, before anything builds on it.
    pub fn resume(storage: Arc<dyn Storage>, tail: Tail) -> Result<Self, Error> {
        if let Some((header, image)) = &tail.before {
            rewrite(storage.as_ref(), header, image)?;
        }
        let header = tail.header;
        let file = rewrite(storage.as_ref(), &header, &tail.image)?;
        if let Some(never_begun) = tail.never_begun
            && !is_on(Mutant::NeverBegunKept)
        {
            // It was made for a closing batch that is not there. Once other batches stand in its
            // place, it would contradict them.
            let name = segment_name(never_begun);
            storage.remove(&name).map_err(Error::io("remove", &name))?;
        }
        let name = segment_name(header.number);
        storage.sync_directory().map_err(Error::io("sync the directory of", &name))?;
        let segment = OpenSegment {
            number: header.number,
            format: header.format,
            salt: header.salt,
            file,
            bytes: usize::try_from(header.bytes).expect("the file was read into memory"),
            offset: tail.scanned.offset,
            sha256: tail.scanned.sha256,
        };
        Ok(Self {
            storage,
            identity: header.identity,
            segment,
            chain: tail.scanned.chain,
            last_lsn: tail.scanned.last_lsn,
            epoch: tail.scanned.epoch,
            buffer: Vec::new(),
        })
    }

    /// Proof that all of the log is on the disk, as it is between two batches: each of the ways to get
    /// here ends with a sync.
    pub fn committed(&self) -> Committed {
        Committed { last_lsn: self.last_lsn }
    }

    /// Where the log stands.
    pub fn position(&self) -> Position {
        Position { lsn: self.last_lsn, chain: self.chain, segment: self.segment.number }
    }

    /// The leadership epoch of the batches that are written.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The batches that follow are of a higher epoch.
    pub fn begin_epoch(&mut self, epoch: u32) {
        assert!(epoch > self.epoch, "epochs rise");
        self.epoch = epoch;
    }

    /// The segment that is written at present.
    pub fn segment(&self) -> SegmentNumber {
        self.segment.number
    }

    /// Which log this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Format of the segment's payloads.
    pub fn format(&self) -> u8 {
        self.segment.format
    }

    /// Longest payload that the segment still takes, beside what closes it.
    pub fn payload_room(&self) -> usize {
        payload_bytes_max((self.segment.bytes - self.segment.offset).saturating_sub(CLOSING_BYTES))
    }

    /// Length of a segment that takes such a payload as its first.
    pub const fn segment_bytes_for(payload: usize) -> usize {
        SECTOR + batch_bytes(payload) + CLOSING_BYTES
    }

    /// Bytes of the segment that are used.
    pub fn used_bytes(&self) -> usize {
        self.segment.offset
    }

    /// Writes a batch and syncs it.
    ///
    /// # Panics
    /// When the payload is longer than [`Appender::payload_room`]: the caller makes room first.
    pub fn append(&mut self, payload: &[u8], count: u32, time_ms: u64) -> Result<Committed, Error> {
        assert!(payload.len() <= self.payload_room(), "room was made sure of before");
        self.write(&self.header(count, time_ms), payload)
    }

    /// Whether there is room for the last batch of a clean stop, beside that for a rotation. There is
    /// none after a clean stop behind which the log could not grow: it still ends with that batch.
    pub fn has_room_to_close(&self) -> bool {
        self.segment.bytes - self.segment.offset >= CLOSING_BYTES
    }

    /// Writes the last batch of a clean stop, into the room that is kept for it.
    pub fn close(&mut self, payload: &[u8], time_ms: u64) -> Result<Committed, Error> {
        assert!(batch_bytes(payload.len()) <= SECTOR, "a closing batch takes one sector");
        self.write(&self.header(1, time_ms), payload)
    }

    /// Closes the segment with a batch of one record and goes on in the next one, which is made
    /// visible first: a closed segment always has a successor.
    pub fn rotate(
        &mut self,
        prepared: Prepared,
        format: u8,
        payload: &[u8],
        time_ms: u64,
    ) -> Result<Committed, Error> {
        assert!(batch_bytes(payload.len()) <= SECTOR, "a closing batch takes one sector");
        let closing = BatchHeader { closes: true, ..self.header(1, time_ms) };
        let chain = seal(&closing, payload, &mut self.buffer);
        let mut sha256 = self.segment.sha256.clone();
        sha256.update(&self.buffer[..content_bytes(payload.len())]);
        let (number, first_lsn) = (self.segment.number.next(), self.last_lsn + 2);
        let header = SegmentHeader {
            format,
            identity: self.identity,
            number,
            epoch: self.epoch,
            bytes: prepared.bytes() as u64,
            salt: SegmentHeader::salt_of(self.identity, number, first_lsn),
            first_lsn,
            previous: chain,
            previous_sha256: sha256.finalize().into(),
        };
        let next = OpenSegment::publish(prepared, &header)?;
        let committed = self.write(&closing, payload)?;
        assert!(
            self.chain == chain && self.last_lsn + 1 == first_lsn,
            "what was announced is true"
        );
        self.segment = next;
        Ok(committed)
    }

    /// Writes a batch of the log that this one is a copy of, and syncs it. Afterwards both have the
    /// same bytes up to there. A batch that closes its segment comes with the header of the next one,
    /// and with a file for it.
    ///
    /// # Errors
    /// [`CopyError::Differs`] when it would give other bytes than there; nothing is written then.
    pub fn copy(
        &mut self,
        batch: &Batch<'_>,
        next: Option<(Prepared, &SegmentHeader)>,
    ) -> Result<Committed, CopyError> {
        let differs = CopyError::Differs { lsn: batch.first_lsn };
        let header = BatchHeader {
            epoch: batch.epoch,
            format: batch.format,
            closes: batch.closes,
            ..self.header(batch.count, batch.time_ms)
        };
        let fits = self.segment.bytes - self.segment.offset >= batch_bytes(batch.payload.len());
        let follows = batch.first_lsn == header.first_lsn
            && batch.count > 0
            && !batch.payload.is_empty()
            && batch.epoch >= self.epoch
            && batch.closes == next.is_some();
        if !fits || !follows || seal(&header, batch.payload, &mut self.buffer) != batch.chain {
            return Err(differs);
        }
        let next = match next {
            Some((prepared, next)) => {
                let mut sha256 = self.segment.sha256.clone();
                sha256.update(&self.buffer[..content_bytes(batch.payload.len())]);
                let number = self.segment.number.next();
                let first_lsn = batch.first_lsn + u64::from(batch.count);
                let expected = SegmentHeader {
                    identity: self.identity,
                    number,
                    bytes: prepared.bytes() as u64,
                    salt: SegmentHeader::salt_of(self.identity, number, first_lsn),
                    first_lsn,
                    previous: batch.chain,
                    previous_sha256: sha256.finalize().into(),
                    ..*next
                };
                if expected != *next || next.epoch < batch.epoch {
                    return Err(differs);
                }
                Some(OpenSegment::publish(prepared, next)?)
            }
            None => None,
        };
        let committed = self.write(&header, batch.payload)?;
        self.epoch = batch.epoch;
        if let Some(next) = next {
            self.segment = next;
        }
        Ok(committed)
    }

    fn write(&mut self, header: &BatchHeader, payload: &[u8]) -> Result<Committed, Error> {
        let chain = seal(header, payload, &mut self.buffer);
        let segment = &mut self.segment;
        assert!(segment.offset + self.buffer.len() <= segment.bytes, "the batch fits its segment");
        let name = || segment_name(segment.number);
        let written = segment.file.write_at(segment.offset as u64, &self.buffer);
        written.map_err(|source| Error::io("write", &name())(source))?;
        let mut synced = segment.file.sync();
        if synced.is_err() && is_on(Mutant::RetrySync) {
            synced = segment.file.sync();
        }
        synced.map_err(|source| Error::io("sync", &name())(source))?;
        segment.sha256.update(&self.buffer[..content_bytes(payload.len())]);
        segment.offset += self.buffer.len();
        self.chain = chain;
        self.last_lsn += u64::from(header.count);
        Ok(Committed { last_lsn: self.last_lsn })
    }

    fn header(&self, count: u32, time_ms: u64) -> BatchHeader {
        BatchHeader {
            first_lsn: self.last_lsn + 1,
            count,
            salt: self.segment.salt,
            previous: self.chain,
            durable_lsn: self.last_lsn,
            time_ms,
            epoch: self.epoch,
            format: self.segment.format,
            closes: false,
        }
    }

    /// The directory that is written to.
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }
}

impl OpenSegment {
    fn publish(prepared: Prepared, header: &SegmentHeader) -> Result<Self, Error> {
        let bytes = prepared.bytes();
        let file = prepared.publish(header)?;
        Ok(Self {
            number: header.number,
            format: header.format,
            salt: header.salt,
            file,
            bytes,
            offset: SECTOR,
            sha256: Sha256::new(),
        })
    }
}

/// Writes a segment's batches again, and zeros behind them, and syncs. Its header is left alone.
fn rewrite(
    storage: &dyn Storage,
    header: &SegmentHeader,
    image: &[u8],
) -> Result<Box<dyn StorageFile>, Error> {
    let name = segment_name(header.number);
    let mut file = storage.open(&name).map_err(Error::io("open", &name))?;
    let bytes = usize::try_from(header.bytes).expect("the file was read into memory");
    if is_on(Mutant::NoRewrite) {
        return Ok(file);
    }
    file.write_at(SECTOR as u64, &image[SECTOR..]).map_err(Error::io("write", &name))?;
    if !is_on(Mutant::NoTailRepair) {
        zero(file.as_mut(), image.len(), bytes).map_err(Error::io("write", &name))?;
    }
    file.sync().map_err(Error::io("sync", &name))?;
    Ok(file)
}
