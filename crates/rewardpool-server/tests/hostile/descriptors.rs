//! T14. Goal: a service that may open few files serves as many clients as it can, and others when
//! there is room again; its log always has what it needs.
//! Method: 64 open files, three times as many connections, an honest client that was there before,
//! and segments that are so small that the log opens new ones all the time.
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rewardpool_client::Access;
use rewardpool_tally::Trial;

use crate::honest::{Ground, address, runtime};
use crate::service::{Setup, binary};
use crate::wire::{DRAW, Wire, call, draw};

const FILES: u32 = 64;
const CONNECTIONS: usize = 200;
/// Until there is room again.
const SOON: Duration = Duration::from_secs(10);

const CONFIG: &str = "
pools:
  - id: main
    catalog: [{ item_id: a, quantity: -1, weight: 1 }]
  - id: attacked
    catalog: [{ item_id: a, quantity: -1, weight: 1 }]
wal: { max_file_size_kb: 64 }
";

#[test]
fn few_open_files_are_enough() {
    let trial = Trial::begin("T14 few open files");
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("few-files");
    let program = binary();
    let text = format!("#!/bin/sh\nulimit -n {FILES}\nexec '{}' \"$@\"\n", program.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let setup = Setup { binary: script, ..Setup::new(home.path(), CONFIG) };
    let service = setup.start();
    let ground = Ground { service, home, runtime: runtime(), access: Access::default() };
    let honest = ground.honest("honest");
    let begun = Instant::now();
    ground.runtime.block_on(async {
        let mut wires = Vec::new();
        for _ in 0..CONNECTIONS {
            wires.push(Wire::greeted(address(&ground.service)).await.unwrap());
        }
        let mut refused = 0;
        for wire in &mut wires {
            refused += usize::from(wire.read(Duration::from_millis(2)).await.closed);
        }
        println!("{refused} of {CONNECTIONS} connections were refused");
        assert!(refused > CONNECTIONS / 2, "{refused}");
        drop(wires);
        while !is_served(&ground).await {
            assert!(begun.elapsed() < SOON, "no new client is served\n{}", ground.service.said());
        }
    });
    let diary = honest.end();
    assert_eq!(diary.failures, Vec::<String>::new());
    assert_eq!(diary.refused, 0);
    assert!(!diary.latencies.is_empty());
    ground.end();
    trial.pass(1, u64::try_from(CONNECTIONS).unwrap());
}

async fn is_served(ground: &Ground) -> bool {
    let Ok(mut wire) = Wire::greeted(address(&ground.service)).await else { return false };
    drop(wire.send(&call(DRAW, 1, &draw(""))).await);
    let seen = wire.read_until(Duration::from_secs(1), |seen| seen.ended > 0).await;
    seen.ended > 0
}
