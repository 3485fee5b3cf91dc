//! Goal: who watches sees the pool and the service as they are, costs nothing when slow or gone, and
//! ends with the service. Method: a real service on a thread of this process, generated clients, and
//! draws whose number is known.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{
    DrawRequest, GetStateRequest, GetStatusRequest, GetStatusResponse, LogEvent, PausePoolRequest,
    PoolStatus, SegmentState, ServiceActivity, TakeSnapshotRequest, WatchLogRequest,
    WatchStateRequest, WatchStateResponse,
};
use rewardpool_server::config::Config;
use rewardpool_server::log_ring::LogRing;
use rewardpool_server::serve::{ServeError, Service};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Code, Request, Streaming};
use tonic_types::StatusExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

const POOL: &str = "pool:
  catalog:
    - { item_id: gold, quantity: 40, weight: 1 }
    - { item_id: silver, quantity: 60, weight: 2 }
";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A service in this process.
struct Running {
    address: String,
    log: LogRing,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// A client of the runtime that waits cannot end its connection, so it has little time for it.
    fn start() -> Self {
        Self::start_with("100ms")
    }

    fn start_with(drain: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let text = format!("{POOL}grpc:\n  listen_address: 127.0.0.1:0\ndrain_timeout: {drain}\n");
        let mut config = Config::parse(Path::new("test.yaml"), &text).unwrap();
        config.working_dir = directory.path().join("data");
        let log = LogRing::default();
        let ring = log.clone();
        let service = Service::open(&config).unwrap().with_log(log.clone());
        let address = format!("http://{}", service.address().unwrap());
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            // Of this thread only, so that tests beside this one do not write into it.
            let subscriber = tracing_subscriber::registry().with(ring);
            let stopped = async { drop(stopped.await) };
            tracing::subscriber::with_default(subscriber, || service.run(stopped))
        };
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(run).unwrap();
        Self { address, log, directory, stop: Some(stop), thread: Some(thread) }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    async fn draws(&self) -> RewardPoolClient<Channel> {
        RewardPoolClient::new(self.channel().await)
    }

    async fn admin(&self) -> PoolAdminClient<Channel> {
        PoolAdminClient::new(self.channel().await)
    }

    async fn status(&self) -> GetStatusResponse {
        self.admin().await.get_status(GetStatusRequest {}).await.unwrap().into_inner()
    }

    fn ask_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "the service failed");
    }
}

fn watch(interval_ms: u32) -> WatchStateRequest {
    WatchStateRequest { interval_ms, ..Default::default() }
}

fn draw(count: i32) -> DrawRequest {
    DrawRequest { count, ..Default::default() }
}

async fn next<T>(stream: &mut Streaming<T>) -> T {
    tokio::time::timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap()
}

