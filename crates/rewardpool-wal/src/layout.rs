//! Names of the files in a working directory. One function makes each name, one reads it back.
use std::fmt;

/// Marks a directory that holds a log.
pub(crate) const IDENTITY: &str = "POOL";
/// Tells of which log this one was restored.
pub(crate) const RESTORED: &str = "RESTORED";
/// Tells which log this one is a copy of.
pub(crate) const FOLLOWER: &str = "FOLLOWER";
/// How the name of a zero-filled segment that waits to be used begins.
pub(crate) const PREPARED: &str = "wal.next";
/// Ending of a file that was not yet published.
pub(crate) const UNPUBLISHED: &str = ".tmp";

/// Number of a segment: 0, 1, 2, … in the order of their LSNs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentNumber(pub u32);

impl SegmentNumber {
    /// The segment that follows.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a log never has 2^32 segments"))
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wal.{:03}", self.0)
    }
}

/// Name of a segment's file: `wal.000`, `wal.001`, …
pub fn segment_name(number: SegmentNumber) -> String {
    number.to_string()
}

/// Name of a snapshot's file, by the last LSN that it covers.
pub fn snapshot_name(lsn: u64) -> String {
    format!("snapshot.{lsn}")
}

/// Name of the file that holds the secret of a pool.
pub fn secret_name(pool: u32) -> String {
    format!("secret.{pool}")
}

/// A file of a log, by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFile {
    /// `POOL`.
    Identity,
    /// `RESTORED`.
    Restored,
    /// `secret.<pool>`.
    Secret(u32),
    /// `snapshot.<lsn>`.
    Snapshot(u64),
    /// `wal.NNN`.
    Segment(SegmentNumber),
}

impl LogFile {
    /// What a file of this name is; `None` when it is none of a log.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            IDENTITY => Some(Self::Identity),
            RESTORED => Some(Self::Restored),
            _ => None,
        }
        .or_else(|| parse_secret(name).map(Self::Secret))
        .or_else(|| parse_snapshot(name).map(Self::Snapshot))
        .or_else(|| parse_segment(name).map(Self::Segment))
    }
}

impl fmt::Display for LogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Identity => f.write_str(IDENTITY),
            Self::Restored => f.write_str(RESTORED),
            Self::Secret(pool) => f.write_str(&secret_name(pool)),
            Self::Snapshot(lsn) => f.write_str(&snapshot_name(lsn)),
            Self::Segment(number) => number.fmt(f),
        }
    }
}

pub(crate) fn parse_segment(name: &str) -> Option<SegmentNumber> {
    let number = SegmentNumber(name.strip_prefix("wal.")?.parse().ok()?);
    (segment_name(number) == name).then_some(number)
}

pub(crate) fn parse_snapshot(name: &str) -> Option<u64> {
    let lsn = name.strip_prefix("snapshot.")?.parse().ok()?;
    (snapshot_name(lsn) == name).then_some(lsn)
}

fn parse_secret(name: &str) -> Option<u32> {
    let pool = name.strip_prefix("secret.")?.parse().ok()?;
    (secret_name(pool) == name).then_some(pool)
}

/// Whether a file is a prepared segment or an unpublished file of a log.
pub fn is_leftover(name: &str) -> bool {
    let serial = name.strip_prefix(PREPARED).and_then(|rest| rest.strip_prefix('.'));
    let is_prepared = serial.is_some_and(|text| text.parse::<u64>().is_ok());
    let published = name.strip_suffix(UNPUBLISHED);
    let is_unpublished = published.is_some_and(|name| {
        name == IDENTITY
            || name == RESTORED
            || name == FOLLOWER
            || parse_snapshot(name).is_some()
            || parse_secret(name).is_some()
    });
    is_prepared || is_unpublished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_nothing_else_is() {
        for number in [0, 7, 999, 1000, u32::MAX] {
            let number = SegmentNumber(number);
            assert_eq!(parse_segment(&segment_name(number)), Some(number));
        }
        for other in ["wal.next", "wal.7", "wal.0007", "wal.+07", "wal.001.tmp", "snapshot.1"] {
            assert_eq!(parse_segment(other), None, "{other}");
        }
        assert_eq!(parse_snapshot("snapshot.12"), Some(12));
        assert_eq!(parse_snapshot("snapshot.012"), None);
    }

    #[test]
    fn each_kind_of_file_is_known_by_its_name() {
        let segment = LogFile::Segment(SegmentNumber(1000));
        for (name, file) in [
            ("POOL", LogFile::Identity),
            ("RESTORED", LogFile::Restored),
            ("secret.7", LogFile::Secret(7)),
            ("snapshot.0", LogFile::Snapshot(0)),
            ("wal.1000", segment),
        ] {
            assert_eq!(LogFile::parse(name), Some(file), "{name}");
            assert_eq!(file.to_string(), name);
        }
        for other in ["", "pool", "../POOL", "./wal.000", "wal.000/", "secret.07", "wal.next.0"] {
            assert_eq!(LogFile::parse(other), None, "{other}");
        }
    }

    #[test]
    fn only_files_of_a_log_are_leftovers() {
        for ours in ["wal.next.0", "wal.next.17", "POOL.tmp", "snapshot.12.tmp", "secret.0.tmp"] {
            assert!(is_leftover(ours), "{ours}");
        }
        let others =
            ["report.tmp", "wal.next.notes", "wal.next", "wal.001", "snapshot.x.tmp", ".tmp"];
        for other in others {
            assert!(!is_leftover(other), "{other}");
        }
    }
}
