//! Messages of the service about itself.
use crate::numbers;

/// How important a message is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// For its developers.
    Trace,
    /// For its developers.
    Debug,
    /// Good to know.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Somebody must look at it.
    Error,
}

impl Level {
    /// In five columns.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trace => "TRACE",
            Self::Debug => "DEBUG",
            Self::Info => "INFO ",
            Self::Warn => "WARN ",
            Self::Error => "ERROR",
        }
    }
}

/// A message of the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Its number.
    pub sequence: u64,
    /// When it was said, in milliseconds since 1970.
    pub unix_ms: u64,
    /// How important it is.
    pub level: Level,
    /// The time, the level and the message, as they are shown and looked for.
    pub text: String,
}

impl LogLine {
    /// Bytes of the text before the level.
    pub const LEVEL_AT: usize = 9;
    /// Bytes of the text before the message.
    pub const MESSAGE_AT: usize = 15;

    /// A message with its fields.
    pub fn new(sequence: u64, unix_ms: u64, level: Level, message: &str) -> Self {
        // The text comes from another program and must not steer the terminal.
        let message = message.replace(char::is_control, " ");
        let text = format!("{} {} {message}", numbers::clock(unix_ms), level.name());
        Self { sequence, unix_ms, level, text }
    }
}
