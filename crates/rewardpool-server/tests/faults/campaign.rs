//! One working directory on a disk of ours and its history, over several faults: the load, the cut
//! of the power, and the verdict after each.
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{FaultKind, What};
use rewardpool_checker::{Counts, Invariant, Report, log};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::DrawOp;
use crate::device::{Cut, Device};
use crate::dice::Dice;
use crate::load::{self, Clients, ask_again, config};
use crate::looked::Looked;
use crate::service::{INPUT_OUTPUT, PATIENCE, SIGKILL, Service, Setup};

/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

/// What all rounds came to.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sum {
    pub(crate) rounds: u64,
    /// Rounds that the checker judged: not those in which the service never served.
    pub(crate) judged: u64,
    /// Draws that were acknowledged, at least.
    pub(crate) acknowledged: u64,
    /// Draw operations that were acknowledged and then compared with the log.
    pub(crate) compared: u64,
    /// Those that were older than the oldest snapshot at the next verdict, and so were not.
    pub(crate) not_compared: u64,
    /// Times that the checker found something.
    pub(crate) failures: u64,
    /// Cuts of the power that met something that was not flushed.
    pub(crate) cuts: u64,
    /// Sectors that were written and not flushed when the power was cut, and were lost.
    pub(crate) lost: u64,
    /// Those that survived.
    pub(crate) kept: u64,
    /// What was judged, and how often.
    pub(crate) looked: Looked,
}

impl Sum {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.judged += other.judged;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.not_compared += other.not_compared;
        self.failures += other.failures;
        self.cuts += other.cuts;
        self.lost += other.lost;
        self.kept += other.kept;
        self.looked.add_all(&other.looked);
    }

    fn add_cut(&mut self, cut: Cut) {
        self.cuts += u64::from(cut.lost + cut.kept > 0);
        self.lost += cut.lost;
        self.kept += cut.kept;
    }

    /// Adds what a verdict compared; `before` draw operations were acknowledged before the last one,
    /// and what of them the log reached was compared then.
    fn add_report(&mut self, report: &Report, before: u64) {
        let Counts { acknowledged, before_log, .. } = report.counts;
        let not_compared = before_log.saturating_sub(before);
        self.not_compared += not_compared;
        self.compared += acknowledged - before - not_compared;
        self.looked.add(report);
    }
}

/// What the checker says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The service never served, so nothing must be there.
    Void,
    /// What it found.
    Read(Report),
    /// The log that must be there is not, or is damaged.
    Unreadable,
}

impl Verdict {
    /// Whether something that was acknowledged is not in the log.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Read(report) if report.violates(Invariant::I1))
    }
}

/// A working directory and its history.
pub(crate) struct Campaign<'a> {
    _home: TempDir,
    pub(crate) setup: Setup,
    runtime: &'a Runtime,
    unknown: Vec<DrawOp>,
    round: u64,
    /// Names the operations of each load.
    loads: u64,
    sum: Sum,
    /// Draw operations that were acknowledged before the last verdict.
    acknowledged: u64,
    /// Whether its log was ever ready, and with that must be there from now on.
    has_served: bool,
}

impl<'a> Campaign<'a> {
    /// Begins with no working directory. The history is outside of the disk.
    pub(crate) fn new(device: &Device, runtime: &'a Runtime) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut setup = Setup::new(home.path(), &config("binary", "file"));
        setup.data = device.path().join("data");
        if setup.data.exists() {
            fs::remove_dir_all(&setup.data).unwrap();
            // Or a cut of the power brings it back.
            fs::File::open(device.path()).unwrap().sync_all().unwrap();
        }
        Self {
            _home: home,
            setup,
            runtime,
            unknown: Vec::new(),
            round: 0,
            loads: 0,
            sum: Sum::default(),
            acknowledged: 0,
            has_served: false,
        }
    }

    /// Begins a round, with another storage and format than before, or the same.
    pub(crate) fn next_round(&mut self, segment_kb: u32, dice: &mut Dice) {
        self.round += 1;
        self.sum.rounds += 1;
        let storage = *dice.one_of(&["file", "mmap"]);
        let format = *dice.one_of(&["binary", "json", "string_line"]);
        let config = config(format, storage);
        let size = "max_file_size_kb: ";
        assert!(config.contains(&format!("{size}64,")), "the size is told");
        let config = config.replace(&format!("{size}64,"), &format!("{size}{segment_kb},"));
        fs::write(&self.setup.config, config).unwrap();
    }

