//! The configuration: one YAML file, checked as a whole and turned into values that are right.
//!
//! `Config::load` reads a file and `Config::built_in` is what runs without one. Everything that is
//! wrong with a file is reported at once, each fault with its line and column. The catalogues only
//! create pools: what is in the log of a working directory wins over what is in the file.
//!
//! Read on in `keys` below (the options), `pools.rs` (catalogues), `reader.rs` (how values are
//! taken), `document.rs` (YAML), `fault.rs` (what a user is told) and `difference.rs` (how the pools
//! that run differ from those of a file).
pub mod difference;
mod document;
mod fault;
mod limits;
mod pools;
mod reader;
mod security;
#[cfg(test)]
mod tests;
mod tokens;

use std::fmt;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path as FilePath, PathBuf};
use std::time::Duration;

use rewardpool_core::command::PoolSpec;

pub use self::fault::{ConfigError, Fault, Position};
pub use self::limits::GrpcLimits;
pub use self::security::{AuthConfig, QuotaConfig, TlsConfig, public_address_fault};
pub use self::tokens::{Digest, TokenEntry, is_principal, read_tokens, write_tokens};

use self::document::{Node, Value};
use self::reader::{Numbers, Path, Reader, Section};

/// Text of a configuration file with every option, its default and its bounds.
const SAMPLE: &str = include_str!("../../../../samples/config.yaml");

/// Where the gRPC server listens when nothing is said.
const GRPC_PORT: u16 = 50_051;
/// Where the server of metrics listens when nothing is said.
const METRICS_PORT: u16 = 9464;

/// The options, section by section.
mod keys {
    pub(super) const TOP: &[&str] = &[
        "working_dir",
        "pool",
        "pools",
        "wal",
        "grpc",
        "auth",
        "metrics",
        "log",
        "drain_timeout",
        "test_mode",
    ];
    pub(super) const POOL: &[&str] = &["id", "catalog", "selector", "idempotency", "seed"];
    pub(super) const ITEM: &[&str] = &["item_id", "quantity", "weight", "probability"];
    pub(super) const IDEMPOTENCY: &[&str] = &["window", "max_keys", "max_outcomes"];
    pub(super) const WAL: &[&str] = &[
        "max_file_size_kb",
        "max_request_buffer_size",
        "formatter",
        "storage",
        "flush_after_n_draw",
        "scheduling",
        "kept_for_followers_mb",
    ];
    pub(super) const GRPC: &[&str] = &[
        "enabled",
        "listen_address",
        "admin_listen_address",
        "insecure",
        "tls",
        "backup_secrets",
        "limits",
    ];
    pub(super) const METRICS: &[&str] = &["enabled", "listen_address", "insecure", "max_items"];
    pub(super) const LOG: &[&str] = &["level", "format"];

    pub(super) const SECTIONS: &[(&str, &[&str])] = &[
        ("", TOP),
        ("pool", POOL),
        ("pool.catalog[]", ITEM),
        ("pool.idempotency", IDEMPOTENCY),
        ("wal", WAL),
        ("grpc", GRPC),
        ("grpc.tls", super::security::TLS_KEYS),
        ("auth", super::security::AUTH_KEYS),
        ("auth.quotas", super::security::QUOTA_KEYS),
        ("grpc.limits", super::limits::KEYS),
        ("metrics", METRICS),
        ("log", LOG),
    ];
}

/// A checked configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the log and the snapshots are. Default: `./rewardpool-data`.
    pub working_dir: PathBuf,
    /// The pools to create, with unique names. None when they come over gRPC only.
    pub pools: Vec<PoolConfig>,
    /// The write-ahead log.
    pub wal: WalConfig,
    /// The gRPC server.
    pub grpc: GrpcConfig,
    /// Who may do what.
    pub auth: AuthConfig,
    /// The HTTP server of metrics.
    pub metrics: MetricsConfig,
    /// What the service says about itself.
    pub log: LogConfig,
    /// How long a stop waits for calls that are under way: 0s to 1h. Default: 10s.
    pub drain_timeout: Duration,
    /// Whether options that make draws predictable are allowed. Default: false.
    pub test_mode: bool,
}

