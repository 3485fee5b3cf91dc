//! Names that a shell completes: the pools and items of the service that the line names.
//!
//! A key press must not hang, so a service that does not answer at once has no names.
use std::env;
use std::ffi::OsStr;
use std::time::Duration;

use clap_complete::CompletionCandidate;
use rewardpool_proto::v1::{GetStateRequest, ItemState, ListPoolsRequest};

use super::Failure;
use super::output;
use super::service::{AccessArgs, Address, Service, with_service};
use super::state::table_status;

const PATIENCE: Duration = Duration::from_millis(500);
/// Names that are asked for. More are not read on a key press.
const NAMES_MAX: i32 = 5000;

/// The pools that begin so.
pub(super) fn pools(begin: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |service| {
        let request = ListPoolsRequest { page_size: NAMES_MAX, page_token: String::new() };
        let answer = service.players().list_pools(request).await;
        let page = answer.map_err(|status| Failure::status(&status))?.into_inner();
        let pool = |pool: rewardpool_proto::v1::PoolSummary| {
            let help = table_status(pool.status()).to_owned();
            (pool.pool, help)
        };
        Ok(page.pools.into_iter().map(pool).collect())
    });
    candidates(begin, names)
}

/// The items that begin so, of the pool that the line names.
pub(super) fn items(begin: &OsStr) -> Vec<CompletionCandidate> {
    let names = ask(async |service| {
        let pool = option("--pool").or_else(|| env::var("REWARDPOOL_POOL").ok());
        let request = GetStateRequest {
            pool: pool.unwrap_or_default(),
            page_size: NAMES_MAX,
            page_token: String::new(),
        };
        let answer = service.players().get_state(request).await;
        let page = answer.map_err(|status| Failure::status(&status))?.into_inner();
        let items = page.items.into_iter().filter(|item| !item.retired);
        let item = |item: ItemState| {
            let help = format!("{} left, weight {}", output::quantity(item.quantity), item.weight);
            (item.item_id, help)
        };
        Ok(items.map(item).collect())
    });
    candidates(begin, names)
}

/// Names with a word about each, or none when nobody answers.
fn ask(
    names: impl AsyncFnOnce(&Service) -> Result<Vec<(String, String)>, Failure>,
) -> Vec<(String, String)> {
    let address = option("--addr").or_else(|| env::var("REWARDPOOL_ADDR").ok());
    let address = address.map_or_else(|| Ok(Address::default()), |text| text.parse());
    let access = AccessArgs::of_line(option);
    let address =
        address.map(|address: Address| address.with_timeout(Some(PATIENCE)).with_access(access));
    address.ok().and_then(|address| with_service(&address, names).ok()).unwrap_or_default()
}

/// The value of an option in the line so far.
fn option(name: &str) -> Option<String> {
    let mut words = env::args();
    while let Some(word) = words.next() {
        if word == name {
            return words.next().filter(|value| !value.is_empty());
        }
        if let Some(value) = word.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.to_owned());
        }
    }
    None
}

fn candidates(begin: &OsStr, names: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let begin = begin.to_string_lossy();
    // Bash would take what it must quote for several words.
    let is_plain = |name: &str| {
        name.chars().all(|letter| letter.is_alphanumeric() || "_-./:%+@".contains(letter))
    };
    let names = names.into_iter().filter(|(name, _)| name.starts_with(&*begin) && is_plain(name));
    names.map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into()))).collect()
}
