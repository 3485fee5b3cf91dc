//! A simulation for people and for programs.
use rewardpool_core::catalog::CatalogItem;
use rewardpool_core::quantity::Quantity;
use serde_json::{Value, json};

use super::forecast::Expected;
use super::number::{float, whole};
use super::source::Catalogue;
use super::{ExpectedItem, Simulated, SimulatedItem};
use crate::cli::output::{self, Align, Table};

/// Standard deviations say little about a sum that varies less: few units, or nearly all there are.
const DEVIATION_MIN: f64 = 2.0;

/// How far what came is from what was expected, in standard deviations of the sum of all runs. `None`
/// for a count that varies too little.
fn sigmas(simulated: &Simulated, item: &SimulatedItem, expected: &Expected) -> Option<f64> {
    let runs = f64::from(simulated.runs);
    let deviation = expected.deviation * runs.sqrt();
    let away = (item.counts.mean()? - expected.mean) * runs;
    (deviation >= DEVIATION_MIN).then(|| away / deviation)
}

/// An item with all that is known of it.
struct Row<'a> {
    item: &'a CatalogItem,
    simulated: &'a SimulatedItem,
    expected: &'a ExpectedItem,
}

fn rows<'a>(
    catalogue: &'a Catalogue,
    simulated: &'a Simulated,
    expected: &'a [ExpectedItem],
) -> impl Iterator<Item = Row<'a>> {
    let items = catalogue.items().zip(&simulated.items).zip(expected);
    items.map(|((item, simulated), expected)| Row { item, simulated, expected })
}

pub(super) fn text(
    catalogue: &Catalogue,
    simulated: &Simulated,
    expected: &[ExpectedItem],
) -> String {
    let runs = if simulated.runs == 1 { "1 run" } else { &format!("{} runs", simulated.runs) };
    let draws = output::count(simulated.draws);
    let head = format!(
        "pool {} {}: {runs} of {draws} draws, seed {}\n\n",
        catalogue.spec.id, catalogue.origin, simulated.seed
    );
    let rows: Vec<Row<'_>> = rows(catalogue, simulated, expected).collect();
    let mut text = head + &counts(catalogue, simulated, &rows).render();
    if rows.iter().any(|row| row.expected.end.is_some()) {
        text.push('\n');
        text.push_str(&stock(simulated, &rows).render());
    }
    text.push('\n');
    if simulated.empties > 0 {
        let empties = output::count(simulated.empties);
        text.extend([&*empties, " draws found nothing: everything was sold out\n"]);
    }
    let fit = &simulated.fit;
    let compared = fit.p_value().map_or_else(
        || "chi-square: too little to compare".to_owned(),
        |p| {
            let (value, freedom) = (fit.chi_square, fit.freedom);
            format!("chi-square {value:.2} with {freedom} degrees of freedom: p = {p:.4}")
        },
    );
    text.extend([&*compared, "\n"]);
    text
}

