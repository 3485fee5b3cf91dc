//! The catalogue that is simulated: of a file, of the built-in sample, or what is left of a pool that
//! runs or ran.
use std::path::PathBuf;

use clap::Args;
use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{KeyLimits, PoolSpec};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::selector::SelectorKind;
use rewardpool_engine::inspect;
use rewardpool_proto::v1::GetStateResponse;
use rewardpool_server::config::Config;

use crate::cli::directory::read_directory;
use crate::cli::failure::exit;
use crate::cli::running::{pool_of_directory, read_pool, unknown_pool};
use crate::cli::service::with_service;
use crate::cli::{Failure, Global};

/// Where the catalogue comes from.
#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// The catalogue of a configuration, as a new pool begins with it
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    config: Option<PathBuf>,
    /// What is left in the working directory of a stopped service
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "./rewardpool-data")]
    dir: Option<PathBuf>,
}

/// A catalogue with the units that are there before the first draw.
#[derive(Debug)]
pub(super) struct Catalogue {
    /// What it is, for people.
    pub(super) origin: String,
    pub(super) spec: PoolSpec,
    total_weight: u64,
}

impl SourceArgs {
    pub(super) fn read(&self, pool: &str, global: &Global) -> Result<Catalogue, Failure> {
        if global.is_addr_given && (self.config.is_some() || self.dir.is_some()) {
            let what = "--addr names a running service, and another option a catalogue elsewhere";
            return Err(Failure::usage(what, "name only one of --config, --dir and --addr"));
        }
        if let Some(file) = &self.config {
            return of_config(Config::load(file)?, &file.display().to_string(), pool);
        }
        if let Some(directory) = &self.dir {
            let (state, _) = read_directory(directory, inspect::load)?;
            let state = pool_of_directory(&state, pool)?;
            return what_is_left(&state, &directory.display().to_string());
        }
        if global.is_addr_given {
            let state = with_service(&global.addr, async |service| {
                read_pool(service, pool, usize::MAX).await
            })?;
            return what_is_left(&state, global.addr.as_str());
        }
        of_config(Config::built_in(), "the built-in sample", pool)
    }
}

fn of_config(config: Config, origin: &str, pool: &str) -> Result<Catalogue, Failure> {
    let is_only = config.pools.len() == 1;
    let names: Vec<String> = config.pools.iter().map(|pool| pool.spec.id.to_string()).collect();
    let is_meant = |id: &str| match pool {
        "" => is_only || id == "default",
        name => id == name,
    };
    let found = config.pools.into_iter().find(|pool| is_meant(pool.spec.id.as_str()));
    let found = found.ok_or_else(|| unknown_pool(pool, names.iter().map(String::as_str)))?;
    Ok(Catalogue::new(format!("of {origin}"), found.spec))
}

/// A new pool with the items that are not retired, and as many units as are left.
fn what_is_left(state: &GetStateResponse, origin: &str) -> Result<Catalogue, Failure> {
    let unknown = |error: &dyn std::error::Error| {
        let what = format!("{origin} tells of a pool that cannot be: {error}");
        Failure::new(exit::UNAVAILABLE, what, "use the program of the service's version")
    };
    let items = state.items.iter().filter(|item| !item.retired).map(|item| {
        Ok(CatalogItem {
            id: ItemId::new(&item.item_id).map_err(|error| unknown(&error))?,
            weight: item.weight,
            quantity: Quantity::from_number(item.quantity).map_err(|error| unknown(&error))?,
        })
    });
    let items = items.collect::<Result<Vec<CatalogItem>, Failure>>()?;
    if items.is_empty() {
        let what = format!("every item of the pool {} is retired", state.pool);
        return Err(Failure::new(exit::REFUSED, what, "choose another one with --pool"));
    }
    let spec = PoolSpec {
        id: PoolId::new(&state.pool).map_err(|error| unknown(&error))?,
        catalog: Catalog::new(items).map_err(|error| unknown(&error))?,
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    Ok(Catalogue::new(format!("as it is left in {origin}"), spec))
}

impl Catalogue {
    fn new(origin: String, spec: PoolSpec) -> Self {
        let available = spec.catalog.items().iter().filter(|item| is_available(item));
        // A catalogue was checked: its weights add up to less than 2^63.
        let total_weight = available.map(|item| item.weight).sum();
        Self { origin, spec, total_weight }
    }

    #[cfg(test)]
    pub(super) fn for_tests(spec: PoolSpec) -> Self {
        Self::new("of a test".to_owned(), spec)
    }

    pub(super) fn items(&self) -> impl ExactSizeIterator<Item = &CatalogItem> {
        self.spec.catalog.items().iter()
    }

    /// The weight with which an item takes part in the first draw, and the sum of all.
    pub(super) fn weights(&self, item: &CatalogItem) -> (u64, u64) {
        (if is_available(item) { item.weight } else { 0 }, self.total_weight)
    }

    /// The chance of an item in the first draw.
    #[expect(clippy::cast_precision_loss, reason = "15 digits are enough for statistics")]
    pub(super) fn chance(&self, item: &CatalogItem) -> f64 {
        let (weight, total) = self.weights(item);
        if weight == 0 { 0.0 } else { weight as f64 / total as f64 }
    }
}

fn is_available(item: &CatalogItem) -> bool {
    item.quantity != Quantity::Limited(0)
}
