//! Makes one call to the operating system fail, or the process die there: a library that is
//! preloaded into the real program.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::service::Setup;
use crate::tools::{are_here, compile};

/// What happens to a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    /// The process is killed before it.
    Kill,
    /// The process is killed after it, before the program hears of it.
    KillAfter,
    /// It fails and does nothing: the device is broken.
    InputOutput,
    /// It fails and does nothing: the disk is full.
    NoSpace,
    /// It fails and does nothing: the user's share of the disk is used up.
    Quota,
    /// It fails and does nothing: a signal came.
    Interrupted,
    /// It writes half of the bytes. Only writes are counted.
    Short,
}

impl Fault {
    pub(crate) const ALL: [Self; 7] = [
        Self::Kill,
        Self::KillAfter,
        Self::InputOutput,
        Self::NoSpace,
        Self::Quota,
        Self::Interrupted,
        Self::Short,
    ];

    /// The name that the shim knows it by; a number is an errno.
    const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillAfter => "kill-after",
            Self::InputOutput => "5",
            Self::NoSpace => "28",
            Self::Quota => "122",
            Self::Interrupted => "4",
            Self::Short => "short",
        }
    }
}

/// Which call meets a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    /// From 1, over all threads of the process.
    pub(crate) at: u64,
}

/// A call that the shim saw.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    /// Relative to the directory that is watched; empty for the directory itself.
    pub(crate) file: String,
    /// Whether it met the fault.
    pub(crate) is_met: bool,
}

/// The compiled library.
#[derive(Debug)]
pub(crate) struct Shim {
    directory: TempDir,
}

impl Shim {
    /// `None` where it cannot be compiled.
    pub(crate) fn new() -> Option<Self> {
        if !are_here(&["cc"]) {
            return None;
        }
        let shim = Self { directory: tempfile::tempdir().unwrap() };
        compile("shim/system_calls.c", &shim.library());
        Some(shim)
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("system_calls.so")
    }

    /// Makes a service count its calls below a directory, write them to a log, and meet a fault.
    pub(crate) fn preload(
        &self,
        setup: Setup,
        watched: &Path,
        log: &Path,
        plan: Option<Plan>,
    ) -> Setup {
        let setup = setup.with_variable("LD_PRELOAD", self.library());
        let setup = setup.with_variable("SHIM_DIRECTORY", watched).with_variable("SHIM_LOG", log);
        let Some(Plan { fault, at }) = plan else { return setup };
        setup.with_variable("SHIM_FAULT", fault.name()).with_variable("SHIM_AT", at.to_string())
    }

    /// Makes another program do the same.
    pub(crate) fn preload_command(
        &self,
        command: &mut Command,
        watched: &Path,
        log: &Path,
        plan: Option<Plan>,
    ) {
        command.env("LD_PRELOAD", self.library());
        command.env("SHIM_DIRECTORY", watched).env("SHIM_LOG", log);
        if let Some(Plan { fault, at }) = plan {
            command.env("SHIM_FAULT", fault.name()).env("SHIM_AT", at.to_string());
        }
    }

    /// Makes every sync of a service say that it is done and do nothing.
    pub(crate) fn lie(&self, setup: Setup, watched: &Path) -> Setup {
        let setup = setup.with_variable("LD_PRELOAD", self.library());
        let setup = setup.with_variable("SHIM_DIRECTORY", watched);
        setup.with_variable("SHIM_FAULT", "lie").with_variable("SHIM_AT", "0")
    }
}

/// The calls that a program made, in their order.
pub(crate) fn calls(log: &Path, watched: &Path) -> Vec<Call> {
    let text = fs::read_to_string(log).unwrap();
    text.lines().map(|line| parse(line, watched).expect("a line of the shim")).collect()
}

fn parse(line: &str, watched: &Path) -> Option<Call> {
    let (rest, fault) = line.rsplit_once(' ')?;
    let (function, path) = rest.split_once(' ')?;
    let file = Path::new(path).strip_prefix(watched).ok()?.to_str()?.to_owned();
    Some(Call { function: function.to_owned(), file, is_met: fault != "-" })
}
