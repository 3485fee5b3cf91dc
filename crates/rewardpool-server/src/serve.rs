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
use std::{io, mem, path, thread};

use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::format::Format;
use rewardpool_core::name::PoolId;
use rewardpool_core::view::ItemState;
use rewardpool_engine as engine;
use rewardpool_engine::{
    Answer, Chain, Copier, Engine, EngineConfig, EngineError, Handle, NewPool, PoolPage, Refusal,
    Request, Scheduled, Why, inspect,
};
use rewardpool_proto::FILE_DESCRIPTOR_SET;
use rewardpool_proto::encoded::seed::reward_pool_service_server::RewardPoolServiceServer;
use rewardpool_proto::encoded::v1::reward_pool_server::RewardPoolServer;
use rewardpool_proto::v1::pool_admin_server::PoolAdminServer;
use rewardpool_proto::v1::wal_stream_server::WalStreamServer;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Layer as _;

use crate::activity::Meter;
use crate::auth::{Auth, GuardLayer};
use crate::config::{
    Config, GrpcLimits, PoolConfig, RecordFormat, Scheduling, StorageKind, WalConfig,
};
use crate::follow::{FollowerLayer, Leader};
use crate::grpc::{
    AdmissionLayer, CallLayer, Calls, DeadlineLayer, Edge, PoolAdminService, RewardPoolService,
    SeedService, StatusInfo, WalStreamService,
};
use crate::listen;
use crate::local::{self, LocalConnector, LocalListener};
use crate::log_ring::LogRing;
use crate::metrics::{Endpoint, Subject};
use crate::notify;
use crate::security::{Security, SecurityError};

/// How long one step of the start may take in the engine.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// Tasks that run before it is looked what the network has, and what the writer's thread has. A task
/// of a client that sends nonsense can be a long one, and others wait for as many as these.
const NETWORK_EVERY: u32 = 16;
const REPLIES_EVERY: u32 = 8;
/// Connections that wait to be accepted; the system may allow fewer.
const WAITING_CONNECTIONS_MAX: i32 = 4096;
/// Items that are read at once to compare a catalogue.
const COMPARED_ITEMS: usize = 5000;

/// How long the connections of a follower have to finish, at most.
const FOLLOWER_DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// The services that draw, under whose names a follower tells that it does not.
const DRAW_SERVICES: [&str; 2] = ["rewardpool.v1.RewardPool", "rewardpool.RewardPoolService"];
/// Names under which health is told. The empty one is the whole service.
const HEALTH_NAMES: [&str; 3] = ["", DRAW_SERVICES[0], DRAW_SERVICES[1]];

/// Why the service does not run (any more).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// What is on disk is not what was written.
    #[error(transparent)]
    Corrupt(EngineError),
    /// The working directory is a copy of another service's log.
    #[error(transparent)]
    Follower(EngineError),
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
    /// The files of tokens or certificates cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// A thread, or the runtime of the network, could not be started.
    #[error("cannot start a thread of the service: {0}")]
    Start(io::Error),
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
            Self::Bind { .. } | Self::Pool { .. } => 69,
            Self::Locked(_) => 73,
            Self::Security(_) | Self::Follower(_) => 78,
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
            | Self::Follower(_)
            | Self::EngineEnded
            | Self::Security(_)
            | Self::Bind { .. }
            | Self::Start(_) => false,
        }
    }
}

