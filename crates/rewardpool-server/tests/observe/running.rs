//! A service in this process, on a fresh directory and free ports.
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::{DrawRequest, GetStatusRequest, GetStatusResponse};
use rewardpool_server::config::Config;
use rewardpool_server::log_ring::LogRing;
use rewardpool_server::serve::{ServeError, Service};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tonic::transport::{Channel, Endpoint};
use tracing_subscriber::layer::SubscriberExt as _;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A hundred units, two items.
pub(crate) const POOL: &str = "pool:
  catalog:
    - { item_id: gold, quantity: 40, weight: 1 }
    - { item_id: silver, quantity: 60, weight: 2 }
";

/// A service in this process. It is stopped when it goes out of scope, and must not have failed.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) metrics: SocketAddr,
    pub(crate) log: LogRing,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Running {
    /// A client in the runtime of a test that waits for the service's end cannot close its
    /// connection, so the service has little time for that.
    pub(crate) fn start() -> Self {
        Self::start_with(POOL, "drain_timeout: 100ms\n")
    }

    pub(crate) fn start_with(pools: &str, options: &str) -> Self {
        let text = format!(
            "{pools}grpc: {{ listen_address: \":0\" }}\n\
             metrics: {{ enabled: true, listen_address: \":0\", max_items: 3 }}\n{options}"
        );
        let mut config = Config::parse(Path::new("test.yaml"), &text).unwrap();
        let directory = TempDir::new().unwrap();
        config.working_dir = directory.path().join("data");
        let log = LogRing::default();
        let service = Service::open(&config).unwrap().with_log(log.clone());
        let address = format!("http://{}", service.address().unwrap());
        let metrics = service.metrics_address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let ring = log.clone();
        let run = move || {
            // Of this thread only, so that tests beside this one do not write into it.
            let subscriber = tracing_subscriber::registry().with(ring);
            let stopped = async { drop(stopped.await) };
            tracing::subscriber::with_default(subscriber, || service.run(stopped))
        };
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(run).unwrap();
        Self { address, metrics, log, directory, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Channel::from_shared(self.address.clone()).unwrap()
    }

    pub(crate) async fn draws(&self) -> RewardPoolClient<Channel> {
        RewardPoolClient::new(self.endpoint().connect().await.unwrap())
    }

    pub(crate) async fn admin(&self) -> PoolAdminClient<Channel> {
        PoolAdminClient::new(self.endpoint().connect().await.unwrap())
    }

    pub(crate) async fn status(&self) -> GetStatusResponse {
        self.admin().await.get_status(GetStatusRequest {}).await.unwrap().into_inner()
    }

    pub(crate) fn ask_to_stop(&mut self) {
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

pub(crate) fn draw(count: i32) -> DrawRequest {
    DrawRequest { count, ..Default::default() }
}
