//! `config`: writes a configuration to begin with, checks one, and compares it with what runs
//! (`diff.rs`).
mod diff;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use rewardpool_core::quantity::Quantity;
use rewardpool_server::config::{Config, PoolConfig};
use serde_json::{Value, json};

use super::output::{self, Align, Format, Table};
use super::{Failure, Global};

const EXAMPLES: &str = "\
Examples:
  rewardpool config init
  rewardpool config check rewardpool.yaml
  rewardpool config diff";
const INIT_EXAMPLES: &str = "\
Examples:
  rewardpool config init
  rewardpool config init /etc/rewardpool.yaml";
const CHECK_EXAMPLES: &str = "\
Examples:
  rewardpool config check
  rewardpool config check /etc/rewardpool.yaml -o json";

/// Write, check or compare a configuration
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum ConfigCommand {
    /// Write a file with every option, its default and its bounds; never overwrites one
    #[command(after_help = INIT_EXAMPLES)]
    Init {
        /// The file to write
        #[arg(default_value = "rewardpool.yaml")]
        file: PathBuf,
    },
    /// Check a file and tell what is in it; every fault has its line and column
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        /// The file to check
        #[arg(default_value = "rewardpool.yaml")]
        file: PathBuf,
    },
    Diff(diff::DiffArgs),
}

pub(crate) fn run(command: &ConfigCommand, global: &Global) -> Result<(), Failure> {
    let format = global.output;
    match command {
        ConfigCommand::Diff(args) => diff::run(args, global),
        ConfigCommand::Init { file } => init(file, format),
        ConfigCommand::Check { file } => {
            let config = Config::load(file)?;
            output::print(format, || table(file, &config), || json(file, &config))
        }
    }
}

fn init(file: &Path, format: Format) -> Result<(), Failure> {
    let written =
        File::create_new(file).and_then(|mut open| open.write_all(Config::sample().as_bytes()));
    written.map_err(|error| {
        let hint = if error.kind() == io::ErrorKind::AlreadyExists {
            "it is left as it was; name another file, or move it away"
        } else {
            "name a file in a directory that you may write to"
        };
        Failure::file(file, &error, hint)
    })?;
    let shown = file.display();
    output::print(
        format,
        || format!("{shown} is written; next: rewardpool serve --config {shown}\n"),
        || json!({ "file": shown.to_string() }),
    )
}

/// What a catalogue adds up to.
#[derive(Debug)]
struct Sums {
    items: usize,
    units: u128,
    unlimited: usize,
    total_weight: u64,
}

fn sums(pool: &PoolConfig) -> Sums {
    let items = pool.spec.catalog.items();
    let mut sums = Sums { items: items.len(), units: 0, unlimited: 0, total_weight: 0 };
    for item in items {
        match item.quantity {
            Quantity::Limited(units) => sums.units += u128::from(units),
            Quantity::Unlimited => sums.unlimited += 1,
        }
        // The catalogue was checked: its weights add up to less than 2^63.
        sums.total_weight += item.weight;
    }
    sums
}

fn table(file: &Path, config: &Config) -> String {
    let mut table = Table::new([
        ("POOL", Align::Left),
        ("ITEMS", Align::Right),
        ("UNITS", Align::Right),
        ("UNLIMITED ITEMS", Align::Right),
        ("TOTAL WEIGHT", Align::Right),
    ]);
    for pool in &config.pools {
        let sums = sums(pool);
        table.push([
            pool.spec.id.as_str().to_owned(),
            output::count(sums.items),
            output::count(sums.units),
            output::count(sums.unlimited),
            output::count(sums.total_weight),
        ]);
    }
    let wal = &config.wal;
    let settings = output::fields([
        ("working directory", config.working_dir.display().to_string()),
        ("segments", format!("{} KiB, {}", wal.segment_bytes / 1024, wal.format.name())),
        ("storage", wal.storage.name().to_owned()),
        ("waiting commands", format!("at most {}", wal.mailbox_capacity)),
        ("gRPC", listen_text(config)),
        ("pools", config.pools.len().to_string()),
    ]);
    let pools =
        if config.pools.is_empty() { String::new() } else { format!("\n{}", table.render()) };
    format!("{} is good\n\n{settings}{pools}", file.display())
}

fn listen_text(config: &Config) -> String {
    if config.grpc.enabled { config.grpc.listen_address.to_string() } else { "off".to_owned() }
}

/// The names are those of the configuration.
fn json(file: &Path, config: &Config) -> Value {
    let pool = |pool: &PoolConfig| {
        let sums = sums(pool);
        json!({
            "id": pool.spec.id.as_str(),
            "item_count": sums.items,
            // Beyond 64 bits, JSON has no exact number.
            "units": u64::try_from(sums.units).map_or_else(|_| sums.units.to_string().into(), Value::from),
            "unlimited_items": sums.unlimited,
            "total_weight": sums.total_weight,
        })
    };
    json!({
        "file": file.display().to_string(),
        "working_dir": config.working_dir.display().to_string(),
        "max_file_size_kb": config.wal.segment_bytes / 1024,
        "formatter": config.wal.format.name(),
        "storage": config.wal.storage.name(),
        "max_request_buffer_size": config.wal.mailbox_capacity,
        "listen_address": config.grpc.enabled.then(|| config.grpc.listen_address.to_string()),
        "pools": config.pools.iter().map(pool).collect::<Vec<_>>(),
    })
}
