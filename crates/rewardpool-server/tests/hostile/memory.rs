//! T14. Goal: a service with 128 MiB of memory lives through clients that ask for more.
//! Method: a control group of the system with that much (version 2 or 1, whichever is there), many
//! connections with many calls whose answers are not taken, and an honest client beside them.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rewardpool_client::Access;
use rewardpool_tally::Trial;

use crate::honest::{CONFIG, Ground, address, runtime};
use crate::service::{Setup, binary};
use crate::wire::{GET_STATE, INITIAL_WINDOW, Wire, call, get_state};

const BYTES: u64 = 128 * 1024 * 1024;
const CONNECTIONS: usize = 200;
const CALLS: u32 = 128;

/// A control group, removed in the end.
struct Group(PathBuf);

impl Group {
    /// Makes one, where this process may.
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn make() -> Option<Self> {
        let name = format!("rewardpool-{}", std::process::id());
        let kinds =
            [("/sys/fs/cgroup", "memory.max"), ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")];
        for (root, limit) in kinds {
            let group = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() || fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if fs::write(group.0.join(limit), BYTES.to_string()).is_ok() {
                return Some(group);
            }
        }
        let lack = "no control group for memory can be made: it takes root and the controller";
        assert!(std::env::var_os("CI").is_none_or(|value| value.is_empty()), "{lack}");
        eprintln!("skipped; {lack}");
        None
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The system says busy until the last process is gone for good.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn little_memory_is_enough() {
    let Some(group) = Group::make() else { return };
    let trial = Trial::begin("T14 little memory");
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("little-memory");
    let (procs, program) = (group.0.join("cgroup.procs"), binary());
    let (procs, program) = (procs.display(), program.display());
    let text = format!("#!/bin/sh\necho $$ > '{procs}' && exec '{program}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let setup = Setup { binary: script, ..Setup::new(home.path(), CONFIG) };
    let service = setup.start();
    let ground = Ground { service, home, runtime: runtime(), access: Access::default() };
    let honest = ground.honest("honest");
    ground.runtime.block_on(async {
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            let to = address(&ground.service);
            let mut wire = Wire::greeted_with(to, &[(INITIAL_WINDOW, 0)]).await.unwrap();
            let calls: Vec<u8> =
                (0..CALLS).flat_map(|n| call(GET_STATE, 2 * n + 1, &get_state("main"))).collect();
            drop(wire.send(&calls).await);
            wires.push(wire);
        }
        for wire in &mut wires {
            wire.read_until(Duration::from_millis(5), |seen| !seen.resets.is_empty()).await;
        }
    });
    let memory = ground.memory();
    println!("{CONNECTIONS} connections with {CALLS} calls each: {memory} KiB in the end");
    let diary = honest.end();
    // 25 600 calls are more than it answers soon, so it may say so.
    println!("{} honest draws, {} refused", diary.latencies.len(), diary.refused);
    assert!(!diary.latencies.is_empty());
    assert_eq!(diary.failures, Vec::<String>::new());
    ground.end();
    drop(group);
    trial.pass(1, u64::try_from(CONNECTIONS).unwrap());
}
