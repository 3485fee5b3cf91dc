//! T7. Goal: whichever call to the operating system fails, and wherever the process dies, what was
//! acknowledged is there after the next start, what was refused has no effect, and the process goes
//! on or ends exactly as it promises.
//! Method: the real binary does a fixed errand again and again, and each time another of its calls
//! meets a fault, through a preloaded shim; then it is started again without the shim, and the
//! checker compares what the client was told with the log.
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{Event, FaultKind, What};
use rewardpool_checker::log;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::errand::{Errand, Ran};
use crate::service::{NotReady, PATIENCE, SIGKILL, Setup, binary};
use crate::shim::{Call, Fault, Plan, Shim, calls};

/// Lives that are tried at the same time.
const WORKERS: usize = 2;
/// The number of calls differs a little between runs; when so many in a row are not reached, the
/// errand has no more.
const UNREACHED: u64 = 3;
/// How often a call that slipped through is tried again.
const SEEKS: usize = 40;
/// Calls by which the number of a call differs from one start to the next, at most.
const SHIFT: u64 = 5;

/// How the service is set up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Kind {
    pub(crate) storage: &'static str,
    pub(crate) format: &'static str,
    pub(crate) start: Start,
}

/// What the start with the fault finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Start {
    /// Nothing, not even its directory.
    Fresh,
    /// What a killed service left behind.
    Recovery,
}

/// A directory with its history.
pub(crate) struct Place {
    pub(crate) root: TempDir,
    pub(crate) setup: Setup,
    pub(crate) serial: Arc<AtomicU32>,
    kind: Kind,
}

impl Place {
    /// In memory, where a sync costs nothing, if that is possible.
    pub(crate) fn new(kind: Kind) -> Self {
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let config = format!(
            "pool:\n  catalog:\n    - {{ item_id: diamond, quantity: 40, weight: 30 }}\n    \
             - {{ item_id: gold, quantity: 1000, weight: 30 }}\n    \
             - {{ item_id: mud, quantity: -1, weight: 40 }}\n\
             wal:\n  max_file_size_kb: 64\n  formatter: {}\n  storage: {}\n\
             log:\n  format: json\n",
            kind.format, kind.storage
        );
        let mut setup = Setup::new(root.path(), &config);
        let watched = root.path().join("work");
        fs::create_dir(&watched).unwrap();
        setup.data = watched.join("data");
        Self { root, setup, serial: Arc::default(), kind }
    }

