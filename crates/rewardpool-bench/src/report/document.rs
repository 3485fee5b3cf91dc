//! The figures in docs/benchmarks.md, between two markers. What stands around them is written by
//! hand.
use anyhow::bail;
use rewardpool_load::machine::Machine;

use super::text::cells;
use super::{Growth, Latency, Report};
use crate::report::goals::Unit;
use crate::table::float;

const BEGIN: &str = "<!-- figures: drawn by `make bench-report`, do not edit -->\n";
const END: &str = "<!-- end of figures -->\n";
/// The quantiles that the document names.
const QUANTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// The document with other figures between its markers.
pub(super) fn replaced(document: &str, figures: &str) -> anyhow::Result<String> {
    let parts = document.split_once(BEGIN).and_then(|(head, rest)| {
        let (_, tail) = rest.split_once(END)?;
        Some((head, tail))
    });
    let Some((head, tail)) = parts else {
        bail!("the document has no markers {:?} and {:?}", BEGIN.trim(), END.trim());
    };
    Ok(format!("{head}{BEGIN}{figures}{END}{tail}"))
}

/// Everything between the markers. The plots are in a folder beside the document.
pub(super) fn figures(report: &Report, folder: &str, plots: &[(&str, &str)]) -> String {
    let mut lines = vec![String::new()];
    lines.push(head(report));
    lines.push(String::new());
    lines.push("| # | figure | goal | limit | | reached | ratio | |".to_owned());
    lines.push("|---|---|---|---|---|---|---|---|".to_owned());
    for figure in &report.figures {
        let [row, what, goal, limit, reached, ratio, verdict] = cells(figure);
        let of = figure.line().limit;
        lines.push(format!(
            "| {row} | {what} | {goal} | {limit} | {of} | {reached} | {ratio} | {verdict} |"
        ));
    }
    lines.push(String::new());
    for figure in report.figures.iter().filter(|figure| !figure.note.is_empty()) {
        lines.push(format!("- {}, {}: {}.", figure.row, figure.line().what, figure.note));
    }
    for (file, caption) in plots {
        lines.push(String::new());
        lines.push(format!("![{caption}]({folder}/{file})"));
    }
    latencies(&report.latencies, &mut lines);
    growth(&report.growth, &mut lines);
    lines.push(String::new());
    lines.join("\n") + "\n"
}

/// Where it was measured, how much is met, and whether it can be trusted.
fn head(report: &Report) -> String {
    let Machine { cpus, cpu, kernel, filesystem, optimised } = &report.machine;
    let count = report.figures.len();
    let met = report.figures.iter().filter(|figure| figure.is_met()).count();
    let mut head = format!(
        "Measured on {cpus} CPUs of {cpu}, Linux {kernel}, log on {filesystem}. {met} of {count} \
         figures are met."
    );
    let doubtful = report.figures.iter().filter(|figure| !figure.is_trusted()).count();
    if doubtful > 0 {
        head += " **Others used more than 10 % of the CPUs during ";
        head += &doubtful.to_string();
        head += " of them, marked `?`: these are not to be trusted.**";
    }
    if !optimised {
        head += " **Built without optimisations: nothing here is to be trusted.**";
    }
    head
}

fn latencies(latencies: &[Latency], lines: &mut Vec<String>) {
    if latencies.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push("| latency | p50 | p90 | p99 | p99.9 |".to_owned());
    lines.push("|---|---|---|---|---|".to_owned());
    for latency in latencies {
        let cell = |quantile| match latency.at(quantile) {
            Some(nanoseconds) => Unit::Seconds.text(nanoseconds * 1e-9),
            None => String::new(),
        };
        let cells = QUANTILES.map(cell).join(" | ");
        lines.push(format!("| {} | {cells} |", latency.title()));
    }
}

fn growth(growth: &[Growth], lines: &mut Vec<String>) {
    if growth.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(
        "The exponent is that of the growth between the two largest sizes: 0 is constant, 1 is \
         linear."
            .to_owned(),
    );
    lines.push(String::new());
    lines.push("| what | by | at each size | exponent |".to_owned());
    lines.push("|---|---|---|---|".to_owned());
    for row in growth {
        let point =
            |&(size, value): &(u64, f64)| format!("{}: {}", grouped(size), row.unit.text(value));
        let points: Vec<_> = row.points.iter().map(point).collect();
        let exponent = row.exponent().map_or_else(String::new, |exponent| format!("{exponent:.2}"));
        lines.push(format!("| {} | {} | {} | {exponent} |", row.what, row.by, points.join(" · ")));
    }
}

/// A number in groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let group = |place: usize, digit: char| {
        let gap = place > 0 && place % 3 == first;
        gap.then_some(' ').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(|(place, digit)| group(place, digit)).collect()
}

impl Latency {
    /// The latency at one of the quantiles that were kept, in nanoseconds.
    fn at(&self, quantile: f64) -> Option<f64> {
        let found = self.quantiles.iter().find(|(kept, _)| (kept - quantile).abs() < 1e-9);
        found.map(|&(_, nanoseconds)| float(nanoseconds))
    }

    /// The name, and whether it is a limit.
    pub(super) fn title(&self) -> String {
        if self.is_limit { format!("{}: limit", self.name) } else { self.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_from_the_right() {
        let texts = [6, 1_000, 100_000, 10_000_000].map(grouped);
        assert_eq!(texts, ["6", "1 000", "100 000", "10 000 000"]);
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let document = format!("head\n{BEGIN}old\n{END}tail\n");
        let new = replaced(&document, "new\n").unwrap();
        assert_eq!(new, format!("head\n{BEGIN}new\n{END}tail\n"));
        assert_eq!(replaced(&new, "new\n").unwrap(), new);
        assert!(replaced("no markers", "new").is_err());
    }
}
