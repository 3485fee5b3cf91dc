//! Where the service's messages about itself go: to the standard error output, and into memory for
//! those who watch.
use std::env;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, fmt, registry};

use crate::config::{LogConfig, LogFormat};
use crate::grpc::audit;
use crate::log_ring::LogRing;

/// Writes messages to the standard error output from now on, and keeps the newest.
///
/// # Errors
/// When messages of this process go somewhere already.
pub fn start(config: &LogConfig) -> Result<LogRing, TryInitError> {
    let terminal = io::stderr().is_terminal();
    let ring = LogRing::default();
    let kept = registry().with(EnvFilter::new(filter(config))).with(ring.clone());
    // An output that was closed must not end the service.
    let lines = fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    if is_human(config.format, terminal) {
        let color = has_color(terminal, env::var_os("NO_COLOR").as_deref());
        kept.with(lines.with_ansi(color)).try_init()?;
    } else {
        // The span in which it happened is that of a call, and calls are not in each other.
        let json = lines.with_ansi(false).json().flatten_event(true).with_span_list(false);
        kept.with(json).try_init()?;
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
    let kept = registry().with(EnvFilter::new(filter(config))).with(ring.clone());
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

/// Checks directives for [`LogConfig::directives`].
///
/// # Errors
/// What is wrong with them.
pub fn check_directives(directives: &str) -> Result<(), String> {
    EnvFilter::try_new(directives).map(drop).map_err(|error| error.to_string())
}

/// Whether lines for people have colours: on a terminal, unless somebody wants none.
fn has_color(terminal: bool, no_color: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty)
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
fn filter(config: &LogConfig) -> String {
    if let Some(directives) = &config.directives {
        return directives.clone();
    }
    let level = config.level;
    let libraries = level.min(Level::WARN);
    // What administrators did is told at every level.
    format!("{libraries},rewardpool={level},{}=INFO", audit::TARGET)
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
        let of = |level, directives: Option<&str>| {
            let directives = directives.map(str::to_owned);
            filter(&LogConfig { level, format: LogFormat::Auto, directives })
        };
        assert_eq!(of(Level::ERROR, None), "ERROR,rewardpool=ERROR,audit=INFO");
        assert_eq!(of(Level::DEBUG, None), "WARN,rewardpool=DEBUG,audit=INFO");
        for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
            assert_eq!(check_directives(&of(level, None)), Ok(()), "{level}");
        }
        assert_eq!(of(Level::ERROR, Some("trace")), "trace");
        assert!(check_directives("info,rewardpool=loud").is_err());
    }

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        assert!(has_color(true, None));
        assert!(has_color(true, Some(OsStr::new(""))));
        assert!(!has_color(true, Some(OsStr::new("1"))));
        assert!(!has_color(false, None));
    }
}
