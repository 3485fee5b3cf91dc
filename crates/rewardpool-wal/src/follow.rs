//! Reads the batches of a log while it is written, in order and without a gap, from any position.
//!
//! The reader takes nothing from the writer but one number: the last LSN that is durable. A batch up
//! to there was written and synced, so it must be intact; what lies behind may be half written and is
//! not looked at. What was written a moment ago comes from the page cache, what is older from the
//! disk, so a reader that falls behind costs the writer nothing and needs no buffer of its own.
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::batch::{Batch, HEADER_BYTES, SECTOR, SealedHeader, batch_bytes};
use crate::error::{Error, Fault};
use crate::identity::Identity;
use crate::layout::{SegmentNumber, parse_segment, segment_name};
use crate::segment::SegmentHeader;

/// Bytes that are read at once, unless a batch is longer.
const READ_BYTES: usize = 256 * 1024;

/// Where a log can be followed from, and why not from elsewhere.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The records were removed, because snapshots cover them.
    #[error("LSN {wanted} is gone, the log begins at LSN {oldest}")]
    Gone {
        /// The position that was asked for.
        wanted: u64,
        /// The first record that is still there.
        oldest: u64,
    },
    /// The log is unreadable or damaged.
    #[error(transparent)]
    Log(#[from] Error),
}

/// A place in a log from which batches are read.
pub struct LogFollower {
    directory: PathBuf,
    identity: Identity,
    header: SegmentHeader,
    file: File,
    /// Where the next batch begins in the segment.
    offset: usize,
    /// LSN of the last record that was read or skipped.
    last_lsn: u64,
    /// Checksum of the header of the batch before.
    chain: u32,
    is_closed: bool,
    /// Bytes of the segment from `buffered_at` on.
    buffer: Vec<u8>,
    buffered_at: usize,
}

impl LogFollower {
    /// Begins with the segment that holds this LSN, or that will hold it. The batches of that segment
    /// before it come first.
    ///
    /// # Errors
    /// [`FollowError::Gone`] when the segment that held it was removed.
    pub fn open(directory: &Path, identity: Identity, from_lsn: u64) -> Result<Self, FollowError> {
        let mut oldest = None;
        for &number in segment_numbers(directory)?.iter().rev() {
            // Removed since the directory was listed: so were all before it.
            let Some((header, file)) = open_segment(directory, identity, number)? else { break };
            if header.first_lsn <= from_lsn {
                return Ok(Self {
                    directory: directory.to_owned(),
                    identity,
                    offset: SECTOR,
                    last_lsn: header.first_lsn - 1,
                    chain: header.previous,
                    header,
                    file,
                    is_closed: false,
                    buffer: Vec::new(),
                    buffered_at: 0,
                });
            }
            oldest = Some(header.first_lsn);
        }
        if let Some(oldest) = oldest {
            return Err(FollowError::Gone { wanted: from_lsn, oldest });
        }
        let because = "a log has a segment";
        Err(Error::Missing { file: segment_name(SegmentNumber(0)), because }.into())
    }

    /// LSN of the last record that was read.
    pub fn last_lsn(&self) -> u64 {
        self.last_lsn
    }

    /// The segment that is read at present. It must not be removed.
    pub fn segment(&self) -> SegmentNumber {
        self.header.number
    }

    /// Header of the segment of the last batch.
    pub fn segment_header(&self) -> &SegmentHeader {
        &self.header
    }

    /// Header of the segment behind the one of the last batch, which was closed by that.
    ///
    /// # Errors
    /// When it cannot be read, or was removed, which nobody does before it was read.
    pub fn next_segment_header(&self) -> Result<SegmentHeader, Error> {
        let number = self.header.number.next();
        let because = "a closed segment has a successor";
        open_segment(&self.directory, self.identity, number)?
            .map(|(header, _)| header)
            .ok_or_else(|| Error::Missing { file: segment_name(number), because })
    }

