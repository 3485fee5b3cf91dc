//! Everybody who may use the service, as the tokens file says at present.
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use rewardpool_client::Token;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::caller::{Caller, Principal};
use super::peer::Peer;
use super::permission::{Need, Permission, Scope};
use super::quota::Limits;
use super::role::{Role, Roles};
use crate::config::{AuthConfig, ConfigError, Digest, QuotaConfig, TokenEntry, read_tokens};
use crate::convert::Fault;
use crate::stamp::Stamp;

/// Most addresses that have quotas of their own.
const ADDRESSES_MAX: usize = 65_536;
/// How often refused calls are told of.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Most bytes of a tokens file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a tokens file is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// It could not be read.
    #[error("{}: the tokens file cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read or write it.
    #[error("{}: others may use the tokens file (mode {mode:o}): `chmod 600` it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is wrong.
    #[error(transparent)]
    Wrong(#[from] ConfigError),
}

/// Reads a tokens file, unless others may read or write it.
pub fn read_tokens_file(path: &Path) -> Result<Vec<TokenEntry>, AuthError> {
    let failed = |source| AuthError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(AuthError::Mode { path: path.to_owned(), mode });
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    Ok(read_tokens(path, &text)?)
}

/// What stands in a tokens file for a token.
pub fn digest(token: &Token) -> Digest {
    Digest(Sha256::digest(token.reveal().as_bytes()).into())
}

/// Decides who may call what.
#[derive(Debug)]
pub struct Auth {
    file: Option<TokensFile>,
    quotas: QuotaConfig,
    addresses: Mutex<HashMap<IpAddr, Arc<Principal>>>,
    unauthenticated: AtomicU64,
    denied: AtomicU64,
    told: Mutex<Told>,
}

/// What was said about refused calls.
#[derive(Debug, Default)]
struct Told {
    unauthenticated: u64,
    denied: u64,
    at: Option<Instant>,
}

#[derive(Debug)]
struct TokensFile {
    path: PathBuf,
    table: RwLock<Arc<Table>>,
    stamp: Mutex<Option<Stamp>>,
}

/// The principals, by what they show.
#[derive(Debug, Default)]
struct Table {
    principals: Vec<Arc<Principal>>,
    /// By the first bytes of the digest. The time of this look-up tells something about the digest,
    /// which does not lead to the token; the whole digest is compared in constant time.
    by_digest: HashMap<[u8; 8], Vec<Arc<Principal>>>,
    by_certificate: HashMap<String, Arc<Principal>>,
}

impl Auth {
    /// What the configuration asks for; `None` when everybody may do everything without limits.
    pub fn open(config: &AuthConfig) -> Result<Option<Arc<Self>>, AuthError> {
        let file = match &config.tokens_file {
            None if !config.quotas_by_address => return Ok(None),
            None => None,
            Some(path) => {
                // Before the file, so that a change in between is seen later.
                let stamp = Stamp::of(path);
                let entries = read_tokens_file(path)?;
                let table = Table::new(entries, config.quotas, &Table::default());
                Some(TokensFile {
                    path: path.clone(),
                    table: RwLock::new(Arc::new(table)),
                    stamp: Mutex::new(stamp),
                })
            }
        };
        Ok(Some(Arc::new(Self {
            file,
            quotas: config.quotas,
            addresses: Mutex::default(),
            unauthenticated: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            told: Mutex::default(),
        })))
    }

    /// Whether a tokens file says who may do what.
    pub fn needs_token(&self) -> bool {
        self.file.is_some()
    }

    /// Calls that were refused because it was not known who asks.
    pub fn unauthenticated(&self) -> u64 {
        self.unauthenticated.load(Ordering::Relaxed)
    }

    /// Calls that were refused because their principal lacks a role or a pool.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Reads the tokens file again if it changed, and ends what has expired. A file that is wrong
    /// changes nothing.
    pub fn refresh(&self) {
        self.tell_refusals();
        let Some(file) = &self.file else { return };
        let now = SystemTime::now();
        for principal in &file.table().principals {
            if principal.has_expired(now) && !principal.is_over() {
                principal.end();
                tracing::warn!(principal = principal.entry.name, "the token has expired");
            }
        }
        let stamp = Stamp::of(&file.path);
        let mut known = file.stamp.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == stamp {
            return;
        }
        *known = stamp;
        match read_tokens_file(&file.path) {
            Ok(entries) => file.replace(entries, self.quotas),
            Err(error) => tracing::error!(
                %error,
                "the tokens file is wrong: the old tokens stay in force until it is corrected"
            ),
        }
    }

    /// Says how many calls were refused, in one line for all of them now and then: somebody who tries
    /// tokens must not fill the disk.
    fn tell_refusals(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (unauthenticated, denied) = (self.unauthenticated(), self.denied());
        let is_early = told.at.is_some_and(|at| at.elapsed() < TELL_EVERY);
        if is_early || (unauthenticated, denied) == (told.unauthenticated, told.denied) {
            return;
        }
        tracing::warn!(
            unauthenticated = unauthenticated - told.unauthenticated,
            denied = denied - told.denied,
            "calls were refused: without a valid token, or without the role or pool"
        );
        *told = Told { unauthenticated, denied, at: Some(Instant::now()) };
    }