/// A pool to create.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PoolConfig {
    /// Its name, catalogue, selector and limits.
    pub spec: PoolSpec,
    /// Fixes its randomness. Only in test mode.
    pub seed: Option<Seed>,
}

/// The secret of a pool, given in the configuration instead of by the operating system.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

impl fmt::Debug for Seed {
    /// Does not show the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(…)")
    }
}

/// The write-ahead log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalConfig {
    /// Size of a segment (`max_file_size_kb`): 64 KiB to 4 GiB. Default: 64 MiB.
    pub segment_bytes: u64,
    /// Commands that may wait for the writer (`max_request_buffer_size`): 1 to 1 000 000.
    /// Default: 4096.
    pub mailbox_capacity: usize,
    /// How records are written (`formatter`). Default: binary.
    pub format: RecordFormat,
    /// How files are written (`storage`). Default: file.
    pub storage: StorageKind,
    /// A batch is written at the latest after so many draws (`flush_after_n_draw`): 1 to
    /// 10 000 000. Default: 16 384.
    pub batch_draws_max: u32,
    /// When the thread that writes gets a processor (`scheduling`). Default: normal.
    pub scheduling: Scheduling,
    /// Segments that a follower, or somebody else who reads the log, has not read yet stay up to this
    /// size (`kept_for_followers_mb`): 0 to 1 TiB. Default: 1 GiB.
    pub kept_bytes: u64,
}

/// When the thread that writes the log gets a processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheduling {
    /// In its turn.
    Normal,
    /// Before all ordinary threads, where that is permitted.
    Fifo,
}

/// How records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordFormat {
    /// The fastest and smallest.
    Binary,
    /// One JSON object a line.
    Json,
    /// One line of fields separated by commas.
    StringLine,
}

impl RecordFormat {
    /// The name in the configuration and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::StringLine => "string_line",
        }
    }
}

/// How files are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StorageKind {
    /// By system calls.
    File,
    /// Through a memory map.
    Mmap,
}

impl StorageKind {
    /// The name in the configuration and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Mmap => "mmap",
        }
    }
}

/// The gRPC server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrpcConfig {
    /// Whether it runs. Default: true.
    pub enabled: bool,
    /// Where it listens; a loopback address unless there are `tls` and `auth.tokens_file`, or
    /// `insecure`. Port 0 takes any free port. Default: 127.0.0.1:50051.
    pub listen_address: SocketAddr,
    /// Where administrators are served, by the same rule. They are not at `listen_address` then.
    /// Default: nowhere else.
    pub admin_listen_address: Option<SocketAddr>,
    /// Whether other machines may reach it without encryption and tokens. Default: false.
    pub insecure: bool,
    /// Encryption. Default: none.
    pub tls: Option<TlsConfig>,
    /// Whether a backup over gRPC may hold the secrets of the pools. Default: false.
    pub backup_secrets: bool,
    /// What clients may take.
    pub limits: GrpcLimits,
}

/// The HTTP server from which Prometheus reads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetricsConfig {
    /// Whether it runs. Default: false.
    pub enabled: bool,
    /// Where it listens; a loopback address unless `insecure`. Port 0 takes any free port.
    /// Default: 127.0.0.1:9464.
    pub listen_address: SocketAddr,
    /// Whether other machines may reach it without encryption. Default: false.
    pub insecure: bool,
    /// Items of each pool that have metrics of their own (`max_items`): 0 to 1 000 000.
    /// Default: 1000.
    pub items_max: usize,
}

/// What the service says about itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogConfig {
    /// The least important messages that are written. Default: info.
    pub level: tracing::Level,
    /// How they are written. Default: auto.
    pub format: LogFormat,
    /// What says more than a level, as `RUST_LOG` has it. Never in a file.
    pub directives: Option<String>,
}

