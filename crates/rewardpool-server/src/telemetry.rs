//! Where the service's messages about itself go: to the standard error output, and into memory for
//! those who watch.
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::{LogConfig, LogFormat};
use crate::log_ring::LogRing;

/// Writes messages to the standard error output from now on, and keeps the newest.
///
/// # Errors
/// When messages of this process go somewhere already.
pub fn start(config: &LogConfig) -> Result<LogRing, TryInitError> {
    let terminal = io::stderr().is_terminal();
    let ring = LogRing::default();
    let kept = registry().with(EnvFilter::new(filter(config.level))).with(ring.clone());
    // An output that was closed must not end the service.
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    if is_human(config.format, terminal) {
        kept.with(lines.with_ansi(terminal)).try_init()?;
    } else {
        kept.with(lines.with_ansi(false).json().flatten_event(true)).try_init()?;
    }
    Ok(ring)
}

/// Only keeps the newest messages from now on: for a program that needs the terminal for itself.
/// They go to a file as well, if there is one.
///
/// # Errors
/// When messages of this process go somewhere already.
pub fn start_silent(config: &LogConfig, file: Option<File>) -> Result<LogRing, TryInitError> {
    let ring = LogRing::default();
    let kept = registry().with(EnvFilter::new(filter(config.level))).with(ring.clone());
    let Some(file) = file else {
        kept.try_init()?;
        return Ok(ring);
    };
    let lines = fmt::layer().with_writer(Arc::new(file)).with_ansi(false);
    // A disk that is full must not end the service.
    let lines = lines.log_internal_errors(false);
    if is_human(config.format, false) {
        kept.with(lines).try_init()?;
    } else {
        kept.with(lines.json().flatten_event(true)).try_init()?;
    }
    Ok(ring)
}

const fn is_human(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    }
}

/// The level is that of the service's own messages; libraries speak up from warnings on, because
/// below they write several lines for each call.
fn filter(level: Level) -> String {
    let libraries = level.min(Level::WARN);
    format!("{libraries},rewardpool={level}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_lines_for_people_by_itself() {
        assert!(is_human(LogFormat::Auto, true));
        assert!(!is_human(LogFormat::Auto, false));
        assert!(is_human(LogFormat::Human, false));
        assert!(!is_human(LogFormat::Json, true));
    }

    #[test]
    fn libraries_are_never_louder_than_the_service() {
        assert_eq!(filter(Level::ERROR), "ERROR,rewardpool=ERROR");
        assert_eq!(filter(Level::DEBUG), "WARN,rewardpool=DEBUG");
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            assert!(EnvFilter::try_new(filter(level)).is_ok(), "{level}");
        }
    }
}
