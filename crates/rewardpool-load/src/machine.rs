//! On what a run was measured, and whether somebody else used the machine meanwhile.
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::log::{float, ratio};

/// Above this share of all CPUs that others use, a run cannot be trusted.
pub const OTHERS_PERCENT_MAX: f64 = 10.0;
/// A single tick may be rounding; more is a neighbour of a virtual machine.
const STEAL_PERCENT_MAX: f64 = 0.5;
/// CPU time is counted in ticks of 10 ms, of which a run must have many.
const SHORTEST: Duration = Duration::from_secs(1);
/// File systems that keep nothing.
const VOLATILE: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];

/// The machine of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the first CPU, as the kernel tells it.
    pub cpu: String,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// File system of the log's directory, for example `ext4`; `-` when there is none.
    pub filesystem: String,
    /// Whether the program was built with optimisations.
    pub optimised: bool,
}

impl Machine {
    /// This machine, with the file system of a directory.
    pub fn of(directory: Option<&Path>) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let filesystem = directory.and_then(|directory| {
            let directory = directory.canonicalize().ok()?;
            filesystem(&read("/proc/self/mountinfo"), &directory)
        });
        Self {
            cpu: cpu_model(&read("/proc/cpuinfo")),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            filesystem: filesystem.unwrap_or_else(|| "-".to_owned()),
            optimised: !cfg!(debug_assertions),
        }
    }
}

fn cpu_model(cpuinfo: &str) -> String {
    let names = ["model name", "Model", "CPU part", "cpu model"];
    let line = names.iter().find_map(|name| cpuinfo.lines().find(|line| line.starts_with(name)));
    let model = line.and_then(|line| line.split_once(':')).map(|(_, model)| model.trim());
    model.filter(|model| !model.is_empty()).unwrap_or("unknown").to_owned()
}

/// The type of the file system that is mounted nearest above the directory.
fn filesystem(mountinfo: &str, directory: &Path) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        // Blanks in a path are written as \040; such a mount is not found, which is harmless.
        let point = Path::new(mount.split(' ').nth(4)?);
        let kind = filesystem.split(' ').next()?;
        directory.starts_with(point).then(|| (point.components().count(), kind.to_owned()))
    });
    // Of two mounts on one point the later one hides the other, and `max_by_key` gives the last.
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}

/// Whether the figures of a run are worth anything, and why not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trust {
    /// Whether they are.
    pub trusted: bool,
    /// Why they are not; empty when they are.
    pub reasons: Vec<String>,
    /// CPU time that neither this process nor the service that it started used, in percent of all
    /// CPUs.
    pub others_cpu_percent: f64,
    /// CPU time that the hypervisor gave to somebody else, in percent of all CPUs.
    pub steal_percent: f64,
    /// CPU time of this process and of the service that it started, in percent of all CPUs.
    pub own_cpu_percent: f64,
}

impl Trust {
    /// Adds a reason not to trust the figures.
    pub fn doubt(&mut self, reason: impl Into<String>) {
        self.trusted = false;
        self.reasons.push(reason.into());
    }
}

/// Looks at the CPUs from the begin of a run to its end.
#[derive(Debug)]
pub struct Observer {
    begun: Instant,
    children: Vec<u32>,
    before: Option<Ticks>,
}

impl Observer {
    /// Begins. The children are those whose CPU time is not that of others; they must run until
    /// the end.
    pub fn begin(children: &[u32]) -> Self {
        let before = Ticks::now(children);
        Self { begun: Instant::now(), children: children.to_owned(), before }
    }

    /// Ends, and judges the run on this machine.
    pub fn end(self, machine: &Machine) -> Trust {
        let used = match (self.before, Ticks::now(&self.children)) {
            (Some(before), Some(after)) => Some(after.since(before)),
            _ => None,
        };
        judge(used, self.begun.elapsed(), machine)
    }
}

