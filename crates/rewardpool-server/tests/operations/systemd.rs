//! Goal: the unit of systemd is right, tight, and does not keep the service from its work. Method:
//! systemd's own tools judge it; and because a test cannot be systemd, strace lists every call that
//! the real service makes while it does all that it can, which must be among those that the unit
//! allows.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rewardpool_server::config::Config;

use crate::service::{Service, binary, run, serve};
use crate::tools::are_here;

/// In tenths of systemd's scale from 0 to 10; anything above 20 has to be explained.
const EXPOSURE_MAX: &str = "15";

fn unit_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib/systemd/rewardpool.service")
}

fn unit() -> String {
    fs::read_to_string(unit_file()).unwrap()
}

/// The values of a setting, in their order.
fn settings<'u>(unit: &'u str, name: &str) -> Vec<&'u str> {
    let of_name = |line: &'u str| line.split_once('=').filter(|(key, _)| *key == name);
    unit.lines().filter_map(of_name).map(|(_, value)| value).collect()
}

#[track_caller]
fn setting<'u>(unit: &'u str, name: &str) -> &'u str {
    let values = settings(unit, name);
    assert_eq!(values.len(), 1, "{name} is set once");
    values[0]
}

fn seconds(text: &str) -> u64 {
    let (number, unit) = text.split_at(text.find(char::is_alphabetic).unwrap());
    number.parse::<u64>().unwrap() * if unit == "min" { 60 } else { 1 }
}

