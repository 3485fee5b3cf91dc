//! T9. Goal: on a full disk draws are refused, definitely and without an effect, reads go on, and
//! draws are served again within a second of there being space; nothing dies, nothing is lost. A
//! service that was stopped or killed starts on a full disk, too.
//! Method: the real binary on a small file system that a ballast file fills again and again, also
//! while it is killed and started; the checker compares what a client was told with the log.
//! `CYCLES` sets how often each file system is filled with each storage.
use std::time::{Duration, Instant};

use rewardpool_checker::check::{Limits, check};
use rewardpool_checker::history::{FaultKind, What};
use rewardpool_checker::log;
use tokio::runtime::Runtime;

use crate::campaign::runtime;
use crate::client::{Client, DrawOp, Told};
use crate::looked::{BY_EVERY_LOAD, Looked};
use crate::service::{Service, Setup};
use crate::volume::{Kind, Volume};

/// How often it is filled, unless `CYCLES` says otherwise.
const CYCLES: u64 = 2;
/// Draws while it is full, and after that.
const CALLS: u64 = 1000;
/// Every so many draws somebody reads.
const READ_EVERY: u64 = 50;
/// When nothing else keeps the machine busy, draws are served again within this.
const RESUMES_WITHIN: Duration = Duration::from_secs(1);
/// They are served again within this in any case.
const RESUMES_AT_LAST: Duration = Duration::from_secs(20);
/// More draws than there is room for in the segments that were made ahead.
const CALLS_UNTIL_FULL: u64 = 10_000;

#[test]
fn a_full_disk_refuses_draws_and_nothing_else() {
    let cycles = std::env::var("CYCLES").map_or(CYCLES, |text| text.parse().unwrap());
    let (runtime, mut refused, mut failures) = (runtime(), 0, 0);
    let mut looked = Looked::default();
    for kind in [Kind::Ext4, Kind::Tmpfs] {
        for storage in ["file", "mmap"] {
            let Some(volume) = Volume::new(kind) else { return };
            let begun = Instant::now();
            let home = tempfile::tempdir().unwrap();
            let setup = setup(&volume, home.path(), storage);
            let mut user = User::new(&setup, &runtime);
            for cycle in 0..cycles {
                user.fill_and_free(&volume, cycle);
            }
            let log = log::load(&setup.data).unwrap();
            let report = check(&setup.recorder.read().unwrap(), &log, &Limits::default());
            looked.add(&report);
            if !report.is_good() {
                failures += 1;
                println!("{kind:?}, {storage}: {report}");
            }
            let seconds = begun.elapsed().as_secs_f64();
            let resumed = &user.resumed;
            println!(
                "{kind:?}, {storage}: {} draws refused, resumed after {resumed:?}, {seconds:.1} s",
                user.refused
            );
            let soonest = user.resumed.iter().min().unwrap();
            assert!(*soonest < RESUMES_WITHIN, "draws are served late: {resumed:?}");
            refused += user.refused;
        }
    }
    // Each cycle fills it under load, and again before a start.
    rewardpool_tally::record("T9 full disk", 4 * cycles, 8 * cycles, failures);
    assert_eq!(failures, 0, "see above");
    assert!(refused >= 4 * cycles * CALLS, "the disk was not full: {refused}");
    looked.assert_at(&BY_EVERY_LOAD);
}

fn setup(volume: &Volume, home: &std::path::Path, storage: &str) -> Setup {
    let config = format!(
        "pool:
  catalog:
    - {{ item_id: gold, quantity: 3000, weight: 20 }}
    - {{ item_id: mud, quantity: -1, weight: 80 }}
wal: {{ max_file_size_kb: 64, storage: {storage} }}
log: {{ format: json }}
"
    );
    let mut setup = Setup::new(home, &config);
    setup.data = volume.path().join("data");
    setup
}

/// One client, over all lives of a service.
struct User<'a> {
    setup: &'a Setup,
    runtime: &'a Runtime,
    serial: u64,
    refused: u64,
    /// How long each time until draws were served again.
    resumed: Vec<Duration>,
}

impl<'a> User<'a> {
    fn new(setup: &'a Setup, runtime: &'a Runtime) -> Self {
        Self { setup, runtime, serial: 0, refused: 0, resumed: Vec::new() }
    }

