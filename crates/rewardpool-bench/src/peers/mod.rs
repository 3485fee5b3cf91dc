//! What people would use instead, in the same run: Redis with a script, `PostgreSQL` with a function
//! or with tickets, and the service, each with the same catalogue, the same counts and the same
//! number of clients.
//!
//! A figure of a wrong program is worthless. So each system first has to sell out a small pool, and
//! after the measurements its books have to agree: granted = left + awarded, every answered draw is
//! in its log, and the odds are those of the weights.
#![expect(clippy::print_stdout, reason = "the output of the program")]

mod judge;
mod ours;
mod postgres;
mod process;
mod redis;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use self::judge::{Account, Judged};
use self::process::Missing;
use self::report::{Report, Row};

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds for each row.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// The service to measure; built by `cargo build --release`.
    #[arg(long, default_value = "target/release/rewardpool")]
    binary: PathBuf,
    /// Items of the pool; may be given several times.
    #[arg(long, default_values_t = [6, 1000])]
    items: Vec<usize>,
    /// Where the data of all systems lie, on the disk to measure.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    /// Writes the figures to this file, too.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One item of the catalogue that all systems have.
#[derive(Clone)]
pub(crate) struct Item {
    /// Four digits, from 0001 on: the text that every system keeps and answers.
    name: String,
    weight: u64,
    /// Units at the start; none is unlimited.
    units: Option<u64>,
}

/// How the draws are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    clients: usize,
    /// Requests of each client that are under way.
    in_flight: usize,
    /// Draws of a request.
    count: usize,
}

impl Load {
    fn name(self) -> String {
        let clients = match (self.clients, self.in_flight) {
            (1, 1) => "1 client".to_owned(),
            (clients, 1) => format!("{clients} clients"),
            (clients, in_flight) => format!("{clients} clients x {in_flight}"),
        };
        if self.count == 1 { clients } else { format!("{clients}, {} a request", self.count) }
    }

    fn requests_in_flight(self) -> usize {
        self.clients * self.in_flight
    }
}

const fn load(clients: usize, in_flight: usize, count: usize) -> Load {
    Load { clients, in_flight, count }
}

/// In the order of the table. Not every system is asked for every load; see `System::takes`.
const LOADS: [Load; 9] = [
    load(1, 1, 1),
    load(16, 1, 1),
    load(50, 1, 1),
    load(64, 1, 1),
    load(50, 64, 1),
    load(1, 1, 100),
    load(16, 1, 100),
    load(8, 16, 100),
    load(50, 64, 100),
];

/// What was measured under one load. A latency is that of one request; of a client that sends several
/// at once it is what that client sees.
pub(crate) struct Figure {
    draws_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

/// One system with its pool.
pub(crate) trait System {
    fn name(&self) -> String;

    fn takes(&self, load: Load) -> bool;

    /// Draws for about so long.
    fn measure(&mut self, load: Load, duration: Duration) -> anyhow::Result<Figure>;

    /// Its catalogue: what the books are compared with.
    fn items(&self) -> &[Item];

