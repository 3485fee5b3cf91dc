//! The trace of administrators, and where they are served.
use rewardpool_client::Access;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::{ClosePoolRequest, GetStatusRequest, PausePoolRequest};
use rewardpool_proto::v1::{UpdateItemRequest, update_item_request::Quantity};
use tonic::{Code, Request};

use super::fixture::{Plan, access, connect, draw, person};

#[tokio::test]
async fn each_action_leaves_a_line_with_who_what_before_and_after() {
    let ops = person("ops", "admin", "");
    let running = Plan { people: &[&ops], ..Plan::default() }.start();
    let mut admin = running.admin(&access(&ops, None)).await;
    let update = UpdateItemRequest {
        pool: "mine".to_owned(),
        item_id: "gold".to_owned(),
        weight: Some(7),
        actor: "ann".to_owned(),
        reason: "campaign".to_owned(),
        ..UpdateItemRequest::default()
    };
    let mut request = Request::new(update.clone());
    request.metadata_mut().insert("x-request-id", "order-66".parse().unwrap());
    let lsn = admin.update_item(request).await.unwrap().into_inner().lsn;
    let log = running.log.text();
    let line = log.lines().find(|line| line.contains("item updated")).unwrap();
    for part in [
        "audit: item updated",
        "principal=\"ops\"",
        "pool=\"mine\"",
        "item=\"gold\"",
        "before=\"weight 1, quantity -1\"",
        "after=\"weight 7, quantity -1\"",
        // What stands in the record: the client's own word is only beside the principal.
        "actor=\"ops (for ann)\"",
        "reason=\"campaign\"",
        &format!("lsn={lsn}"),
        "request_id=\"order-66\"",
        "peer=127.0.0.1:",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // An unlimited item cannot be added to, which leaves a line, too.
    let refused = UpdateItemRequest { quantity: Some(Quantity::Add(5)), ..update };
    assert_eq!(admin.update_item(refused).await.unwrap_err().code(), Code::FailedPrecondition);
    let log = running.log.text();
    let line = log.lines().find(|line| line.contains("item updated: refused")).unwrap();
    assert!(line.contains("principal=\"ops\"") && line.contains("QUANTITY_UNLIMITED"), "{line}");
}

#[tokio::test]
async fn the_record_in_the_log_names_the_principal() {
    let ops = person("ops", "admin", "");
    let running = Plan { people: &[&ops], ..Plan::default() }.start();
    let mut admin = running.admin(&access(&ops, None)).await;
    let pause = |actor: &str| PausePoolRequest {
        pool: "mine".to_owned(),
        actor: actor.to_owned(),
        reason: String::new(),
    };
    admin.pause_pool(pause("ann")).await.unwrap();
    // What leaves no room for the principal is refused, not cut off.
    let long = admin.pause_pool(pause(&"x".repeat(250))).await.unwrap_err();
    assert_eq!(long.code(), Code::InvalidArgument);
    let directory = running.directory.path().join("data");
    drop(running.admin(&access(&ops, None)).await);
    let mut found = false;
    for entry in std::fs::read_dir(directory).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        found |= bytes.windows(13).any(|part| part == b"ops (for ann)");
    }
    assert!(found, "no record names the principal");
}

#[tokio::test]
async fn administrators_have_an_address_of_their_own_if_they_shall() {
    let ops = person("ops", "admin", "");
    let grpc = "  admin_listen_address: 127.0.0.1:0\n";
    let running = Plan { people: &[&ops], grpc, ..Plan::default() }.start();
    let access = access(&ops, None);
    let mut public = running.admin(&access).await;
    let close = ClosePoolRequest { pool: "mine".to_owned(), ..ClosePoolRequest::default() };
    assert_eq!(public.close_pool(close).await.unwrap_err().code(), Code::Unimplemented);
    running.draws(&access).await.draw(draw(1)).await.unwrap();
    let channel = connect(running.admin_url.as_ref().unwrap(), &access).await.unwrap();
    PoolAdminClient::new(channel.clone()).get_status(GetStatusRequest {}).await.unwrap();
    let mut draws = rewardpool_proto::v1::reward_pool_client::RewardPoolClient::new(channel);
    assert_eq!(draws.draw(draw(1)).await.unwrap_err().code(), Code::Unimplemented);
    let nobody = connect(running.admin_url.as_ref().unwrap(), &Access::default()).await.unwrap();
    let refused = PoolAdminClient::new(nobody).get_status(GetStatusRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
}