    /// The same directory and history once more.
    fn copy(&self, history: &[Event]) -> Self {
        let copy = Self::new(self.kind);
        for event in history {
            copy.record(event.what.clone());
        }
        copy.serial.store(self.serial.load(Ordering::Relaxed), Ordering::Relaxed);
        fs::create_dir(&copy.setup.data).unwrap();
        for entry in fs::read_dir(&self.setup.data).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), copy.setup.data.join(entry.file_name())).unwrap();
        }
        copy
    }

    /// The calls below here are counted: in the working directory and in the one above it.
    pub(crate) fn watched(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub(crate) fn calls_log(&self) -> PathBuf {
        self.root.path().join("calls")
    }

    pub(crate) fn record(&self, what: What) {
        self.setup.recorder.record(what);
    }

    fn history(&self) -> Vec<Event> {
        self.setup.recorder.read().unwrap()
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

impl From<ExitStatus> for End {
    fn from(status: ExitStatus) -> Self {
        let end = status.code().map(Self::Code).or_else(|| status.signal().map(Self::Signal));
        end.expect("a process ends by a code or a signal")
    }
}

/// What a run came to.
#[derive(Debug)]
struct Run {
    /// The call that met the fault, if the errand has so many.
    met: Option<Call>,
    /// All its calls.
    calls: Vec<Call>,
    /// What is not as promised.
    faults: Vec<String>,
}

/// The errand with a fault, then a life without one, then the verdict.
fn try_fault(shim: &Shim, place: &Place, plan: Option<Plan>) -> Run {
    let setup = shim.preload(place.setup.clone(), &place.watched(), &place.calls_log(), plan);
    if let Some(Plan { fault, at }) = plan {
        place.record(What::Fault { kind: kind_of(fault), detail: format!("{fault:?} at {at}") });
    }
    let life = live(&setup, &place.serial, async |client| client.run().await);
    let calls = calls(&place.calls_log(), &place.watched());
    let met = calls.iter().position(|call| call.is_met);
    let mut faults = Vec::new();
    let expected = match (plan, met) {
        (Some(Plan { fault, .. }), Some(met)) => promised(&calls, met, fault, life.has_served),
        _ => &[GOES_ON],
    };
    if !expected.contains(&life.end) {
        faults.push(format!("ended with {:?}, not with {expected:?}: {}", life.end, life.log));
    }
    if life.end == GOES_ON && life.ran == Ran::UntilTheServiceEnded {
        faults.push(format!("it did not do its errand: {}", life.log));
    }
    place.record(What::Fault { kind: FaultKind::Healed, detail: String::new() });
    faults.extend(recover_and_judge(place));
    Run { met: met.map(|met| calls[met].clone()), calls, faults }
}

/// The exit of a service that was asked to stop.
pub(crate) const GOES_ON: End = End::Code(0);
/// The exit of a service that cannot write.
pub(crate) const FAILED: End = End::Code(74);

/// Calls that the standard library makes again when a signal interrupts them.
const MADE_AGAIN: [&str; 8] =
    ["open", "create", "read", "write", "pwrite64", "fsync", "fdatasync", "ftruncate"];
/// Calls that need no space. If one of them is told of a full disk, the service goes on all the same.
const WITHOUT_SPACE: [&str; 6] = ["unlink", "mmap", "open", "read", "opendir", "readdir"];

/// How the process may end of which one of these calls meets this fault.
fn promised(calls: &[Call], met: usize, fault: Fault, has_served: bool) -> &'static [End] {
    let call = &calls[met];
    let function = &*call.function;
    match fault {
        Fault::Kill | Fault::KillAfter => &[End::Signal(SIGKILL)],
        Fault::Short => &[GOES_ON],
        Fault::Interrupted if MADE_AGAIN.contains(&function) => &[GOES_ON],
        // What ends it before it serves is told as what it is.
        _ if !has_served => &[FAILED],
        // A segment that was never used is left behind when it cannot be removed.
        _ if function == "unlink" && call.is_of_next_segment() => &[GOES_ON],
        Fault::InputOutput | Fault::Interrupted => &[FAILED],
        Fault::NoSpace | Fault::Quota if WITHOUT_SPACE.contains(&function) => &[GOES_ON],
        // For the log it fails, for what is written aside of it it can wait.
        Fault::NoSpace | Fault::Quota if call.is_of_directory() => &[GOES_ON, FAILED],
        Fault::NoSpace | Fault::Quota if call.is_of_log() || is_taken(calls, met) => &[FAILED],
        // Zeros of the next segment and snapshots can wait for space.
        Fault::NoSpace | Fault::Quota => &[GOES_ON],
    }
}

/// Whether this is about a segment that was made ahead and is now being taken into use, which begins
/// by opening it anew.
fn is_taken(calls: &[Call], met: usize) -> bool {
    let is_opened = |call: &Call| call.function == "open" && call.file == calls[met].file;
    calls[met].is_of_next_segment() && calls[..met].iter().any(is_opened)
}

fn kind_of(fault: Fault) -> FaultKind {
    match fault {
        Fault::Kill | Fault::KillAfter | Fault::Short => FaultKind::Nuisance,
        Fault::InputOutput | Fault::Interrupted => FaultKind::InputOutput,
        Fault::NoSpace | Fault::Quota => FaultKind::NoSpace,
    }
}

/// A life of the service.
pub(crate) struct Life {
    pub(crate) end: End,
    pub(crate) ran: Ran,
    /// Whether it came so far that it listened.
    has_served: bool,
    pub(crate) log: String,
}

/// Starts the service, does an errand, and stops it if it still lives.
pub(crate) fn live(
    setup: &Setup,
    serial: &Arc<AtomicU32>,
    errand: impl AsyncFnOnce(&mut Errand) -> Ran,
) -> Life {
    let mut service = setup.spawn();
    let ready = service.wait_ready(PATIENCE);
    let mut ran = Ran::UntilTheServiceEnded;
    match &ready {
        Ok(_) => {
            // Its connections are closed with it, or the stop would wait for them.
            ran = one_thread().block_on(async {
                match Errand::begin(&setup.recorder, serial, &service.address()).await {
                    Some(mut client) => errand(&mut client).await,
                    None => Ran::UntilTheServiceEnded,
                }
            });
        }
        Err(NotReady::Ended(_)) => {}
        Err(NotReady::Slow) => panic!("it neither serves nor ends: {}", service.said()),
    }
    if ran == Ran::ToItsEnd {
        service.terminate();
    }
    let status = service.wait(PATIENCE).expect("it ends soon");
    Life { end: status.into(), ran, has_served: ready.is_ok(), log: service.said() }
}

/// Starts it without a fault: what was unknown is repeated, and a little more is drawn.
pub(crate) fn recover_and_judge(place: &Place) -> Vec<String> {
    let mut faults = Vec::new();
    let unknown = unknown_draws(&place.history());
    let life =
        live(&place.setup, &place.serial, async |client| match client.repeat(&unknown).await {
            Ran::ToItsEnd => client.draws(2).await,
            ran @ Ran::UntilTheServiceEnded => ran,
        });
    if life.end != GOES_ON || life.ran != Ran::ToItsEnd {
        faults.push(format!("the next life ended with {:?}: {}", life.end, life.log));
    }
    let mut verify = Command::new(binary());
    let verified = verify.arg("verify").arg("--dir").arg(&place.setup.data).output().unwrap();
    if !verified.status.success() {
        faults.push(format!("verify: {}", String::from_utf8_lossy(&verified.stderr)));
    }
    let history = place.history();
    match log::load(&place.setup.data) {
        Ok(log) => {
            let report = check(&history, &log, &Limits::default());
            if !report.is_good() {
                faults.push(report.to_string());
            }
        }
        Err(error) => faults.push(format!("the log cannot be read: {error}")),
    }
    faults
}

/// The draws that no answer came to.
fn unknown_draws(history: &[Event]) -> Vec<String> {
    let mut unknown = Vec::new();
    for event in history {
        match &event.what {
            What::Invoke { op, .. } if op.starts_with("draw-") => unknown.push(op.clone()),
            What::Ok { op, .. } | What::Fail { op, .. } => unknown.retain(|known| known != op),
            What::Invoke { .. }
            | What::Info { .. }
            | What::Spawn
            | What::Ready { .. }
            | What::Kill
            | What::Terminate
            | What::Exit { .. }
            | What::Fault { .. } => {}
        }
    }
    unknown
}

impl Call {
    /// The file's name without its directories.
    fn name(&self) -> &str {
        self.file.rsplit('/').next().unwrap_or_default()
    }

    fn is_write(&self) -> bool {
        ["write", "pwrite64", "writev"].contains(&&*self.function)
    }

    /// Whether it is about a segment that is in use.
    fn is_of_log(&self) -> bool {
        self.name().strip_prefix("wal.").is_some_and(|rest| rest.parse::<u32>().is_ok())
    }

    /// Whether it is about a segment that was made ahead.
    fn is_of_next_segment(&self) -> bool {
        self.name().starts_with("wal.next.")
    }

    /// Whether it syncs the working directory or the one above it.
    fn is_of_directory(&self) -> bool {
        self.function == "fsync" && ["", "data"].contains(&&*self.file)
    }

    /// The function and the kind of file, without numbers: what a fault must have met at least once.
    fn site(&self) -> String {
        let name: String = self.name().chars().filter(|c| !c.is_ascii_digit()).collect();
        format!("{} {name}", self.function)
    }
}

/// Tries all faults at all calls of one kind of service.
struct Sweeper {
    shim: Shim,
    kind: Kind,
    /// What each life finds, unless it begins with nothing.
    template: Option<(Place, Vec<Event>)>,
}

/// What came of it.
#[derive(Default)]
struct Sweep {
    met: u64,
    failures: Vec<String>,
    /// The sites that met each fault.
    sites: BTreeMap<Fault, BTreeSet<String>>,
    /// The sites of lives without a fault, with the numbers that their calls had, and the numbers
    /// among the writes alone.
    seen: BTreeMap<String, [BTreeSet<u64>; 2]>,
}

impl Sweeper {
    fn new(kind: Kind) -> Option<Self> {
        let shim = Shim::new()?;
        let template = (kind.start == Start::Recovery).then(|| killed_service(kind));
        Some(Self { shim, kind, template })
    }

    fn run(&self) -> Sweep {
        let sweep = Mutex::new(Sweep::default());
        for fault in Fault::ALL {
            self.try_everywhere(fault, &sweep);
        }
        let mut sweep = sweep.into_inner().unwrap();
        self.seek_what_was_missed(&mut sweep);
        sweep
    }

    fn try_at(&self, plan: Plan) -> Run {
        let place = match &self.template {
            Some((place, history)) => place.copy(history),
            None => Place::new(self.kind),
        };
        try_fault(&self.shim, &place, Some(plan))
    }

    /// Tries a fault at the first call, the second, and so on to the last.
    fn try_everywhere(&self, fault: Fault, sweep: &Mutex<Sweep>) {
        let (next, first_unreached) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
        thread::scope(|scope| {
            for _ in 0..WORKERS {
                let worker = || {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let end = first_unreached.load(Ordering::Relaxed);
                        if at >= end.saturating_add(UNREACHED) {
                            return;
                        }
                        let plan = Plan { fault, at };
                        let run = self.try_at(plan);
                        if run.met.is_none() {
                            first_unreached.fetch_min(at, Ordering::Relaxed);
                        }
                        sweep.lock().unwrap().add(plan, &run);
                    }
                };
                thread::Builder::new().spawn_scoped(scope, worker).unwrap();
            }
        });
    }

    /// Threads take turns as they like, so that a call has not the same number in each life, and one
    /// may have slipped through. It is tried where it was seen.
    fn seek_what_was_missed(&self, sweep: &mut Sweep) {
        for (fault, site) in sweep.missed() {
            let numbers = sweep.seen[&site][usize::from(fault == Fault::Short)].clone();
            for &at in numbers.iter().cycle().take(SEEKS) {
                let plan = Plan { fault, at };
                sweep.add(plan, &self.try_at(plan));
                if sweep.has_met(fault, &site) {
                    break;
                }
            }
        }
        for (fault, site) in sweep.missed() {
            sweep.failures.push(format!("{fault:?} never met {site}"));
        }
    }
}