fn judge(used: Option<Used>, elapsed: Duration, machine: &Machine) -> Trust {
    let Used { others: others_cpu_percent, steal: steal_percent, own: own_cpu_percent } =
        used.unwrap_or_default();
    let mut trust = Trust {
        trusted: true,
        reasons: Vec::new(),
        others_cpu_percent,
        steal_percent,
        own_cpu_percent,
    };
    if used.is_none() {
        trust.doubt("the kernel does not tell who used the CPUs");
    }
    if others_cpu_percent > OTHERS_PERCENT_MAX {
        let max = OTHERS_PERCENT_MAX;
        trust.doubt(format!("others used {others_cpu_percent:.1} % of the CPUs (at most {max} %)"));
    }
    if steal_percent > STEAL_PERCENT_MAX {
        trust.doubt(format!("the hypervisor took away {steal_percent:.1} % of the CPUs"));
    }
    if elapsed < SHORTEST {
        trust.doubt("it took less than a second");
    }
    if !machine.optimised {
        trust.doubt("the program was built without optimisations");
    }
    if VOLATILE.contains(&machine.filesystem.as_str()) {
        let kind = &machine.filesystem;
        trust.doubt(format!("the log was on {kind}, which is memory: nothing was made durable"));
    }
    trust
}

/// Shares of all CPUs, in percent.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
struct Used {
    others: f64,
    steal: f64,
    own: f64,
}

/// CPU time since the machine started, in ticks.
#[derive(Clone, Copy, Debug)]
struct Ticks {
    /// Of all CPUs together, idle or not.
    all: u64,
    /// Spent by processes and the kernel for them. Interrupts are left out: they are caused by the
    /// run itself as well, and counted with whom they happen to interrupt.
    busy: u64,
    steal: u64,
    /// Of this process and its children.
    own: u64,
}

