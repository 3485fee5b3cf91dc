//! A run of the table: which parts are measured, on what scale, and who else used the CPUs.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rewardpool_load::machine::{Machine, Observer};
use tempfile::TempDir;

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
    /// Its segment: large enough that nothing rotates, so that everything is replayed.
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
        log_bytes: 128 << 20,
    };
    /// Enough to see that everything works; its figures mean nothing.
    pub(crate) const SMOKE: Self = Self {
        rounds: 1,
        round: Duration::from_millis(20),
        items: 2_000,
        selector_items_max: 2_000,
        records: 20_000,
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

/// Measures the parts, prints the table and saves the report. What an earlier run of other parts
/// left in the file stays there.
pub(crate) fn run(bench: &Bench, parts: &[Part], json: &Path) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&bench.parent)?;
    let machine = Machine::of(Some(&bench.parent));
    let mut report = Report::new(machine.clone());
    print_head();
    for &part in parts {
        let before = report.figures.len();
        let observer = Observer::begin(&[]);
        rows::measure(bench, part, &mut report).with_context(|| format!("measure {part:?}"))?;
        let trust = observer.end(&machine);
        let others = (trust.others_cpu_percent + trust.steal_percent) / 100.0;
        for figure in &mut report.figures[before..] {
            figure.others_cpu = others;
            print_line(figure);
        }
        if let Part::Row(row) = part {
            let keys = report.figures[before..].iter().map(|figure| (figure.row, &*figure.key));
            let lines = goals::LINES.iter().filter(|line| line.row == row);
            if !keys.eq(lines.map(|line| (line.row, line.key))) {
                bail!("row {row} was not measured line by line");
            }
        }
    }
    print_summary(&report);
    if json.exists() && parts.len() < Part::all().len() {
        let mut known = Report::load(json)?;
        known.merge(report);
        report = known;
    }
    report.save(json)?;
    Ok(ExitCode::SUCCESS)
}
