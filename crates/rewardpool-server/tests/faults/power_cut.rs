//! T6. Goal: whatever the disk forgets when its power is cut, everything acknowledged is there, and
//! the next start goes on from it.
//! Method: the real binary works on ext4 and XFS, on a disk of ours that forgets a random part of
//! what was not flushed. Under load, or while the service starts, the power is cut; the process is
//! killed, the file system recovers, and the checker compares what clients were told with the log
//! that is on the disk. Then the next round starts on it, with another storage and format. `ROUNDS`
//! sets the rounds for each file system, `SEED` repeats the choices.
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::log;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::client::DrawOp;
use crate::device::{Device, FileSystem};
use crate::dice::Dice;
use crate::load::{self, Clients, ask_again, config};
use crate::service::{PATIENCE, Setup};

/// Rounds, unless `ROUNDS` says otherwise.
const ROUNDS_EXT4: u64 = 60;
const ROUNDS_XFS: u64 = 30;
/// Rounds on one working directory. Then a new one is set up.
const ROUNDS_OF_A_DIRECTORY: u64 = 5;
/// Draws that are acknowledged before a cut, at least and at most.
const DRAWS: std::ops::Range<u64> = 50..1500;
/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

/// What a number of rounds came to.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Sum {
    pub(crate) rounds: u64,
    pub(crate) acknowledged: u64,
    /// Rounds after which the checker found something.
    pub(crate) failures: u64,
    /// Sectors that were written and not flushed when the power was cut.
    pub(crate) lost: u64,
    pub(crate) kept: u64,
}

#[test]
fn everything_acknowledged_survives_a_power_cut_on_ext4() {
    survive(FileSystem::Ext4, ROUNDS_EXT4);
}

#[test]
fn everything_acknowledged_survives_a_power_cut_on_xfs() {
    survive(FileSystem::Xfs, ROUNDS_XFS);
}

fn survive(file_system: FileSystem, rounds: u64) {
    let rounds = std::env::var("ROUNDS").map_or(rounds, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let begun = Instant::now();
    let Some(mut device) = Device::new(file_system) else { return };
    let sum = cut_again_and_again(&mut device, rounds, &mut Dice::new(seed), &|setup| setup);
    println!("{file_system:?}: {sum:?} in {:.1} s", begun.elapsed().as_secs_f64());
    rewardpool_tally::record("T6 power cut", sum.rounds, sum.rounds, sum.failures);
    assert_eq!(sum.failures, 0, "repeat with SEED={seed} ROUNDS={rounds}");
    assert!(sum.acknowledged > sum.rounds * DRAWS.start / 2, "too small a load: {sum:?}");
    assert!(sum.lost > 0 && sum.kept > 0, "a disk that forgets nothing proves nothing: {sum:?}");
}

/// Rounds on one disk. `change` may change what is started.
pub(crate) fn cut_again_and_again(
    device: &mut Device,
    rounds: u64,
    dice: &mut Dice,
    change: &dyn Fn(Setup) -> Setup,
) -> Sum {
    let mut sum = Sum::default();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    while sum.rounds < rounds {
        let mut pool = Campaign::new(device, &runtime, change);
        for _ in 0..ROUNDS_OF_A_DIRECTORY.min(rounds - sum.rounds) {
            pool.one_round(device, dice, &mut sum);
        }
        pool.end(dice, &mut sum);
    }
    sum
}

/// One working directory and its history, over several cuts.
struct Campaign<'a> {
    _home: TempDir,
    setup: Setup,
    runtime: &'a Runtime,
    unknown: Vec<DrawOp>,
    round: u64,
    /// Whether its log was ever ready, and with that must be there from now on.
    has_served: bool,
}

impl<'a> Campaign<'a> {
    /// Begins with no working directory. The history is outside of the disk.
    fn new(device: &Device, runtime: &'a Runtime, change: &dyn Fn(Setup) -> Setup) -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut setup = change(Setup::new(home.path(), &config("binary", "file")));
        setup.data = device.path().join("data");
        if setup.data.exists() {
            fs::remove_dir_all(&setup.data).unwrap();
        }
        Self { _home: home, setup, runtime, unknown: Vec::new(), round: 0, has_served: false }
    }

    fn one_round(&mut self, device: &mut Device, dice: &mut Dice, sum: &mut Sum) {
        self.round += 1;
        let storage = *dice.one_of(&["file", "mmap"]);
        let format = *dice.one_of(&["binary", "json", "string_line"]);
        fs::write(&self.setup.config, config(format, storage)).unwrap();
        let seed = dice.below(u64::MAX);
        // A round in four meets the start, which writes the tail again and makes a snapshot.
        let cut = if dice.percent(25) {
            let service = self.setup.spawn();
            std::thread::sleep(Duration::from_micros(dice.below(60_000)));
            let cut = device.cut_power(seed);
            service.kill();
            cut
        } else {
            let service = self.setup.start();
            self.has_served = true;
            let clients = self.load(&service.address(), dice, sum);
            let cut = device.cut_power(seed);
            // Time to answer what can no more be made durable.
            std::thread::sleep(Duration::from_micros(dice.below(4000)));
            service.kill();
            for client in clients {
                self.unknown.extend(self.runtime.block_on(client).unwrap());
            }
            cut
        };
        (sum.lost, sum.kept) = (sum.lost + cut.lost, sum.kept + cut.kept);
        sum.rounds += 1;
        device.unmount();
        device.heal();
        device.mount();
        if self.has_served {
            self.judge(sum, &format!("{format}/{storage}, {cut:?}"));
        }
    }

    /// Begins the load, and waits until so many draws are acknowledged.
    fn load(&mut self, address: &str, dice: &mut Dice, sum: &mut Sum) -> Clients {
        let unknown = std::mem::take(&mut self.unknown);
        let acknowledged = Arc::new(AtomicU64::new(0));
        let target = DRAWS.start + dice.below(DRAWS.end - DRAWS.start);
        self.runtime.block_on(async {
            ask_again(&self.setup, address, unknown, dice).await;
            let clients = load::begin(&self.setup, address, self.round, &acknowledged, dice);
            let clients = clients.await.unwrap();
            let begun = Instant::now();
            while acknowledged.load(Ordering::Relaxed) < target {
                assert!(begun.elapsed() < PATIENCE, "the service is too slow");
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            sum.acknowledged += target;
            clients
        })
    }

    /// Starts and stops it once more, and judges all.
    fn end(mut self, dice: &mut Dice, sum: &mut Sum) {
        let service = self.setup.start();
        let unknown = std::mem::take(&mut self.unknown);
        self.runtime.block_on(ask_again(&self.setup, &service.address(), unknown, dice));
        let status = service.stop();
        assert!(status.success(), "a clean stop after all cuts: {status}");
        self.judge(sum, "the end");
    }

    /// Compares the history with what is on the disk.
    fn judge(&self, sum: &mut Sum, what: &str) {
        let log = log::load(&self.setup.data).unwrap_or_else(|error| panic!("{what}: {error}"));
        let report = check(&self.setup.recorder.read().unwrap(), &log, &LIMITS);
        if !report.is_good() {
            sum.failures += 1;
            println!("round {} ({what}): {report}", self.round);
        }
    }
}
