//! Goal: draws are counted exactly, nothing is sent twice unless the service said that it was not
//! done, and after a broken connection it is known what was made. Method: a service in this process
//! that answers, refuses and breaks off as a script says, and writes down what it was sent.
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use rewardpool_proto::v1::reward_pool_server::{RewardPool, RewardPoolServer};
use rewardpool_proto::v1::*;
use tokio_stream::StreamExt as _;
use tonic::transport::Server;
use tonic::{Request, Response};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::*;
use crate::client::Target;

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Drawn,
    /// There was nothing to win.
    Empty,
    /// Refused with this reason.
    Refused(&'static str),
    /// Made, and then the stream breaks before the answer.
    MadeAndBroken,
    /// The stream breaks before it is made.
    Broken,
}

#[derive(Default)]
struct Written {
    fates: VecDeque<Fate>,
    /// All requests, in order.
    sent: Vec<DrawRequest>,
    /// What was made, by key.
    made: HashMap<String, DrawResponse>,
    /// Keys that were asked for.
    asked: Vec<String>,
    last_request_id: u64,
}

impl Written {
    fn draw(&mut self, request: &DrawRequest, is_empty: bool) -> DrawResponse {
        let count = usize::try_from(request.count).unwrap();
        let outcome = |place: usize| if is_empty { 0 } else { [1, 2, 2][place % 3] };
        let draw = DrawResponse {
            first_request_id: self.last_request_id + 1,
            item_ids: vec!["gold".into(), "mud".into()],
            outcomes: (0..count).map(outcome).collect(),
            replayed: false,
        };
        self.last_request_id += u64::try_from(count).unwrap();
        if !request.idempotency_key.is_empty() {
            self.made.insert(request.idempotency_key.clone(), draw.clone());
        }
        draw
    }

    /// The answer to a request; an error breaks the stream.
    fn answer(&mut self, request: &DrawRequest) -> Result<DrawStreamResponse, Status> {
        let fate = self.fates.pop_front().unwrap_or(Fate::Drawn);
        self.sent.push(request.clone());
        let broken = || Status::unavailable("connection reset");
        let answer = match fate {
            Fate::Drawn | Fate::Empty => Answer::Draw(self.draw(request, fate == Fate::Empty)),
            Fate::Refused(reason) => Answer::Refusal(DrawRefusal {
                code: 9,
                reason: reason.into(),
                message: "no".into(),
            }),
            Fate::MadeAndBroken => {
                self.draw(request, false);
                return Err(broken());
            }
            Fate::Broken => return Err(broken()),
        };
        Ok(DrawStreamResponse { answer: Some(answer) })
    }
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<Written>>);

type Answers = ReceiverStream<Result<DrawStreamResponse, Status>>;

#[tonic::async_trait]
impl RewardPool for Script {
    type DrawStreamStream = Answers;
    type WatchStateStream = ReceiverStream<Result<WatchStateResponse, Status>>;

