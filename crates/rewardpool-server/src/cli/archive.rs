//! What `backup` and `restore` have in common: what is told about the log in an archive, and about
//! one that is not good.
use std::path::Path;

use prost_types::Timestamp;
use rewardpool_backup::archive::{ArchiveError, LogError};
use rewardpool_engine::Chain;
use rewardpool_engine::core::state::State;
use rewardpool_engine::restore::RestoreError;
use serde_json::{Value, json};

use super::Failure;
use super::failure::exit;
use super::output::hexadecimal;

/// The state at the end of a log.
pub(super) struct Summary {
    lsn: u64,
    time_ms: u64,
    last_request_id: u64,
    pools: usize,
    draws: u64,
    state_sha256: String,
}

impl Summary {
    pub(super) fn of(state: &State) -> Self {
        Self {
            lsn: state.last_lsn(),
            time_ms: state.time_ms(),
            last_request_id: state.last_request_id(),
            pools: state.pools().len(),
            draws: state.pools().map(|pool| pool.draws).sum(),
            state_sha256: hexadecimal(&state.state_hash()),
        }
    }

    /// How many records and request ids of the whole are not in this one; `None` if it is the whole.
    pub(super) fn left_out_of(&self, whole: &Self) -> Option<(u64, u64)> {
        let records = whole.lsn - self.lsn;
        (records > 0).then(|| (records, whole.last_request_id - self.last_request_id))
    }

    pub(super) fn fields(&self) -> [(&'static str, String); 7] {
        [
            ("last lsn", self.lsn.to_string()),
            ("its time", time(self.time_ms)),
            ("last request", self.last_request_id.to_string()),
            ("pools", self.pools.to_string()),
            ("draws", self.draws.to_string()),
            // A state in which it does not hold is none that is read.
            ("conservation", "ok".to_owned()),
            ("state sha256", self.state_sha256.clone()),
        ]
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "last_lsn": self.lsn,
            "last_time_ms": self.time_ms,
            "last_request_id": self.last_request_id,
            "pools": self.pools,
            "draws": self.draws,
            "conservation_ok": true,
            "state_sha256": self.state_sha256,
        })
    }
}

/// A moment as people write it.
pub(super) fn time(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(ms % 1000 * 1_000_000).expect("less than a second");
    Timestamp { seconds, nanos }.to_string()
}

/// Reads a moment, in milliseconds since 1970.
pub(super) fn parse_time(text: &str) -> Result<u64, &'static str> {
    const RULE: &str = "a time is written like 2026-11-24T18:30:00Z or 2026-11-24T19:30:00+01:00";
    let Timestamp { seconds, nanos } = text.parse().map_err(|_| RULE)?;
    let seconds = u64::try_from(seconds).map_err(|_| "a time is after 1970")?;
    let millis = u64::from(nanos.unsigned_abs()) / 1_000_000;
    seconds.checked_mul(1000).and_then(|ms| ms.checked_add(millis)).ok_or(RULE)
}

/// Sizes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut whole, mut rest, mut unit) = (bytes, 0, "B");
    for larger in UNITS {
        if whole < 1000 {
            break;
        }
        (whole, rest, unit) = (whole / 1000, whole % 1000 / 100, larger);
    }
    if unit == "B" { format!("{whole} {unit}") } else { format!("{whole}.{rest} {unit}") }
}

/// An archive is not one, or cannot be read.
pub(super) fn bad_archive(path: &Path, error: &ArchiveError) -> Failure {
    let what = format!("{}: {}", path.display(), Chain(error));
    if error.is_corruption() {
        let hint = "use another backup; if it was copied, compare it with the original";
        return Failure::new(exit::CORRUPT, what, hint);
    }
    Failure::new(exit::INPUT_OUTPUT, what, "name a file that `rewardpool backup` wrote")
}

/// The log in an archive is not good.
pub(super) fn bad_log(path: &Path, error: &LogError) -> Failure {
    match error {
        LogError::Archive(error) => bad_archive(path, error),
        LogError::Log(error) => not_restored(path, error),
    }
}

/// A log cannot be read, or not so far, or cannot be written again.
pub(super) fn not_restored(path: &Path, error: &RestoreError) -> Failure {
    let what = format!("{}: {}", path.display(), Chain(error));
    let (code, hint) = match error {
        RestoreError::Later { .. } => (exit::USAGE, "take a newer backup, or leave out --to-lsn"),
        RestoreError::Engine(error) if error.is_out_of_space() => {
            (exit::INPUT_OUTPUT, "make room on the disk of the directory, and restore again")
        }
        RestoreError::Engine(error) if error.is_corruption() => {
            (exit::CORRUPT, "the log was damaged before it was backed up: use another backup")
        }
        RestoreError::Differs => {
            (exit::CORRUPT, "restore to another disk, and check the memory of this machine")
        }
        RestoreError::Engine(_) | RestoreError::Earlier { .. } | _ => {
            (exit::INPUT_OUTPUT, "check the disk and the permissions of the directory")
        }
    };
    Failure::new(code, what, hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_764_000_000_000, "2025-11-24T16:00:00Z"),
            (1_764_000_000_123, "2025-11-24T16:00:00.123Z"),
        ] {
            assert_eq!((time(ms).as_str(), parse_time(text)), (text, Ok(ms)));
        }
        assert_eq!(parse_time("2025-11-24T17:00:00+01:00"), Ok(1_764_000_000_000));
        assert_eq!(parse_time("2025-11-24T16:00:00.123999Z"), Ok(1_764_000_000_123));
        for wrong in ["", "yesterday", "1764000000", "2025-13-24T16:00:00Z", "1969-12-31T23:59:59Z"]
        {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_960_000, "1.9 MB"),
            (67_108_864, "67.1 MB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
