//! `state`: what is left in a pool, from a running service or from a directory.
use std::path::PathBuf;

use clap::Args;
use rewardpool_core::command::PoolStatus as CoreStatus;
use rewardpool_core::state::State;
use rewardpool_core::view::PoolView;
use rewardpool_engine::inspect;
use rewardpool_proto::v1::{GetStateRequest, GetStateResponse, ItemState, PoolStatus};
use serde_json::{Value, json};

use super::Failure;
use super::directory::read_directory;
use super::failure::exit;
use super::output::{self, Align, Format, Table};
use super::service::{Address, Service, with_service};

const EXAMPLES: &str = "\
Examples:
  rewardpool state                          Of the running service
  rewardpool state --pool summer -o json
  rewardpool state --dir ./rewardpool-data  Of a stopped service, from its files";

const PAGE_SIZE: i32 = 5000;

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

pub(crate) fn run(args: &StateArgs, address: &Address, format: Format) -> Result<(), Failure> {
    let state = match &args.dir {
        Some(directory) => {
            let (state, _) = read_directory(directory, inspect::load)?;
            of_directory(&state, &args.pool)?
        }
        None => with_service(address, async |service| of_service(service, &args.pool).await)?,
    };
    output::print(format, || table(&state), || json(&state))
}

/// Reads all pages. The totals are those of the last one.
async fn of_service(service: &Service, pool: &str) -> Result<GetStateResponse, Failure> {
    let mut items = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = GetStateRequest { pool: pool.to_owned(), page_size: PAGE_SIZE, page_token };
        let answer = service.players().get_state(request).await;
        let mut page = answer.map_err(|status| Failure::status(&status))?.into_inner();
        items.append(&mut page.items);
        if page.next_page_token.is_empty() {
            return Ok(GetStateResponse { items, ..page });
        }
        page_token = page.next_page_token;
    }
}

/// The same from a state that was read from files. The rule for an empty name is the service's.
fn of_directory(state: &State, pool: &str) -> Result<GetStateResponse, Failure> {
    let mut pools = state.pools();
    let found = match pool {
        "" if pools.len() == 1 => pools.next(),
        "" => pools.find(|pool| pool.names.id().as_str() == "default"),
        name => pools.find(|pool| pool.names.id().as_str() == name),
    };
    let Some(pool) = found else {
        let names: Vec<&str> =
            state.names().pools().iter().map(|pool| pool.id().as_str()).take(20).collect();
        let what = if pool.is_empty() {
            "UNKNOWN_POOL: there is not one pool, and none is called `default`".to_owned()
        } else {
            format!("UNKNOWN_POOL: there is no pool {pool:?}")
        };
        let hint = if names.is_empty() {
            "the directory has no pools".to_owned()
        } else {
            format!("choose one with --pool: {}", names.join(", "))
        };
        return Err(Failure::new(exit::REFUSED, what, hint));
    };
    Ok(GetStateResponse {
        pool: pool.names.id().as_str().to_owned(),
        status: match pool.status {
            CoreStatus::Active => PoolStatus::Active,
            CoreStatus::Paused => PoolStatus::Paused,
            CoreStatus::Closed => PoolStatus::Closed,
        }
        .into(),
        lsn: state.last_lsn(),
        catalog_version: pool.catalog_version,
        last_request_id: state.last_request_id(),
        draws: pool.draws,
        awards: pool.awards,
        empties: pool.empties,
        total_weight: pool.available_weight,
        items: items_of_directory(state, &pool),
        next_page_token: String::new(),
        item_count: u64::try_from(pool.item_count).expect("a catalogue is bounded"),
    })
}

fn items_of_directory(state: &State, pool: &PoolView<'_>) -> Vec<ItemState> {
    let items = state.items(pool.number, 0, usize::MAX).expect("the pool was found just now");
    let name = |index| pool.names.items().get(index).expect("each item has a name");
    items
        .map(|item| ItemState {
            item_id: name(item.index).as_str().to_owned(),
            weight: item.weight,
            quantity: item.quantity.to_number(),
            awarded: item.awarded,
            granted: item.granted.map_or(-1, |granted| {
                i64::try_from(granted).expect("granted units are below 2^63")
            }),
            retired: item.retired,
            drawable: item.effective_weight > 0,
        })
        .collect()
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
            item.awarded.to_string(),
            item.weight.to_string(),
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

    #[test]
    fn a_directory_without_the_pool_is_told_so() {
        let Err(Failure::Told { what, hint, .. }) = of_directory(&State::new(), "summer") else {
            panic!("there is no pool");
        };
        assert!(what.contains("summer"));
        assert!(hint.contains("no pools"));
    }
}
