//! Redis with a script that draws in one atomic step; see `redis/draw.lua`.
//!
//! The load comes from Redis' own client over a Unix socket. What helps is set: no snapshots, no
//! rewrite of the log during the run, hashes as hash tables.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use super::process::{Missing, Server, find, output, tied};
use super::{Account, Figure, Item, Load, System};
use crate::table::float;

const DRAW: &str = include_str!("redis/draw.lua");
const LOAD: &str = include_str!("redis/load.lua");
const REBUILD: &str = include_str!("redis/rebuild.lua");
const KEYS: [&str; 4] = ["table", "left", "log", "weights"];
/// Requests of the short run that tells how many make the wanted duration.
const CALIBRATION_MIN: usize = 2_000;
/// Entries of the log that are read at a time.
const LOG_PIECE: usize = 100_000;
const NAME_BYTES: usize = 4;

pub(crate) struct Programs {
    server: PathBuf,
    benchmark: PathBuf,
    cli: PathBuf,
}

pub(crate) fn find_programs() -> Result<Programs, Missing> {
    Ok(Programs {
        server: find("redis-server", "redis-server", &[])?,
        benchmark: find("redis-benchmark", "redis-tools", &[])?,
        cli: find("redis-cli", "redis-tools", &[])?,
    })
}

impl Programs {
    pub(crate) fn version(&self) -> anyhow::Result<String> {
        let version = output(Command::new(&self.server).arg("--version"))?;
        let client = output(Command::new(&self.benchmark).arg("--version"))?;
        Ok(format!("{}; {}", version.trim(), client.trim()))
    }
}

pub(crate) struct Instance {
    /// Ends before its directory is removed.
    _server: Server,
    directory: TempDir,
    benchmark: PathBuf,
    cli: PathBuf,
    policy: &'static str,
    items: Vec<Item>,
    script: String,
    answered: u64,
    unanswered_max: u64,
}

