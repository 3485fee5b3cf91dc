//! Goal: the metrics are those of the service, in both formats, and the server of metrics bears any
//! client. Method: draws and refusals whose number is known; requests over bare sockets.
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{
    ClosePoolRequest, DrawRequest, PausePoolRequest, RetireItemRequest, TakeSnapshotRequest,
    UpdateItemRequest, WatchStateRequest,
};

use super::http::{ask, connect, get, read};
use super::running::{PATIENCE, POOL, Running, draw};

/// Four items, of which three have metrics of their own.
const POOLS: &str = "pools:
  - id: summer
    catalog:
      - { item_id: gold, quantity: 40, weight: 1 }
      - { item_id: \"20 % \\\"off\\\"\", quantity: -1, weight: 2 }
      - { item_id: old, quantity: 7, weight: 5 }
      - { item_id: fourth, quantity: 1, weight: 0 }
  - { id: few, catalog: [{ item_id: ticket, quantity: 30, weight: 1 }] }
";

/// All series with their values.
struct Scraped(BTreeMap<String, f64>);

impl Scraped {
    fn of(running: &Running) -> Self {
        let page = get(running.metrics, "/metrics");
        assert_eq!(page.status, 200, "{}", page.head);
        Self::parse(&page.body)
    }

    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            lines
                .map(|line| {
                    let (series, value) = line.rsplit_once(' ').unwrap();
                    (series.to_owned(), value.parse().unwrap())
                })
                .collect(),
        )
    }

    #[track_caller]
    fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("{series} is not in {:#?}", self.0.keys()))
    }

    #[track_caller]
    fn check(&self, expected: &[(&str, u32)]) {
        for &(series, value) in expected {
            let found = self.value(series);
            assert!((found - f64::from(value)).abs() < 1e-9, "{series} is {found}, not {value}");
        }
    }
}

/// The server of metrics is there a little earlier than that of calls.
fn wait_until_ready(running: &Running) {
    let begun = Instant::now();
    while get(running.metrics, "/readyz").status != 200 {
        assert!(begun.elapsed() < PATIENCE, "it becomes ready");
    }
    assert_eq!(get(running.metrics, "/readyz").body, "ready\n");
}

fn from(pool: &str, count: i32) -> DrawRequest {
    DrawRequest { pool: pool.into(), ..draw(count) }
}

