//! Goal: a forecast is what many draws would show. Method: cases that can be worked out on paper, and
//! small pools whose every course is followed with its chance.
use super::*;

fn pool(items: &[(f64, f64)]) -> Forecast {
    let total: f64 = items.iter().map(|(weight, _)| weight).sum();
    let term = |&(weight, units): &(f64, f64)| Term { chance: weight / total, units };
    Forecast::new(items.iter().map(term).collect())
}

const UNLIMITED: f64 = f64::INFINITY;

/// The sample of `rewardpool config init`.
fn sample() -> Forecast {
    pool(&[
        (10.0, 100.0),
        (20.0, 1000.0),
        (30.0, 10_000.0),
        (40.0, 100_000.0),
        (70.0, UNLIMITED),
        (50.0, UNLIMITED),
    ])
}

#[track_caller]
fn near(found: f64, expected: f64, error: f64) {
    assert!((found - expected).abs() <= error, "{found} is not {expected} ± {error}");
}

#[test]
fn constant_odds_give_the_binomial_distribution() {
    let forecast = pool(&[(1.0, UNLIMITED), (3.0, 1e9), (0.0, 5.0), (6.0, UNLIMITED)]);
    let draws = 5000.0;
    for (count, chance) in forecast.counts(draws).iter().zip([0.1_f64, 0.3, 0.0, 0.6]) {
        near(count.mean, draws * chance, 1e-6);
        near(count.deviation, (draws * chance * (1.0 - chance)).sqrt(), 1e-6);
    }
}

/// Each limited item is sold out long before, so what is left goes to the two others in the ratio of
/// their weights.
#[test]
fn what_is_sold_out_is_certain() {
    let counts = sample().counts(1_000_000.0);
    for (count, units) in counts.iter().zip([100.0, 1000.0, 10_000.0, 100_000.0]) {
        assert_eq!((count.low, count.high), (units, units));
        near(count.mean, units, 1e-9);
        near(count.deviation, 0.0, 1e-9);
    }
    let rest = 1_000_000.0 - 111_100.0;
    near(counts[4].mean, rest * 7.0 / 12.0, 1e-6);
    near(counts[5].mean, rest * 5.0 / 12.0, 1e-6);
    let deviation = (rest * 7.0 / 12.0 * 5.0 / 12.0).sqrt();
    near(counts[4].deviation, deviation, 1e-6);
}

/// When an item runs out, those with fewer units for their weight are surely gone, and the others come
/// beside it as their weights say: the sum of both is the draw.
#[test]
fn the_ends_of_the_sample_are_those_on_paper() {
    let ends: Vec<Option<Expected>> = sample().ends();
    let on_paper = [
        100.0 * 220.0 / 10.0,
        100.0 + 1000.0 * 210.0 / 20.0,
        1100.0 + 10_000.0 * 190.0 / 30.0,
        11_100.0 + 100_000.0 * 160.0 / 40.0,
    ];
    for (end, expected) in ends.iter().zip(on_paper) {
        let end = end.unwrap();
        near(end.mean, expected, 1e-3);
        assert!(end.low < expected && expected < end.high, "{end:?}");
    }
    // The number of draws until the hundredth success.
    let chance = 10.0 / 220.0_f64;
    near(ends[0].unwrap().deviation, (100.0 * (1.0 - chance)).sqrt() / chance, 20.0);
    assert_eq!(ends[4], None);
}

#[test]
fn everything_is_sold_out_in_the_end() {
    let forecast = pool(&[(1.0, 3.0), (5.0, 4.0), (0.0, 9.0)]);
    let means = |draws| forecast.counts(draws).iter().map(|count| count.mean).collect::<Vec<_>>();
    assert_eq!(means(7.0), [3.0, 4.0, 0.0]);
    assert_eq!(means(1e9), [3.0, 4.0, 0.0]);
    let ends = forecast.ends();
    assert!(ends[0].unwrap().high <= 7.0 && ends[0].unwrap().low >= 3.0);
    assert_eq!(ends[2], None, "what is never drawn never runs out");
    assert_eq!(pool(&[(0.0, 5.0)]).counts(10.0), [Expected::NOTHING]);
    assert_eq!(pool(&[(1.0, 0.0), (1.0, 1.0)]).ends()[0], Some(Expected::NOTHING));
}

