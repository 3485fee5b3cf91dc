//! T12. Goal: of two services that are started on one directory at the same time exactly one serves;
//! the other ends at once with 73.
//! Method: a hundred pairs of processes, let go by a barrier, on one directory; the owner before them
//! was stopped or killed. Only the winner's pool is ever drawn from, and a last start recovers it all.
use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::client::{Client, DrawOp, Told};
use crate::load::config;
use crate::service::{NotReady, PATIENCE, Service, Setup};

const PAIRS: u32 = 100;
const LOCKED: i32 = 73;
/// One second is what is promised; the rest is the start of a process on a busy machine.
const LOSER_LIMIT: Duration = Duration::from_secs(3);

#[test]
fn of_two_that_start_at_once_exactly_one_serves() {
    let pairs = std::env::var("PAIRS").map_or(PAIRS, |text| text.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path(), &config("binary", "file"));
    // With a thread of its own, so that connections are closed when nobody waits for anything.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (mut kills, mut slowest, mut last_id) = (0, Duration::ZERO, 0);
    for pair in 0..pairs {
        let (winner, loser_took) = one_pair(&setup);
        slowest = slowest.max(loser_took);
        last_id = runtime.block_on(draw(&setup, &winner, pair, last_id));
        if pair % 2 == 0 {
            winner.kill();
            kills += 1;
        } else {
            assert!(winner.stop().success());
        }
    }
    println!("{pairs} pairs, {kills} kills, the slowest loser ended after {slowest:?}");
    rewardpool_tally::record("T12 double start", pairs.into(), kills, 0);
    assert!(slowest < LOSER_LIMIT, "a loser took {slowest:?}");
}

/// Starts two processes at once. Gives the one that serves, and how long the other took to end.
fn one_pair(setup: &Setup) -> (Service, Duration) {
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
        assert!(begun.elapsed() < PATIENCE, "neither serves, or none ends");
        for (place, (service, spawned)) in started.iter_mut().enumerate() {
            if ready == Some(place) || ended.is_some_and(|(other, _)| other == place) {
                continue;
            }
            match service.wait_ready(Duration::ZERO) {
                Ok(_) => assert_eq!(ready.replace(place), None, "both serve"),
                Err(NotReady::Ended(status)) => {
                    assert_eq!(status.code(), Some(LOCKED), "{}", service.said());
                    assert!(ended.is_none(), "both ended");
                    ended = Some((place, spawned.elapsed()));
                }
                Err(NotReady::Slow) => {}
            }
        }
    }
    let (Some(place), Some((_, took))) = (ready, ended) else { unreachable!("the loop saw both") };
    (started.swap_remove(place).0, took)
}

/// Draws from the winner. Its ids go on where those of the owner before it ended.
async fn draw(setup: &Setup, winner: &Service, pair: u32, last_id: u64) -> u64 {
    let mut client = Client::connect(&winner.address(), &setup.recorder, 0).await.unwrap();
    let told = client.draw(&DrawOp::unkeyed(format!("pair-{pair}"), "main", 3)).await;
    let Told::Ok(rewardpool_checker::history::Answer::Draw(drawn)) = told else {
        panic!("{told:?}");
    };
    assert_eq!(drawn.first_request_id, last_id + 1);
    last_id + 3
}
