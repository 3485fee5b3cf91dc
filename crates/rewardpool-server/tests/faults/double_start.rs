//! T12. Goal: of two services that are started on one directory at the same time exactly one serves;
//! the other ends at once with 73.
//! Method: a hundred pairs of processes, let go by a barrier, on one directory; the owner before them
//! was stopped or killed. Only the winner's pool is ever drawn from, and a last start recovers it
//! all: the whole log, which an archive kept, is compared with the history.
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{Answer, FaultKind, What};
use rewardpool_checker::{Invariant, Report, log};
use tokio::runtime::Runtime;

use crate::archive::Archive;
use crate::client::{Client, DrawOp, Told};
use crate::load::config;
use crate::service::{NotReady, PATIENCE, Service, Setup};

const PAIRS: u32 = 100;
/// Draws of each winner.
const COUNT: u32 = 3;
const LOCKED: i32 = 73;
/// So many starts, because a signal comes too early in a few of them only.
const STOPS_AT_ONCE: u32 = 50;
/// One second is what is promised; the rest is the start of a process on a busy machine.
const LOSER_LIMIT: Duration = Duration::from_secs(3);
/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

#[test]
fn of_two_that_start_at_once_exactly_one_serves() {
    let pairs = std::env::var("PAIRS").map_or(PAIRS, |text| text.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path(), &config("binary", "file"));
    let mut archive = Archive::new(&setup.data, &home.path().join("archive"));
    let (mut rounds, mut failures) = (Rounds::new(&setup), Vec::new());
    for pair in 0..pairs {
        if let Err(problem) = rounds.next(pair) {
            failures.push(format!("pair {pair}: {problem}"));
        }
        // No process runs, and what a start prunes is older than the start before it.
        archive.gather();
    }
    let Rounds { kills, slowest, .. } = rounds;
    assert!(setup.start().stop().success(), "a clean stop after all pairs");
    archive.gather();
    let report = judge(&setup, archive.directory());
    if !report.is_good() {
        failures.push(report.to_string());
    }
    println!("{pairs} pairs, {kills} kills, the slowest loser ended after {slowest:?}");
    let count = u64::try_from(failures.len()).unwrap();
    rewardpool_tally::record("T12 double start", pairs.into(), kills, count);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // Each winner's draws and each loser's end.
    for invariant in [Invariant::I1, Invariant::I16] {
        assert!(report.verdict(invariant).checked >= pairs.into(), "too little judged: {report}");
    }
    assert_eq!(report.counts.logged_draws, u64::from(pairs * COUNT));
}

/// Compares the history with the whole log.
fn judge(setup: &Setup, archive: &Path) -> Report {
    let log = log::load(archive).unwrap();
    assert_eq!(log.base.lsn, 0, "the archive holds the whole log");
    check(&setup.recorder.read().unwrap(), &log, &LIMITS)
}

/// The pairs, one after the other.
struct Rounds<'a> {
    setup: &'a Setup,
    runtime: Runtime,
    kills: u64,
    slowest: Duration,
    last_id: u64,
}

impl<'a> Rounds<'a> {
    fn new(setup: &'a Setup) -> Self {
        // With a thread of its own, so that connections are closed when nobody waits for anything.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        Self { setup, runtime, kills: 0, slowest: Duration::ZERO, last_id: 0 }
    }

    fn next(&mut self, pair: u32) -> Result<(), String> {
        self.record(FaultKind::DirectoryInUse);
        let (winner, loser_took) = one_pair(self.setup)?;
        self.record(FaultKind::Healed);
        self.slowest = self.slowest.max(loser_took);
        if loser_took >= LOSER_LIMIT {
            return Err(format!("the loser took {loser_took:?}"));
        }
        self.last_id = self.runtime.block_on(draw(self.setup, &winner, pair, self.last_id))?;
        if pair.is_multiple_of(2) {
            winner.kill();
            self.kills += 1;
            return Ok(());
        }
        let status = winner.stop();
        if status.success() { Ok(()) } else { Err(format!("the stop ended with {status}")) }
    }

    fn record(&self, kind: FaultKind) {
        self.setup.recorder.record(What::Fault { kind, detail: "two at once".to_owned() });
    }
}

/// Starts two processes at once. Gives the one that serves, and how long the other took to end.
fn one_pair(setup: &Setup) -> Result<(Service, Duration), String> {
    let barrier = Barrier::new(2);
    let begin = || {
        barrier.wait();
        (setup.spawn(), Instant::now())
    };
    let mut started: Vec<_> = std::thread::scope(|scope| {
        let threads = [scope.spawn(begin), scope.spawn(begin)];
        threads.map(|thread| thread.join().unwrap()).into()
    });
    let (mut ready, mut ended) = (None, None);
    let begun = Instant::now();
    while ready.is_none() || ended.is_none() {
        if begun.elapsed() > PATIENCE {
            return Err("neither serves, or none ends".to_owned());
        }
        for (place, (service, spawned)) in started.iter_mut().enumerate() {
            if ready == Some(place) || ended.is_some_and(|(other, _)| other == place) {
                continue;
            }
            match service.wait_ready(Duration::ZERO) {
                Ok(_) if ready.is_some() => return Err("both serve".to_owned()),
                Ok(_) => ready = Some(place),
                Err(NotReady::Ended(_)) if ended.is_some() => return Err("both ended".to_owned()),
                Err(NotReady::Ended(status)) if status.code() == Some(LOCKED) => {
                    ended = Some((place, spawned.elapsed()));
                }
                Err(NotReady::Ended(status)) => {
                    return Err(format!("one ended with {status}: {}", service.said()));
                }
                Err(NotReady::Slow) => {}
            }
        }
    }
    let (Some(place), Some((_, took))) = (ready, ended) else { unreachable!("the loop saw both") };
    Ok((started.swap_remove(place).0, took))
}

/// Draws from the winner. Its ids go on where those of the owner before it ended.
async fn draw(setup: &Setup, winner: &Service, pair: u32, last_id: u64) -> Result<u64, String> {
    let client = Client::connect(&winner.address(), &setup.recorder, 0).await;
    let mut client = client.map_err(|error| error.to_string())?;
    let told = client.draw(&DrawOp::unkeyed(format!("pair-{pair}"), "main", COUNT)).await;
    match told {
        Told::Ok(Answer::Draw(drawn)) if drawn.first_request_id == last_id + 1 => {
            Ok(last_id + u64::from(COUNT))
        }
        told @ (Told::Ok(_) | Told::Fail(_) | Told::Info(_)) => {
            Err(format!("not the ids after {last_id}: {told:?}"))
        }
    }
}

/// A service that says that it listens hears a signal from that moment on.
#[test]
fn a_stop_at_the_moment_of_readiness_is_clean() {
    for _ in 0..STOPS_AT_ONCE {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path(), &config("binary", "file"));
        let status = setup.start().stop();
        assert!(status.success(), "{status}");
    }
}
