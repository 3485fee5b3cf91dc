//! What came of a command, in words.
use std::time::Duration;

use super::{App, Line, Phase, RunningDraw, Tone, commands::difference};
use crate::catalogue::{CatalogueChange, Difference};
use crate::command::edits;
use crate::event::{CommandId, DrawEnd, DrawReport, Problem, Reply};
use crate::model::{Activity, PoolState, PoolStatus, Pools, ServiceStatus, Units};
use crate::numbers::{bytes, float, grouped, micros, percent, rate, span};

/// Items of a summary that are listed.
const SUMMARY_ITEMS: usize = 12;
/// Differences that are listed.
const DIFFERENCES_MAX: usize = 200;
/// Names of pools that are offered when one is not there.
const OFFERED_POOLS: usize = 8;

/// Changes of a reload that wait for a yes.
pub(super) struct Reload {
    pub(super) pool: String,
    pub(super) changes: Vec<CatalogueChange>,
    pub(super) seen_version: u64,
}

impl App {
    pub(super) fn on_reply(&mut self, id: CommandId, reply: Reply) {
        match reply {
            Reply::Progress { drawn, note } => {
                if let Some(running) = self.running.as_mut().filter(|running| running.id == id) {
                    running.drawn = drawn;
                    running.note = note;
                }
                return;
            }
            Reply::Failed(problem) => {
                self.end_draw(id);
                self.fail(id, &problem);
            }
            Reply::Drawn(report) => {
                let running = self.end_draw(id);
                self.answer(id, drawn(&report, running.as_ref()));
            }
            Reply::Updated { before, after, catalog_version, lsn } => {
                let text = difference(&before, &after);
                let position = format!("catalogue version {catalog_version}, lsn {}", grouped(lsn));
                self.answer(
                    id,
                    vec![Line::new(Tone::Good, text), Line::new(Tone::Quiet, position)],
                );
                self.see_version(catalog_version);
                self.see_item(after);
            }
            Reply::Switched(status) => {
                let text = match status {
                    PoolStatus::Active => "the pool draws again",
                    PoolStatus::Paused => "the pool is paused: draws are refused until `resume`",
                    PoolStatus::Closed => "the pool is closed",
                };
                self.answer(id, vec![Line::new(Tone::Good, text)]);
            }
            Reply::Snapshot { lsn, file, bytes: size } => {
                let text = format!("{file}, {}, up to lsn {}", bytes(size), grouped(lsn));
                self.answer(id, vec![Line::new(Tone::Good, text)]);
            }
            Reply::Status { pool, activity, service } => {
                self.answer(id, status(&pool, activity.as_ref(), &service));
            }
            Reply::PoolFound(name) => {
                self.show_pool(&name);
                self.answer(id, Vec::new());
            }
            Reply::NoPool { problem, pools } => {
                let next =
                    other_pools(&problem, &pools, self.history.command(id).unwrap_or_default());
                self.fail(id, &Problem::new(problem.what, next));
                self.pools = Some(pools);
            }
            Reply::Compared(found) => self.on_compared(id, &found),
            Reply::Applied { done, problem } => self.on_applied(id, done, problem.as_ref()),
        }
        if self.phase == Phase::Leaving && self.running.is_none() {
            self.end();
        }
    }

    fn end_draw(&mut self, id: CommandId) -> Option<RunningDraw> {
        self.running.take_if(|running| running.id == id)
    }

