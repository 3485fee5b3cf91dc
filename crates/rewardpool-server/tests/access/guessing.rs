//! Somebody who tries tokens.
use std::time::{Duration, Instant};

use rewardpool_client::Token;
use tonic::{Code, Request};

use super::fixture::{Plan, access, draw, person};

const GUESSES: usize = 10_000;
/// Guesses that are under way at the same time.
const AT_ONCE: usize = 32;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_guesses_fail_and_disturb_nobody() {
    let honest = person("honest", "drawer", "");
    let running = Plan { people: &[&honest], ..Plan::default() }.start();
    let mut draws = running.draws(&access(&honest, None)).await;
    let mut guessers = tokio::task::JoinSet::new();
    for guesser in 0..AT_ONCE {
        let mut client = running.draws(&rewardpool_client::Access::default()).await;
        guessers.spawn(async move {
            for guess in (guesser..GUESSES).step_by(AT_ONCE) {
                // Half of them have even the right checksum.
                let text = match guess % 2 {
                    0 => Token::generate().unwrap().reveal().to_owned(),
                    _ => format!("rp_{guess:072x}"),
                };
                let mut request = Request::new(draw(1));
                let text = format!("Bearer {text}");
                request.metadata_mut().insert("authorization", text.parse().unwrap());
                let refused = client.draw(request).await.unwrap_err();
                assert_eq!(refused.code(), Code::Unauthenticated);
            }
        });
    }
    let mut slowest = Duration::ZERO;
    let mut drawn = 0;
    while !guessers.is_empty() {
        let begun = Instant::now();
        draws.draw(draw(1)).await.unwrap();
        slowest = slowest.max(begun.elapsed());
        drawn += 1;
        while let Some(guessed) = guessers.try_join_next() {
            guessed.unwrap();
        }
    }
    assert!(drawn > 10, "{drawn}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    let auth = running.auth.as_ref().unwrap();
    assert_eq!(auth.unauthenticated(), u64::try_from(GUESSES).unwrap());
    // Not a line for each of them.
    assert!(running.log.text().lines().count() < 200, "{}", running.log.text());
    running.told("calls were refused").await;
}
