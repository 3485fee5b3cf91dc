//! The programs and rights that a fault needs. Where one is missing, the test is skipped with a
//! word, but not under CI: there it fails.
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Whether these programs are installed.
pub(crate) fn are_here(programs: &[&str]) -> bool {
    let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).collect();
    let lack = format!("not installed: {missing:?}; tests/install-tools installs them");
    missing.is_empty() || skip(&lack)
}

/// Whether this process may mount.
pub(crate) fn may_mount() -> bool {
    is_root() || skip("only root may mount")
}

/// Says what a test lacks. Gives `false`.
///
/// # Panics
/// Under CI, which must have it.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn skip(lack: &str) -> bool {
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_ci, "CI must have what the test needs; {lack}");
    eprintln!("skipped; {lack}");
    false
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // A user's PATH may lack the directories of what only root uses.
    let more = [Path::new("/usr/sbin").to_owned(), Path::new("/sbin").to_owned()];
    std::env::split_paths(&path).chain(more).any(|directory| directory.join(program).is_file())
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}

/// Runs a program that must succeed, and gives what it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// Compiles a plugin or a shim from its source beside this file.
pub(crate) fn compile(source: &str, library: &Path) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(source);
    let options = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"];
    run(Command::new("cc")
        .args(options)
        .args(["-shared", "-fPIC", "-o"])
        .args([library, &source])
        .args(["-ldl", "-lpthread"]));
}