impl Instance {
    /// A server with the pool. The policy is when it syncs its log.
    pub(crate) fn start(
        programs: &Programs,
        directory: &Path,
        policy: &'static str,
        items: &[Item],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir_in(directory)?;
        let path = directory.path().canonicalize()?;
        let mut command = tied(&programs.server, None);
        // A path for a socket is at most 107 bytes long, so it is relative to the directory.
        command.current_dir(&path).args(["--port", "0", "--unixsocket", "socket", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", policy]);
        command.args(["--auto-aof-rewrite-percentage", "0", "--hash-max-listpack-entries", "64"]);
        let cli = programs.cli.clone();
        let ping = || {
            let mut ping = Command::new(&cli);
            ping.current_dir(&path).args(["-e", "-s", "socket", "PING"]);
            output(&mut ping).is_ok_and(|pong| pong.trim() == "PONG")
        };
        let server = Server::start(&mut command, ping)?;
        let mut instance = Self {
            _server: server,
            directory,
            benchmark: programs.benchmark.clone(),
            cli,
            policy,
            items: items.to_vec(),
            script: String::new(),
            answered: 0,
            unanswered_max: 0,
        };
        instance.load()?;
        Ok(instance)
    }

    fn load(&mut self) -> anyhow::Result<()> {
        for (key, value_of) in [
            ("weights", (|item| Some(item.weight)) as fn(&Item) -> Option<u64>),
            ("left", |item| item.units),
        ] {
            let mut command = vec!["HSET".to_owned(), key.to_owned()];
            for item in &self.items {
                command.extend(
                    value_of(item)
                        .map(|value| [item.name.clone(), value.to_string()])
                        .into_iter()
                        .flatten(),
                );
            }
            self.call(&command)?;
        }
        let load = self.script(LOAD);
        // The generator takes 32 bits.
        let seed = SystemTime::UNIX_EPOCH.elapsed()?.subsec_nanos();
        let keys = ["3", "table", "left", "weights"];
        let command = ["EVAL".to_owned(), load].into_iter();
        let command = command.chain(keys.map(str::to_owned)).chain([seed.to_string()]);
        self.call(&command.collect::<Vec<_>>())?;
        let draw = self.script(DRAW);
        let loaded = self.call(&["SCRIPT".to_owned(), "LOAD".to_owned(), draw])?;
        loaded.trim().clone_into(&mut self.script);
        Ok(())
    }

    /// A script with its constants, and with the part that both have.
    fn script(&self, text: &str) -> String {
        let parameters = format!(
            "local COLUMNS, LOW, EMPTY, ENTRY, ENTRY_BYTES = {}, 1000, '0000', '<dc4Bc4B', 18",
            self.items.len()
        );
        text.replace("--@parameters", &parameters).replace("--@rebuild", REBUILD)
    }

    fn call(&self, command: &[String]) -> anyhow::Result<String> {
        let mut cli = Command::new(&self.cli);
        output(cli.current_dir(self.directory.path()).args(["-e", "-s", "socket"]).args(command))
    }

    fn call_words(&self, command: &str) -> anyhow::Result<String> {
        self.call(&command.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    /// Sends so many requests and returns those that were answered in a second, and the latencies.
    fn benchmark(&mut self, load: Load, requests: usize) -> anyhow::Result<Figure> {
        let mut command = Command::new(&self.benchmark);
        command.current_dir(self.directory.path()).args(["-s", "socket", "--csv"]);
        command.args(["-c", &load.clients.to_string(), "-P", &load.in_flight.to_string()]);
        command.args(["-n", &requests.to_string(), "EVALSHA", &self.script, "4"]).args(KEYS);
        let printed = output(command.arg(load.count.to_string()))?;
        self.answered += u64::try_from(requests * load.count)?;
        // The client does not wait for what it sent beyond the wanted number.
        self.unanswered_max += u64::try_from(load.requests_in_flight() * load.count)?;
        let figure = read_csv(&printed).with_context(|| format!("redis-benchmark: {printed}"))?;
        let draws_per_second = figure.draws_per_second * float(load.count as u64);
        Ok(Figure { draws_per_second, ..figure })
    }
}

/// Reads the last line: name, requests in a second, then milliseconds: mean, least, p50, p95, p99,
/// most.
fn read_csv(printed: &str) -> Option<Figure> {
    let line = printed.lines().last()?.strip_suffix('"')?;
    let fields: Vec<&str> = line.rsplitn(8, "\",\"").collect();
    let field = |place: usize| fields.get(place)?.parse::<f64>().ok();
    Some(Figure {
        draws_per_second: field(6)?,
        p50_us: field(3)? * 1000.0,
        p99_us: field(1)? * 1000.0,
    })
}

impl System for Instance {
    fn name(&self) -> String {
        format!("Redis, appendfsync {}", self.policy)
    }

    fn takes(&self, load: Load) -> bool {
        [1, 8, 50].contains(&load.clients)
    }

    fn measure(&mut self, load: Load, duration: Duration) -> anyhow::Result<Figure> {
        let requests = CALIBRATION_MIN.max(4 * load.requests_in_flight());
        let rough = self.benchmark(load, requests)?;
        let seconds = duration.as_secs_f64() * rough.draws_per_second / float(load.count as u64);
        let requests = format!("{seconds:.0}").parse::<usize>()?.max(requests);
        self.benchmark(load, requests)
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn account(&mut self) -> anyhow::Result<Account> {
        let lines = self.call_words("HGETALL left")?;
        let lines: Vec<&str> = lines.lines().collect();
        let left = lines.chunks_exact(2).map(|pair| Ok((pair[0], pair[1].parse::<u64>()?)));
        let left = left.collect::<anyhow::Result<std::collections::BTreeMap<_, _>>>()?;
        let mut account = Account {
            left: self.items.iter().map(|item| left.get(item.name.as_str()).copied()).collect(),
            awarded: vec![0; self.items.len()],
            answered: self.answered,
            unanswered_max: self.unanswered_max,
            ..Account::default()
        };
        let entries: usize = self.call_words("LLEN log")?.trim().parse()?;
        for first in (0..entries).step_by(LOG_PIECE) {
            let last = first + LOG_PIECE - 1;
            for entry in self.call_words(&format!("LRANGE log {first} {last}"))?.lines() {
                ensure!(entry.len().is_multiple_of(NAME_BYTES), "an entry of the log: {entry:?}");
                for outcome in entry.as_bytes().chunks_exact(NAME_BYTES) {
                    match std::str::from_utf8(outcome)?.parse::<usize>()? {
                        0 => account.empties += 1,
                        number => {
                            let awarded = account.awarded.get_mut(number - 1);
                            *awarded.context("an unknown item is in the log")? += 1;
                        }
                    }
                }
            }
        }
        Ok(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_client_is_read() {
        let printed = concat!(
            "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",",
            "\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n",
            "\"EVALSHA ab 4 t l g w 1\",\"257317.33\",\"12.2\",\"3.8\",\"12.3\",\"13.8\",\"16.9\",\"17.5\"\n",
        );
        let figure = read_csv(printed).unwrap();
        let micros = (figure.draws_per_second, figure.p50_us, figure.p99_us);
        assert_eq!(format!("{micros:.1?}"), "(257317.3, 12300.0, 16900.0)");
        assert!(read_csv("ERR no such script").is_none());
    }
}