    /// The books, read from what the system keeps.
    fn account(&mut self) -> anyhow::Result<Account>;
}

/// More than are taken in a second of a row, over all rows.
const TICKETS_A_SECOND: u64 = 600_000;

/// After so many rounds of a few thousand draws a pool of `small_stock` is sold out.
const SELL_OUT_ROUNDS_MAX: u32 = 20;

/// Systems that run, and what keeps their processes and directories.
type Systems = Vec<Box<dyn System>>;

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let duration = Duration::from_secs(options.seconds.max(1));
    let (redis, postgres) =
        (installed(redis::find_programs())?, installed(postgres::find_programs())?);
    let start = |items: &[Item], tickets| -> anyhow::Result<Systems> {
        let mut systems: Systems = vec![Box::new(ours::Service::start(options, items)?)];
        if let Some(programs) = &redis {
            for policy in ["always", "everysec"] {
                let server = redis::Instance::start(programs, &options.directory, policy, items)?;
                systems.push(Box::new(server));
            }
        }
        if let Some(programs) = &postgres {
            systems.extend(postgres::start(programs, &options.directory, items, tickets)?);
        }
        Ok(systems)
    };
    let mut report = Report::new(options.seconds);
    report.version(ours::version(&options.binary)?);
    for version in [
        redis.as_ref().map(redis::Programs::version),
        postgres.as_ref().map(postgres::Programs::version),
    ]
    .into_iter()
    .flatten()
    {
        report.version(version?);
    }
    sell_out(start(&small_stock(), Some(0))?).context("a small pool, sold out")?;
    for &count in &options.items {
        let items = catalogue(count)?;
        // Their number of items does not matter to tickets: once is enough.
        let tickets = (count <= 16).then_some(TICKETS_A_SECOND * (options.seconds + 1));
        let mut systems = start(&items, tickets)?;
        report.begin(count);
        for load in LOADS {
            report.others_busy(process::busy_share(Duration::from_millis(300))?);
            for system in systems.iter_mut().filter(|system| system.takes(load)) {
                let figure = system.measure(load, duration).with_context(|| system.name())?;
                report.add(Row::new(count, load, system.name(), &figure));
            }
        }
        for mut system in systems {
            let judged = judged(system.as_mut())?;
            println!(
                "books agree: {}: {} draws, {} awards, odds {:+.2}",
                system.name(),
                judged.draws,
                judged.awards,
                judged.score
            );
        }
    }
    report.goals();
    if let Some(path) = &options.json {
        report.write(path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The programs of a peer, or none and a word about it. A build server must have them.
fn installed<T>(found: Result<T, Missing>) -> anyhow::Result<Option<T>> {
    match found {
        Ok(programs) => Ok(Some(programs)),
        Err(missing) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => bail!("{missing}"),
        Err(missing) => {
            println!("skipped: {missing}");
            Ok(None)
        }
    }
}

/// The sample's weights, or 1 to n. Some of the items are limited, to more than a run draws.
fn catalogue(count: usize) -> anyhow::Result<Vec<Item>> {
    const SAMPLE: [u64; 6] = [10, 20, 30, 40, 70, 50];
    const PLENTY: u64 = 1_000_000_000;
    if !(1..=9_999).contains(&count) {
        bail!("{count} items: 1 to 9999 have a name of four digits");
    }
    let item = |place: usize| {
        let (weight, is_limited) = match count {
            6 => (SAMPLE[place], place < 4),
            _ => (place as u64 + 1, place.is_multiple_of(2)),
        };
        Item { name: name(place), weight, units: is_limited.then_some(PLENTY) }
    };
    Ok((0..count).map(item).collect())
}

/// A pool that is sold out within a second.
fn small_stock() -> Vec<Item> {
    let stock = [(10, 10), (20, 100), (30, 5_000), (40, 8_000), (0, 5)];
    let item = |(place, &(weight, units))| Item { name: name(place), weight, units: Some(units) };
    stock.iter().enumerate().map(item).collect()
}

fn name(place: usize) -> String {
    format!("{:04}", place + 1)
}

/// Draws more than there is, by many clients, and looks whether everything was awarded once.
fn sell_out(systems: Systems) -> anyhow::Result<()> {
    for mut system in systems {
        // An item without weight stays.
        let available = system.items().iter().filter(|item| item.weight > 0);
        let expected: u64 = available.filter_map(|item| item.units).sum();
        let mut rounds = 0;
        loop {
            for load in [load(16, 1, 1), load(16, 1, 100)] {
                system.measure(load, Duration::from_millis(200)).with_context(|| system.name())?;
            }
            let judged = judged(system.as_mut())?;
            if judged.awards == expected && judged.draws > expected {
                break;
            }
            rounds += 1;
            if rounds == SELL_OUT_ROUNDS_MAX {
                bail!("{}: {} of {expected} units were awarded", system.name(), judged.awards);
            }
        }
    }
    println!("each sold out a small pool: every unit was awarded once, none twice");
    Ok(())
}

fn judged(system: &mut dyn System) -> anyhow::Result<Judged> {
    let account = system.account().with_context(|| system.name())?;
    account.judge(system.items()).with_context(|| system.name())
}
