//! The gamma and Poisson distributions, as far as a forecast needs them: the sum of a Poisson
//! distribution up to a number, the chance of one number, and quantiles.
//!
//! Sums are exact to about 12 digits below [`LARGE`] and to about 6 above it, where they are taken
//! from the normal distribution (Wilson and Hilferty, 1931).
use std::f64::consts::PI;

/// From here on the normal distribution serves.
const LARGE: f64 = 1e5;
/// Terms of a series or a continued fraction: more than any argument below [`LARGE`] needs.
const TERMS_MAX: u32 = 20_000;
const EPSILON: f64 = 1e-15;

/// A quantile that is asked for: its probability, and where the normal distribution has it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Level {
    pub(super) probability: f64,
    pub(super) score: f64,
}

/// The ends of the interval that holds 99 % of a distribution.
pub(super) const LOW: Level = Level { probability: 0.005, score: -SCORE };
pub(super) const HIGH: Level = Level { probability: 0.995, score: SCORE };
/// The standard score of [`HIGH`].
pub(super) const SCORE: f64 = 2.575_829_303_548_900_4;

/// The middles of eight parts of the same probability. A mean over them is nearly that over the
/// whole distribution.
pub(super) const EIGHTHS: [Level; 8] = [
    Level { probability: 1.0 / 16.0, score: -1.534_120_544_352_546_3 },
    Level { probability: 3.0 / 16.0, score: -0.887_146_559_018_875_7 },
    Level { probability: 5.0 / 16.0, score: -0.488_776_411_114_669_4 },
    Level { probability: 7.0 / 16.0, score: -0.157_310_684_610_170_7 },
    Level { probability: 9.0 / 16.0, score: 0.157_310_684_610_170_7 },
    Level { probability: 11.0 / 16.0, score: 0.488_776_411_114_669_4 },
    Level { probability: 13.0 / 16.0, score: 0.887_146_559_018_875_7 },
    Level { probability: 15.0 / 16.0, score: 1.534_120_544_352_546_3 },
];

/// The chance that a Poisson number of this mean is below `count`, which is also the chance that the
/// sum of `count` exponential waiting times is above `mean`. `count` is above 0.
pub(super) fn poisson_below(count: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    if count >= LARGE {
        let spread = 1.0 / (9.0 * count);
        let score = ((mean / count).cbrt() - (1.0 - spread)) / spread.sqrt();
        return normal_above(score);
    }
    // Whichever of the two converges fast: a sum from `count` on, or a continued fraction.
    let front = count * poisson_at(count, mean);
    if mean < count + 1.0 {
        1.0 - front * series(count, mean)
    } else {
        front * fraction(count, mean)
    }
}

/// The chance that a Poisson number of this mean is `count` (Loader's saddle-point form, which loses
/// no digits to large terms). Also between whole numbers.
pub(super) fn poisson_at(count: f64, mean: f64) -> f64 {
    if count <= 0.0 {
        return (-mean).exp();
    }
    let relative = (mean - count) / count;
    let deviance = if relative.abs() < 1e-3 {
        let square = relative * relative;
        square * (0.5 - relative / 3.0 + square / 4.0 - square * relative / 5.0)
    } else {
        relative - relative.ln_1p()
    };
    (-stirling_error(count) - count * deviance).exp() / (2.0 * PI * count).sqrt()
}

/// The chance that a chi-square number of so many degrees of freedom is above a value.
pub(super) fn chi_square_above(value: f64, freedom: f64) -> f64 {
    poisson_below(freedom / 2.0, value / 2.0)
}

/// The chance that a standard normal number is above a score.
fn normal_above(score: f64) -> f64 {
    let tail = 0.5 * poisson_below(0.5, score * score / 2.0);
    if score >= 0.0 { tail } else { 1.0 - tail }
}

/// A quantile of the sum of `count` exponential waiting times of mean 1.
pub(super) fn gamma_quantile(count: f64, level: Level) -> f64 {
    let spread = 1.0 / (9.0 * count);
    let root = 1.0 - spread + level.score * spread.sqrt();
    let mut time = count * root.max(0.0).powi(3);
    if count > 1000.0 {
        return time;
    }
    // Between these the chance to be above falls from 1 to below the level.
    let (mut low, mut high) = (0.0, count + 12.0 * count.sqrt() + 40.0);
    for _ in 0..60 {
        let error = 1.0 - poisson_below(count, time) - level.probability;
        if error.abs() < 1e-12 {
            break;
        }
        if error > 0.0 {
            high = time;
        } else {
            low = time;
        }
        // The density of the sum is the chance of one less at that time.
        let density = poisson_at(count - 1.0, time);
        let next = time - error / density;
        time = if next > low && next < high { next } else { f64::midpoint(low, high) };
    }
    time
}

/// A quantile of a Poisson number: the smallest count that is exceeded with a chance of at most
/// `1 - level`.
pub(super) fn poisson_quantile(mean: f64, level: Level) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    let score = level.score;
    let mut count = (mean + score * mean.sqrt() + (score * score - 1.0) / 6.0).round().max(0.0);
    if mean > 10_000.0 {
        return count;
    }
    while poisson_below(count + 1.0, mean) < level.probability {
        count += 1.0;
    }
    while count > 0.0 && poisson_below(count, mean) >= level.probability {
        count -= 1.0;
    }
    count
}

