//! Who made a call, as the services see it.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use rewardpool_core::command::Note;
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::name::PoolId;
use tokio::sync::OwnedSemaphorePermit;

use super::quota::{Allowance, Exceeded, Limits};
use crate::config::TokenEntry;
use crate::convert::Fault;
use crate::grpc::{Mailbox, note};

/// One who may use the service, as long as the entry says the same.
#[derive(Debug)]
pub(super) struct Principal {
    pub(super) entry: TokenEntry,
    pub(super) limits: Arc<Limits>,
    /// Whether a token or a certificate showed who it is. Else it is only an address.
    pub(super) is_known: bool,
    /// Whether the entry changed, expired, or is gone.
    is_over: AtomicBool,
}

impl Principal {
    pub(super) fn new(entry: TokenEntry, limits: Arc<Limits>, is_known: bool) -> Self {
        Self { entry, limits, is_known, is_over: AtomicBool::new(false) }
    }

    /// Ends all streams of this principal.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn has_expired(&self, now: SystemTime) -> bool {
        self.entry.expires.is_some_and(|expires| now >= expires)
    }
}

/// Who made a call. Clones belong to the same call, which counts until the last of them is gone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Option<Arc<Principal>>,
    _permit: Option<Arc<OwnedSemaphorePermit>>,
    peer: Option<SocketAddr>,
}

impl Caller {
    /// Somebody of whom nothing is known, when nothing needs to be.
    pub(crate) fn anybody(peer: Option<SocketAddr>) -> Self {
        Self { principal: None, _permit: None, peer }
    }

    pub(super) fn new(
        principal: Arc<Principal>,
        permit: Option<OwnedSemaphorePermit>,
        peer: Option<SocketAddr>,
    ) -> Self {
        Self { principal: Some(principal), _permit: permit.map(Arc::new), peer }
    }

    fn known(&self) -> Option<&TokenEntry> {
        let principal = self.principal.as_ref().filter(|principal| principal.is_known)?;
        Some(&principal.entry)
    }

    /// The name of the principal; empty when it is not known.
    pub(crate) fn name(&self) -> &str {
        self.known().map_or("", |entry| &entry.name)
    }

    /// Where the call comes from.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The pools that the principal is bound to.
    fn pools(&self) -> Option<&[PoolId]> {
        self.known()?.pools.as_deref()
    }

    /// Whether the principal is bound to some pools.
    pub(crate) fn is_bound(&self) -> bool {
        self.pools().is_some()
    }

    /// Whether this caller may use the pool of this name. Says the same of a pool that is not there.
    pub(crate) fn check_name(&self, name: &str) -> Result<(), Fault> {
        match self.pools() {
            Some(pools) if !pools.iter().any(|pool| pool.as_str() == name) => {
                Err(Fault::other_pool())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether this caller may use the pool that an empty name means.
    pub(crate) fn check_number(
        &self,
        mailbox: &impl Mailbox,
        number: PoolNumber,
    ) -> Result<(), Fault> {
        let is_it = |pool: &PoolId| mailbox.pool(pool.as_str()) == Some(number);
        match self.pools() {
            Some(pools) if !pools.iter().any(is_it) => Err(Fault::other_pool()),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the principal is still what it was when the call began.
    pub(crate) fn check_still(&self) -> Result<(), Fault> {
        match &self.principal {
            Some(principal) if principal.is_over() => Err(Fault::unauthenticated()),
            Some(_) | None => Ok(()),
        }
    }

    /// What this caller may draw.
    pub(crate) fn allowance(&self) -> Option<Allowance> {
        self.principal.as_ref().map(|principal| Allowance::new(Arc::clone(&principal.limits)))
    }

    /// Takes so many draws out of an allowance of this caller.
    pub(crate) fn admit(&self, allowance: &mut Allowance, draws: u16) -> Result<(), Fault> {
        self.check_still()?;
        allowance.take(draws).map_err(|exceeded| match exceeded {
            Exceeded::For(wait) => Fault::quota(wait),
            Exceeded::Always(most) => Fault::invalid(
                "count",
                format!("a request of {:?} has at most {most} draws, not {draws}", self.name()),
            ),
        })
    }

    /// Who asks for a change and why, for the log. Whom the client names as the actor is only kept
    /// beside the principal, because anybody can write any name there.
    pub(crate) fn note(&self, actor: &str, reason: &str) -> Result<Note, Fault> {
        match (self.name(), actor) {
            ("", actor) => note(actor, reason),
            (name, "") => note(name, reason),
            (name, actor) => note(&format!("{name} (for {actor})"), reason),
        }
    }
}