impl From<EngineError> for ServeError {
    fn from(error: EngineError) -> Self {
        if matches!(error, EngineError::Follower { .. } | EngineError::NotFollower { .. }) {
            Self::Follower(error)
        } else if error.is_corruption() {
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
    /// Whom it follows, if it follows somebody.
    leader: Option<Arc<Leader>>,
    doors: Doors,
    metrics: Option<Listening>,
    security: Security,
    info: StatusInfo,
    meter: Arc<Meter>,
    calls: Arc<Calls>,
    is_ready: Arc<AtomicBool>,
    items_max: usize,
    limits: GrpcLimits,
    drain_timeout: Duration,
}

/// The addresses that are used: taken or, later, listened on.
struct Sockets<T> {
    grpc: Option<T>,
    admin: Option<T>,
    metrics: Option<T>,
}

/// An address that is taken, but not listened on yet.
struct Taken {
    socket: Socket,
    address: SocketAddr,
}

impl Taken {
    fn listen(self) -> Result<Listening, ServeError> {
        let Self { socket, address } = self;
        let listening = || {
            socket.listen(WAITING_CONNECTIONS_MAX)?;
            let listener = TcpListener::from(socket);
            let address = listener.local_addr()?;
            Ok(Listening { listener, address })
        };
        listening().map_err(|source| ServeError::Bind { address, source })
    }
}

/// A socket that is listened on.
struct Listening {
    listener: TcpListener,
    address: SocketAddr,
}

/// Where calls come in.
#[derive(Default)]
struct Doors {
    grpc: Option<Listening>,
    /// Where administrators are served instead of there.
    admin: Option<Listening>,
    /// From within this process.
    local: Option<LocalListener>,
}

impl Service {
    /// Recovers the engine, creates the pools that it does not know yet, and listens.
    ///
    /// The address is taken first, so that one that is in use leaves no new directory behind. Who
    /// connects before all is ready is refused, because only then it is listened on.
    pub fn open(config: &Config) -> Result<Self, ServeError> {
        let (service, ()) = Self::open_as(config, None, |config| Ok((Engine::open(config)?, ())))?;
        Ok(service)
    }

    /// Opens a copy of another service's log to follow that one. Batches are handed over to the copier.
    pub(crate) fn follower(
        config: &Config,
        leader: Arc<Leader>,
    ) -> Result<(Self, Copier), ServeError> {
        Self::open_as(config, Some(leader), Engine::follow)
    }

    /// Opens a copy of another service's log, and takes over from that one. Whoever was served as by a
    /// follower was told to go, so the addresses are free.
    pub(crate) fn successor(config: &Config) -> Result<Self, ServeError> {
        let take_over = |config: &EngineConfig| Ok((Engine::take_over(config)?, ()));
        let (service, ()) = Self::open_as(config, None, take_over)?;
        Ok(service)
    }

    fn open_as<T>(
        config: &Config,
        leader: Option<Arc<Leader>>,
        open: impl FnOnce(&EngineConfig) -> Result<(Engine, T), EngineError>,
    ) -> Result<(Self, T), ServeError> {
        let security = Security::open(config)?;
        let take = |is_enabled: bool, address| {
            is_enabled.then(|| take_address(address, config)).transpose()
        };
        let Config { grpc, metrics, .. } = config;
        let admin = grpc.admin_listen_address.filter(|_| grpc.enabled);
        let taken = Sockets {
            grpc: take(grpc.enabled, grpc.listen_address)?,
            admin: admin.map(|address| take_address(address, config)).transpose()?,
            metrics: take(metrics.enabled, metrics.listen_address)?,
        };
        let (engine, rest) = open(&engine_config(config))?;
        engine.handle().keep_for_feeds(config.wal.kept_bytes);
        let pools = if leader.is_some() { &[][..] } else { &config.pools };
        match Self::around(&engine, taken, pools) {
            Ok(Sockets { grpc, admin, metrics }) => {
                let service = Self {
                    info: status_info(&engine, config),
                    meter: Meter::new(engine.handle()),
                    calls: Arc::default(),
                    is_ready: Arc::default(),
                    items_max: config.metrics.items_max,
                    limits: config.grpc.limits.clone(),
                    // A follower that is to take over does not wait for those who only read.
                    drain_timeout: match &leader {
                        Some(_) => config.drain_timeout.min(FOLLOWER_DRAIN_TIMEOUT),
                        None => config.drain_timeout,
                    },
                    engine,
                    leader,
                    doors: Doors { grpc, admin, local: None },
                    metrics,
                    security,
                };
                Ok((service, rest))
            }
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
        taken: Sockets<Taken>,
        pools: &[PoolConfig],
    ) -> Result<Sockets<Listening>, ServeError> {
        log_recovery(engine.recovery());
        log_scheduling(engine.scheduled());
        create_pools(&engine.handle(), pools)?;
        let listen = |taken: Option<Taken>| taken.map(Taken::listen).transpose();
        let Sockets { grpc, admin, metrics } = taken;
        Ok(Sockets { grpc: listen(grpc)?, admin: listen(admin)?, metrics: listen(metrics)? })
    }

    /// The same service, which shows this log to clients. Without one there is nothing to show.
    #[must_use]
    pub fn with_log(mut self, log: LogRing) -> Self {
        self.info.log = log;
        self
    }

    /// Where it listens, with the port that was taken for port 0. `None` without a gRPC server.
    pub fn address(&self) -> Option<SocketAddr> {
        self.doors.grpc.as_ref().map(|socket| socket.address)
    }

    /// The same for administrators, when they have an address of their own.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.doors.admin.as_ref().map(|socket| socket.address)
    }

    /// Who may do what; `None` when everybody may do everything.
    pub fn auth(&self) -> Option<Arc<Auth>> {
        self.security.auth.clone()
    }

    /// The same for the server of metrics.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|socket| socket.address)
    }

    /// Puts the addresses that were taken into a configuration, in place of those with port 0.
    pub(crate) fn keep_addresses(&self, config: &mut Config) {
        if let Some(address) = self.address() {
            config.grpc.listen_address = address;
        }
        if let Some(address) = self.admin_address() {
            config.grpc.admin_listen_address = Some(address);
        }
        if let Some(address) = self.metrics_address() {
            config.metrics.listen_address = address;
        }
    }

    /// Connects from within this process, also when nothing listens on the network.
    pub fn connector(&mut self) -> LocalConnector {
        let (connector, listener) = local::pair();
        self.doors.local = Some(listener);
        connector
    }

    /// The way into the engine, for callers in the same process.
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Serves calls until the signal, or until the service fails; then stops everything.
    pub fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let doors = mem::take(&mut self.doors);
        let served = self.serve_calls(doors, stop);
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

    fn serve_calls(&self, doors: Doors, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let ended = watch_engine(&self.engine).map_err(ServeError::Start)?;
        let _metrics = self.serve_metrics().map_err(ServeError::Start)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .event_interval(NETWORK_EVERY)
            .global_queue_interval(REPLIES_EVERY)
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let served = runtime.block_on(async {
            tokio::select! {
                biased;
                () = ended.notified() => Err(ServeError::EngineEnded),
                served = self.until_stopped(doors, stop) => served,
            }
        });
        // Drops the connections that are left; a snapshot that somebody waits for goes on.
        runtime.shutdown_background();
        served
    }

    async fn until_stopped(
        &self,
        doors: Doors,
        stop: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        tokio::pin!(stop);
        // A signal is heard from its first poll on, and whoever reads below that the service is there
        // may send one at once.
        if poll_fn(|context| Poll::Ready(stop.as_mut().poll(context).is_ready())).await {
            return Ok(());
        }
        let Doors { grpc, admin, local } = doors;
        if grpc.is_none() && local.is_none() {
            tracing::info!("ready without a gRPC server");
            self.is_ready.store(true, Ordering::Relaxed);
            notify::tell(notify::State::Ready);
            stop.await;
            notify::tell(notify::State::Stopping);
            self.is_ready.store(false, Ordering::Relaxed);
            return Ok(());
        }
        let _refreshing = self.security.refresh_files().map_err(ServeError::Start)?;
        let (stopping, stopping_seen) = watch::channel(false);
        let health = HealthReporter::new();
        set_health(&health, ServingStatus::Serving).await;
        if self.leader.is_some() {
            for name in DRAW_SERVICES {
                health.set_service_status(name, ServingStatus::NotServing).await;
            }
        }
        let (meter, calls) = (Arc::clone(&self.meter), Arc::clone(&self.calls));
        let edge = Edge::new(self.engine.handle(), meter, calls, stopping_seen.clone())
            .behind(self.leader.clone());
        let part = if admin.is_some() { Part::Players } else { Part::All };
        let addresses =
            grpc.as_ref().map(|door| (door.address, admin.as_ref().map(|door| door.address)));
        let grpc = grpc.map(|door| self.serve_on(door, part, &edge, &health)).transpose()?;
        let admin =
            admin.map(|door| self.serve_on(door, Part::Admin, &edge, &health)).transpose()?;
        let local = local.map(|door| self.serve_within(door, &edge, &health));
        let stop = async {
            self.is_ready.store(true, Ordering::Relaxed);
            self.tell(addresses);
            // Connections wait in the listener's queue already.
            notify::tell(notify::State::Ready);
            stop.await;
            tracing::info!("stopping");
            notify::tell(notify::State::Stopping);
            self.is_ready.store(false, Ordering::Relaxed);
            set_health(&health, ServingStatus::NotServing).await;
            stopping.send_replace(true);
        };
        let local = async {
            if let Some(local) = local {
                local.await;
            }
        };
        let (grpc, admin, (), ()) = tokio::join!(left(grpc), left(admin), local, stop);
        let connections = grpc + admin;
        if connections > 0 {
            tracing::warn!(connections, "still open after the drain timeout: dropped");
        }
        Ok(())
    }

    /// Serves metrics until what it gives is dropped.
    fn serve_metrics(&self) -> io::Result<Option<Endpoint>> {
        let Some(Listening { listener, address }) = &self.metrics else { return Ok(None) };
        let subject = Subject {
            handle: self.engine.handle(),
            meter: Arc::clone(&self.meter),
            calls: Arc::clone(&self.calls),
            info: self.info.clone(),
            items_max: self.items_max,
            is_ready: Arc::clone(&self.is_ready),
            leader: self.leader.clone(),
        };
        let endpoint = Endpoint::start(listener.try_clone()?, subject)?;
        tracing::info!(%address, "metrics can be read");
        Ok(Some(endpoint))
    }

    /// Serves calls at one address, until the service stops. Tells how many connections were left.
    fn serve_on(
        &self,
        socket: Listening,
        part: Part,
        edge: &Edge,
        health: &HealthReporter,
    ) -> Result<impl Future<Output = usize>, ServeError> {
        let Listening { listener, address } = socket;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(ServeError::Start)?;
        let Security { auth, tls } = self.security.clone();
        let has_reflection = address.ip().is_loopback();
        let plan = Plan { part, has_reflection, auth, limits: &self.limits };
        let routes = services(plan, edge.clone(), self.info.clone(), health.clone());
        let timely = DeadlineLayer.layer(routes.prepare());
        let admitting = AdmissionLayer::new().layer(timely);
        let services = CallLayer::new(Arc::clone(&self.calls)).layer(admitting);
        let (stopping, drain) = (edge.stopping.clone(), self.drain_timeout);
        Ok(listen::serve(listener, tls, services, &self.limits, stopping, drain))
    }

    /// The same for calls from within this process, which may do everything.
    fn serve_within(
        &self,
        listener: LocalListener,
        edge: &Edge,
        health: &HealthReporter,
    ) -> impl Future<Output = ()> {
        let plan =
            Plan { part: Part::All, has_reflection: false, auth: None, limits: &self.limits };
        let routes = services(plan, edge.clone(), self.info.clone(), health.clone());
        let calls = CallLayer::new(Arc::clone(&self.calls));
        local::serve(listener, calls, routes, edge.stopping.clone(), self.drain_timeout)
    }

    /// Says where the service is, and how safe.
    fn tell(&self, addresses: Option<(SocketAddr, Option<SocketAddr>)>) {
        let Some((address, admin)) = addresses else {
            tracing::info!("ready without a gRPC server");
            return;
        };
        let Security { auth, tls } = &self.security;
        let needs_token = auth.as_ref().is_some_and(|auth| auth.needs_token());
        let is_encrypted = tls.is_some();
        match admin {
            None => tracing::info!(%address, is_encrypted, needs_token, "listening"),
            Some(admin) => {
                tracing::info!(%address, %admin, is_encrypted, needs_token, "listening");
            }
        }
        let is_safe = is_encrypted && needs_token;
        if !address.ip().is_loopback() && !is_safe {
            tracing::warn!(%address, "`insecure: true`: other machines can do everything here");
        }
    }
}

/// Connections that are left where there may be no door.
async fn left(door: Option<impl Future<Output = usize>>) -> usize {
    match door {
        Some(door) => door.await,
        None => 0,
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
    let limits = &config.grpc.limits;
    let plan = Plan { part: Part::All, has_reflection: false, auth: None, limits };
    services(plan, edge, status_info(engine, config), HealthReporter::new())
}

fn status_info(engine: &Engine, config: &Config) -> StatusInfo {
    StatusInfo {
        version: env!("CARGO_PKG_VERSION"),
        storage: config.wal.storage.name(),
        format: config.wal.format.name(),
        scheduling: engine.scheduled().name(),
        recovery: engine.recovery().clone(),
        backup_secrets: config.grpc.backup_secrets,
        working_dir: path::absolute(&config.working_dir)
            .unwrap_or_else(|_| config.working_dir.clone()),
        log: LogRing::default(),
    }
}

/// Which services are served at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    All,
    /// All but that of administrators.
    Players,
    /// Only that of administrators.
    Admin,
}

/// How the services are served at an address.
struct Plan<'a> {
    part: Part,
    has_reflection: bool,
    auth: Option<Arc<Auth>>,
    limits: &'a GrpcLimits,
}

