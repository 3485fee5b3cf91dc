//! What runs: pools and their items, page by page from a service, or from a directory of a stopped
//! one, in the same form.
use rewardpool_core::command::PoolStatus as CoreStatus;
use rewardpool_core::state::State;
use rewardpool_core::view::PoolView;
use rewardpool_proto::v1::{
    GetStateRequest, GetStateResponse, ItemState, ListPoolsRequest, PoolStatus, PoolSummary,
};
use rewardpool_server::config::difference::{RunningItem, RunningPool};

use super::Failure;
use super::failure::exit;
use super::service::Service;

/// Entries of a page.
const PAGE_SIZE: i32 = 5000;
/// How often a pool is read until nobody changes its catalogue in between.
const READINGS_MAX: usize = 5;
/// Names that an error lists.
const NAMES_MAX: usize = 20;

/// All pools of a service in the order of their creation.
pub(crate) async fn list_pools(service: &Service) -> Result<Vec<PoolSummary>, Failure> {
    let mut pools = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListPoolsRequest { page_size: PAGE_SIZE, page_token };
        let answer = service.players().list_pools(request).await;
        let mut page = answer.map_err(|status| Failure::status(&status))?.into_inner();
        pools.append(&mut page.pools);
        if page.next_page_token.is_empty() {
            return Ok(pools);
        }
        page_token = page.next_page_token;
    }
}

/// Reads all pages of a pool, or as many as hold so many items. The totals are those of the last
/// page.
pub(crate) async fn read_pool(
    service: &Service,
    pool: &str,
    limit: usize,
) -> Result<GetStateResponse, Failure> {
    let mut items: Vec<ItemState> = Vec::new();
    let mut page_token = String::new();
    loop {
        let page_size = i32::try_from(limit - items.len()).unwrap_or(PAGE_SIZE).min(PAGE_SIZE);
        let request = GetStateRequest { pool: pool.to_owned(), page_size, page_token };
        let answer = service.players().get_state(request).await;
        let mut page = answer.map_err(|status| Failure::status(&status))?.into_inner();
        items.append(&mut page.items);
        if page.next_page_token.is_empty() || items.len() >= limit {
            return Ok(GetStateResponse { items, ..page });
        }
        page_token = page.next_page_token;
    }
}

/// Reads a pool as a whole, of one version of its catalogue.
async fn read_one_version(service: &Service, pool: &str) -> Result<GetStateResponse, Failure> {
    for _ in 0..READINGS_MAX {
        let first = read_pool(service, pool, 1).await?;
        let whole = read_pool(service, pool, usize::MAX).await?;
        // The last page tells the version, so all pages between these two have it.
        if first.catalog_version == whole.catalog_version {
            return Ok(whole);
        }
    }
    let what = format!("the catalogue of {pool} changes while it is read");
    let hint = "try again when nobody changes it";
    Err(Failure::new(exit::UNAVAILABLE, what, hint))
}

/// The pools of a service for a comparison, with the items of those that are asked for.
pub(crate) async fn pools_of_service(
    service: &Service,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<RunningPool>, Failure> {
    let mut pools = Vec::new();
    for summary in list_pools(service).await? {
        let items = if is_wanted(&summary.pool) {
            read_one_version(service, &summary.pool).await?
        } else {
            let (status, catalog_version) = (summary.status, summary.catalog_version);
            let pool = summary.pool;
            GetStateResponse { pool, status, catalog_version, ..GetStateResponse::default() }
        };
        pools.push(running_pool(&items)?);
    }
    Ok(pools)
}

/// The pools of a directory for a comparison.
pub(crate) fn pools_of_directory(state: &State) -> Result<Vec<RunningPool>, Failure> {
    state.pools().map(|pool| running_pool(&response(state, &pool))).collect()
}

fn running_pool(state: &GetStateResponse) -> Result<RunningPool, Failure> {
    Ok(RunningPool {
        id: state.pool.clone(),
        status: core_status(state.status())?,
        catalog_version: state.catalog_version,
        items: state.items.iter().map(RunningItem::from).collect(),
    })
}

fn core_status(status: PoolStatus) -> Result<CoreStatus, Failure> {
    match status {
        PoolStatus::Active => Ok(CoreStatus::Active),
        PoolStatus::Paused => Ok(CoreStatus::Paused),
        PoolStatus::Closed => Ok(CoreStatus::Closed),
        PoolStatus::Unspecified => {
            let what = "the service tells a status of a pool that this program does not know";
            Err(Failure::new(exit::UNAVAILABLE, what, "use the program of the service's version"))
        }
    }
}

/// One pool of a directory. The rule for an empty name is the service's.
pub(crate) fn pool_of_directory(state: &State, pool: &str) -> Result<GetStateResponse, Failure> {
    let mut pools = state.pools();
    let found = match pool {
        "" if pools.len() == 1 => pools.next(),
        "" => pools.find(|pool| pool.names.id().as_str() == "default"),
        name => pools.find(|pool| pool.names.id().as_str() == name),
    };
    let Some(pool) = found else {
        let pools = state.names().pools();
        return Err(unknown_pool(pool, pools.iter().map(|pool| pool.id().as_str())));
    };
    Ok(response(state, &pool))
}

/// There is no pool of this name among those that are there.
pub(crate) fn unknown_pool<'a>(name: &str, there: impl Iterator<Item = &'a str>) -> Failure {
    let names: Vec<&str> = there.take(NAMES_MAX).collect();
    let what = if name.is_empty() {
        "there is not one pool, and none is called `default`".to_owned()
    } else {
        format!("there is no pool {name:?}")
    };
    let hint = if names.is_empty() {
        "there are no pools".to_owned()
    } else {
        format!("choose one with --pool: {}", names.join(", "))
    };
    Failure::new(exit::REFUSED, what, hint).with_reason("UNKNOWN_POOL")
}

fn response(state: &State, pool: &PoolView<'_>) -> GetStateResponse {
    GetStateResponse {
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
        items: items_of_directory(state, pool),
        next_page_token: String::new(),
        item_count: u64::try_from(pool.item_count).expect("a catalogue is bounded"),
        freshness: None,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_the_pool_is_told_so() {
        let Err(Failure::Told { what, hint, .. }) = pool_of_directory(&State::new(), "summer")
        else {
            panic!("there is no pool");
        };
        assert!(what.contains("summer"));
        assert!(hint.contains("no pools"));
    }
}
