//! Why an engine cannot start, or had to stop.
use std::io;
use std::path::PathBuf;

use rewardpool_core::format::FormatError;
use rewardpool_core::snapshot::SnapshotError;
use rewardpool_core::violation::Violation;

/// Where the state begins in a snapshot's file.
pub(crate) const SNAPSHOT_BODY: usize = 76;

/// A failure of the engine. It holds what was being done to which file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The working directory cannot be used.
    #[error("cannot use the working directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The files of the log are damaged, in use, or cannot be read or written.
    #[error(transparent)]
    Log(#[from] rewardpool_wal::Error),
    /// A batch is intact, but does not hold records.
    #[error("{file} is corrupt at offset {offset}: the batch does not hold records")]
    Format {
        /// The segment.
        file: String,
        /// Where the payload begins.
        offset: usize,
        /// What is wrong.
        source: FormatError,
    },
    /// A record does not follow from the state before it.
    #[error("{file} is corrupt at offset {offset}: the record {lsn} does not fit the state")]
    Record {
        /// The segment.
        file: String,
        /// Where the batch begins.
        offset: usize,
        /// Position of the record.
        lsn: u64,
        /// What does not fit.
        source: Box<Violation>,
    },
    /// A snapshot is intact, but does not hold a state.
    #[error("{file} is corrupt at offset {SNAPSHOT_BODY}: it does not hold a state")]
    Snapshot {
        /// The snapshot.
        file: String,
        /// What is wrong.
        source: SnapshotError,
    },
    /// A snapshot holds another state than the log before it gives.
    #[error(
        "{file} is corrupt at offset {SNAPSHOT_BODY}: it differs from the state that the log gives"
    )]
    SnapshotDiffers {
        /// The snapshot.
        file: String,
    },
    /// The secret of a pool is not the one that the log is committed to.
    #[error("{file} is corrupt at offset 0: {because}")]
    Secret {
        /// The file.
        file: String,
        /// What is wrong with it.
        because: &'static str,
    },
    /// The conservation law or another sum does not hold at the end of what was read.
    #[error("{file} is corrupt at or before offset {offset}: the state does not add up")]
    State {
        /// The last file that was read: a segment, or the snapshot when no record follows it.
        file: String,
        /// Where in it the reading ended.
        offset: usize,
        /// What does not add up.
        source: Box<Violation>,
    },
    /// The state does not take a record that it decided itself, which is a defect.
    #[error("the state does not take a record that it decided")]
    Decided(#[source] Box<Violation>),
    /// The directory holds a copy of a log that another service writes.
    #[error("the directory follows {leader}, and only that may write its log")]
    Follower {
        /// Where that service listens.
        leader: String,
    },
    /// The directory holds no copy of another service's log, or not yet all of it.
    #[error("the directory cannot take over: {because}")]
    NotFollower {
        /// What is missing.
        because: &'static str,
    },
    /// The log that is copied does not go on where the copy ends.
    #[error("the copy and the leader's log differ at LSN {lsn}: {because}")]
    Diverged {
        /// The first record that differs, or the last one of the state that does.
        lsn: u64,
        /// What differs.
        because: &'static str,
    },
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Random(String),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    /// Writing to the caller's output failed.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// A thread of the engine panicked, which is a defect.
    #[error("the thread {0} of the engine panicked")]
    Panicked(&'static str),
}

impl From<Violation> for EngineError {
    fn from(violation: Violation) -> Self {
        Self::Decided(Box::new(violation))
    }
}

impl EngineError {
    /// Whether a file holds something else than what was written, or is gone.
    pub fn is_corruption(&self) -> bool {
        match self {
            Self::Log(error) => error.is_corruption(),
            Self::Format { .. }
            | Self::Record { .. }
            | Self::Snapshot { .. }
            | Self::SnapshotDiffers { .. }
            | Self::Secret { .. }
            | Self::State { .. }
            | Self::Diverged { .. } => true,
            Self::Directory { .. }
            | Self::Follower { .. }
            | Self::NotFollower { .. }
            | Self::Random(_)
            | Self::Thread(_)
            | Self::Output(_)
            | Self::Decided(_)
            | Self::Panicked(_) => false,
        }
    }

    /// The file that this is about, and the offset if it has one.
    pub fn place(&self) -> Option<(&str, Option<u64>)> {
        match self {
            Self::Log(error) => error.place(),
            Self::Format { file, offset, .. }
            | Self::Record { file, offset, .. }
            | Self::State { file, offset, .. } => Some((file, Some(*offset as u64))),
            Self::Snapshot { file, .. } | Self::SnapshotDiffers { file } => {
                Some((file, Some(SNAPSHOT_BODY as u64)))
            }
            Self::Secret { file, .. } => Some((file, Some(0))),
            Self::Directory { .. }
            | Self::Follower { .. }
            | Self::NotFollower { .. }
            | Self::Diverged { .. }
            | Self::Random(_)
            | Self::Thread(_)
            | Self::Output(_)
            | Self::Decided(_)
            | Self::Panicked(_) => None,
        }
    }

    /// Whether the disk is full: nothing is broken, and it works when there is room.
    pub fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_out_of_space())
    }

    /// Whether another process has the directory.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Log(rewardpool_wal::Error::Locked(_)))
    }
}

/// An error with all its causes in one line. Causes that a message has already are not told twice.
pub struct Chain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = self.0.to_string();
        let mut source = self.0.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text += ": ";
                text += &cause_text;
            }
            source = cause.source();
        }
        f.write_str(&text)
    }
}
