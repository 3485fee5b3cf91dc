//! The tokens file: who may use the service, and what each of them may do and take.
//!
//! It holds no token, only the SHA-256 of each. That is enough here, unlike for passwords: a token
//! is 256 random bits, so nobody finds it by trying, however fast the hash is.
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::Path as FilePath;
use std::time::SystemTime;

use rewardpool_core::name::PoolId;

use super::document::{Node, Value};
use super::fault::ConfigError;
use super::reader::{Path, Reader, Section};
use super::security::{QUOTA_KEYS, QuotaConfig, read_quotas};
use crate::auth::{Role, Roles};

const TOP: &[&str] = &["tokens"];
const ENTRY: &[&str] = &[
    "name",
    "roles",
    "pools",
    "expires",
    "sha256",
    "certificate",
    "draws_per_second",
    "draws_burst",
    "streams",
];
const SECTIONS: &[(&str, &[&str])] = &[("", TOP), ("tokens[]", ENTRY)];
const NAME_BYTES_MAX: usize = 64;
const NAME_RULE: &str = "a name has 1 to 64 letters, digits, `.`, `_`, `-`, `@` and `/`";

/// SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 32]);

impl fmt::Debug for Digest {
    /// Tells which one it is, and not all of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// One who may use the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenEntry {
    /// Who it is, unique: the principal of logs and records.
    pub name: String,
    /// What they may do.
    pub roles: Roles,
    /// Where: these pools, or all and the service as a whole.
    pub pools: Option<Vec<PoolId>>,
    /// From when on they may not.
    pub expires: Option<SystemTime>,
    /// SHA-256 of the token that they show.
    pub sha256: Option<Digest>,
    /// A name (DNS or URI) in the certificate that they show: instead of a token, or, with
    /// `sha256`, besides it.
    pub certificate: Option<String>,
    /// How much they may take.
    pub quotas: QuotaConfig,
}

/// Whether a text may be the name of somebody.
pub fn is_principal(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@/".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// Checks the text of a tokens file. The path is only named in messages.
pub fn read_tokens(path: &FilePath, text: &str) -> Result<Vec<TokenEntry>, ConfigError> {
    let invalid = |faults| ConfigError::Invalid { path: path.to_owned(), faults };
    let top = Node::parse(text).map_err(|fault| invalid(vec![fault]))?;
    let mut reader = Reader::new(text, SECTIONS);
    let section = reader.section(&Path::Top, &top, TOP);
    let tokens = Path::Key(&Path::Top, "tokens");
    let nodes: &[Node] = match section.get("tokens").map(|node| (node, &node.value)) {
        None | Some((_, Value::Null)) => &[],
        Some((node, _)) => reader.list(&tokens, node, "it is a list of who may use the service"),
    };
    let mut names = BTreeSet::new();
    let mut entries = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let entry = read_entry(&mut reader, &Path::Index(&tokens, index), node);
        if !entry.name.is_empty() && !names.insert(entry.name.clone()) {
            let message = format!("the name {:?} stands there twice", entry.name);
            reader.fault(node.position, message);
        }
        entries.push(entry);
    }
    let faults = reader.into_faults();
    if faults.is_empty() { Ok(entries) } else { Err(invalid(faults)) }
}

/// The text of a tokens file with these entries.
pub fn write_tokens(entries: &[TokenEntry]) -> String {
    let mut text =
        "# Who may use the service. `rewardpool token new` and `token revoke` write this \
                    file anew,\n# without other comments. The tokens themselves stand nowhere.\n"
            .to_owned();
    text.push_str(if entries.is_empty() { "tokens: []\n" } else { "tokens:\n" });
    for entry in entries {
        write_entry(&mut text, entry).expect("a text takes everything");
    }
    text
}

fn write_entry(text: &mut String, entry: &TokenEntry) -> fmt::Result {
    let TokenEntry { name, roles, pools, expires, sha256, certificate, quotas } = entry;
    writeln!(text, "  - name: \"{name}\"\n    roles: [{roles}]")?;
    if let Some(pools) = pools {
        let pools: Vec<String> = pools.iter().map(|pool| format!("\"{pool}\"")).collect();
        writeln!(text, "    pools: [{}]", pools.join(", "))?;
    }
    if let Some(expires) = expires {
        writeln!(text, "    expires: \"{}\"", humantime::format_rfc3339_seconds(*expires))?;
    }
    if let Some(sha256) = sha256 {
        writeln!(text, "    sha256: \"{sha256}\"")?;
    }
    if let Some(certificate) = certificate {
        writeln!(text, "    certificate: \"{certificate}\"")?;
    }
    let QuotaConfig { draws_per_second, draws_burst, streams } = quotas;
    let numbers = [draws_per_second, draws_burst, streams];
    for (key, number) in QUOTA_KEYS.iter().zip(numbers) {
        if let Some(number) = number {
            writeln!(text, "    {key}: {number}")?;
        }
    }
    Ok(())
}

fn read_entry(reader: &mut Reader<'_>, path: &Path<'_>, node: &Node) -> TokenEntry {
    let section = reader.section(path, node, ENTRY);
    for key in ["name", "roles"] {
        if section.get(key).is_none() {
            reader.missing(&section, format!("{path}.{key} is missing"));
        }
    }
    if section.get("sha256").is_none() && section.get("certificate").is_none() {
        let message = format!("{path} shows nothing: it needs `sha256`, `certificate` or both");
        reader.missing(&section, message);
    }
    TokenEntry {
        name: read_text(reader, &section, "name", NAME_RULE, is_principal).unwrap_or_default(),
        roles: read_roles(reader, &section),
        pools: read_pools(reader, &section),
        expires: read_expiry(reader, &section),
        sha256: read_digest(reader, &section),
        certificate: read_text(reader, &section, "certificate", CERTIFICATE_RULE, is_san),
        quotas: read_quotas(reader, &section),
    }
}

