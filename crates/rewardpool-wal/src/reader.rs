//! Reads a log back: which files there are, the newest good snapshot, and every batch after it.
//! Never changes anything, so the same code serves recovery, verification and compaction.
use std::sync::Arc;

use rewardpool_mutant::{Mutant, is_on};
use sha2::Digest as _;

use crate::appender::Position;
use crate::batch::{Batch, SECTOR};
use crate::error::{Error, Fault};
use crate::identity::Identity;
use crate::layout::{
    IDENTITY, SegmentNumber, parse_segment, parse_snapshot, segment_name, snapshot_name,
};
use crate::scan::{Scanned, Torn, scan};
use crate::segment::SegmentHeader;
use crate::snapshot::{SnapshotFile, SnapshotHeader};
use crate::storage::Storage;
use crate::survey::successor_missing;

/// A directory that holds a log.
pub struct LogReader {
    storage: Arc<dyn Storage>,
    identity: Identity,
    /// LSNs of the snapshots, rising.
    snapshots: Vec<u64>,
    /// Numbers of the segments, rising.
    segments: Vec<SegmentNumber>,
}

/// What was read after a snapshot.
pub struct Replayed {
    /// Where the log ends.
    pub tail: Tail,
    /// Segments that were read.
    pub segments: u32,
    /// How far each of them goes, in order.
    pub spans: Vec<SegmentSpan>,
    /// Records that were read.
    pub records: u64,
    /// The unfinished batch at the end, if there is one.
    pub torn: Option<Torn>,
}

/// A segment, and how much of it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentSpan {
    /// Its number.
    pub number: SegmentNumber,
    /// LSN of its first record.
    pub first_lsn: u64,
    /// Length of its file.
    pub bytes: u64,
    /// Bytes up to the end of its last batch.
    pub used_bytes: u64,
}

/// The end of a log: the last segment that was begun, and how far it goes.
pub struct Tail {
    pub(crate) header: SegmentHeader,
    pub(crate) scanned: Scanned,
    /// The last segment's bytes up to its end.
    pub(crate) image: Vec<u8>,
    /// The segment before and its bytes, when the last one has no batch yet: its closing batch
    /// may be in memory only.
    pub(crate) before: Option<(SegmentHeader, Vec<u8>)>,
    /// The segment behind the last one, when it was made but never begun. It promises a position
    /// that the log may not reach in this way any more.
    pub(crate) never_begun: Option<SegmentNumber>,
}

impl Tail {
    /// LSN of the last record; 0 when there is none.
    pub fn last_lsn(&self) -> u64 {
        self.scanned.last_lsn
    }

    /// Format of its payloads, by the caller's numbers.
    pub fn format(&self) -> u8 {
        self.header.format
    }

    /// Checksum of the last batch's header.
    pub fn chain(&self) -> u32 {
        self.scanned.chain
    }

    /// Leadership epoch of the last batch.
    pub fn epoch(&self) -> u32 {
        self.scanned.epoch
    }

    /// The header of the last segment that was begun.
    pub fn segment_header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The last segment that was begun.
    pub fn segment(&self) -> SegmentNumber {
        self.header.number
    }

    /// Where the log stands.
    pub fn position(&self) -> Position {
        Position { lsn: self.last_lsn(), chain: self.chain(), segment: self.segment() }
    }

    /// Where its last batch ends in it.
    pub fn offset(&self) -> usize {
        self.scanned.offset
    }
}