    fn on_compared(&mut self, id: CommandId, found: &Difference) {
        let mut lines: Vec<Line> = found
            .lines
            .iter()
            .take(DIFFERENCES_MAX)
            .map(|line| {
                let tone = if line.is_changed { Tone::Plain } else { Tone::Warning };
                Line::new(tone, format!("{}: {}", line.item, line.text))
            })
            .collect();
        if found.lines.len() > DIFFERENCES_MAX {
            let more = found.lines.len() - DIFFERENCES_MAX;
            lines.push(Line::new(Tone::Quiet, format!("and {more} more")));
        }
        let changes = found.changes.clone();
        let (tone, text) = match (found.lines.is_empty(), changes.is_empty()) {
            (true, _) => (Tone::Good, "says what runs: nothing to change".to_owned()),
            (false, true) => (Tone::Warning, "differs, and no update can change that".to_owned()),
            (false, false) => (Tone::Plain, format!("differs in {} lines", found.lines.len())),
        };
        lines.push(Line::new(tone, format!("{} {text}", found.file)));
        self.answer(id, lines);
        if !changes.is_empty() {
            let pool = self.pool_name().to_owned();
            self.ask_reload(id, Reload { pool, changes, seen_version: found.seen_version });
        }
    }

    fn on_applied(&mut self, id: CommandId, done: usize, problem: Option<&Problem>) {
        let noun = if done == 1 { "change was" } else { "changes were" };
        let mut lines = vec![Line::new(Tone::Good, format!("{done} {noun} made and logged"))];
        if let Some(Problem { what, next }) = problem {
            lines.push(Line::new(Tone::Bad, format!("the next one failed: {what}; {next}")));
        }
        self.answer(id, lines);
    }
}

/// Names that may have been meant.
fn other_pools(problem: &Problem, pools: &Pools, command: &str) -> String {
    let wanted = command.split_whitespace().next_back().unwrap_or_default();
    let mut names: Vec<&str> = pools.pools.iter().map(|pool| pool.pool.as_str()).collect();
    if names.is_empty() {
        return problem.next.clone();
    }
    names.sort_by_key(|name| edits(wanted, name));
    names.truncate(OFFERED_POOLS);
    format!("there is {}", names.join(", "))
}

fn drawn(report: &DrawReport, running: Option<&RunningDraw>) -> Vec<Line> {
    let mut lines = Vec::new();
    let is_listed = report.end == DrawEnd::Complete
        && u64::try_from(report.listed.len()).is_ok_and(|listed| listed == report.drawn);
    if is_listed {
        lines.extend(report.listed.iter().map(|(number, item)| {
            let (tone, item) = match item {
                Some(item) => (Tone::Good, item.as_str()),
                None => (Tone::Warning, "empty: nothing is available"),
            };
            Line::new(tone, format!("{item}  (request {})", grouped(*number)))
        }));
        return lines;
    }
    if let (0, DrawEnd::Refused(Problem { what, next })) = (report.drawn, &report.end) {
        return vec![Line::new(Tone::Bad, format!("{what}; {next}"))];
    }
    lines.push(headline(report));
    lines.extend(summary(report, running));
    lines.extend(ending(report));
    lines
}

fn headline(report: &DrawReport) -> Line {
    let pace = float(report.drawn) / report.took.max(Duration::from_micros(1)).as_secs_f64();
    let took = match report.took.as_secs() {
        0..60 => format!("{:.2} s", report.took.as_secs_f64()),
        60.. => span(report.took),
    };
    let awards = report.drawn - report.empties;
    let empties = match report.empties {
        0 => String::new(),
        empties => format!(", {} empty", grouped(empties)),
    };
    let drawn = grouped(report.drawn);
    let text =
        format!("{drawn} draws in {took} ({}): {} awards{empties}", rate(pace), grouped(awards));
    Line::new(Tone::Good, text)
}

