//! Stub.
use crate::config::Config;

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct ServeError;

impl ServeError {
    /// Stub.
    pub fn exit_code(&self) -> u8 {
        74
    }
}

/// Stub.
#[expect(clippy::needless_pass_by_value, reason = "stub")]
pub fn run(_config: Config) -> Result<(), ServeError> {
    Err(ServeError)
}
