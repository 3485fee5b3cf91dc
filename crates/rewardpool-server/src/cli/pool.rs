//! `pool`: lists, makes and changes pools.
use std::path::{Path, PathBuf};

use clap::Subcommand;
use clap_complete::ArgValueCompleter;
use rewardpool_core::selector::SelectorKind;
use rewardpool_proto::v1::{
    AddItemRequest, CatalogItem, ClosePoolRequest, CreatePoolRequest, KeyLimits, PausePoolRequest,
    PoolSummary, ResumePoolRequest, RetireItemRequest, Selector,
};
use rewardpool_server::config::{Config, PoolConfig};
use serde_json::{Value, json};

use super::failure::exit;
use super::output::{self, Align, Format, Table};
use super::running::list_pools;
use super::service::{Address, Service, with_service};
use super::state::table_status;
use super::update::WEIGHT_MAX;
use super::{Failure, NoteArgs, PoolArgument, PoolOption, complete};

const EXAMPLES: &str = "\
Examples:
  rewardpool pool ls
  rewardpool pool create --file summer.yaml
  rewardpool pool add-item ticket --quantity 50 --weight 3 --pool summer
  rewardpool pool pause summer --reason \"wrong odds\"";
const LS_EXAMPLES: &str = "Example:\n  rewardpool pool ls -o json";
const CREATE_EXAMPLES: &str = "\
Examples:
  rewardpool pool create --file summer.yaml
  rewardpool pool create --file rewardpool.yaml --pool summer

where summer.yaml is written like the configuration of the service (`rewardpool config init`):
  pool:
    id: summer
    catalog:
      - { item_id: ticket, quantity: 50, weight: 1 }
      - { item_id: sticker, quantity: -1, weight: 9 }";
const ADD_EXAMPLES: &str = "\
Examples:
  rewardpool pool add-item ticket --quantity 50 --weight 3
  rewardpool pool add-item sticker --quantity unlimited --weight 9 --pool summer";
const RETIRE_EXAMPLES: &str =
    "Example:\n  rewardpool pool retire-item ticket --pool summer --reason \"event is over\"";
const PAUSE_EXAMPLES: &str = "Example:\n  rewardpool pool pause summer --reason \"wrong odds\"";
const RESUME_EXAMPLES: &str = "Example:\n  rewardpool pool resume summer";
const CLOSE_EXAMPLES: &str = "Example:\n  rewardpool pool close summer --reason \"event is over\"";

