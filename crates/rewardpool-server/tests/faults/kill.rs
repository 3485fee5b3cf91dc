//! T5. Goal: after SIGKILL at any moment everything acknowledged is there, nothing is doubled, and
//! nothing was made up.
//! Method: four clients draw, change and read over gRPC and write down what they are told; after a
//! random number of acknowledged draws the process is killed, now and then a second time while it
//! starts; what nobody knows the outcome of is asked again. In the end the whole log, which an
//! archive kept from its beginning, is compared with the history. `ROUNDS` sets the rounds for each
//! of the six combinations of format and storage, `SEED` repeats the choices.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::{Report, log};
use rewardpool_engine::inspect;
use rewardpool_proto::v1::PoolStatus;

use crate::archive::{Archive, Watch};
use crate::client::{Client, DrawOp};
use crate::dice::Dice;
use crate::service::{PATIENCE, Setup};

/// Rounds of each combination, unless `ROUNDS` says otherwise: 54 in all.
const ROUNDS: u64 = 9;
/// Draws that are acknowledged before a kill, at least and at most.
const DRAWS: std::ops::Range<u64> = 400..4600;
/// Requests that are in flight on the stream.
const IN_FLIGHT: usize = 16;
/// The machine is busy with other tests, so a start may take long.
const LIMITS: Limits = Limits { ready_within: PATIENCE, probability_min: 1e-6 };