/// Count and share of each item, beside the odds when the command began.
fn summary(report: &DrawReport, running: Option<&RunningDraw>) -> Vec<Line> {
    let name_width = report.counts.iter().take(SUMMARY_ITEMS).map(|(name, _)| name.chars().count());
    let name_width = name_width.max().unwrap_or(0).min(24);
    let expected = |name: &str, count| {
        let running = running?;
        let chance = running.chances.iter().find(|chance| chance.item == name)?;
        let odds = percent(chance.weight, running.total_weight);
        // Without it the share would look wrong: the odds were those only while there were some.
        let end = if chance.left == Units::Limited(count) { "  sold out" } else { "" };
        Some(format!("  odds {odds:>7}{end}"))
    };
    let line = |(name, count): &(String, u64)| {
        let share = percent(*count, report.drawn);
        let expected = expected(name, *count).unwrap_or_default();
        let count = grouped(*count);
        Line::new(Tone::Plain, format!("{name:<name_width$}  {count:>11}  {share:>7}{expected}"))
    };
    let mut lines: Vec<Line> = report.counts.iter().take(SUMMARY_ITEMS).map(line).collect();
    if report.counts.len() > SUMMARY_ITEMS {
        let rest = &report.counts[SUMMARY_ITEMS..];
        let units: u64 = rest.iter().map(|(_, count)| count).sum();
        let text = format!("and {} more items with {}", rest.len(), grouped(units));
        lines.push(Line::new(Tone::Quiet, text));
    }
    lines
}

fn ending(report: &DrawReport) -> Vec<Line> {
    match &report.end {
        DrawEnd::Complete => Vec::new(),
        DrawEnd::Cancelled => {
            vec![Line::new(Tone::Warning, "cancelled; what was answered is counted above")]
        }
        DrawEnd::Refused(Problem { what, next }) => {
            vec![Line::new(Tone::Bad, format!("stopped: {what}; {next}"))]
        }
        DrawEnd::Lost { reason, found, not_made, unknown } => {
            let mut lines = vec![Line::new(Tone::Bad, format!("the connection broke: {reason}"))];
            let mut add = |tone, draws: u64, text: &str| {
                if draws > 0 {
                    lines.push(Line::new(tone, format!("{} draws {text}", grouped(draws))));
                }
            };
            add(Tone::Good, *found, "were under way and had been made: they are counted above");
            add(Tone::Plain, *not_made, "were under way and had not been made");
            add(
                Tone::Bad,
                *unknown,
                "were under way, and whether they were made is unknown: compare `status`",
            );
            lines.push(Line::new(Tone::Quiet, "nothing is repeated by itself"));
            lines
        }
    }
}

fn status(pool: &PoolState, activity: Option<&Activity>, service: &ServiceStatus) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |text: String| lines.push(Line::new(Tone::Plain, text));
    let PoolState { pool: name, status, catalog_version, item_count, .. } = pool;
    add(format!(
        "pool {name}: {}, {} items, catalogue version {catalog_version}",
        status.name(),
        grouped(*item_count)
    ));
    let [draws, awards, empties] = [pool.draws, pool.awards, pool.empties].map(grouped);
    add(format!("{draws} draws: {awards} awards, {empties} empty"));
    if let Some(activity) = activity {
        let Activity { version, uptime, commits, mailbox_depth, mailbox_capacity, .. } = activity;
        let (depth, capacity) = (grouped(*mailbox_depth), grouped(*mailbox_capacity));
        add(format!(
            "service {version}: up {}, {depth} of at most {capacity} commands wait",
            span(*uptime)
        ));
        let lately = match activity.commit_p50_us {
            0 => "none lately".to_owned(),
            p50 => {
                let [p99, max] = [activity.commit_p99_us, activity.commit_max_us].map(micros);
                format!("lately p50 {}, p99 {p99}, max {max}", micros(p50))
            }
        };
        add(format!("{} commits, {lately}", grouped(*commits)));
    }
    let ServiceStatus { storage, format, durable_lsn, scheduling, .. } = service;
    add(format!(
        "log: durable up to lsn {}, {} segments, {format} by {storage}, {scheduling} scheduling",
        grouped(*durable_lsn),
        service.segment_count
    ));
    let is_conserved = activity.is_none_or(|activity| activity.is_conserved);
    lines.push(if is_conserved {
        Line::new(Tone::Good, "granted = left + awarded holds for every item")
    } else {
        Line::new(Tone::Bad, "granted = left + awarded does NOT hold: stop and run `verify`")
    });
    lines
}
