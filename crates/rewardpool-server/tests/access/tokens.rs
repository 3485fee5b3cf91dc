//! The tokens file while the service runs.
use std::time::{Duration, Instant, SystemTime};

use rewardpool_proto::v1::draw_stream_response::Answer;
use rewardpool_proto::v1::{GetStateRequest, WatchStateRequest};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};

use super::fixture::{PATIENCE, Plan, access, draw, person, write_private, write_tokens};

#[tokio::test]
async fn a_token_that_is_revoked_ends_at_once_and_the_others_go_on() {
    let [gone, stays] = ["gone", "stays"].map(|name| person(name, "drawer, reader", ""));
    let running = Plan { people: &[&gone, &stays], ..Plan::default() }.start();
    let mut open = Vec::new();
    for somebody in [&gone, &stays] {
        let mut draws = running.draws(&access(somebody, None)).await;
        let (sender, requests) = mpsc::channel(1);
        sender.send(draw(1)).await.unwrap();
        let answers = draws.draw_stream(ReceiverStream::new(requests)).await.unwrap();
        let mut answers = answers.into_inner();
        answers.message().await.unwrap().unwrap();
        let watch = WatchStateRequest {
            pool: "mine".to_owned(),
            interval_ms: 100,
            ..WatchStateRequest::default()
        };
        let states = draws.watch_state(watch).await.unwrap().into_inner();
        open.push((sender, answers, states, draws));
    }
    write_tokens(&running.directory.path().join("tokens.yaml"), &[&stays], "");
    running.told("the tokens file was read again").await;
    let (sender, mut answers, mut states, mut draws) = open.remove(0);
    assert_eq!(draws.draw(draw(1)).await.unwrap_err().code(), Code::Unauthenticated);
    sender.send(draw(1)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().answer.unwrap();
    let Answer::Refusal(refusal) = answer else { panic!("a token that is gone draws") };
    assert_eq!(Code::from_i32(refusal.code), Code::Unauthenticated);
    let end = loop {
        match tokio::time::timeout(PATIENCE, states.message()).await.unwrap() {
            Ok(message) => drop(message.unwrap()),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Unauthenticated);
    let (sender, mut answers, mut states, mut draws) = open.remove(0);
    sender.send(draw(1)).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().answer.unwrap();
    assert!(matches!(answer, Answer::Draw(_)));
    states.message().await.unwrap().unwrap();
    draws.draw(draw(1)).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_wrong_changes_nothing_and_is_told() {
    let [first, second] = ["first", "second"].map(|name| person(name, "drawer", ""));
    let running = Plan { people: &[&first], ..Plan::default() }.start();
    let file = running.directory.path().join("tokens.yaml");
    write_private(&file, "tokens:\n  - { name: first, sha256: nothing }\n");
    running.told("the tokens file is wrong").await;
    running.draws(&access(&first, None)).await.draw(draw(1)).await.unwrap();
    write_tokens(&file, &[&first, &second], "");
    running.told("the tokens file was read again").await;
    running.draws(&access(&second, None)).await.draw(draw(1)).await.unwrap();
    // Others may read it: the tokens in it are not taken.
    let third = person("third", "drawer", "");
    write_tokens(&file, &[&third], "");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&file, open).unwrap();
    running.told("others may use the tokens file").await;
    running.draws(&access(&first, None)).await.draw(draw(1)).await.unwrap();
}

#[tokio::test]
async fn a_token_ends_when_it_expires() {
    let expires = SystemTime::now() + Duration::from_secs(2);
    let expires = format!("expires: \"{}\"", humantime::format_rfc3339_seconds(expires));
    let brief = person("brief", "drawer", &expires);
    let running = Plan { people: &[&brief], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&brief, None)).await;
    let begun = Instant::now();
    let end = loop {
        match draws.draw(draw(1)).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            Err(status) => break status,
        }
        assert!(begun.elapsed() < PATIENCE);
    };
    assert_eq!(end.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn one_bound_to_a_pool_learns_nothing_of_others() {
    let bound = person("bound", "reader", "pools: [mine]");
    let running = Plan { people: &[&bound], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&bound, None)).await;
    let mut told = Vec::new();
    for pool in ["other", "not-there", "NOT A NAME"] {
        let request = GetStateRequest { pool: pool.to_owned(), ..GetStateRequest::default() };
        let refused = draws.get_state(request).await.unwrap_err();
        told.push((refused.code(), refused.message().to_owned()));
    }
    assert!(told.iter().all(|refusal| *refusal == told[0]), "{told:?}");
    assert_eq!(told[0].0, Code::PermissionDenied);
    let watch = WatchStateRequest { pool: "mine".to_owned(), ..WatchStateRequest::default() };
    let mut states = draws.watch_state(watch).await.unwrap().into_inner();
    let state = states.message().await.unwrap().unwrap();
    assert!(state.state.is_some() && state.activity.is_none());
}

#[tokio::test]
async fn a_refusal_does_not_tell_what_is_wrong_with_a_token() {
    let over = person("over", "drawer", "expires: \"2020-01-01T00:00:00Z\"");
    let running = Plan { people: &[&over], ..Plan::default() }.start();
    let mut clear = running.draws(&rewardpool_client::Access::default()).await;
    let texts = [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer rp_1".to_owned()),
        Some("Basic YTpi".to_owned()),
        Some(format!("Bearer {}", over.token.reveal())),
        Some(format!("Bearer {}", person("nobody", "admin", "").token.reveal())),
    ];
    let mut told = Vec::new();
    for text in texts {
        let mut request = Request::new(draw(1));
        if let Some(text) = text {
            request.metadata_mut().insert("authorization", text.parse().unwrap());
        }
        let refused = clear.draw(request).await.unwrap_err();
        told.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
    }
    assert!(told.iter().all(|refusal| *refusal == told[0]), "{told:?}");
    assert_eq!(told[0].0, Code::Unauthenticated);
    assert_eq!(running.auth.as_ref().unwrap().unauthenticated(), 6);
}
