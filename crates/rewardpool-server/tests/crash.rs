//! Goal: after SIGKILL at any moment every acknowledged draw is there, no request id is given
//! twice, and every unit is accounted for.
//! Method: start the real binary, draw over gRPC from several connections, kill it in mid-load,
//! read its directory, compare with what the clients were told, start it again on the same
//! directory, and repeat the requests whose outcome was unknown with their keys. `ROUNDS` sets the
//! rounds for each of the six combinations of format and storage.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rewardpool_engine::inspect;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, DrawResponse};
use tonic::transport::Channel;

const CLIENTS: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(20);
const STOCK: i64 = 5_000;

/// What clients know, over all rounds on one directory.
#[derive(Default)]
struct Told {
    /// The item of each acknowledged draw, by request id.
    draws: BTreeMap<u64, Option<String>>,
    /// First request id of each acknowledged key.
    keys: BTreeMap<String, u64>,
    /// Requests that were sent and not answered, by key, with their count.
    unknown: BTreeMap<String, i32>,
}

#[test]
fn acknowledged_draws_survive_sigkill_in_every_format_and_storage() {
    let rounds: u64 = std::env::var("ROUNDS").map_or(4, |text| text.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut acknowledged, mut kills) = (0, 0);
    for format in ["binary", "json", "string_line"] {
        for storage in ["file", "mmap"] {
            let directory = tempfile::tempdir().unwrap();
            let mut told = Told::default();
            for round in 0..rounds {
                let name = format!("{format}/{storage} round {round}");
                runtime.block_on(one_round(directory.path(), format, storage, round, &mut told));
                check(&directory.path().join("data"), &told, &name);
                kills += 1;
            }
            acknowledged += told.draws.len();
        }
    }
    println!("{kills} kills, {acknowledged} acknowledged draws, none lost, none doubled");
    assert!(acknowledged > 1_000, "the load was too small to prove anything: {acknowledged}");
}

/// Starts the service, lets the clients draw, kills it in the middle, gathers what they know.
async fn one_round(directory: &Path, format: &str, storage: &str, round: u64, told: &mut Told) {
    let (mut service, address) = start(directory, format, storage);
    let channel = connect(&address).await;
    repeat_unknown(&channel, told).await;
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let channel = connect(&address).await;
        clients.push(tokio::spawn(draw_until_cut(channel, round, client)));
    }
    tokio::time::sleep(Duration::from_millis(120 + 37 * (round % 7))).await;
    service.kill().unwrap();
    service.wait().unwrap();
    for client in clients {
        let (answered, unanswered) = client.await.unwrap();
        for (key, answer) in answered {
            remember(told, &key, &answer);
        }
        told.unknown.extend(unanswered);
    }
}

/// Sends what was not answered again: the answer is the first one, or a first one now.
async fn repeat_unknown(channel: &Channel, told: &mut Told) {
    let mut pool = RewardPoolClient::new(channel.clone());
    for (key, count) in std::mem::take(&mut told.unknown) {
        let request = DrawRequest { count, idempotency_key: key.clone(), ..Default::default() };
        let first = pool.draw(request.clone()).await.unwrap().into_inner();
        let again = pool.draw(request).await.unwrap().into_inner();
        assert!(again.replayed);
        assert_eq!(again.first_request_id, first.first_request_id);
        assert_eq!((again.item_ids, &again.outcomes), (first.item_ids.clone(), &first.outcomes));
        remember(told, &key, &first);
    }
}

type Answered = Vec<(String, DrawResponse)>;

/// Draws with a key each time until the connection breaks.
async fn draw_until_cut(
    channel: Channel,
    round: u64,
    client: u64,
) -> (Answered, Vec<(String, i32)>) {
    let mut pool = RewardPoolClient::new(channel);
    let mut answered = Vec::new();
    for number in 0_u64.. {
        let key = format!("{round}-{client}-{number}");
        let count = i32::try_from(1 + number % 5).unwrap();
        let request = DrawRequest { count, idempotency_key: key.clone(), ..Default::default() };
        match pool.draw(request).await {
            Ok(answer) => answered.push((key, answer.into_inner())),
            Err(_) => return (answered, vec![(key, count)]),
        }
    }
    unreachable!("the service is killed")
}

