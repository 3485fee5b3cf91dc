//! T14. Goal: under twice the load that the service can take, what it accepts is served in time, and
//! what it does not is refused with a status that says so.
//! Method: single draws at a fixed rate, whatever the answers, on many connections. The rate is that
//! of a closed loop on the same machine a moment before, once and twice. `SECONDS` sets how long.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rewardpool_proto::v1::DrawRequest;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_tally::Trial;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;

use crate::honest::Ground;

/// How long each load lasts, unless `SECONDS` says otherwise.
const SECONDS: u64 = 4;
const CONNECTIONS: usize = 16;
/// Calls of a connection at the same time; below the service's own limit, so that none waits in the
/// client.
const OF_CONNECTION: usize = 100;
/// p99 may be so many times that under the load that can be taken.
const TIMES: u32 = 3;
/// A measurement is taken so often at most.
const TRIES: usize = 3;
/// The machine does more than this test.
const NOISE: Duration = Duration::from_millis(20);

const CONFIG: &str = "
pools:
  - id: main
    catalog: [{ item_id: a, quantity: -1, weight: 1 }]
# The disk bounds what the service can take, and not this test's own client.
wal: { flush_after_n_draw: 1 }
";

#[derive(Debug, Default)]
struct Outcome {
    accepted: Vec<Duration>,
    refused: usize,
    indefinite: Vec<String>,
    /// Not sent: as many calls as there may be were open.
    unsent: usize,
}

impl Outcome {
    fn p99(&self) -> Duration {
        let mut latencies = self.accepted.clone();
        latencies.sort();
        latencies[(latencies.len() - 1) * 99 / 100]
    }

    fn tell(&self, what: &str, rate: f64) {
        println!(
            "{what}: {rate:.0} calls/s, {} accepted with a p99 of {:.1} ms, {} refused, {} not \
             sent, {} without a definite status",
            self.accepted.len(),
            self.p99().as_secs_f64() * 1e3,
            self.refused,
            self.unsent,
            self.indefinite.len()
        );
    }
}

type Client = RewardPoolClient<Channel>;

#[test]
fn twice_the_load_is_served_in_time_or_refused() {
    let trial = Trial::begin("T14 overload");
    let seconds = std::env::var("SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    let lasts = Duration::from_secs(seconds);
    let ground = Ground::prepare(CONFIG);
    let mut refused = 0;
    for attempt in 1.. {
        let (once, twice) = ground.runtime.block_on(measure(ground.address(), lasts));
        assert_eq!(once.indefinite, Vec::<String>::new());
        assert_eq!(twice.indefinite, Vec::<String>::new());
        refused += twice.refused + twice.unsent;
        if twice.p99() <= once.p99() * TIMES + NOISE {
            break;
        }
        assert!(attempt < TRIES, "{:?}, {:?}", twice.p99(), once.p99());
    }
    ground.end();
    trial.pass(2, u64::try_from(refused).unwrap());
}

async fn measure(to: SocketAddr, lasts: Duration) -> (Outcome, Outcome) {
    let clients = connect(to).await;
    // A machine that does something else for a moment makes one of them too low.
    let rates = [capacity(&clients, lasts / 4).await, capacity(&clients, lasts / 4).await];
    let rate = rates[0].max(rates[1]);
    let once = load(&clients, rate, lasts).await;
    once.tell("once", rate);
    let twice = load(&clients, rate * 2.0, lasts).await;
    twice.tell("twice", rate * 2.0);
    (once, twice)
}

async fn connect(to: SocketAddr) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Channel::from_shared(format!("http://{to}")).unwrap();
        clients.push(RewardPoolClient::new(endpoint.connect().await.unwrap()));
    }
    clients
}

fn request() -> DrawRequest {
    let (pool, idempotency_key) = (String::new(), String::new());
    DrawRequest { pool, count: 1, mode: 0, idempotency_key }
}

/// Calls a second when each follows an answer.
async fn capacity(clients: &[Client], lasts: Duration) -> f64 {
    let (begun, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for client in clients {
        for _ in 0..4 {
            let (mut client, done) = (client.clone(), Arc::clone(&done));
            tasks.spawn(async move {
                while begun.elapsed() < lasts {
                    client.draw(request()).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    f64::from(u32::try_from(done.load(Ordering::Relaxed)).unwrap()) / begun.elapsed().as_secs_f64()
}

/// Calls at a rate, whatever comes back.
async fn load(clients: &[Client], rate: f64, lasts: Duration) -> Outcome {
    let room: Vec<_> = clients.iter().map(|_| Arc::new(Semaphore::new(OF_CONNECTION))).collect();
    let (begun, mut outcome, mut tasks) = (Instant::now(), Outcome::default(), JoinSet::new());
    let mut turn = 0;
    for call in 0_u32.. {
        let due = Duration::from_secs_f64(f64::from(call) / rate);
        if due > lasts {
            break;
        }
        if due > begun.elapsed() {
            tokio::time::sleep_until((begun + due).into()).await;
        }
        turn = (turn + 1) % clients.len();
        let Ok(permit) = Arc::clone(&room[turn]).try_acquire_owned() else {
            outcome.unsent += 1;
            continue;
        };
        let mut client = clients[turn].clone();
        tasks.spawn(async move {
            let sent = Instant::now();
            let answer = client.draw(request()).await;
            drop(permit);
            (sent.elapsed(), answer)
        });
    }
    while let Some(task) = tasks.join_next().await {
        match task.unwrap() {
            (latency, Ok(_)) => outcome.accepted.push(latency),
            (_, Err(status)) if status.code() == Code::ResourceExhausted => outcome.refused += 1,
            (_, Err(status)) => outcome.indefinite.push(format!("{status:?}")),
        }
    }
    outcome
}
