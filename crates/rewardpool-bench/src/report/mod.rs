//! What a run of the benches measured: a versioned JSON from which the document and its plots are
//! drawn.
//!
//! All figures are in base units: seconds, events a second, bytes. Latencies are in nanoseconds,
//! since they are whole numbers.
mod document;
pub(crate) mod goals;
mod plots;
mod text;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rewardpool_load::machine::Machine;
use serde::{Deserialize, Serialize};

use self::goals::Line;
pub(crate) use self::text::{print_head, print_line, print_summary};
use crate::rounds::Rounds;

/// Version of the JSON. It rises with each change that an older program cannot read.
const VERSION: u32 = 1;
/// A run in which others used more of the CPUs is not to be trusted.
pub(crate) const OTHERS_MAX: f64 = 0.1;

/// All that was measured.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Report {
    /// Version of this form.
    version: u32,
    /// Where it was measured.
    pub(crate) machine: Machine,
    /// The table, by row.
    pub(crate) figures: Vec<Figure>,
    /// Throughput by size of the batch.
    pub(crate) batches: Vec<BatchSize>,
    /// Distributions of latencies.
    pub(crate) latencies: Vec<Latency>,
    /// Cost by size of the catalogue.
    pub(crate) selectors: Vec<SelectorCost>,
    /// Time of a start by size of the log.
    pub(crate) recoveries: Vec<Recovery>,
    /// What grows with the number of items or records.
    pub(crate) growth: Vec<Growth>,
}

/// One line of the table.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Figure {
    /// Row of the table.
    pub(crate) row: u8,
    /// Tells the lines of a row apart.
    pub(crate) key: String,
    /// What the bare minimum reached in the same rounds: the median.
    pub(crate) limit: Option<f64>,
    /// What the product reached: the median.
    pub(crate) reached: f64,
    /// Share of all CPU time that others used meanwhile, 0 to 1.
    pub(crate) others_cpu: f64,
    /// What the figure does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
}

/// Durable draws in process with batches of one size.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchSize {
    /// Draws of a batch.
    pub(crate) draws: u32,
    /// Draws a second of the bare loop.
    pub(crate) limit: f64,
    /// Draws a second of the engine, 64 a command.
    pub(crate) reached: f64,
}

/// The distribution of a latency and of its limit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    /// What was measured.
    pub(crate) name: String,
    /// Whether it is that of a limit.
    pub(crate) is_limit: bool,
    /// Quantile and nanoseconds, rising.
    pub(crate) quantiles: Vec<(f64, u64)>,
}

/// What one selector costs.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelectorCost {
    /// Name of the selector.
    pub(crate) selector: String,
    /// Items of the catalogue.
    pub(crate) items: u32,
    /// Seconds of a random number and its item.
    pub(crate) select: f64,
    /// Seconds of a new weight.
    pub(crate) update: f64,
}

/// What a start took.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recovery {
    /// Records of the log.
    pub(crate) records: u64,
    /// Bytes of the log that hold them.
    pub(crate) bytes: u64,
    /// Seconds to read the files.
    pub(crate) read: f64,
    /// Seconds to read, check and replay.
    pub(crate) replay: f64,
    /// Seconds of the whole start.
    pub(crate) start: f64,
}

/// How something grows.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Growth {
    /// What grows.
    pub(crate) what: String,
    /// With what it grows.
    pub(crate) by: String,
    /// Its unit.
    pub(crate) unit: goals::Unit,
    /// Size and value, by size.
    pub(crate) points: Vec<(u64, f64)>,
}

impl Latency {
    /// The distributions of a limit and of what stands beside it.
    pub(crate) fn pair(name: &str, limit: &Rounds, reached: &Rounds) -> [Self; 2] {
        [(false, reached), (true, limit)].map(|(is_limit, rounds)| {
            let (name, quantiles) = (name.to_owned(), rounds.distribution());
            Self { name, is_limit, quantiles }
        })
    }
}

impl Growth {
    /// The exponent of growth between the two largest sizes: 0 is constant, 1 is linear.
    pub(crate) fn exponent(&self) -> Option<f64> {
        let [.., (small, before), (large, after)] = self.points.as_slice() else { return None };
        let sizes = crate::table::float(*large) / crate::table::float(*small);
        (*before > 0.0 && *after > 0.0).then(|| (after / before).ln() / sizes.ln())
    }
}

