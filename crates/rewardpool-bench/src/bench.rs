//! A run of the table: which parts are measured, on what scale, and who else used the CPUs.
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rewardpool_engine::EngineConfig;
use rewardpool_load::machine::{Machine, Observer};
use tempfile::TempDir;

use crate::in_process::config;
use crate::report::{Report, goals, print_head, print_line, print_summary};
use crate::rows;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Rounds of limit and product.
    pub(crate) rounds: usize,
    /// One round of one of them.
    pub(crate) round: Duration,
    /// Items of a large pool.
    pub(crate) items: u32,
    /// Items of the largest catalogue of a selector.
    pub(crate) selector_items_max: u32,
    /// Records of a long log.
    pub(crate) records: u64,
    /// Length of a segment.
    pub(crate) segment_bytes: usize,
    /// Length of the segment of a long log: large enough that nothing rotates, so that everything is replayed.
    pub(crate) log_bytes: usize,
}

impl Scale {
    /// What the table asks for.
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        round: Duration::from_millis(700),
        items: 1_000_000,
        selector_items_max: 10_000_000,
        records: 10_000_000,
        segment_bytes: 64 << 20,
        log_bytes: 128 << 20,
    };
    /// Enough to see that everything works; its figures mean nothing.
    pub(crate) const SMOKE: Self = Self {
        rounds: 1,
        round: Duration::from_millis(20),
        items: 2_000,
        selector_items_max: 2_000,
        records: 20_000,
        segment_bytes: 1 << 20,
        log_bytes: 4 << 20,
    };
}

/// What the parts need.
pub(crate) struct Bench {
    pub(crate) scale: Scale,
    /// The service to measure.
    pub(crate) service: PathBuf,
    /// This program, to be started again for an echo and the like.
    pub(crate) myself: PathBuf,
    /// Where temporary directories are made: on the disk that is measured.
    pub(crate) parent: PathBuf,
}

impl Bench {
    /// How an engine is run, as a service would run it.
    pub(crate) fn config(&self, directory: &Path, batch_draws_max: usize) -> EngineConfig {
        let segment_bytes = self.scale.segment_bytes;
        EngineConfig { segment_bytes, ..config(directory, batch_draws_max) }
    }

    /// A directory that goes when it is dropped.
    pub(crate) fn directory(&self) -> anyhow::Result<TempDir> {
        let directory = tempfile::Builder::new().prefix("bench-").tempdir_in(&self.parent);
        directory.with_context(|| format!("make a directory in {}", self.parent.display()))
    }
}

/// What can be measured on its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    /// A row of the table.
    Row(u8),
    /// Throughput by size of the batch.
    Batches,
    /// Cost of all selectors by size of the catalogue.
    Selectors,
    /// Memory, snapshots, rotations and starts by size.
    Growth,
}

impl Part {
    /// Everything, in the order of the table.
    pub(crate) fn all() -> Vec<Self> {
        let rows = (1..=goals::ROWS).map(Self::Row);
        rows.chain([Self::Batches, Self::Selectors, Self::Growth]).collect()
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row(row) => write!(f, "row {row}"),
            Self::Batches => f.pad("batches"),
            Self::Selectors => f.pad("selectors"),
            Self::Growth => f.pad("growth"),
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "batches" => Ok(Self::Batches),
            "selectors" => Ok(Self::Selectors),
            "growth" => Ok(Self::Growth),
            _ => match name.parse() {
                Ok(row) if (1..=goals::ROWS).contains(&row) => Ok(Self::Row(row)),
                _ => Err(format!("1 to {}, batches, selectors or growth", goals::ROWS)),
            },
        }
    }
}

/// Measures the parts, prints the table and saves the report after each of them. What an earlier
/// run of other parts left in the file stays there.
pub(crate) fn run(bench: &Bench, parts: &[Part], json: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&bench.parent)?;
    let machine = Machine::of(Some(&bench.parent));
    let is_whole = parts.len() == Part::all().len();
    let mut known =
        if json.exists() && !is_whole { Report::load(json)? } else { Report::new(machine.clone()) };
    let mut measured = Report::new(machine.clone());
    print_head();
    for &part in parts {
        let found = measure(bench, part, &machine)?;
        found.figures.iter().for_each(print_line);
        known.merge(found.clone());
        measured.merge(found);
        known.save(json)?;
    }
    print_summary(&measured);
    Ok(ExitCode::SUCCESS)
}

/// Measures one part, and who else used the CPUs meanwhile.
fn measure(bench: &Bench, part: Part, machine: &Machine) -> anyhow::Result<Report> {
    let mut report = Report::new(machine.clone());
    let (begun, observer) = (Instant::now(), Observer::begin(&[]));
    rows::measure(bench, part, &mut report).with_context(|| format!("measure {part}"))?;
    let trust = observer.end(machine);
    let others = (trust.others_cpu_percent + trust.steal_percent) / 100.0;
    report.figures.iter_mut().for_each(|figure| figure.others_cpu = others);
    tell(part, begun.elapsed(), others);
    if let Part::Row(row) = part {
        let keys = report.figures.iter().map(|figure| (figure.row, &*figure.key));
        let lines = goals::LINES.iter().filter(|line| line.row == row);
        if !keys.eq(lines.map(|line| (line.row, line.key))) {
            bail!("row {row} was not measured line by line");
        }
    }
    Ok(report)
}

/// Shows that something happens.
#[expect(clippy::print_stderr, reason = "progress, beside the output")]
fn tell(part: Part, took: Duration, others: f64) {
    let percent = 100.0 * others;
    eprintln!("{part}: {:.1} s, others used {percent:.0} % of the CPUs", took.as_secs_f64());
}
