//! Clients over gRPC that write down what they ask for and what they are told.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rewardpool_checker::history::{
    Answer, Call, DrawAnswer, ItemAnswer, PoolAnswer, Recorder, What,
};
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{
    AddItemRequest, CatalogItem, ClosePoolRequest, DrawMode, DrawRequest, DrawResponse,
    DrawStreamResponse, GetDrawRequest, GetStateRequest, GetStateResponse, PausePoolRequest,
    PoolStatus, ResumePoolRequest, RetireItemRequest, SetQuantity, TakeSnapshotRequest,
    UpdateItemRequest, draw_stream_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use tonic_types::StatusExt as _;

/// Names each stream of a history.
static STREAMS: AtomicU64 = AtomicU64::new(0);
/// After so long a client gives up: now and then one hears nothing of a connection that broke.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client was told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// It was done.
    Ok(Answer),
    /// It was refused for this reason, and nothing was changed.
    Fail(String),
    /// Nobody knows.
    Info(String),
}

impl Told {
    /// Whether the operation has to be sent again to know its outcome.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Info(_))
    }

    fn of(status: &Status) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        match reason {
            Some(reason) if reason != "OUTCOME_UNKNOWN" => Self::Fail(reason),
            _ => Self::Info(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

/// A draw to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct DrawOp {
    /// Id of the operation; also the idempotency key, if it is keyed.
    pub(crate) op: String,
    pub(crate) pool: String,
    pub(crate) count: u32,
    pub(crate) all_or_nothing: bool,
    pub(crate) is_keyed: bool,
}

impl DrawOp {
    /// A draw with a key.
    pub(crate) fn keyed(op: impl Into<String>, pool: &str, count: u32) -> Self {
        let (op, pool) = (op.into(), pool.to_owned());
        Self { op, pool, count, all_or_nothing: false, is_keyed: true }
    }

    /// A draw without a key.
    pub(crate) fn unkeyed(op: impl Into<String>, pool: &str, count: u32) -> Self {
        Self { is_keyed: false, ..Self::keyed(op, pool, count) }
    }

    fn call(&self) -> Call {
        Call::Draw {
            pool: self.pool.clone(),
            count: self.count,
            all_or_nothing: self.all_or_nothing,
            key: self.is_keyed.then(|| self.op.clone()),
        }
    }

    fn request(&self) -> DrawRequest {
        let mode = if self.all_or_nothing { DrawMode::AllOrNothing } else { DrawMode::BestEffort };
        DrawRequest {
            pool: self.pool.clone(),
            count: i32::try_from(self.count).unwrap(),
            mode: mode.into(),
            idempotency_key: if self.is_keyed { self.op.clone() } else { String::new() },
        }
    }
}

/// A client with a connection of its own. Clones share the connection.
#[derive(Clone)]
pub(crate) struct Client {
    number: u32,
    recorder: Arc<Recorder>,
    draws: RewardPoolClient<Channel>,
    admin: PoolAdminClient<Channel>,
    acknowledged: Arc<AtomicU64>,
}

impl Client {
    /// Connects, and tries again for a while.
    pub(crate) async fn connect(
        address: &str,
        recorder: &Arc<Recorder>,
        number: u32,
    ) -> Result<Self, tonic::transport::Error> {
        const LIMIT: Duration = Duration::from_secs(5);
        let begun = Instant::now();
        let endpoint = Channel::from_shared(address.to_owned()).unwrap();
        loop {
            match endpoint.connect().await {
                Ok(channel) => {
                    let draws = RewardPoolClient::new(channel.clone());
                    let admin = PoolAdminClient::new(channel);
                    let recorder = Arc::clone(recorder);
                    let acknowledged = Arc::default();
                    return Ok(Self { number, recorder, draws, admin, acknowledged });
                }
                Err(error) if begun.elapsed() > LIMIT => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }

    /// Counts acknowledged draws here from now on.
    pub(crate) fn counting(mut self, acknowledged: &Arc<AtomicU64>) -> Self {
        self.acknowledged = Arc::clone(acknowledged);
        self
    }

    /// Draws.
    pub(crate) async fn draw(&mut self, draw: &DrawOp) -> Told {
        self.invoke(&draw.op, None, draw.call());
        let answer = patiently(Box::pin(self.draws.draw(draw.request()))).await;
        self.told(&draw.op, answer.map(|answer| Answer::Draw(draw_answer(answer.into_inner()))))
    }

    /// Draws on one stream with so many requests in flight, until `next` has no more or the stream
    /// breaks. Gives the draws whose outcome is unknown.
    pub(crate) async fn draw_stream(
        &mut self,
        in_flight: usize,
        mut next: impl FnMut() -> Option<DrawOp>,
    ) -> Vec<DrawOp> {
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        let (sender, requests) = mpsc::channel(in_flight);
        let mut waiting = VecDeque::new();
        let mut send = |waiting: &mut VecDeque<DrawOp>, recorder: &Recorder, client| {
            let Some(draw) = next() else { return false };
            recorder.invoke(client, &draw.op, Some(stream), draw.call());
            let request = draw.request();
            waiting.push_back(draw);
            sender.try_send(request).is_ok()
        };
        while waiting.len() < in_flight && send(&mut waiting, &self.recorder, self.number) {}
        let answers =
            patiently(Box::pin(self.draws.draw_stream(ReceiverStream::new(requests)))).await;
        let mut answers = match answers {
            Ok(answers) => answers.into_inner(),
            Err(status) => return self.lose(waiting, &status),
        };
        while !waiting.is_empty() {
            match next_answer(&mut answers).await {
                Ok(answer) => {
                    let draw = waiting.pop_front().expect("each answer has its request");
                    self.heard(&draw.op, answer);
                }
                Err(status) => return self.lose(waiting, &status),
            }
            send(&mut waiting, &self.recorder, self.number);
        }
        Vec::new()
    }

    /// Nobody knows what became of these.
    fn lose(&self, lost: VecDeque<DrawOp>, status: &Status) -> Vec<DrawOp> {
        for draw in &lost {
            let why = format!("{:?}: {}", status.code(), status.message());
            self.recorder.record(What::Info { op: draw.op.clone(), why });
        }
        lost.into()
    }

    /// Looks for an earlier draw by its key.
    pub(crate) async fn find_draw(&mut self, op: &str, pool: &str, key: &str) -> Told {
        let (pool, key) = (pool.to_owned(), key.to_owned());
        self.invoke(op, None, Call::FindDraw { pool: pool.clone(), key: key.clone() });
        let found =
            patiently(Box::pin(self.draws.get_draw(GetDrawRequest { pool, idempotency_key: key })))
                .await;
        self.told(op, found.map(|answer| Answer::Draw(draw_answer(answer.into_inner()))))
    }

    /// Reads a pool of at most 5000 items.
    pub(crate) async fn read_pool(&mut self, op: &str, pool: &str) -> Told {
        let pool = pool.to_owned();
        self.invoke(op, None, Call::ReadPool { pool: pool.clone() });
        let request = GetStateRequest { pool, page_size: 5000, page_token: String::new() };
        let state = patiently(Box::pin(self.draws.get_state(request))).await;
        self.told(op, state.map(|answer| Answer::Pool(Box::new(pool_answer(answer.into_inner())))))
    }

    /// Adds units to an item, or takes them away.
    pub(crate) async fn add_units(&mut self, op: &str, pool: &str, item: &str, add: i64) -> Told {
        self.update_item(op, pool, item, Some(Quantity::Add(add)), None).await
    }

    /// Changes an item.
    pub(crate) async fn update_item(
        &mut self,
        op: &str,
        pool: &str,
        item: &str,
        quantity: Option<Quantity>,
        weight: Option<u64>,
    ) -> Told {
        let (pool, item) = (pool.to_owned(), item.to_owned());
        let (add, set) = match quantity {
            Some(Quantity::Add(units)) => (Some(units), None),
            Some(Quantity::Set(SetQuantity { quantity, expected_version: _ })) => (None, quantity),
            None => (None, None),
        };
        let call = Call::UpdateItem { pool: pool.clone(), item: item.clone(), add, set, weight };
        self.invoke(op, None, call);
        let (item_id, reason) = (item, op.to_owned());
        let actor = format!("client {}", self.number);
        let request = UpdateItemRequest { pool, item_id, quantity, weight, actor, reason };
        let changed = patiently(Box::pin(self.admin.update_item(request))).await.map(|answer| {
            let answer = answer.into_inner();
            Answer::Changed { lsn: answer.lsn, catalog_version: answer.catalog_version }
        });
        self.told(op, changed)
    }

    /// Appends an item.
    pub(crate) async fn add_item(
        &mut self,
        op: &str,
        pool: &str,
        item: &str,
        (weight, quantity): (u64, i64),
    ) -> Told {
        let (pool, item) = (pool.to_owned(), item.to_owned());
        let call = Call::AddItem { pool: pool.clone(), item: item.clone(), weight, quantity };
        self.invoke(op, None, call);
        let (weight, quantity) = (Some(weight), Some(quantity));
        let item = Some(CatalogItem { item_id: item, weight, quantity });
        let (actor, reason) = (String::new(), op.to_owned());
        let added =
            patiently(Box::pin(self.admin.add_item(AddItemRequest { pool, item, actor, reason })))
                .await;
        let changed = added.map(|answer| {
            let answer = answer.into_inner();
            Answer::Changed { lsn: answer.lsn, catalog_version: answer.catalog_version }
        });
        self.told(op, changed)
    }

    /// Takes an item out of the draws.
    pub(crate) async fn retire_item(&mut self, op: &str, pool: &str, item: &str) -> Told {
        let (pool, item_id) = (pool.to_owned(), item.to_owned());
        self.invoke(op, None, Call::RetireItem { pool: pool.clone(), item: item_id.clone() });
        let (actor, reason) = (String::new(), op.to_owned());
        let request = RetireItemRequest { pool, item_id, actor, reason };
        let changed = patiently(Box::pin(self.admin.retire_item(request))).await.map(|answer| {
            let answer = answer.into_inner();
            Answer::Changed { lsn: answer.lsn, catalog_version: answer.catalog_version }
        });
        self.told(op, changed)
    }

    /// Pauses, resumes or closes a pool.
    pub(crate) async fn set_status(&mut self, op: &str, pool: &str, status: PoolStatus) -> Told {
        let call =
            Call::SetStatus { pool: pool.to_owned(), status: status_name(status).to_owned() };
        self.invoke(op, None, call);
        let (pool, actor, reason) = (pool.to_owned(), String::new(), op.to_owned());
        let changed = match status {
            PoolStatus::Paused => {
                let request = PausePoolRequest { pool, actor, reason };
                let answer = patiently(Box::pin(self.admin.pause_pool(request)))
                    .await
                    .map(tonic::Response::into_inner);
                answer.map(|answer| (answer.lsn, answer.catalog_version))
            }
            PoolStatus::Closed => {
                let request = ClosePoolRequest { pool, actor, reason };
                let answer = patiently(Box::pin(self.admin.close_pool(request)))
                    .await
                    .map(tonic::Response::into_inner);
                answer.map(|answer| (answer.lsn, answer.catalog_version))
            }
            PoolStatus::Active | PoolStatus::Unspecified => {
                let request = ResumePoolRequest { pool, actor, reason };
                let answer = patiently(Box::pin(self.admin.resume_pool(request)))
                    .await
                    .map(tonic::Response::into_inner);
                answer.map(|answer| (answer.lsn, answer.catalog_version))
            }
        };
        let changed =
            changed.map(|(lsn, catalog_version)| Answer::Changed { lsn, catalog_version });
        self.told(op, changed)
    }

    /// Orders a snapshot.
    pub(crate) async fn take_snapshot(&mut self, op: &str) -> Told {
        self.invoke(op, None, Call::TakeSnapshot);
        let taken = patiently(Box::pin(self.admin.take_snapshot(TakeSnapshotRequest {}))).await;
        self.told(op, taken.map(|answer| Answer::Snapshot { lsn: answer.into_inner().lsn }))
    }

    fn invoke(&self, op: &str, stream: Option<u64>, call: Call) {
        self.recorder.invoke(self.number, op, stream, call);
    }

    fn told(&self, op: &str, answer: Result<Answer, Status>) -> Told {
        self.heard(op, answer.map_or_else(|status| Told::of(&status), Told::Ok))
    }

    fn heard(&self, op: &str, told: Told) -> Told {
        let op = op.to_owned();
        if let Told::Ok(Answer::Draw(draw)) = &told {
            let count = u64::try_from(draw.outcomes.len()).unwrap();
            self.acknowledged.fetch_add(count, Ordering::Relaxed);
        }
        self.recorder.record(match told.clone() {
            Told::Ok(answer) => What::Ok { op, answer },
            Told::Fail(code) => What::Fail { op, code },
            Told::Info(why) => What::Info { op, why },
        });
        told
    }
}

/// Waits for an answer as long as a client would. After that nobody knows.
async fn patiently<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let answered = tokio::time::timeout(PATIENCE, call).await;
    answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer came")))
}

async fn next_answer(answers: &mut Streaming<DrawStreamResponse>) -> Result<Told, Status> {
    let answer = patiently(answers.message()).await?;
    match answer.and_then(|answer| answer.answer) {
        Some(draw_stream_response::Answer::Draw(draw)) => {
            Ok(Told::Ok(Answer::Draw(draw_answer(draw))))
        }
        Some(draw_stream_response::Answer::Refusal(refusal))
            if refusal.reason == "OUTCOME_UNKNOWN" =>
        {
            Ok(Told::Info(refusal.message))
        }
        Some(draw_stream_response::Answer::Refusal(refusal)) => Ok(Told::Fail(refusal.reason)),
        None => Err(Status::unavailable("the stream ended before the answer")),
    }
}

fn draw_answer(answer: DrawResponse) -> DrawAnswer {
    let DrawResponse { first_request_id, item_ids, outcomes, replayed } = answer;
    DrawAnswer { first_request_id, item_ids, outcomes, replayed }
}

fn pool_answer(state: GetStateResponse) -> PoolAnswer {
    let status = status_name(state.status()).to_owned();
    let items = state.items.into_iter().map(|item| ItemAnswer {
        item: item.item_id,
        weight: item.weight,
        quantity: item.quantity,
        awarded: item.awarded,
        granted: item.granted,
    });
    PoolAnswer {
        lsn: state.lsn,
        catalog_version: state.catalog_version,
        last_request_id: state.last_request_id,
        draws: state.draws,
        awards: state.awards,
        status,
        items: items.collect(),
    }
}

fn status_name(status: PoolStatus) -> &'static str {
    match status {
        PoolStatus::Active | PoolStatus::Unspecified => "active",
        PoolStatus::Paused => "paused",
        PoolStatus::Closed => "closed",
    }
}
