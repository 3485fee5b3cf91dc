//! Goal: a follower whose disk is full answers reads, tells how old they are, and goes on by itself when
//! there is room; its leader does not notice. Method: the copy on a small file system that a ballast file
//! fills while clients draw.
use tempfile::TempDir;

use crate::load::Load;
use crate::node::{Node, assert_prefix, assert_same_state, until, until_equal};
use crate::volume::{Kind, Volume};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_the_follower_up_and_nobody_else() {
    let Some(volume) = Volume::new(Kind::Tmpfs) else { return };
    let home = TempDir::new().unwrap();
    let mut leader = Node::lead(home.path(), "leader");
    let data = volume.path().join("data");
    let mut follower = Node::follower_in(home.path(), &data, &leader.address());
    follower.start();
    {
        let load = Load::on(&leader.address(), "full");
        until("draws", async || load.answered() >= 100).await;
        volume.fill();
        let is_full = async |node: &Node| {
            let activity = node.status().await.ok().and_then(|status| status.activity);
            activity.is_some_and(|activity| activity.out_of_space)
        };
        until("a lag because of a full disk", async || {
            is_full(&follower).await && leader.lsn().await > follower.lsn().await + 500
        })
        .await;
        // The leader goes on.
        let answered = load.answered();
        until("draws", async || load.answered() > answered + 200).await;
        assert!(!is_full(&leader).await);
        let state = follower.state().await.unwrap();
        let answered = load.answered();
        until("draws", async || load.answered() > answered + 100).await;
        let later = follower.state().await.unwrap();
        assert!(state.lsn == later.lsn && leader.lsn().await > later.lsn + 200, "it stands");
        let age =
            |state: rewardpool_proto::v1::GetStateResponse| state.freshness.unwrap().staleness_ms;
        assert!(age(later) > age(state), "and tells how old it is");
        volume.free();
    }
    let lsn = until_equal(&leader, &follower).await;
    leader.kill();
    follower.kill();
    assert_eq!(assert_same_state(&leader.data, &data), lsn);
    assert_prefix(&leader.data, &data);
}