#[tokio::test]
async fn the_metrics_are_those_of_the_service() {
    let running = Running::start_with(POOLS, "drain_timeout: 100ms\n");
    let (mut draws, mut admin) = (running.draws().await, running.admin().await);
    // Thirty tickets in two commits, and ten draws that win nothing.
    draws.draw(from("few", 1)).await.unwrap();
    draws.draw(from("few", 39)).await.unwrap();
    draws.draw(DrawRequest { idempotency_key: "a".into(), ..from("summer", 5) }).await.unwrap();
    // The same again is no draw.
    draws.draw(DrawRequest { idempotency_key: "a".into(), ..from("summer", 5) }).await.unwrap();
    // Three refusals by the state, one by the edge, and two in a stream.
    draws.draw(DrawRequest { mode: 2, ..from("few", 1) }).await.unwrap_err();
    draws.draw(DrawRequest { idempotency_key: "a".into(), ..from("summer", 6) }).await.unwrap_err();
    draws.draw(from("unknown", 1)).await.unwrap_err();
    draws.draw(from("few", 0)).await.unwrap_err();
    let stream = tokio_stream::iter([from("few", -1), from("unknown", 1), from("few", 1)]);
    let mut answers = draws.draw_stream(stream).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    let (pool, actor, reason) = (String::from("summer"), String::new(), String::new());
    let item_id = "old".to_owned();
    let retire = RetireItemRequest { pool: pool.clone(), item_id, actor, reason };
    admin.retire_item(retire).await.unwrap();
    let update = UpdateItemRequest {
        pool: pool.clone(),
        item_id: "gold".into(),
        quantity: Some(Quantity::Add(60)),
        ..Default::default()
    };
    admin.update_item(update).await.unwrap();
    admin.pause_pool(PausePoolRequest { pool, ..Default::default() }).await.unwrap();
    let taken = admin.take_snapshot(TakeSnapshotRequest {}).await.unwrap().into_inner();
    let status = running.status().await;

    let scraped = Scraped::of(&running);
    scraped.check(&[
        ("rewardpool_draws_total", 46),
        ("rewardpool_empties_total", 11),
        ("rewardpool_awards_total", 35),
        // Two pools, three requests, the stream's one, and three changes.
        ("rewardpool_records_total", 9),
        ("rewardpool_commits_total", 9),
        ("rewardpool_commit_duration_seconds_count", 9),
        ("rewardpool_commit_duration_seconds_bucket{le=\"+Inf\"}", 9),
        ("rewardpool_batch_draws_count", 4),
        ("rewardpool_batch_draws_sum", 46),
        ("rewardpool_batch_draws_bucket{le=\"1.0\"}", 2),
        ("rewardpool_batch_draws_bucket{le=\"3.0\"}", 2),
        ("rewardpool_batch_draws_bucket{le=\"7.0\"}", 3),
        ("rewardpool_batch_draws_bucket{le=\"31.0\"}", 3),
        ("rewardpool_batch_draws_bucket{le=\"63.0\"}", 4),
        ("rewardpool_refusals_total{reason=\"INSUFFICIENT_STOCK\"}", 1),
        ("rewardpool_refusals_total{reason=\"KEY_REUSED\"}", 1),
        ("rewardpool_refusals_total{reason=\"UNKNOWN_POOL\"}", 2),
        ("rewardpool_refusals_total{reason=\"INVALID_ARGUMENT\"}", 2),
        ("rewardpool_refusals_total{reason=\"OVERLOADED\"}", 0),
        ("rewardpool_mailbox_depth", 0),
        ("rewardpool_mailbox_capacity", 4096),
        ("rewardpool_last_request_id", 46),
        ("rewardpool_segments", status.segments),
        ("rewardpool_snapshot_failures_total", 0),
        ("rewardpool_snapshots_total", 1),
        ("rewardpool_conservation_error", 0),
        ("rewardpool_out_of_space", 0),
        ("rewardpool_scrape_incomplete", 0),
        ("rewardpool_pool_draws_total{pool=\"few\"}", 41),
        ("rewardpool_pool_awards_total{pool=\"few\"}", 30),
        ("rewardpool_pool_empties_total{pool=\"few\"}", 11),
        ("rewardpool_pool_status{pool=\"few\",status=\"active\"}", 1),
        ("rewardpool_pool_status{pool=\"summer\",status=\"active\"}", 0),
        ("rewardpool_pool_status{pool=\"summer\",status=\"paused\"}", 1),
        ("rewardpool_pool_items{pool=\"summer\"}", 4),
        ("rewardpool_pool_items_left_out{pool=\"summer\"}", 1),
        ("rewardpool_pool_items_left_out{pool=\"few\"}", 0),
        ("rewardpool_pool_drawable_items{pool=\"summer\"}", 2),
        ("rewardpool_pool_drawable_items{pool=\"few\"}", 0),
        ("rewardpool_pool_available_weight{pool=\"summer\"}", 3),
        ("rewardpool_pool_idempotency_keys{pool=\"summer\"}", 1),
        ("rewardpool_pool_idempotency_keys_max{pool=\"few\"}", 1_000_000),
        ("rewardpool_item_left{pool=\"few\",item=\"ticket\"}", 0),
        ("rewardpool_item_granted{pool=\"few\",item=\"ticket\"}", 30),
        ("rewardpool_item_awarded_total{pool=\"few\",item=\"ticket\"}", 30),
        ("rewardpool_item_drawable{pool=\"few\",item=\"ticket\"}", 0),
        ("rewardpool_item_granted{pool=\"summer\",item=\"gold\"}", 100),
        ("rewardpool_item_weight{pool=\"summer\",item=\"gold\"}", 1),
        ("rewardpool_item_weight{pool=\"summer\",item=\"old\"}", 0),
        ("rewardpool_item_weight{pool=\"summer\",item=\"20 % \\\"off\\\"\"}", 2),
        ("rewardpool_grpc_requests_total{service=\"rewardpool.v1.RewardPool\",method=\"Draw\",code=\"OK\"}", 4),
        ("rewardpool_grpc_requests_total{service=\"rewardpool.v1.RewardPool\",method=\"Draw\",code=\"INVALID_ARGUMENT\"}", 1),
        ("rewardpool_grpc_requests_total{service=\"rewardpool.v1.RewardPool\",method=\"DrawStream\",code=\"OK\"}", 1),
        ("rewardpool_grpc_in_flight{service=\"rewardpool.v1.RewardPool\",method=\"DrawStream\"}", 0),
    ]);
    let absent = ["rewardpool_item_left{pool=\"summer\",item=\"20 % \\\"off\\\"\"}", "fourth"];
    for absent in absent {
        assert!(!scraped.0.keys().any(|series| series.contains(absent)), "{absent}");
    }
    let integer = |series| format!("{:.0}", scraped.value(series));
    assert_eq!(integer("rewardpool_snapshot_lsn"), taken.lsn.to_string());
    assert_eq!(integer("rewardpool_snapshot_bytes"), taken.bytes.to_string());
    let used: u64 = status.segment_infos.iter().map(|segment| segment.used_bytes).sum();
    let length: u64 = status.segment_infos.iter().map(|segment| segment.bytes).sum();
    assert!(scraped.value("rewardpool_durable_lsn") >= 9.0);
    assert_eq!(integer("rewardpool_wal_bytes"), length.to_string());
    // A marker may have been written in between.
    let used = [0, 512, 1024].map(|marker| (used + marker).to_string());
    assert!(used.contains(&integer("rewardpool_wal_used_bytes")), "{used:?}");
    let build = "rewardpool_build_info{version=\"0.1.0\",storage=\"file\",formatter=\"binary\",\
                 scheduling=\"normal\"}";
    scraped.check(&[(build, 1)]);
    let left = scraped.value("rewardpool_item_left{pool=\"summer\",item=\"gold\"}");
    let awarded = scraped.value("rewardpool_item_awarded_total{pool=\"summer\",item=\"gold\"}");
    assert!((left + awarded - 100.0).abs() < 1e-9);
    for series in
        ["process_cpu_seconds_total", "process_open_fds", "rewardpool_snapshot_timestamp_seconds"]
    {
        assert!(scraped.value(series) > 0.0, "{series}");
    }
}

