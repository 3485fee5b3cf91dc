//! A snapshot file `snapshot.<lsn>`: the whole state after that LSN, and the segment that goes on
//! from there. It is trusted only if its SHA-256 is right.
use crc32c::crc32c;
use rewardpool_mutant::{Mutant, is_on};
use sha2::{Digest as _, Sha256};

use crate::batch::{u32_at, u64_at};
use crate::error::{Error, Fault};
use crate::identity::{FORMAT_VERSION, Identity};
use crate::layout::{SegmentNumber, snapshot_name};
use crate::storage::{Source, Storage, publish};

const MAGIC: &[u8; 8] = b"RPSNAPSH";
const HEADER_BYTES: usize = 76;
const SHA256_BYTES: usize = 32;
/// A snapshot that is not held in memory is read in such parts.
const PART_BYTES: usize = 64 << 10;

/// Where a snapshot stands in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotHeader {
    /// Which log it belongs to.
    pub identity: Identity,
    /// The last LSN that it covers; 0 for the empty state.
    pub lsn: u64,
    /// Checksum of the header of the last batch that it covers.
    pub chain: u32,
    /// The segment whose first record is the next LSN. It must exist.
    pub next_segment: SegmentNumber,
    /// Time of the last record that it covers, in milliseconds since 1970.
    pub time_ms: u64,
    /// Leadership epoch.
    pub epoch: u32,
}

