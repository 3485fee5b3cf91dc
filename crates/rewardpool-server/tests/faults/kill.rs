//! T5. Goal: after SIGKILL at any moment everything acknowledged is there, nothing is doubled, and
//! nothing was made up.
//! Method: four clients draw, change and read over gRPC and write down what they are told; after a
//! random number of acknowledged draws the process is killed, now and then a second time while it
//! starts; what nobody knows the outcome of is asked again. In the end the whole log, which an
//! archive kept from its beginning, is compared with the history. `ROUNDS` sets the rounds for each
//! of the six combinations of format and storage, `SEED` repeats the choices (though not the moments
//! at which threads run), `VERBOSE` prints every verdict.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::{Report, log};
use rewardpool_engine::inspect;

use crate::archive::{Archive, Watch};
use crate::client::DrawOp;
use crate::dice::Dice;
use crate::load::{self, ask_again, config};
use crate::looked::{BY_EVERY_LOAD, Looked};
use crate::service::{PATIENCE, Setup};

/// Rounds of each combination, unless `ROUNDS` says otherwise: 180 in all.
const ROUNDS: u64 = 30;
/// Draws that are acknowledged before a kill, at least and at most.
const DRAWS: std::ops::Range<u64> = 400..4600;
/// Draws that the whole campaign acknowledges at least, unless `ROUNDS` makes it shorter.
const ACKNOWLEDGED_MIN: u64 = 100_000;
/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

#[test]
fn everything_acknowledged_survives_sigkill_in_every_format_and_storage() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let mut dice = Dice::new(seed);
    let (mut kills, mut acknowledged, mut failures) = (0, 0, 0);
    let mut looked = Looked::default();
    for format in ["binary", "json", "string_line"] {
        for storage in ["file", "mmap"] {
            let home = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            let setup = Setup::new(home.path(), &config(format, storage));
            let report = campaign(&setup, home.path(), rounds, &mut dice);
            let counts = report.counts;
            println!(
                "{format}/{storage}: {} kills, {} acknowledged draws, {} unknown, {} retried, {} \
                 snapshots, {:.1} s",
                counts.kills,
                counts.acknowledged_draws,
                counts.unknown,
                counts.retried,
                counts.snapshots,
                begun.elapsed().as_secs_f64()
            );
            if std::env::var_os("VERBOSE").is_some() {
                println!("{report}");
            }
            kills += counts.kills;
            acknowledged += counts.acknowledged_draws;
            looked.add(&report);
            if !report.is_good() {
                failures += 1;
                println!("{report}\nkept in {}", home.keep().display());
            }
        }
    }
    println!("{kills} kills, {acknowledged} acknowledged draws, {failures} bad histories");
    rewardpool_tally::record("T5 kill -9 under load", 6 * rounds, kills, failures);
    assert_eq!(failures, 0, "repeat with SEED={seed} ROUNDS={rounds}");
    assert!(acknowledged >= 6 * rounds * DRAWS.start, "too small a load: {acknowledged}");
    assert!(rounds < ROUNDS || acknowledged >= ACKNOWLEDGED_MIN, "too small: {acknowledged}");
    looked.assert_at(&BY_EVERY_LOAD);
}

/// All rounds on one directory, and the verdict.
pub(crate) fn campaign(setup: &Setup, home: &Path, rounds: u64, dice: &mut Dice) -> Report {
    let archive = all_rounds(setup, home, rounds, dice);
    inspect::verify(&setup.data).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
    let events = setup.recorder.read().unwrap();
    let log = log::load(archive.directory())
        .unwrap_or_else(|error| panic!("{}: {error}", archive.directory().display()));
    assert_eq!(log.base.lsn, 0, "the archive holds the whole log");
    check(&events, &log, &LIMITS)
}

fn all_rounds(setup: &Setup, home: &Path, rounds: u64, dice: &mut Dice) -> Archive {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let watch: Watch = Archive::new(&setup.data, &home.join("archive")).watch();
    let mut unknown = Vec::new();
    for round in 0..rounds {
        if dice.percent(40) {
            kill_while_it_starts(setup, dice);
        }
        unknown = runtime.block_on(one_round(setup, round, unknown, dice));
    }
    let service = setup.start();
    runtime.block_on(ask_again(setup, &service.address(), unknown, dice));
    let status = service.stop();
    assert!(status.success(), "a clean stop after all kills: {status}");
    watch.end()
}

/// Kills a process at any moment of its start, or just after it.
fn kill_while_it_starts(setup: &Setup, dice: &mut Dice) {
    let service = setup.spawn();
    std::thread::sleep(Duration::from_micros(dice.below(60_000)));
    service.kill();
}

/// Starts the service, lets the clients work, kills it in the middle. Gives the draws whose outcome
/// is unknown.
async fn one_round(
    setup: &Setup,
    round: u64,
    unknown: Vec<DrawOp>,
    dice: &mut Dice,
) -> Vec<DrawOp> {
    let service = setup.start();
    let address = service.address();
    ask_again(setup, &address, unknown, dice).await;
    let acknowledged = Arc::new(AtomicU64::new(0));
    let tasks = load::begin(setup, &address, round, &acknowledged, dice).await.unwrap();
    let target = DRAWS.start + dice.below(DRAWS.end - DRAWS.start);
    let begun = Instant::now();
    while acknowledged.load(Ordering::Relaxed) < target {
        assert!(begun.elapsed() < PATIENCE, "the service is too slow\n{}", service.said());
        tokio::time::sleep(Duration::from_micros(500)).await;
    }
    std::thread::sleep(Duration::from_micros(dice.below(3000)));
    service.kill();
    let mut unknown = Vec::new();
    for task in tasks {
        unknown.extend(task.await.unwrap());
    }
    unknown
}
