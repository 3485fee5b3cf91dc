//! What can go wrong with the files of a log, with file and offset as fields.
use std::io;

use crate::identity::FORMAT_VERSION;

/// A failure while reading or writing the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {operation} {file}")]
    Io {
        /// What was being done, as a verb.
        operation: &'static str,
        /// The file, relative to the working directory.
        file: String,
        /// The reason.
        source: io::Error,
    },
    /// A file does not hold what was written to it.
    #[error("{file} is corrupt at offset {offset}: {fault}")]
    Corrupt {
        /// The file, relative to the working directory.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        fault: Fault,
    },
    /// A file is of a version that this program does not know.
    #[error(
        "{file} has format version {found} at offset {offset}, this program reads version \
         {supported}"
    )]
    Version {
        /// The file, relative to the working directory.
        file: String,
        /// Where in the file the version stands.
        offset: u64,
        /// Its version.
        found: u32,
        /// The newest version that this program reads.
        supported: u32,
    },
    /// A file that must exist does not.
    #[error("{file} is missing: {because}")]
    Missing {
        /// The file, relative to the working directory.
        file: String,
        /// Why it must exist.
        because: &'static str,
    },
    /// Another process has the directory open.
    #[error("the directory {0} is in use by another process")]
    Locked(String),
}

impl Error {
    pub(crate) fn io(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        let file = file.to_owned();
        move |source| Self::Io { operation, file, source }
    }

    pub(crate) fn corrupt(file: &str, offset: usize, fault: Fault) -> Self {
        Self::Corrupt { file: file.to_owned(), offset: offset as u64, fault }
    }

    pub(crate) fn version(file: &str, offset: u64, found: u32) -> Self {
        Self::Version { file: file.to_owned(), offset, found, supported: FORMAT_VERSION }
    }

    /// Whether the cause is a full disk, a quota or a size limit: nothing is broken, and the same
    /// operation may succeed later.
    pub fn is_out_of_space(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    }

    /// The file that this is about, and the offset if it has one; `None` for the whole directory.
    pub fn place(&self) -> Option<(&str, Option<u64>)> {
        match self {
            Self::Corrupt { file, offset, .. } | Self::Version { file, offset, .. } => {
                Some((file, Some(*offset)))
            }
            Self::Io { file, .. } | Self::Missing { file, .. } => Some((file, None)),
            Self::Locked(_) => None,
        }
    }

    /// Whether a file holds something else than what was written, or is gone.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Version { .. } | Self::Missing { .. })
    }
}

/// What is wrong at a place of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file has another length than its header says.
    #[error("the file has {found} bytes, its header says {expected}")]
    Length {
        /// Bytes that the file should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// The file does not begin with its magic bytes.
    #[error("this is not a file of a reward pool log")]
    Magic,
    /// The header's checksum does not match.
    #[error("the checksum of the header does not match")]
    HeaderChecksum,
    /// The header's fields contradict each other or the file's name.
    #[error("the header's field `{0}` does not belong here")]
    Header(&'static str),
    /// A payload's checksum does not match although every sector of it was written.
    #[error("the checksum of the batch's payload does not match")]
    PayloadChecksum,
    /// Something that is not a batch stands where one must be.
    #[error("no batch begins here, but later ones exist")]
    Hole,
    /// The log ends before a position that was durable.
    #[error("the log ends at LSN {end}, but LSN {durable} was durable")]
    EndsEarly {
        /// The last LSN that was found.
        end: u64,
        /// The highest LSN that is known to have been durable.
        durable: u64,
    },
    /// A segment does not connect to the one before it.
    #[error("the segment does not continue the one before it")]
    Discontinuous,
    /// A segment's content has another SHA-256 than its successor says.
    #[error("the SHA-256 of the segment differs from the one that the next segment holds")]
    SegmentHash,
    /// A snapshot's SHA-256 does not match.
    #[error("the SHA-256 of the snapshot does not match")]
    SnapshotHash,
}