impl SnapshotHeader {
    fn encode(&self, body_bytes: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            header[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(MAGIC);
        put(&FORMAT_VERSION.to_le_bytes());
        put(&self.epoch.to_le_bytes());
        put(&self.identity.uuid);
        put(&self.lsn.to_le_bytes());
        put(&self.chain.to_le_bytes());
        put(&self.next_segment.0.to_le_bytes());
        put(&self.time_ms.to_le_bytes());
        put(&body_bytes.to_le_bytes());
        put(&[0; 8]);
        let checksum = crc32c(&header[..HEADER_BYTES - 4]);
        header[HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Reads the header at the start of a file of so many bytes.
    fn decode(bytes: &[u8], file_bytes: u64, lsn: u64) -> Result<Self, Error> {
        let name = snapshot_name(lsn);
        let corrupt = |offset, fault| Error::corrupt(&name, offset, fault);
        let length = |expected| Fault::Length { expected, found: file_bytes };
        let least = (HEADER_BYTES + SHA256_BYTES) as u64;
        if file_bytes < least {
            return Err(corrupt(0, length(least)));
        }
        if bytes[..8] != *MAGIC {
            return Err(corrupt(0, Fault::Magic));
        }
        if crc32c(&bytes[..HEADER_BYTES - 4]) != u32_at(bytes, HEADER_BYTES - 4) {
            return Err(corrupt(0, Fault::HeaderChecksum));
        }
        let version = u32_at(bytes, 8);
        if version != FORMAT_VERSION {
            return Err(Error::version(&name, 8, version));
        }
        let expected = u64_at(bytes, 56).saturating_add(least);
        if expected != file_bytes {
            return Err(corrupt(56, length(expected)));
        }
        Ok(Self {
            epoch: u32_at(bytes, 12),
            identity: Identity { uuid: bytes[16..32].try_into().expect("the range has 16 bytes") },
            lsn: u64_at(bytes, 32),
            chain: u32_at(bytes, 40),
            next_segment: SegmentNumber(u32_at(bytes, 44)),
            time_ms: u64_at(bytes, 48),
        })
    }

    /// Whether it is what the file's name says, of this log.
    fn check_place(&self, lsn: u64, identity: Identity) -> Result<(), Error> {
        let corrupt = |offset, fault| Err(Error::corrupt(&snapshot_name(lsn), offset, fault));
        if self.lsn != lsn {
            return corrupt(32, Fault::Header("lsn"));
        }
        if self.identity != identity {
            return corrupt(16, Fault::Header("uuid"));
        }
        Ok(())
    }

    /// Verifies a snapshot as [`SnapshotFile::load`] does, without holding it in memory.
    pub fn verify(source: &dyn Source, lsn: u64, identity: Identity) -> Result<Self, Error> {
        let name = snapshot_name(lsn);
        let read = |offset, into: &mut [u8]| {
            source.read_at(offset, into).map_err(Error::io("read", &name))
        };
        let mut buffer = vec![0; PART_BYTES];
        let length = source.bytes().min(HEADER_BYTES as u64);
        let length = usize::try_from(length).expect("a header is short");
        read(0, &mut buffer[..length])?;
        let header = Self::decode(&buffer[..length], source.bytes(), lsn)?;
        let signed = source.bytes() - SHA256_BYTES as u64;
        let mut hash = Sha256::new();
        let mut offset = 0;
        while offset < signed {
            let left = usize::try_from(signed - offset).unwrap_or(usize::MAX);
            let part = &mut buffer[..left.min(PART_BYTES)];
            read(offset, part)?;
            hash.update(&*part);
            offset += part.len() as u64;
        }
        let mut sha256 = [0; SHA256_BYTES];
        read(signed, &mut sha256)?;
        if sha256 != <[u8; SHA256_BYTES]>::from(hash.finalize()) {
            let at = usize::try_from(signed).expect("an offset in a file");
            return Err(Error::corrupt(&name, at, Fault::SnapshotHash));
        }
        header.check_place(lsn, identity)?;
        Ok(header)
    }

    /// SHA-256 that a snapshot with this body has.
    pub fn sha256(&self, body: &[u8]) -> [u8; SHA256_BYTES] {
        let mut hash = Sha256::new();
        hash.update(self.encode(body.len() as u64));
        hash.update(body);
        hash.finalize().into()
    }

    /// Publishes a snapshot with this body. Durable when it returns; gives its SHA-256.
    pub fn publish(&self, storage: &dyn Storage, body: &[u8]) -> Result<[u8; 32], Error> {
        let header = self.encode(body.len() as u64);
        let mut hash = Sha256::new();
        hash.update(header);
        hash.update(body);
        let sha256: [u8; SHA256_BYTES] = hash.finalize().into();
        publish(storage, &snapshot_name(self.lsn), &[&header, body, &sha256])?;
        Ok(sha256)
    }
}

/// A snapshot that was read back and verified.
#[derive(Debug)]
pub struct SnapshotFile {
    /// Where it stands in the log.
    pub header: SnapshotHeader,
    /// SHA-256 of header and body.
    pub sha256: [u8; 32],
    bytes: Vec<u8>,
}

impl SnapshotFile {
    /// Length of the file of a snapshot with this body.
    pub const fn file_bytes(body: &[u8]) -> u64 {
        (HEADER_BYTES + body.len() + SHA256_BYTES) as u64
    }

    /// The encoded state.
    pub fn body(&self) -> &[u8] {
        &self.bytes[HEADER_BYTES..self.bytes.len() - SHA256_BYTES]
    }

    /// Reads and verifies the snapshot that covers this LSN.
    pub fn load(storage: &dyn Storage, lsn: u64, identity: Identity) -> Result<Self, Error> {
        let name = snapshot_name(lsn);
        let mut bytes = Vec::new();
        storage.read(&name, &mut bytes).map_err(Error::io("read", &name))?;
        Self::decode(bytes, lsn, identity)
    }

    /// All bytes of the file.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Verifies the bytes of the snapshot that covers this LSN.
    pub fn decode(bytes: Vec<u8>, lsn: u64, identity: Identity) -> Result<Self, Error> {
        let header = SnapshotHeader::decode(&bytes, bytes.len() as u64, lsn)?;
        let signed = bytes.len() - SHA256_BYTES;
        let sha256: [u8; SHA256_BYTES] = Sha256::digest(&bytes[..signed]).into();
        if bytes[signed..] != sha256 && !is_on(Mutant::SnapshotNotHashed) {
            return Err(Error::corrupt(&snapshot_name(lsn), signed, Fault::SnapshotHash));
        }
        header.check_place(lsn, identity)?;
        Ok(Self { header, sha256, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileStorage;

    #[test]
    fn every_changed_byte_and_every_other_length_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(directory.path()).unwrap();
        let identity = Identity { uuid: *b"0123456789abcdef" };
        let next_segment = SegmentNumber(4);
        let header =
            SnapshotHeader { identity, lsn: 42, chain: 7, next_segment, time_ms: 5, epoch: 1 };
        let sha256 = header.publish(&storage, b"the whole state").unwrap();
        let good = SnapshotFile::load(&storage, 42, identity).unwrap();
        assert_eq!((good.header, good.sha256), (header, sha256));
        assert_eq!(good.body(), b"the whole state");
        assert_eq!(SnapshotFile::file_bytes(good.body()), good.bytes.len() as u64);
        assert_eq!(SnapshotHeader::verify(&good.bytes, 42, identity).unwrap(), header);
        // Read whole or in parts, what is wrong is told in the same words.
        let refuse = |bad: Vec<u8>, lsn, why: String| {
            let in_parts = SnapshotHeader::verify(&bad, lsn, identity).unwrap_err();
            let whole = SnapshotFile::decode(bad, lsn, identity).expect_err(&why);
            assert_eq!(whole.to_string(), in_parts.to_string(), "{why}");
        };
        for place in 0..good.bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut bad = good.bytes.clone();
                bad[place] ^= change;
                refuse(bad, 42, format!("byte {place}"));
            }
            refuse(good.bytes[..place].to_vec(), 42, format!("length {place}"));
        }
        refuse(good.bytes, 43, "the name".to_owned());
    }
}
