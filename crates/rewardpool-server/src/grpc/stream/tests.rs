//! Goal: answers leave in the order of the requests, memory is bounded, and every end has its
//! status. Method: a fake mailbox in place of the engine, and a clock that stands still.
use rewardpool_proto::v1;
use rewardpool_proto::v1::draw_stream_response::Answer as Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::super::draw_stream::DrawStreamDialect;
use super::super::fake::FakeMailbox;
use super::*;

type Requests = ReceiverStream<Result<v1::DrawRequest, Status>>;

struct Client {
    requests: mpsc::Sender<Result<v1::DrawRequest, Status>>,
    answers: Answers<FakeMailbox, DrawStreamDialect<FakeMailbox>, Requests>,
    stopping: watch::Sender<bool>,
}

impl Client {
    fn new(mailbox: &FakeMailbox) -> Self {
        let (requests, received) = mpsc::channel(1 << 16);
        let (stopping, stopping_seen) = watch::channel(false);
        let dialect = DrawStreamDialect::new(mailbox.clone(), Caller::anybody(None));
        let received = ReceiverStream::new(received);
        let answers = Answers::new(
            mailbox.clone(),
            dialect,
            Caller::anybody(None),
            received,
            None,
            stopping_seen,
        );
        Self { requests, answers, stopping }
    }

    fn send(&self, pool: &str, count: i32) {
        let request = v1::DrawRequest { pool: pool.to_owned(), count, ..Default::default() };
        self.requests.try_send(Ok(request)).unwrap();
    }

    async fn next(&mut self) -> Option<Result<String, Code>> {
        Some(match self.answers.next().await? {
            Ok(response) => Ok(match response.decode().unwrap().answer.unwrap() {
                Message::Refusal(refusal) => refusal.reason,
                Message::Draw(_) => unreachable!("the fake draws nothing"),
            }),
            Err(status) => Err(status.code()),
        })
    }

    /// Whether an answer is there now.
    async fn is_quiet(&mut self) -> bool {
        time::timeout(RETRY_EVERY / 2, self.answers.next()).await.is_err()
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_keep_their_place() {
    let mailbox = FakeMailbox::new(&["a", "b"], usize::from(u16::MAX));
    let client = Client::new(&mailbox);
    for number in 0..100 {
        match number % 4 {
            0 => client.send("a", 1),
            1 => client.send("a", 0),
            2 => client.send("nowhere", 1),
            _ => client.send("b", 10_000),
        }
    }
    let Client { requests, mut answers, stopping } = client;
    drop(requests);
    let expected = ["OVERLOADED", "INVALID_ARGUMENT", "UNKNOWN_POOL", "OVERLOADED"];
    for number in 0..100 {
        let Some(Message::Refusal(refusal)) =
            answers.next().await.unwrap().unwrap().decode().unwrap().answer
        else {
            panic!("the fake draws nothing")
        };
        assert_eq!(refusal.reason, expected[number % 4], "{number}");
    }
    assert!(answers.next().await.is_none());
    assert!(answers.next().await.is_none());
    drop(stopping);
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_travels_together() {
    let mailbox = FakeMailbox::new(&["a"], 0);
    let mut client = Client::new(&mailbox);
    for _ in 0..300 {
        client.send("", 1);
    }
    assert!(client.is_quiet().await);
    // The channel of this test gives at most 128 messages at once; that is the runtime's budget.
    assert_eq!(mailbox.lengths(), [128, 128, 44]);
    client.send("", 9_999);
    client.send("", 10_000);
    client.send("", 1);
    assert!(client.is_quiet().await);
    assert_eq!(mailbox.lengths(), [128, 128, 44, 2, 1]);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_bundles_wait() {
    let mailbox = FakeMailbox::new(&["a"], 0);
    let mut client = Client::new(&mailbox);
    for _ in 0..COMMANDS_MAX * (BUNDLES_MAX + 3) {
        client.send("a", 1);
    }
    assert!(client.is_quiet().await);
    let lengths = mailbox.lengths();
    assert_eq!(lengths.len(), BUNDLES_MAX);
    assert!(lengths.iter().all(|&length| length <= COMMANDS_MAX));
    let unread = client.requests.max_capacity() - client.requests.capacity();
    assert_eq!(unread + lengths.iter().sum::<usize>(), COMMANDS_MAX * (BUNDLES_MAX + 3));
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_is_tried_again() {
    let mailbox = FakeMailbox::new(&["a"], 3);
    let mut client = Client::new(&mailbox);
    client.send("a", 1);
    assert!(client.is_quiet().await);
    assert!((1..=3).contains(&mailbox.tries()) && mailbox.lengths().is_empty());
    time::sleep(RETRY_EVERY * 20).await;
    while mailbox.lengths().is_empty() {
        assert!(client.is_quiet().await);
    }
    assert_eq!((mailbox.tries(), mailbox.lengths()), (4, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_ends_the_stream() {
    let mailbox = FakeMailbox::new(&["a"], 0);
    let mut client = Client::new(&mailbox);
    client.send("a", 0);
    client.send("a", 1);
    assert!(client.is_quiet().await);
    mailbox.fail();
    assert_eq!(client.next().await, Some(Ok("INVALID_ARGUMENT".to_owned())));
    assert_eq!(client.next().await, Some(Err(Code::Unavailable)));
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_an_idle_stream() {
    let mut client = Client::new(&FakeMailbox::new(&["a"], 0));
    assert!(client.is_quiet().await);
    client.send("a", 0);
    assert_eq!(client.next().await, Some(Ok("INVALID_ARGUMENT".to_owned())));
    client.stopping.send_replace(true);
    client.send("a", 1);
    assert_eq!(client.next().await, Some(Err(Code::Unavailable)));
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_broken_request_ends_the_stream_after_the_answers_before_it() {
    let mut client = Client::new(&FakeMailbox::new(&["a"], 0));
    client.send("a", -5);
    client.requests.try_send(Err(Status::internal("broken"))).unwrap();
    assert_eq!(client.next().await, Some(Ok("INVALID_ARGUMENT".to_owned())));
    assert_eq!(client.next().await, Some(Err(Code::Internal)));
    assert_eq!(client.next().await, None);
}
