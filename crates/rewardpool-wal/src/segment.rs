//! One segment file `wal.NNN`: made ahead of need, full of zeros, with one header sector that is
//! written once and never again. Whether a segment is open or closed is derived from its records.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crc32c::crc32c;
use rewardpool_mutant::{Mutant, is_on};
use sha2::{Digest as _, Sha256};

use crate::batch::{SECTOR, u32_at, u64_at};
use crate::error::{Error, Fault};
use crate::identity::{FORMAT_VERSION, Identity};
use crate::layout::{IDENTITY, PREPARED, SegmentNumber, is_leftover, segment_name};
use crate::storage::{Source, Storage, StorageFile, remove_if_there};

/// Smallest segment: a header and a few batches.
pub const SEGMENT_BYTES_MIN: usize = 16 * SECTOR;
const MAGIC: &[u8; 8] = b"RPWALSEG";
const CHECKSUM_AT: usize = SECTOR - 4;
const ZEROS: usize = 1 << 20;

/// The first sector of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentHeader {
    /// Format of the payloads, by the caller's numbers.
    pub format: u8,
    /// Which log it belongs to.
    pub identity: Identity,
    /// Its number, which is also in the file's name.
    pub number: SegmentNumber,
    /// Leadership epoch in which it was made.
    pub epoch: u32,
    /// Length of the file.
    pub bytes: u64,
    /// Number that each of its batches carries.
    pub salt: u64,
    /// LSN of its first record.
    pub first_lsn: u64,
    /// Checksum of the header of the last batch before it.
    pub previous: u32,
    /// SHA-256 of the batches of the segment before it, which ties the two together.
    pub previous_sha256: [u8; 32],
}

impl SegmentHeader {
    /// A number that no other segment of any log has, except by a chance of 2^-64.
    pub(crate) fn salt_of(identity: Identity, number: SegmentNumber, first_lsn: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(identity.uuid);
        hash.update(number.0.to_le_bytes());
        hash.update(first_lsn.to_le_bytes());
        u64_at(&<[u8; 32]>::from(hash.finalize()), 0)
    }

    /// The sector as it stands at the beginning of the file.
    pub fn encode(&self) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            sector[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(MAGIC);
        put(&FORMAT_VERSION.to_le_bytes());
        put(&self.number.0.to_le_bytes());
        put(&[self.format, 0, 0, 0]);
        put(&self.epoch.to_le_bytes());
        put(&self.identity.uuid);
        put(&self.bytes.to_le_bytes());
        put(&self.salt.to_le_bytes());
        put(&self.first_lsn.to_le_bytes());
        put(&self.previous.to_le_bytes());
        put(&[0; 4]);
        put(&self.previous_sha256);
        let checksum = crc32c(&sector[..CHECKSUM_AT]);
        sector[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        sector
    }

    /// Length of the file that begins with this sector, of any number and log; `None` when the
    /// header is damaged. For files that were stored without the zeros at their end.
    pub fn stated_bytes(sector: &[u8; SECTOR]) -> Option<u64> {
        let is_header = sector[..8] == *MAGIC && u32_at(sector, 8) == FORMAT_VERSION;
        let is_intact = crc32c(&sector[..CHECKSUM_AT]) == u32_at(sector, CHECKSUM_AT);
        (is_header && is_intact).then(|| u64_at(sector, 40))
    }

    /// Reads the header of a segment of any log, by which that is known; `None` when it is damaged or
    /// of another version.
    pub fn arrived(sector: &[u8; SECTOR]) -> Option<Self> {
        let bytes = Self::stated_bytes(sector)?;
        let uuid = sector[24..40].try_into().expect("the range has 16 bytes");
        let number = SegmentNumber(u32_at(sector, 12));
        Self::decode(sector, bytes, number, Identity { uuid }).ok()
    }

    /// Reads and checks the header of a file that has this number in its name.
    pub fn read(
        source: &dyn Source,
        number: SegmentNumber,
        identity: Identity,
    ) -> Result<Self, Error> {
        let mut sector = [0; SECTOR];
        let name = segment_name(number);
        let length = source.bytes().min(SECTOR as u64);
        let length = usize::try_from(length).expect("a sector is short");
        source.read_at(0, &mut sector[..length]).map_err(Error::io("read", &name))?;
        Self::decode(&sector[..length], source.bytes(), number, identity)
    }

    /// Reads and checks the header of a file that has this length, and this number in its name.
    /// `bytes` are the file's beginning, a sector at least unless it is shorter.
    pub(crate) fn decode(
        bytes: &[u8],
        file_bytes: u64,
        number: SegmentNumber,
        identity: Identity,
    ) -> Result<Self, Error> {
        let name = segment_name(number);
        let corrupt = |offset, fault| Error::corrupt(&name, offset, fault);
        let length = |expected| Fault::Length { expected, found: file_bytes };
        let sector = bytes.get(..SECTOR).ok_or_else(|| corrupt(0, length(SECTOR as u64)))?;
        if sector[..8] != *MAGIC {
            return Err(corrupt(0, Fault::Magic));
        }
        if crc32c(&sector[..CHECKSUM_AT]) != u32_at(sector, CHECKSUM_AT) {
            return Err(corrupt(0, Fault::HeaderChecksum));
        }
        let version = u32_at(sector, 8);
        if version != FORMAT_VERSION {
            return Err(Error::version(&name, 8, version));
        }
        let uuid = sector[24..40].try_into().expect("the range has 16 bytes");
        let header = Self {
            number: SegmentNumber(u32_at(sector, 12)),
            format: sector[16],
            epoch: u32_at(sector, 20),
            identity: Identity { uuid },
            bytes: u64_at(sector, 40),
            salt: u64_at(sector, 48),
            first_lsn: u64_at(sector, 56),
            previous: u32_at(sector, 64),
            previous_sha256: sector[72..104].try_into().expect("the range has 32 bytes"),
        };
        if header.number != number {
            return Err(corrupt(12, Fault::Header("number")));
        }
        if header.identity != identity {
            return Err(corrupt(24, Fault::Header("uuid")));
        }
        if header.bytes != file_bytes {
            return Err(corrupt(40, length(header.bytes)));
        }
        Ok(header)
    }
}

/// Numbers the prepared files of a process, so that making one never touches another.
static SERIAL: AtomicU64 = AtomicU64::new(0);

/// A file full of zeros, synced, that waits to become a segment. Its file is removed when it is
/// dropped unused.
pub struct Prepared {
    storage: Arc<dyn Storage>,
    name: String,
    file: Option<Box<dyn StorageFile>>,
    bytes: usize,
}

impl Prepared {
    /// Makes the file: every byte is written, so that a commit later changes no metadata and
    /// cannot run out of space.
    ///
    /// # Errors
    /// When the disk is full ([`Error::is_out_of_space`]) nothing is left behind.
    pub fn create(storage: Arc<dyn Storage>, bytes: usize) -> Result<Self, Error> {
        let bytes = bytes.max(SEGMENT_BYTES_MIN).next_multiple_of(SECTOR);
        let name = format!("{PREPARED}.{}", SERIAL.fetch_add(1, Ordering::Relaxed));
        let filled = fill_with_zeros(storage.as_ref(), &name, bytes);
        let is_full = filled.as_ref().is_err_and(Error::is_out_of_space);
        if is_full && !is_on(Mutant::PartialSegment) {
            remove_if_there(storage.as_ref(), &name)?;
        }
        if !is_on(Mutant::PartialSegment) {
            filled?;
        }
        // Opened anew because a storage may treat files of a fixed length in its own way.
        let file = storage.open(&name).map_err(Error::io("open", &name))?;
        Ok(Self { storage, name, file: Some(file), bytes })
    }

