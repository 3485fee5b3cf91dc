//! Goal: who watches sees the pool and the service as they are, costs nothing when slow or gone, and
//! ends with the service. Method: a real service on a thread of this process, generated clients, and
//! draws whose number is known.
use std::path::Path;
use std::time::{Duration, Instant};

use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{
    DrawRequest, GetStateRequest, LogEvent, PausePoolRequest, SegmentInfo, SegmentState,
    ServiceActivity, TakeSnapshotRequest, WatchLogRequest, WatchStateRequest, WatchStateResponse,
};
use tonic::{Code, Request, Streaming};
use tonic_types::StatusExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::running::{PATIENCE, POOL, Running, draw};

fn watch(interval_ms: u32) -> WatchStateRequest {
    WatchStateRequest { interval_ms, ..Default::default() }
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
    let mut running = Running::start_with(POOL, "drain_timeout: 10s\n");
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
    assert_eq!(Path::new(&status.working_dir), running.data());
    let newest = &status.snapshot_infos[0];
    assert_eq!((newest.lsn, &newest.file, newest.bytes), (taken.lsn, &taken.file, taken.bytes));
    assert!(newest.taken_at_ms >= status.started_at_ms);
    assert_eq!(status.snapshot_infos.len(), 2);
    let infos = rewardpool_engine::inspect::segments(&running.data()).unwrap();
    assert_eq!(status.segment_infos.len(), infos.len());
    for (told, found) in status.segment_infos.iter().zip(&infos) {
        assert_eq!(found.name, format!("wal.{:03}", told.number));
        assert_eq!((told.first_lsn, told.bytes), (found.first_lsn, found.bytes));
        // A batch takes whole sectors.
        assert_eq!(told.used_bytes, found.used_bytes.next_multiple_of(512), "{}", found.name);
    }
    let states: Vec<SegmentState> = status.segment_infos.iter().map(SegmentInfo::state).collect();
    assert_eq!(states, [SegmentState::Closed, SegmentState::Open]);
}

/// A client that does not read gets what its window holds, and then what is true at that time: the
/// messages that it missed were never made.
#[tokio::test]
async fn a_slow_watcher_misses_what_it_does_not_read() {
    let items: Vec<String> = (0..1000)
        .map(|n| {
            format!("    - {{ item_id: an-item-with-a-long-name-{n}, quantity: 9, weight: 1 }}")
        })
        .collect();
    let pools = format!("pool:\n  catalog:\n{}\n", items.join("\n"));
    let running = Running::start_with(&pools, "drain_timeout: 100ms\n");
    // One message is longer than half of the window.
    let narrow = running.endpoint().initial_stream_window_size(65_535).connect().await.unwrap();
    let mut narrow = RewardPoolClient::new(narrow);
    let large = WatchStateRequest { page_size: 1000, ..watch(100) };
    let mut slow = narrow.watch_state(large).await.unwrap().into_inner();
    next_state(&mut slow).await;
    // Somebody else, who reads, tells how time goes by.
    let mut draws = running.draws().await;
    let small = WatchStateRequest { page_size: 1, ..watch(100) };
    let mut quick = draws.watch_state(small).await.unwrap().into_inner();
    for _ in 0..20 {
        next(&mut quick).await;
    }
    draws.draw(draw(7)).await.unwrap();
    let mut stale = 0;
    while next_state(&mut slow).await.0.draws == 0 {
        stale += 1;
    }
    assert!(stale <= 5, "{stale} messages were kept for a client that did not read");
}

/// The command prints what the service answers, for people and for programs.
#[tokio::test]
async fn the_command_shows_the_status() {
    let running = Running::start();
    running.draws().await.draw(draw(130)).await.unwrap();
    let status = |format: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_rewardpool"));
        command.args(["status", "-o", format, "--addr", &running.address]);
        // The service is on a thread of its own, so nobody waits for this one.
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let table = status("table");
    assert!(table.contains("130 since the start, 30 of them empty; 0 requests refused"), "{table}");
    assert!(table.contains(&format!("working dir   {}\n", running.data().display())), "{table}");
    let json: serde_json::Value = serde_json::from_str(&status("json")).unwrap();
    assert_eq!(json["process_id"], std::process::id());
    let activity = &json["activity"];
    assert_eq!((&activity["draws"], &activity["awards"]), (&130.into(), &100.into()));
    assert_eq!(json["segment_infos"][0]["state"], "open");
    assert_eq!(json["snapshot_infos"][0]["file"], "snapshot.0");
}

#[tokio::test]
async fn a_watcher_of_the_log_sees_old_lines_and_new_ones() {
    let running = Running::start();
    let mut admin = running.admin().await;
    let all = WatchLogRequest { after_sequence: 0, backlog: 1000 };
    let mut stream = admin.watch_log(all).await.unwrap().into_inner();
    assert_eq!(next(&mut stream).await.message, "metrics can be read");
    let listening: LogEvent = next(&mut stream).await;
    let LogEvent { message, level, target, missed, .. } = &listening;
    assert_eq!((&**message, &**level, *missed), ("listening", "INFO", 0));
    assert_eq!(target, "rewardpool_server::serve");
    assert_eq!(format!("http://{}", listening.fields["address"]), running.address);
    let pause = PausePoolRequest { actor: "ann".into(), ..Default::default() };
    admin.pause_pool(pause).await.unwrap();
    let paused = next(&mut stream).await;
    assert_eq!((&*paused.message, &*paused.fields["actor"]), ("pool paused", "ann"));
    assert_eq!(paused.sequence, listening.sequence + 1);
    assert!(paused.time_ms >= listening.time_ms);
    // Whoever was there before goes on behind what it saw.
    let mut lines = async |after_sequence, backlog| {
        let request = WatchLogRequest { after_sequence, backlog };
        let mut stream = admin.watch_log(request).await.unwrap().into_inner();
        next(&mut stream).await
    };
    assert_eq!(lines(listening.sequence, 0).await, paused);
    // Backlogs count from the end.
    assert_eq!(lines(0, 1).await, paused);
    assert_eq!(lines(0, 2).await, listening);
    // A number of an earlier run.
    assert_eq!(lines(17, 0).await.sequence, listening.sequence - 1);
}

/// What a stream does not read in time is lost, and it is told how much.
#[tokio::test]
async fn a_slow_watcher_of_the_log_is_told_what_it_lost() {
    const LINES: u64 = 5000;
    let running = Running::start();
    let narrow = running.endpoint().initial_stream_window_size(65_535).connect().await.unwrap();
    let none = WatchLogRequest { after_sequence: 0, backlog: 0 };
    let mut stream = PoolAdminClient::new(narrow).watch_log(none).await.unwrap().into_inner();
    // Far more than the window and the ring hold, all at once.
    let subscriber = tracing_subscriber::registry().with(running.log.clone());
    tracing::subscriber::with_default(subscriber, || {
        for number in 0..LINES {
            tracing::info!(target: "rewardpool::test", number, text = %"x".repeat(256), "a line");
        }
    });
    let newest = running.log.lines().last().unwrap().sequence;
    let first = next(&mut stream).await;
    let (mut seen, mut missed, mut last) = (1, first.missed, first.sequence);
    while last < newest {
        let line = next(&mut stream).await;
        assert_eq!(line.sequence, last + 1 + line.missed);
        (seen, missed, last) = (seen + 1, missed + line.missed, line.sequence);
    }
    assert_eq!(seen + missed, LINES);
    assert!(missed > LINES / 2 && seen >= 1000, "{seen} seen, {missed} missed");
}
