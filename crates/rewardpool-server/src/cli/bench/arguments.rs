//! What a user may ask of `bench`, with its bounds.
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use rewardpool_core::format::Format;
use rewardpool_core::selector::SelectorKind;
use rewardpool_engine::StorageKind;
use rewardpool_load::{EnginePlan, GrpcPlan, Method, RecoveryPlan, ServicePlan};

const ENGINE_EXAMPLES: &str = "\
Examples:
  rewardpool bench engine                                Single draws as fast as the log takes them
  rewardpool bench engine --count 1000 --commands 66 --batch-draws-max 65536
                                                         The most draws in a second
  rewardpool bench engine --commands 1 --in-flight 1     What one caller waits for one commit
  rewardpool bench engine --items 1000000 --snapshots    A large pool, with snapshots beside it

A producer hands over a submission of --commands commands with --count draws each, keeps
--in-flight of them on their way, and hands over the next one when a reply comes. Latency is that
of a submission; with one in flight it is that of a commit.";

const GRPC_EXAMPLES: &str = "\
Examples:
  rewardpool bench grpc                                  8 streams with 64 requests in flight each
  rewardpool bench grpc --method unary --connections 1 --in-flight 1
                                                         What one caller waits
  rewardpool bench grpc --count 100 --in-flight 16       Multi-draws
  rewardpool bench grpc --rate 20000 --seconds 30        Open loop: latency at 20 000 requests/s
  rewardpool bench grpc --addr http://10.0.0.7:50051 --yes
                                                         Another service, whose draws are real

Without --addr a service is started for the run, on a free port and in a temporary directory; the
variable REWARDPOOL_ADDR does not count here. With --rate, requests are due at fixed moments and
latency counts from those, whether or not they could be sent then, so a service that stops for a
while is seen as its clients would see it. The load uses CPU time too: on one machine with the
service it takes away what the service could use.";

const RECOVERY_EXAMPLES: &str = "\
Examples:
  rewardpool bench recovery                              Ten million single draws, from memory
  rewardpool bench recovery --draws 100000000 --count 100
  rewardpool bench recovery --cold                       Read from the disk, not from memory

Fills a log that no snapshot shortens, replays it --repeats times (the median is reported), and
then starts an engine on it.";

const COMPARE_EXAMPLES: &str = "\
Examples:
  rewardpool bench grpc --save old.json
  rewardpool bench grpc --save new.json
  rewardpool bench compare old.json new.json

A ratio is new divided by old. What was asked for differently, and why a run cannot be trusted,
stands below the figures.";

/// Measure the engine in this process, without a network
#[derive(Args, Debug)]
#[command(after_help = ENGINE_EXAMPLES)]
pub(crate) struct EngineArgs {
    /// Draws of a command: 1 to 10000
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// Commands of a submission: 1 to 1024
    #[arg(long, default_value_t = 1024, value_parser = value_parser!(u16).range(1..=1024))]
    commands: u16,
    /// Submissions that each producer has in flight: 1 to 4096
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// Threads that hand over: 1 to 64
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=64))]
    producers: u16,
    /// Take one snapshot after another meanwhile
    #[arg(long)]
    snapshots: bool,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
}

impl EngineArgs {
    pub(crate) fn plan(&self) -> EnginePlan {
        let (engine, service) = (EnginePlan::default(), self.setup.service(PathBuf::new()));
        EnginePlan {
            items: service.items,
            selector: service.selector,
            format: service.format,
            storage: service.storage,
            segment_bytes: service.segment_bytes,
            batch_draws_max: service.batch_draws_max,
            count: self.count,
            commands: self.commands,
            in_flight: self.in_flight,
            producers: self.producers,
            duration: self.time.seconds,
            with_snapshots: self.snapshots,
            ..engine
        }
    }
}