/// ln(n!) minus Stirling's formula for it.
fn stirling_error(number: f64) -> f64 {
    if number < 16.0 {
        let stirling = (number + 0.5) * number.ln() - number + 0.5 * (2.0 * PI).ln();
        return ln_gamma(number + 1.0) - stirling;
    }
    let square = number * number;
    (1.0 / 12.0 - (1.0 / 360.0 - (1.0 / 1260.0 - 1.0 / (1680.0 * square)) / square) / square)
        / number
}

/// The logarithm of the gamma function, for arguments above 0: Stirling's series after the recurrence
/// has made the argument large.
fn ln_gamma(argument: f64) -> f64 {
    let (mut argument, mut product) = (argument, 1.0);
    while argument < 17.0 {
        product *= argument;
        argument += 1.0;
    }
    let below = argument - 1.0;
    let stirling = (below + 0.5) * below.ln() - below + 0.5 * (2.0 * PI).ln();
    stirling + stirling_error(below) - product.ln()
}

/// The lower incomplete gamma function as a series, relative to its first factor.
fn series(shape: f64, value: f64) -> f64 {
    let (mut term, mut sum) = (1.0 / shape, 1.0 / shape);
    let mut number = shape;
    for _ in 0..TERMS_MAX {
        number += 1.0;
        term *= value / number;
        sum += term;
        if term < sum * EPSILON {
            break;
        }
    }
    sum
}

/// The upper incomplete gamma function as a continued fraction (Lentz's method), relative to its first
/// factor.
fn fraction(shape: f64, value: f64) -> f64 {
    let tiny = 1e-300;
    let mut b = value + 1.0 - shape;
    let mut c = 1.0 / tiny;
    let mut d = 1.0 / b;
    let mut product = d;
    for number in 1..TERMS_MAX {
        let number = f64::from(number);
        let a = -number * (number - shape);
        b += 2.0;
        d = a * d + b;
        d = 1.0 / if d.abs() < tiny { tiny } else { d };
        c = b + a / c;
        c = if c.abs() < tiny { tiny } else { c };
        let factor = c * d;
        product *= factor;
        if (factor - 1.0).abs() < EPSILON {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative.
    fn near(found: f64, expected: f64, error: f64) {
        assert!((found - expected).abs() <= error * expected.abs(), "{found} is not {expected}");
    }

    /// By adding up all chances, each from the one before it.
    fn sum_below(count: u32, mean: f64) -> f64 {
        let mut term = (-mean).exp();
        let mut sum = 0.0;
        for number in 0..count {
            sum += term;
            term *= mean / f64::from(number + 1);
        }
        sum
    }

    #[test]
    fn sums_are_those_of_the_single_chances() {
        for mean in [0.001, 0.5, 1.0, 3.7, 20.0, 300.0] {
            for count in [1, 2, 3, 5, 17, 50, 280, 300, 330, 400] {
                let (found, expected) = (poisson_below(count.into(), mean), sum_below(count, mean));
                assert!((found - expected).abs() < 1e-12, "{count} {mean}: {found} {expected}");
            }
        }
        near(poisson_at(3.0, 2.0), 8.0 / 6.0 * (-2.0_f64).exp(), 1e-13);
        near(poisson_at(0.0, 2.0), (-2.0_f64).exp(), 1e-15);
    }

    /// Values of tables, to the digits that those have.
    #[test]
    fn chi_square_is_that_of_the_tables() {
        for (value, freedom, expected) in [
            (3.841_458_820_694_124, 1.0, 0.05),
            (6.634_896_601_021_213, 1.0, 0.01),
            (18.307_038_053_275_146, 10.0, 0.05),
            (124.342_113_404_004_1, 100.0, 0.05),
            (1.0, 2.0, (-0.5_f64).exp()),
        ] {
            near(chi_square_above(value, freedom), expected, 1e-10);
        }
        near(normal_above(SCORE), 0.005, 1e-10);
        near(normal_above(-SCORE), 0.995, 1e-10);
    }

    /// On both sides of the number from which the normal distribution serves.
    #[test]
    fn large_counts_go_on_where_small_ones_end() {
        for score in [-3.0, -1.0, 0.0, 0.5, 3.0] {
            let at = |count: f64| poisson_below(count, count + score * count.sqrt());
            let (below, above) = (at(LARGE - 1.0), at(LARGE));
            assert!((below - above).abs() < 1e-5, "{score}: {below} {above}");
        }
        near(poisson_at(1e12, 1e12), 1.0 / (2.0 * PI * 1e12).sqrt(), 1e-9);
    }

    #[test]
    fn quantiles_are_where_the_chance_is() {
        for level in EIGHTHS.into_iter().chain([LOW, HIGH]) {
            near(gamma_quantile(1.0, level), -(1.0 - level.probability).ln(), 1e-9);
            for count in [1.0, 2.0, 7.0, 100.0, 999.0, 1001.0, 50_000.0] {
                let below = 1.0 - poisson_below(count, gamma_quantile(count, level));
                assert!((below - level.probability).abs() < 1e-5, "{count}: {below}");
            }
            for mean in [0.01, 0.7, 5.0, 80.0, 5000.0] {
                let count = poisson_quantile(mean, level);
                assert!(poisson_below(count + 1.0, mean) >= level.probability, "{mean} {count}");
                let is_smallest = count < 0.5 || poisson_below(count, mean) < level.probability;
                assert!(is_smallest, "{mean} {count}");
            }
        }
    }
}