async fn next_state(stream: &mut Streaming<WatchStateResponse>) -> (Totals, ServiceActivity) {
    let WatchStateResponse { state, activity } = next(stream).await;
    let state = state.unwrap();
    let left = state.items.iter().map(|item| item.quantity).sum();
    (Totals { draws: state.draws, empties: state.empties, left }, activity.unwrap())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Totals {
    draws: u64,
    empties: u64,
    left: i64,
}

#[tokio::test]
async fn a_watcher_sees_the_pool_and_the_service_as_they_are() {
    let running = Running::start();
    let mut draws = running.draws().await;
    let mut stream = draws.clone().watch_state(watch(100)).await.unwrap().into_inner();
    let (totals, activity) = next_state(&mut stream).await;
    assert_eq!(totals, Totals { draws: 0, empties: 0, left: 100 });
    assert_eq!((activity.draws, activity.last_request_id, activity.commit_max_us), (0, 0, 0));
    assert!(activity.conservation_ok && !activity.out_of_space);
    assert_eq!(activity.mailbox_capacity, 4096);
    assert_eq!(activity.version, env!("CARGO_PKG_VERSION"));
    for count in [1, 29, 100] {
        draws.draw(draw(count)).await.unwrap();
    }
    draws.draw(DrawRequest { mode: 2, ..draw(1) }).await.unwrap_err();
    let (totals, activity) = loop {
        let (totals, activity) = next_state(&mut stream).await;
        if activity.draws_per_second > 0.0 {
            break (totals, activity);
        }
    };
    assert_eq!(totals, Totals { draws: 130, empties: 30, left: 0 });
    assert_eq!((activity.draws, activity.awards, activity.empties), (130, 100, 30));
    assert_eq!((activity.refusals, activity.last_request_id), (1, 130));
    // The pool was created in the first one.
    assert_eq!(activity.commits, 4);
    assert!((100.0..=140.0).contains(&activity.draws_per_second), "{activity:?}");
    assert!(activity.commit_p50_us > 0 && activity.commit_p50_us <= activity.commit_p99_us);
    assert!(activity.commit_p99_us <= activity.commit_max_us);
    assert_eq!(activity.batch_p50_draws, 29);
    assert!(activity.durable_lsn >= 5, "{activity:?}");
    // What is measured is the same for all.
    let of_another = running.status().await.activity.unwrap();
    assert_eq!(of_another.draws, 130);
    assert_eq!(of_another.commit_p99_us, activity.commit_p99_us);
}

#[tokio::test]
async fn a_watcher_is_shown_the_page_that_it_asks_for() {
    let running = Running::start();
    let mut draws = running.draws().await;
    let one = WatchStateRequest { page_size: 1, ..watch(0) };
    let mut first = draws.watch_state(one.clone()).await.unwrap().into_inner();
    let state = next(&mut first).await.state.unwrap();
    assert_eq!((&*state.items[0].item_id, state.items.len(), state.item_count), ("gold", 1, 2));
    let second = WatchStateRequest { page_token: state.next_page_token, ..one };
    let mut second = draws.watch_state(second).await.unwrap().into_inner();
    let state = next(&mut second).await.state.unwrap();
    assert_eq!((&*state.items[0].item_id, state.items.len()), ("silver", 1));
    assert_eq!(state, {
        let request =
            GetStateRequest { page_size: 1, page_token: "1".into(), ..Default::default() };
        let asked = draws.get_state(request).await.unwrap().into_inner();
        rewardpool_proto::v1::GetStateResponse { lsn: state.lsn, ..asked }
    });
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused() {
    let running = Running::start();
    let mut draws = running.draws().await;
    let requests = [
        (watch(99), "interval_ms"),
        (watch(60_001), "interval_ms"),
        (WatchStateRequest { page_size: 5001, ..watch(0) }, "page_size"),
        (WatchStateRequest { page_token: "x".into(), ..watch(0) }, "page_token"),
    ];
    for (request, field) in requests {
        let status = draws.watch_state(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, field);
    }
    let unknown = WatchStateRequest { pool: "unknown".into(), ..watch(0) };
    assert_eq!(draws.watch_state(unknown).await.unwrap_err().code(), Code::NotFound);
    let many = WatchLogRequest { backlog: 1001, ..Default::default() };
    let status = running.admin().await.watch_log(many).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn watchers_end_with_the_service() {
    let mut running = Running::start_with("10s");
    let (mut draws, mut admin) = (running.draws().await, running.admin().await);
    let mut states = draws.watch_state(watch(60_000)).await.unwrap().into_inner();
    next(&mut states).await;
    let nothing = WatchLogRequest { after_sequence: 0, backlog: 0 };
    let mut lines = admin.watch_log(nothing).await.unwrap().into_inner();
    let begun = Instant::now();
    running.ask_to_stop();
    let status = tokio::time::timeout(PATIENCE, states.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_details_error_info().unwrap().reason, "STOPPING");
    let status = loop {
        match tokio::time::timeout(PATIENCE, lines.message()).await.unwrap() {
            Ok(line) => assert!(line.is_some(), "it ends with a status"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    drop(running);
    // Sooner than connections that would not end by themselves.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_watcher_ends_with_its_deadline() {
    let running = Running::start();
    let mut request = Request::new(watch(100));
    request.set_timeout(Duration::from_millis(350));
    let mut stream = running.draws().await.watch_state(request).await.unwrap().into_inner();
    let mut shown = 0;
    let status = loop {
        match tokio::time::timeout(PATIENCE, stream.message()).await.unwrap() {
            Ok(Some(_)) => shown += 1,
            Ok(None) => panic!("it ends with a status"),
            Err(status) => break status,
        }
    };
    assert!((1..=4).contains(&shown), "{shown}");
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
}

/// More watchers than may be at the same time, one after the other: each one that leaves makes room.
#[tokio::test]
async fn a_watcher_that_leaves_is_gone() {
    let running = Running::start();
    let mut draws = running.draws().await;
    let mut open = Vec::new();
    let refused = loop {
        match draws.watch_state(watch(60_000)).await {
            Ok(stream) => open.push(stream.into_inner()),
            Err(status) => break status,
        }
        if open.len() == 100 {
            // A connection has its own limit of streams.
            draws = running.draws().await;
        }
        assert!(open.len() <= 256, "there is a limit");
        if open.len() == 200 {
            draws = running.draws().await;
        }
    };
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(open.len(), 256);
    open.clear();
    let begun = Instant::now();
    while let Err(status) = draws.watch_state(watch(60_000)).await {
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(begun.elapsed() < PATIENCE, "nobody watches any more");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_status_tells_of_files_and_times() {
    let running = Running::start();
    let mut admin = running.admin().await;
    let taken = admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap().into_inner();
    let status = running.status().await;
    assert_eq!(status.process_id, std::process::id());
    assert_eq!(Path::new(&status.working_dir), running.directory.path().join("data"));
    let newest = &status.snapshot_infos[0];
    assert_eq!((newest.lsn, &newest.file, newest.bytes), (taken.lsn, &taken.file, taken.bytes));
    assert!(newest.taken_at_ms >= status.started_at_ms);
    assert_eq!(status.snapshot_infos.len(), 2);
    let infos =
        rewardpool_engine::inspect::segments(&running.directory.path().join("data")).unwrap();
    assert_eq!(status.segment_infos.len(), infos.len());
    for (told, found) in status.segment_infos.iter().zip(&infos) {
        assert_eq!(found.name, format!("wal.{:03}", told.number));
        assert_eq!((told.first_lsn, told.bytes), (found.first_lsn, found.bytes));
        // A batch takes whole sectors.
        assert_eq!(told.used_bytes, found.used_bytes.next_multiple_of(512), "{}", found.name);
    }
    let states: Vec<SegmentState> =
        status.segment_infos.iter().map(rewardpool_proto::v1::SegmentInfo::state).collect();
    assert_eq!(states, [SegmentState::Closed, SegmentState::Open]);
}

#[tokio::test]
async fn a_watcher_of_the_log_sees_old_lines_and_new_ones() {
    let running = Running::start();
    let mut admin = running.admin().await;
    let all = WatchLogRequest { after_sequence: 0, backlog: 1000 };
    let mut stream = admin.watch_log(all).await.unwrap().into_inner();
    let listening: LogEvent = next(&mut stream).await;
    assert_eq!(
        (&*listening.message, &*listening.level, listening.missed),
        ("listening", "INFO", 0)
    );
    assert_eq!(listening.target, "rewardpool_server::serve");
    assert_eq!(format!("http://{}", listening.fields["address"]), running.address);
    let pause = PausePoolRequest { pool: "default".into(), ..Default::default() };
    admin.pause_pool(pause).await.unwrap();
    let state = running.draws().await.get_state(GetStateRequest::default()).await.unwrap();
    assert_eq!(state.into_inner().status(), PoolStatus::Paused);
    // Whoever was there before goes on behind what it saw.
    let after = WatchLogRequest { after_sequence: listening.sequence, backlog: 0 };
    let mut resumed = admin.watch_log(after).await.unwrap().into_inner();
    let lines = running.log.lines();
    if let Some(line) = lines.get(1) {
        assert_eq!(next(&mut resumed).await.sequence, line.sequence);
    }
}
