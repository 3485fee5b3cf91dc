//! How a command ends when it did not do what was asked for: an exit code, what went wrong, and
//! what to do about it.
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rewardpool_engine::{Chain, EngineError};
use rewardpool_server::config::ConfigError;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The exit codes: those of sysexits, 1 for what the service refuses, and 128 and the number of
/// SIGINT, as shells have it, for a measurement that was ended early.
pub(crate) mod exit {
    pub(crate) const REFUSED: u8 = 1;
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const CORRUPT: u8 = 65;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const LOCKED: u8 = 73;
    pub(crate) const INPUT_OUTPUT: u8 = 74;
    pub(crate) const CONFIG: u8 = 78;
    pub(crate) const INTERRUPTED: u8 = 130;
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Told {
        /// The exit code.
        code: u8,
        /// Lines that stand before the error, for example the faults of a file.
        details: String,
        /// What went wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// The command line is wrong, or it asks for help.
    Usage(Box<clap::Error>),
    /// Whoever read the output has enough of it.
    ReaderGone,
}

impl Failure {
    pub(crate) fn new(code: u8, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Told { code, details: String::new(), what: what.into(), hint: hint.into() }
    }

    /// A value of the command line that only the command itself can judge.
    pub(crate) fn usage(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(exit::USAGE, what, hint)
    }

    /// A file or a directory could not be used.
    pub(crate) fn file(path: &Path, source: &io::Error, hint: impl Into<String>) -> Self {
        Self::new(exit::INPUT_OUTPUT, format!("{}: {source}", path.display()), hint)
    }

    /// The engine could not read a working directory.
    pub(crate) fn directory(directory: &Path, error: &EngineError) -> Self {
        let (code, hint) = if error.is_locked() {
            (exit::LOCKED, "a service runs on this directory: ask the service, or stop it first")
        } else if error.is_corruption() {
            (exit::CORRUPT, "copy the directory before anything else, then restore a backup of it")
        } else {
            (exit::INPUT_OUTPUT, "check that this is a working directory which you may read")
        };
        Self::new(code, format!("{}: {}", directory.display(), Chain(error)), hint)
    }

    /// The service answered with a status that is not OK, or did not answer.
    pub(crate) fn status(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map_or("", |info| info.reason.as_str());
        let code = if is_no_answer(status.code()) { exit::UNAVAILABLE } else { exit::REFUSED };
        let name = if reason.is_empty() { code_name(status.code()) } else { reason };
        let mut what = format!("{name}: {}", status.message());
        for violation in details.bad_request().iter().flat_map(|request| &request.field_violations)
        {
            what.extend([" (", &violation.field, ": ", &violation.description, ")"]);
        }
        // The text comes from another program and must not steer the terminal.
        Self::new(code, what.replace(char::is_control, " "), status_hint(status.code(), reason))
    }

    /// Replaces the exit code where a command knows better.
    pub(crate) fn with_code(mut self, new: u8) -> Self {
        if let Self::Told { code, .. } = &mut self {
            *code = new;
        }
        self
    }

    /// Replaces the hint where a command knows better.
    pub(crate) fn with_hint(mut self, new: &str) -> Self {
        if let Self::Told { hint, .. } = &mut self {
            new.clone_into(hint);
        }
        self
    }

    /// Whether the service may have done what it was asked for.
    pub(crate) fn leaves_outcome_unknown(status: &Status) -> bool {
        // Stopping is the one definite refusal among them.
        let reason = status.get_details_error_info().map(|info| info.reason);
        is_no_answer(status.code()) && reason.as_deref() != Some("STOPPING")
    }

    /// Tells the user and gives the exit code.
    pub(crate) fn report(self) -> ExitCode {
        let (code, text) = match self {
            Self::ReaderGone => return ExitCode::SUCCESS,
            Self::Usage(error) => {
                // Nobody is left to be told when this fails.
                let _printed = error.print();
                let code = if error.use_stderr() { exit::USAGE } else { 0 };
                return ExitCode::from(code);
            }
            Self::Told { code, details, what, hint } => {
                (code, format!("{details}error: {what}; hint: {hint}\n"))
            }
        };
        let _written = io::stderr().lock().write_all(text.as_bytes());
        ExitCode::from(code)
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::Usage(Box::new(error))
    }
}

/// Output could not be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        let what = format!("the output cannot be written: {error}");
        Self::new(exit::INPUT_OUTPUT, what, "check where the output goes")
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let ConfigError::Invalid { path, faults } = &error else {
            return Self::new(
                exit::INPUT_OUTPUT,
                error.to_string(),
                "`rewardpool config init` writes a new file",
            );
        };
        let (path, count) = (path.display(), faults.len());
        let noun = if count == 1 { "fault" } else { "faults" };
        Self::Told {
            code: exit::CONFIG,
            details: format!("{error}\n"),
            what: format!("{path} has {count} {noun}"),
            hint: "correct the lines above; `rewardpool config init` writes a right file".into(),
        }
    }
}

/// Whether the service did not decide; a broken connection is `Unknown` or `Internal`.
fn is_no_answer(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    )
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

fn status_hint(code: Code, reason: &str) -> &'static str {
    match reason {
        "UNKNOWN_POOL" => "`rewardpool pool ls` lists the pools; choose one with --pool",
        "UNKNOWN_ITEM" => "`rewardpool state` lists the items of a pool",
        "KEY_REUSED" => "repeat the first request exactly, or use a new key",
        "ITEM_EXISTS" => "`rewardpool update` changes an item; a new one needs another name",
        "POOL_EXISTS" => "`rewardpool pool ls` lists the names that are taken",
        "VERSION_MISMATCH" => {
            "somebody changed the catalogue in between: look at `rewardpool state`, then decide \
             again; +N and -N need no version"
        }
        "POOL_PAUSED" => "`rewardpool pool resume` lets it draw again",
        "POOL_CLOSED" => "a closed pool stays closed; use another one",
        "INSUFFICIENT_STOCK" => "draw fewer, or leave out --all-or-nothing",
        "RETIRED_ITEM" => "a retired item stays retired; add one with another name",
        "QUANTITY_RANGE" => "`rewardpool state` shows how many units are left",
        "QUANTITY_UNLIMITED" => "set a number without a sign to make the item limited",
        "TOTAL_WEIGHT" => "the weights of a pool add up to less than 2^63: use smaller ones",
        "OVERLOADED" => "nothing was changed; try again a little later",
        "NO_SPACE" => "nothing was changed; make room on the disk of the service",
        "STOPPING" => "nothing was changed; try again when the service runs again",
        "OUTCOME_UNKNOWN" => "look at `rewardpool state` before you try again",
        _ if code == Code::Unimplemented => "check that --addr is a service of this version",
        _ if is_no_answer(code) => {
            "a change may have been made or not: look at `rewardpool state` before you repeat it"
        }
        _ => "see the --help of the command for what it takes",
    }
}