impl LogReader {
    /// Looks at the directory; `None` when it holds no log, or only the beginnings of one in which
    /// nothing was ever acknowledged.
    ///
    /// # Errors
    /// When there are files of a log, but not the one that marks the directory.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Option<Self>, Error> {
        let names = storage.list().map_err(Error::io("list the directory of", IDENTITY))?;
        let mut snapshots: Vec<u64> = names.iter().filter_map(|n| parse_snapshot(n)).collect();
        let mut segments: Vec<_> = names.iter().filter_map(|n| parse_segment(n)).collect();
        snapshots.sort_unstable();
        segments.sort_unstable();
        if names.iter().any(|name| name == IDENTITY) {
            let identity = Identity::load(storage.as_ref())?;
            return Ok(Some(Self { storage, identity, snapshots, segments }));
        }
        let began = snapshots.iter().any(|&lsn| lsn != 0)
            || names.iter().any(|name| name.starts_with("secret."))
            || holds_batches(storage.as_ref(), &segments)?;
        if began && !is_on(Mutant::SetUpAgain) {
            let because = "files of a log exist beside it";
            return Err(Error::Missing { file: IDENTITY.to_owned(), because });
        }
        Ok(None)
    }

    /// Which log this is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// LSNs of the snapshots, rising.
    pub fn snapshots(&self) -> &[u64] {
        &self.snapshots
    }

    /// Numbers of the segments, rising.
    pub fn segments(&self) -> &[SegmentNumber] {
        &self.segments
    }

    /// Reads one snapshot and verifies it.
    pub fn load_snapshot(&self, lsn: u64) -> Result<SnapshotFile, Error> {
        SnapshotFile::load(self.storage.as_ref(), lsn, self.identity)
    }

    /// The newest snapshot that is good, and what is wrong with each newer one.
    ///
    /// # Errors
    /// When there is no snapshot, or when the oldest is damaged too.
    pub fn newest_snapshot(&self) -> Result<(SnapshotFile, Vec<Error>), Error> {
        let mut damaged = Vec::new();
        for &lsn in self.snapshots.iter().rev() {
            match self.load_snapshot(lsn) {
                Ok(snapshot) => return Ok((snapshot, damaged)),
                // A snapshot of another version is no damage: this program is too old to go on.
                Err(error @ Error::Corrupt { .. }) => damaged.push(error),
                Err(error) => return Err(error),
            }
        }
        let because = "a log always has a snapshot to start from";
        Err(damaged
            .pop()
            .unwrap_or_else(|| Error::Missing { file: "snapshot".to_owned(), because }))
    }

    /// Reads the header of a segment.
    pub fn segment_header(&self, number: SegmentNumber) -> Result<SegmentHeader, Error> {
        self.read_segment(number, &mut Vec::new())
    }

    /// Reads every batch after a snapshot, in order: to the end of the log, or to the end of the
    /// segment `last`, which must have a successor.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Missing`] unless the log is complete and intact up to an end
    /// that is clean or torn; or the error of `visit`.
    pub fn replay<E: From<Error>>(
        &self,
        from: &SnapshotHeader,
        last: Option<SegmentNumber>,
        visit: &mut impl FnMut(&SegmentHeader, &Batch<'_>) -> Result<(), E>,
    ) -> Result<Replayed, E> {
        let numbers = self.numbers_from(from.next_segment, last)?;
        let mut bytes = Vec::new();
        let mut next_bytes = Vec::new();
        let mut header = self.read_segment(numbers[0], &mut bytes)?;
        if header.first_lsn != from.lsn + 1 || header.previous != from.chain {
            return Err(discontinuous(&header).into());
        }
        let (mut records, mut durable_lsn) = (0, from.lsn);
        let (mut before, mut spans) = (None, Vec::with_capacity(numbers.len()));
        let successors = numbers[1..].iter().copied().map(Some).chain([None]);
        for (segments, next) in (1..).zip(successors) {
            let next_header = match next {
                Some(next) => Some(self.read_segment(next, &mut next_bytes)?),
                None => None,
            };
            // An empty last segment was made before its predecessor was closed, so the predecessor
            // may still end in the middle of a batch.
            let next_is_empty =
                next.is_some() && next == numbers.last().copied() && is_untouched(&next_bytes);
            let stop = next_header.filter(|_| !next_is_empty).map(|next| next.first_lsn - 1);
            let scanned = scan(&header, &bytes, stop, visit)?;
            if scanned.is_closed && next.is_none() && !is_on(Mutant::ClosingIgnored) {
                return Err(successor_missing(header.number).into());
            }
            records += scanned.records;
            durable_lsn = durable_lsn.max(scanned.durable_lsn);
            spans.push(SegmentSpan {
                number: header.number,
                first_lsn: header.first_lsn,
                bytes: header.bytes,
                used_bytes: scanned.offset as u64,
            });
            let never_begun = match next_header {
                Some(next) if !is_continued(&scanned, &header, &next, next_is_empty)? => {
                    Some(next.number)
                }
                _ => None,
            };
            let is_last = never_begun.is_some() || next.is_none() || last == Some(header.number);
            if is_last {
                let torn = scanned.torn;
                check_end(self, &header, &scanned, durable_lsn, last)?;
                bytes.truncate(scanned.offset);
                let tail = Tail { header, scanned, image: bytes, before, never_begun };
                return Ok(Replayed { tail, segments, spans, records, torn });
            }
            before = next_is_empty.then(|| (header, bytes[..scanned.offset].to_vec()));
            std::mem::swap(&mut bytes, &mut next_bytes);
            header = next_header.expect("there is a next segment");
        }
        unreachable!("the last segment ends the loop")
    }

    /// The numbers of the segments to read, without a gap.
    fn numbers_from(
        &self,
        first: SegmentNumber,
        last: Option<SegmentNumber>,
    ) -> Result<Vec<SegmentNumber>, Error> {
        let end = last.map(SegmentNumber::next);
        let wanted = |n: &SegmentNumber| *n >= first && end.is_none_or(|end| *n <= end);
        let numbers: Vec<_> = self.segments.iter().copied().filter(wanted).collect();
        let missing = |number, because| Error::Missing { file: segment_name(number), because };
        if numbers.first() != Some(&first) {
            return Err(missing(first, "a snapshot names it"));
        }
        for pair in numbers.windows(2) {
            if pair[1] != pair[0].next() {
                return Err(missing(pair[0].next(), "later segments exist"));
            }
        }
        Ok(numbers)
    }

    pub(crate) fn read_segment(
        &self,
        number: SegmentNumber,
        into: &mut Vec<u8>,
    ) -> Result<SegmentHeader, Error> {
        let name = segment_name(number);
        self.storage.read(&name, into).map_err(Error::io("read", &name))?;
        SegmentHeader::decode(into, into.len() as u64, number, self.identity)
    }
}