/// Measure a service over gRPC
#[derive(Args, Debug)]
#[command(after_help = GRPC_EXAMPLES)]
pub(crate) struct GrpcArgs {
    /// Which method: `stream`, `unary`, or `seed`, the stream of the older interface
    #[arg(long, value_enum, default_value = "stream", hide_possible_values = true)]
    method: MethodName,
    /// Draws of a request: 1 to 10000
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// Connections: 1 to 1024
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Requests that each connection has in flight at most: 1 to 10000
    #[arg(long, default_value_t = 64, value_parser = value_parser!(u16).range(1..=10_000))]
    in_flight: u16,
    /// Give each request an idempotency key
    #[arg(long)]
    keys: bool,
    /// Requests due each second, 1 to 10000000, over all connections; without it as many as the
    /// service answers
    #[arg(long, value_name = "PER_SECOND", value_parser = value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// Threads of the load: 1 to 64; more than one takes more CPUs from the service
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=64))]
    threads: u16,
    /// The pool of the service at --addr; without it the only one, or `default`
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) pool: String,
    /// Yes, the prizes of the service at --addr may be drawn
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    time: TimeArgs,
    #[command(flatten)]
    pub(crate) setup: SetupArgs,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
}

impl GrpcArgs {
    pub(crate) fn plan(&self) -> GrpcPlan {
        GrpcPlan {
            method: self.method.into(),
            pool: self.pool.clone(),
            count: self.count,
            connections: self.connections,
            in_flight: self.in_flight,
            with_keys: self.keys,
            rate: self.rate.and_then(NonZeroU64::new),
            duration: self.time.seconds,
            threads: self.threads,
        }
    }
}

/// Measure how fast a log is read and a start is done
#[derive(Args, Debug)]
#[command(after_help = RECOVERY_EXAMPLES)]
pub(crate) struct RecoveryArgs {
    /// Draws of the log: 1 to 2000000000, as far as they fit into a segment of 4 GiB
    #[arg(
        long, default_value_t = 10_000_000,
        value_parser = value_parser!(u64).range(1..=2_000_000_000)
    )]
    draws: u64,
    /// Draws of a record: 1 to 10000
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u16).range(1..=10_000))]
    count: u16,
    /// How often the log is replayed: 1 to 100
    #[arg(long, default_value_t = 3, value_parser = value_parser!(u16).range(1..=100))]
    repeats: u16,
    /// Drop the log from the page cache before each replay
    #[arg(long)]
    cold: bool,
    #[command(flatten)]
    pub(crate) setup: LogArgs,
    #[command(flatten)]
    pub(crate) results: ResultArgs,
}

impl RecoveryArgs {
    pub(crate) fn plan(&self) -> RecoveryPlan {
        RecoveryPlan {
            draws: self.draws,
            count: self.count,
            items: self.setup.items(),
            selector: self.setup.selector(),
            format: self.setup.format(),
            storage: self.setup.storage(),
            repeats: self.repeats,
            is_cold: self.cold,
        }
    }
}

/// Compare two runs that were saved
#[derive(Args, Debug)]
#[command(after_help = COMPARE_EXAMPLES)]
pub(crate) struct CompareArgs {
    /// The report that the ratios are relative to
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The report that is judged
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
}

/// For how long.
#[derive(Args, Debug)]
struct TimeArgs {
    /// How long requests are sent: 0.1 to 3600
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    seconds: Duration,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 5 or 0.5")?;
    if (0.1..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("it is between 0.1 and 3600 seconds")
    }
}

/// Where the result goes.
#[derive(Args, Debug)]
pub(crate) struct ResultArgs {
    /// Write the report to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Compare with the report of an earlier run
    #[arg(long, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
}

