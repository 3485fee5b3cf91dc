//! Runs `benches/hot.rs` under callgrind, by the runner that belongs to its library.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

const RUNNER: &str = "gungraun-runner";

/// Why instructions cannot be counted here.
pub(crate) fn lack() -> Option<&'static str> {
    if !has_avx2() {
        return Some("the counts are those of x86-64 with AVX2");
    }
    if output(Command::new("valgrind").arg("--version")).is_err() {
        return Some("valgrind is not installed; tests/install-tools installs it");
    }
    None
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// The compiler and valgrind, with their versions.
pub(crate) fn tools() -> anyhow::Result<String> {
    let compiler = output(Command::new("rustc").arg("--version"))?;
    let valgrind = output(Command::new("valgrind").arg("--version"))?;
    Ok(format!("{}, {}", compiler.trim(), valgrind.trim()))
}

/// Instructions of each case of each function.
pub(crate) fn count() -> anyhow::Result<BTreeMap<String, u64>> {
    let root = root()?;
    let target = root.join("target");
    let runner = runner(&root, &target.join("tools"))?;
    let mut command = cargo(&root);
    command
        .args(["bench", "--quiet", "--locked", "--package", env!("CARGO_PKG_NAME")])
        .args(["--bench", "hot", "--", "--output-format=json", "--nosummary"])
        .env("GUNGRAUN_RUNNER", runner);
    let mut counts = BTreeMap::new();
    for line in output(&mut command)?.lines().filter(|line| line.starts_with('{')) {
        let (name, count) = read(line).with_context(|| format!("not a summary: {line}"))?;
        ensure!(counts.insert(name, count).is_none(), "counted twice: {line}");
    }
    ensure!(!counts.is_empty(), "nothing was counted");
    Ok(counts)
}

/// Reads the summary of one case.
fn read(line: &str) -> anyhow::Result<(String, u64)> {
    let summary: Value = serde_json::from_str(line)?;
    let text = |key: &str| summary[key].as_str().with_context(|| format!("no {key}"));
    let metrics = &summary["profiles"][0]["data"]["total"]["metrics"];
    let count = metrics["Ir"]["values"]["new"].as_u64().context("no instructions")?;
    Ok((format!("{}.{}", text("function_name")?, text("id")?), count))
}

/// The program that drives valgrind, of the version that the library needs; installed when it is
/// not there.
fn runner(root: &Path, tools: &Path) -> anyhow::Result<PathBuf> {
    let lock = std::fs::read_to_string(root.join("Cargo.lock"))?;
    let version = locked_version(&lock, RUNNER).context("the library's runner is locked")?;
    let runner = tools.join("bin").join(RUNNER);
    let is_there = output(Command::new(&runner).arg("--version"))
        .is_ok_and(|found| found.trim() == format!("{RUNNER} {version}"));
    if !is_there {
        let crate_of_version = format!("{RUNNER}@{version}");
        let mut install = cargo(root);
        install.args(["install", "--locked", "--quiet", "--root"]).arg(tools).arg(crate_of_version);
        output(&mut install)?;
    }
    Ok(runner)
}

fn locked_version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, entry) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    entry.split('"').next()
}

fn root() -> anyhow::Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.ancestors().nth(2).context("crates are in crates/")?.to_owned())
}

fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

/// What a program that must succeed prints; what it complains of is shown as it comes.
fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", output.status);
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_runner_is_found() {
        let lock = "[[package]]\nname = \"gungraun-runner\"\nversion = \"0.20.0\"\nsource = \"\"\n";
        assert_eq!(locked_version(lock, RUNNER), Some("0.20.0"));
        assert_eq!(locked_version(lock, "gungraun"), None);
    }

    #[test]
    fn a_summary_without_instructions_is_an_error() {
        let summary = r#"{"function_name":"f","id":"x","profiles":[{"data":{"total":{"metrics":
            {"Ir":{"values":{"new":7,"old":9}}}}}}]}"#;
        assert_eq!(read(summary).unwrap(), ("f.x".to_owned(), 7));
        assert!(read(&summary.replace("Ir", "Dr")).is_err());
        assert!(read("{}").is_err());
    }
}
