//! Who may reach the service, and how (`grpc.tls`, `auth`), and the rule for addresses that other
//! machines can reach.
use std::net::SocketAddr;
use std::path::PathBuf;

use super::document::{Node, Value};
use super::reader::{Numbers, Path, Reader, Section};

/// The options of `grpc.tls`.
pub(super) const TLS_KEYS: &[&str] = &["certificate", "key", "client_ca"];
/// The options of `auth`.
pub(super) const AUTH_KEYS: &[&str] = &["tokens_file", "quotas", "quotas_by_address"];
/// The options of `auth.quotas`, and of an entry of a tokens file.
pub(super) const QUOTA_KEYS: &[&str] = &["draws_per_second", "draws_burst", "streams"];

/// Encryption.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsConfig {
    /// PEM file with the certificate of the service, and those that lead to its authority.
    pub certificate: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// PEM file with the authorities of clients' certificates. With it, every client needs one.
    pub client_ca: Option<PathBuf>,
}

/// Who may do what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuthConfig {
    /// Who may use the service. Without it everybody who reaches the service may do everything.
    pub tokens_file: Option<PathBuf>,
    /// What holds for entries of the file that say nothing else. Default: no limits.
    pub quotas: QuotaConfig,
    /// Whether each address has these quotas when there is no tokens file. Default: false.
    pub quotas_by_address: bool,
}

/// How much a caller may take. What is not set has the default; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QuotaConfig {
    /// Draws in a second, over time: 0 to 1 000 000 000.
    pub draws_per_second: Option<u32>,
    /// Draws at once, and in one request, after a pause: 1 to 1 000 000 000. Default: those of a
    /// second.
    pub draws_burst: Option<u32>,
    /// Calls at the same time: 0 to 1 000 000.
    pub streams: Option<u32>,
}

impl QuotaConfig {
    const NO_LIMIT: Self = Self { draws_per_second: Some(0), draws_burst: None, streams: Some(0) };

    /// The same, with the defaults for what is not set.
    #[must_use]
    pub fn or(self, default: Self) -> Self {
        // A burst belongs to its rate.
        let burst = if self.draws_per_second.is_some() { None } else { default.draws_burst };
        Self {
            draws_per_second: self.draws_per_second.or(default.draws_per_second),
            draws_burst: self.draws_burst.or(burst),
            streams: self.streams.or(default.streams),
        }
    }
}

pub(super) fn read_tls(reader: &mut Reader<'_>, grpc: &Section<'_, '_>) -> Option<TlsConfig> {
    let node = grpc.get("tls")?;
    let path = Path::Key(grpc.path, "tls");
    let section = reader.section(&path, node, TLS_KEYS);
    let [certificate, key] = ["certificate", "key"].map(|name| {
        if section.get(name).is_none() {
            reader.missing(&section, format!("{path}.{name} is missing: it is a PEM file"));
        }
        read_file(reader, &section, name)
    });
    let client_ca = read_file(reader, &section, "client_ca");
    Some(TlsConfig { certificate: certificate?, key: key?, client_ca })
}

pub(super) fn read_auth(reader: &mut Reader<'_>, top: &Section<'_, '_>) -> AuthConfig {
    let path = Path::Key(top.path, "auth");
    let section = reader.section_of(top, &path, "auth", AUTH_KEYS);
    let quotas_path = Path::Key(&path, "quotas");
    let quotas = reader.section_of(&section, &quotas_path, "quotas", QUOTA_KEYS);
    AuthConfig {
        tokens_file: read_file(reader, &section, "tokens_file"),
        quotas: read_quotas(reader, &quotas).or(QuotaConfig::NO_LIMIT),
        quotas_by_address: reader.switch_or(&section, "quotas_by_address", false),
    }
}

/// The quotas that stand in a section, which may have other options, too.
pub(super) fn read_quotas(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> QuotaConfig {
    let no_limit = " (0 = no limit)";
    let draws = Numbers { noun: "it", min: 0, max: 1_000_000_000, note: no_limit };
    let burst = Numbers { noun: "it", min: 1, max: 1_000_000_000, note: "" };
    let streams = Numbers { noun: "it", min: 0, max: 1_000_000, note: no_limit };
    let mut number = |key, rule| {
        let node = section.get(key)?;
        let number = reader.number(&Path::Key(section.path, key), node, rule)?;
        Some(u32::try_from(number).expect("the rule bounds it"))
    };
    QuotaConfig {
        draws_per_second: number("draws_per_second", draws),
        draws_burst: number("draws_burst", burst),
        streams: number("streams", streams),
    }
}

fn read_file(reader: &mut Reader<'_>, section: &Section<'_, '_>, key: &str) -> Option<PathBuf> {
    let node = section.get(key)?;
    let (path, rule) = (Path::Key(section.path, key), "it is the path of a file");
    let text = reader.text(&path, node, rule)?;
    if text.is_empty() {
        reader.refuse(&path, node, rule);
    }
    Some(text.into())
}

/// What an address that other machines can reach lacks: nothing, or what to do about it.
pub fn public_address_fault(
    address: SocketAddr,
    has_tls: bool,
    has_tokens: bool,
    insecure: bool,
) -> Option<&'static str> {
    if address.ip().is_loopback() || insecure {
        return None;
    }
    match (has_tls, has_tokens) {
        (true, true) => None,
        (false, false) => Some(
            "other machines can reach this address, calls are not encrypted and everybody may do \
             everything: set `grpc.tls` and `auth.tokens_file`, or write a loopback address such \
             as `127.0.0.1:50051`, or allow it with `insecure: true` under `grpc`",
        ),
        (true, false) => Some(
            "other machines can reach this address, and everybody may do everything: set \
             `auth.tokens_file` (`rewardpool token new` writes one), or write a loopback address, \
             or allow it with `insecure: true` under `grpc`",
        ),
        (false, true) => Some(
            "other machines can reach this address, and tokens would not be encrypted: set \
             `grpc.tls`, or write a loopback address, or allow it with `insecure: true` under \
             `grpc`",
        ),
    }
}

/// Notes what is wrong with an address of the section `grpc`.
pub(super) fn check_address(
    reader: &mut Reader<'_>,
    grpc: &Section<'_, '_>,
    key: &str,
    fault: Option<&str>,
) {
    let (Some(node), Some(fault)) = (grpc.get(key), fault) else { return };
    let is_address = |node: &Node| matches!(node.value, Value::Text(_));
    if is_address(node) {
        reader.refuse(&Path::Key(grpc.path, key), node, fault);
    }
}
