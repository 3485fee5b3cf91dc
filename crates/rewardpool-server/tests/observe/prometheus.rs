//! Goal: Prometheus reads the metrics, every query of the dashboard finds something, no alert fires on
//! a service that is well, and one fires when it is gone. Method: promtool, and a real Prometheus
//! that scrapes the real binary each second, while draws are made.
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, TakeSnapshotRequest};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::http;
use super::program::{Program, address_of};
use super::running::draw;

/// Prometheus looks each second; the longest wait is for two looks and a rule.
const PATIENCE: Duration = Duration::from_mins(1);

fn contrib(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contrib").join(name)
}

/// Whether Prometheus is installed. Under CI it must be.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_here() -> bool {
    let found = |program| Command::new(program).arg("--version").output().is_ok();
    if found("promtool") && found("prometheus") {
        return true;
    }
    let is_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!is_ci, "CI must have Prometheus; tests/install-tools installs it");
    eprintln!("skipped; Prometheus is not installed; tests/install-tools installs it");
    false
}

/// Runs promtool, which must find nothing to say about the input but that it is fine.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "promtool {arguments:?}: {said}");
    said
}

#[test]
fn the_rules_are_right_and_each_alert_has_a_test() {
    if !is_here() {
        return;
    }
    let (rules, tests) =
        (contrib("prometheus/alerts.yaml"), contrib("prometheus/alerts_test.yaml"));
    promtool(&["check", "rules", rules.to_str().unwrap()], "");
    promtool(&["test", "rules", tests.to_str().unwrap()], "");
    let (rules, tests) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(tests).unwrap());
    let alerts: Vec<&str> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in alerts {
        let quiet = format!("- {{ alertname: {alert}, eval_time: ");
        assert!(tests.contains(&quiet), "{alert} is never seen to be quiet");
        let fires = format!("- alertname: {alert}\n");
        assert!(tests.contains(&fires), "{alert} is never seen to fire");
    }
}

/// A Prometheus of this test.
struct Prometheus {
    address: SocketAddr,
    child: Child,
    _place: TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Prometheus {
    /// Scrapes this service and evaluates the rules, each second. A service that is down is an alert
    /// at once.
    fn start(service: SocketAddr) -> Self {
        let place = TempDir::new().unwrap();
        let rules = fs::read_to_string(contrib("prometheus/alerts.yaml")).unwrap();
        let slow = "expr: up{job=~\"rewardpool.*\"} == 0\n        for: 1m\n";
        assert!(rules.contains(slow));
        let rules = rules.replace(slow, "expr: up{job=~\"rewardpool.*\"} == 0\n        for: 1s\n");
        fs::write(place.path().join("alerts.yaml"), rules).unwrap();
        let config = place.path().join("prometheus.yaml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [alerts.yaml]\n\
             scrape_configs:\n  - job_name: rewardpool\n    \
             static_configs: [{{ targets: [\"{service}\"] }}]\n"
        );
        fs::write(&config, text).unwrap();
        promtool(&["check", "config", config.to_str().unwrap()], "");
        // It cannot tell which port it took, so it is given one that was free just now.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let log = fs::File::create(place.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", place.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { address, child, _place: place }
    }

    /// Asks the HTTP interface. `None` while nobody listens.
    fn ask(&self, path: &str) -> Option<Value> {
        std::net::TcpStream::connect(self.address).ok()?;
        let page = http::get(self.address, path);
        serde_json::from_str(&page.body).ok()
    }

    /// The series that a query finds now, with their values.
    fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.ask(&format!("/api/v1/query?query={}", percent(query)));
        let answer = answer.unwrap_or_default();
        let series = answer["data"]["result"].as_array();
        series.unwrap_or_else(|| panic!("{query}: {answer}")).clone()
    }

    /// Whether it has the result of so many scrapes.
    fn has_scraped(&self, times: u32) -> bool {
        let query = format!("count_over_time(up[10m]) >= {times}");
        let answer = self.ask(&format!("/api/v1/query?query={}", percent(&query)));
        answer.is_some_and(|answer| answer["data"]["result"][0].is_object())
    }