    /// Length of the file.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the header and makes the file visible under its name. Durable when it returns.
    pub(crate) fn publish(mut self, header: &SegmentHeader) -> Result<Box<dyn StorageFile>, Error> {
        assert_eq!(header.bytes, self.bytes as u64, "the header tells the file's length");
        let mut file = self.file.take().expect("a prepared segment has its file until it is used");
        let (from, name) = (&self.name, segment_name(header.number));
        file.write_at(0, &header.encode()).map_err(Error::io("write", from))?;
        file.sync().map_err(Error::io("sync", from))?;
        self.storage.rename(from, &name).map_err(Error::io("rename into place", &name))?;
        if !is_on(Mutant::NoDirectorySync) {
            self.storage.sync_directory().map_err(Error::io("sync the directory of", &name))?;
        }
        Ok(file)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // Whatever is left behind is removed by the next start.
        if self.file.take().is_some()
            && let Err(error) = self.storage.remove(&self.name)
        {
            tracing::warn!(file = self.name, %error, "cannot remove an unused segment");
        }
    }
}

/// Removes what unfinished work left behind: prepared segments and unpublished files. Files of
/// other names are somebody else's and stay.
pub fn remove_leftovers(storage: &dyn Storage) -> Result<(), Error> {
    let names = storage.list().map_err(Error::io("list the directory of", IDENTITY))?;
    for name in names.iter().filter(|name| is_leftover(name)) {
        storage.remove(name).map_err(Error::io("remove", name))?;
    }
    Ok(())
}

fn fill_with_zeros(storage: &dyn Storage, name: &str, bytes: usize) -> Result<(), Error> {
    let mut file = storage.create(name).map_err(Error::io("create", name))?;
    zero(file.as_mut(), 0, bytes).map_err(Error::io("fill", name))?;
    file.sync().map_err(Error::io("sync", name))
}

/// Writes zeros from `start` to `end`.
pub(crate) fn zero(file: &mut dyn StorageFile, start: usize, end: usize) -> std::io::Result<()> {
    let zeros = vec![0; ZEROS.min(end - start)];
    let mut offset = start;
    while offset < end {
        let length = zeros.len().min(end - offset);
        file.write_at(offset as u64, &zeros[..length])?;
        offset += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            format: 3,
            identity: Identity { uuid: *b"0123456789abcdef" },
            number: SegmentNumber(12),
            epoch: 1,
            bytes: SECTOR as u64,
            salt: 77,
            first_lsn: 1000,
            previous: 5,
            previous_sha256: [9; 32],
        }
    }

    fn decode(
        bytes: &[u8],
        number: SegmentNumber,
        identity: Identity,
    ) -> Result<SegmentHeader, Error> {
        SegmentHeader::decode(bytes, bytes.len() as u64, number, identity)
    }

    #[test]
    fn a_header_is_read_back() {
        let header = header();
        let read = decode(&header.encode(), header.number, header.identity);
        assert_eq!(read.unwrap(), header);
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let header = header();
        for place in 0..SECTOR {
            for change in [1, 0x80, 0xff] {
                let mut bytes = header.encode();
                bytes[place] ^= change;
                let read = decode(&bytes, header.number, header.identity);
                assert!(read.is_err(), "byte {place} ^ {change}");
            }
        }
    }

    #[test]
    fn a_header_under_another_name_is_refused() {
        let header = header();
        let bytes = header.encode();
        assert!(decode(&bytes, SegmentNumber(13), header.identity).is_err());
        let other = Identity { uuid: [0; 16] };
        assert!(decode(&bytes, header.number, other).is_err());
    }
}