fn services(plan: Plan<'_>, edge: Edge, info: StatusInfo, health: HealthReporter) -> Routes {
    let Plan { part, has_reflection, auth, limits } = plan;
    let GrpcLimits { request_bytes, admin_request_bytes, response_bytes, .. } = *limits;
    let edge = if auth.is_some() { edge.guarded() } else { edge };
    let leader = edge.leader.clone();
    let health = tonic_health::server::HealthService::from_health_reporter(health);
    let health = tonic_health::pb::health_server::HealthServer::new(health)
        .max_decoding_message_size(request_bytes);
    let mut routes = Routes::new(health);
    if part != Part::Admin {
        let draws = RewardPoolServer::new(RewardPoolService::new(edge.clone()))
            .max_decoding_message_size(request_bytes)
            .max_encoding_message_size(response_bytes);
        // Its one message with the whole state has a limit of its own, which its clients know.
        let seed = RewardPoolServiceServer::new(SeedService::new(edge.clone()))
            .max_decoding_message_size(request_bytes);
        routes = routes.add_service(draws).add_service(seed);
    }
    if part != Part::Players {
        let log = WalStreamServer::new(WalStreamService::new(edge.clone()))
            .max_decoding_message_size(request_bytes);
        let admin = PoolAdminServer::new(PoolAdminService::new(edge, info))
            .max_decoding_message_size(admin_request_bytes)
            .max_encoding_message_size(response_bytes);
        routes = routes.add_service(log).add_service(admin);
    }
    if has_reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors are generated");
        routes = routes.add_service(reflection);
    }
    if let Some(leader) = leader {
        routes = Routes::from(routes.into_axum_router().layer(FollowerLayer::new(leader)));
    }
    match auth {
        // Around all of them at once, so that none can be forgotten.
        Some(auth) => Routes::from(routes.into_axum_router().layer(GuardLayer::new(auth))),
        None => routes,
    }
}

/// Takes an address of the configuration without listening yet. A service that has the directory as
/// well is told instead of the address: it is started a second time.
fn take_address(address: SocketAddr, config: &Config) -> Result<Taken, ServeError> {
    let bound = bind(address).map(|socket| Taken { socket, address });
    bound.map_err(|source| match inspect::check_unlocked(&config.working_dir) {
        Err(error) if error.is_locked() => error.into(),
        Err(_) | Ok(()) => ServeError::Bind { address, source },
    })
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    // Connections of an earlier service that are still ending do not keep the address.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
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

/// How the engine is run with this configuration.
pub fn engine_config(config: &Config) -> EngineConfig {
    let WalConfig {
        segment_bytes,
        mailbox_capacity,
        format,
        storage,
        batch_draws_max,
        scheduling,
        ..
    } = &config.wal;
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
