//! The one place that wires the parts: configuration, engine and gRPC server.
//!
//! Everything on the network runs on one thread, the one that calls [`Service::run`]; the engine has
//! its own. Order of a stop: health says so, no more connections, streams end, connections have
//! `drain_timeout` to finish, the engine stops last.
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use std::{io, path, thread};

use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::format::Format;
use rewardpool_core::name::PoolId;
use rewardpool_core::view::ItemState;
use rewardpool_engine as engine;
use rewardpool_engine::{
    Answer, Chain, Engine, EngineConfig, EngineError, Handle, NewPool, PoolPage, Refusal, Request,
    Scheduled, Why,
};
use rewardpool_proto::FILE_DESCRIPTOR_SET;
use rewardpool_proto::encoded::seed::reward_pool_service_server::RewardPoolServiceServer;
use rewardpool_proto::encoded::v1::reward_pool_server::RewardPoolServer;
use rewardpool_proto::v1::pool_admin_server::PoolAdminServer;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tonic::service::Routes;
use tonic::transport::server::{Router, TcpIncoming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::layer::util::{Identity, Stack};

use crate::activity::Meter;
use crate::config::{Config, PoolConfig, RecordFormat, Scheduling, StorageKind, WalConfig};
use crate::grpc::{
    CallLayer, Calls, Edge, PoolAdminService, RewardPoolService, SeedService, StatusInfo,
};
use crate::local::{Incoming, LocalConnector, LocalListener, local};
use crate::log_ring::LogRing;
use crate::metrics::{Endpoint, Subject};

/// Streams of one connection at the same time.
const STREAMS_MAX: u32 = 128;
/// A silent connection is asked so often whether it is alive.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(20);
/// And is dropped when it says nothing for so long.
const KEEPALIVE_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of a call's headers.
const HEADERS_BYTES_MAX: u32 = 8 * 1024;
/// Streams of a connection that the client broke off before they began, at most.
const PENDING_RESETS_MAX: usize = 20;
/// Streams of a connection that the server had to break off, at most.
const LOCAL_RESETS_MAX: usize = 256;
/// Bytes of a player's request.
const REQUEST_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an administrator's request, which may hold a catalogue.
const ADMIN_REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long one step of the start may take in the engine.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// Items that are read at once to compare a catalogue.
const COMPARED_ITEMS: usize = 5000;

/// Names under which health is told. The empty one is the whole service.
const HEALTH_NAMES: [&str; 3] = ["", "rewardpool.v1.RewardPool", "rewardpool.RewardPoolService"];

/// Why the service does not run (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// What is on disk is not what was written.
    #[error(transparent)]
    Corrupt(EngineError),
    /// Another process uses the working directory.
    #[error(transparent)]
    Locked(EngineError),
    /// The engine could not read or write.
    #[error(transparent)]
    Engine(EngineError),
    /// The engine ended by itself and did not say why.
    #[error("the engine ended by itself")]
    EngineEnded,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address of the configuration.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A pool of the configuration could not be created.
    #[error("the pool {pool} of the configuration cannot be created: {refusal}")]
    Pool {
        /// Its name.
        pool: PoolId,
        /// Why.
        refusal: Refusal,
    },
    /// A thread, or the runtime of the network, could not be started.
    #[error("cannot start a thread of the service: {0}")]
    Start(io::Error),
    /// The gRPC server ended.
    #[error("the gRPC server failed: {0}")]
    Server(tonic::transport::Error),
}

impl ServeError {
    /// The exit code of the process, as in `sysexits.h`; 73 for a directory that is in use.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Corrupt(_) => 65,
            Self::Engine(_)
            | Self::EngineEnded
            | Self::Start(_)
            | Self::Pool { refusal: Refusal::OutOfSpace, .. } => 74,
            Self::Bind { .. } | Self::Pool { .. } | Self::Server(_) => 69,
            Self::Locked(_) => 73,
        }
    }

    /// Whether this only tells that the engine had failed, and not why.
    const fn is_of_failed_engine(&self) -> bool {
        matches!(self, Self::Pool { refusal: Refusal::OutcomeUnknown | Refusal::Stopping, .. })
    }

    /// Whether it would run if the disk had more room.
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Engine(error) => error.is_out_of_space(),
            Self::Pool { refusal, .. } => *refusal == Refusal::OutOfSpace,
            Self::Corrupt(_)
            | Self::Locked(_)
            | Self::EngineEnded
            | Self::Bind { .. }
            | Self::Start(_)
            | Self::Server(_) => false,
        }
    }
}

impl From<EngineError> for ServeError {
    fn from(error: EngineError) -> Self {
        if error.is_corruption() {
            Self::Corrupt(error)
        } else if error.is_locked() {
            Self::Locked(error)
        } else {
            Self::Engine(error)
        }
    }
}

