//! `simulate`: draws from a catalogue without a service, and compares what comes with what is to be
//! expected.
//!
//! The draws are in `rounds.rs`, the expectation in `forecast.rs` (with the distributions of
//! `gamma.rs`), the test of all items together in `fit.rs`. Where the catalogue comes from is in
//! `source.rs`, what is printed in `report.rs`.
mod fit;
mod forecast;
mod gamma;
mod number;
mod report;
mod rounds;
mod source;

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use rewardpool_core::generator::Secret;
use rewardpool_core::quantity::Quantity;

use self::fit::{Fit, Periods};
use self::forecast::{Expected, Forecast, Term};
use self::number::float;
use self::rounds::{Campaign, Round};
use self::source::{Catalogue, SourceArgs};
use super::failure::exit;
use super::interrupt::on_interrupt;
use super::output;
use super::{Failure, Global, PoolOption};

const EXAMPLES: &str = "\
Examples:
  rewardpool simulate                                  The built-in sample, a million draws
  rewardpool simulate --config rewardpool.yaml --draws 50000
  rewardpool simulate --addr http://127.0.0.1:50051    What is left in a running service
  rewardpool simulate --dir ./rewardpool-data --pool summer
  rewardpool simulate --draws 20000 --runs 1000        How far single runs differ
  rewardpool simulate --seed 7 -o json                 The same draws again";

/// So long a run is not worth a progress bar.
const SHORT: Duration = Duration::from_millis(300);
const STYLE: &str = "{msg:>24} [{bar:40}] {percent} %";

/// Dry-run a catalogue, and compare what comes with what is expected
///
/// The draws come from the generator and the selector that serve real ones, without a log. With 64
/// hexadecimal digits as --seed, the first run gives what a service with this `seed` in its
/// configuration gives. Ctrl-C ends it early: what was drawn until then is printed, and the exit code
/// is 130.
///
/// EXPECTED is exact while no stock runs out. When some does, the odds of the other items change, and
/// it is worked out from independent Poisson arrivals of the items, which are the same draws in
/// another clock; the error is of the order of one unit. LOW and HIGH hold 99 % of all runs, for a
/// count and for the draw at which an item runs out.
///
/// SIGMAS is how many standard deviations a simulated count is off: beyond 3 is rare, beyond 5 is
/// wrong. It is left out for a count that hardly varies. The p-value is that of a chi-square test over
/// all items and periods in which their odds among each other are constant, because they surely last:
/// of a hundred honest runs, one is below 0.01.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SimulateArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    pool: PoolOption,
    /// Draws of a run: 1 to 1000000000000
    #[arg(
        short = 'n', long, default_value_t = 1_000_000,
        value_parser = value_parser!(u64).range(1..=1_000_000_000_000)
    )]
    draws: u64,
    /// Runs, each with draws of its own: 1 to 1000000
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
    /// Makes the draws those of another time: a number, or 64 hexadecimal digits [default: random]
    #[arg(long, value_name = "N|HEX")]
    seed: Option<Seed>,
}

/// From what the randomness of the first run comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seed([u8; 32]);

impl Seed {
    fn random() -> Result<Self, Failure> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| {
            let what = format!("the operating system gives no random numbers: {error}");
            Failure::new(exit::INPUT_OUTPUT, what, "name a --seed")
        })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Seed {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.split_first_chunk() {
            Some((number, rest)) if rest.iter().all(|&byte| byte == 0) => {
                u64::from_le_bytes(*number).fmt(f)
            }
            _ => f.write_str(&output::hexadecimal(&self.0)),
        }
    }
}

impl FromStr for Seed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let rule = "a seed is a number below 2^64, or 64 hexadecimal digits";
        let mut bytes = [0; 32];
        if text.len() == 2 * bytes.len() {
            let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
            let digits = digits.filter(|digits| digits.len() == 2 * bytes.len()).ok_or(rule)?;
            for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(|_| rule)?;
            }
        } else {
            let number: u64 = text.parse().map_err(|_| rule)?;
            bytes[..8].copy_from_slice(&number.to_le_bytes());
        }
        Ok(Self(bytes))
    }
}

pub(crate) fn run(args: &SimulateArgs, global: &Global) -> Result<(), Failure> {
    let catalogue = args.source.read(&args.pool.pool, global)?;
    let seed = args.seed.map_or_else(Seed::random, Ok)?;
    let simulated = Simulated::draw(&catalogue, seed, args.draws, args.runs)?;
    let expected = expected(&catalogue, simulated.draws);
    output::print(
        global.output,
        || report::text(&catalogue, &simulated, &expected),
        || report::json(&catalogue, &simulated, &expected),
    )?;
    if simulated.is_interrupted {
        let what = "the simulation was ended early";
        return Err(Failure::new(exit::INTERRUPTED, what, "the figures are of what was drawn"));
    }
    Ok(())
}

