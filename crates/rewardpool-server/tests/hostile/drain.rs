//! T15. Goal: a stop ends in time, with all that was answered on disk, whatever clients do.
//! Method: honest clients, whose history is compared with the log, beside clients that hold the stop
//! up: silent ones, half-open calls, and answers for which there is no window. `ROUNDS` sets the
//! rounds.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::log;
use rewardpool_tally::Trial;

use crate::client::{Client, DrawOp};
use crate::honest::{address, runtime};
use crate::service::{PATIENCE, Service, Setup};
use crate::wire::{DRAW, GET_STATE, INITIAL_WINDOW, Wire, call, get_state, open};

/// Rounds, unless `ROUNDS` says otherwise.
const ROUNDS: u64 = 20;
/// Bad clients of each kind.
const OF_EACH: usize = 70;
/// How long a stop may take. The default, which nothing here changes.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it may take when only silent clients are there. The machine may be busy.
const DRAIN_OF_SILENT: Duration = Duration::from_secs(2);
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-9 };

const CONFIG: &str = "
pools:
  - id: main
    catalog: [{ item_id: a, quantity: -1, weight: 1 }, { item_id: b, quantity: -1, weight: 2 }]
wal: { max_file_size_kb: 4096 }
";

#[test]
fn a_stop_ends_in_time_whatever_clients_do() {
    let trial = Trial::begin("T15 drain with bad clients");
    let rounds: u64 = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let mut longest = Duration::ZERO;
    for round in 0..rounds {
        let took = stop_beside(round, |to| Box::pin(all_kinds(to)));
        assert!(took <= DRAIN, "round {round}: {took:?}");
        longest = longest.max(took);
    }
    println!("{rounds} stops beside {} bad clients each, the longest {longest:?}", 3 * OF_EACH);
    trial.pass(rounds, rounds * 3 * u64::try_from(OF_EACH).unwrap());
}

#[test]
fn silent_clients_do_not_make_a_stop_longer() {
    let took = stop_beside(0, |to| Box::pin(silent(to, 3 * OF_EACH)));
    println!("a stop beside {} silent clients: {took:?}", 3 * OF_EACH);
    assert!(took <= DRAIN_OF_SILENT, "{took:?}");
}

type BadClients = std::pin::Pin<Box<dyn Future<Output = Vec<Wire>>>>;

/// Starts a service, lets clients at it, and stops it. Gives how long that took.
fn stop_beside(round: u64, bad_clients: fn(SocketAddr) -> BadClients) -> Duration {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path(), CONFIG);
    let mut service = setup.start();
    let runtime = runtime();
    let wires = runtime.block_on(bad_clients(address(&service)));
    assert!(!wires.is_empty());
    let honest: Vec<_> = (0..3)
        .map(|number| runtime.spawn(draw_until_the_end(setup.clone(), service.address(), number)))
        .collect();
    wait_for_draws(&setup, 50);
    let begun = Instant::now();
    service.terminate();
    let took = wait_for_end(&mut service, begun, round);
    for client in honest {
        runtime.block_on(client).unwrap();
    }
    drop(wires);
    // The checker also looks for the record of a clean stop at the end of the log.
    let log = log::load(&setup.data).unwrap();
    let report = check(&setup.recorder.read().unwrap(), &log, &LIMITS);
    assert!(report.is_good(), "round {round}: {report}\n{}", service.said());
    took
}

fn wait_for_end(service: &mut Service, begun: Instant, round: u64) -> Duration {
    let status = service.wait(DRAIN + PATIENCE);
    let took = begun.elapsed();
    let code = status.and_then(|status| status.code());
    assert_eq!(code, Some(0), "round {round}, after {took:?}\n{}", service.said());
    took
}

/// Draws until the service says that it stops, or is gone.
async fn draw_until_the_end(setup: Setup, address: String, number: u32) {
    let mut client = Client::connect(&address, &setup.recorder, number).await.unwrap();
    for serial in 0.. {
        let draw = DrawOp::keyed(format!("{number}-{serial}"), "main", 3);
        if !matches!(client.draw(&draw).await, crate::client::Told::Ok(_)) {
            return;
        }
    }
}

fn wait_for_draws(setup: &Setup, enough: usize) {
    let begun = Instant::now();
    while setup.recorder.read().unwrap().len() < 2 * enough {
        assert!(begun.elapsed() < PATIENCE, "honest clients are not served");
        std::thread::sleep(Duration::from_millis(5));
    }
}

async fn all_kinds(to: SocketAddr) -> Vec<Wire> {
    let mut wires = silent(to, OF_EACH).await;
    for _ in 0..OF_EACH {
        let mut wire = Wire::greeted(to).await.unwrap();
        wire.send(&[open(DRAW, 1), open("/rewardpool.v1.RewardPool/DrawStream", 3)].concat())
            .await
            .unwrap();
        wires.push(wire);
    }
    for _ in 0..OF_EACH {
        let mut wire = Wire::greeted_with(to, &[(INITIAL_WINDOW, 0)]).await.unwrap();
        let calls: Vec<u8> =
            (0..5).flat_map(|n| call(GET_STATE, 2 * n + 1, &get_state("main"))).collect();
        wire.send(&calls).await.unwrap();
        // Headers need no window: the answers are on their way.
        let seen = wire.read_until(PATIENCE, |seen| seen.headers >= 5).await;
        assert!(seen.headers >= 5, "{seen:?}");
        wires.push(wire);
    }
    wires
}

/// Some say nothing at all, the others nothing after the greeting.
async fn silent(to: SocketAddr, count: usize) -> Vec<Wire> {
    let mut wires = Vec::new();
    for n in 0..count {
        let wire = if n % 2 == 0 { Wire::connect(to).await } else { Wire::greeted(to).await };
        wires.push(wire.unwrap());
    }
    wires
}
