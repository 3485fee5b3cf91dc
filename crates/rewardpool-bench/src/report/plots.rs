//! The plots of a report as SVG, the same bytes for the same report.
//!
//! Each is drawn on a light panel of its own, so that it is legible on any page.
use std::path::Path;

use anyhow::{Context as _, anyhow};
use plotters::coord::ranged1d::{NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use super::Report;
use super::goals::Unit;
use crate::table::float;

const SIZE: (u32, u32) = (1000, 440);
/// The names of the lines stand right of this.
const LEGEND_X: i32 = 740;
const LEGEND_Y: i32 = 60;
const LEGEND_STEP: i32 = 22;
const PANEL: RGBColor = RGBColor(252, 252, 250);
const INK: RGBColor = RGBColor(40, 40, 44);
const GRID: RGBColor = RGBColor(222, 222, 220);
/// Told apart by people who see few colours (Okabe and Ito), without the yellow.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 138, 100),
    RGBColor(190, 130, 0),
    RGBColor(170, 80, 140),
    LIMIT_COLOR,
];
const LIMIT_COLOR: RGBColor = RGBColor(90, 90, 95);
/// The last of the colours.
const LIMIT: usize = 5;

/// One line of a plot.
struct Series {
    name: String,
    color: usize,
    is_dashed: bool,
    points: Vec<(f64, f64)>,
}

/// What is so little beyond a power of ten needs no other one.
const HAIR: f64 = 0.01;

/// What an axis shows. All axes are logarithmic.
#[derive(Clone, Copy)]
enum Axis {
    /// Plain numbers.
    Count,
    /// 1 / (1 - quantile).
    Quantile,
    /// A figure with its unit.
    Figure(Unit),
}

/// One plot.
struct Plot<'a> {
    title: &'a str,
    x: (&'a str, Axis),
    y: (&'a str, Axis),
    series: Vec<Series>,
}

/// Draws every plot for which the report has something, and gives file names with captions.
pub(super) fn draw_all(
    report: &Report,
    folder: &Path,
) -> anyhow::Result<Vec<(&'static str, &'static str)>> {
    let plots = [
        ("throughput.svg", "Throughput by size of the batch", throughput(report)),
        ("latency.svg", "Distribution of latencies", latency(report)),
        ("select.svg", "Cost of a selection by size of the catalogue", select(report)),
        ("update.svg", "Cost of a new weight by size of the catalogue", update(report)),
        ("recovery.svg", "Time of a start by size of the log", recovery(report)),
    ];
    let mut drawn = Vec::new();
    for (file, caption, plot) in plots {
        if plot.series.iter().all(|series| series.points.is_empty()) {
            continue;
        }
        std::fs::create_dir_all(folder)?;
        let svg = plot.draw().with_context(|| format!("draw {file}"))?;
        std::fs::write(folder.join(file), svg).with_context(|| format!("write {file}"))?;
        drawn.push((file, caption));
    }
    Ok(drawn)
}

fn throughput(report: &Report) -> Plot<'static> {
    let points = |of: fn(&super::BatchSize) -> f64| {
        report.batches.iter().map(|size| (f64::from(size.draws), of(size))).collect()
    };
    let limit = "limit: bare loop and fdatasync".to_owned();
    Plot {
        title: "Durable draws a second, by size of the batch",
        x: ("draws of a batch", Axis::Count),
        y: ("draws a second", Axis::Figure(Unit::PerSecond)),
        series: vec![
            Series {
                name: limit,
                color: LIMIT,
                is_dashed: true,
                points: points(|size| size.limit),
            },
            Series {
                name: "engine, in process".to_owned(),
                color: 0,
                is_dashed: false,
                points: points(|size| size.reached),
            },
        ],
    }
}

fn latency(report: &Report) -> Plot<'static> {
    let mut names: Vec<&str> = Vec::new();
    let mut series = Vec::new();
    for latency in &report.latencies {
        let color = names.iter().position(|name| *name == latency.name).unwrap_or_else(|| {
            names.push(&latency.name);
            names.len() - 1
        });
        let point = |&(quantile, nanoseconds): &(f64, u64)| {
            (1.0 / (1.0 - quantile), float(nanoseconds.max(1)) * 1e-9)
        };
        let points = latency.quantiles.iter().map(point).collect();
        series.push(Series { name: latency.title(), color, is_dashed: latency.is_limit, points });
    }
    Plot {
        title: "Distribution of latencies",
        x: ("share of requests that were faster", Axis::Quantile),
        y: ("latency", Axis::Figure(Unit::Seconds)),
        series,
    }
}

fn select(report: &Report) -> Plot<'static> {
    Plot {
        title: "A random number and its item, by size of the catalogue",
        x: ("items", Axis::Count),
        y: ("time of one", Axis::Figure(Unit::Seconds)),
        series: by_selector(report, |cost| cost.select),
    }
}

fn update(report: &Report) -> Plot<'static> {
    Plot {
        title: "A new weight for an item, by size of the catalogue",
        x: ("items", Axis::Count),
        y: ("time of one", Axis::Figure(Unit::Seconds)),
        series: by_selector(report, |cost| cost.update),
    }
}

fn by_selector(report: &Report, of: fn(&super::SelectorCost) -> f64) -> Vec<Series> {
    let mut series: Vec<Series> = Vec::new();
    for cost in &report.selectors {
        let point = (f64::from(cost.items), of(cost));
        match series.iter_mut().find(|known| known.name == cost.selector) {
            Some(known) => known.points.push(point),
            None => series.push(Series {
                name: cost.selector.clone(),
                color: series.len(),
                is_dashed: false,
                points: vec![point],
            }),
        }
    }
    series
}

