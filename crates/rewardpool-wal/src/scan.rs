//! Reads the batches of one segment in order and decides where it ends: cleanly, torn by a crash,
//! or damaged. Only a torn end may be cut.
//!
//! The decision rests on three facts: a segment was full of zeros before its first batch; a sector
//! is written wholly or not at all and never twice; batch n + 1 is written only after batch n is
//! synced. So
//!
//! - a header of a later batch behind the place where a batch is missing proves damage;
//! - a written header sector without an intact header, or an intact header whose payload sectors
//!   were all written but do not match, is damage;
//! - what remains is a batch of which some sector never reached the disk: torn, never acknowledged.
use rewardpool_mutant::{Mutant, is_on};
use sha2::{Digest as _, Sha256};

use crate::batch::{Batch, HEADER_BYTES, SECTOR, SealedHeader, batch_bytes, content_bytes};
use crate::error::{Error, Fault};
use crate::layout::segment_name;
use crate::segment::SegmentHeader;

/// An unfinished batch at the end of the log, which was never acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Torn {
    /// Where it begins in its segment.
    pub offset: u64,
    /// Bytes from there to the last one that is not zero.
    pub bytes: u64,
}

/// What a segment holds.
#[derive(Clone)]
pub(crate) struct Scanned {
    /// Where the next batch would begin.
    pub(crate) offset: usize,
    /// LSN of the last record; one below the first of the segment when it is empty.
    pub(crate) last_lsn: u64,
    /// Checksum of the last batch's header, the next link of the chain.
    pub(crate) chain: u32,
    /// Leadership epoch of the last batch, or of the segment when it is empty.
    pub(crate) epoch: u32,
    /// Highest LSN that a batch knew to be durable.
    pub(crate) durable_lsn: u64,
    pub(crate) batches: u64,
    pub(crate) records: u64,
    /// Whether the last batch closes the segment: then the next one exists.
    pub(crate) is_closed: bool,
    /// Running SHA-256 of all batches.
    pub(crate) sha256: Sha256,
    pub(crate) torn: Option<Torn>,
}

/// Reads batch after batch. `bytes` is the whole file. With `stop`, the segment is known to end
/// after that LSN and nothing behind it is looked at.
pub(crate) fn scan<E: From<Error>>(
    header: &SegmentHeader,
    bytes: &[u8],
    stop: Option<u64>,
    visit: &mut impl FnMut(&SegmentHeader, &Batch<'_>) -> Result<(), E>,
) -> Result<Scanned, E> {
    assert!(bytes.len() >= SECTOR && header.bytes == bytes.len() as u64, "the header was checked");
    let mut scanned = Scanned {
        offset: SECTOR,
        last_lsn: header.first_lsn - 1,
        chain: header.previous,
        epoch: header.epoch,
        durable_lsn: 0,
        batches: 0,
        records: 0,
        is_closed: false,
        sha256: Sha256::new(),
        torn: None,
    };
    while scanned.offset < bytes.len() && stop != Some(scanned.last_lsn) {
        let Some(sealed) = next_batch(header, bytes, &scanned) else {
            scanned.torn = judge_end(header, bytes, &scanned)?;
            break;
        };
        let at = &bytes[scanned.offset..];
        let payload = sealed.payload(at).expect("the batch was checked");
        let batch = Batch {
            first_lsn: sealed.header.first_lsn,
            count: sealed.header.count,
            time_ms: sealed.header.time_ms,
            format: sealed.header.format,
            payload,
            payload_checksum: sealed.payload_checksum,
            epoch: sealed.header.epoch,
            closes: sealed.header.closes,
            chain: sealed.checksum,
            offset: scanned.offset,
            payload_offset: scanned.offset + HEADER_BYTES,
        };
        visit(header, &batch)?;
        scanned.sha256.update(&at[..content_bytes(payload.len())]);
        scanned.offset += batch_bytes(payload.len());
        scanned.last_lsn += u64::from(batch.count);
        scanned.chain = sealed.checksum;
        scanned.epoch = sealed.header.epoch;
        scanned.durable_lsn = scanned.durable_lsn.max(sealed.header.durable_lsn);
        scanned.batches += 1;
        scanned.records += u64::from(batch.count);
        scanned.is_closed = sealed.header.closes;
    }
    Ok(scanned)
}

/// The batch that continues what was scanned, if it is there and intact.
fn next_batch(header: &SegmentHeader, bytes: &[u8], scanned: &Scanned) -> Option<SealedHeader> {
    let at = &bytes[scanned.offset..];
    let sealed = SealedHeader::read(at)?;
    (continues(header, &sealed, (scanned.last_lsn, scanned.chain)) && sealed.payload(at).is_some())
        .then_some(sealed)
}

/// Whether a batch goes on where the log is: behind this LSN, and this checksum of a header.
pub(crate) fn continues(
    header: &SegmentHeader,
    sealed: &SealedHeader,
    (last_lsn, chain): (u64, u32),
) -> bool {
    let batch = &sealed.header;
    let is_next = batch.first_lsn == last_lsn + 1 && batch.previous == chain;
    (batch.salt == header.salt || is_on(Mutant::SaltIgnored))
        && (is_next || is_on(Mutant::PositionIgnored))
        && batch.count > 0
        && batch.first_lsn.checked_add(u64::from(batch.count)).is_some()
        && batch.format == header.format
        && batch.epoch >= header.epoch
        && batch.durable_lsn < batch.first_lsn
}

/// Decides what it means that no batch continues here.
fn judge_end(
    header: &SegmentHeader,
    bytes: &[u8],
    scanned: &Scanned,
) -> Result<Option<Torn>, Error> {
    let offset = scanned.offset;
    let name = segment_name(header.number);
    let corrupt = |fault| Err(Error::corrupt(&name, offset, fault));
    let rest = &bytes[offset..];
    let Some(last) = rest.iter().rposition(|&byte| byte != 0) else {
        return Ok(None);
    };
    let torn = Torn { offset: offset as u64, bytes: last as u64 + 1 };
    let is_zero_sector = is_zero(&rest[..SECTOR.min(rest.len())]);
    if is_on(Mutant::DamageIsEnd) || (is_zero_sector && is_on(Mutant::ZerosAreEnd)) {
        return Ok(Some(torn));
    }
    for sector in rest.chunks(SECTOR).skip(1) {
        let later = SealedHeader::read(sector).map(|sealed| sealed.header);
        if later.is_some_and(|b| b.salt == header.salt && b.first_lsn > scanned.last_lsn) {
            return corrupt(Fault::Hole);
        }
    }
    if is_zero_sector {
        return Ok(Some(torn));
    }
    let Some(sealed) = SealedHeader::read(rest) else {
        return corrupt(Fault::HeaderChecksum);
    };
    if !continues(header, &sealed, (scanned.last_lsn, scanned.chain)) {
        return corrupt(Fault::Header("first_lsn"));
    }
    match rest.get(..batch_bytes(sealed.payload_bytes)) {
        None => corrupt(Fault::Header("length")),
        Some(batch) if batch.chunks(SECTOR).any(is_zero) => Ok(Some(torn)),
        Some(_) => corrupt(Fault::PayloadChecksum),
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == 0)
}
