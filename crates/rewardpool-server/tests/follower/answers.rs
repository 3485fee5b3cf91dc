//! Goal: a follower answers reads and says how old they are, refuses the rest with its leader's address,
//! and tells what it is to whoever asks. Method: a leader, a follower, and each kind of call; the same with
//! tokens.
use std::fs;

use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{
    DrawRequest, GetDrawRequest, ListPoolsRequest, PausePoolRequest, ReplicationRole,
    TakeSnapshotRequest, WatchStateRequest,
};
use tempfile::TempDir;
use tokio_stream::once;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use crate::node::{Node, rewardpool, run_to_its_end, until, until_equal};

#[track_caller]
fn assert_of_leader(status: &Status, leader: &Node) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    let info = status.get_details_error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("FOLLOWER", "rewardpool"));
    assert_eq!(info.metadata["leader"], leader.address());
}

#[tokio::test]
async fn a_follower_answers_reads_and_sends_the_rest_to_its_leader() {
    let home = TempDir::new().unwrap();
    let leader = Node::lead(home.path(), "leader");
    let mut players = RewardPoolClient::new(leader.channel());
    let draw = |key: &str| DrawRequest {
        count: 2,
        idempotency_key: key.to_owned(),
        ..DrawRequest::default()
    };
    let first = players.draw(draw("one")).await.unwrap().into_inner();
    let mut follower = Node::follow(home.path(), "follower", &leader.address());
    players.draw(draw("two")).await.unwrap();
    until_equal(&leader, &follower).await;
    let (theirs, ours) = (leader.state().await.unwrap(), follower.state().await.unwrap());
    assert_eq!(theirs.freshness, None, "a leader is never old");
    let freshness = ours.freshness.clone().unwrap();
    assert!(freshness.connected && freshness.staleness_ms < 5000, "{freshness:?}");
    assert_eq!((freshness.lsn, freshness.leader_lsn), (ours.lsn, theirs.lsn));
    assert_eq!(freshness.leader, leader.address());
    assert_eq!((&ours.items, ours.draws), (&theirs.items, 4));
    let mut there = RewardPoolClient::new(follower.channel());
    let pools = there.list_pools(ListPoolsRequest::default()).await.unwrap().into_inner();
    assert!(pools.freshness.is_some() && pools.pools.len() == 1);
    let watch = WatchStateRequest { interval_ms: 100, ..WatchStateRequest::default() };
    let mut watched = there.watch_state(watch).await.unwrap().into_inner();
    assert!(watched.message().await.unwrap().unwrap().state.unwrap().freshness.is_some());
    drop(watched);
    let found =
        |key: &str| GetDrawRequest { idempotency_key: key.to_owned(), ..GetDrawRequest::default() };
    let again = there.get_draw(found("one")).await.unwrap().into_inner();
    assert_eq!((again.first_request_id, again.outcomes), (first.first_request_id, first.outcomes));
    // What is not there may be on its way, so nobody is told that it did not happen.
    assert_of_leader(&there.get_draw(found("three")).await.unwrap_err(), &leader);
    assert_of_leader(&there.draw(draw("three")).await.unwrap_err(), &leader);
    assert_of_leader(&there.draw_stream(once(draw("three"))).await.unwrap_err(), &leader);
    let mut admin = PoolAdminClient::new(follower.channel());
    let pause = PausePoolRequest { pool: "default".to_owned(), ..PausePoolRequest::default() };
    assert_of_leader(&admin.pause_pool(pause).await.unwrap_err(), &leader);
    let snapshot = admin.take_snapshot(TakeSnapshotRequest {}).await;
    assert_of_leader(&snapshot.unwrap_err(), &leader);
    assert_what_it_tells(&leader, &follower).await;
    follower.stop();
    let told = rewardpool(&["serve", "--working-dir", follower.data.to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(78), "{told:?}");
    assert!(String::from_utf8(told.stderr).unwrap().contains("rewardpool promote"));
}

/// Status, health, metrics of the leader about its subscriber, and the command line.
async fn assert_what_it_tells(leader: &Node, follower: &Node) {
    let replication = follower.status().await.unwrap().replication.unwrap();
    assert_eq!(replication.role(), ReplicationRole::Follower);
    assert_eq!((replication.epoch, replication.problem.as_str()), (1, ""));
    let replication = leader.status().await.unwrap().replication.unwrap();
    assert_eq!((replication.role(), replication.epoch), (ReplicationRole::Leader, 1));
    let [subscriber] = &replication.subscribers[..] else { panic!("{replication:?}") };
    let lag = (subscriber.lag_records, subscriber.lag_bytes);
    assert!(lag == (0, 0) && subscriber.lag_seconds < 1e-9, "{subscriber:?}");
    assert_eq!(subscriber.lsn, leader.lsn().await);
    let mut health = HealthClient::new(follower.channel());
    for (service, serving) in
        [("", 1), ("rewardpool.v1.RewardPool", 2), ("rewardpool.RewardPoolService", 2)]
    {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status, serving, "{service:?}");
    }
    let told = rewardpool(&["state", "--addr", &follower.address()]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert!(text.contains("ms old, from a follower of http://127.0.0.1:"), "{text}");
    let told = rewardpool(&["draw", "--addr", &follower.address()]);
    let text = String::from_utf8(told.stderr).unwrap();
    assert_eq!(told.status.code(), Some(69));
    assert!(text.contains("FOLLOWER") && text.contains(&leader.address()), "{text}");
    assert!(text.contains("nothing was changed; ask the leader"), "{text}");
}

#[tokio::test]
async fn a_follower_that_fell_too_far_behind_copies_again() {
    let home = TempDir::new().unwrap();
    let leader = Node::lead(home.path(), "leader");
    let mut follower = Node::follow(home.path(), "follower", &leader.address());
    until_equal(&leader, &follower).await;
    follower.stop();
    let (mut players, mut admin) =
        (RewardPoolClient::new(leader.channel()), PoolAdminClient::new(leader.channel()));
    for _ in 0..4 {
        let draw = DrawRequest { count: 100, ..DrawRequest::default() };
        players.draw(draw).await.unwrap();
        admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap();
    }
    assert!(!leader.data.join("wal.000").exists(), "the follower's next record is gone");
    follower.start();
    until_equal(&leader, &follower).await;
    assert_eq!(follower.state().await.unwrap().items, leader.state().await.unwrap().items);
    assert!(!follower.data.join("wal.000").exists());
}

#[tokio::test]
async fn a_follower_shows_its_token_and_is_refused_without() {
    let home = TempDir::new().unwrap();
    let tokens = home.path().join("tokens.yaml");
    let new = |name: &str, role: &str| {
        let file = tokens.to_str().unwrap();
        let made = rewardpool(&["token", "new", "--name", name, "--role", role, "--file", file]);
        assert!(made.status.success(), "{made:?}");
        let secret = home.path().join(format!("{name}.token"));
        fs::write(&secret, made.stdout).unwrap();
        secret
    };
    let (admin, reader) = (new("copy", "admin"), new("eyes", "reader"));
    let mut leader = Node::lead(home.path(), "leader");
    leader.stop();
    let config = home.path().join("config.yaml");
    let open = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{open}auth: {{ tokens_file: {} }}\n", tokens.display())).unwrap();
    leader.start();
    let follower = Node::follower_in(home.path(), &home.path().join("copy"), &leader.address());
    for token in [None, Some(&reader)] {
        let mut command = follower.command();
        token.map(|file| command.arg("--token-file").arg(file));
        let told = run_to_its_end(command);
        let text = String::from_utf8(told.stderr).unwrap();
        assert_eq!(told.status.code(), Some(78), "{text}");
        assert!(text.contains("refuses") && text.contains("--token-file"), "{text}");
    }
    let mut command = follower.command();
    command.arg("--token-file").arg(&admin);
    let running = rewardpool_load::service::Process::start(command).unwrap();
    let token = admin.to_str().unwrap();
    until("the role", async || {
        let told = rewardpool(&["status", "--addr", running.address(), "--token-file", token]);
        String::from_utf8(told.stdout).unwrap().contains("follower of http")
    })
    .await;
    let secret = fs::read_to_string(&admin).unwrap();
    let copied = fs::read_to_string(home.path().join("copy/FOLLOWER")).unwrap();
    assert!(!copied.contains(secret.trim()), "the token is written down");
}