impl Sweep {
    fn add(&mut self, Plan { fault, at }: Plan, run: &Run) {
        match &run.met {
            Some(call) => {
                self.met += 1;
                self.sites.entry(fault).or_default().insert(call.site());
            }
            None => self.see(&run.calls),
        }
        for problem in &run.faults {
            let met = run.met.as_ref().map_or_else(|| "not met".to_owned(), Call::site);
            self.failures.push(format!("{fault:?} at {at} ({met}): {problem}"));
        }
    }

    fn see(&mut self, calls: &[Call]) {
        let mut writes = 0;
        for (number, call) in (1..).zip(calls) {
            let numbers = self.seen.entry(call.site()).or_default();
            numbers[0].insert(number);
            if call.is_write() {
                writes += 1;
                numbers[1].insert(writes);
            }
        }
    }

    fn has_met(&self, fault: Fault, site: &str) -> bool {
        self.sites.get(&fault).is_some_and(|sites| sites.contains(site))
    }

    /// The sites that never met a fault although the service has them.
    fn missed(&self) -> Vec<(Fault, String)> {
        let mut missed = Vec::new();
        for fault in Fault::ALL {
            for (site, numbers) in &self.seen {
                // Whether a segment that was made ahead is there to be removed is a matter of time.
                let is_chance = site.starts_with("unlink wal.next");
                let is_possible =
                    !is_chance && !numbers[usize::from(fault == Fault::Short)].is_empty();
                if is_possible && !self.has_met(fault, site) {
                    missed.push((fault, site.clone()));
                }
            }
        }
        missed
    }
}