/// Runs the service until the signal, or until it fails. Returns after everything acknowledged is
/// on disk and the working directory is free. The log is what clients are shown of it.
pub fn serve(
    config: &Config,
    log: LogRing,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    Service::open(config)?.with_log(log).run(stop)
}

/// Ends when somebody asks the process to stop: Ctrl-C or SIGTERM.
pub async fn asked_to_stop() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// A service that is open: recovered, with its pools, and listening. Calls are served by
/// [`Service::run`].
pub struct Service {
    engine: Engine,
    grpc: Option<Socket>,
    metrics: Option<Socket>,
    local: Option<LocalListener>,
    info: StatusInfo,
    meter: Arc<Meter>,
    calls: Arc<Calls>,
    is_ready: Arc<AtomicBool>,
    items_max: usize,
    drain_timeout: Duration,
}

/// A socket that is listened on.
struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Service {
    /// Recovers the engine, creates the pools that it does not know yet, and listens.
    pub fn open(config: &Config) -> Result<Self, ServeError> {
        let engine = Engine::open(&engine_config(config))?;
        match Self::around(&engine, config) {
            Ok((grpc, metrics)) => Ok(Self {
                info: status_info(&engine, config),
                meter: Meter::new(engine.handle()),
                calls: Arc::default(),
                is_ready: Arc::default(),
                items_max: config.metrics.items_max,
                drain_timeout: config.drain_timeout,
                engine,
                grpc,
                metrics,
                local: None,
            }),
            Err(error) => Err(match engine.stop() {
                // The engine refused because it had failed, which says why.
                Err(cause) if error.is_of_failed_engine() => cause.into(),
                Err(later) => {
                    let later = Chain(&later);
                    tracing::error!(error = %later, "the engine failed while it stopped");
                    error
                }
                Ok(()) => error,
            }),
        }
    }

    fn around(
        engine: &Engine,
        config: &Config,
    ) -> Result<(Option<Socket>, Option<Socket>), ServeError> {
        log_recovery(engine.recovery());
        log_scheduling(engine.scheduled());
        create_pools(&engine.handle(), &config.pools)?;
        let Config { grpc, metrics, .. } = config;
        let bind = |address| bind(address).map_err(|source| ServeError::Bind { address, source });
        let grpc = grpc.enabled.then(|| bind(grpc.listen_address)).transpose()?;
        let metrics = metrics.enabled.then(|| bind(metrics.listen_address)).transpose()?;
        Ok((grpc, metrics))
    }

    /// The same service, which shows this log to clients. Without one there is nothing to show.
    #[must_use]
    pub fn with_log(mut self, log: LogRing) -> Self {
        self.info.log = log;
        self
    }

    /// Where it listens, with the port that was taken for port 0. `None` without a gRPC server.
    pub fn address(&self) -> Option<SocketAddr> {
        self.grpc.as_ref().map(|socket| socket.address)
    }

    /// The same for the server of metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|socket| socket.address)
    }

    /// Connects from within this process, also when nothing listens on the network.
    pub fn connector(&mut self) -> LocalConnector {
        let (connector, listener) = local();
        self.local = Some(listener);
        connector
    }

    /// The way into the engine, for callers in the same process.
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Serves calls until the signal, or until the service fails; then stops everything.
    pub fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let local = self.local.take();
        let served = self.serve_calls(local, stop);
        // The engine's own error says more than that it ended.
        let stopped = self.engine.stop();
        match (served, stopped) {
            (_, Err(error)) => Err(error.into()),
            (served, Ok(())) => {
                tracing::info!("stopped");
                served
            }
        }
    }

    fn serve_calls(
        &self,
        local: Option<LocalListener>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let ended = watch_engine(&self.engine).map_err(ServeError::Start)?;
        let _metrics = self.serve_metrics().map_err(ServeError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let served = runtime.block_on(async {
            tokio::select! {
                biased;
                () = ended.notified() => Err(ServeError::EngineEnded),
                served = self.until_stopped(local, stop) => served,
            }
        });
        // Drops the connections that are left; a snapshot that somebody waits for goes on.
        runtime.shutdown_background();
        served
    }

    async fn until_stopped(
        &self,
        local: Option<LocalListener>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        tokio::pin!(stop);
        // A signal is heard from its first poll on, and whoever reads below that the service is there
        // may send one at once.
        if poll_fn(|context| Poll::Ready(stop.as_mut().poll(context).is_ready())).await {
            return Ok(());
        }
        if self.grpc.is_none() && local.is_none() {
            tracing::info!("ready without a gRPC server");
            self.is_ready.store(true, Ordering::Relaxed);
            stop.await;
            self.is_ready.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let network = self.grpc.as_ref().map(|socket| incoming(&socket.listener)).transpose();
        let incoming = Incoming { network: network.map_err(ServeError::Start)?, local };
        let (stopping, stopping_seen) = watch::channel(false);
        let health = HealthReporter::new();
        set_health(&health, ServingStatus::Serving).await;
        let (meter, calls) = (Arc::clone(&self.meter), Arc::clone(&self.calls));
        let edge = Edge::new(self.engine.handle(), meter, calls, stopping_seen.clone());
        let router = self.router(edge, health.clone());
        let quit = async {
            let mut stopping = stopping_seen;
            drop(stopping.wait_for(|stopping| *stopping).await);
        };
        let server = router.serve_with_incoming_shutdown(incoming, quit);
        tokio::pin!(server);
        self.is_ready.store(true, Ordering::Relaxed);
        if let Some(address) = self.address() {
            tracing::info!(%address, "listening");
        } else {
            tracing::info!("ready without a gRPC server");
        }
        tokio::select! {
            biased;
            served = &mut server => return served.map_err(ServeError::Server),
            () = stop => {}
        }
        tracing::info!("stopping");
        self.is_ready.store(false, Ordering::Relaxed);
        set_health(&health, ServingStatus::NotServing).await;
        stopping.send_replace(true);
        if let Ok(served) = tokio::time::timeout(self.drain_timeout, server).await {
            return served.map_err(ServeError::Server);
        }
        tracing::warn!("connections were still open after the drain timeout: dropped");
        Ok(())
    }

    /// Serves metrics until what it gives is dropped.
    fn serve_metrics(&self) -> io::Result<Option<Endpoint>> {
        let Some(Socket { listener, address }) = &self.metrics else { return Ok(None) };
        let subject = Subject {
            handle: self.engine.handle(),
            meter: Arc::clone(&self.meter),
            calls: Arc::clone(&self.calls),
            info: self.info.clone(),
            items_max: self.items_max,
            is_ready: Arc::clone(&self.is_ready),
        };
        let endpoint = Endpoint::start(listener.try_clone()?, subject)?;
        tracing::info!(%address, "metrics can be read");
        Ok(Some(endpoint))
    }

    fn router(&self, edge: Edge, health: HealthReporter) -> Router<Stack<CallLayer, Identity>> {
        let is_local = self.address().is_none_or(|address| address.ip().is_loopback());
        tonic::transport::Server::builder()
            .layer(CallLayer::new(Arc::clone(&self.calls)))
            .max_concurrent_streams(STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
            .http2_keepalive_timeout(Some(KEEPALIVE_PATIENCE))
            .http2_max_header_list_size(HEADERS_BYTES_MAX)
            .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
            .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
            .add_routes(services(edge, self.info.clone(), health, is_local))
    }
}

/// The gRPC services over an engine, without a socket, as [`Service::run`] serves them. Streams end
/// when `stopping` becomes true or its sender is gone.
///
/// # Panics
/// Outside of a runtime.
pub fn routes(engine: &Engine, config: &Config, stopping: watch::Receiver<bool>) -> Routes {
    let (meter, calls) = (Meter::new(engine.handle()), Arc::default());
    let edge = Edge::new(engine.handle(), meter, calls, stopping);
    services(edge, status_info(engine, config), HealthReporter::new(), false)
}

fn status_info(engine: &Engine, config: &Config) -> StatusInfo {
    StatusInfo {
        version: env!("CARGO_PKG_VERSION"),
        storage: config.wal.storage.name(),
        format: config.wal.format.name(),
        scheduling: engine.scheduled().name(),
        recovery: engine.recovery().clone(),
        working_dir: path::absolute(&config.working_dir)
            .unwrap_or_else(|_| config.working_dir.clone()),
        log: LogRing::default(),
    }
}

fn services(edge: Edge, info: StatusInfo, health: HealthReporter, has_reflection: bool) -> Routes {
    let draws = RewardPoolServer::new(RewardPoolService::new(edge.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let seed = RewardPoolServiceServer::new(SeedService::new(edge.clone()))
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let admin = PoolAdminServer::new(PoolAdminService::new(edge, info))
        .max_decoding_message_size(ADMIN_REQUEST_BYTES_MAX);
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    let health = tonic_health::pb::health_server::HealthServer::new(health)
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    let routes = Routes::new(draws).add_service(seed).add_service(admin).add_service(health);
    if !has_reflection {
        return routes;
    }
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptors are generated");
    routes.add_service(reflection)
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok(Socket { listener, address })
}

fn incoming(listener: &TcpListener) -> io::Result<TcpIncoming> {
    let listener = tokio::net::TcpListener::from_std(listener.try_clone()?)?;
    Ok(TcpIncoming::from(listener).with_nodelay(Some(true)))
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for name in HEALTH_NAMES {
        health.set_service_status(name, status).await;
    }
}

/// Tells when the engine ends, on a thread of its own because the engine knows no runtime.
fn watch_engine(engine: &Engine) -> io::Result<Arc<Notify>> {
    let (notify, ended) = (Arc::new(Notify::new()), engine.ended());
    let notified = Arc::clone(&notify);
    let watch = move || {
        // A message and a sender that is gone mean the same.
        let _ended: Result<(), _> = ended.recv();
        notified.notify_one();
    };
    // Nobody waits for this thread: it ends with the engine.
    drop(thread::Builder::new().name("engine-watch".to_owned()).spawn(watch)?);
    Ok(notify)
}

fn engine_config(config: &Config) -> EngineConfig {
    let WalConfig { segment_bytes, mailbox_capacity, format, storage, batch_draws_max, scheduling } =
        &config.wal;
    let number = |number: u64| usize::try_from(number).expect("a size fits the address space");
    EngineConfig {
        directory: config.working_dir.clone(),
        storage: match storage {
            StorageKind::File => engine::StorageKind::File,
            StorageKind::Mmap => engine::StorageKind::Mmap,
        },
        format: match format {
            RecordFormat::Binary => Format::Binary,
            RecordFormat::Json => Format::Json,
            RecordFormat::StringLine => Format::StringLine,
        },
        segment_bytes: number(*segment_bytes),
        mailbox_capacity: *mailbox_capacity,
        batch_draws_max: number((*batch_draws_max).into()),
        scheduling: match scheduling {
            Scheduling::Fifo => engine::Scheduling::Fifo,
            Scheduling::Normal => engine::Scheduling::Normal,
        },
    }
}

fn log_recovery(recovery: &engine::RecoveryReport) {
    tracing::info!(
        lsn = recovery.last_lsn,
        last_request_id = recovery.last_request_id,
        snapshot_lsn = recovery.snapshot_lsn,
        records = recovery.records,
        draws = recovery.draws,
        torn_bytes = recovery.torn_bytes,
        seconds = recovery.duration.as_secs_f64(),
        "recovered"
    );
}

/// Says when the writer's thread does not go first although it should.
fn log_scheduling(scheduled: Scheduled) {
    match scheduled {
        Scheduled::Normal(Why::Refused(reason)) => tracing::info!(
            %reason,
            "the thread that writes the log may not go before other threads: answers are late \
             while the processors are busy; permit it with CAP_SYS_NICE or with LimitRTPRIO=1 in \
             the unit of systemd, or take `scheduling: fifo` out of the configuration"
        ),
        Scheduled::Normal(Why::Configured | Why::OneProcessor) | Scheduled::Fifo => {
            tracing::debug!(scheduling = scheduled.name(), "the thread that writes the log");
        }
    }
}

/// Creates the pools that the log does not know. Those that it knows stay as they are.
fn create_pools(handle: &Handle, pools: &[PoolConfig]) -> Result<(), ServeError> {
    for PoolConfig { spec, seed } in pools {
        let id = &spec.id;
        let refused = |refusal| ServeError::Pool { pool: id.clone(), refusal };
        if handle.pool(id.as_str()).is_some() {
            if !is_same_catalog(handle, id, &spec.catalog).map_err(refused)? {
                tracing::warn!(pool = %id, "config differs from the log; the log wins");
            }
            continue;
        }
        let secret = seed.as_ref().map(|seed| seed.0);
        let new_pool = NewPool { spec: spec.clone(), secret };
        handle.create_pool(new_pool, START_PATIENCE).map_err(refused)?;
        tracing::info!(pool = %id, items = spec.catalog.items().len(), "pool created");
    }
    Ok(())
}

/// Whether a pool has the items of a catalogue with their weights. Quantities differ after the
/// first draw, so they say nothing.
fn is_same_catalog(handle: &Handle, id: &PoolId, catalog: &Catalog) -> Result<bool, Refusal> {
    let Some(pool) = handle.pool(id.as_str()) else { return Ok(false) };
    let items = catalog.items();
    let mut from = 0;
    while from < items.len() {
        let request = Request::ReadPool { pool, from, limit: COMPARED_ITEMS };
        let (Answer::Pool(page), _) = handle.call(request, START_PATIENCE)? else {
            unreachable!("a read of a pool is answered by a pool")
        };
        if page.summary.item_count != items.len() || !is_same_page(&page, &items[from..]) {
            return Ok(false);
        }
        from += page.items.len();
    }
    Ok(true)
}

fn is_same_page(page: &PoolPage, items: &[CatalogItem]) -> bool {
    let same = |(found, item): (&ItemState, &CatalogItem)| {
        page.names.get(found.index) == Some(&item.id)
            && found.weight == item.weight
            && !found.retired
    };
    !page.items.is_empty() && page.items.iter().zip(items).all(same)
}
