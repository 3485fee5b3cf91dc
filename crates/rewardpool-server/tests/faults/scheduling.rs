//! Goal: the thread that writes the log goes before ordinary threads where that is wanted and the
//! system permits it, and where it does not the service says what to do and runs all the same.
//! Method: the real service with and without the right, its threads read from `/proc`, what it says
//! and what its status tells compared with that.
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use rewardpool_proto::v1::GetStatusRequest;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;

use crate::load::config;
use crate::service::{Service, Setup, binary};
use crate::tools;

/// As Linux shortens the name.
const WRITER: &str = "rewardpool-writ";
/// Number of the policy in `/proc`.
const SCHED_FIFO: &str = "1";
const SCHED_NORMAL: &str = "0";
const ADVICE: &str = "permit it with CAP_SYS_NICE or with LimitRTPRIO=1";

#[test]
fn the_writer_goes_first_where_that_is_permitted() {
    if !tools::are_here(&["chrt"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = Setup::new(home.path(), &first()).start();
    // The service takes the right if this process could, and there is another processor.
    let tried = Command::new("chrt").args(["-f", "1", "true"]).stderr(Stdio::null()).status();
    let is_permitted = tried.unwrap().success();
    let is_alone = std::thread::available_parallelism().unwrap().get() < 2;
    if is_permitted && !is_alone {
        check(&service, "fifo", (SCHED_FIFO, "1"), false);
    } else {
        check(&service, "normal", (SCHED_NORMAL, "0"), !is_permitted);
    }
    assert!(service.stop().success());
}

#[test]
fn a_service_without_the_right_says_so_and_serves() {
    if !tools::are_here(&["prlimit", "setpriv"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let service = without_the_right(Setup::new(home.path(), &first())).start();
    let is_alone = std::thread::available_parallelism().unwrap().get() < 2;
    check(&service, "normal", (SCHED_NORMAL, "0"), !is_alone);
    assert!(service.stop().success());
}

#[test]
fn nothing_is_said_when_the_writer_is_meant_to_be_an_ordinary_thread() {
    let home = tempfile::tempdir().unwrap();
    let service = Setup::new(home.path(), &config("binary", "file")).start();
    check(&service, "normal", (SCHED_NORMAL, "0"), false);
    assert!(service.stop().success());
}

/// A configuration in which the writer goes first.
fn first() -> String {
    let text = config("binary", "file").replace("wal: {", "wal: { scheduling: fifo,");
    assert!(text.contains("scheduling"), "{text}");
    text
}

/// The same service without the right to real-time priorities; the process stays the same one.
fn without_the_right(mut setup: Setup) -> Setup {
    let script = setup.config.with_file_name("without-the-right");
    // Who is not root has no capability, and may not drop any.
    let drop = if tools::is_root() { "setpriv --bounding-set -sys_nice" } else { "" };
    let text = format!("#!/bin/sh\nexec {drop} prlimit --rtprio=0 {} \"$@\"\n", binary().display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    setup.binary = script;
    setup
}

/// Compares what the kernel, the status and the log say of the writer's thread. No other thread of
/// the service has a priority.
#[track_caller]
fn check(service: &Service, scheduling: &str, writer: (&str, &str), is_advised: bool) {
    let threads = threads(service.id());
    assert!(threads.iter().any(|thread| thread.name == WRITER), "{threads:?}");
    for Thread { name, priority, policy } in &threads {
        let expected = if name == WRITER { writer } else { (SCHED_NORMAL, "0") };
        assert_eq!((policy.as_str(), priority.as_str()), expected, "{name}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let status = runtime.block_on(async {
        let mut admin = PoolAdminClient::connect(service.address()).await.unwrap();
        admin.get_status(GetStatusRequest {}).await.unwrap().into_inner()
    });
    assert_eq!(status.scheduling, scheduling);
    let lines = service.said().lines().filter(|line| line.contains(ADVICE)).count();
    assert_eq!(lines, usize::from(is_advised), "{}", service.said());
}

#[derive(Debug)]
struct Thread {
    name: String,
    priority: String,
    policy: String,
}

/// The threads of a process: fields 2, 40 and 41 of their `stat`.
fn threads(process: u32) -> Vec<Thread> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let read = |task: fs::DirEntry| {
        // A thread may end meanwhile.
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(") ")?;
        let name = before.split_once('(')?.1.to_owned();
        // The first field behind the name is the third one.
        let field = |number: usize| after.split_whitespace().nth(number - 3).map(str::to_owned);
        Some(Thread { name, priority: field(40)?, policy: field(41)? })
    };
    tasks.filter_map(|task| read(task.unwrap())).collect()
}
