//! How much somebody may take.
use rewardpool_client::Access;
use rewardpool_proto::v1::draw_stream_response::Answer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::StatusExt as _;

use super::fixture::{Plan, access, draw, person};

#[tokio::test]
async fn draws_above_the_quota_are_refused_with_the_time_to_wait() {
    let quota = "draws_per_second: 1\ndraws_burst: 100";
    let (small, large) = (person("small", "drawer", quota), person("large", "drawer", ""));
    let running = Plan { people: &[&small, &large], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&small, None)).await;
    draws.draw(draw(60)).await.unwrap();
    // The quota is the principal's, whatever the connection.
    let mut again = running.draws(&access(&small, None)).await;
    let refused = again.draw(draw(60)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!((15..=21).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(refused.get_details_error_info().unwrap().reason, "QUOTA");
    let never = again.draw(draw(101)).await.unwrap_err();
    assert_eq!(never.code(), Code::InvalidArgument, "{never}");
    // Somebody else is not concerned.
    running.draws(&access(&large, None)).await.draw(draw(10_000)).await.unwrap();
}

#[tokio::test]
async fn a_stream_gets_its_quota_exactly_and_a_refusal_for_each_request_above() {
    let small = person("small", "drawer", "draws_per_second: 1\ndraws_burst: 1000");
    let running = Plan { people: &[&small], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&small, None)).await;
    let requests = tokio_stream::iter((0..3000).map(|_| draw(1)));
    let mut answers = draws.draw_stream(requests).await.unwrap().into_inner();
    let (mut drawn, mut refused) = (0, 0);
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.answer.unwrap() {
            Answer::Draw(_) => drawn += 1,
            Answer::Refusal(refusal) => {
                assert_eq!(refusal.reason, "QUOTA");
                refused += 1;
            }
        }
    }
    assert_eq!(drawn + refused, 3000);
    // A second or two may have passed meanwhile.
    assert!((1000..=1010).contains(&drawn), "{drawn}");
}

#[tokio::test]
async fn calls_at_the_same_time_are_limited_and_end() {
    let small = person("small", "drawer", "streams: 2");
    let running = Plan { people: &[&small], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&small, None)).await;
    let [first, second, third] = [(); 3].map(|()| mpsc::channel(1));
    first.0.send(draw(1)).await.unwrap();
    let answers = draws.draw_stream(ReceiverStream::new(first.1)).await.unwrap();
    let mut answers = answers.into_inner();
    answers.message().await.unwrap().unwrap();
    let _second = draws.draw_stream(ReceiverStream::new(second.1)).await.unwrap();
    let refused = draws.draw_stream(ReceiverStream::new(third.1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(draws.draw(draw(1)).await.unwrap_err().code(), Code::ResourceExhausted);
    drop(first.0);
    assert!(answers.message().await.unwrap().is_none());
    // The service hears of it in a moment.
    let begun = std::time::Instant::now();
    while let Err(status) = draws.draw(draw(1)).await {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(begun.elapsed() < super::fixture::PATIENCE, "{status}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn without_tokens_each_address_has_the_quota_if_it_shall() {
    let auth = "  quotas: { draws_per_second: 1, draws_burst: 10 }\n  quotas_by_address: true\n";
    let running = Plan { auth, ..Plan::default() }.start();
    let mut draws = running.draws(&Access::default()).await;
    draws.draw(draw(10)).await.unwrap();
    assert_eq!(draws.draw(draw(5)).await.unwrap_err().code(), Code::ResourceExhausted);
    let auth = "  quotas: { draws_per_second: 1, draws_burst: 10 }\n";
    let running = Plan { auth, ..Plan::default() }.start();
    let mut draws = running.draws(&Access::default()).await;
    for _ in 0..10 {
        draws.draw(draw(10)).await.unwrap();
    }
}
