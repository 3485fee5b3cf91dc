//! The archive: a tar file with the files of a log, then a manifest, then the manifest's SHA-256.
//!
//! It can be listed and unpacked with ordinary tools. Segments are stored up to their last batch;
//! the zeros behind are added again by whoever reads them.
//!
//! Invariant: for the same files and numbers there is exactly one archive, and the reader refuses
//! every other one. So there is no byte that may change unnoticed, and no name, link or length that
//! was not made by the writer.
mod error;
mod manifest;
mod member;
mod reader;
mod storage;
mod writer;

pub use error::{ArchiveError, ArchiveFault};
pub use manifest::{FileEntry, Manifest};
pub use reader::{Contents, read};
pub use storage::{Archive, LogError};
pub use writer::{ArchiveWriter, Made, WriteError};

/// The manifest's name in the archive.
const MANIFEST: &str = "manifest.json";
/// The name of its checksum, in the form of `sha256sum`.
const MANIFEST_SHA256: &str = "manifest.json.sha256";
/// What a tar file consists of.
const BLOCK: usize = 512;
/// Zeros at the end of a tar file.
const END_BYTES: usize = 2 * BLOCK;
/// Bytes that are read or written at once.
const PART: usize = 64 << 10;

/// Length of a member with its header, in whole blocks.
fn member_bytes(bytes: u64) -> u64 {
    BLOCK as u64 + bytes.next_multiple_of(BLOCK as u64)
}

/// Zeros that fill the last block of a member.
fn padding(bytes: u64) -> usize {
    usize::try_from(bytes.next_multiple_of(BLOCK as u64) - bytes).expect("less than a block")
}

fn checksum_line(sha256: &str) -> String {
    format!("{sha256}  {MANIFEST}\n")
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests;
