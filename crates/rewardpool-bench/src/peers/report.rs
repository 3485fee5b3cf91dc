//! The table, the goals, and the same figures for programs.
use std::path::Path;

use anyhow::Context as _;
use rewardpool_load::report::rate;
use serde::Serialize;

use super::{Figure, Load};
use crate::table::row;

/// Others on the CPUs from which on figures are doubtful.
const BUSY_SHARE_MAX: f64 = 0.1;
pub(crate) const OURS: &str = "rewardpool";
const STRICT_REDIS: &str = "Redis, appendfsync always";

/// One system under one load.
#[derive(Serialize)]
pub(crate) struct Row {
    items: usize,
    clients: usize,
    in_flight: usize,
    count: usize,
    system: String,
    draws_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// How many times as many draws the service made; none in its own row.
    ours_ratio: Option<f64>,
}

impl Row {
    pub(crate) fn new(items: usize, load: Load, system: String, figure: &Figure) -> Self {
        let Load { clients, in_flight, count } = load;
        let &Figure { draws_per_second, p50_us, p99_us } = figure;
        let ours_ratio = None;
        Self {
            items,
            clients,
            in_flight,
            count,
            system,
            draws_per_second,
            p50_us,
            p99_us,
            ours_ratio,
        }
    }

    fn is_under(&self, load: Load) -> bool {
        load == Load { clients: self.clients, in_flight: self.in_flight, count: self.count }
    }
}

/// A figure that must be reached beside Redis that syncs each answer.
#[derive(Serialize)]
struct Goal {
    name: &'static str,
    items: usize,
    at_least: f64,
    reached: f64,
}

/// All that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    versions: Vec<String>,
    seconds: u64,
    rows: Vec<Row>,
    goals: Vec<Goal>,
    /// The largest share of the CPUs that others used between the rows.
    others_busy_share: f64,
}

impl Report {
    pub(crate) fn new(seconds: u64) -> Self {
        Self { versions: vec![], seconds, rows: vec![], goals: vec![], others_busy_share: 0.0 }
    }

    pub(crate) fn version(&mut self, version: String) {
        println!("{version}");
        self.versions.push(version);
    }

    pub(crate) fn others_busy(&mut self, share: f64) {
        self.others_busy_share = self.others_busy_share.max(share);
    }

    pub(crate) fn begin(&self, items: usize) {
        println!(
            "\n{items} items, {} s a row. Ratio: draws of rewardpool for one draw.",
            self.seconds
        );
        row(&["load", "draws", "p50/p99 ms", "ratio"]);
    }

    /// Prints a row; the service's own row comes first.
    pub(crate) fn add(&mut self, mut added: Row) {
        let load = Load { clients: added.clients, in_flight: added.in_flight, count: added.count };
        let ours = self
            .rows
            .iter()
            .find(|row| row.items == added.items && row.is_under(load) && row.system == OURS);
        added.ours_ratio = ours.map(|ours| ours.draws_per_second / added.draws_per_second);
        let name = if added.system == OURS {
            format!("{}: {OURS}", load.name())
        } else {
            format!("    {}", added.system)
        };
        row(&[
            &name,
            &rate(added.draws_per_second),
            &format!("{:.2}/{:.2}", added.p50_us / 1000.0, added.p99_us / 1000.0),
            &added.ours_ratio.map_or_else(String::new, |ratio| format!("{ratio:.1}")),
        ]);
        self.rows.push(added);
    }

    /// Prints which goals were reached.
    pub(crate) fn goals(&mut self) {
        for (name, in_flight, count, at_least) in
            [("pipelined singles", 64, 1, 9.0), ("count 100, pipelined", 64, 100, 10.0)]
        {
            let is_asked = |row: &&Row| {
                row.system == STRICT_REDIS && (row.in_flight, row.count) == (in_flight, count)
            };
            for row in self.rows.iter().filter(is_asked) {
                let (items, reached) = (row.items, row.ours_ratio.unwrap_or_default());
                self.goals.push(Goal { name, items, at_least, reached });
            }
        }
        println!("\nGoals beside {STRICT_REDIS}");
        for goal in &self.goals {
            let verdict = if goal.reached >= goal.at_least { "met" } else { "NOT MET" };
            let Goal { name, items, at_least, reached } = goal;
            println!("{name}, {items} items: {reached:.1} (at least {at_least}): {verdict}");
        }
        let percent = 100.0 * self.others_busy_share;
        if self.others_busy_share > BUSY_SHARE_MAX {
            println!("DOUBTFUL: others used up to {percent:.0} % of the CPUs between the rows");
        } else {
            println!("others used at most {percent:.0} % of the CPUs between the rows");
        }
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
    }
}
