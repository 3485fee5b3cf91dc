//! How a command ends when it did not do what was asked for: an exit code, what went wrong, and
//! what to do about it.
//!
//! For people this is a line `error: …` and a line `hint: …`; with `-o json` it is one line with an
//! object `error`. Both go to stderr.
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use rewardpool_engine::{Chain, EngineError};
use rewardpool_server::config::{ConfigError, Fault, Position};
use rewardpool_server::convert::code_name;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::output::{self, Format};

/// The exit codes: those of sysexits, 1 for what the service refuses and for catalogues that differ,
/// and 128 and the number of a signal, as shells have it: of SIGINT for what was ended early, of
/// SIGPIPE for output that nobody reads any more.
pub(crate) mod exit {
    pub(crate) const REFUSED: u8 = 1;
    pub(crate) const DIFFERENT: u8 = 1;
    pub(crate) const USAGE: u8 = 64;
    pub(crate) const CORRUPT: u8 = 65;
    pub(crate) const UNAVAILABLE: u8 = 69;
    pub(crate) const LOCKED: u8 = 73;
    pub(crate) const INPUT_OUTPUT: u8 = 74;
    pub(crate) const CONFIG: u8 = 78;
    pub(crate) const INTERRUPTED: u8 = 130;
    pub(crate) const READER_GONE: u8 = 141;
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Told {
        /// The exit code.
        code: u8,
        /// For programs: what kind of thing went wrong.
        reason: Cow<'static, str>,
        /// What stands before the error: the faults of a file.
        details: Vec<Detail>,
        /// What went wrong.
        what: String,
        /// What to do.
        hint: String,
    },
    /// Nothing went wrong: all is printed, and the exit code is the answer.
    Answered(u8),
    /// The command line is wrong, or it asks for help.
    Usage(Box<clap::Error>),
    /// Whoever read the output has enough of it.
    ReaderGone,
}

/// One fault of a file.
#[derive(Debug)]
pub(crate) struct Detail {
    line: String,
    json: Value,
}

impl Failure {
    pub(crate) fn new(code: u8, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Told {
            code,
            reason: reason_of(code).into(),
            details: Vec::new(),
            what: what.into(),
            hint: hint.into(),
        }
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
        let (directory, error) = (directory.display().to_string(), Chain(error).to_string());
        let is_named = error.contains(&directory);
        let what = if is_named { error } else { format!("{directory}: {error}") };
        Self::new(code, what, hint)
    }