/// The log and the pool that are made for a run. Nothing is a default of the parser, so that what
/// was given is known: it does not go with a service that runs already.
#[derive(Args, Debug)]
pub(crate) struct LogArgs {
    /// Items of the pool, 1 to 16000000, all unlimited [default: 6]
    #[arg(long, value_parser = value_parser!(u32).range(1..=16_000_000))]
    items: Option<u32>,
    /// How items are located: `auto`, `fenwick`, `prefix_sum` or `sum_tree` [default: auto]
    #[arg(long, value_enum, hide_possible_values = true)]
    selector: Option<SelectorName>,
    /// How records are written: `binary`, `json` or `string_line` [default: binary]
    #[arg(long)]
    format: Option<Format>,
    /// How files are written: `file` or `mmap` [default: file]
    #[arg(long, value_enum, hide_possible_values = true)]
    storage: Option<StorageName>,
    /// Where the temporary directory is made; its disk is measured [default: .]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl LogArgs {
    pub(crate) fn directory(&self) -> &Path {
        self.dir.as_deref().unwrap_or_else(|| Path::new("."))
    }

    fn items(&self) -> u32 {
        self.items.unwrap_or(6)
    }

    fn selector(&self) -> SelectorKind {
        self.selector.map_or(SelectorKind::Auto, Into::into)
    }

    fn format(&self) -> Format {
        self.format.unwrap_or(Format::Binary)
    }

    fn storage(&self) -> StorageKind {
        self.storage.map_or(StorageKind::File, Into::into)
    }
}

/// The service or engine that is made for a run.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    #[command(flatten)]
    log: LogArgs,
    /// A batch is written at the latest after so many draws: 1 to 10000000 [default: 16384]
    #[arg(long, value_parser = value_parser!(u32).range(1..=10_000_000))]
    batch_draws_max: Option<u32>,
    /// Size of a segment in MiB: 1 to 4096 [default: 64]
    #[arg(long, value_name = "MIB", value_parser = value_parser!(u16).range(1..=4096))]
    segment_mib: Option<u16>,
}

impl SetupArgs {
    pub(crate) fn directory(&self) -> &Path {
        self.log.directory()
    }

    pub(crate) fn service(&self, program: PathBuf) -> ServicePlan {
        let batch_draws_max = self.batch_draws_max.unwrap_or(16_384);
        ServicePlan {
            program,
            parent: self.directory().to_owned(),
            items: self.log.items(),
            selector: self.log.selector(),
            format: self.log.format(),
            storage: self.log.storage(),
            segment_bytes: usize::from(self.segment_mib.unwrap_or(64)) << 20,
            batch_draws_max: usize::try_from(batch_draws_max).expect("at most 10 000 000"),
        }
    }

    /// The first option that was given.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--items", self.log.items.is_some()),
            ("--selector", self.log.selector.is_some()),
            ("--format", self.log.format.is_some()),
            ("--storage", self.log.storage.is_some()),
            ("--dir", self.log.dir.is_some()),
            ("--batch-draws-max", self.batch_draws_max.is_some()),
            ("--segment-mib", self.segment_mib.is_some()),
        ];
        given.into_iter().find_map(|(name, is_given)| is_given.then_some(name))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MethodName {
    Stream,
    Unary,
    Seed,
}

impl From<MethodName> for Method {
    fn from(name: MethodName) -> Self {
        match name {
            MethodName::Stream => Self::Stream,
            MethodName::Unary => Self::Unary,
            MethodName::Seed => Self::Seed,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum SelectorName {
    Auto,
    Fenwick,
    PrefixSum,
    SumTree,
}

impl From<SelectorName> for SelectorKind {
    fn from(name: SelectorName) -> Self {
        match name {
            SelectorName::Auto => Self::Auto,
            SelectorName::Fenwick => Self::Fenwick,
            SelectorName::PrefixSum => Self::PrefixSum,
            SelectorName::SumTree => Self::SumTree,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StorageName {
    File,
    Mmap,
}

impl From<StorageName> for StorageKind {
    fn from(name: StorageName) -> Self {
        match name {
            StorageName::File => Self::File,
            StorageName::Mmap => Self::Mmap,
        }
    }
}
