//! T7, seen from the kernel. Goal: the shim misses nothing, so that "every system call" is true.
//! Method: strace watches the real binary, with the shim in it, on the same errand; both must have
//! seen the same calls to the same files. The long run lets strace fail calls too.
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rewardpool_checker::history::{FaultKind, What};

use crate::errand::Ran;
use crate::service::{PATIENCE, Setup, binary};
use crate::shim::{Shim, calls};
use crate::system_calls::{
    FAILED, GOES_ON, Kind, Place, Start, killed_service, live, recover_and_judge,
};
use crate::tools::are_here;

/// Calls that change nothing and that a program can do without, or that only the shim makes.
const NOT_COUNTED: [&str; 13] = [
    "close",
    "execve",
    "fcntl",
    "flock",
    "fstat",
    "getdents64",
    "ioctl",
    "lseek",
    "munmap",
    "newfstatat",
    "readlink",
    "readlinkat",
    "statx",
];

/// How often each function was called on each file.
type Counts = BTreeMap<(String, String), u64>;

#[test]
fn the_shim_sees_all_that_strace_sees() {
    if !are_here(&["strace"]) {
        return;
    }
    let Some(shim) = Shim::new() else { return };
    let each = |start| ["file", "mmap"].map(|storage| Kind { storage, format: "binary", start });
    for kind in [Start::Fresh, Start::Recovery].into_iter().flat_map(each) {
        let place = match kind.start {
            Start::Fresh => Place::new(kind),
            Start::Recovery => killed_service(kind).0,
        };
        let setup = shim.preload(place.setup.clone(), &place.watched(), &place.calls_log(), None);
        let trace = place.root.path().join("trace");
        let life = live(&under_strace(setup, &trace, ""), &place.serial, async |client| {
            client.run().await
        });
        assert_eq!((life.end, life.ran), (GOES_ON, Ran::ToItsEnd), "{}", life.log);
        let by_strace = traced(&finished(&trace), &place.watched());
        let mut by_shim = Counts::new();
        for call in calls(&place.calls_log(), &place.watched()) {
            // The kernel gives many names at once, and knows maps by their address.
            if call.function != "readdir" {
                let file = if call.function == "msync" { String::new() } else { call.file };
                *by_shim.entry((call.function, file)).or_default() += 1;
            }
        }
        assert_eq!(by_shim, by_strace, "{kind:?}: left is the shim, right is strace");
        let is_sync = |(function, _): &&(String, String)| function.ends_with("sync");
        assert!(by_strace.keys().filter(is_sync).count() > 3, "strace sees too little");
    }
}

#[test]
fn calls_that_strace_fails_are_survived() {
    if !are_here(&["strace"]) {
        return;
    }
    let (mut runs, mut failures) = (0, Vec::new());
    for function in ["pwrite64", "fdatasync", "fsync", "rename"] {
        for number in 1..=8 {
            let kind = Kind { storage: "file", format: "json", start: Start::Fresh };
            let place = Place::new(kind);
            let inject = format!("-e inject={function}:error=EIO:when={number}");
            let trace = place.root.path().join("trace");
            let setup = under_strace(place.setup.clone(), &trace, &inject);
            place.record(What::Fault { kind: FaultKind::InputOutput, detail: inject.clone() });
            let life = live(&setup, &place.serial, async |client| client.run().await);
            place.record(What::Fault { kind: FaultKind::Healed, detail: String::new() });
            // Strace counts for each thread alone, and not every thread calls it so often.
            let is_met = fs::read_to_string(&trace).unwrap().contains("(INJECTED)");
            runs += u64::from(is_met);
            if life.end != if is_met { FAILED } else { GOES_ON } {
                failures.push(format!("{inject}: ended with {:?}: {}", life.end, life.log));
            }
            let judged = recover_and_judge(&place);
            failures.extend(judged.into_iter().map(|fault| format!("{inject}: {fault}")));
        }
    }
    let count = u64::try_from(failures.len()).unwrap();
    rewardpool_tally::record("T7 calls that strace fails", runs, runs, count);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(runs >= 20, "strace failed too few calls: {runs}");
}

/// The same service, with strace as its grandchild: the process that is started is still its own.
fn under_strace(mut setup: Setup, trace: &Path, options: &str) -> Setup {
    let script = setup.config.with_file_name("under-strace");
    let text = format!(
        "#!/bin/sh\nexec strace -D -f -q -y -o {} -e trace=%file,%desc,msync {options} -- {} \"$@\"\n",
        trace.display(),
        binary().display(),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    setup.binary = script;
    setup
}

/// The trace, when strace has written the last of it.
fn finished(trace: &PathBuf) -> String {
    let begun = Instant::now();
    loop {
        let text = fs::read_to_string(trace).unwrap();
        let main = text.split_whitespace().next().unwrap();
        if text.lines().any(|line| line.starts_with(main) && line.contains("+++ exited with")) {
            return text;
        }
        assert!(begun.elapsed() < PATIENCE, "strace does not end");
        std::thread::yield_now();
    }
}

/// What strace saw of the files below a directory.
fn traced(trace: &str, watched: &Path) -> Counts {
    let watched = watched.to_str().unwrap();
    let mut counts = Counts::new();
    for line in trace.lines() {
        // "PID function(arguments) = result"; an interrupted line is counted where it begins.
        let (_, call) = line.split_once(' ').unwrap();
        let Some((function, arguments)) = call.trim_start().split_once('(') else { continue };
        if function == "msync" {
            *counts.entry(("msync".to_owned(), String::new())).or_default() += 1;
        }
        let is_private = function == "mmap" && !arguments.contains("MAP_SHARED");
        if !arguments.contains(watched) || NOT_COUNTED.contains(&function) || is_private {
            continue;
        }
        let names: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
        let descriptor = || arguments.split_once('<').unwrap().1.split_once('>').unwrap().0;
        let (function, path) = match function {
            "openat" if arguments.contains("O_CREAT") => ("create", names[0]),
            "openat" if arguments.contains("O_DIRECTORY") => ("opendir", names[0]),
            "openat" => ("open", names[0]),
            "rename" => ("rename", names[1]),
            "unlink" | "mkdir" => (function, names[0]),
            "read" | "write" | "pwrite64" | "fsync" | "fdatasync" | "mmap" => {
                (function, descriptor())
            }
            other => panic!("the shim does not know {other}: {line}"),
        };
        let Ok(file) = Path::new(path).strip_prefix(watched) else { continue };
        let file = file.to_str().unwrap().to_owned();
        *counts.entry((function.to_owned(), file)).or_default() += 1;
    }
    counts
}