impl Ticks {
    fn now(children: &[u32]) -> Option<Self> {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let (all, busy, steal) = machine_ticks(&machine)?;
        let own = process_ticks(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let of =
            |child: &u32| process_ticks(&fs::read_to_string(format!("/proc/{child}/stat")).ok()?);
        let children: u64 = children.iter().filter_map(of).sum();
        Some(Self { all, busy, steal, own: own + children })
    }

    fn since(self, before: Self) -> Used {
        let all = float(self.all.saturating_sub(before.all));
        let own = self.own.saturating_sub(before.own);
        let busy = self.busy.saturating_sub(before.busy);
        let percent = |ticks: u64| 100.0 * ratio(float(ticks), all);
        Used {
            others: percent(busy.saturating_sub(own)),
            steal: percent(self.steal.saturating_sub(before.steal)),
            own: percent(own),
        }
    }
}

/// From `/proc/stat`: all, busy and stolen ticks.
fn machine_ticks(stat: &str) -> Option<(u64, u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Option<Vec<u64>> =
        line.split_ascii_whitespace().take(8).map(|field| field.parse().ok()).collect();
    let fields = fields?;
    let [user, nice, system, _idle, _iowait, _irq, _softirq, steal] = fields[..] else {
        return None;
    };
    Some((fields.iter().sum(), user + nice + system, steal))
}

/// From `/proc/PID/stat`: ticks of a process with those of its children that have ended.
fn process_ticks(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may hold anything, parentheses and blanks too.
    let (_, fields) = stat.rsplit_once(") ")?;
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    let times: Option<Vec<u64>> = times.map(|field| field.parse().ok()).collect();
    times.filter(|times| times.len() == 4).map(|times| times.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
23 22 0:21 / /tmp rw,nosuid - tmpfs tmpfs rw
24 23 254:2 / /tmp/disk rw shared:7 master:2 - xfs /dev/vdb rw
25 22 0:9 / /old rw - ext4 /dev/a rw
26 22 0:9 / /old rw - btrfs /dev/b rw
";

    fn machine(filesystem: &str) -> Machine {
        let (cpu, kernel) = ("a CPU".to_owned(), "6".to_owned());
        Machine { cpu, cpus: 2, kernel, filesystem: filesystem.to_owned(), optimised: true }
    }

    #[test]
    fn the_nearest_mount_tells_the_file_system() {
        let of = |path: &str| filesystem(MOUNTS, Path::new(path)).unwrap();
        assert_eq!(of("/home/a"), "ext4");
        assert_eq!(of("/tmp"), "tmpfs");
        assert_eq!(of("/tmpfoo"), "ext4");
        assert_eq!(of("/tmp/disk/a/b"), "xfs");
        assert_eq!(of("/old/a"), "btrfs");
        assert_eq!(filesystem("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn this_machine_is_described() {
        let machine = Machine::of(Some(&std::env::temp_dir()));
        assert!(machine.cpus >= 1 && !machine.kernel.is_empty(), "{machine:?}");
        assert_ne!(machine.filesystem, "-");
        assert_eq!(Machine::of(None).filesystem, "-");
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: A B: C\n"), "A B: C");
        assert_eq!(cpu_model(""), "unknown");
    }

    #[test]
    fn ticks_are_read_as_the_kernel_writes_them() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 1\ncpu0 1 2 3\n";
        assert_eq!(machine_ticks(stat), Some((531, 60, 8)));
        assert_eq!(machine_ticks("cpu  1 2 x\n"), None);
        let process = "7 (a) b) (c) R 1 7 7 0 -1 4 1 0 0 0 11 22 3 4 20 0 1 0 5\n";
        assert_eq!(process_ticks(process), Some(40));
        assert_eq!(process_ticks("7 (a) R 1 2"), None);
    }

    #[test]
    fn what_is_not_our_own_is_that_of_others() {
        let before = Ticks { all: 1_000, busy: 100, steal: 5, own: 40 };
        let after = Ticks { all: 1_400, busy: 400, steal: 7, own: 240 };
        assert_eq!(after.since(before), Used { others: 25.0, steal: 0.5, own: 50.0 });
        // Ticks of a process and of the machine are not counted at the same moment.
        let ahead = Ticks { all: 1_400, busy: 200, steal: 5, own: 150 };
        assert_eq!(ahead.since(before).others.to_bits(), 0.0_f64.to_bits());
        assert_eq!(before.since(before), Used::default());
    }

    #[test]
    fn each_reason_alone_ends_the_trust() {
        let long = Duration::from_secs(5);
        let used = |others, steal| Some(Used { others, steal, own: 50.0 });
        assert!(judge(used(10.0, 0.5), long, &machine("ext4")).trusted);
        let debug = Machine { optimised: false, ..machine("ext4") };
        let doubtful = [
            (judge(used(10.1, 0.0), long, &machine("ext4")), "others used 10.1 %"),
            (judge(used(0.0, 0.6), long, &machine("ext4")), "hypervisor"),
            (judge(used(0.0, 0.0), long / 6, &machine("ext4")), "less than a second"),
            (judge(used(0.0, 0.0), long, &machine("tmpfs")), "tmpfs"),
            (judge(used(0.0, 0.0), long, &debug), "optimisations"),
            (judge(None, long, &machine("ext4")), "does not tell"),
        ];
        for (trust, reason) in doubtful {
            assert!(!trust.trusted && trust.reasons.len() == 1, "{trust:?}");
            assert!(trust.reasons[0].contains(reason), "{trust:?}");
        }
    }

    #[test]
    fn work_of_this_process_is_not_that_of_others() {
        let before = Ticks::now(&[]).expect("Linux tells");
        let until = Instant::now() + Duration::from_secs(20);
        // Enough ticks for a figure, however busy the machine is.
        let after = loop {
            let after = Ticks::now(&[]).expect("Linux tells");
            if after.own >= before.own + 10 || Instant::now() > until {
                break after;
            }
        };
        assert!(after.since(before).own > 0.0);
    }
}
