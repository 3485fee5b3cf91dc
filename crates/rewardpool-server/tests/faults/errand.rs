//! One client with a fixed errand: so many draws with a snapshot in the middle, one call at a time,
//! so that the service makes nearly the same system calls each time. Writes down what it is told.
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::history::{Answer, Call, DrawAnswer, Recorder, What};
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, DrawResponse, TakeSnapshotRequest};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

/// Draws of one call.
const COUNT: u32 = 5;
/// Calls before the snapshot, and after it.
const CALLS: [u32; 2] = [12, 8];
/// How soon draws must be served again when there is space.
const RESUMES_WITHIN: Duration = Duration::from_secs(1);
/// A snapshot that the disk has no room for is not awaited longer.
const SNAPSHOT_PATIENCE: Duration = Duration::from_millis(400);

/// How far an errand came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ran {
    /// Everything was answered, if not always with what was wished.
    ToItsEnd,
    /// The service broke off.
    UntilTheServiceEnded,
}

/// The client.
pub(crate) struct Errand<'a> {
    recorder: &'a Recorder,
    pool: RewardPoolClient<Channel>,
    admin: PoolAdminClient<Channel>,
    /// Numbers the operations over all lives of one history.
    serial: &'a AtomicU32,
    /// Definite refusals.
    pub(crate) refused: u32,
}

enum Told {
    Answer,
    Refusal,
    Nothing,
}

impl<'a> Errand<'a> {
    /// `None` when the service ended before it could be reached.
    pub(crate) async fn begin(
        recorder: &'a Recorder,
        serial: &'a AtomicU32,
        address: &str,
    ) -> Option<Self> {
        let endpoint = Channel::from_shared(address.to_owned()).unwrap();
        let channel = endpoint.connect().await.ok()?;
        let pool = RewardPoolClient::new(channel.clone());
        let admin = PoolAdminClient::new(channel);
        Some(Self { recorder, pool, admin, serial, refused: 0 })
    }

    /// Does all of it.
    pub(crate) async fn run(&mut self) -> Ran {
        let [before, after] = CALLS;
        if self.draws(before).await == Ran::UntilTheServiceEnded
            || matches!(self.take_snapshot().await, Told::Nothing)
        {
            return Ran::UntilTheServiceEnded;
        }
        self.draws(after).await
    }

    /// Makes so many calls that succeed.
    pub(crate) async fn draws(&mut self, calls: u32) -> Ran {
        for _ in 0..calls {
            let begun = Instant::now();
            loop {
                let op = self.next_op("draw");
                match self.draw(&op).await {
                    Told::Answer => break,
                    Told::Nothing => return Ran::UntilTheServiceEnded,
                    // The space was there again at once.
                    Told::Refusal => {
                        assert!(begun.elapsed() < RESUMES_WITHIN, "draws do not resume");
                    }
                }
            }
        }
        Ran::ToItsEnd
    }

    /// Sends draws again whose outcome is unknown.
    pub(crate) async fn repeat(&mut self, ops: &[String]) -> Ran {
        for op in ops {
            if !matches!(self.draw(op).await, Told::Answer) {
                return Ran::UntilTheServiceEnded;
            }
        }
        Ran::ToItsEnd
    }

    fn next_op(&self, kind: &str) -> String {
        format!("{kind}-{}", self.serial.fetch_add(1, Ordering::Relaxed))
    }

    async fn draw(&mut self, op: &str) -> Told {
        let (pool, key) = ("default".to_owned(), Some(op.to_owned()));
        let call = Call::Draw { pool, count: COUNT, all_or_nothing: false, key };
        self.recorder.invoke(0, op, None, call);
        let count = i32::try_from(COUNT).expect("a small number");
        let idempotency_key = op.to_owned();
        let request = DrawRequest { count, idempotency_key, ..DrawRequest::default() };
        let answered = self.pool.draw(request).await;
        self.told(op, answered.map(|answer| Answer::Draw(draw_answer(answer.into_inner()))))
    }

    async fn take_snapshot(&mut self) -> Told {
        let op = self.next_op("snapshot");
        self.recorder.invoke(0, &op, None, Call::TakeSnapshot);
        let mut request = Request::new(TakeSnapshotRequest::default());
        request.set_timeout(SNAPSHOT_PATIENCE);
        let answered = self.admin.take_snapshot(request).await;
        let too_late = matches!(&answered, Err(status) if status.code() == Code::DeadlineExceeded);
        let answer = answered.map(|taken| Answer::Snapshot { lsn: taken.into_inner().lsn });
        // The service lives, but its disk had no room for a snapshot.
        if matches!(self.told(&op, answer), Told::Nothing) && !too_late {
            return Told::Nothing;
        }
        Told::Answer
    }

    /// Writes down what came back.
    fn told(&mut self, op: &str, answered: Result<Answer, Status>) -> Told {
        let op = op.to_owned();
        match answered {
            Ok(answer) => {
                self.recorder.record(What::Ok { op, answer });
                Told::Answer
            }
            Err(status) => match definite_refusal(&status) {
                Some(code) => {
                    self.recorder.record(What::Fail { op, code });
                    self.refused += 1;
                    Told::Refusal
                }
                None => {
                    self.recorder.record(What::Info { op, why: status.to_string() });
                    Told::Nothing
                }
            },
        }
    }
}

fn draw_answer(answer: DrawResponse) -> DrawAnswer {
    let DrawResponse { first_request_id, item_ids, outcomes, replayed } = answer;
    DrawAnswer { first_request_id, item_ids, outcomes, replayed }
}

/// The reason of a refusal which says that nothing happened.
fn definite_refusal(status: &Status) -> Option<String> {
    let reason = status.get_details_error_info()?.reason;
    (reason != "OUTCOME_UNKNOWN").then_some(reason)
}
