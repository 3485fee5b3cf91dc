//! Load on a service over gRPC, from the same machine or another one.
//!
//! The client is made to be cheap, because it often shares the CPUs with the service: one thread
//! with one runtime (more only when asked for), requests and answers without an allocation for each
//! (`codec.rs`), and one look at the clock for all the answers that have arrived (`stream.rs`).
//!
//! In a closed loop a request follows an answer, and its latency begins when there is room for it.
//! In an open loop requests are due at a fixed rate (`schedule.rs`), and latency begins when a
//! request is due, whether or not it can be sent then.
mod client;
mod codec;
mod schedule;
mod stream;
mod timer;
mod unary;

use std::num::NonZeroU64;
use std::sync::{Arc, Barrier};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime};

use rewardpool_client::{Access, Authorized};
use rewardpool_engine::core::limits::{DRAW_COUNT_MAX, NAME_BYTES_MAX};

use self::client::{Client, Ledger};
use self::schedule::{Rate, Schedule};
use crate::error::Error;
use crate::tally::Tally;
use crate::watch::{Phase, Watch};

/// How long the first connection may take, with the time that a service needs to begin.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// What may arrive on a stream before it is read. Smaller windows would bound large answers.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Which method is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `rewardpool.v1.RewardPool.Draw`.
    Unary,
    /// `rewardpool.v1.RewardPool.DrawStream`, one stream for each connection.
    Stream,
    /// `rewardpool.RewardPoolService.Draw`, the older stream: a response for each draw.
    Seed,
}

impl Method {
    /// The name in texts: `unary`, `stream`, `seed`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Seed => "seed",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Unary => "/rewardpool.v1.RewardPool/Draw",
            Self::Stream => "/rewardpool.v1.RewardPool/DrawStream",
            Self::Seed => "/rewardpool.RewardPoolService/Draw",
        }
    }
}

/// How the load is laid on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrpcPlan {
    /// Which method is called.
    pub method: Method,
    /// The pool; empty means the only one, or `default`.
    pub pool: String,
    /// Draws of a request: 1 to 10 000.
    pub count: u16,
    /// Connections: at least 1.
    pub connections: u16,
    /// Requests that each connection has in flight at most: at least 1.
    pub in_flight: u16,
    /// Whether each request has an idempotency key of its own.
    pub with_keys: bool,
    /// Requests due each second over all connections (an open loop); `None` is a closed loop.
    pub rate: Option<NonZeroU64>,
    /// How long requests are sent.
    pub duration: Duration,
    /// Threads of the client: at least 1. Connections are spread over them.
    pub threads: u16,
}

impl Default for GrpcPlan {
    /// Single draws on 8 streams with 64 requests in flight each, for 5 seconds.
    fn default() -> Self {
        Self {
            method: Method::Stream,
            pool: String::new(),
            count: 1,
            connections: 8,
            in_flight: 64,
            with_keys: false,
            rate: None,
            duration: Duration::from_secs(5),
            threads: 1,
        }
    }
}

impl GrpcPlan {
    /// Checks the bounds that are not those of a type, and what does not go together.
    ///
    /// # Errors
    /// The first fault that is found.
    pub fn check(&self) -> Result<(), Error> {
        if !(1..=DRAW_COUNT_MAX).contains(&self.count) {
            return Err(Error::Plan("a request makes 1 to 10000 draws"));
        }
        if self.connections == 0 || self.in_flight == 0 || self.threads == 0 {
            return Err(Error::Plan("at least one request of one connection is in flight"));
        }
        if self.pool.len() > NAME_BYTES_MAX {
            return Err(Error::Plan("the name of a pool has at most 64 bytes"));
        }
        if self.method == Method::Seed && self.with_keys {
            return Err(Error::Plan("the older interface has no idempotency keys"));
        }
        if self.method == Method::Seed && !self.pool.is_empty() {
            return Err(Error::Plan(
                "the older interface serves one pool, which has no name there",
            ));
        }
        Ok(())
    }
}

/// What a run over gRPC measured.
#[derive(Clone, Debug)]
pub struct GrpcRun {
    /// What the clients counted. The latency is that of a request.
    pub tally: Tally,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// In an open loop: requests that were due and never sent, because as many as allowed were in
    /// flight all the time. Their latency is missing, so above 0 the rate was too high.
    pub unsent: u64,
}

/// Where a service is, and what is shown to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// Its URL.
    pub(crate) address: &'a str,
    /// What is shown to it.
    pub(crate) access: &'a Access,
}