/// Whether a segment has a successor that goes on exactly where it ends. `false` when the
/// successor was made but never begun, because the closing batch did not get to the disk.
pub(crate) fn is_continued(
    scanned: &Scanned,
    header: &SegmentHeader,
    next: &SegmentHeader,
    next_is_empty: bool,
) -> Result<bool, Error> {
    if scanned.last_lsn + 1 == next.first_lsn && scanned.chain == next.previous {
        let sha256: [u8; 32] = scanned.sha256.clone().finalize().into();
        if sha256 != next.previous_sha256 {
            let name = segment_name(header.number);
            return Err(Error::corrupt(&name, SECTOR, Fault::SegmentHash));
        }
        return Ok(true);
    }
    // The closing batch is one record.
    if next_is_empty && scanned.last_lsn + 2 == next.first_lsn {
        return Ok(false);
    }
    if scanned.last_lsn + 1 < next.first_lsn {
        let fault = Fault::EndsEarly { end: scanned.last_lsn, durable: next.first_lsn - 1 };
        return Err(Error::corrupt(&segment_name(header.number), scanned.offset, fault));
    }
    Err(discontinuous(next))
}

pub(crate) fn check_end(
    reader: &LogReader,
    header: &SegmentHeader,
    scanned: &Scanned,
    durable_lsn: u64,
    last: Option<SegmentNumber>,
) -> Result<(), Error> {
    // Even a damaged snapshot tells by its name what was durable when it was made.
    let newest = reader.snapshots.last().copied().unwrap_or(0);
    let durable = if last.is_none() { durable_lsn.max(newest) } else { durable_lsn };
    if scanned.last_lsn < durable {
        let fault = Fault::EndsEarly { end: scanned.last_lsn, durable };
        return Err(Error::corrupt(&segment_name(header.number), scanned.offset, fault));
    }
    Ok(())
}

fn discontinuous(header: &SegmentHeader) -> Error {
    Error::corrupt(&segment_name(header.number), 56, Fault::Discontinuous)
}

/// Whether nothing was ever written behind the header.
pub(crate) fn is_untouched(bytes: &[u8]) -> bool {
    bytes[SECTOR..].iter().all(|&byte| byte == 0)
}

fn holds_batches(storage: &dyn Storage, segments: &[SegmentNumber]) -> Result<bool, Error> {
    let mut bytes = Vec::new();
    for &number in segments {
        let name = segment_name(number);
        storage.read(&name, &mut bytes).map_err(Error::io("read", &name))?;
        if number != SegmentNumber(0) || bytes.len() < SECTOR || !is_untouched(&bytes) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files that are not needed once this snapshot is the oldest: those from before it.
fn removable(names: &[String], oldest: &SnapshotHeader) -> Vec<String> {
    let stale = |name: &&String| {
        parse_segment(name).is_some_and(|number| number < oldest.next_segment)
            || parse_snapshot(name).is_some_and(|lsn| lsn < oldest.lsn)
    };
    names.iter().filter(stale).cloned().collect()
}

impl LogReader {
    /// Removes what the newest two good snapshots make superfluous. Durable when it returns; gives
    /// the names of the removed files. A damaged snapshot counts for nothing, and is removed only
    /// when it is older than the two.
    ///
    /// With `keep`, that segment and all after it stay, and a snapshot from which they go on.
    pub fn prune(&self, keep: Option<SegmentNumber>) -> Result<Vec<String>, Error> {
        let Some(second) = self.second_good_snapshot()? else { return Ok(Vec::new()) };
        let oldest = match keep.filter(|keep| *keep < second.next_segment) {
            Some(keep) => self.good_snapshot_before(keep)?,
            None => Some(second),
        };
        let Some(oldest) = oldest else { return Ok(Vec::new()) };
        let names = self.storage.list().map_err(Error::io("list the directory of", IDENTITY))?;
        let removed = removable(&names, &oldest);
        for name in &removed {
            self.storage.remove(name).map_err(Error::io("remove", name))?;
        }
        if !removed.is_empty() {
            let name = snapshot_name(oldest.lsn);
            self.storage.sync_directory().map_err(Error::io("sync the directory of", &name))?;
        }
        Ok(removed)
    }

    /// The newest good snapshot from which the log goes on in this segment or an earlier one.
    fn good_snapshot_before(
        &self,
        segment: SegmentNumber,
    ) -> Result<Option<SnapshotHeader>, Error> {
        for &lsn in self.snapshots.iter().rev() {
            match self.load_snapshot(lsn) {
                Ok(snapshot) if snapshot.header.next_segment <= segment => {
                    return Ok(Some(snapshot.header));
                }
                Ok(_) => {}
                Err(error) if error.is_corruption() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The newest but one of the snapshots that are good.
    fn second_good_snapshot(&self) -> Result<Option<SnapshotHeader>, Error> {
        let mut good = 0;
        for &lsn in self.snapshots.iter().rev() {
            match self.load_snapshot(lsn) {
                Ok(snapshot) if good == 1 => return Ok(Some(snapshot.header)),
                Ok(_) => good += 1,
                Err(error) if error.is_corruption() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