    /// Waits until a service is ready, which it must be.
    pub(crate) fn start(&mut self) -> Service {
        let service = self.setup.start();
        self.has_served = true;
        service
    }

    /// Asks again what is unknown, begins the load, and waits until so many draws are acknowledged.
    pub(crate) fn load(&mut self, service: &Service, target: u64, dice: &mut Dice) -> Clients {
        self.has_served = true;
        self.ask_again(service, dice);
        self.loads += 1;
        let acknowledged = Arc::new(AtomicU64::new(0));
        let address = service.address();
        let clients = self.runtime.block_on(async {
            let clients = load::begin(&self.setup, &address, self.loads, &acknowledged, dice);
            let clients = clients.await.unwrap();
            let begun = Instant::now();
            while acknowledged.load(Ordering::Relaxed) < target {
                let said = || service.said();
                assert!(begun.elapsed() < PATIENCE, "the service is too slow: {}", said());
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            clients
        });
        self.sum.acknowledged += target;
        clients
    }

    fn ask_again(&mut self, service: &Service, dice: &mut Dice) {
        let unknown = std::mem::take(&mut self.unknown);
        self.runtime.block_on(ask_again(&self.setup, &service.address(), unknown, dice));
    }

    /// Waits until the clients have noticed that the service is gone.
    pub(crate) fn gather(&mut self, clients: Clients) {
        for client in clients {
            self.unknown.extend(self.runtime.block_on(client).unwrap());
        }
    }

    /// Cuts the power under a service, and lets the file system recover from it.
    ///
    /// # Panics
    /// When the service ends in any other way than by a kill, or because it cannot write.
    pub(crate) fn cut_power(
        &mut self,
        device: &mut Device,
        mut service: Service,
        clients: Clients,
        dice: &mut Dice,
    ) -> Cut {
        self.record_fault(FaultKind::InputOutput, "the power is cut");
        let cut = device.cut_power(dice.below(u64::MAX));
        // Time to answer what can no more be made durable.
        std::thread::sleep(Duration::from_micros(dice.below(4000)));
        let status = service.kill_or_find_ended();
        let is_killed = status.signal() == Some(SIGKILL);
        let said = service.said();
        assert!(is_killed || status.code() == Some(INPUT_OUTPUT), "ended with {status}\n{said}");
        self.gather(clients);
        self.sum.add_cut(cut);
        device.unmount();
        device.heal();
        device.mount();
        self.record_fault(FaultKind::Healed, "the power is back");
        cut
    }

    /// Writes into the history that the disk fails, or that it works again.
    pub(crate) fn record_fault(&self, kind: FaultKind, detail: &str) {
        self.setup.recorder.record(What::Fault { kind, detail: detail.to_owned() });
    }

    /// Ends a round: compares the history with what is on the disk. The service is down.
    pub(crate) fn judge(&mut self, what: &str) -> Verdict {
        let verdict = self.verdict(what);
        self.sum.judged += u64::from(!matches!(verdict, Verdict::Void));
        verdict
    }

    fn verdict(&mut self, what: &str) -> Verdict {
        if !self.has_served {
            return Verdict::Void;
        }
        let log = match log::load(&self.setup.data) {
            Ok(log) => log,
            Err(error) => {
                self.sum.failures += 1;
                println!("round {} ({what}): the log cannot be read: {error}", self.round);
                return Verdict::Unreadable;
            }
        };
        let report = check(&self.setup.recorder.read().unwrap(), &log, &LIMITS);
        self.sum.add_report(&report, self.acknowledged);
        self.acknowledged = report.counts.acknowledged;
        if !report.is_good() {
            self.sum.failures += 1;
            println!("round {} ({what}): {report}", self.round);
        }
        Verdict::Read(report)
    }

    /// What its rounds came to so far.
    pub(crate) fn sum(&self) -> &Sum {
        &self.sum
    }

    /// Starts and stops it once more, judges all, and adds up.
    pub(crate) fn end(mut self, dice: &mut Dice, sum: &mut Sum) {
        let service = self.start();
        self.ask_again(&service, dice);
        let status = service.stop();
        assert!(status.success(), "a clean stop after all faults: {status}");
        self.verdict("the end");
        sum.add(&self.sum);
    }
}

/// The clients' threads.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}
