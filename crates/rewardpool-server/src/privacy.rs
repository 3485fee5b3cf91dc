//! Keeps what the process holds from others on the same machine: secrets of pools, tokens, and keys.
use std::io;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::process::{set_dumpable_behavior, setrlimit, umask};

/// From now on, files that the process makes are for its own user only, and a crash leaves no copy
/// of its memory. Other processes of the user cannot read its memory either; root can.
///
/// # Errors
/// When the system does not permit one of them. The others hold all the same.
pub fn keep_private() -> io::Result<()> {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    // The limit is for files; where a program gets the core, the kernel asks the other one only.
    let limited = setrlimit(Resource::Core, none);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(limited?)
}
