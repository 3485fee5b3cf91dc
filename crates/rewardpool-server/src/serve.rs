//! Stub.
use crate::config::Config;

/// Why the service ended.
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct ServeError;

impl ServeError {
    /// Stub.
    #[expect(clippy::unused_self, reason = "stub")]
    pub fn exit_code(&self) -> u8 {
        74
    }
}

/// Stub.
pub fn run(_config: Config) -> Result<(), ServeError> {
    Err(ServeError)
}
