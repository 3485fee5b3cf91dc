//! The program as an operator runs it beside a service: `backup`, `restore`, `verify`, `wal cat`.
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::service::binary;

/// Exit codes that are told to an operator.
pub(crate) const USAGE: i32 = 64;
pub(crate) const CORRUPT: i32 = 65;
pub(crate) const UNAVAILABLE: i32 = 69;
pub(crate) const LOCKED: i32 = 73;

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Run {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// # Panics
    /// With what it said, when it ended in another way.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).expect("stdout is one JSON value")
    }
}

/// A run of the program with these words, and paths or other values behind them.
pub(crate) fn command(words: &str, more: &[&dyn AsRef<OsStr>]) -> Command {
    let mut command = Command::new(binary());
    command.args(words.split_whitespace()).args(more.iter().map(AsRef::as_ref));
    command.env_remove("REWARDPOOL_ADDR").stdin(Stdio::null());
    command
}

pub(crate) fn run(words: &str, more: &[&dyn AsRef<OsStr>]) -> Run {
    Run::of(command(words, more).output().unwrap())
}

/// Backs a service up to a file, and gives what was told as JSON.
#[track_caller]
pub(crate) fn backup(options: &str, file: &Path, address: &str) -> Value {
    run(&format!("backup -o json --max-rate 0 {options} --addr {address}"), &[&file])
        .expect(0)
        .json()
}

/// Restores a file to a directory, and gives what was told as JSON.
#[track_caller]
pub(crate) fn restore(options: &str, file: &Path, directory: &Path) -> Value {
    run(&format!("restore -o json {options} --dir"), &[&directory, &file]).expect(0).json()
}

/// The number in a field of a JSON object.
#[track_caller]
pub(crate) fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no number {field} in {value}"))
}