/// How messages are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Human on a terminal, else JSON.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks a file.
    pub fn load(path: &FilePath) -> Result<Self, ConfigError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
        }
    }

    /// Checks a text. The path is only named in messages.
    pub fn parse(path: &FilePath, text: &str) -> Result<Self, ConfigError> {
        let invalid = |faults| ConfigError::Invalid { path: path.to_owned(), faults };
        // Files from other systems may begin with a byte order mark.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let top = Node::parse(text).map_err(|fault| invalid(vec![fault]))?;
        let mut reader = Reader::new(text, keys::SECTIONS);
        let config = read_config(&mut reader, &top);
        let faults = reader.into_faults();
        if faults.is_empty() { Ok(config) } else { Err(invalid(faults)) }
    }

    /// What runs when there is no file: the sample.
    pub fn built_in() -> Self {
        let path = FilePath::new("samples/config.yaml");
        Self::parse(path, SAMPLE).expect("a test parses the sample")
    }

    /// Text of a file with every option, its default and its bounds.
    pub const fn sample() -> &'static str {
        SAMPLE
    }
}

fn read_config(reader: &mut Reader<'_>, top: &Node) -> Config {
    let section = reader.section(&Path::Top, top, keys::TOP);
    let test_mode = reader.switch_or(&section, "test_mode", false);
    let auth = security::read_auth(reader, &section);
    Config {
        working_dir: read_working_dir(reader, &section),
        pools: pools::read(reader, &section, test_mode),
        wal: read_wal(reader, &section),
        grpc: read_grpc(reader, &section, &auth),
        auth,
        metrics: read_metrics(reader, &section),
        log: read_log(reader, &section),
        drain_timeout: reader.duration_or(
            &section,
            "drain_timeout",
            [("0s", Duration::ZERO), ("1h", Duration::from_hours(1))],
            Duration::from_secs(10),
        ),
        test_mode,
    }
}

fn read_working_dir(reader: &mut Reader<'_>, top: &Section<'_, '_>) -> PathBuf {
    let default = "./rewardpool-data";
    let Some(node) = top.get("working_dir") else { return default.into() };
    let path = Path::Key(top.path, "working_dir");
    let text = reader.text(&path, node, "it is the path of a directory");
    if text == Some("") {
        reader.refuse(&path, node, "it is the path of a directory");
    }
    text.unwrap_or(default).into()
}

fn read_wal(reader: &mut Reader<'_>, top: &Section<'_, '_>) -> WalConfig {
    const FORMATS: [(&str, RecordFormat); 3] = [
        ("binary", RecordFormat::Binary),
        ("json", RecordFormat::Json),
        ("string_line", RecordFormat::StringLine),
    ];
    const STORAGES: [(&str, StorageKind); 2] =
        [("file", StorageKind::File), ("mmap", StorageKind::Mmap)];
    const SCHEDULINGS: [(&str, Scheduling); 2] =
        [("normal", Scheduling::Normal), ("fifo", Scheduling::Fifo)];
    let path = Path::Key(top.path, "wal");
    let section = reader.section_of(top, &path, "wal", keys::WAL);
    let size = Numbers { noun: "it", min: 64, max: 4_194_304, note: " kilobytes" };
    let waiting = Numbers { noun: "it", min: 1, max: 1_000_000, note: "" };
    let draws = Numbers { noun: "it", min: 1, max: 10_000_000, note: "" };
    let size_kb = reader.number_or(&section, "max_file_size_kb", size, 65_536);
    let capacity = reader.number_or(&section, "max_request_buffer_size", waiting, 4096);
    let kept = Numbers { noun: "it", min: 0, max: 1_048_576, note: " megabytes" };
    let kept_mb = reader.number_or(&section, "kept_for_followers_mb", kept, 1024);
    let batch_draws_max = reader.number_or(&section, "flush_after_n_draw", draws, 16_384);
    WalConfig {
        segment_bytes: size_kb * 1024,
        mailbox_capacity: usize::try_from(capacity).expect("at most 1 000 000"),
        format: reader.choice_or(&section, "formatter", &FORMATS, RecordFormat::Binary),
        storage: reader.choice_or(&section, "storage", &STORAGES, StorageKind::File),
        batch_draws_max: u32::try_from(batch_draws_max).expect("at most 10 000 000"),
        scheduling: reader.choice_or(&section, "scheduling", &SCHEDULINGS, Scheduling::Normal),
        kept_bytes: kept_mb << 20,
    }
}