/// The chance of each number of units of the two limited items after so many draws, followed draw by
/// draw. Gives the means and the deviations.
fn followed(weights: [f64; 3], units: [usize; 2], draws: usize) -> [(f64, f64); 2] {
    let mut chances = vec![vec![0.0; units[1] + 1]; units[0] + 1];
    chances[0][0] = 1.0;
    for _ in 0..draws {
        let mut next = vec![vec![0.0; units[1] + 1]; units[0] + 1];
        for a in 0..=units[0] {
            for b in 0..=units[1] {
                let weight = [
                    if a < units[0] { weights[0] } else { 0.0 },
                    if b < units[1] { weights[1] } else { 0.0 },
                    weights[2],
                ];
                let part = chances[a][b] / weight.iter().sum::<f64>();
                if weight[0] > 0.0 {
                    next[a + 1][b] += part * weight[0];
                }
                if weight[1] > 0.0 {
                    next[a][b + 1] += part * weight[1];
                }
                next[a][b] += part * weight[2];
            }
        }
        chances = next;
    }
    let number = |count: usize| f64::from(u32::try_from(count).unwrap());
    let moments = |of: fn(usize, usize) -> usize| {
        let each = || {
            let rows = chances.iter().enumerate();
            rows.flat_map(|(a, row)| row.iter().enumerate().map(move |(b, chance)| (a, b, chance)))
        };
        let mean: f64 = each().map(|(a, b, chance)| number(of(a, b)) * chance).sum();
        let square =
            |(a, b, chance): (usize, usize, &f64)| (number(of(a, b)) - mean).powi(2) * chance;
        (mean, each().map(square).sum::<f64>().sqrt())
    };
    [moments(|a, _| a), moments(|_, b| b)]
}

#[test]
fn small_pools_are_forecast_as_they_go_on_the_average() {
    for (weights, units, draws) in [
        ([5.0, 1.0, 4.0], [3, 2], 12),
        ([1.0, 1.0, 98.0], [1, 2], 100),
        ([10.0, 20.0, 170.0], [40, 100], 800),
        ([10.0, 20.0, 170.0], [40, 100], 1000),
        ([30.0, 1.0, 1.0], [200, 5], 230),
    ] {
        let size = |count: usize| f64::from(u32::try_from(count).unwrap());
        let forecast = pool(&[
            (weights[0], size(units[0])),
            (weights[1], size(units[1])),
            (weights[2], UNLIMITED),
        ]);
        let counts = forecast.counts(size(draws));
        for (count, (mean, deviation)) in counts.iter().zip(followed(weights, units, draws)) {
            let text = format!("{weights:?} {units:?} {draws}: {count:?}, {mean} ± {deviation}");
            assert!((count.mean - mean).abs() < 0.1 * deviation.max(0.2), "{text}");
            assert!((count.deviation - deviation).abs() < 0.1 * deviation.max(1.0), "{text}");
        }
        let sum: f64 = counts.iter().map(|count| count.mean).sum();
        near(sum, size(draws), 1e-6);
    }
}

/// Enough items that the table is used, and few enough to look at them one by one as well.
#[test]
fn the_table_gives_what_looking_gives() {
    let items: Vec<(f64, f64)> =
        (1..=1500_u32).map(|n| (f64::from(1 + n % 7), f64::from(1 + n * n % 4001))).collect();
    let forecast = pool(&[&items[..], &[(500.0, UNLIMITED)]].concat());
    let table = Table::of(&forecast);
    assert!(!table.0.is_empty());
    for (place, end) in forecast.ends().iter().enumerate().step_by(97).take(15) {
        let (term, end) = (forecast.terms[place], end.unwrap());
        let looked = expected_end(term, forecast.units, |level| {
            let time = gamma_quantile(term.units, level) / term.chance;
            (time, forecast.at(time).minus(Moment::of(term, time)))
        });
        near(end.mean, looked.mean, 1e-3 * looked.mean);
        near(end.low, looked.low, 2e-3 * looked.low + 1.0);
        near(end.high, looked.high, 2e-3 * looked.high + 1.0);
    }
}
