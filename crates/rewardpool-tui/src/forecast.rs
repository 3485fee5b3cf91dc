//! When each item runs out, if draws go on at the present pace.
//!
//! The pace is that of the pool, measured over a window that is long enough to hold many draws, and
//! each item gets the part of it that its odds say. Counting the awards of a rare item instead would
//! jump with each one. When an item is gone, the odds of the others grow; the forecast follows that:
//! between two moments at which something runs out, an item of weight w loses w/W of the pace, with
//! W the weight that is left. In the measure s, with ds = pace/W dt, every item loses w a unit of s,
//! so it is gone at s = left/w, whatever happens to the others.
use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{PoolState, Units};
use crate::moment::Moment;
use crate::numbers::float;

/// Windows over which the pace is measured: the first one with enough draws counts.
const WINDOWS: [Duration; 3] =
    [Duration::from_secs(30), Duration::from_mins(2), Duration::from_mins(10)];
/// Draws that are enough for a window.
const DRAWS_ENOUGH: u64 = 200;
/// Draws without which the longest window says nothing.
const DRAWS_MIN: u64 = 10;
/// Samples are this far apart at least, so that their number is bounded.
const SAMPLE_EVERY: Duration = Duration::from_millis(900);
/// What was measured for less time says nothing about the next minutes.
const MEASURED_MIN: Duration = Duration::from_secs(3);
/// When so many awards in a row should have come and did not, the draws have ceased.
const MISSING_MAX: f64 = 20.0;
/// What lies further ahead is not worth a number.
const HORIZON: Duration = Duration::from_hours(24 * 365 * 10);

/// How fast the pool is drawn from.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// Awards that the pool had made at each moment, oldest first.
    samples: VecDeque<(Moment, u64)>,
    latest: Option<(Moment, u64)>,
    /// When an award was seen last.
    awarded: Option<Moment>,
}

impl Pace {
    /// Notes how many awards the pool has made.
    pub fn note(&mut self, now: Moment, awards: u64) {
        if self.latest.is_some_and(|(_, latest)| awards < latest) {
            // Another pool, or another service at the same address.
            *self = Self::default();
        }
        if self.latest.is_some_and(|(_, latest)| awards > latest) {
            self.awarded = Some(now);
        }
        self.latest = Some((now, awards));
        let is_due = |&(last, _): &(Moment, u64)| now.since(last) >= SAMPLE_EVERY;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back((now, awards));
        }
        let longest = WINDOWS[WINDOWS.len() - 1];
        // One sample at or before the window stays, to measure all of it.
        while self.samples.get(1).is_some_and(|(second, _)| now.since(*second) >= longest) {
            self.samples.pop_front();
        }
    }

    /// Awards per second. `None` when there were too few to tell, or when they have ceased.
    pub fn per_second(&self) -> Option<f64> {
        let pace = self.measured()?;
        let (now, _) = self.latest?;
        let missing = pace * now.since(self.awarded?).as_secs_f64();
        (missing < MISSING_MAX).then_some(pace)
    }

    fn measured(&self) -> Option<f64> {
        let (now, awards) = self.latest?;
        let mut found = None;
        for window in WINDOWS {
            let before = self.samples.iter().rev().find(|(at, _)| now.since(*at) >= window);
            let (start, first) = *before.or_else(|| self.samples.front())?;
            let (made, took) = (awards.saturating_sub(first), now.since(start));
            if made >= DRAWS_MIN && took >= MEASURED_MIN {
                found = Some(float(made) / took.as_secs_f64());
            }
            if made >= DRAWS_ENOUGH {
                break;
            }
        }
        found
    }
}

/// When an item will be gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forecast {
    /// It cannot be drawn, or nothing is known of the pace.
    Unknown,
    /// It is unlimited, or nobody alive will see it.
    Never,
    /// After this time.
    In(Duration),
}