fn counts(catalogue: &Catalogue, simulated: &Simulated, rows: &[Row<'_>]) -> Table<8> {
    let mut table = Table::new([
        ("ITEM", Align::Left),
        ("WEIGHT", Align::Right),
        ("ODDS %", Align::Right),
        ("EXPECTED", Align::Right),
        ("LOW", Align::Right),
        ("HIGH", Align::Right),
        ("SIMULATED", Align::Right),
        ("SIGMAS", Align::Right),
    ]);
    for Row { item, simulated: found, expected } in rows {
        let (weight, total) = catalogue.weights(item);
        let Expected { mean, low, high, .. } = expected.count;
        let sigmas = sigmas(simulated, found, &expected.count);
        table.push([
            item.id.to_string(),
            output::count(item.weight),
            output::percent(weight, total),
            mean_text(mean),
            output::count(whole(low)),
            output::count(whole(high)),
            found.counts.mean().map_or_else(dash, mean_text),
            sigmas.map_or_else(dash, |sigmas| format!("{sigmas:+.2}")),
        ]);
    }
    table
}

fn stock(simulated: &Simulated, rows: &[Row<'_>]) -> Table<7> {
    let mut table = Table::new([
        ("ITEM", Align::Left),
        ("QUANTITY", Align::Right),
        ("LEFT", Align::Right),
        ("RUNS OUT AT DRAW", Align::Right),
        ("EXPECTED", Align::Right),
        ("LOW", Align::Right),
        ("HIGH", Align::Right),
    ]);
    for Row { item, simulated: found, expected } in rows {
        let Quantity::Limited(units) = item.quantity else { continue };
        let left = found.counts.mean().map(|mean| float(units) - mean);
        let number = |number: fn(&Expected) -> f64| {
            expected.end.as_ref().map_or_else(dash, |end| output::count(whole(number(end))))
        };
        table.push([
            item.id.to_string(),
            output::count(units),
            left.map_or_else(dash, mean_text),
            end_text(simulated, found),
            number(|end| end.mean),
            number(|end| end.low),
            number(|end| end.high),
        ]);
    }
    table
}

/// The draw of the last unit, and in how many runs it came when not in all.
fn end_text(simulated: &Simulated, found: &SimulatedItem) -> String {
    match found.ends.mean() {
        None => "-".to_owned(),
        Some(mean) if found.ends.numbers == simulated.runs => mean_text(mean),
        Some(mean) => {
            format!("{} ({} of {})", mean_text(mean), found.ends.numbers, simulated.runs)
        }
    }
}

fn dash() -> String {
    "-".to_owned()
}

/// A mean, with a decimal where it is not whole.
fn mean_text(mean: f64) -> String {
    let rounded = whole(mean);
    if (mean - float(rounded)).abs() < 0.05 || mean >= 100_000.0 {
        return output::count(rounded);
    }
    let tenths = whole(mean * 10.0);
    format!("{}.{}", output::count(tenths / 10), tenths % 10)
}

pub(super) fn json(
    catalogue: &Catalogue,
    simulated: &Simulated,
    expected: &[ExpectedItem],
) -> Value {
    let items = rows(catalogue, simulated, expected);
    let items: Vec<Value> = items.map(|row| item_json(catalogue, simulated, &row)).collect();
    json!({
        "pool": catalogue.spec.id.as_str(),
        "seed": simulated.seed.to_string(),
        "runs": simulated.runs,
        "draws": simulated.draws,
        "empties": u64::try_from(simulated.empties).unwrap_or(u64::MAX),
        "interrupted": simulated.is_interrupted,
        "chi_square": simulated.fit.chi_square,
        "degrees_of_freedom": simulated.fit.freedom,
        "p_value": simulated.fit.p_value(),
        "items": items,
    })
}

fn item_json(catalogue: &Catalogue, simulated: &Simulated, row: &Row<'_>) -> Value {
    let Row { item, simulated: found, expected } = row;
    let runs_out = expected.end.map(|end| {
        json!({
            "expected": {
                "draw": end.mean, "deviation": end.deviation,
                "low": whole(end.low), "high": whole(end.high),
            },
            "simulated": {
                "runs": found.ends.numbers,
                "draw": found.ends.mean(),
                "min": (found.ends.numbers > 0).then_some(found.ends.min),
                "max": (found.ends.numbers > 0).then_some(found.ends.max),
            },
        })
    });
    let left = match item.quantity {
        Quantity::Limited(units) => found.counts.mean().map(|mean| float(units) - mean),
        Quantity::Unlimited => None,
    };
    let Expected { mean, deviation, low, high } = expected.count;
    json!({
        "item_id": item.id.as_str(),
        "weight": item.weight,
        "chance": catalogue.chance(item),
        "quantity": item.quantity.to_number(),
        "expected": {
            "count": mean, "deviation": deviation, "low": whole(low), "high": whole(high),
        },
        "simulated": {
            "count": found.counts.mean(), "min": found.counts.min, "max": found.counts.max,
            "left": left,
        },
        "sigmas": sigmas(simulated, found, &expected.count),
        "runs_out": runs_out,
    })
}