    /// Alerts that are pending or fire, with their states.
    fn alerts(&self) -> Vec<(String, String)> {
        let answer = self.ask("/api/v1/alerts").unwrap();
        let alerts = answer["data"]["alerts"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        alerts
            .iter()
            .map(|alert| (text(&alert["labels"]["alertname"]), text(&alert["state"])))
            .collect()
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// All queries of the dashboard, with its variables replaced.
fn dashboard_queries() -> Vec<String> {
    let text = fs::read_to_string(contrib("grafana/rewardpool.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let mut queries: Vec<String> =
        targets.map(|target| target["expr"].as_str().unwrap().to_owned()).collect();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(query) = variable["definition"].as_str() {
            let (series, label) = query
                .strip_prefix("label_values(")
                .and_then(|q| q.strip_suffix(')'))
                .unwrap()
                .rsplit_once(", ")
                .unwrap();
            queries.push(format!("count by ({label}) ({series})"));
        }
    }
    let variables = [
        ("$job", "rewardpool"),
        ("$instance", ".*"),
        ("$pool", ".*"),
        ("$__rate_interval", "1m"),
        ("$__range", "1m"),
    ];
    for query in &mut queries {
        for (variable, value) in variables {
            *query = query.replace(variable, value);
        }
        assert!(!query.contains('$'), "{query}");
    }
    queries
}

/// A busy service, and what draws from it.
struct Busy {
    program: Program,
    metrics: SocketAddr,
    draws: RewardPoolClient<tonic::transport::Channel>,
    turn: u32,
    _place: TempDir,
}

impl Busy {
    async fn start() -> Self {
        let place = TempDir::new().unwrap();
        let config = place.path().join("config.yaml");
        let text = "pool:\n  catalog:\n    \
                    - { item_id: gold, quantity: 1000000000, weight: 1 }\n    \
                    - { item_id: mud, quantity: -1, weight: 9 }\n\
                    metrics: { enabled: true, listen_address: \":0\" }\n";
        fs::write(&config, text).unwrap();
        let data = place.path().join("data");
        let arguments = ["--config", config.to_str().unwrap()];
        let mut program = Program::start(&data, &arguments, &[]);
        let lines = program.lines_to("listening");
        let metrics = address_of("metrics can be read", &lines);
        let channel = format!("http://{}", address_of("listening", &lines));
        let channel = tonic::transport::Endpoint::from_shared(channel).unwrap();
        let channel = channel.connect().await.unwrap();
        PoolAdminClient::new(channel.clone()).take_snapshot(TakeSnapshotRequest {}).await.unwrap();
        let draws = RewardPoolClient::new(channel);
        Self { program, metrics, draws, turn: 0, _place: place }
    }

    /// Draws, and is refused.
    async fn work(&mut self) {
        self.turn += 1;
        let idempotency_key = format!("key-{}", self.turn);
        let keyed = DrawRequest { idempotency_key, ..draw(10) };
        self.draws.draw(keyed).await.unwrap();
        self.draws.draw(draw(0)).await.unwrap_err();
    }

    /// Works until this holds.
    async fn work_until(&mut self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            self.work().await;
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn prometheus_reads_the_metrics_and_the_alerts_tell_the_truth() {
    if !is_here() {
        return;
    }
    let mut busy = Busy::start().await;
    busy.work().await;
    let lint = promtool(&["check", "metrics"], &http::get(busy.metrics, "/metrics").body);
    assert_eq!(lint, "", "promtool has something to say about the metrics");

    let prometheus = Prometheus::start(busy.metrics);
    busy.work_until("Prometheus scrapes", || prometheus.has_scraped(4)).await;
    let queries = dashboard_queries();
    assert!(queries.len() > 40, "{} queries", queries.len());
    let mut empty = Vec::new();
    for query in &queries {
        let found = prometheus.query(query);
        let is_number = |series: &Value| series["value"][1].as_str() != Some("NaN");
        if !found.iter().any(is_number) {
            empty.push(query);
        }
    }
    assert!(empty.is_empty(), "queries of the dashboard that find nothing: {empty:#?}");

    let rules = prometheus.ask("/api/v1/rules").unwrap();
    let groups = rules["data"]["groups"].as_array().unwrap();
    let rules: Vec<&Value> =
        groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(rules.len() > 15);
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    assert_eq!(prometheus.alerts(), [], "the service is well");

    let Busy { program, .. } = busy;
    drop(program);
    let begun = Instant::now();
    let down = ("RewardpoolDown".to_owned(), "firing".to_owned());
    while !prometheus.alerts().contains(&down) {
        assert!(begun.elapsed() < PATIENCE, "nobody is told: {:?}", prometheus.alerts());
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(prometheus.alerts(), [down], "it is the only alert");
}