fn read_grpc(reader: &mut Reader<'_>, top: &Section<'_, '_>, auth: &AuthConfig) -> GrpcConfig {
    let path = Path::Key(top.path, "grpc");
    let section = reader.section_of(top, &path, "grpc", keys::GRPC);
    let insecure = reader.switch_or(&section, "insecure", false);
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, GRPC_PORT));
    let listen_address = read_listen_address(reader, &section, "listen_address", GRPC_PORT);
    let grpc = GrpcConfig {
        enabled: reader.switch_or(&section, "enabled", true),
        listen_address: listen_address.unwrap_or(default),
        admin_listen_address: read_listen_address(
            reader,
            &section,
            "admin_listen_address",
            GRPC_PORT,
        ),
        insecure,
        tls: security::read_tls(reader, &section),
        backup_secrets: reader.switch_or(&section, "backup_secrets", false),
        limits: limits::read(reader, &section),
    };
    // A faulty section counts: what is wrong with it is said already.
    let (has_tls, has_tokens) = (section.get("tls").is_some(), auth.tokens_file.is_some());
    let fault = |address| public_address_fault(address, has_tls, has_tokens, insecure);
    let addresses = [
        ("listen_address", Some(grpc.listen_address)),
        ("admin_listen_address", grpc.admin_listen_address),
    ];
    for (key, address) in addresses {
        security::check_address(reader, &section, key, address.and_then(fault));
    }
    grpc
}

fn read_metrics(reader: &mut Reader<'_>, top: &Section<'_, '_>) -> MetricsConfig {
    let path = Path::Key(top.path, "metrics");
    let section = reader.section_of(top, &path, "metrics", keys::METRICS);
    let insecure = reader.switch_or(&section, "insecure", false);
    let items = Numbers { noun: "it", min: 0, max: 1_000_000, note: "" };
    let items_max = reader.number_or(&section, "max_items", items, 1000);
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, METRICS_PORT));
    let listen_address =
        read_listen_address(reader, &section, "listen_address", METRICS_PORT).unwrap_or(default);
    if !insecure && !listen_address.ip().is_loopback() {
        let rule = format!(
            "other machines can reach this address, and calls are not encrypted: write a loopback \
             address such as `127.0.0.1:{METRICS_PORT}`, or allow it with `insecure: true` under \
             `metrics`"
        );
        security::check_address(reader, &section, "listen_address", Some(&rule));
    }
    MetricsConfig {
        enabled: reader.switch_or(&section, "enabled", false),
        listen_address,
        insecure,
        items_max: usize::try_from(items_max).expect("at most 1 000 000"),
    }
}

fn read_listen_address(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
    port: u16,
) -> Option<SocketAddr> {
    let rule = format!("an address is `:{port}` (this machine only) or `127.0.0.1:{port}`");
    let (node, path) = (section.get(key)?, Path::Key(section.path, key));
    let address =
        if let Value::Text(text) = &node.value { parse_listen_address(text) } else { None };
    if address.is_none() {
        reader.refuse(&path, node, &rule);
    }
    address
}

/// Reads an address to listen on: `:50051`, `localhost:50051` or `127.0.0.1:50051`.
pub fn parse_listen_address(text: &str) -> Option<SocketAddr> {
    // No host, or the name of this machine's own interface, is loopback: safe without a choice.
    let port = text.strip_prefix("localhost").unwrap_or(text).strip_prefix(':');
    match port.map(str::parse) {
        Some(Ok(port)) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Some(Err(_)) | None => text.parse().ok(),
    }
}

fn read_log(reader: &mut Reader<'_>, top: &Section<'_, '_>) -> LogConfig {
    const LEVELS: [(&str, tracing::Level); 5] = [
        ("error", tracing::Level::ERROR),
        ("warn", tracing::Level::WARN),
        ("info", tracing::Level::INFO),
        ("debug", tracing::Level::DEBUG),
        ("trace", tracing::Level::TRACE),
    ];
    const FORMATS: [(&str, LogFormat); 3] =
        [("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)];
    let path = Path::Key(top.path, "log");
    let section = reader.section_of(top, &path, "log", keys::LOG);
    LogConfig {
        level: reader.choice_or(&section, "level", &LEVELS, tracing::Level::INFO),
        format: reader.choice_or(&section, "format", &FORMATS, LogFormat::Auto),
        directives: None,
    }
}