fn recovery(report: &Report) -> Plot<'static> {
    let points = |of: fn(&super::Recovery) -> f64| {
        report.recoveries.iter().map(|start| (float(start.records), of(start))).collect()
    };
    let line = |name: &str, color, is_dashed, points| Series {
        name: name.to_owned(),
        color,
        is_dashed,
        points,
    };
    Plot {
        title: "Time of a start, by records of the log",
        x: ("records of single draws", Axis::Count),
        y: ("time", Axis::Figure(Unit::Seconds)),
        series: vec![
            line("whole start", 0, false, points(|start| start.start)),
            line("read, check and replay", 2, false, points(|start| start.replay)),
            line("limit: raw read of the files", LIMIT, true, points(|start| start.read)),
        ],
    }
}

/// A logarithmic axis with a label at each power of ten.
struct Decades {
    first: i32,
    last: i32,
    axis: Axis,
}

impl Decades {
    fn around(values: impl Iterator<Item = f64> + Clone, axis: Axis) -> Self {
        let lowest = values.clone().fold(f64::INFINITY, f64::min).log10() + HAIR;
        let highest = values.fold(0.0, f64::max).log10() - HAIR;
        let first = exponent(lowest.floor());
        Self { first, last: exponent(highest.ceil()).max(first + 1), axis }
    }
}

/// An exponent of ten as a number to count with. Times and rates are far within its bounds.
fn exponent(rounded: f64) -> i32 {
    (-30..30).find(|&exponent| f64::from(exponent) >= rounded).unwrap_or(30)
}

impl Ranged for Decades {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let span = f64::from(self.last - self.first);
        let share = (value.log10() - f64::from(self.first)) / span;
        let place = f64::from(from) + share * f64::from(to - from);
        // The nearest pixel. A plot has a few hundred of them.
        let (low, high) = (from.min(to) - 10_000, from.max(to) + 10_000);
        nearest(place.clamp(f64::from(low), f64::from(high)))
    }

    fn key_points<Hint: plotters::coord::ranged1d::KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        (self.first..=self.last).map(|decade| 10f64.powi(decade)).collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        10f64.powi(self.first)..10f64.powi(self.last)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the caller clamps it to a few pixels")]
fn nearest(place: f64) -> i32 {
    place.round() as i32
}

impl ValueFormatter<f64> for Decades {
    fn format_ext(&self, value: &f64) -> String {
        match self.axis {
            Axis::Count => short_count(*value),
            // Two digits and one more nine for each power: 0 %, 90 %, 99 %, 99.9 %.
            Axis::Quantile => {
                let nines = exponent((value.log10() - 0.5).ceil()).unsigned_abs() as usize;
                format!("{:.*} %", nines.saturating_sub(2), 100.0 * (1.0 - 1.0 / value))
            }
            Axis::Figure(unit) => unit.short_text(*value),
        }
    }
}

fn short_count(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.0} M", v / 1e6),
        v if v >= 1e3 => format!("{:.0} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

impl Plot<'_> {
    /// The plot as SVG.
    fn draw(&self) -> anyhow::Result<String> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            self.draw_on(&root).map_err(|error| anyhow!("{error}"))?;
        }
        Ok(svg)
    }

    fn draw_on<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        root.fill(&PANEL)?;
        let (left, _) = root.split_horizontally(LEGEND_X - 10);
        let points = || self.series.iter().flat_map(|series| series.points.iter());
        let x = Decades::around(points().map(|point| point.0), self.x.1);
        let y = Decades::around(points().map(|point| point.1), self.y.1);
        let mut chart = ChartBuilder::on(&left)
            .caption(self.title, ("sans-serif", 21, &INK))
            .margin(14)
            .margin_right(28)
            .x_label_area_size(46)
            .y_label_area_size(76)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x.0)
            .y_desc(self.y.0)
            .bold_line_style(GRID)
            .max_light_lines(0)
            .axis_style(INK)
            .label_style(("sans-serif", 14, &INK))
            .axis_desc_style(("sans-serif", 15, &INK))
            .draw()?;
        for series in &self.series {
            let color = COLORS[series.color % COLORS.len()];
            let style = color.stroke_width(2);
            let points = series.points.iter().copied();
            if series.is_dashed {
                chart.draw_series(DashedLineSeries::new(points, 7, 5, style))?;
            } else {
                chart.draw_series(LineSeries::new(points, style))?;
            }
            if series.points.len() <= 12 {
                let dot = |point: &(f64, f64)| Circle::new(*point, 3, color.filled());
                chart.draw_series(series.points.iter().map(dot))?;
            }
        }
        self.draw_legend(root)?;
        root.present()
    }

    /// The names of the lines, from top to bottom.
    fn draw_legend<B: DrawingBackend>(
        &self,
        root: &DrawingArea<B, plotters::coord::Shift>,
    ) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let mut y = LEGEND_Y;
        for series in &self.series {
            let style = COLORS[series.color % COLORS.len()].stroke_width(3);
            let dashes = if series.is_dashed { vec![(0, 8), (13, 21)] } else { vec![(0, 21)] };
            for (from, to) in dashes {
                let ends = vec![(LEGEND_X + from, y + 7), (LEGEND_X + to, y + 7)];
                root.draw(&PathElement::new(ends, style))?;
            }
            let place = (LEGEND_X + 29, y);
            let font = ("sans-serif", 14).into_font().color(&INK);
            root.draw(&Text::new(series.name.as_str(), place, font))?;
            y += LEGEND_STEP;
        }
        Ok(())
    }
}