    /// The service answered with a status that is not OK, or did not answer.
    pub(crate) fn status(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map_or("", |info| info.reason.as_str());
        let code = if is_no_answer(status.code()) { exit::UNAVAILABLE } else { exit::REFUSED };
        let name = if reason.is_empty() { code_name(status.code()) } else { reason };
        let hint = status_hint(status.code(), reason);
        // Behind its colon, the service gives advice to programs. Here is advice for people instead.
        let cause = status.message().split_once(": ").filter(|_| has_hint(reason));
        let mut what = cause.map_or_else(|| status.message(), |(cause, _)| cause).to_owned();
        for violation in details.bad_request().iter().flat_map(|request| &request.field_violations)
        {
            // This service tells the fields in its message; another one may not.
            if !status.message().contains(&violation.description) {
                what.extend([" (", &violation.field, ": ", &violation.description, ")"]);
            }
        }
        // The texts come from another program and must not steer the terminal.
        let plain = |text: &str| text.replace(char::is_control, " ");
        Self::Told {
            code,
            reason: plain(name).into(),
            details: Vec::new(),
            what: plain(&what),
            hint: hint.to_owned(),
        }
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

    /// Names the kind of thing that went wrong where the exit code does not tell enough.
    pub(crate) fn with_reason(mut self, new: &'static str) -> Self {
        if let Self::Told { reason, .. } = &mut self {
            *reason = new.into();
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
    pub(crate) fn report(self, format: Format) -> ExitCode {
        let (code, text) = match self {
            Self::ReaderGone => return exit::READER_GONE.into(),
            Self::Answered(code) => return code.into(),
            Self::Usage(error) => {
                if !error.use_stderr() {
                    return report_help(&error, format);
                }
                (exit::USAGE, usage_text(&error, format))
            }
            Self::Told { code, reason, details, what, hint } => {
                let text = match format {
                    Format::Table => told_text(code, &reason, &details, &what, &hint),
                    Format::Json => told_json(code, &reason, &details, &what, &hint),
                };
                (code, text)
            }
        };
        // Nobody is left to be told when this fails.
        let _written = anstream::stderr().lock().write_all(text.as_bytes());
        code.into()
    }
}

/// Help and the version were asked for, so they are data.
fn report_help(error: &clap::Error, format: Format) -> ExitCode {
    match error.print() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => Failure::from(error).report(format),
    }
}

/// What clap says about a wrong command line, or the same for programs.
fn usage_text(error: &clap::Error, format: Format) -> String {
    let text = error.render();
    if format == Format::Table {
        return text.ansi().to_string();
    }
    let text = text.to_string();
    let one_line = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut parts = text.split("\n\n").map(one_line).filter(|part| !part.is_empty());
    let what = parts.next().unwrap_or_default();
    let what = what.strip_prefix("error: ").unwrap_or(&what);
    let parts: Vec<String> = parts.collect();
    let tip = parts.iter().find_map(|part| part.strip_prefix("tip: "));
    let usage = parts.iter().find(|part| part.starts_with("Usage: ")).map(String::as_str);
    let hint = tip.or(usage).unwrap_or("see the --help of the command for what it takes");
    told_json(exit::USAGE, reason_of(exit::USAGE), &[], what, hint)
}

fn told_text(code: u8, reason: &str, details: &[Detail], what: &str, hint: &str) -> String {
    let mut text = String::new();
    for Detail { line, .. } in details {
        text.extend([line, "\n"]);
    }
    // A reason that says more than the exit code helps to find it in the documentation.
    let name = if reason == reason_of(code) { String::new() } else { format!("{reason}: ") };
    let (error, mark, reset) = (output::ERROR, output::HINT, anstyle::Reset);
    writeln!(text, "{error}error:{reset} {name}{what}\n{mark}hint:{reset} {hint}")
        .expect("a String takes all");
    text
}

fn told_json(code: u8, reason: &str, details: &[Detail], what: &str, hint: &str) -> String {
    let mut error = json!({ "reason": reason, "message": what, "hint": hint, "exit_code": code });
    if !details.is_empty() {
        error["details"] = details.iter().map(|detail| detail.json.clone()).collect();
    }
    format!("{}\n", json!({ "error": error }))
}

/// What the exit code says, as a word.
fn reason_of(code: u8) -> &'static str {
    match code {
        exit::REFUSED => "REFUSED",
        exit::USAGE => "USAGE",
        exit::CORRUPT => "CORRUPT",
        exit::UNAVAILABLE => "UNAVAILABLE",
        exit::LOCKED => "LOCKED",
        exit::CONFIG => "CONFIG",
        exit::INTERRUPTED => "INTERRUPTED",
        _ => "INPUT_OUTPUT",
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
        let (path, faults) = match error {
            ConfigError::Read { path, source } => return unreadable_configuration(&path, &source),
            ConfigError::Invalid { path, faults } => (path, faults),
            other => return Self::new(exit::CONFIG, other.to_string(), "check the file"),
        };
        let details = faults.iter().map(|fault| Detail::new(&path, fault)).collect();
        let (path, count) = (path.display(), faults.len());
        let noun = if count == 1 { "fault" } else { "faults" };
        Self::Told {
            code: exit::CONFIG,
            reason: reason_of(exit::CONFIG).into(),
            details,
            what: format!("{path} has {count} {noun}"),
            hint: "correct the lines above; `rewardpool config init` writes a right file".into(),
        }
    }
}

impl Detail {
    fn new(path: &Path, fault: &Fault) -> Self {
        let Position { line, column } = fault.position;
        Self {
            line: fault.to_line(path),
            json: json!({
                "file": path.display().to_string(),
                "line": line,
                "column": column,
                "message": fault.message,
            }),
        }
    }
}

/// A configuration that is named wrongly is a fault of the configuration; a disk that does not read
/// is not.
fn unreadable_configuration(path: &Path, source: &io::Error) -> Failure {
    use io::ErrorKind::{
        InvalidData, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
    };
    let kind = source.kind();
    let (code, hint) = if matches!(kind, NotFound | NotADirectory | InvalidFilename) {
        (exit::CONFIG, "name another file; `rewardpool config init` writes a new one")
    } else if kind == PermissionDenied {
        (exit::CONFIG, "let this user read the file")
    } else if kind == IsADirectory {
        (exit::CONFIG, "name the file in this directory")
    } else if kind == InvalidData {
        (exit::CONFIG, "write the file in UTF-8")
    } else {
        (exit::INPUT_OUTPUT, "check the disk that the file is on")
    };
    let what = format!("{}: the configuration cannot be read: {source}", path.display());
    Failure::new(code, what, hint)
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

/// Whether there is advice for just this refusal.
fn has_hint(reason: &str) -> bool {
    status_hint(Code::Ok, reason) != status_hint(Code::Ok, "")
}

fn status_hint(code: Code, reason: &str) -> &'static str {
    match reason {
        "UNKNOWN_POOL" => "`rewardpool pool ls` lists the pools; choose one with --pool",
        "UNKNOWN_ITEM" => "`rewardpool state` lists the items of a pool",
        "KEY_REUSED" => "repeat the first request exactly, or use a new key",
        "UNKNOWN_KEY" => "nothing was drawn with it, or longer ago than the pool remembers",
        "KEYS_OFF" => "draw without --key: this pool keeps none",
        "FULL" => "retired items and closed pools count too: use another pool",
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
        "UNAUTHENTICATED" => {
            "name the file of your token with --token-file, or set REWARDPOOL_TOKEN"
        }
        "PERMISSION_DENIED" => "use a token that may do this; `rewardpool token ls` shows them",
        "QUOTA" => "nothing was changed; try again a little later, with fewer draws",
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
