//! I14. Goal: however often the leader or the follower is killed, what the follower has is a prefix of the
//! leader's log, byte by byte, and the states are equal at equal LSNs. Method: both processes under load,
//! killed in turn with SIGKILL; after each kill the bytes are compared, at the end the states. `ROUNDS` sets
//! how often (T18).
use tempfile::TempDir;

use crate::load::Load;
use crate::node::{Node, assert_prefix, assert_same_state, until, until_equal};

/// Kills of either side, unless `ROUNDS` says otherwise.
const ROUNDS: u64 = 5;
/// Draws that are answered between two kills.
const ANSWERS: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_either_side_leave_no_gap_and_no_divergence() {
    let rounds = std::env::var("ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let home = TempDir::new().unwrap();
    let mut leader = Node::lead(home.path(), "leader");
    let mut follower = Node::follow(home.path(), "follower", &leader.address());
    let mut bytes = 0;
    let mut rechecked = 0;
    {
        let load = Load::on(&leader.address(), "kill");
        for round in 0..2 * rounds {
            let (answered, lsn) = (load.answered(), follower.lsn().await);
            until("draws", async || load.answered() >= answered + ANSWERS).await;
            until("records", async || follower.lsn().await > lsn + ANSWERS).await;
            let acknowledged = follower.lsn().await;
            if round % 2 == 0 {
                leader.kill();
                leader.start();
            } else {
                follower.kill();
                // The leader goes on meanwhile; what the follower has is there already.
                let has = rewardpool_engine::inspect::verify(&follower.data).unwrap().last_lsn;
                assert!(has >= acknowledged, "{has} of {acknowledged} are left");
                bytes += assert_prefix(&leader.data, &follower.data);
                rechecked += 1;
                follower.start();
            }
        }
        println!("{} draws were answered in {} kills", load.answered(), 2 * rounds);
    }
    let lsn = until_equal(&leader, &follower).await;
    leader.kill();
    follower.kill();
    assert_eq!(assert_same_state(&leader.data, &follower.data), lsn);
    bytes += assert_prefix(&leader.data, &follower.data);
    println!("{rechecked} comparisons of {bytes} bytes, equal at LSN {lsn}");
    rewardpool_tally::record("T18 followers: kills of either side", rounds, 2 * rounds, 0);
}
