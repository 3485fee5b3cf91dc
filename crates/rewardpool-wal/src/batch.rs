//! The frame around the records of one group commit: one batch, one write, one sync.
//!
//! A batch begins on a sector boundary, so a sector that holds acknowledged bytes is never written
//! again, and the header, which lies in one sector, is on the disk wholly or not at all.
//!
//! Invariant: no sector of a written batch is all zeros, because segments are zero-filled before
//! use and recovery takes an all-zero sector as "never written". The header's magic, the payload
//! (the caller's formats never write 512 zeros in a row) and the trailer keep it so.
use crc32c::crc32c;
use rewardpool_mutant::{Mutant, is_on};

/// Bytes that a disk writes wholly or not at all.
pub const SECTOR: usize = 512;
/// Bytes of a batch's header.
pub(crate) const HEADER_BYTES: usize = 64;
/// A byte that is not zero, behind the payload.
const TRAILER: u8 = 0xA5;
const MAGIC: u32 = u32::from_le_bytes(*b"RPB1");

const _: () = assert!(HEADER_BYTES < SECTOR);

/// What the header of a batch says beside its checksums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BatchHeader {
    /// LSN of the first record.
    pub(crate) first_lsn: u64,
    /// How many records; at least one.
    pub(crate) count: u32,
    /// Salt of the segment, so that bytes of another segment are never taken for a batch.
    pub(crate) salt: u64,
    /// Checksum of the header of the batch before, over all segments.
    pub(crate) previous: u32,
    /// Highest LSN that was durable when this batch was written.
    pub(crate) durable_lsn: u64,
    /// Wall clock in milliseconds since 1970, never falling.
    pub(crate) time_ms: u64,
    /// Leadership epoch; 1 until somebody takes over.
    pub(crate) epoch: u32,
    /// Format of the payload.
    pub(crate) format: u8,
    /// Whether it is the last batch of its segment and a next segment exists.
    pub(crate) closes: bool,
}

/// A batch as it was read back.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// LSN of the first record.
    pub first_lsn: u64,
    /// How many records.
    pub count: u32,
    /// Wall clock in milliseconds since 1970, never falling.
    pub time_ms: u64,
    /// Format of the payload, by the caller's numbers.
    pub format: u8,
    /// The encoded records.
    pub payload: &'a [u8],
    /// CRC-32C of the payload, from the header.
    pub payload_checksum: u32,
    /// Leadership epoch in which it was written.
    pub epoch: u32,
    /// Whether it is the last batch of its segment, and a next one exists.
    pub closes: bool,
    /// Checksum of its header, which the next batch names.
    pub chain: u32,
    /// Where the batch begins in its segment.
    pub offset: usize,
    /// Where the payload begins in its segment.
    pub payload_offset: usize,
}

/// Bytes that a batch with such a payload takes in a segment: whole sectors.
pub(crate) const fn batch_bytes(payload: usize) -> usize {
    content_bytes(payload).next_multiple_of(SECTOR)
}

/// Bytes of a batch without the zeros that fill its last sector.
pub(crate) const fn content_bytes(payload: usize) -> usize {
    HEADER_BYTES + payload + 1
}

/// Longest payload that fits so many bytes of a segment.
pub(crate) const fn payload_bytes_max(room: usize) -> usize {
    (room / SECTOR * SECTOR).saturating_sub(HEADER_BYTES + 1)
}

/// Encodes a batch into the cleared buffer, in whole sectors. Returns the header's checksum, which
/// the next batch names.
pub(crate) fn seal(header: &BatchHeader, payload: &[u8], into: &mut Vec<u8>) -> u32 {
    assert!(header.count > 0 && !payload.is_empty(), "a batch holds at least one record");
    debug_assert!(
        payload
            .chunks(SECTOR / 2)
            .all(|half| half.len() < SECTOR / 2 || half.iter().any(|&b| b != 0)),
        "a payload has no run of zeros as long as a sector"
    );
    let length = u32::try_from(payload.len()).expect("a batch is smaller than its segment");
    into.clear();
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&MAGIC.to_le_bytes());
    into.extend_from_slice(&length.to_le_bytes());
    into.extend_from_slice(&crc32c(payload).to_le_bytes());
    into.extend_from_slice(&header.first_lsn.to_le_bytes());
    into.extend_from_slice(&header.salt.to_le_bytes());
    into.extend_from_slice(&header.durable_lsn.to_le_bytes());
    into.extend_from_slice(&header.time_ms.to_le_bytes());
    into.extend_from_slice(&header.previous.to_le_bytes());
    into.extend_from_slice(&header.count.to_le_bytes());
    into.extend_from_slice(&header.epoch.to_le_bytes());
    into.extend_from_slice(&[header.format, u8::from(header.closes), 0, 0]);
    assert_eq!(into.len(), HEADER_BYTES);
    let checksum = crc32c(&into[4..]);
    into[..4].copy_from_slice(&checksum.to_le_bytes());
    into.extend_from_slice(payload);
    into.push(TRAILER);
    into.resize(batch_bytes(payload.len()), 0);
    checksum
}