    fn fill_and_free(&mut self, volume: &Volume, cycle: u64) {
        let service = self.setup.start();
        let runtime = self.runtime;
        runtime.block_on(async {
            let mut client = self.connect(&service).await;
            self.draw(&mut client, CALLS / 10).await;
            self.record(FaultKind::NoSpace);
            volume.fill();
            self.draw_until_refused(&mut client).await;
            self.be_refused(&mut client, CALLS).await;
            volume.free();
            self.resume(&mut client).await;
            self.record(FaultKind::Healed);
            self.draw(&mut client, CALLS).await;
        });
        // Once it stops and once it is killed; both leave a full disk to the next start.
        self.record(FaultKind::NoSpace);
        if cycle.is_multiple_of(2) {
            volume.fill();
            runtime.block_on(async {
                let mut client = self.connect(&service).await;
                self.draw_until_refused(&mut client).await;
            });
            service.kill();
        } else {
            assert!(service.stop().success(), "a stop needs no space");
            volume.fill();
        }
        // A start serves what the last segment has room for, and reads.
        let service = self.setup.start();
        assert!(service.said().contains("the disk is full"), "{}", service.said());
        runtime.block_on(async {
            let mut client = self.connect(&service).await;
            self.draw_until_refused(&mut client).await;
            self.be_refused(&mut client, CALLS / 10).await;
        });
        if cycle.is_multiple_of(2) {
            assert!(service.stop().success(), "a stop needs no space");
        } else {
            service.kill();
        }
        let service = self.setup.start();
        runtime.block_on(async {
            let mut client = self.connect(&service).await;
            self.be_refused(&mut client, CALLS / 10).await;
            volume.free();
            self.resume(&mut client).await;
            self.record(FaultKind::Healed);
            self.draw(&mut client, 1).await;
        });
        assert!(service.stop().success(), "a clean stop");
    }

    async fn connect(&self, service: &Service) -> Client {
        Client::connect(&service.address(), &self.setup.recorder, 0).await.unwrap()
    }

    fn record(&self, kind: FaultKind) {
        self.setup.recorder.record(What::Fault { kind, detail: "full disk".to_owned() });
    }

    fn next_draw(&mut self) -> DrawOp {
        self.serial += 1;
        DrawOp::keyed(format!("draw-{}", self.serial), "default", 3)
    }

    /// Draws that must be served.
    async fn draw(&mut self, client: &mut Client, calls: u64) {
        for _ in 0..calls {
            let told = client.draw(&self.next_draw()).await;
            assert!(matches!(told, Told::Ok(_)), "{told:?}");
        }
    }

    /// Uses up the segments that were made ahead.
    async fn draw_until_refused(&mut self, client: &mut Client) {
        for _ in 0..CALLS_UNTIL_FULL {
            match client.draw(&self.next_draw()).await {
                Told::Ok(_) => {}
                told @ (Told::Fail(_) | Told::Info(_)) => return is_no_space(&told),
            }
        }
        panic!("the disk never became full");
    }

    /// Every draw is refused; reads go on and see no change.
    async fn be_refused(&mut self, client: &mut Client, calls: u64) {
        for call in 0..calls {
            is_no_space(&client.draw(&self.next_draw()).await);
            self.refused += 1;
            if call.is_multiple_of(READ_EVERY) {
                let told = client.read_pool(&format!("read-{}", self.serial), "default").await;
                assert!(matches!(told, Told::Ok(_)), "{told:?}");
            }
        }
    }

    /// Tries until draws are served, which must be soon.
    async fn resume(&mut self, client: &mut Client) {
        let begun = Instant::now();
        loop {
            match client.draw(&self.next_draw()).await {
                Told::Ok(_) => break,
                told @ (Told::Fail(_) | Told::Info(_)) => is_no_space(&told),
            }
            assert!(begun.elapsed() < RESUMES_AT_LAST, "draws are still refused");
        }
        self.resumed.push(begun.elapsed());
    }
}

#[track_caller]
fn is_no_space(told: &Told) {
    assert_eq!(*told, Told::Fail("NO_SPACE".to_owned()));
}