    /// Who calls this method, if they may.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Peer>,
    ) -> Result<Caller, Fault> {
        let address = peer.and_then(|peer| peer.address);
        let permission = Permission::of(path);
        if permission.is_some_and(|permission| permission.need == Need::Nobody) {
            return Ok(Caller::anybody(address));
        }
        let Some(principal) = self.principal(headers, peer) else {
            self.unauthenticated.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::unauthenticated());
        };
        let Some(permission) = permission else { return Err(Fault::unknown_method()) };
        check(permission, &principal).inspect_err(|_| {
            self.denied.fetch_add(1, Ordering::Relaxed);
        })?;
        let permit = principal.limits.begin_call().map_err(|()| Fault::too_many_calls())?;
        Ok(Caller::new(principal, permit, address))
    }

    /// Who this is, by what they show.
    fn principal(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Option<Arc<Principal>> {
        let Some(file) = &self.file else {
            return Some(self.at_address(peer.and_then(|peer| peer.address)?.ip()));
        };
        let table = file.table();
        let names: &[String] = peer.map_or(&[], |peer| &peer.certificate_names);
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let principal = match (values.next(), values.next()) {
            (None, _) => {
                names.iter().find_map(|name| table.by_certificate.get(name)).map(Arc::clone)?
            }
            (Some(value), None) => {
                let principal = table.find(digest(&token(value)?))?;
                let needed = principal.entry.certificate.as_ref();
                if needed.is_some_and(|needed| !names.contains(needed)) {
                    return None;
                }
                principal
            }
            (Some(_), Some(_)) => return None,
        };
        (!principal.is_over() && !principal.has_expired(SystemTime::now())).then_some(principal)
    }

    /// The principal that an address is, when there is no other.
    fn at_address(&self, address: IpAddr) -> Arc<Principal> {
        let key = network(address);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(principal) = addresses.get(&key) {
            return Arc::clone(principal);
        }
        if addresses.len() >= ADDRESSES_MAX {
            // Those that call at present stay.
            addresses.retain(|_, principal| Arc::strong_count(principal) > 1);
        }
        let entry = TokenEntry {
            name: key.to_string(),
            roles: Role::ALL.into_iter().fold(Roles::default(), Roles::with),
            pools: None,
            expires: None,
            sha256: None,
            certificate: None,
            quotas: self.quotas,
        };
        let limits = Arc::new(Limits::new(self.quotas));
        let principal = Arc::new(Principal::new(entry, limits, false));
        addresses.insert(key, Arc::clone(&principal));
        principal
    }
}

/// The address, or for IPv6 the network of 64 bits, which one machine has to itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
    }
}

fn check(permission: &Permission, principal: &Principal) -> Result<(), Fault> {
    let entry = &principal.entry;
    if !permission.is_given_to(entry.roles) {
        let Need::Role(role) = permission.need else { unreachable!("only a role can be missing") };
        return Err(Fault::missing_role(role));
    }
    if permission.scope == Scope::Service && entry.pools.is_some() {
        return Err(Fault::whole_service());
    }
    Ok(())
}

/// The token of `authorization: Bearer TOKEN`. A text that is none costs no hash.
fn token(value: &HeaderValue) -> Option<Token> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)?.trim().parse().ok()
}

impl TokensFile {
    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, entries: Vec<TokenEntry>, defaults: QuotaConfig) {
        let old = self.table();
        let new = Arc::new(Table::new(entries, defaults, &old));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        for principal in &old.principals {
            let is_kept = new.principals.iter().any(|kept| Arc::ptr_eq(kept, principal));
            if !is_kept {
                principal.end();
            }
        }
        tracing::info!(principals = new.principals.len(), "the tokens file was read again");
    }
}

impl Table {
    /// Who did not change stays the same, and so do their streams and what they have taken.
    fn new(entries: Vec<TokenEntry>, defaults: QuotaConfig, old: &Self) -> Self {
        let mut table = Self::default();
        let known: HashMap<&str, &Arc<Principal>> =
            old.principals.iter().map(|known| (known.entry.name.as_str(), known)).collect();
        for mut entry in entries {
            entry.quotas = entry.quotas.or(defaults);
            let principal = match known.get(entry.name.as_str()) {
                Some(known) if known.entry == entry && !known.is_over() => Arc::clone(known),
                Some(known) if known.entry.quotas == entry.quotas => {
                    Arc::new(Principal::new(entry, Arc::clone(&known.limits), true))
                }
                Some(_) | None => {
                    let limits = Arc::new(Limits::new(entry.quotas));
                    Arc::new(Principal::new(entry, limits, true))
                }
            };
            table.insert(principal);
        }
        table
    }

    fn insert(&mut self, principal: Arc<Principal>) {
        let entry = &principal.entry;
        match (entry.sha256, &entry.certificate) {
            (Some(digest), _) => {
                self.by_digest.entry(prefix(digest)).or_default().push(Arc::clone(&principal));
            }
            (None, Some(name)) => {
                self.by_certificate.insert(name.clone(), Arc::clone(&principal));
            }
            (None, None) => unreachable!("an entry shows something"),
        }
        self.principals.push(principal);
    }

    fn find(&self, digest: Digest) -> Option<Arc<Principal>> {
        let candidates = self.by_digest.get(&prefix(digest))?;
        let is_it = |candidate: &&Arc<Principal>| {
            candidate.entry.sha256.is_some_and(|known| known.0.ct_eq(&digest.0).into())
        };
        candidates.iter().find(is_it).map(Arc::clone)
    }
}

fn prefix(Digest(digest): Digest) -> [u8; 8] {
    *digest.first_chunk().expect("a digest has 32 bytes")
}
