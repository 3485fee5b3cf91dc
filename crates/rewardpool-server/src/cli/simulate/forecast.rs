//! What is to be expected of so many draws: units of each item, and the draw at which it runs out.
//!
//! Limited stock makes the odds change on the way, so the expectation is not a product. It becomes
//! one in another clock: let each item arrive by itself, at random moments, as often in a unit of
//! time as its chance says, and stop when it is sold out. The arrivals in their order are exactly the
//! draws of the pool, and in that clock the items know nothing of each other: by a given moment an
//! item has come as often as the smaller of a Poisson number and its quantity. The moment at which
//! the n-th draw is made varies little, so the expectation is taken at the moment at which n arrivals
//! are expected, and the deviation follows from those of all items (the delta method).
//!
//! Where no stock runs out this is exact: the mean and the deviation are those of the binomial
//! distribution. Elsewhere the error is of the order of a single unit, far below a standard
//! deviation.
use std::collections::HashMap;

use super::gamma::{
    EIGHTHS, HIGH, LOW, Level, SCORE, gamma_quantile, poisson_at, poisson_below, poisson_quantile,
};

/// Beyond so many standard deviations an item surely has, or surely has not, run out.
const SURE_SCORE: f64 = 12.0;
/// The same for small numbers.
const SURE_UNITS: f64 = 40.0;
/// Steps of Newton's method, which doubles its digits with each.
const STEPS_MAX: u32 = 200;
/// Up to so many moments times items are looked at one by one; more are read from a table.
const LOOKS_MAX: usize = 20_000_000;
/// Rows of that table.
const TABLE_ROWS: usize = 256;
/// Quantiles of arrivals are kept up to this quantity.
const KEPT_QUANTILES: f64 = 1000.0;

/// An item as draws see it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Term {
    /// Its chance in the first draw.
    pub(super) chance: f64,
    /// Its units; infinite when unlimited.
    pub(super) units: f64,
}

/// A number that is expected, with the interval that holds it in 99 of 100 cases.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Expected {
    pub(super) mean: f64,
    /// The standard deviation.
    pub(super) deviation: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Expected {
    const NOTHING: Self = Self { mean: 0.0, deviation: 0.0, low: 0.0, high: 0.0 };
}

/// A pool as draws see it.
#[derive(Debug)]
pub(super) struct Forecast {
    terms: Vec<Term>,
    /// Those that can run out.
    limited: Vec<Term>,
    /// Chance of all unlimited items together.
    unlimited: f64,
    /// Units of all items together; infinite when one is unlimited.
    units: f64,
}

/// What has come of one item, or of all, by some moment.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
struct Moment {
    mean: f64,
    variance: f64,
    /// How fast the mean grows.
    rate: f64,
}

impl Moment {
    /// What has come of one item.
    fn of(term: Term, time: f64) -> Self {
        let Term { chance, units } = term;
        let mean = chance * time;
        let room = SURE_SCORE * mean.sqrt() + SURE_UNITS;
        if units > mean + room {
            return Self { mean, variance: mean, rate: chance };
        }
        if units <= 0.0 || mean > units + SURE_SCORE * units.sqrt() + SURE_UNITS {
            return Self { mean: units, variance: 0.0, rate: 0.0 };
        }
        // Of the smaller of a Poisson number and the units. Written so that large terms do not
        // cancel each other.
        let (below, last) = (poisson_below(units, mean), poisson_at(units - 1.0, mean));
        let (reached, short) = (1.0 - below, units - mean);
        let variance = mean * below + short * short * reached * below
            - mean * last * (short * (1.0 - 2.0 * reached) + mean * last);
        Self {
            mean: mean - mean * last + short * reached,
            variance: variance.max(0.0),
            rate: chance * below,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            mean: self.mean + other.mean,
            variance: self.variance + other.variance,
            rate: self.rate + other.rate,
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            mean: (self.mean - other.mean).max(0.0),
            variance: (self.variance - other.variance).max(0.0),
            rate: (self.rate - other.rate).max(0.0),
        }
    }
}

