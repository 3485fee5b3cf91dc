//! Where the service's messages about itself go: to the standard error output.
use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::config::{LogConfig, LogFormat};

/// Writes messages to the standard error output from now on.
///
/// # Errors
/// When messages of this process go somewhere already.
pub fn start(config: &LogConfig) -> Result<(), TryInitError> {
    use tracing_subscriber::util::SubscriberInitExt as _;
    let terminal = io::stderr().is_terminal();
    // An output that was closed must not end the service.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(config.level)))
        .with_writer(io::stderr)
        .with_ansi(terminal)
        .log_internal_errors(false);
    if is_human(config.format, terminal) {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    }
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