    /// The next batch, unless it reaches beyond `durable_lsn`, which is the last record that the
    /// writer has synced.
    ///
    /// # Errors
    /// [`FollowError::Gone`] when the next segment was removed before it was read; otherwise what is
    /// durable is not there.
    pub fn next(&mut self, durable_lsn: u64) -> Result<Option<Batch<'_>>, FollowError> {
        let Some(sealed) = self.peek(durable_lsn)? else { return Ok(None) };
        self.fill(batch_bytes(sealed.payload_bytes))?;
        let (offset, start) = (self.offset, self.offset - self.buffered_at + HEADER_BYTES);
        if sealed.payload(&self.buffer[start - HEADER_BYTES..]).is_none() {
            let name = segment_name(self.header.number);
            return Err(Error::corrupt(&name, offset, Fault::PayloadChecksum).into());
        }
        self.advance(&sealed);
        let payload = &self.buffer[start..start + sealed.payload_bytes];
        Ok(Some(Batch {
            first_lsn: sealed.header.first_lsn,
            count: sealed.header.count,
            time_ms: sealed.header.time_ms,
            format: sealed.header.format,
            payload,
            payload_checksum: sealed.payload_checksum,
            epoch: sealed.header.epoch,
            closes: sealed.header.closes,
            chain: sealed.checksum,
            offset,
            payload_offset: offset + HEADER_BYTES,
        }))
    }

    /// Passes over the next batch if it ends before this LSN; whether it did.
    ///
    /// # Errors
    /// As [`LogFollower::next`].
    pub fn skip_before(&mut self, lsn: u64, durable_lsn: u64) -> Result<bool, FollowError> {
        if self.last_lsn + 1 >= lsn {
            return Ok(false);
        }
        let sealed = self.peek(durable_lsn)?;
        let skipped = sealed.filter(|sealed| self.end_of(sealed) < lsn);
        if let Some(sealed) = &skipped {
            self.advance(sealed);
        }
        Ok(skipped.is_some())
    }

    /// The header of the next batch, if that is durable.
    fn peek(&mut self, durable_lsn: u64) -> Result<Option<SealedHeader>, FollowError> {
        if self.last_lsn >= durable_lsn {
            return Ok(None);
        }
        if self.is_closed {
            self.enter_next_segment()?;
        }
        let sealed = self.read_header()?;
        Ok((self.end_of(&sealed) <= durable_lsn).then_some(sealed))
    }

    fn end_of(&self, sealed: &SealedHeader) -> u64 {
        self.last_lsn.saturating_add(u64::from(sealed.header.count))
    }

    fn advance(&mut self, sealed: &SealedHeader) {
        self.last_lsn = self.end_of(sealed);
        self.offset += batch_bytes(sealed.payload_bytes);
        self.chain = sealed.checksum;
        self.is_closed = sealed.header.closes;
    }

    /// The header of the next batch, which is durable. What was buffered before it was written is
    /// read again.
    fn read_header(&mut self) -> Result<SealedHeader, Error> {
        for is_fresh in [false, true] {
            if is_fresh {
                self.buffer.clear();
            }
            self.fill(SECTOR)?;
            let at = &self.buffer[self.offset - self.buffered_at..];
            let sealed = SealedHeader::read(at).filter(|sealed| self.continues(sealed));
            // The rest of the batch may have been buffered before it was written, too.
            let is_whole = |sealed: &SealedHeader| {
                at.len() < batch_bytes(sealed.payload_bytes) || sealed.payload(at).is_some()
            };
            let fits = |sealed: &SealedHeader| {
                self.offset + batch_bytes(sealed.payload_bytes) <= self.segment_bytes()
            };
            if let Some(sealed) = sealed.filter(|s| fits(s) && (is_fresh || is_whole(s))) {
                return Ok(sealed);
            }
        }
        let name = segment_name(self.header.number);
        Err(Error::corrupt(&name, self.offset, Fault::HeaderChecksum))
    }

    fn continues(&self, sealed: &SealedHeader) -> bool {
        let batch = &sealed.header;
        batch.salt == self.header.salt
            && batch.first_lsn == self.last_lsn + 1
            && batch.previous == self.chain
            && batch.count > 0
            && batch.format == self.header.format
            && batch.epoch >= self.header.epoch
    }

    /// Makes sure that so many bytes from the offset on are in the buffer.
    fn fill(&mut self, bytes: usize) -> Result<(), Error> {
        let end = self.offset + bytes;
        if self.offset >= self.buffered_at && end <= self.buffered_at + self.buffer.len() {
            return Ok(());
        }
        let name = || segment_name(self.header.number);
        let left = self.segment_bytes().saturating_sub(self.offset);
        if left < bytes {
            return Err(Error::corrupt(&name(), self.offset, Fault::Hole));
        }
        self.buffer.clear();
        self.buffer.resize(left.min(bytes.max(READ_BYTES)), 0);
        self.buffered_at = self.offset;
        let read = self.file.read_exact_at(&mut self.buffer, self.offset as u64);
        read.map_err(Error::io("read", &name()))
    }

    fn segment_bytes(&self) -> usize {
        usize::try_from(self.header.bytes).expect("a segment fits the address space")
    }

    fn enter_next_segment(&mut self) -> Result<(), FollowError> {
        let number = self.header.number.next();
        let Some((header, file)) = open_segment(&self.directory, self.identity, number)? else {
            // It was removed, and what is left begins later.
            let again = Self::open(&self.directory, self.identity, self.last_lsn + 1)?;
            let (wanted, oldest) = (self.last_lsn + 1, again.header.first_lsn);
            return Err(FollowError::Gone { wanted, oldest });
        };
        if header.first_lsn != self.last_lsn + 1 || header.previous != self.chain {
            return Err(Error::corrupt(&segment_name(number), 56, Fault::Discontinuous).into());
        }
        self.header = header;
        self.file = file;
        self.offset = SECTOR;
        self.is_closed = false;
        self.buffer.clear();
        Ok(())
    }
}

fn segment_numbers(directory: &Path) -> Result<Vec<SegmentNumber>, Error> {
    let failed = |source| Error::io("list the directory of", "wal.*")(source);
    let mut numbers = Vec::new();
    for entry in directory.read_dir().map_err(failed)? {
        let entry = entry.map_err(Error::io("list the directory of", "wal.*"))?;
        numbers.extend(entry.file_name().to_str().and_then(parse_segment));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// A segment and its header; `None` when there is no such file.
fn open_segment(
    directory: &Path,
    identity: Identity,
    number: SegmentNumber,
) -> Result<Option<(SegmentHeader, File)>, Error> {
    let name = segment_name(number);
    let file = match File::open(directory.join(&name)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", &name)(error)),
    };
    let bytes = file.metadata().map_err(Error::io("read", &name))?.len();
    let mut sector = [0; SECTOR];
    file.read_exact_at(&mut sector, 0).map_err(Error::io("read", &name))?;
    Ok(Some((SegmentHeader::decode(&sector, bytes, number, identity)?, file)))
}
