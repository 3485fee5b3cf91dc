//! How well counts follow the odds, by a chi-square test that stock which runs out does not disturb.
//!
//! The draws are cut into periods. Looked at are the items that surely last to the end of a period:
//! whatever is sold out beside them, each draw that gives one of them gives it with the chance of its
//! weight among them, so over a period their counts are exactly multinomial. The chi-square numbers
//! of all periods and runs add up. An item whose last unit may fall into a period is judged by its own
//! count.
use super::forecast::Forecast;
use super::gamma::chi_square_above;
use super::number::float;

/// A period has at least so many draws, unless there are fewer.
const PERIOD_MIN: u64 = 1000;
/// A class of fewer units than this does not follow the chi-square distribution.
const CLASS_MIN: f64 = 5.0;

/// The periods of a run: the last one is its second half, the one before it the half of the rest, and
/// so on.
#[derive(Debug)]
pub(super) struct Periods {
    /// Their ends, rising.
    ends: Vec<u64>,
    items: Vec<Lasting>,
}

/// An item as the test sees it.
#[derive(Clone, Copy, Debug)]
struct Lasting {
    chance: f64,
    /// In how many periods it surely lasts, from the first one on.
    periods: u8,
}

impl Periods {
    pub(super) fn new(draws: u64, forecast: &Forecast, chances: &[f64]) -> Self {
        let halves = std::iter::successors(Some(draws), |end| Some(end / 2));
        let mut ends: Vec<u64> = halves.take_while(|&end| end >= PERIOD_MIN).collect();
        if ends.is_empty() {
            ends.push(draws);
        }
        ends.reverse();
        let lasting = chances.iter().map(|&chance| Lasting { chance, periods: 0 });
        let mut items: Vec<Lasting> = lasting.collect();
        for &end in &ends {
            for (item, lasts) in items.iter_mut().zip(forecast.lasting(float(end))) {
                item.periods += u8::from(lasts);
            }
        }
        Self { ends, items }
    }

    /// The end of the period in which the draw after this one is.
    pub(super) fn end_after(&self, draws: u64) -> u64 {
        let place = self.ends.partition_point(|&end| end <= draws);
        self.ends.get(place).copied().unwrap_or(u64::MAX)
    }
}

/// A chi-square number that adds up.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Fit {
    pub(super) chi_square: f64,
    /// Degrees of freedom.
    pub(super) freedom: u64,
}

/// Items that are counted together.
#[derive(Clone, Copy, Default)]
struct Class {
    chance: f64,
    count: u64,
}

impl Fit {
    /// Adds the counts of the period that ends after so many draws.
    pub(super) fn add(&mut self, periods: &Periods, end: u64, counts: &[u64]) {
        let number = periods.ends.partition_point(|&other| other < end);
        let begin = number.checked_sub(1).map_or(0, |before| periods.ends[before]);
        // Which items are a class must not depend on what was drawn.
        let is_class = |chance: f64| chance * float(end - begin) >= CLASS_MIN;
        let mut rare = Class::default();
        let mut classes = Vec::new();
        for (item, &count) in periods.items.iter().zip(counts) {
            let Lasting { chance, periods } = *item;
            if usize::from(periods) <= number || chance <= 0.0 {
                continue;
            }
            if is_class(chance) {
                classes.push(Class { chance, count });
            } else {
                rare = Class { chance: rare.chance + chance, count: rare.count + count };
            }
        }
        classes.extend(is_class(rare.chance).then_some(rare));
        let chance: f64 = classes.iter().map(|class| class.chance).sum();
        let count = float(classes.iter().map(|class| class.count).sum());
        if classes.len() < 2 || count <= 0.0 {
            return;
        }
        for class in &classes {
            let expected = count * class.chance / chance;
            self.chi_square += (float(class.count) - expected).powi(2) / expected;
            self.freedom += 1;
        }
        self.freedom -= 1;
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            chi_square: self.chi_square + other.chi_square,
            freedom: self.freedom + other.freedom,
        }
    }

    /// How often an honest generator strays further. `None` when nothing could be compared.
    pub(super) fn p_value(&self) -> Option<f64> {
        (self.freedom > 0).then(|| chi_square_above(self.chi_square, float(self.freedom)))
    }
}
