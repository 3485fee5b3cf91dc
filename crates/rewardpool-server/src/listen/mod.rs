//! How connections begin.
mod incoming;
pub mod tls;

pub(crate) use self::incoming::incoming;
