//! `PostgreSQL` in two designs: a function that takes units under a row lock, and tickets that each
//! transaction takes with SKIP LOCKED; see the SQL beside this file.
//!
//! The load comes from pgbench over a Unix socket, with prepared statements. Every commit is synced;
//! what helps without weakening that is set.
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use tempfile::TempDir;

use super::process::{Missing, Server, find, is_root, output, tied};
use super::{Account, Figure, Item, Load, System, Systems};
use crate::table::float;

const SCHEMA: &str = include_str!("postgres/schema.sql");
const TICKETS: &str = include_str!("postgres/tickets.sql");
const TAKE_TICKETS: &str = include_str!("postgres/take_tickets.sql");
const PACKAGE: &str = "postgresql";
/// Where Debian keeps the programs of each version.
const PACKAGED: &str = "/usr/lib/postgresql";
/// The user of the Debian package; the server refuses to be root.
const USER: &str = "postgres";

const SETTINGS: [&str; 17] = [
    "listen_addresses=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "wal_sync_method=fdatasync",
    "wal_level=minimal",
    "max_wal_senders=0",
    "shared_buffers=1GB",
    "wal_buffers=64MB",
    "min_wal_size=4GB",
    "max_wal_size=16GB",
    "checkpoint_timeout=1h",
    "autovacuum_naptime=1s",
    "max_connections=100",
    "jit=off",
    "max_parallel_workers_per_gather=0",
    "logging_collector=off",
];

pub(crate) struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
    pg_ctl: PathBuf,
    psql: PathBuf,
    pgbench: PathBuf,
}

pub(crate) fn find_programs() -> Result<Programs, Missing> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = std::fs::read_dir(PACKAGED).into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    versions.sort_by_key(|path| std::cmp::Reverse(version(path)));
    let places: Vec<PathBuf> = versions.iter().map(|path| path.join("bin")).collect();
    Ok(Programs {
        initdb: find("initdb", PACKAGE, &places)?,
        postgres: find("postgres", PACKAGE, &places)?,
        pg_ctl: find("pg_ctl", PACKAGE, &places)?,
        psql: find("psql", PACKAGE, &places)?,
        pgbench: find("pgbench", PACKAGE, &places)?,
    })
}

impl Programs {
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let version = output(Command::new(&self.postgres).arg("--version"))?;
        let client = output(Command::new(&self.pgbench).arg("--version"))?;
        Ok(format!("{}; {}", version.trim(), client.trim()))
    }
}

/// A server; stopped when the last design that uses it is dropped.
struct Cluster {
    server: Server,
    data: PathBuf,
    user: Option<&'static str>,
    pg_ctl: PathBuf,
    psql: PathBuf,
    pgbench: PathBuf,
    /// Short, since a path for a socket is at most 107 bytes long.
    sockets: TempDir,
    _directory: TempDir,
}

impl Cluster {
    fn start(programs: &Programs, directory: &Path) -> anyhow::Result<Self> {
        let user = is_root()?.then_some(USER);
        let (directory, sockets) = (tempfile::tempdir_in(directory)?, tempfile::tempdir()?);
        if let Some(user) = user {
            let paths = [directory.path(), sockets.path()];
            output(Command::new("chown").arg(user).args(paths))?;
        }
        let data = directory.path().canonicalize()?.join("data");
        let mut initdb = tied(&programs.initdb, user);
        initdb.args(["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8"]);
        output(initdb.args(["--username", USER, "-D"]).arg(&data).current_dir("/"))?;
        let mut postgres = tied(&programs.postgres, user);
        postgres.current_dir("/").arg("-D").arg(&data).arg("-k").arg(sockets.path());
        postgres.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let answers = || {
            let mut psql = Command::new(&programs.psql);
            psql.arg("-h")
                .arg(sockets.path())
                .args(["-U", USER, "-d", "postgres", "-c", "SELECT 1"]);
            output(&mut psql).is_ok()
        };
        let server = Server::start(&mut postgres, answers)?;
        Ok(Self {
            server,
            data,
            user,
            pg_ctl: programs.pg_ctl.clone(),
            psql: programs.psql.clone(),
            pgbench: programs.pgbench.clone(),
            sockets,
            _directory: directory,
        })
    }