/// When each item of the page will be gone. The items of other pages count with their weight, as if
/// they stayed.
pub fn forecasts(state: &PoolState, per_second: Option<f64>) -> Vec<Forecast> {
    let mut forecasts = vec![Forecast::Unknown; state.items.len()];
    let mut limited: Vec<(f64, usize)> = Vec::new();
    for (place, item) in state.items.iter().enumerate() {
        match item.left {
            Units::Limited(left) if item.effective_weight() > 0 => {
                limited.push((float(left) / float(item.weight), place));
            }
            Units::Unlimited if item.is_drawable => forecasts[place] = Forecast::Never,
            Units::Limited(_) | Units::Unlimited => {}
        }
    }
    let Some(pace) = per_second.filter(|pace| *pace > 0.0) else { return forecasts };
    limited.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let (mut seconds, mut reached, mut weight) = (0.0, 0.0, float(state.total_weight));
    for (gone_at, place) in limited {
        seconds += (gone_at - reached) * weight.max(0.0) / pace;
        reached = gone_at;
        weight -= float(state.items[place].weight);
        forecasts[place] = match Duration::try_from_secs_f64(seconds) {
            Ok(ahead) if ahead < HORIZON => Forecast::In(ahead),
            Ok(_) | Err(_) => Forecast::Never,
        };
    }
    forecasts
}

impl Forecast {
    /// In at most 11 columns, rounded so that it does not flutter.
    pub fn text(self) -> String {
        let Self::In(ahead) = self else {
            return if self == Self::Never { "never" } else { "-" }.to_owned();
        };
        let seconds = ahead.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match seconds {
            0..10 => "in seconds".to_owned(),
            10..60 => format!("~{} s", seconds / 10 * 10),
            60..600 => format!("~{minutes} min"),
            600..3600 => format!("~{} min", minutes / 5 * 5),
            3600..86_400 => format!("in {hours} h {:02}", minutes % 60 / 10 * 10),
            86_400..864_000 => format!("in {days} d {} h", hours % 24),
            864_000..31_536_000 => format!("in {days} d"),
            31_536_000.. => format!("in {} years", days / 365),
        }
    }