fn one_thread() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A directory as a kill leaves it, with a log of some draws.
pub(crate) fn killed_service(kind: Kind) -> (Place, Vec<Event>) {
    let place = Place::new(kind);
    let service = place.setup.start();
    let ran = one_thread().block_on(async {
        let begun = Errand::begin(&place.setup.recorder, &place.serial, &service.address()).await;
        begun.expect("it serves").run().await
    });
    assert_eq!(ran, Ran::ToItsEnd);
    service.kill();
    let history = place.history();
    (place, history)
}

fn sweep_all(kinds: &[Kind]) {
    let (mut met, mut failures) = (0, Vec::new());
    for &kind in kinds {
        let Some(sweeper) = Sweeper::new(kind) else { return };
        let sweep = sweeper.run();
        met += sweep.met;
        println!("{kind:?}: {} faults met at {} sites", sweep.met, sweep.seen.len());
        failures.extend(sweep.failures.iter().map(|failure| format!("{kind:?}: {failure}")));
    }
    let count = u64::try_from(failures.len()).unwrap();
    rewardpool_tally::record("T7 every system call fails", met, met, count);
    assert!(failures.is_empty(), "{count} failures:\n{}", failures.join("\n"));
    assert!(met >= 1000, "the errand is too small: {met}");
}