/// List, create and change pools
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum PoolCommand {
    /// List the pools
    #[command(alias = "list", after_help = LS_EXAMPLES)]
    Ls,
    /// Create the pools of a file
    #[command(after_help = CREATE_EXAMPLES)]
    Create {
        /// A YAML file with `pool` or `pools`, as in a configuration; the rest of it is not used
        #[arg(long)]
        file: PathBuf,
        /// Create only this pool of the file
        #[arg(long = "pool", value_name = "POOL")]
        only: Option<String>,
    },
    /// Add an item to a pool
    #[command(after_help = ADD_EXAMPLES)]
    AddItem {
        /// Its name, new in the pool
        item: String,
        /// Units at the start, or `unlimited`
        #[arg(long, value_name = "N|unlimited", value_parser = parse_units, allow_negative_numbers = true)]
        quantity: i64,
        /// Chance relative to the other items; 0 is never drawn
        #[arg(long, value_parser = clap::value_parser!(u64).range(..=WEIGHT_MAX))]
        weight: u64,
        #[command(flatten)]
        pool: PoolOption,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Take an item out of the draws for ever
    #[command(after_help = RETIRE_EXAMPLES)]
    RetireItem {
        /// Its name
        #[arg(add = ArgValueCompleter::new(complete::items))]
        item: String,
        #[command(flatten)]
        pool: PoolOption,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Refuse draws until the pool is resumed
    #[command(after_help = PAUSE_EXAMPLES)]
    Pause {
        #[command(flatten)]
        pool: PoolArgument,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Let a paused pool draw again
    #[command(after_help = RESUME_EXAMPLES)]
    Resume {
        #[command(flatten)]
        pool: PoolArgument,
        #[command(flatten)]
        note: NoteArgs,
    },
    /// Refuse draws and changes for ever; cannot be undone
    #[command(after_help = CLOSE_EXAMPLES)]
    Close {
        /// The pool
        #[arg(add = ArgValueCompleter::new(complete::pools))]
        pool: String,
        #[command(flatten)]
        note: NoteArgs,
    },
}

/// Where a change stands in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Changed {
    pub(crate) lsn: u64,
    pub(crate) catalog_version: u64,
}

/// Prints that a change is durable.
pub(crate) fn print_changed(format: Format, done: &str, changed: &Changed) -> Result<(), Failure> {
    let Changed { lsn, catalog_version } = *changed;
    output::print(
        format,
        || format!("{done}: catalogue version {catalog_version}, lsn {lsn}\n"),
        || json!({ "lsn": lsn, "catalog_version": catalog_version }),
    )
}

fn parse_units(text: &str) -> Result<i64, &'static str> {
    if text == "unlimited" {
        return Ok(-1);
    }
    let rule = "a quantity is 0 to 2^63 - 1, or `unlimited`";
    text.parse().ok().filter(|&units| units >= 0).ok_or(rule)
}

pub(crate) fn run(command: PoolCommand, address: &Address, format: Format) -> Result<(), Failure> {
    match command {
        PoolCommand::Ls => {
            let pools = with_service(address, list_pools)?;
            output::print(format, || list_table(&pools), || list_json(&pools))
        }
        PoolCommand::Create { file, only } => create(&file, only.as_deref(), address, format),
        PoolCommand::AddItem { .. }
        | PoolCommand::RetireItem { .. }
        | PoolCommand::Pause { .. }
        | PoolCommand::Resume { .. }
        | PoolCommand::Close { .. } => {
            let done = done(&command);
            let changed = with_service(address, async |service| change(service, command).await)?;
            print_changed(format, &done, &changed)
        }
    }
}

/// What a change did, in the words of its command.
fn done(command: &PoolCommand) -> String {
    let pool = |pool: &str| if pool.is_empty() { "the pool".to_owned() } else { pool.to_owned() };
    match command {
        PoolCommand::AddItem { item, .. } => format!("{item} is added"),
        PoolCommand::RetireItem { item, .. } => format!("{item} is retired"),
        PoolCommand::Pause { pool: PoolArgument { pool: name }, .. } => {
            format!("{} is paused", pool(name))
        }
        PoolCommand::Resume { pool: PoolArgument { pool: name }, .. } => {
            format!("{} is active", pool(name))
        }
        PoolCommand::Close { pool: name, .. } => format!("{} is closed", pool(name)),
        PoolCommand::Ls | PoolCommand::Create { .. } => "done".to_owned(),
    }
}

/// Makes a change of one pool. The answers have the same fields and different types.
macro_rules! changed {
    ($service:expr, $method:ident, $request:expr) => {{
        let answer = $service.admin().$method($request).await;
        let answer = answer.map_err(|status| Failure::status(&status))?.into_inner();
        Ok(Changed { lsn: answer.lsn, catalog_version: answer.catalog_version })
    }};
}

async fn change(service: &Service, command: PoolCommand) -> Result<Changed, Failure> {
    match command {
        PoolCommand::AddItem { item, quantity, weight, pool: PoolOption { pool }, note } => {
            let item =
                Some(CatalogItem { item_id: item, weight: Some(weight), quantity: Some(quantity) });
            let NoteArgs { actor, reason } = note;
            changed!(service, add_item, AddItemRequest { pool, item, actor, reason })
        }
        PoolCommand::RetireItem { item, pool: PoolOption { pool }, note } => {
            let NoteArgs { actor, reason } = note;
            let request = RetireItemRequest { pool, item_id: item, actor, reason };
            changed!(service, retire_item, request)
        }
        PoolCommand::Pause { pool: PoolArgument { pool }, note: NoteArgs { actor, reason } } => {
            changed!(service, pause_pool, PausePoolRequest { pool, actor, reason })
        }
        PoolCommand::Resume { pool: PoolArgument { pool }, note: NoteArgs { actor, reason } } => {
            changed!(service, resume_pool, ResumePoolRequest { pool, actor, reason })
        }
        PoolCommand::Close { pool, note: NoteArgs { actor, reason } } => {
            changed!(service, close_pool, ClosePoolRequest { pool, actor, reason })
        }
        PoolCommand::Ls | PoolCommand::Create { .. } => {
            unreachable!("these do not change one pool")
        }
    }
}

fn list_table(pools: &[PoolSummary]) -> String {
    let mut table = Table::new([
        ("POOL", Align::Left),
        ("STATUS", Align::Left),
        ("VERSION", Align::Right),
        ("ITEMS", Align::Right),
        ("DRAWS", Align::Right),
        ("AWARDS", Align::Right),
        ("EMPTY", Align::Right),
        ("TOTAL WEIGHT", Align::Right),
    ]);
    for pool in pools {
        table.push([
            pool.pool.clone(),
            table_status(pool.status()).to_owned(),
            pool.catalog_version.to_string(),
            output::count(pool.item_count),
            output::count(pool.draws),
            output::count(pool.awards),
            output::count(pool.empties),
            output::count(pool.total_weight),
        ]);
    }
    table.render()
}

fn list_json(pools: &[PoolSummary]) -> Value {
    let pool = |pool: &PoolSummary| {
        json!({
            "pool": pool.pool,
            "status": pool.status().as_str_name(),
            "catalog_version": pool.catalog_version,
            "item_count": pool.item_count,
            "draws": pool.draws,
            "awards": pool.awards,
            "empties": pool.empties,
            "total_weight": pool.total_weight,
        })
    };
    json!({ "pool_count": pools.len(), "pools": pools.iter().map(pool).collect::<Vec<_>>() })
}

/// Creates the pools of a file one after another. Those before a refused one stay, and are told.
fn create(
    file: &Path,
    only: Option<&str>,
    address: &Address,
    format: Format,
) -> Result<(), Failure> {
    let mut config = Config::load(file)?;
    let shown = file.display();
    if let Some(only) = only {
        config.pools.retain(|pool| pool.spec.id.as_str() == only);
    }
    if let (Some(only), []) = (only, &config.pools[..]) {
        let what = format!("{shown} has no pool {only:?}");
        return Err(Failure::new(exit::CONFIG, what, "choose a pool that is in the file"));
    }
    if config.pools.is_empty() {
        return Err(Failure::new(exit::CONFIG, format!("{shown} has no pool"), "write a `pool`"));
    }
    if config.pools.iter().any(|pool| pool.seed.is_some()) {
        let what = format!("{shown} has a `seed`, which is not sent to a service");
        return Err(Failure::new(exit::CONFIG, what, "leave the seed out"));
    }
    let mut created = Vec::new();
    let result = with_service(address, async |service| {
        for pool in &config.pools {
            let request = create_request(pool);
            let changed: Result<Changed, Failure> =
                async { changed!(service, create_pool, request) }.await;
            created.push((pool.spec.id.as_str(), changed?));
        }
        Ok(())
    });
    if !created.is_empty() {
        output::print(format, || created_table(&created), || created_json(&created))?;
    }
    result
}

fn create_request(pool: &PoolConfig) -> CreatePoolRequest {
    let spec = &pool.spec;
    let items = spec.catalog.items().iter();
    let catalog = items.map(|item| CatalogItem {
        item_id: item.id.as_str().to_owned(),
        weight: Some(item.weight),
        quantity: Some(item.quantity.to_number()),
    });
    let selector = match spec.selector {
        SelectorKind::Auto => Selector::Auto,
        SelectorKind::Fenwick => Selector::Fenwick,
        SelectorKind::PrefixSum => Selector::PrefixSum,
        SelectorKind::SumTree => Selector::SumTree,
    };
    CreatePoolRequest {
        pool: spec.id.as_str().to_owned(),
        catalog: catalog.collect(),
        selector: selector.into(),
        key_limits: Some(KeyLimits {
            window_ms: Some(spec.keys.window_ms),
            keys_max: Some(spec.keys.keys_max),
            outcomes_max: Some(spec.keys.outcomes_max),
        }),
    }
}

fn created_table(created: &[(&str, Changed)]) -> String {
    let mut table =
        Table::new([("POOL", Align::Left), ("VERSION", Align::Right), ("LSN", Align::Right)]);
    for (pool, changed) in created {
        table.push([
            (*pool).to_owned(),
            changed.catalog_version.to_string(),
            changed.lsn.to_string(),
        ]);
    }
    table.render()
}

fn created_json(created: &[(&str, Changed)]) -> Value {
    let pool = |(pool, changed): &(&str, Changed)| json!({ "pool": pool, "lsn": changed.lsn, "catalog_version": changed.catalog_version });
    json!({ "pools": created.iter().map(pool).collect::<Vec<_>>() })
}