    /// Whether somebody should think of a refill.
    pub fn is_near(self) -> bool {
        matches!(self, Self::In(ahead) if ahead < Duration::from_mins(10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Item;

    fn at(ms: u64) -> Moment {
        Moment { elapsed: Duration::from_millis(ms), unix_ms: 0 }
    }

    fn item(weight: u64, left: Option<u64>) -> Item {
        let units = left.map_or(Units::Unlimited, Units::Limited);
        Item {
            id: String::new(),
            weight,
            left: units,
            granted: units,
            awarded: 0,
            is_retired: false,
            is_drawable: weight > 0 && left != Some(0),
        }
    }

    fn pool(items: Vec<Item>) -> PoolState {
        let total_weight = items.iter().map(Item::effective_weight).sum();
        PoolState { total_weight, items, ..PoolState::default() }
    }

    fn seconds(forecast: Forecast) -> f64 {
        let Forecast::In(ahead) = forecast else { panic!("{forecast:?}") };
        ahead.as_secs_f64()
    }

    /// The same by drawing the expected part of each item step by step.
    fn stepped(weights: &[(u64, Option<u64>)], pace: f64) -> Vec<f64> {
        let step = 1e-4;
        let mut left: Vec<f64> =
            weights.iter().map(|(_, left)| left.map_or(f64::INFINITY, float)).collect();
        let mut gone = vec![f64::INFINITY; left.len()];
        for turn in 0..1_000_000_u32 {
            let alive = |place: usize| left[place] > 0.0;
            let total: f64 =
                (0..left.len()).filter(|&p| alive(p)).map(|p| float(weights[p].0)).sum();
            for place in 0..left.len() {
                if left[place] > 0.0 {
                    left[place] -= step * pace * float(weights[place].0) / total;
                    if left[place] <= 0.0 {
                        gone[place] = f64::from(turn) * step;
                    }
                }
            }
        }
        gone
    }

    #[test]
    fn a_sale_out_speeds_up_the_others() {
        let weights = [(10, Some(30)), (20, Some(400)), (30, Some(100)), (40, None)];
        let state = pool(weights.iter().map(|&(weight, left)| item(weight, left)).collect());
        let found = forecasts(&state, Some(25.0));
        let expected = stepped(&weights, 25.0);
        for place in 0..3 {
            let difference = (seconds(found[place]) - expected[place]).abs();
            assert!(difference < 0.01, "{place}: {found:?} {expected:?}");
        }
        assert_eq!(found[3], Forecast::Never);
    }

    #[test]
    fn what_cannot_be_drawn_has_no_forecast() {
        let state = pool(vec![item(0, Some(5)), item(3, Some(0)), item(3, Some(9)), item(0, None)]);
        let found = forecasts(&state, Some(1.0));
        assert_eq!(found[0], Forecast::Unknown);
        assert_eq!(found[1], Forecast::Unknown);
        assert!((seconds(found[2]) - 9.0).abs() < 1e-6);
        assert_eq!(found[3], Forecast::Unknown);
        assert_eq!(forecasts(&state, None)[2], Forecast::Unknown);
        assert_eq!(forecasts(&state, Some(0.0))[2], Forecast::Unknown);
    }

    #[test]
    fn numbers_at_the_limit_do_not_break_it() {
        let most = u64::MAX >> 1;
        let state = pool(vec![item(most / 2, Some(most)), item(1, Some(most)), item(1, None)]);
        assert_eq!(forecasts(&state, Some(1e-9)), [Forecast::Never; 3]);
        assert_eq!(forecasts(&state, Some(1e9))[0], Forecast::Never);
    }

    #[test]
    fn the_pace_is_that_of_the_last_seconds_when_there_were_many_draws() {
        let mut pace = Pace::default();
        for tick in 0..400 {
            let awards = if tick < 200 { tick } else { 200 + (tick - 200) * 25 };
            pace.note(at(tick * 250), awards);
        }
        assert_eq!(pace.per_second().map(f64::round), Some(100.0));
    }

    #[test]
    fn few_draws_are_measured_over_a_longer_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.per_second(), None);
        for second in 0..300 {
            pace.note(at(second * 1000), second / 10);
            if second == 90 {
                assert_eq!(pace.per_second(), None, "nine draws tell nothing");
            }
        }
        let found = pace.per_second().expect("29 draws");
        assert!((found - 0.1).abs() < 0.005, "{found}");
    }

    /// A forecast must not jump with each award of a rare item: within ten seconds of steady draws it
    /// moves by those ten seconds and a little.
    #[test]
    fn a_forecast_of_steady_draws_is_steady() {
        let mut pace = Pace::default();
        let mut awards = 0;
        for tick in 0..4_000_u64 {
            awards += 3 + (tick * 7919 % 5);
            pace.note(at(tick * 250), awards);
            if tick > 100 {
                let found = pace.per_second().expect("many draws");
                assert!((found - 20.0).abs() < 0.5, "tick {tick}: {found}");
            }
        }
        assert!(pace.samples.len() < 700, "{}", pace.samples.len());
    }

    #[test]
    fn draws_that_have_ceased_have_no_pace() {
        let mut pace = Pace::default();
        for tick in 0..40 {
            pace.note(at(tick * 250), tick * 25);
        }
        assert!(pace.per_second().is_some());
        pace.note(at(9_900), 39 * 25);
        assert!(pace.per_second().is_some(), "a short pause is none");
        pace.note(at(10_250), 39 * 25);
        assert_eq!(pace.per_second(), None);
        pace.note(at(10_500), 40 * 25);
        assert!(pace.per_second().is_some());
    }

    #[test]
    fn another_pool_starts_anew() {
        let mut pace = Pace::default();
        pace.note(at(0), 1_000_000);
        pace.note(at(2000), 5);
        pace.note(at(4000), 25);
        assert_eq!(pace.per_second(), None, "two seconds are too short");
        pace.note(at(6000), 45);
        assert_eq!(pace.per_second(), Some(10.0));
    }

    #[test]
    fn forecasts_are_rounded_and_short() {
        let text = |seconds| Forecast::In(Duration::from_secs(seconds)).text();
        assert_eq!(text(3), "in seconds");
        assert_eq!(text(47), "~40 s");
        assert_eq!(text(245), "~4 min");
        assert_eq!(text(7900), "in 2 h 10");
        assert_eq!(text(200_000), "in 2 d 7 h");
        assert_eq!(text(31_536_000 * 9), "in 9 years");
        assert_eq!(Forecast::Never.text(), "never");
        assert_eq!(Forecast::Unknown.text(), "-");
        for seconds in (0..31_536_000 * 9).step_by(9_973) {
            assert!(text(seconds).len() <= 11);
        }
    }
}