/// Lays the load on whatever serves the method at the address, for example
/// `http://127.0.0.1:50051`.
///
/// Requests that are in flight at the end are waited for, so what is reported was really drawn.
///
/// # Errors
/// When the plan is out of bounds or nothing listens. Later failures are counted in the tally.
pub fn run(address: &str, plan: &GrpcPlan, watch: &Arc<Watch>) -> Result<GrpcRun, Error> {
    run_by(Way { address, access: &Access::default() }, plan, watch)
}

/// The same, by any way to the service.
pub(crate) fn run_by(way: Way<'_>, plan: &GrpcPlan, watch: &Arc<Watch>) -> Result<GrpcRun, Error> {
    plan.check()?;
    let threads = plan.threads.min(plan.connections);
    let threads = plan
        .rate
        .map_or(threads, |rate| threads.min(u16::try_from(rate.get()).unwrap_or(u16::MAX)));
    let nonce = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let key_prefix = format!("bench-{:016x}-", nonce & u128::from(u64::MAX));
    let connected = Barrier::new(threads.into());
    let parts = std::thread::scope(|scope| {
        let mut running = Vec::new();
        for number in 0..threads {
            let part = Part::new(plan, (number, threads), &key_prefix);
            let (connected, watch) = (&connected, Arc::clone(watch));
            let body = move || part.run(way, connected, &watch);
            // A thread that cannot be made would leave the others at the barrier.
            let thread = Builder::new().name(format!("load-{number}"));
            running.push(thread.spawn_scoped(scope, body).expect("a thread of the client starts"));
        }
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        running.into_iter().map(join).collect::<Result<Vec<Ledger>, Error>>()
    })?;
    let mut run = GrpcRun { tally: Tally::default(), elapsed: Duration::ZERO, unsent: 0 };
    for part in parts {
        run.tally.merge(&part.tally);
        run.elapsed = run.elapsed.max(part.elapsed);
        run.unsent += part.unsent;
    }
    Ok(run)
}

/// What one thread does.
struct Part {
    plan: GrpcPlan,
    key_prefix: String,
}

impl Part {
    /// The share of one thread of several.
    fn new(plan: &GrpcPlan, (number, threads): (u16, u16), key_prefix: &str) -> Self {
        let share = |whole: u64| {
            let (number, threads) = (u64::from(number), u64::from(threads));
            whole / threads + u64::from(number < whole % threads)
        };
        let connections = u16::try_from(share(plan.connections.into())).expect("a part of it");
        let rate = plan.rate.and_then(|rate| NonZeroU64::new(share(rate.get())));
        let plan = GrpcPlan { connections, rate, ..plan.clone() };
        Self { plan, key_prefix: format!("{key_prefix}{number:04x}-") }
    }

    fn run(self, way: Way<'_>, connected: &Barrier, watch: &Arc<Watch>) -> Result<Ledger, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Error::system("make a runtime"));
        let channels = runtime.and_then(|runtime| {
            let channels = runtime.block_on(self.connect(way))?;
            Ok((runtime, channels))
        });
        // All threads begin together, also when one of them has nothing to begin with.
        connected.wait();
        let (runtime, channels) = channels?;
        let begun = Instant::now();
        watch.enter(Phase::Measuring { since: begun, duration: self.plan.duration });
        let lanes = match self.plan.method {
            Method::Unary => channels.len() * usize::from(self.plan.in_flight),
            Method::Stream | Method::Seed => channels.len(),
        };
        let schedule = self.plan.rate.map(|rate| Schedule::new(Rate::new(begun, rate), lanes));
        let client = Client::new(self.plan, &self.key_prefix, schedule, begun, Arc::clone(watch));
        runtime.block_on(client::drive(client, channels))
    }

    async fn connect(&self, way: Way<'_>) -> Result<Vec<Authorized>, Error> {
        let mut channels = Vec::new();
        for _ in 0..self.plan.connections {
            channels.push(connect(way).await?);
        }
        Ok(channels)
    }
}

/// Connects for a load, and tries again for a while when nothing listens yet.
pub(crate) async fn connect(Way { address, access }: Way<'_>) -> Result<Authorized, Error> {
    let failed = |source| Error::Connect { address: address.to_owned(), source };
    let endpoint = access
        .endpoint(address)?
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_timeout(CONNECT_PATIENCE);
    let begun = Instant::now();
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(access.authorize(channel)),
            Err(source) if begun.elapsed() >= CONNECT_PATIENCE => return Err(failed(source)),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