impl Forecast {
    /// Of items whose chances add up to 1, or are all 0.
    pub(super) fn new(terms: Vec<Term>) -> Self {
        let can_come = |term: &&Term| term.chance > 0.0;
        let is_limited = |term: &Term| term.units.is_finite();
        let unlimited = terms.iter().filter(can_come).filter(|term| !is_limited(term));
        Self {
            limited: terms.iter().filter(can_come).copied().filter(is_limited).collect(),
            unlimited: unlimited.map(|term| term.chance).sum(),
            units: terms.iter().filter(can_come).map(|term| term.units).sum(),
            terms,
        }
    }

    fn at(&self, time: f64) -> Moment {
        let all = Term { chance: self.unlimited, units: f64::INFINITY };
        let begin = if self.unlimited > 0.0 { Moment::of(all, time) } else { Moment::default() };
        self.limited.iter().fold(begin, |sum, &term| sum.plus(Moment::of(term, time)))
    }

    /// The moment at which so many arrivals are expected, fewer than there are units.
    fn time_of(&self, draws: f64) -> f64 {
        // The sum grows ever slower, so each step ends short of the moment, and the first one begins
        // short of it: without stock that runs out, a draw takes one unit of time.
        let mut time = draws;
        for _ in 0..STEPS_MAX {
            let Moment { mean, rate, .. } = self.at(time);
            let missing = draws - mean;
            if missing <= draws * 1e-13 || rate <= 0.0 {
                break;
            }
            time += missing / rate;
        }
        time
    }

    /// Units of each item that so many draws give.
    pub(super) fn counts(&self, draws: f64) -> Vec<Expected> {
        if draws >= self.units {
            let all = |term: &Term| {
                let units = if term.chance > 0.0 { term.units } else { 0.0 };
                Expected { mean: units, low: units, high: units, ..Expected::NOTHING }
            };
            return self.terms.iter().map(all).collect();
        }
        let time = self.time_of(draws);
        let all = self.at(time);
        let count = |&term: &Term| {
            if term.chance <= 0.0 {
                Expected::NOTHING
            } else {
                expected_count(term, time, all, draws)
            }
        };
        self.terms.iter().map(count).collect()
    }

    /// The draw at which each limited item runs out; `None` for those that never do.
    pub(super) fn ends(&self) -> Vec<Option<Expected>> {
        let table = Table::of(self);
        let mut quantiles = Quantiles::default();
        let end = |&term: &Term| {
            let Term { chance, units } = term;
            if !units.is_finite() || (chance <= 0.0 && units > 0.0) {
                return None;
            }
            if units <= 0.0 {
                return Some(Expected::NOTHING);
            }
            Some(expected_end(term, self.units, |level| {
                let time = quantiles.of(units, level) / chance;
                (time, table.at(self, time).minus(Moment::of(term, time)))
            }))
        };
        self.terms.iter().map(end).collect()
    }

    /// Whether an item surely is not sold out after so many draws.
    pub(super) fn lasting(&self, draws: f64) -> Vec<bool> {
        if draws >= self.units {
            return self.terms.iter().map(|term| term.units.is_infinite()).collect();
        }
        let time = self.time_of(draws);
        let lasts = |term: &Term| {
            let mean = term.chance * time;
            term.units > mean + SURE_SCORE * mean.sqrt() + SURE_UNITS
        };
        self.terms.iter().map(lasts).collect()
    }
}

/// Units of one item at the moment at which so many draws are expected.
fn expected_count(term: Term, time: f64, all: Moment, draws: f64) -> Expected {
    let own = Moment::of(term, time);
    // When more has come of everything, the n-th draw was made earlier, and less of this item.
    let share = if all.rate > 0.0 { own.rate / all.rate } else { 0.0 };
    let others = share * all.minus(own).variance.sqrt();
    let most = term.units.min(draws);
    let end = |level: Level| {
        let reached = poisson_quantile(term.chance * time, level).min(term.units);
        let away = (1.0 - share) * (reached - own.mean);
        away.hypot(SCORE * others) * level.score.signum()
    };
    Expected {
        mean: own.mean,
        deviation: ((1.0 - share) * own.variance.sqrt()).hypot(others),
        low: (own.mean + end(LOW)).floor().clamp(0.0, most),
        high: (own.mean + end(HIGH)).ceil().clamp(0.0, most),
    }
}

