//! A service with an honest client, beside which others attack.
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use rewardpool_client::{Access, Authorized, Token};
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawMode, DrawRequest, DrawResponse};
use rewardpool_server::auth::digest;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::service::{Service, Setup};

/// Limits that are over soon, so that tests are.
pub(crate) const CONFIG: &str = "
pools:
  - id: main
    catalog: [{ item_id: a, quantity: -1, weight: 1 }, { item_id: b, quantity: -1, weight: 2 }]
  - id: attacked
    catalog: [{ item_id: a, quantity: -1, weight: 1 }, { item_id: b, quantity: -1, weight: 2 }]
wal: { max_file_size_kb: 16384 }
grpc:
  limits:
    max_connections_per_address: 250
    handshake_timeout: 1s
    frame_timeout: 1s
    stream_idle_timeout: 1s
    write_timeout: 1s
";

/// Tells the keys of honest clients of the same name apart.
static CLIENTS: AtomicU64 = AtomicU64::new(0);

/// Between two draws of the honest client.
const PAUSE: Duration = Duration::from_millis(1);

/// A running service.
pub(crate) struct Ground {
    pub(crate) service: Service,
    pub(crate) home: TempDir,
    pub(crate) runtime: Runtime,
    /// What its honest clients show and trust.
    pub(crate) access: Access,
}

impl Ground {
    /// Starts one.
    pub(crate) fn prepare(config: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::begin(home, config, Access::default())
    }

    /// Starts one that has a certificate and wants tokens.
    pub(crate) fn prepare_protected() -> Self {
        let home = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let token = Token::generate().unwrap();
        let tokens = format!(
            "tokens:\n  - name: honest\n    roles: [drawer]\n    sha256: \"{}\"\n",
            digest(&token)
        );
        let [certificate, key, tokens] = [
            ("service.crt", made.cert.pem()),
            ("service.key", made.signing_key.serialize_pem()),
            ("tokens.yaml", tokens),
        ]
        .map(|(name, text)| {
            let path = home.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        });
        let config = format!(
            "{CONFIG}  tls: {{ certificate: {certificate}, key: {key} }}\nauth: {{ tokens_file: {tokens} }}\n"
        );
        let authority = Some(made.cert.pem().into_bytes());
        let access = Access { token: Some(token), authority, ..Access::default() };
        Self::begin(home, &config, access)
    }

    fn begin(home: TempDir, config: &str, access: Access) -> Self {
        let service = Setup::new(home.path(), config).start();
        Self { service, home, runtime: runtime(), access }
    }

    /// Puts an honest client to work.
    pub(crate) fn honest(&self, name: &str) -> Honest {
        Honest::begin(self.address(), name, self.access.clone())
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        address(&self.service)
    }

    /// Memory of the process, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.service.id())
    }

    /// Stops it, as it must be able to after anything.
    pub(crate) fn end(self) {
        let Self { service, home, runtime, access: _ } = self;
        drop(runtime);
        let status = service.stop();
        assert!(status.success(), "{status}");
        drop(home);
    }
}

/// Where a service listens.
pub(crate) fn address(service: &Service) -> SocketAddr {
    service.address().strip_prefix("http://").unwrap().parse().unwrap()
}

/// The attackers' thread.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Memory of a process, in KiB.
pub(crate) fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A client that draws with keys, again and again, on a thread of its own.
pub(crate) struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Diary>,
}

/// What an honest client was told.
pub(crate) struct Diary {
    /// How long each draw took.
    pub(crate) latencies: Vec<Duration>,
    /// What went wrong.
    pub(crate) failures: Vec<String>,
    /// How often it was told to come back later. Nothing was done then.
    pub(crate) refused: u64,
    answers: Vec<(String, DrawResponse)>,
}

impl Diary {
    /// So many of a hundred draws were at least as quick.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut latencies = self.latencies.clone();
        assert!(!latencies.is_empty(), "no draw was answered: {:?}", self.failures.first());
        latencies.sort();
        latencies[(latencies.len() - 1) * percent / 100]
    }
}

impl Honest {
    /// Puts it to work.
    fn begin(address: SocketAddr, name: &str, access: Access) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        let (stopped, name) = (Arc::clone(&stop), format!("{name}-{number}"));
        let work = move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(draw_until(address, &name, &access, &stopped))
        };
        Self { stop, thread: Builder::new().name("honest".to_owned()).spawn(work).unwrap() }
    }

    /// Ends it, and asks for some of its draws again: each has the same answer.
    pub(crate) fn end(self) -> Diary {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn connect(address: SocketAddr, access: &Access) -> RewardPoolClient<Authorized> {
    let scheme = if access.authority.is_some() { "https" } else { "http" };
    let endpoint = access.endpoint(&format!("{scheme}://{address}")).unwrap();
    RewardPoolClient::new(access.authorize(endpoint.connect().await.unwrap()))
}

fn request(key: &str) -> DrawRequest {
    let (pool, count, mode) = ("main".to_owned(), 2, DrawMode::BestEffort.into());
    DrawRequest { pool, count, mode, idempotency_key: key.to_owned() }
}

fn is_overloaded(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason);
    status.code() == Code::ResourceExhausted && reason.as_deref() == Some("OVERLOADED")
}

async fn draw_until(
    address: SocketAddr,
    name: &str,
    access: &Access,
    stopped: &AtomicBool,
) -> Diary {
    let mut client = connect(address, access).await;
    let mut diary =
        Diary { latencies: Vec::new(), failures: Vec::new(), refused: 0, answers: Vec::new() };
    let mut serial = 0;
    while !stopped.load(Ordering::Relaxed) {
        serial += 1;
        let key = format!("{name}-{serial}");
        let begun = Instant::now();
        match client.draw(request(&key)).await {
            Ok(answer) => {
                diary.latencies.push(begun.elapsed());
                diary.answers.push((key, answer.into_inner()));
            }
            Err(status) if is_overloaded(&status) => diary.refused += 1,
            Err(status) => diary.failures.push(format!("{key}: {status:?}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
    // A new connection finds room, too.
    let mut client = connect(address, access).await;
    let some = diary.answers.len().div_ceil(10).max(1);
    for (key, first) in diary.answers.iter().step_by(some) {
        match client.draw(request(key)).await {
            Ok(again) => {
                let again = again.into_inner();
                let is_same = again.replayed && again.first_request_id == first.first_request_id;
                if !is_same {
                    diary.failures.push(format!("{key}: first {first:?}, then {again:?}"));
                }
            }
            Err(status) => diary.failures.push(format!("{key} again: {status:?}")),
        }
    }
    diary
}
