//! The programs that a test needs. Where one is missing, the test is skipped with a word, but not under
//! CI: there it fails.

/// Whether these programs are installed.
///
/// # Panics
/// Under CI, which must have them.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn are_here(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |program: &&&str| {
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let missing: Vec<_> = programs.iter().filter(|program| !is_here(program)).collect();
    if missing.is_empty() {
        return true;
    }
    let lack = format!("not installed: {missing:?}; tests/install-tools installs them");
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_ci, "CI must have what the test needs; {lack}");
    eprintln!("skipped; {lack}");
    false
}