/// The draw of the last unit of one item. `others_at` gives the moment of that unit at a level of its
/// distribution, and what has come of the others by then.
fn expected_end(
    term: Term,
    all_units: f64,
    mut others_at: impl FnMut(Level) -> (f64, Moment),
) -> Expected {
    let Term { chance, units } = term;
    let parts = EIGHTHS.map(&mut others_at);
    let mean = |of: fn(&(f64, Moment)) -> f64| parts.iter().map(of).sum::<f64>() / 8.0;
    // The parts leave out the ends of the distribution, whose mean is known.
    let left_out = units / chance - mean(|(time, _)| *time);
    let others = mean(|(_, part)| part.mean) + left_out * mean(|(_, part)| part.rate);
    let variance = mean(|(_, part)| part.variance);
    let own = parts.iter().map(|(_, part)| (part.mean - others).powi(2)).sum::<f64>() / 8.0;
    let scatter = SCORE * variance.sqrt();
    let low = (others - others_at(LOW).1.mean).max(0.0).hypot(scatter);
    let high = (others_at(HIGH).1.mean - others).max(0.0).hypot(scatter);
    Expected {
        mean: (units + others).min(all_units),
        deviation: (own + variance).sqrt(),
        low: (units + others - low).floor().clamp(units, all_units),
        high: (units + others + high).ceil().clamp(units, all_units),
    }
}

/// Quantiles of arrivals, each worked out once.
#[derive(Default)]
struct Quantiles(HashMap<(u64, u64), f64>);

impl Quantiles {
    fn of(&mut self, units: f64, level: Level) -> f64 {
        if units > KEPT_QUANTILES {
            return gamma_quantile(units, level);
        }
        let key = (units.to_bits(), level.probability.to_bits());
        *self.0.entry(key).or_insert_with(|| gamma_quantile(units, level))
    }
}

/// What has come of all items at any moment: looked at anew, or between the rows of a table when there
/// are too many items for that.
struct Table(Vec<(f64, Moment)>);

impl Table {
    fn of(forecast: &Forecast) -> Self {
        let items = forecast.limited.len();
        let looks = EIGHTHS.len() + 2;
        if items.saturating_mul(items) <= LOOKS_MAX / looks {
            return Self(Vec::new());
        }
        let times = forecast.limited.iter().filter(|term| term.units > 0.0).map(|term| {
            let Term { chance, units } = *term;
            let width = SURE_SCORE * units.sqrt() + SURE_UNITS;
            ((units / 100.0 / chance), (units + width) / chance)
        });
        let (first, last) = times.fold((f64::INFINITY, 0.0_f64), |(first, last), (low, high)| {
            (first.min(low), last.max(high))
        });
        let rows = f64::from(u32::try_from(TABLE_ROWS).expect("it is small"));
        let step = (last / first).powf(1.0 / (rows - 1.0));
        let times = std::iter::successors(Some(first), |time| Some(time * step));
        Self(times.take(TABLE_ROWS).map(|time| (time, forecast.at(time))).collect())
    }

    fn at(&self, forecast: &Forecast, time: f64) -> Moment {
        let after = self.0.partition_point(|(row, _)| *row <= time);
        match (after.checked_sub(1).map(|before| self.0[before]), self.0.get(after)) {
            (Some((begin, from)), Some(&(end, to))) => {
                let part = (time - begin) / (end - begin);
                between((from, to), end - begin, part)
            }
            // Rare: before the first row, or behind the last one.
            _ => forecast.at(time),
        }
    }
}

/// The curve through two rows that has their means and rates (Hermite's).
fn between((from, to): (Moment, Moment), width: f64, part: f64) -> Moment {
    let (square, rest) = (part * part, 1.0 - part);
    let mean = from.mean * rest * rest * (1.0 + 2.0 * part)
        + to.mean * square * (3.0 - 2.0 * part)
        + width * part * rest * (from.rate * rest - to.rate * part);
    let line = |from: f64, to: f64| from * rest + to * part;
    Moment { mean, variance: line(from.variance, to.variance), rate: line(from.rate, to.rate) }
}

#[cfg(test)]
mod tests;