#[tokio::test]
async fn streams_are_seen_while_they_go_on() {
    let running = Running::start();
    let request = WatchStateRequest { interval_ms: 100, ..Default::default() };
    let mut stream = running.draws().await.watch_state(request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    let watches = "{service=\"rewardpool.v1.RewardPool\",method=\"WatchState\"}";
    let in_flight = format!("rewardpool_grpc_in_flight{watches}");
    Scraped::of(&running).check(&[(&in_flight, 1)]);
    drop(stream);
    let begun = Instant::now();
    while Scraped::of(&running).value(&in_flight) > 0.5 {
        assert!(begun.elapsed() < PATIENCE, "the stream was left");
        // The client tells it when it has a turn.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let ended = "rewardpool_grpc_requests_total{service=\"rewardpool.v1.RewardPool\",\
                 method=\"WatchState\",code=\"CANCELLED\"}";
    Scraped::of(&running).check(&[(ended, 1)]);
}

#[tokio::test]
async fn a_closed_pool_has_metrics_still() {
    let running = Running::start();
    let close = ClosePoolRequest { pool: "default".into(), ..Default::default() };
    running.admin().await.close_pool(close).await.unwrap();
    Scraped::of(&running).check(&[
        ("rewardpool_pool_status{pool=\"default\",status=\"closed\"}", 1),
        ("rewardpool_item_left{pool=\"default\",item=\"gold\"}", 40),
    ]);
}

#[test]
fn each_client_gets_the_format_that_it_asks_for() {
    let running = Running::start();
    let text = get(running.metrics, "/metrics");
    assert!(text.head.contains("content-type: text/plain; version=0.0.4"), "{}", text.head);
    assert!(text.body.contains("# TYPE rewardpool_draws_total counter\n"));
    assert!(!text.body.contains("# EOF") && !text.body.contains("# UNIT"));
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = ask(running.metrics, "GET", "/metrics", accept);
    assert!(open.head.contains("application/openmetrics-text; version=1.0.0"), "{}", open.head);
    assert!(open.body.contains("# TYPE rewardpool_draws counter\n"));
    assert!(open.body.contains("# UNIT rewardpool_wal_bytes bytes\n"));
    assert!(open.body.ends_with("\n# EOF\n"));
    let series = |text: &str| Scraped::parse(text).0.into_keys().collect::<Vec<_>>();
    assert_eq!(series(&text.body), series(&open.body));
}

#[test]
fn other_requests_are_answered_too() {
    let running = Running::start();
    let page = get(running.metrics, "/healthz");
    assert_eq!((page.status, &*page.body), (200, "ok\n"));
    wait_until_ready(&running);
    let page = ask(running.metrics, "HEAD", "/metrics", "");
    assert_eq!((page.status, &*page.body), (200, ""));
    assert_eq!(get(running.metrics, "/").status, 404);
    let page = ask(running.metrics, "POST", "/metrics", "Content-Length: 0\r\n");
    assert_eq!(page.status, 405);
    assert!(page.head.contains("allow: get, head"), "{}", page.head);
    let many = format!("X-Padding: {}\r\n", "x".repeat(20_000));
    assert_eq!(ask(running.metrics, "GET", "/metrics", &many).status, 431);
    let many = "X-Padding: x\r\n".repeat(100);
    assert_eq!(ask(running.metrics, "GET", "/metrics", &many).status, 431);
    let mut stream = connect(running.metrics);
    stream.write_all(b"what is this?\r\n\r\n").unwrap();
    assert_eq!(read(&mut stream).status, 400);
}

/// As many clients as there may be, who all say nothing: they are dropped, and then others are
/// served.
#[test]
fn silent_clients_keep_nobody_out_for_long() {
    let running = Running::start();
    let silent: Vec<_> = (0..16).map(|_| connect(running.metrics)).collect();
    let begun = Instant::now();
    assert_eq!(get(running.metrics, "/healthz").status, 200);
    let waited = begun.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(15)).contains(&waited), "{waited:?}");
    drop(silent);
}

/// While calls may still end, the service says that it takes no more. The client of this test does
/// not hear that it should close its connection, because its runtime has no turn.
#[tokio::test]
async fn a_service_that_stops_is_not_ready() {
    let mut running = Running::start_with(POOL, "drain_timeout: 2s\n");
    let _open = running.draws().await.draw_stream(tokio_stream::pending()).await.unwrap();
    wait_until_ready(&running);
    running.ask_to_stop();
    let begun = Instant::now();
    while get(running.metrics, "/readyz").status == 200 {
        assert!(begun.elapsed() < PATIENCE, "it stops");
    }
    let page = get(running.metrics, "/readyz");
    assert_eq!((page.status, &*page.body), (503, "not ready\n"));
    assert_eq!(get(running.metrics, "/healthz").status, 200);
    assert_eq!(get(running.metrics, "/metrics").status, 200);
}
