//! Two runs side by side.
use serde::Serialize;
use serde_json::{Value, json};

use crate::error::Error;
use crate::report::Report;

/// How a new run compares with an old one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Comparison {
    /// Each figure that both runs have.
    pub figures: Vec<Figure>,
    /// What was asked for differently, or measured on something else.
    pub differences: Vec<Difference>,
    /// Why the comparison may say nothing.
    pub warnings: Vec<String>,
}

/// One figure of both runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Figure {
    /// Its name in the report, for example `latency_us.p99`.
    pub name: String,
    /// That of the old run.
    pub old: f64,
    /// That of the new run.
    pub new: f64,
    /// New divided by old; absent when the old one is 0 and the new one is not.
    pub ratio: Option<f64>,
    /// Whether more is better.
    pub more_is_better: bool,
}

impl Figure {
    fn new(name: impl Into<String>, old: f64, new: f64, more_is_better: bool) -> Self {
        let ratio = if old.to_bits() == new.to_bits() {
            Some(1.0)
        } else {
            Some(new / old).filter(|ratio| ratio.is_finite())
        };
        Self { name: name.into(), old, new, ratio, more_is_better }
    }
}

/// Something in which two runs differ.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// Its name, for example `parameters.count`.
    pub name: String,
    /// That of the old run; null when it has none.
    pub old: Value,
    /// That of the new run; null when it has none.
    pub new: Value,
}

impl Comparison {
    /// Compares a new run with an old one of the same kind.
    ///
    /// # Errors
    /// When the kinds differ.
    pub fn of(old: &Report, new: &Report) -> Result<Self, Error> {
        if old.kind != new.kind {
            return Err(Error::Kinds { old: old.kind.name(), new: new.kind.name() });
        }
        let warnings = warnings("old", old).chain(warnings("new", new)).collect();
        Ok(Self { figures: figures(old, new), differences: differences(old, new), warnings })
    }
}

fn figures(old: &Report, new: &Report) -> Vec<Figure> {
    let mut figures =
        vec![Figure::new("draws_per_second", old.draws_per_second, new.draws_per_second, true)];
    let latencies = [
        ("latency_us", old.latency_us, new.latency_us),
        ("commit_us", old.commit_us, new.commit_us),
        ("send_delay_us", old.send_delay_us, new.send_delay_us),
    ];
    for (name, old, new) in latencies {
        let (Some(old), Some(new)) = (old, new) else { continue };
        for ((quantile, old), (_, new)) in old.figures().into_iter().zip(new.figures()) {
            figures.push(Figure::new(format!("{name}.{quantile}"), old, new, false));
        }
    }
    if let (Some(old), Some(new)) = (&old.log, &new.log) {
        let bytes = (old.bytes_per_draw, new.bytes_per_draw);
        figures.push(Figure::new("log.bytes_per_draw", bytes.0, bytes.1, false));
    }
    if let (Some(old), Some(new)) = (&old.recovery, &new.recovery) {
        let bytes = (old.bytes_per_second, new.bytes_per_second);
        figures.push(Figure::new("recovery.bytes_per_second", bytes.0, bytes.1, true));
        let start = (old.start_seconds, new.start_seconds);
        figures.push(Figure::new("recovery.start_seconds", start.0, start.1, false));
    }
    figures
}

fn differences(old: &Report, new: &Report) -> Vec<Difference> {
    let flat = |report: &Report| {
        let mut all = report.parameters.clone();
        all = all.into_iter().map(|(name, value)| (format!("parameters.{name}"), value)).collect();
        if let Value::Object(machine) = json!(report.machine) {
            all.extend(machine.into_iter().map(|(name, value)| (format!("machine.{name}"), value)));
        }
        all.insert("program".to_owned(), json!(report.program));
        all
    };
    let (old, new) = (flat(old), flat(new));
    let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let value = |of: &crate::report::Parameters, name| of.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| Difference {
            name: name.clone(),
            old: value(&old, name),
            new: value(&new, name),
        })
        .filter(|difference| difference.old != difference.new)
        .collect()
}

fn warnings(which: &str, report: &Report) -> impl Iterator<Item = String> {
    let doubts = report.trust.reasons.iter();
    let mut warnings: Vec<String> =
        doubts.map(|reason| format!("the {which} run cannot be trusted: {reason}")).collect();
    if report.interrupted {
        warnings.push(format!("the {which} run was ended early"));
    }
    let failed: u64 = report.errors.values().sum();
    if failed > 0 {
        warnings.push(format!("{failed} requests of the {which} run failed"));
    }
    warnings.into_iter()
}

#[cfg(test)]
mod tests;
