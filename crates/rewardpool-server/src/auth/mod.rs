//! Who asks, and whether they may.
//!
//! The guard (`guard.rs`) stands before all services: it knows the caller by the token or the certificate
//! (`registry.rs`), looks the method up in the one table (`permission.rs`), and puts a [`Caller`]
//! beside the request. Services then ask the caller what only the message tells: whether the pool is
//! theirs, and whether their quota (`quota.rs`) has room. Without a tokens file everybody may do
//! everything, and nothing of this runs.
mod caller;
mod edit;
mod guard;
mod peer;
pub mod permission;
mod quota;
mod registry;
mod role;

pub(crate) use self::caller::Caller;
pub use self::edit::edit_tokens_file;
pub(crate) use self::guard::GuardLayer;
pub use self::peer::Peer;
#[cfg(test)]
pub(crate) use self::permission::PERMISSIONS;
pub(crate) use self::quota::Allowance;
pub use self::registry::{Auth, AuthError, digest, read_tokens_file};
pub use self::role::{Role, Roles};
