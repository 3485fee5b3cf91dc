//! Goal: when the leader is gone, a follower takes over within two seconds with everything that it had
//! acknowledged; nobody can go on with the old leader's log by accident. Method: the leader killed under
//! load, the follower promoted by the command line, running or stopped; then the old leader's directory and
//! other followers are started in every way that is wrong.
use std::fs;
use std::time::{Duration, Instant};

use rewardpool_engine::inspect;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, GetDrawRequest, ReplicationRole};
use tempfile::TempDir;

use crate::load::{Load, Told};
use crate::node::{Node, assert_prefix, rewardpool, until, until_equal};

/// From the command to the first draw.
const DRAWS_WITHIN: Duration = Duration::from_secs(2);
/// The same while other tests keep the machine busy.
const DRAWS_AT_LAST: Duration = Duration::from_secs(20);
/// How often a leader is killed and replaced.
const TIMES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_follower_had_is_there_after_it_took_over() {
    let mut took = Vec::new();
    for time in 0..TIMES {
        let home = TempDir::new().unwrap();
        let mut leader = Node::lead(home.path(), "leader");
        let mut follower = Node::follow(home.path(), "follower", &leader.address());
        let load = Load::on(&leader.address(), "gone");
        until("draws", async || load.answered() >= 300).await;
        // What the follower acknowledged so far, and what clients had been told before that.
        let told = load.told();
        until("records", async || follower.freshness().await.is_some_and(|it| it.lsn > 300)).await;
        let acknowledged = follower.state().await.unwrap();
        leader.kill();
        drop(load);
        let begun = Instant::now();
        promote(&mut follower, time % 2 == 1);
        let mut players = RewardPoolClient::new(follower.channel());
        until("a draw", async || {
            players.draw(DrawRequest { count: 1, ..Default::default() }).await.is_ok()
        })
        .await;
        took.push(begun.elapsed());
        let state = follower.state().await.unwrap();
        assert!(state.lsn > acknowledged.lsn && state.freshness.is_none());
        assert!(state.last_request_id > acknowledged.last_request_id);
        let kept = assert_told(&mut players, &told, acknowledged.last_request_id).await;
        println!(
            "{kept} of {} answers are known, {} after the command",
            told.len(),
            took[time].as_secs_f64()
        );
        let replication = follower.status().await.unwrap().replication.unwrap();
        assert_eq!((replication.role(), replication.epoch), (ReplicationRole::Leader, 2));
        follower.kill();
        inspect::verify(&follower.data).unwrap();
    }
    assert!(took.iter().min().unwrap() < &DRAWS_WITHIN, "{took:?}");
    assert!(took.iter().max().unwrap() < &DRAWS_AT_LAST, "{took:?}");
}

/// By the command, in either of its forms.
#[track_caller]
fn promote(follower: &mut Node, is_stopped: bool) {
    let promoted = if is_stopped {
        follower.stop();
        rewardpool(&["promote", "--dir", follower.data.to_str().unwrap()])
    } else {
        rewardpool(&["promote", "--addr", &follower.address(), "--actor", "ann"])
    };
    assert!(promoted.status.success(), "{promoted:?}");
    let said = String::from_utf8(promoted.stdout).unwrap();
    assert!(said.contains("leads in epoch 2"), "{said}");
    if is_stopped {
        let leading = Node::lead(follower.data.parent().unwrap(), "follower");
        *follower = leading;
    }
}

/// Each draw that the follower had is answered as it was. Gives how many.
async fn assert_told(
    players: &mut RewardPoolClient<tonic::transport::Channel>,
    told: &[Told],
    last_request_id: u64,
) -> usize {
    let had: Vec<&Told> = told
        .iter()
        .filter(|(_, first, items)| first + items.len() as u64 - 1 <= last_request_id)
        .collect();
    assert!(had.len() > 100, "{} draws", had.len());
    for (key, first_request_id, items) in &had {
        let request = GetDrawRequest { idempotency_key: key.clone(), ..GetDrawRequest::default() };
        let again = players.get_draw(request).await.unwrap().into_inner();
        let again_items: Vec<String> =
            again.outcomes.iter().map(|outcome| format!("{outcome:?}")).collect();
        assert_eq!((again.first_request_id, &again_items), (*first_request_id, items), "{key}");
    }
    had.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_leaders_directory_goes_on_only_if_nothing_is_lost_by_it() {
    let home = TempDir::new().unwrap();
    let mut old = Node::lead(home.path(), "old");
    let mut new = Node::follow(home.path(), "new", &old.address());
    let mut third = Node::follow(home.path(), "third", &old.address());
    {
        let load = Load::on(&old.address(), "old");
        until("draws", async || load.answered() >= 100).await;
    }
    until_equal(&old, &new).await;
    until_equal(&old, &third).await;
    third.stop();
    let whole = home.path().join("whole");
    old.kill();
    copy(&old.data, &whole);
    promote(&mut new, false);
    // The third one had nothing that the new leader does not have, so it goes on with that.
    third.will_follow(&new.address());
    third.start();
    until_equal(&new, &third).await;
    // The old leader starts again and draws: it cannot know.
    old.start();
    let mut players = RewardPoolClient::new(old.channel());
    players.draw(DrawRequest { count: 3, ..Default::default() }).await.unwrap();
    // Who has seen the new epoch takes nothing from it.
    third.stop();
    third.will_follow(&old.address());
    let told = third.run();
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(65), "{text}");
    assert!(text.contains("epoch") || text.contains("ends at LSN"), "{text}");
    // Its own directory does not follow the new leader, and says what to do.
    old.kill();
    old.will_follow(&new.address());
    let before = fs::read(old.data.join("wal.000")).unwrap();
    let told = old.run();
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(65), "{text}");
    assert!(text.contains("move this directory away") && text.contains("LSN"), "{text}");
    assert!(fs::read(old.data.join("wal.000")).unwrap() == before, "it was touched");
    // As it was before it drew again, it has nothing that is lost: it follows.
    let mut rest = Node::follower_in(home.path(), &whole, &new.address());
    rest.start();
    until_equal(&new, &rest).await;
    rest.stop();
    assert!(whole.join("FOLLOWER").exists());
    new.kill();
    assert_prefix(&new.data, &whole);
}

#[tokio::test]
async fn only_a_follower_is_promoted() {
    let home = TempDir::new().unwrap();
    let mut leader = Node::lead(home.path(), "leader");
    let told = rewardpool(&["promote", "--addr", &leader.address()]);
    let text = String::from_utf8(told.stderr).unwrap();
    assert!(told.status.code() == Some(1) && text.contains("NOT_FOLLOWER"), "{text}");
    leader.stop();
    for directory in [leader.data.to_str().unwrap(), "/nonexistent/follower"] {
        let told = rewardpool(&["promote", "--dir", directory]);
        assert!(matches!(told.status.code(), Some(74 | 78)), "{told:?}");
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