impl Figure {
    /// Its line of the table.
    pub(crate) fn line(&self) -> &'static Line {
        goals::find(self.row, &self.key).expect("a report is checked when it is made or read")
    }

    /// Whether all goals are met.
    pub(crate) fn is_met(&self) -> bool {
        self.line().goals.iter().all(|goal| goal.is_met(self.reached, self.limit))
    }

    /// The figure relative to its limit.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.limit.filter(|&limit| limit > 0.0).map(|limit| self.reached / limit)
    }

    /// Whether the machine was quiet enough.
    pub(crate) fn is_trusted(&self) -> bool {
        self.others_cpu <= OTHERS_MAX
    }
}

impl Report {
    /// Of a run that has not begun.
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            version: VERSION,
            machine,
            figures: Vec::new(),
            batches: Vec::new(),
            latencies: Vec::new(),
            selectors: Vec::new(),
            recoveries: Vec::new(),
            growth: Vec::new(),
        }
    }

    /// Adds a line. Who else used the CPUs is told when its row is done.
    pub(crate) fn add(
        &mut self,
        row: u8,
        key: &str,
        limit: Option<f64>,
        reached: f64,
    ) -> &mut Figure {
        assert!(goals::find(row, key).is_some(), "the table has a line {row} {key}");
        let (key, note) = (key.to_owned(), String::new());
        self.figures.push(Figure { row, key, limit, reached, others_cpu: 0.0, note });
        self.figures.last_mut().expect("it was added just now")
    }

    /// Reads a report.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let json = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        Self::from_json(&json).with_context(|| format!("read {}", path.display()))
    }

    fn from_json(json: &[u8]) -> anyhow::Result<Self> {
        let report: Self = serde_json::from_slice(json)?;
        if report.version != VERSION {
            bail!("version {} of the report, this program reads {VERSION}", report.version);
        }
        for Figure { row, key, .. } in &report.figures {
            if goals::find(*row, key).is_none() {
                bail!("the table has no line {row} {key:?}");
            }
        }
        Ok(report)
    }

    /// Writes the report, and the directories above it.
    pub(crate) fn save(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        std::fs::write(path, json).with_context(|| format!("write {}", path.display()))
    }

    /// Puts what another run on the same machine measured in the place of what was known.
    pub(crate) fn merge(&mut self, newer: Self) {
        let Self {
            version: _,
            machine,
            figures,
            batches,
            latencies,
            selectors,
            recoveries,
            growth,
        } = newer;
        self.machine = machine;
        self.figures.retain(|old| !figures.iter().any(|new| new.row == old.row));
        self.figures.extend(figures);
        let place = |figure: &Figure| goals::LINES.iter().position(|line| line == figure.line());
        self.figures.sort_by_key(place);
        self.latencies.retain(|old| !latencies.iter().any(|new| new.name == old.name));
        self.latencies.extend(latencies);
        self.latencies.sort_by(|a, b| (&a.name, a.is_limit).cmp(&(&b.name, b.is_limit)));
        self.growth.retain(|old| !growth.iter().any(|new| new.what == old.what));
        self.growth.extend(growth);
        replace(&mut self.batches, batches);
        replace(&mut self.selectors, selectors);
        replace(&mut self.recoveries, recoveries);
    }
}

/// Series are measured as a whole.
fn replace<T>(old: &mut Vec<T>, new: Vec<T>) {
    if !new.is_empty() {
        *old = new;
    }
}

/// Draws the document's figures and plots from a report.
pub(crate) fn render(report: &Path, document: &Path) -> anyhow::Result<ExitCode> {
    let report = Report::load(report)?;
    let before = std::fs::read_to_string(document)
        .with_context(|| format!("read {}", document.display()))?;
    let plots = document.with_extension("");
    let names = plots::draw_all(&report, &plots)?;
    let folder = plots.file_name().context("the document has a name")?.to_string_lossy();
    let figures = document::figures(&report, &folder, &names);
    std::fs::write(document, document::replaced(&before, &figures)?)
        .with_context(|| format!("write {}", document.display()))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