#[test]
fn everything_acknowledged_survives_sigkill_in_every_format_and_storage() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} ROUNDS={rounds}");
    let mut dice = Dice::new(seed);
    let (mut kills, mut acknowledged, mut failures) = (0, 0, 0);
    for format in ["binary", "json", "string_line"] {
        for storage in ["file", "mmap"] {
            let home = tempfile::tempdir().unwrap();
            let begun = Instant::now();
            let report = campaign(home.path(), format, storage, rounds, dice.split());
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
            kills += counts.kills;
            acknowledged += counts.acknowledged_draws;
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
}

/// All rounds on one directory, and the verdict.
fn campaign(home: &Path, format: &str, storage: &str, rounds: u64, dice: Dice) -> Report {
    let setup = Setup::new(home, &config(format, storage));
    let archive = judge_rounds(&setup, home, rounds, dice);
    inspect::verify(&setup.data).unwrap_or_else(|error| panic!("{}: {error}", home.display()));
    let events = setup.recorder.read().unwrap();
    let log = log::load(archive.directory())
        .unwrap_or_else(|error| panic!("{}: {error}", archive.directory().display()));
    assert_eq!(log.base.lsn, 0, "the archive holds the whole log");
    check(&events, &log, &LIMITS)
}

fn judge_rounds(setup: &Setup, home: &Path, rounds: u64, mut dice: Dice) -> Archive {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let watch: Watch = Archive::new(&setup.data, &home.join("archive")).watch();
    let mut unknown = Vec::new();
    for round in 0..rounds {
        if dice.percent(40) {
            kill_while_it_starts(setup, &mut dice);
        }
        unknown = runtime.block_on(one_round(setup, round, unknown, &mut dice));
    }
    let service = setup.start();
    runtime.block_on(ask_again(setup, &service.address(), unknown, &mut dice));
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
    let mut tasks = Vec::new();
    for number in 0..4 {
        let client = Client::connect(&address, &setup.recorder, number).await.unwrap();
        let client = client.counting(&acknowledged);
        let (prefix, dice) = (format!("{round}-{number}"), dice.split());
        tasks.push(tokio::spawn(async move {
            let load = Load { client, prefix, serial: 0, dice };
            match number {
                0 => load.draw_one_by_one().await,
                1 => load.draw_on_a_stream().await,
                2 => load.draw_without_keys().await,
                _ => load.change_and_read().await,
            }
        }));
    }
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

/// Asks for what nobody knows the outcome of, by the search for it or by a retry, and once more.
async fn ask_again(setup: &Setup, address: &str, unknown: Vec<DrawOp>, dice: &mut Dice) {
    let mut client = Client::connect(address, &setup.recorder, 9).await.unwrap();
    for draw in unknown.iter().filter(|draw| draw.is_keyed) {
        if dice.percent(30) {
            let op = format!("find-{}", draw.op);
            client.find_draw(&op, &draw.pool, &draw.op).await;
        }
        client.draw(draw).await;
        if dice.percent(30) {
            client.draw(draw).await;
        }
    }
}

/// One client at work, until the connection breaks.
struct Load {
    client: Client,
    prefix: String,
    serial: u64,
    dice: Dice,
}

impl Load {
    fn op(&mut self) -> String {
        self.serial += 1;
        format!("{}-{}", self.prefix, self.serial)
    }

    fn next_draw(&mut self) -> DrawOp {
        let count = match self.dice.below(20) {
            0 => 20 + self.dice.below(60),
            _ => 1 + self.dice.below(8),
        };
        let pool = if self.dice.percent(15) { "spare" } else { "main" };
        let draw = DrawOp::keyed(self.op(), pool, u32::try_from(count).unwrap());
        DrawOp { all_or_nothing: self.dice.percent(10), ..draw }
    }

    async fn draw_one_by_one(mut self) -> Vec<DrawOp> {
        loop {
            let draw = self.next_draw();
            if self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
            // A retry that nobody needs.
            if self.dice.percent(3) && self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
        }
    }

    async fn draw_on_a_stream(mut self) -> Vec<DrawOp> {
        loop {
            let mut left = 50 + self.dice.below(500);
            let mut client = self.client.clone();
            let next = || {
                left = left.checked_sub(1)?;
                Some(self.next_draw())
            };
            let unknown = client.draw_stream(IN_FLIGHT, next).await;
            if !unknown.is_empty() {
                return unknown;
            }
        }
    }

    async fn draw_without_keys(mut self) -> Vec<DrawOp> {
        loop {
            let draw = DrawOp { is_keyed: false, ..self.next_draw() };
            if self.client.draw(&draw).await.is_unknown() {
                return vec![draw];
            }
        }
    }

    async fn change_and_read(mut self) -> Vec<DrawOp> {
        let mut drawn: Vec<DrawOp> = Vec::new();
        loop {
            let (op, choice) = (self.op(), self.dice.below(100));
            let client = &mut self.client;
            let told = match choice {
                0..40 => {
                    let pool = *self.dice.one_of(&["main", "spare"]);
                    client.read_pool(&op, pool).await
                }
                40..60 => {
                    let units = i64::try_from(self.dice.below(40)).unwrap() - 8;
                    let item = *self.dice.one_of(&["ticket", "coupon"]);
                    client.add_units(&op, "spare", item, units).await
                }
                60..66 => {
                    let weight = 5 + self.dice.below(60);
                    client.update_item(&op, "main", "silver", None, Some(weight)).await
                }
                66..68 => client.add_item(&op, "spare", &format!("item {op}"), (3, 5)).await,
                68..76 => {
                    let status = *self.dice.one_of(&[PoolStatus::Paused, PoolStatus::Active]);
                    client.set_status(&op, "spare", status).await
                }
                76..78 => client.take_snapshot(&op).await,
                78..88 if !drawn.is_empty() => {
                    let draw = self.dice.one_of(&drawn);
                    client.find_draw(&op, &draw.pool, &draw.op).await
                }
                _ => {
                    let draw = self.next_draw();
                    let told = self.client.draw(&draw).await;
                    if told.is_unknown() {
                        return vec![draw];
                    }
                    drawn.push(draw);
                    told
                }
            };
            if told.is_unknown() {
                return Vec::new();
            }
        }
    }
}

/// Two pools: one with plenty, one that runs out. Segments are as small as they may be.
fn config(format: &str, storage: &str) -> String {
    format!(
        "pools:
  - id: main
    catalog:
      - {{ item_id: diamond, quantity: 50, weight: 10 }}
      - {{ item_id: gold, quantity: 5000, weight: 20 }}
      - {{ item_id: silver, quantity: 1000000, weight: 30 }}
      - {{ item_id: mud, quantity: -1, weight: 40 }}
  - id: spare
    catalog:
      - {{ item_id: ticket, quantity: 300, weight: 1 }}
      - {{ item_id: coupon, quantity: 500, weight: 3 }}
wal: {{ max_file_size_kb: 64, formatter: {format}, storage: {storage} }}
log: {{ format: json }}
"
    )
}