#[test]
fn every_system_call_may_fail() {
    sweep_all(&[
        Kind { storage: "file", format: "binary", start: Start::Fresh },
        Kind { storage: "mmap", format: "json", start: Start::Recovery },
    ]);
}

#[test]
#[ignore = "minutes; part of the long run"]
fn every_system_call_may_fail_in_every_format_and_storage() {
    let mut kinds = Vec::new();
    for storage in ["file", "mmap"] {
        for format in ["binary", "json", "string_line"] {
            for start in [Start::Fresh, Start::Recovery] {
                kinds.push(Kind { storage, format, start });
            }
        }
    }
    sweep_all(&kinds);
}

/// The next start must find its directory, and a name is durable only when the directory that it
/// stands in was synced.
#[test]
fn the_name_of_a_new_working_directory_is_synced() {
    let Some(shim) = Shim::new() else { return };
    let place = Place::new(Kind { storage: "file", format: "binary", start: Start::Fresh });
    let run = try_fault(&shim, &place, None);
    assert!(run.faults.is_empty(), "{:?}", run.faults);
    let position = |function: &str, file: &str| {
        run.calls.iter().position(|call| call.function == function && call.file == file)
    };
    let (made, synced) = (position("mkdir", "data"), position("fsync", ""));
    assert!(made.is_some() && made < synced && synced < position("create", "data/POOL.tmp"));
}

#[test]
fn a_disk_that_fails_while_the_first_pools_are_created_is_74() {
    let kind = Kind { storage: "file", format: "binary", start: Start::Fresh };
    for fault in [Fault::InputOutput, Fault::NoSpace] {
        fail_at(kind, fault, "create secret..tmp");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_74() {
    let kind = Kind { storage: "file", format: "binary", start: Start::Recovery };
    fail_at(kind, Fault::InputOutput, "open secret.");
}

/// Lets a call at this site fail, which must have the end that is promised.
fn fail_at(kind: Kind, fault: Fault, site: &str) {
    let Some(sweeper) = Sweeper::new(kind) else { return };
    let numbers = {
        let mut sweep = Sweep::default();
        sweep.see(&sweeper.try_at(Plan { fault, at: u64::from(u32::MAX) }).calls);
        sweep.seen[site][0].clone()
    };
    let (first, last) = (numbers.first().unwrap(), numbers.last().unwrap());
    // A thread of the log makes calls beside it, sometimes more of them and sometimes fewer.
    let near = first.saturating_sub(SHIFT).max(1)..=last + SHIFT;
    for at in numbers.iter().copied().chain(near.cycle()).take(SEEKS) {
        let run = sweeper.try_at(Plan { fault, at });
        assert!(run.faults.is_empty(), "{fault:?} at {at}: {:?}", run.faults);
        if run.met.is_some_and(|call| call.site() == site) {
            return;
        }
    }
    panic!("{fault:?} never met {site}");
}