    async fn draw_stream(
        &self,
        request: Request<Streaming<DrawRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (sender, answers) = mpsc::channel(1);
        let (written, mut requests) = (self.0.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                let answer = written.lock().unwrap().answer(&request);
                let is_last = answer.is_err();
                if sender.send(answer).await.is_err() || is_last {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    async fn get_draw(
        &self,
        request: Request<GetDrawRequest>,
    ) -> Result<Response<DrawResponse>, Status> {
        let key = request.into_inner().idempotency_key;
        let mut written = self.0.lock().unwrap();
        written.asked.push(key.clone());
        if let Some(draw) = written.made.get(&key) {
            return Ok(Response::new(DrawResponse { replayed: true, ..draw.clone() }));
        }
        let details = ErrorDetails::with_error_info("UNKNOWN_KEY", "rewardpool", []);
        Err(Status::with_error_details(Code::NotFound, "no such key", details))
    }

    async fn draw(&self, _: Request<DrawRequest>) -> Result<Response<DrawResponse>, Status> {
        unreachable!("draws go over the stream")
    }

    async fn get_state(
        &self,
        _: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        unreachable!("draws need no state")
    }

    async fn list_pools(
        &self,
        _: Request<ListPoolsRequest>,
    ) -> Result<Response<ListPoolsResponse>, Status> {
        unreachable!("draws need no list")
    }

    async fn watch_state(
        &self,
        _: Request<WatchStateRequest>,
    ) -> Result<Response<Self::WatchStateStream>, Status> {
        unreachable!("draws need no state")
    }
}

/// A command over a scripted service.
struct Run {
    report: DrawReport,
    written: Arc<Mutex<Written>>,
    progress: Vec<u64>,
}

impl Run {
    fn sent(&self) -> Vec<DrawRequest> {
        self.written.lock().unwrap().sent.clone()
    }

    /// No key was sent twice, and none is too long.
    fn assert_keys(&self) {
        let sent = self.sent();
        let keys: std::collections::BTreeSet<&str> =
            sent.iter().map(|request| request.idempotency_key.as_str()).collect();
        assert_eq!(keys.len(), sent.len());
        assert!(keys.iter().all(|key| (1..=64).contains(&key.len())), "{keys:?}");
    }

    fn count(&self, item: &str) -> u64 {
        let found = self.report.counts.iter().find(|(name, _)| name == item);
        found.map_or(0, |(_, count)| *count)
    }
}

async fn run(count: u64, fates: &[Fate]) -> Run {
    run_until(count, fates, u64::MAX).await
}

/// Cancels when so many draws were made.
async fn run_until(count: u64, fates: &[Fate], cancel_at: u64) -> Run {
    let script = Script::default();
    script.0.lock().unwrap().fates = fates.iter().copied().collect();
    let (connector, incoming) = mpsc::channel(4);
    let incoming = ReceiverStream::new(incoming).map(Ok::<_, std::io::Error>);
    let server = Server::builder().add_service(RewardPoolServer::new(script.clone()));
    let serving = tokio::spawn(server.serve_with_incoming(incoming));
    let channel = Target::Local(connector).connect().await.unwrap();
    let (_connected, connection) = watch::channel(Some(channel));
    let (events, mut told) = mpsc::channel(256);
    let (cancel, cancelled) = watch::channel(false);
    let job = Job { id: CommandId(3), pool: "p".into(), count, session: u64::MAX };
    let job = tokio::spawn(job.run(connection, events, cancelled));
    let mut progress = Vec::new();
    let report = loop {
        let event = told.recv().await.expect("a job tells its end");
        let Event::Reply(CommandId(3), reply) = event else { panic!("{event:?}") };
        if let Reply::Progress { drawn, .. } = reply {
            progress.push(drawn);
            if drawn >= cancel_at {
                cancel.send_replace(true);
            }
        } else if let Reply::Drawn(report) = reply {
            break *report;
        } else {
            panic!("{reply:?}");
        }
    };
    job.await.unwrap();
    serving.abort();
    Run { report, written: script.0, progress }
}

#[tokio::test(start_paused = true)]
async fn all_draws_are_made_in_bounded_requests_and_counted() {
    for count in [1, 10, 99, 1000, 54_321, 100_000] {
        let run = run(count, &[]).await;
        assert_eq!(run.report.end, DrawEnd::Complete);
        assert_eq!(run.report.drawn, count);
        let sent = run.sent();
        assert_eq!(
            sent.iter().map(|request| u64::try_from(request.count).unwrap()).sum::<u64>(),
            count
        );
        assert!(sent.iter().all(|request| request.count <= 1000 && request.pool == "p"));
        assert_eq!(run.count("gold") + run.count("mud"), count);
        assert_eq!(run.report.listed.len(), usize::try_from(count.min(10)).unwrap());
        assert_eq!(run.report.listed[0], (1, Some("gold".into())));
        assert!(run.progress.is_sorted());
        run.assert_keys();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_before_the_connection_broke_is_found_and_nothing_is_repeated() {
    // Four requests are under way: the first is answered, the second is made, the others are not.
    let run = run(50_000, &[Fate::Drawn, Fate::MadeAndBroken]).await;
    let DrawEnd::Lost { found, not_made, unknown, reason } = &run.report.end else {
        panic!("{:?}", run.report.end)
    };
    assert_eq!((*found, *unknown), (500, 0));
    assert!([1000, 1500].contains(not_made), "{not_made}");
    assert!(reason.contains("connection reset"), "{reason}");
    assert_eq!(run.report.drawn, 1000);
    assert_eq!(run.written.lock().unwrap().last_request_id, 1000, "all that was made is counted");
    run.assert_keys();
    let asked = run.written.lock().unwrap().asked.clone();
    // What is found is asked for once; what is not may still be on its way, so it is asked for again.
    assert_eq!(asked.len(), 1 + 2 * usize::try_from(not_made / 500).unwrap(), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_broken_connection_swallowed_was_not_made() {
    let run = run(50_000, &[Fate::Drawn, Fate::Broken]).await;
    let DrawEnd::Lost { found: 0, not_made, unknown: 0, .. } = run.report.end else {
        panic!("{:?}", run.report.end)
    };
    assert!(not_made >= 500, "{not_made}");
    assert_eq!(run.report.drawn, 500);
    assert_eq!(run.written.lock().unwrap().last_request_id, 500, "nothing was sent again");
    run.assert_keys();
}

#[tokio::test(start_paused = true)]
async fn very_many_draws_have_no_keys_and_say_what_is_unknown() {
    let run = run(100_001, &[Fate::Drawn, Fate::MadeAndBroken]).await;
    assert!(run.sent().iter().all(|request| request.idempotency_key.is_empty()));
    let DrawEnd::Lost { found: 0, not_made: 0, unknown, .. } = run.report.end else {
        panic!("{:?}", run.report.end)
    };
    assert!(unknown >= 2000, "{unknown}");
    assert_eq!(run.report.drawn, 1000, "only what was answered is counted");
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_keys_is_drawn_from_without_them() {
    let off = Fate::Refused("KEYS_OFF");
    let run = run(5000, &[off, off, off, off]).await;
    assert_eq!((run.report.drawn, &run.report.end), (5000, &DrawEnd::Complete));
    let keyless = run.sent().iter().filter(|request| request.idempotency_key.is_empty()).count();
    assert_eq!(keyless, 50);
}

#[tokio::test(start_paused = true)]
async fn what_there_was_no_room_for_is_sent_again() {
    let crowded = Fate::Refused("OVERLOADED");
    let run = run(2000, &[Fate::Drawn, crowded, crowded, Fate::Drawn, crowded]).await;
    assert_eq!((run.report.drawn, &run.report.end), (2000, &DrawEnd::Complete));
    assert_eq!(run.written.lock().unwrap().last_request_id, 2000);
    assert_eq!(run.sent().len(), 20 + 3);
    run.assert_keys();
    let always = vec![crowded; 200];
    let run = self::run(2000, &always).await;
    assert!(matches!(run.report.end, DrawEnd::Refused(_)), "{:?}", run.report.end);
    assert_eq!(run.report.drawn, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_it_after_what_is_under_way() {
    let run = run(5000, &[Fate::Drawn, Fate::Refused("POOL_PAUSED"), Fate::Drawn]).await;
    let DrawEnd::Refused(problem) = &run.report.end else { panic!("{:?}", run.report.end) };
    assert!(problem.next.contains("resume"), "{problem:?}");
    assert_eq!(run.report.drawn, run.written.lock().unwrap().last_request_id);
    assert!(run.report.drawn < 1000, "{}", run.report.drawn);
}

// Progress is told by the clock, which does not go on by itself while there is work.
#[tokio::test]
async fn a_cancelled_command_counts_what_was_under_way_and_sends_no_more() {
    let run = run_until(1_000_000_000, &[], 10_000).await;
    assert_eq!(run.report.end, DrawEnd::Cancelled);
    assert!(run.report.drawn >= 10_000);
    assert_eq!(run.report.drawn, run.written.lock().unwrap().last_request_id);
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_is_not_drawn_from_for_ever() {
    let run = run(90_000, &[Fate::Drawn, Fate::Empty, Fate::Empty, Fate::Empty, Fate::Empty]).await;
    let DrawEnd::Refused(problem) = &run.report.end else { panic!("{:?}", run.report.end) };
    assert!(problem.what.contains("nothing is available"), "{problem:?}");
    assert!(run.report.drawn < 9000, "{}", run.report.drawn);
    // A few draws are made even when all of them are empty: that is what was asked for.
    let run = self::run(5, &[Fate::Empty]).await;
    assert_eq!((run.report.empties, &run.report.end), (5, &DrawEnd::Complete));
    assert_eq!(run.report.listed[4], (5, None));
}
