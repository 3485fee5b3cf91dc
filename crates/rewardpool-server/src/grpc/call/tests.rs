//! Goal: a full mailbox is tried again until the deadline, and no longer. Method: a fake mailbox
//! and a clock that stands still.
use tonic::Code;

use super::super::fake::FakeMailbox;
use super::*;

async fn ask_status(mailbox: &FakeMailbox, deadline: Option<Instant>) -> Fault {
    ask(mailbox, Request::ReadStatus, deadline).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_tried_for_a_second() {
    let mailbox = FakeMailbox::new(&["a"], usize::from(u16::MAX));
    let began = time::Instant::now();
    assert_eq!(ask_status(&mailbox, None).await.reason, "OVERLOADED");
    assert!(began.elapsed() >= PATIENCE);
    assert!(began.elapsed() < PATIENCE * 2);
    assert!(mailbox.tries() > 100, "{}", mailbox.tries());
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_not_tried_after_the_deadline() {
    let mailbox = FakeMailbox::new(&["a"], usize::from(u16::MAX));
    let fault = ask_status(&mailbox, Some(Instant::now())).await;
    assert_eq!((fault.code, fault.reason), (Code::ResourceExhausted, "OVERLOADED"));
    assert!(mailbox.tries() < 10, "{}", mailbox.tries());
}

#[tokio::test(start_paused = true)]
async fn what_finds_room_later_is_handed_over_once() {
    let mailbox = FakeMailbox::new(&["a"], 5);
    let call = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { ask_status(&mailbox, None).await }
    });
    while mailbox.lengths().is_empty() {
        time::sleep(RETRY_EVERY).await;
    }
    assert_eq!((mailbox.tries(), mailbox.lengths()), (6, vec![1]));
    mailbox.fail();
    assert_eq!(call.await.unwrap().reason, "OUTCOME_UNKNOWN");
}

#[tokio::test]
async fn an_engine_that_is_gone_is_not_waited_for() {
    let mailbox = FakeMailbox::new(&["a"], 0);
    mailbox.refusals.lock().unwrap().push(Refusal::Stopping);
    assert_eq!(ask_status(&mailbox, None).await.reason, "STOPPING");
    assert_eq!(mailbox.tries(), 1);
}