    /// Runs statements and returns their rows, fields separated by `|`.
    fn run(&self, database: &str, statements: &str) -> anyhow::Result<String> {
        let file = self.sockets.path().join(format!("{database}.sql"));
        std::fs::write(&file, statements)?;
        let mut psql = Command::new(&self.psql);
        psql.arg("-h").arg(self.sockets.path()).args(["-U", USER, "-d", database]);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f"]).arg(&file);
        output(&mut psql)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its own way to stop also ends the processes that it started, and frees their memory.
        let mut stop = tied(&self.pg_ctl, self.user);
        stop.current_dir("/").args(["stop", "-W", "-m", "immediate", "-D"]).arg(&self.data);
        if output(&mut stop).is_ok() {
            self.server.wait();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    RowLock,
    Tickets,
}

/// One design, in a database of its own.
struct Design {
    cluster: Rc<Cluster>,
    kind: Kind,
    items: Vec<Item>,
    answered: u64,
}

/// Starts a server with both designs, or with one when there are no tickets: they are finite, and do
/// not depend on the number of items.
pub(crate) fn start(
    programs: &Programs,
    directory: &Path,
    items: &[Item],
    tickets: Option<u64>,
) -> anyhow::Result<Systems> {
    let cluster = Rc::new(Cluster::start(programs, directory)?);
    let mut designs: Systems = vec![Box::new(Design::new(&cluster, Kind::RowLock, items)?)];
    if let Some(tickets) = tickets {
        let total: u64 = items.iter().map(|item| item.weight).sum();
        let units = |item: &Item| match tickets {
            0 if item.weight > 0 => item.units,
            _ => Some(item.weight * tickets / total),
        };
        let items: Vec<Item> =
            items.iter().map(|item| Item { units: units(item), ..item.clone() }).collect();
        designs.push(Box::new(Design::new(&cluster, Kind::Tickets, &items)?));
    }
    Ok(designs)
}

impl Design {
    fn new(cluster: &Rc<Cluster>, kind: Kind, items: &[Item]) -> anyhow::Result<Self> {
        let cluster = Rc::clone(cluster);
        let design = Self { cluster, kind, items: items.to_vec(), answered: 0 };
        design.cluster.run("postgres", &format!("CREATE DATABASE {}", design.database()))?;
        let total: u64 = items.iter().map(|item| item.weight).sum();
        let mut statements = SCHEMA.replace("@TOTAL@", &total.to_string());
        let mut upto = 0;
        for (item, id) in items.iter().zip(1..) {
            upto += item.weight;
            // An item without weight is never chosen, and would have the place of the one before.
            if item.weight > 0 {
                let (weight, is_limited) = (item.weight, item.units.is_some());
                writeln!(
                    statements,
                    "INSERT INTO item VALUES ({id}, {weight}, {upto}, {is_limited});"
                )?;
            }
            if let Some(units) = item.units {
                writeln!(statements, "INSERT INTO stock VALUES ({id}, {units}, {units});")?;
            }
        }
        statements += "VACUUM ANALYZE;\n";
        if kind == Kind::Tickets {
            let pair = |(item, id): (&Item, usize)| format!("({id}, {})", item.units.unwrap_or(0));
            let pairs: Vec<String> = items.iter().zip(1..).map(pair).collect();
            statements += &TICKETS.replace("@TICKETS@", &pairs.join(", "));
        }
        // What was written so far is not to be written during the measurement.
        statements += "CHECKPOINT;\n";
        design.cluster.run(design.database(), &statements)?;
        Ok(design)
    }

    const fn database(&self) -> &'static str {
        match self.kind {
            Kind::RowLock => "row_lock",
            Kind::Tickets => "tickets",
        }
    }

    fn request(&self, count: usize) -> String {
        match (self.kind, count) {
            (Kind::Tickets, _) => TAKE_TICKETS.replace("@COUNT@", &count.to_string()),
            (Kind::RowLock, 1) => "SELECT * FROM draw_one();\n".to_owned(),
            (Kind::RowLock, _) => format!("SELECT * FROM draw_many({count});\n"),
        }
    }
}

impl System for Design {
    fn name(&self) -> String {
        match self.kind {
            Kind::RowLock => "PostgreSQL, row lock".to_owned(),
            Kind::Tickets => "PostgreSQL, SKIP LOCKED tickets".to_owned(),
        }
    }

    fn takes(&self, load: Load) -> bool {
        load.in_flight == 1 && load.clients != 50
    }