fn remember(told: &mut Told, key: &str, answer: &DrawResponse) {
    let previous = told.keys.insert(key.to_owned(), answer.first_request_id);
    assert!(previous.is_none(), "{key} was answered before");
    for (place, &outcome) in (0_u64..).zip(&answer.outcomes) {
        let item = (outcome > 0).then(|| answer.item_ids[outcome as usize - 1].clone());
        let earlier = told.draws.insert(answer.first_request_id + place, item);
        assert!(earlier.is_none(), "request id {} twice", answer.first_request_id + place);
    }
}

/// Compares the directory of a dead service with what clients were told.
fn check(data: &Path, told: &Told, name: &str) {
    inspect::verify(data).unwrap_or_else(|error| panic!("{name}: {error}"));
    let (state, _) = inspect::load(data).unwrap();
    let pool = state.pools().next().unwrap();
    let last = told.draws.last_key_value().map_or(0, |(&id, _)| id);
    assert!(state.last_request_id() >= last, "{name}: request id {last} is lost");
    let mut logged = BTreeMap::new();
    for (id, item) in draws_in_log(data) {
        assert!(logged.insert(id, item).is_none(), "{name}: request id {id} is logged twice");
    }
    let first_logged = logged.first_key_value().map_or(u64::MAX, |(&id, _)| id);
    for (id, item) in told.draws.range(first_logged..) {
        assert_eq!(logged.get(id), Some(item), "{name}: draw {id} is not what was answered");
    }
    let mut won = BTreeMap::<&str, u64>::new();
    for item in told.draws.values().flatten() {
        *won.entry(item).or_default() += 1;
    }
    for item in state.items(pool.number, 0, usize::MAX).unwrap() {
        let id = pool.names.items().get(item.index).unwrap().as_str();
        let told_of = won.get(id).copied().unwrap_or(0);
        assert!(item.awarded >= told_of, "{name}: {id} lost awards");
        if let Some(granted) = item.granted {
            let left = u64::try_from(item.quantity.to_number()).unwrap();
            assert_eq!(granted, left + item.awarded, "{name}: {id}");
            assert_eq!(granted, u64::try_from(STOCK).unwrap(), "{name}: {id}");
        }
    }
}

/// Every draw that the segments still hold.
fn draws_in_log(data: &Path) -> Vec<(u64, Option<String>)> {
    let mut lines = Vec::new();
    inspect::cat(data, None, &mut lines).unwrap();
    let mut draws = Vec::new();
    for line in String::from_utf8(lines).unwrap().lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        if record["type"] == "draw" {
            let first = record["first_request_id"].as_u64().unwrap();
            let items = record["items"].as_array().unwrap();
            let items = items.iter().map(|item| item.as_str().map(str::to_owned));
            draws.extend((first..).zip(items));
        }
    }
    let ids: BTreeSet<u64> = draws.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids.len(), draws.len(), "request ids in the log are unique");
    draws
}

fn start(directory: &Path, format: &str, storage: &str) -> (Child, String) {
    let config = directory.join("config.yaml");
    let text = format!(
        "pool:\n  catalog:\n    - {{ item_id: diamond, quantity: {STOCK}, weight: 10 }}\n    \
         - {{ item_id: mud, quantity: -1, weight: 90 }}\n\
         wal:\n  max_file_size_kb: 4096\n  formatter: {format}\n  storage: {storage}\n"
    );
    std::fs::write(&config, text).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let service = Command::new(env!("CARGO_BIN_EXE_rewardpool"))
        .args(["serve", "--listen", &address, "--config"])
        .arg(&config)
        .arg("--working-dir")
        .arg(directory.join("data"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (service, format!("http://{address}"))
}

async fn connect(address: &str) -> Channel {
    let begun = Instant::now();
    loop {
        let endpoint = Channel::from_shared(address.to_owned()).unwrap();
        match endpoint.connect().await {
            Ok(channel) => return channel,
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