const CERTIFICATE_RULE: &str = "it is a name in the certificate, `shop.example` or a URI";

/// Whether a text may be a name in a certificate.
fn is_san(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn read_text(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    key: &str,
    rule: &str,
    is_right: impl Fn(&str) -> bool,
) -> Option<String> {
    let (node, path) = (section.get(key)?, Path::Key(section.path, key));
    let text = reader.text(&path, node, rule)?;
    if !is_right(text) {
        reader.refuse(&path, node, rule);
    }
    Some(text.to_owned())
}

fn read_roles(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Roles {
    let rule = "it is a list of `reader`, `drawer` and `admin`";
    let Some(node) = section.get("roles") else { return Roles::default() };
    let path = Path::Key(section.path, "roles");
    let nodes = reader.list(&path, node, rule);
    if nodes.is_empty() && matches!(node.value, Value::List(_)) {
        reader.refuse(&path, node, rule);
    }
    let mut roles = Roles::default();
    for (index, node) in nodes.iter().enumerate() {
        let role = if let Value::Text(text) = &node.value { Role::of_name(text) } else { None };
        match role {
            Some(role) => roles = roles.with(role),
            None => reader.refuse(
                &Path::Index(&path, index),
                node,
                "it is one of these: `reader`, `drawer`, `admin`",
            ),
        }
    }
    roles
}

fn read_pools(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Vec<PoolId>> {
    let node = section.get("pools")?;
    let path = Path::Key(section.path, "pools");
    let nodes = reader.list(&path, node, "it is a list of names of pools");
    let mut pools = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = Path::Index(&path, index);
        let Some(text) = reader.text(&path, node, "it is the name of a pool") else { continue };
        match PoolId::new(text) {
            Ok(id) => pools.push(id),
            Err(error) => reader.refuse(&path, node, &error.to_string()),
        }
    }
    Some(pools)
}

fn read_expiry(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<SystemTime> {
    let rule = "it is a moment, such as `2030-12-31T23:59:59Z`";
    let node = section.get("expires")?;
    let path = Path::Key(section.path, "expires");
    let moment = humantime::parse_rfc3339(reader.text(&path, node, rule)?).ok();
    if moment.is_none() {
        reader.refuse(&path, node, rule);
    }
    moment
}

/// Never quotes what stands there, because somebody may have written the token itself.
fn read_digest(reader: &mut Reader<'_>, section: &Section<'_, '_>) -> Option<Digest> {
    let node = section.get("sha256")?;
    let digest = if let Value::Text(text) = &node.value { parse_digest(text) } else { None };
    if digest.is_none() {
        let rule = "it is 64 hexadecimal digits in quotes, which `rewardpool token new` writes";
        reader.fault(node.position, format!("{}.sha256: {rule}", section.path));
    }
    digest
}

fn parse_digest(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    if text.len() != 2 * digest.len() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(Digest(digest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const DIGEST: &str = "ab00000000000000000000000000000000000000000000000000000000000000";

    fn read(text: &str) -> Result<Vec<TokenEntry>, String> {
        read_tokens(FilePath::new("tokens.yaml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_again() {
        let entries = [
            TokenEntry {
                name: "shop".to_owned(),
                roles: Roles::default().with(Role::Drawer).with(Role::Reader),
                pools: Some(vec![PoolId::new("summer").expect("a name")]),
                expires: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000)),
                sha256: parse_digest(DIGEST),
                certificate: Some("spiffe://example/shop".to_owned()),
                quotas: QuotaConfig {
                    draws_per_second: Some(10),
                    draws_burst: Some(20),
                    streams: Some(0),
                },
            },
            TokenEntry {
                name: "ops@example".to_owned(),
                roles: Roles::default().with(Role::Admin),
                pools: None,
                expires: None,
                sha256: parse_digest(&DIGEST.replace('a', "C")),
                certificate: None,
                quotas: QuotaConfig::default(),
            },
        ];
        assert_eq!(read(&write_tokens(&entries)).as_deref(), Ok(&entries[..]));
        assert_eq!(read(&write_tokens(&[])), Ok(Vec::new()));
        assert_eq!(read("tokens:\n"), Ok(Vec::new()));
    }

    #[test]
    fn every_fault_is_told_and_a_secret_is_not() {
        let text = "tokens:\n  - { name: a b, roles: [king], sha256: rp_secret, pools: [A] }\n  \
                    - { name: c, roles: [], expires: tomorrow }\n  - { nam: c }\n";
        let told = read(text).expect_err("it is wrong");
        for part in [
            "tokens[0].name is \"a b\"",
            "tokens[0].roles[0] is \"king\"",
            "tokens[0].sha256: it is 64",
            "tokens[0].pools[0]",
            "tokens[1].roles is a list",
            "tokens[1].expires is \"tomorrow\"",
            "tokens[1] shows nothing",
            "tokens[2].nam is unknown: did you mean `name`?",
            "tokens[2].name is missing",
        ] {
            assert!(told.contains(part), "{part}\n{told}");
        }
        assert!(!told.contains("secret"), "{told}");
        let entry = format!("  - {{ name: c, roles: [admin], sha256: \"{DIGEST}\" }}\n");
        let twice = read(&format!("tokens:\n{entry}{entry}")).expect_err("it is wrong");
        assert!(twice.contains("twice"), "{twice}");
    }
}
