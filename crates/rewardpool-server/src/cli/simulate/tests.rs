//! Goal: what is simulated is what the forecast expects, as often as it says, and a generator that
//! cheats is found. Method: many runs with fixed seeds, and counts that were bent.
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{KeyLimits, PoolSpec};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::selector::SelectorKind;
use rewardpool_server::config::Config;

use super::*;

const SEED: Seed = Seed([7; 32]);

fn catalogue(items: &[(u64, i64)]) -> Catalogue {
    let items = items.iter().enumerate().map(|(place, &(weight, units))| CatalogItem {
        id: ItemId::new(&format!("item-{place}")).unwrap(),
        weight,
        quantity: Quantity::from_number(units).unwrap(),
    });
    Catalogue::for_tests(PoolSpec {
        id: PoolId::new("test").unwrap(),
        catalog: Catalog::new(items.collect()).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    })
}

fn draw(catalogue: &Catalogue, draws: u64, runs: u32) -> Simulated {
    Simulated::draw(catalogue, SEED, draws, runs).unwrap()
}

#[test]
fn seeds_are_numbers_or_digits() {
    let parse = Seed::from_str;
    let mut seven = [0; 32];
    seven[0] = 7;
    assert_eq!(parse("7"), Ok(Seed(seven)));
    assert_eq!(parse(&"07".repeat(32)), Ok(SEED));
    for text in ["0", "7", "18446744073709551615", &"07".repeat(32)] {
        assert_eq!(parse(text).unwrap().to_string(), text);
    }
    for wrong in ["", "x", "-1", "18446744073709551616", "0x7", &"g".repeat(64), &"é".repeat(32)] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

/// The intervals hold 99 of 100 runs, for pools in which stock runs out at every stage.
#[test]
fn the_bounds_hold_as_many_runs_as_they_say() {
    let runs = 1000;
    for (items, draws) in [
        (&[(10, 100), (20, 1000), (30, -1), (40, -1)][..], 1200),
        (&[(1, 1), (2, 3), (97, -1)], 120),
        (&[(10, 40), (20, 100), (170, -1)], 900),
        (&[(5, 400), (1, 80), (3, 300)], 600),
    ] {
        let catalogue = catalogue(items);
        let expected = expected(&catalogue, draws);
        let (mut inside, mut ends_inside) = (vec![0; items.len()], vec![0; items.len()]);
        let campaign = Campaign::new(&catalogue.spec);
        let chances: Vec<f64> = catalogue.items().map(|item| catalogue.chance(item)).collect();
        let periods = Periods::new(draws, &forecast(&catalogue), &chances);
        let mut secret = Secret::new(SEED.0);
        for _ in 0..runs {
            // Long enough that everything limited runs out, to see when.
            let round = campaign.run(&secret, 20_000, &periods, |_| ControlFlow::Continue(()));
            let short = campaign.run(&secret, draws, &periods, |_| ControlFlow::Continue(()));
            for (item, expected) in expected.iter().enumerate() {
                let is_inside = |found: u64, expected: &Expected| {
                    (expected.low..=expected.high).contains(&float(found))
                };
                inside[item] += u32::from(is_inside(short.counts[item], &expected.count));
                if let Some(end) = &expected.end {
                    assert!(round.ends[item] > 0, "everything runs out");
                    ends_inside[item] += u32::from(is_inside(round.ends[item], end));
                }
            }
            secret = Secret::new(secret.commitment());
        }
        let least = runs * 98 / 100;
        assert!(inside.iter().all(|&inside| inside >= least), "{items:?}: {inside:?}");
        for (place, expected) in expected.iter().enumerate() {
            assert!(expected.end.is_none() || ends_inside[place] >= least, "{ends_inside:?}");
        }
    }
}

/// Means over many runs are the forecast's, to a few hundredths of a deviation.
#[test]
fn means_of_many_runs_are_those_of_the_forecast() {
    let catalogue = catalogue(&[(10, 40), (20, 100), (1, 1), (170, -1)]);
    let simulated = draw(&catalogue, 900, 4000);
    for (found, expected) in simulated.items.iter().zip(expected(&catalogue, 900)) {
        let count = expected.count;
        let (mean, end) = (found.counts.mean().unwrap(), found.ends.mean());
        assert!((mean - count.mean).abs() < 0.1 * count.deviation, "{mean} {count:?}");
        // Where all runs reached the end, also its mean.
        if let (Some(mean), Some(end), 4000) = (end, expected.end, found.ends.numbers) {
            assert!((mean - end.mean).abs() < 0.1 * end.deviation, "{mean} {end:?}");
        }
    }
}

#[test]
fn chi_square_is_spread_evenly_and_finds_a_cheat() {
    let pools = Config::built_in().pools;
    let catalogue = Catalogue::for_tests(pools[0].spec.clone());
    let campaign = Campaign::new(&catalogue.spec);
    let chances: Vec<f64> = catalogue.items().map(|item| catalogue.chance(item)).collect();
    let draws = 20_000;
    let periods = Periods::new(draws, &forecast(&catalogue), &chances);
    let mut secret = Secret::new(SEED.0);
    let mut tenths = [0; 10];
    for _ in 0..1000 {
        let round = campaign.run(&secret, draws, &periods, |_| ControlFlow::Continue(()));
        let p = round.fit.p_value().unwrap();
        tenths[usize::try_from(number::whole((p * 10.0).floor())).unwrap().min(9)] += 1;
        secret = Secret::new(secret.commitment());
    }
    assert!(tenths.iter().all(|&tenth| (65..=140).contains(&tenth)), "{tenths:?}");

    // One unit in ten of an item is given to another one.
    let honest = campaign.run(&secret, draws, &periods, |_| ControlFlow::Continue(()));
    let mut bent = honest.counts.clone();
    bent[4] -= bent[4] / 10;
    bent[5] += honest.counts[4] / 10;
    let single = Periods::new(draws, &forecast(&catalogue), &chances);
    let mut fit = Fit::default();
    fit.add(&single, draws, &bent);
    assert!(fit.p_value().unwrap() < 1e-6, "{fit:?}");
}

#[test]
fn nothing_left_is_empty_draws() {
    let simulated = draw(&catalogue(&[(1, 3), (2, 4)]), 1000, 2);
    assert_eq!((simulated.empties, simulated.draws), (2 * 993, 1000));
    let counts = simulated.items.iter().map(|item| item.counts.total);
    assert_eq!(counts.collect::<Vec<_>>(), [6, 8]);
    let last = simulated.items.iter().map(|item| item.ends.max).max();
    assert_eq!(last, Some(7));
    let none = draw(&catalogue(&[(0, 3), (2, 0)]), 10, 1);
    assert_eq!((none.empties, none.fit.p_value()), (10, None));
}
