//! The trace of what administrators do: one line for each action, with the target `audit`, which is
//! written whatever the level of the log.
use tonic::metadata::MetadataMap;

use super::Caller;
use crate::convert::Fault;

/// The target of these lines.
pub(crate) const TARGET: &str = "audit";

/// What was done, in words. What does not apply is empty.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Action<'a> {
    /// The method.
    pub(crate) what: &'a str,
    /// In which pool.
    pub(crate) pool: &'a str,
    /// To which item.
    pub(crate) item: &'a str,
    /// How it was just before.
    pub(crate) before: &'a str,
    /// How it was just after.
    pub(crate) after: &'a str,
    /// Who stands in the log's record.
    pub(crate) actor: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
}

/// Tells of an action that is on disk.
pub(crate) fn done(caller: &Caller, metadata: &MetadataMap, action: Action<'_>, lsn: u64) {
    let Action { what, pool, item, before, after, actor, reason } = action;
    let (principal, peer) = (principal(caller), peer(caller));
    let request_id = request_id(metadata);
    tracing::info!(
        target: TARGET,
        principal, what, pool, item, before, after, lsn, actor, reason, request_id, peer,
        "done"
    );
}

/// Tells of an action that was refused. What the client wrote into it is not repeated.
pub(crate) fn refused(caller: &Caller, metadata: &MetadataMap, action: Action<'_>, why: &Fault) {
    let (principal, peer) = (principal(caller), peer(caller));
    let (what, why, request_id) = (action.what, why.reason, request_id(metadata));
    tracing::info!(target: TARGET, principal, what, why, request_id, peer, "refused");
}

fn principal(caller: &Caller) -> &str {
    match caller.name() {
        "" => "anybody",
        name => name,
    }
}

fn peer(caller: &Caller) -> String {
    caller.peer().map(|address| address.to_string()).unwrap_or_default()
}

/// The id of the call, which the client got back.
fn request_id(metadata: &MetadataMap) -> &str {
    metadata.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
}