#[test]
fn systemd_takes_the_unit_and_finds_it_tight() {
    if !are_here(&["systemd-analyze"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("rewardpool.service");
    let program = "/usr/local/bin/rewardpool";
    let unit = unit();
    assert!(setting(&unit, "ExecStart").starts_with(&format!("{program} serve ")));
    fs::write(&file, unit.replace(program, binary().to_str().unwrap())).unwrap();
    let verified = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");
    let security = Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true"])
        .arg(format!("--threshold={EXPOSURE_MAX}"))
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&security.stdout).into_owned();
    assert!(security.status.success(), "{said}");
    // A threshold that nothing could miss would say nothing.
    let open = place.path().join("open.service");
    fs::write(&open, "[Service]\nExecStart=/bin/true\n").unwrap();
    let security = Command::new("systemd-analyze")
        .args(["security", "--no-pager", "--offline=true"])
        .arg(format!("--threshold={EXPOSURE_MAX}"))
        .arg(&open)
        .output()
        .unwrap();
    assert!(!security.status.success());
}

#[test]
fn the_unit_fits_the_program() {
    let unit = unit();
    assert_eq!(setting(&unit, "Type"), "notify");
    let drain = Config::built_in().drain_timeout.as_secs();
    assert!(seconds(setting(&unit, "TimeoutStopSec")) >= 2 * drain, "a stop has time");
    let lasting: Vec<_> = setting(&unit, "RestartPreventExitStatus").split(' ').collect();
    assert_eq!(lasting, ["64", "65", "78"]);
    assert_eq!(setting(&unit, "Restart"), "on-failure");
    // It starts with exactly these arguments.
    let arguments = setting(&unit, "ExecStart").split(' ').skip(1).collect::<Vec<_>>();
    let ["serve", "--config", "/etc/rewardpool/config.yaml", "--working-dir", directory] =
        arguments[..]
    else {
        panic!("{arguments:?}")
    };
    assert_eq!(directory, format!("/var/lib/{}", setting(&unit, "StateDirectory")));
}

/// Groups of calls, by name.
type Groups<'l> = BTreeMap<&'l str, Vec<&'l str>>;

fn expand(name: &str, groups: &Groups<'_>, calls: &mut BTreeSet<String>) {
    match groups.get(name) {
        Some(members) => members.iter().for_each(|member| expand(member, groups, calls)),
        None => drop(calls.insert(name.to_owned())),
    }
}

/// Calls that the unit allows: of its filters those that are named, without those that are denied.
fn allowed() -> BTreeSet<String> {
    let listed = Command::new("systemd-analyze").args(["syscall-filter", "--no-pager"]).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    let mut groups = Groups::new();
    let mut group = "";
    for line in listed.lines() {
        if line.starts_with('@') {
            group = line.trim();
        } else if line.starts_with(' ') && !line.trim().starts_with('#') {
            groups.entry(group).or_default().push(line.trim());
        }
    }
    let mut calls = BTreeSet::new();
    let unit = unit();
    let filters = settings(&unit, "SystemCallFilter");
    assert!(filters.len() >= 2, "{filters:?}");
    for filter in filters {
        let (is_denied, names) = match filter.strip_prefix('~') {
            Some(names) => (true, names),
            None => (false, filter),
        };
        let mut named = BTreeSet::new();
        names.split(' ').for_each(|name| expand(name, &groups, &mut named));
        if is_denied {
            calls.retain(|call| !named.contains(call));
        } else {
            calls.extend(named);
        }
    }
    calls
}

/// Starts, recovers, draws, changes, snapshots, is watched, is backed up, drains and stops.
fn work(trace: &Path, home: &Path, storage: &str) {
    let config = home.join("config.yaml");
    let text = format!(
        "pool: {{ catalog: [{{ item_id: gold, quantity: 100, weight: 1 }}] }}\n\
         wal: {{ storage: {storage}, max_file_size_kb: 64 }}\n"
    );
    fs::write(&config, text).unwrap();
    for life in 0..2 {
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-e", "trace=all", "-o"]);
        command.arg(trace.with_extension(life.to_string())).arg(binary());
        serve(&mut command, &home.join("data"));
        let service = Service::start({
            command.arg("--config").arg(&config);
            command
        });
        let address = &service.address;
        let pools = home.join(format!("pools-{life}.yaml"));
        let items = "{ item_id: ticket, quantity: 5, weight: 1 }";
        fs::write(&pools, format!("pool: {{ id: more-{life}, catalog: [{items}] }}\n")).unwrap();
        for words in [
            "draw -n 10000 --pool default",
            "update gold --quantity +5 --reason more --pool default",
            &format!("pool create --file {}", pools.display()),
            "snapshot take",
            "status",
            "state --pool default",
            "health",
            "backup - --history",
        ] {
            let output = run(&format!("{words} --addr {address}"));
            assert!(output.status.success(), "{words}: {output:?}");
        }
        assert!(service.stop().success());
    }
}

#[test]
fn all_that_the_service_does_is_allowed_by_the_unit() {
    if !are_here(&["systemd-analyze", "strace"]) {
        return;
    }
    let allowed = allowed();
    assert!(allowed.contains("fdatasync") && allowed.len() > 200, "{allowed:?}");
    assert!(!allowed.contains("mount") && !allowed.contains("sched_setscheduler"));
    let mut seen = BTreeSet::new();
    for storage in ["file", "mmap"] {
        let home = tempfile::tempdir().unwrap();
        let trace = home.path().join("trace");
        work(&trace, home.path(), storage);
        for life in 0..2 {
            let text = fs::read_to_string(trace.with_extension(life.to_string())).unwrap();
            for line in text.lines() {
                let Some((_, call)) = line.split_once(' ') else { continue };
                let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
                if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
                    continue;
                }
                // What MemoryDenyWriteExecute denies.
                let is_executable = arguments.contains("PROT_EXEC");
                let is_writable = arguments.contains("PROT_WRITE");
                let is_denied = is_executable && (name == "mprotect" || is_writable);
                assert!(!is_denied, "{line}");
                seen.insert(name.to_owned());
            }
        }
    }
    let denied: Vec<_> = seen.difference(&allowed).collect();
    assert!(denied.is_empty(), "the unit denies {denied:?}");
    for call in ["fdatasync", "msync", "accept4", "renameat", "rename"] {
        assert!(
            seen.contains(call) || call.starts_with("rename"),
            "strace saw no {call}: {seen:?}"
        );
    }
    println!("{} kinds of calls, all of them allowed", seen.len());
}