/// Encodes a batch with such a payload and a fixed header, for those who measure how long it takes.
#[cfg(feature = "measure")]
pub fn seal_for_measure(payload: &[u8], into: &mut Vec<u8>) -> u32 {
    let header = BatchHeader {
        first_lsn: 1,
        count: 1,
        salt: 2,
        previous: 3,
        durable_lsn: 0,
        time_ms: 4,
        epoch: 1,
        format: 1,
        closes: false,
    };
    seal(&header, payload, into)
}

/// A header whose own checksum is right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SealedHeader {
    pub(crate) header: BatchHeader,
    pub(crate) payload_bytes: usize,
    pub(crate) payload_checksum: u32,
    pub(crate) checksum: u32,
}

impl SealedHeader {
    /// Reads the header at the start of these bytes; `None` when there is no intact one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        let checksum = u32_at(header, 0);
        let is_intact = crc32c(&header[4..]) == checksum || is_on(Mutant::NoChecksum);
        if u32_at(header, 4) != MAGIC || !is_intact {
            return None;
        }
        Some(Self {
            header: BatchHeader {
                first_lsn: u64_at(header, 16),
                salt: u64_at(header, 24),
                durable_lsn: u64_at(header, 32),
                time_ms: u64_at(header, 40),
                previous: u32_at(header, 48),
                count: u32_at(header, 52),
                epoch: u32_at(header, 56),
                format: header[60],
                closes: header[61] != 0,
            },
            payload_bytes: u32_at(header, 8) as usize,
            payload_checksum: u32_at(header, 12),
            checksum,
        })
    }

    /// The payload, if all of it is there and intact. `bytes` begin with the header.
    pub(crate) fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let end = HEADER_BYTES.checked_add(self.payload_bytes)?;
        let payload = bytes.get(HEADER_BYTES..end)?;
        let matches = crc32c(payload) == self.payload_checksum || is_on(Mutant::NoChecksum);
        let intact = *bytes.get(end)? == TRAILER && matches;
        intact.then_some(payload)
    }
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    let bytes = bytes[offset..offset + 4].try_into().expect("the range has four bytes");
    u32::from_le_bytes(bytes)
}

pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    let bytes = bytes[offset..offset + 8].try_into().expect("the range has eight bytes");
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEADER: BatchHeader = BatchHeader {
        first_lsn: 7,
        count: 3,
        salt: 0x1234_5678_9abc_def0,
        previous: 99,
        durable_lsn: 6,
        time_ms: 1_764_000_000_000,
        epoch: 1,
        format: 2,
        closes: true,
    };

    proptest! {
        #[test]
        fn what_is_sealed_is_read_back(payload in prop::collection::vec(1..=255_u8, 1..2000)) {
            let mut bytes = Vec::new();
            let checksum = seal(&HEADER, &payload, &mut bytes);
            prop_assert_eq!(bytes.len() % SECTOR, 0);
            prop_assert!(bytes.chunks(SECTOR).all(|sector| sector.iter().any(|&b| b != 0)));
            let sealed = SealedHeader::read(&bytes).unwrap();
            prop_assert_eq!(sealed.header, HEADER);
            prop_assert_eq!(sealed.checksum, checksum);
            prop_assert_eq!(sealed.payload(&bytes), Some(&payload[..]));
        }

        #[test]
        fn a_changed_byte_is_noticed(
            payload in prop::collection::vec(1..=255_u8, 1..600),
            place in any::<prop::sample::Index>(),
            change in 1..=255_u8,
        ) {
            let mut bytes = Vec::new();
            seal(&HEADER, &payload, &mut bytes);
            bytes[place.index(content_bytes(payload.len()))] ^= change;
            let read = SealedHeader::read(&bytes);
            prop_assert!(read.is_none_or(|sealed| sealed.payload(&bytes).is_none()));
        }
    }

    #[test]
    fn lengths_agree() {
        for room in (0..5000).step_by(7) {
            let payload = payload_bytes_max(room);
            assert!(payload == 0 || batch_bytes(payload) <= room);
            assert!(batch_bytes(payload + 1) > room);
        }
    }
}
