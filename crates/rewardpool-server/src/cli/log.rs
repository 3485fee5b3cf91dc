//! The options of commands that run a service: what it says about itself, and how.
use std::env;

use clap::{Args, ValueEnum};
use rewardpool_server::config::{LogConfig, LogFormat};
use rewardpool_server::telemetry;

use super::Failure;

/// The variable with directives that say more than a level, as in `info,rewardpool_wal=trace`.
const DIRECTIVES: &str = "RUST_LOG";

/// What the service says about itself.
#[derive(Args, Debug, Default)]
pub(crate) struct LogArgs {
    /// How messages are written, instead of `log.format`: `human`, `json`, or `auto` (human on a
    /// terminal, else JSON)
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    log_format: Option<FormatArg>,
    /// The least important messages that are written, instead of `log.level` and of `RUST_LOG`:
    /// `error`, `warn`, `info`, `debug` or `trace`
    #[arg(long, value_enum, value_name = "LEVEL", hide_possible_values = true)]
    log_level: Option<LevelArg>,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum FormatArg {
    Auto,
    Human,
    Json,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum LevelArg {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogArgs {
    /// Puts what the command line and the environment say in the place of what the file says.
    pub(crate) fn apply(&self, config: &mut LogConfig) -> Result<(), Failure> {
        if let Some(format) = self.log_format {
            config.format = match format {
                FormatArg::Auto => LogFormat::Auto,
                FormatArg::Human => LogFormat::Human,
                FormatArg::Json => LogFormat::Json,
            };
        }
        if let Some(level) = self.log_level {
            config.level = match level {
                LevelArg::Error => tracing::Level::ERROR,
                LevelArg::Warn => tracing::Level::WARN,
                LevelArg::Info => tracing::Level::INFO,
                LevelArg::Debug => tracing::Level::DEBUG,
                LevelArg::Trace => tracing::Level::TRACE,
            };
            return Ok(());
        }
        let directives = env::var(DIRECTIVES).ok().filter(|directives| !directives.is_empty());
        if let Some(directives) = &directives {
            telemetry::check_directives(directives).map_err(|error| {
                let what = format!("{DIRECTIVES} is {directives:?}: {error}");
                Failure::usage(what, "write a level, or `info,rewardpool_wal=trace`")
            })?;
        }
        config.directives = directives;
        Ok(())
    }
}
