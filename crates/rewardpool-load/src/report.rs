//! What a run measured, as a file that later runs are compared with.
//!
//! A report is one JSON object, described field by field in `docs/bench-report.md`. Fields may be
//! added; when the meaning of one changes, [`VERSION`] does.
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Error;
use crate::log::{self, float, ratio};
use crate::machine::{Machine, Trust};
use crate::tally::{Latencies, Tally};

/// Version of the report.
pub const VERSION: u32 = 1;

/// What was measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The engine in the process of the load.
    Engine,
    /// A service over gRPC.
    Grpc,
    /// The replay of a log, and a start on it.
    Recovery,
}

impl Kind {
    /// The name in texts: `engine`, `grpc`, `recovery`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Grpc => "grpc",
            Self::Recovery => "recovery",
        }
    }
}

/// What was asked for, by name.
pub type Parameters = BTreeMap<String, Value>;

/// The parameters in a JSON object.
///
/// # Panics
/// When it is no object.
pub(crate) fn parameters(object: Value) -> Parameters {
    let Value::Object(parameters) = object else { panic!("parameters are an object") };
    parameters.into_iter().collect()
}

/// A run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// What was measured.
    pub kind: Kind,
    /// Version of the program.
    pub program: String,
    /// When it ended, in milliseconds since 1970.
    pub time_ms: u64,
    /// What was asked for.
    pub parameters: Parameters,
    /// On what.
    pub machine: Machine,
    /// Whether the figures are worth anything.
    pub trust: Trust,
    /// Whether somebody ended it early.
    pub interrupted: bool,
    /// Requests that were answered by draws: those of the service, submissions of the engine,
    /// records of a replay.
    pub requests: u64,
    /// Draws that were answered, or replayed.
    pub draws: u64,
    /// Draws for which nothing was available.
    pub empties: u64,
    /// How long they took.
    pub seconds: f64,
    /// Draws in a second.
    pub draws_per_second: f64,
    /// How long each request took. Absent in a replay.
    pub latency_us: Option<Latency>,
    /// How long each commit took, where a reply is one commit.
    pub commit_us: Option<Latency>,
    /// In an open loop: from the moment at which a request was due until it was sent.
    pub send_delay_us: Option<Latency>,
    /// In an open loop: requests that were due and never sent.
    pub unsent: Option<u64>,
    /// What the log took, where it can be read.
    pub log: Option<log::Use>,
    /// Requests that were not answered by draws, by reason.
    pub errors: BTreeMap<String, u64>,
    /// Draws of the pool that the service counted meanwhile, those of others included.
    pub service_draws: Option<u64>,
    /// Only of a recovery.
    pub recovery: Option<Replay>,
}

/// A distribution of durations, in microseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Latency {
    /// How many there are.
    pub count: u64,
    /// Half of them took at most so long.
    pub p50: f64,
    /// 90 % took at most so long.
    pub p90: f64,
    /// 99 % took at most so long.
    pub p99: f64,
    /// 99.9 % took at most so long.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    /// Of what was recorded; `None` when nothing was.
    pub fn of(latencies: &Latencies) -> Option<Self> {
        let nanoseconds = latencies.nanoseconds();
        let at = |quantile| micros(nanoseconds.value_at_quantile(quantile).min(nanoseconds.max()));
        (latencies.count() > 0).then(|| Self {
            count: latencies.count(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(nanoseconds.max()),
        })
    }

    /// The figures with their names.
    pub const fn figures(&self) -> [(&'static str, f64); 5] {
        [
            ("p50", self.p50),
            ("p90", self.p90),
            ("p99", self.p99),
            ("p99_9", self.p99_9),
            ("max", self.max),
        ]
    }
}

fn micros(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1000.0
}

/// How a log was read.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Replay {
    /// Bytes of the log that were read.
    pub log_bytes: u64,
    /// How long it took to fill the log.
    pub fill_seconds: f64,
    /// How long each load took: reading, replaying and checking. `seconds` is their median.
    pub load_seconds: Vec<f64>,
    /// Bytes of the log in a second, at the median.
    pub bytes_per_second: f64,
    /// How long the start of an engine took: load, write the tail again, new segment, new snapshot.
    pub start_seconds: f64,
}

/// What all kinds of runs tell.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) kind: Kind,
    pub(crate) parameters: Parameters,
    pub(crate) machine: Machine,
    pub(crate) trust: Trust,
    pub(crate) interrupted: bool,
    pub(crate) elapsed: Duration,
}

impl Report {
    pub(crate) fn new(run: Run, tally: &Tally) -> Self {
        let seconds = run.elapsed.as_secs_f64();
        let since_1970 = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            version: VERSION,
            kind: run.kind,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            time_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            parameters: run.parameters,
            machine: run.machine,
            trust: run.trust,
            interrupted: run.interrupted,
            requests: tally.requests,
            draws: tally.draws,
            empties: tally.empties,
            seconds,
            draws_per_second: ratio(float(tally.draws), seconds),
            latency_us: Latency::of(&tally.latency),
            commit_us: None,
            send_delay_us: Latency::of(&tally.send_delay),
            unsent: None,
            log: None,
            errors: tally.errors.clone(),
            service_draws: None,
            recovery: None,
        }
    }

    /// Reads the file of a report.
    ///
    /// # Errors
    /// When the file cannot be read, is no report, or one of another version.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(Error::file(path))?;
        let no_report = |source| Error::NoReport { path: path.to_owned(), source };
        let value: Value = serde_json::from_str(&text).map_err(no_report)?;
        match value.get("version").and_then(Value::as_u64) {
            Some(found) if found != u64::from(VERSION) => {
                Err(Error::ReportVersion { path: path.to_owned(), found, known: VERSION })
            }
            _ => serde_json::from_value(value).map_err(no_report),
        }
    }

    /// Writes it to a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text = serde_json::to_string_pretty(self).expect("a report has only text keys");
        text.push('\n');
        fs::write(path, text).map_err(Error::file(path))
    }
}

/// A rate with its unit, as people write it.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 1e6 => format!("{:.2} M/s", rate / 1e6),
        rate if rate >= 1e3 => format!("{:.1} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

#[cfg(test)]
mod tests;