/// What is to be expected of one item.
#[derive(Clone, Copy, Debug)]
struct ExpectedItem {
    count: Expected,
    /// The draw of its last unit, if it has one.
    end: Option<Expected>,
}

fn forecast(catalogue: &Catalogue) -> Forecast {
    let terms = catalogue.items().map(|item| Term {
        chance: catalogue.chance(item),
        units: match item.quantity {
            Quantity::Limited(units) => float(units),
            Quantity::Unlimited => f64::INFINITY,
        },
    });
    Forecast::new(terms.collect())
}

fn expected(catalogue: &Catalogue, draws: u64) -> Vec<ExpectedItem> {
    let forecast = forecast(catalogue);
    let items = forecast.counts(float(draws)).into_iter().zip(forecast.ends());
    items.map(|(count, end)| ExpectedItem { count, end }).collect()
}

/// What all runs gave.
#[derive(Debug)]
struct Simulated {
    /// The seed of the first run; that of each further one is the SHA-256 of the one before.
    seed: Seed,
    /// Runs that are counted.
    runs: u32,
    /// Draws of each.
    draws: u64,
    /// Draws over all runs that found nothing.
    empties: u128,
    items: Vec<SimulatedItem>,
    fit: Fit,
    is_interrupted: bool,
}

/// What all runs gave of one item.
#[derive(Clone, Copy, Default, Debug)]
struct SimulatedItem {
    counts: Sum,
    /// Draws of the last unit, over the runs that reached it.
    ends: Sum,
}

/// Numbers that add up.
#[derive(Clone, Copy, Default, Debug)]
struct Sum {
    numbers: u32,
    total: u128,
    min: u64,
    max: u64,
}

impl Sum {
    fn add(&mut self, number: u64) {
        self.min = if self.numbers == 0 { number } else { self.min.min(number) };
        self.max = self.max.max(number);
        self.total += u128::from(number);
        self.numbers += 1;
    }

    /// The mean, if there is any number.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are enough for statistics")]
    fn mean(&self) -> Option<f64> {
        (self.numbers > 0).then(|| self.total as f64 / f64::from(self.numbers))
    }
}

impl Simulated {
    fn draw(catalogue: &Catalogue, seed: Seed, draws: u64, runs: u32) -> Result<Self, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&stop);
        on_interrupt(move || heard.store(true, Ordering::Relaxed))?;
        let campaign = Campaign::new(&catalogue.spec);
        let chances: Vec<f64> = catalogue.items().map(|item| catalogue.chance(item)).collect();
        let periods = Periods::new(draws, &forecast(catalogue), &chances);
        let items = vec![SimulatedItem::default(); chances.len()];
        let (empties, fit, is_interrupted) = (0, Fit::default(), false);
        let mut all = Self { seed, runs: 0, draws, empties, items, fit, is_interrupted };
        let mut progress = Progress::new(draws, runs);
        let mut secret = Secret::new(seed.0);
        while all.runs < runs && !all.is_interrupted {
            let round = campaign.run(&secret, draws, &periods, |drawn| {
                progress.show(all.runs, drawn);
                if stop.load(Ordering::Relaxed) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            });
            all.is_interrupted = stop.load(Ordering::Relaxed);
            if round.draws < draws && all.runs > 0 {
                // Part of a run does not go with whole ones.
                break;
            }
            all.add(&round);
            secret = Secret::new(secret.commitment());
        }
        Ok(all)
    }

    fn add(&mut self, round: &Round) {
        self.runs += 1;
        self.draws = round.draws;
        self.empties += u128::from(round.empties);
        self.fit = self.fit.plus(round.fit);
        for (item, (&count, &end)) in
            self.items.iter_mut().zip(round.counts.iter().zip(&round.ends))
        {
            item.counts.add(count);
            if end > 0 {
                item.ends.add(end);
            }
        }
    }
}

/// What a person sees while it takes long.
struct Progress {
    begun: Instant,
    draws: u64,
    runs: u32,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new(draws: u64, runs: u32) -> Self {
        let is_seen = io::stderr().is_terminal();
        let bar = is_seen.then(|| {
            let style = ProgressStyle::with_template(STYLE).expect("the template is right");
            ProgressBar::hidden().with_style(style).with_message("simulating")
        });
        Self { begun: Instant::now(), draws, runs, bar }
    }

    fn show(&mut self, runs: u32, draws: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() {
            if self.begun.elapsed() < SHORT {
                return;
            }
            bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        let all = self.draws.saturating_mul(self.runs.into());
        bar.set_length(all);
        bar.set_position(self.draws.saturating_mul(runs.into()).saturating_add(draws));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests;
