//! `state`: what is left in a pool, from a running service or from a directory.
use std::path::PathBuf;

use clap::Args;
use rewardpool_engine::inspect;
use rewardpool_proto::v1::{GetStateResponse, ItemState, PoolStatus};
use serde_json::{Value, json};

use super::directory::read_directory;
use super::output::{self, Align, Table};
use super::running::{pool_of_directory, read_pool};
use super::service::with_service;
use super::{Failure, Global};

const EXAMPLES: &str = "\
Examples:
  rewardpool state                          Of the running service
  rewardpool state --pool summer -o json
  rewardpool state --dir ./rewardpool-data  Of a stopped service, from its files";

/// Show what is left in a pool, with the odds of each item
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StateArgs {
    /// The pool; without it the only one, or `default`
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,
    /// Read the working directory of a stopped service instead of asking a running one
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "./rewardpool-data")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &StateArgs, global: &Global) -> Result<(), Failure> {
    let state = match &args.dir {
        Some(directory) => {
            global.refuse_addr_with_dir()?;
            let (state, _) = read_directory(directory, inspect::load)?;
            pool_of_directory(&state, &args.pool)?
        }
        None => with_service(&global.addr, async |service| {
            read_pool(service, &args.pool, usize::MAX).await
        })?,
    };
    output::print(global.output, || table(&state), || json(&state))
}

fn status_name(state: &GetStateResponse) -> &'static str {
    table_status(state.status())
}

/// The status of a pool as people write it.
pub(crate) fn table_status(status: PoolStatus) -> &'static str {
    match status {
        PoolStatus::Unspecified => "unknown",
        PoolStatus::Active => "active",
        PoolStatus::Paused => "paused",
        PoolStatus::Closed => "closed",
    }
}

fn table(state: &GetStateResponse) -> String {
    let GetStateResponse { pool, lsn, catalog_version, draws, awards, empties, .. } = state;
    let head = format!(
        "pool {pool} ({}), catalogue version {catalog_version}, lsn {lsn}\n\
         {draws} draws: {awards} awards, {empties} empty\n\n",
        status_name(state)
    );
    let mut table = Table::new([
        ("ITEM", Align::Left),
        ("QUANTITY", Align::Right),
        ("GRANTED", Align::Right),
        ("AWARDED", Align::Right),
        ("WEIGHT", Align::Right),
        ("ODDS %", Align::Right),
        ("", Align::Left),
    ]);
    for item in &state.items {
        let odds = if item.drawable { item.weight } else { 0 };
        table.push([
            item.item_id.clone(),
            output::quantity(item.quantity),
            output::quantity(item.granted),
            output::count(item.awarded),
            output::count(item.weight),
            output::percent(odds, state.total_weight),
            if item.retired { "retired" } else { "" }.to_owned(),
        ]);
    }
    head + &table.render()
}

fn json(state: &GetStateResponse) -> Value {
    let item = |item: &ItemState| {
        json!({
            "item_id": item.item_id,
            "weight": item.weight,
            "quantity": item.quantity,
            "awarded": item.awarded,
            "granted": item.granted,
            "retired": item.retired,
            "drawable": item.drawable,
        })
    };
    json!({
        "pool": state.pool,
        "status": state.status().as_str_name(),
        "lsn": state.lsn,
        "catalog_version": state.catalog_version,
        "last_request_id": state.last_request_id,
        "draws": state.draws,
        "awards": state.awards,
        "empties": state.empties,
        "total_weight": state.total_weight,
        "item_count": state.item_count,
        "items": state.items.iter().map(item).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odds_are_those_of_the_items_that_can_be_drawn() {
        let item = |item_id: &str, quantity, drawable, retired| ItemState {
            item_id: item_id.into(),
            weight: 1,
            quantity,
            awarded: 2,
            granted: if quantity < 0 { -1 } else { quantity + 2 },
            retired,
            drawable,
        };
        let items = vec![
            item("gold", 3, true, false),
            item("log", -1, true, false),
            item("old", 0, false, true),
        ];
        let status = PoolStatus::Active.into();
        let pool = "p".into();
        let state = GetStateResponse { pool, status, total_weight: 2, items, ..Default::default() };
        let text = table(&state);
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "ITEM   QUANTITY    GRANTED  AWARDED  WEIGHT   ODDS %",
                "gold          3          5        2       1  50.0000",
                "log   unlimited  unlimited        2       1  50.0000",
                "old           0          2        2       1        -  retired",
            ]
        );
        assert_eq!(json(&state)["status"], "POOL_STATUS_ACTIVE");
    }
}
