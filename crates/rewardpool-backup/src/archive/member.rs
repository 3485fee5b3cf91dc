//! The header of a member: its name and its length, and nothing that a reader could be led astray
//! with. There is one header for a name, a length and a time.
use rewardpool_wal::LogFile;

use super::error::ArchiveFault;
use super::{BLOCK, MANIFEST, MANIFEST_SHA256};

/// The longest segment that a service can be configured to make.
pub(super) const SEGMENT_BYTES_MAX: u64 = 4 << 30;
/// 16 million items with names as long as they may be, and as many keys.
const SNAPSHOT_BYTES_MAX: u64 = 64 << 30;
/// Files of a few lines.
const SMALL_BYTES_MAX: u64 = 64 << 10;
/// A hundred thousand entries.
pub(super) const MANIFEST_BYTES_MAX: u64 = 32 << 20;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    File(LogFile),
    Manifest,
    ManifestSha256,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        match name {
            MANIFEST => Some(Self::Manifest),
            MANIFEST_SHA256 => Some(Self::ManifestSha256),
            _ => LogFile::parse(name).map(Self::File),
        }
    }

    fn bytes_max(self) -> u64 {
        match self {
            Self::File(LogFile::Segment(_)) => SEGMENT_BYTES_MAX,
            Self::File(LogFile::Snapshot(_)) => SNAPSHOT_BYTES_MAX,
            Self::File(LogFile::Identity | LogFile::Restored | LogFile::Secret(_))
            | Self::ManifestSha256 => SMALL_BYTES_MAX,
            Self::Manifest => MANIFEST_BYTES_MAX,
        }
    }
}

/// A member as its header tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) bytes: u64,
    /// In seconds since 1970.
    pub(super) time: u64,
}

/// The header of a member.
pub(super) fn encode(name: &str, bytes: u64, time: u64) -> [u8; BLOCK] {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).expect("names in a backup are short");
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header.set_mtime(time);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    *header.as_bytes()
}

/// Reads a header.
pub(super) fn decode(block: &[u8; BLOCK]) -> Result<Member, ArchiveFault> {
    let header = tar::Header::from_byte_slice(block);
    let name = header.path_bytes();
    let (Ok(name), Ok(bytes), Ok(time)) =
        (str::from_utf8(&name), header.entry_size(), header.mtime())
    else {
        return Err(ArchiveFault::Header);
    };
    let Some(kind) = Kind::parse(name) else {
        let is_intact = header.cksum().is_ok_and(|cksum| cksum == checksum(block));
        // The name of a damaged header is no name.
        let name = || ArchiveFault::Name(name.to_owned());
        return Err(if is_intact { name() } else { ArchiveFault::Header });
    };
    // This also refuses links, and names that only look like this one.
    if encode(name, bytes, time) != *block {
        return Err(ArchiveFault::Header);
    }
    if bytes > kind.bytes_max() {
        return Err(ArchiveFault::TooLong { bytes });
    }
    Ok(Member { name: name.to_owned(), kind, bytes, time })
}

/// The sum of all bytes, with blanks in the place of the sum itself.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let mut header = tar::Header::from_byte_slice(block).clone();
    header.set_cksum();
    header.cksum().unwrap_or(u32::MAX)
}