    fn measure(&mut self, load: Load, duration: Duration) -> anyhow::Result<Figure> {
        let script = self.cluster.sockets.path().join("request.sql");
        std::fs::write(&script, self.request(load.count))?;
        let log = tempfile::tempdir()?;
        let mut pgbench = Command::new(&self.cluster.pgbench);
        pgbench
            .arg("-h")
            .arg(self.cluster.sockets.path())
            .args(["-U", USER, "-n", "-M", "prepared"]);
        pgbench.args(["-c", &load.clients.to_string(), "-j", &load.clients.min(2).to_string()]);
        pgbench.args(["-T", &duration.as_secs().max(1).to_string(), "-f"]).arg(&script);
        pgbench.arg("-l").arg("--log-prefix").arg(log.path().join("log")).arg(self.database());
        let printed = output(&mut pgbench)?;
        let rate = number_after(&printed, "tps = ").context("pgbench tells a rate")?;
        let made = number_after(&printed, "transactions actually processed: ");
        let failed = number_after(&printed, "failed transactions: ").context("pgbench counts")?;
        ensure!(failed < 0.5, "{failed} transactions failed");
        let latency = read_latencies(log.path())?;
        ensure!(
            made.is_some_and(|made| (made - float(latency.len())).abs() < 0.5),
            "pgbench made {made:?} transactions and logged {}",
            latency.len(),
        );
        self.answered += latency.len() * u64::try_from(load.count)?;
        if self.kind == Kind::Tickets {
            // Dead tickets are not to slow down what is measured next.
            self.cluster.run(self.database(), "VACUUM ticket;")?;
        }
        Ok(Figure {
            draws_per_second: rate * float(load.count as u64),
            p50_us: float(latency.value_at_quantile(0.5)),
            p99_us: float(latency.value_at_quantile(0.99)),
        })
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn account(&mut self) -> anyhow::Result<Account> {
        let places = self.items.len() + 1;
        let mut account = Account {
            left: vec![None; places],
            awarded: vec![0; places],
            answered: self.answered,
            ..Account::default()
        };
        let left = match self.kind {
            Kind::RowLock => "SELECT id, quantity FROM stock",
            Kind::Tickets => {
                "SELECT s.id, count(t.id) FROM stock s LEFT JOIN ticket t ON t.item = s.id GROUP BY 1"
            }
        };
        let awarded = "SELECT item, count(*) FROM log, unnest(items) item GROUP BY 1";
        for (id, units) in pairs(&self.cluster.run(self.database(), left)?)? {
            *account.left.get_mut(id).context("an unknown item has stock")? = Some(units);
        }
        for (id, units) in pairs(&self.cluster.run(self.database(), awarded)?)? {
            *account.awarded.get_mut(id).context("an unknown item is in the log")? = units;
        }
        // Number 0 is the empty draw.
        account.left.remove(0);
        account.empties = account.awarded.remove(0);
        if self.kind == Kind::Tickets {
            // A request that finds no ticket leaves no trace.
            let drawn = account.awarded.iter().sum::<u64>();
            let is_sold_out = account.left.iter().all(|left| left.unwrap_or(0) == 0);
            ensure!(is_sold_out || drawn == self.answered, "{drawn} tickets were taken");
            account.empties = self.answered.saturating_sub(drawn);
        }
        Ok(account)
    }
}

fn pairs(rows: &str) -> anyhow::Result<Vec<(usize, u64)>> {
    let pair = |row: &str| {
        let (id, units) = row.split_once('|').with_context(|| format!("a row: {row}"))?;
        Ok((id.parse()?, units.parse()?))
    };
    rows.lines().map(pair).collect()
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let (_, rest) = text.split_once(label)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Reads the third field of each line, microseconds, from all files that the client wrote.
fn read_latencies(directory: &Path) -> anyhow::Result<Histogram<u64>> {
    let mut latency = Histogram::new(3)?;
    for file in std::fs::read_dir(directory)? {
        for line in std::fs::read_to_string(file?.path())?.lines() {
            let field = line.split(' ').nth(2).and_then(|field| field.parse().ok());
            latency.record(field.with_context(|| format!("the log of pgbench: {line}"))?)?;
        }
    }
    Ok(latency)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pgbench_prints_is_read() {
        let printed = "number of transactions actually processed: 4711\n\
            number of failed transactions: 0 (0.000%)\n\
            tps = 5210.123 (without initial connection time)\n";
        let number = |label| number_after(printed, label).map(|n| format!("{n:.3}"));
        assert_eq!(number("tps = ").as_deref(), Some("5210.123"));
        assert_eq!(number("transactions actually processed: ").as_deref(), Some("4711.000"));
        assert_eq!(number("failed transactions: ").as_deref(), Some("0.000"));
        assert_eq!(number("retries: "), None);
    }

    #[test]
    fn latencies_of_all_threads_are_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("log.1"), "0 0 150 0 1 2\n0 1 170 0 1 3\n").unwrap();
        std::fs::write(directory.path().join("log.1.1"), "1 0 90 0 1 2\n").unwrap();
        let latency = read_latencies(directory.path()).unwrap();
        assert_eq!((latency.len(), latency.min(), latency.max()), (3, 90, 170));
        std::fs::write(directory.path().join("log.1.2"), "garbage\n").unwrap();
        assert!(read_latencies(directory.path()).is_err());
    }
}
