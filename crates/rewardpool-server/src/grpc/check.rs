//! Turns the fields of requests into checked values. A value outside its range is refused, never
//! clamped.
use std::time::{Duration, Instant};

use rewardpool_core::catalog::{Catalog, CatalogError, CatalogItem};
use rewardpool_core::command::{
    DrawCommand, DrawCount, DrawMode, ItemChange, KeyHash, KeyLimits, Note, PoolSpec,
    QuantityChange, Rejection,
};
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::limits::{DRAW_COUNT_MAX, KEY_BYTES_MAX, NOTE_BYTES_MAX, TOTAL_WEIGHT_MAX};
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::selector::SelectorKind;
use rewardpool_engine::Refusal;
use rewardpool_proto::v1;
use rewardpool_proto::v1::update_item_request::Quantity as QuantityField;
use tonic::metadata::MetadataMap;

use super::Mailbox;
use crate::convert::Fault;
use crate::log_ring::LINES_MAX;

/// The pool that an empty name means when there are several.
const DEFAULT_POOL: &str = "default";

const PAGE_DEFAULT: usize = 1000;
/// Most entries of a page: they fit into 1 MiB with the longest names.
pub(super) const PAGE_MAX: usize = 5000;

/// The pool of a request.
pub(super) fn pool(mailbox: &impl Mailbox, name: &str) -> Result<PoolNumber, Fault> {
    if name.is_empty() {
        let found = mailbox.only_pool().or_else(|| mailbox.pool(DEFAULT_POOL));
        return found.ok_or_else(|| {
            let rule = "an empty name needs a single pool, or one with the name `default`; there \
                        is neither: name the pool";
            Fault::invalid("pool", rule)
        });
    }
    match (mailbox.pool(name), PoolId::new(name)) {
        (Some(number), _) => Ok(number),
        (None, Ok(_)) => {
            let refusal = Refusal::Rejected(Rejection::UnknownPool);
            mailbox.count_refusal(refusal);
            Err(refusal.into())
        }
        (None, Err(error)) => Err(Fault::invalid("pool", error)),
    }
}

/// The draw that a request asks for, from this pool.
pub(super) fn draw(pool: PoolNumber, request: &v1::DrawRequest) -> Result<DrawCommand, Fault> {
    let count = DrawCount::new(request.count.into()).ok_or_else(|| {
        let rule = format!("a request has 1 to {DRAW_COUNT_MAX} draws, not {}", request.count);
        Fault::invalid("count", rule)
    })?;
    let mode = match v1::DrawMode::try_from(request.mode) {
        Ok(v1::DrawMode::Unspecified | v1::DrawMode::BestEffort) => DrawMode::BestEffort,
        Ok(v1::DrawMode::AllOrNothing) => DrawMode::AllOrNothing,
        Err(_) => return Err(Fault::invalid("mode", "there is no such mode")),
    };
    let key = match request.idempotency_key.as_str() {
        "" => None,
        key => Some(self::key(key)?),
    };
    Ok(DrawCommand { pool, count, mode, key })
}

/// An idempotency key that must be there.
pub(super) fn key(key: &str) -> Result<KeyHash, Fault> {
    KeyHash::of(key.as_bytes()).ok_or_else(|| {
        let rule = format!("a key has 1 to {KEY_BYTES_MAX} bytes, this one has {}", key.len());
        Fault::invalid("idempotency_key", rule)
    })
}

/// Which entries of a list a page has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Page {
    /// Place of the first.
    pub(super) from: usize,
    /// How many at most.
    pub(super) limit: usize,
}

impl Page {
    pub(super) fn new(size: i32, token: &str) -> Result<Self, Fault> {
        let limit = match usize::try_from(size) {
            Ok(0) => PAGE_DEFAULT,
            Ok(size) if size <= PAGE_MAX => size,
            Ok(_) | Err(_) => {
                let rule = format!("a page has 1 to {PAGE_MAX} entries, or 0 for the default");
                return Err(Fault::invalid("page_size", rule));
            }
        };
        let from = if token.is_empty() {
            0
        } else {
            let from = token.parse().ok().filter(|from: &usize| from.to_string() == token);
            from.filter(|&from| from > 0).ok_or_else(unknown_token)?
        };
        Ok(Self { from, limit })
    }

    /// The token of the next page, when this one has so many entries of all.
    pub(super) fn next_token(self, found: usize, all: usize) -> Result<String, Fault> {
        if self.from > all {
            return Err(unknown_token());
        }
        let next = self.from + found;
        Ok(if found > 0 && next < all { next.to_string() } else { String::new() })
    }
}

fn unknown_token() -> Fault {
    let rule = "this is not a token of a page: start at the first page, with an empty token";
    Fault::invalid("page_token", rule)
}

/// How often somebody who watches a pool is shown it.
pub(super) fn interval(ms: u32) -> Result<Duration, Fault> {
    match ms {
        0 => Ok(Duration::from_secs(1)),
        100..=60_000 => Ok(Duration::from_millis(ms.into())),
        _ => {
            let rule = format!("an interval has 100 to 60000 ms, or 0 for a second, not {ms}");
            Err(Fault::invalid("interval_ms", rule))
        }
    }
}

/// How many lines of the log are shown at first.
pub(super) fn backlog(lines: u32) -> Result<usize, Fault> {
    usize::try_from(lines).ok().filter(|&lines| lines <= LINES_MAX).ok_or_else(|| {
        Fault::invalid("backlog", format!("at most {LINES_MAX} lines are kept, not {lines}"))
    })
}

/// Who asks for a change and why.
pub(super) fn note(actor: &str, reason: &str) -> Result<Note, Fault> {
    Note::new(actor, reason).ok_or_else(|| {
        let field = if Note::new(actor, "").is_none() { "actor" } else { "reason" };
        let rule = format!("it has at most {NOTE_BYTES_MAX} bytes and no control characters");
        Fault::invalid(field, rule)
    })
}

/// The name of an item.
pub(super) fn item_id(field: String, name: &str) -> Result<ItemId, Fault> {
    ItemId::new(name).map_err(|error| Fault::invalid(field, error))
}

/// An item to add. Fields are named in messages with this in front.
pub(super) fn catalog_item(path: &str, item: &v1::CatalogItem) -> Result<CatalogItem, Fault> {
    let missing = |name| Fault::invalid(format!("{path}.{name}"), "it must be set");
    let id = item_id(format!("{path}.item_id"), &item.item_id)?;
    let weight = item.weight.ok_or_else(|| missing("weight"))?;
    let quantity = item.quantity.ok_or_else(|| missing("quantity"))?;
    Ok(CatalogItem {
        id,
        weight: self::weight(format!("{path}.weight"), weight)?,
        quantity: limited_or_not(format!("{path}.quantity"), quantity)?,
    })
}

fn weight(field: String, weight: u64) -> Result<u64, Fault> {
    if weight > TOTAL_WEIGHT_MAX {
        let rule = format!("a weight is 0 to {TOTAL_WEIGHT_MAX}, not {weight}");
        return Err(Fault::invalid(field, rule));
    }
    Ok(weight)
}

fn limited_or_not(field: String, number: i64) -> Result<Quantity, Fault> {
    Quantity::from_number(number).map_err(|error| Fault::invalid(field, error))
}

/// The pool to create.
pub(super) fn pool_spec(request: &v1::CreatePoolRequest) -> Result<PoolSpec, Fault> {
    let id = PoolId::new(&request.pool).map_err(|error| Fault::invalid("pool", error))?;
    let items = request.catalog.iter().enumerate();
    let items = items.map(|(index, item)| catalog_item(&format!("catalog[{index}]"), item));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    let catalog =
        Catalog::new(items).map_err(|error: CatalogError| Fault::invalid("catalog", error))?;
    let selector = match v1::Selector::try_from(request.selector) {
        Ok(v1::Selector::Unspecified | v1::Selector::Auto) => SelectorKind::Auto,
        Ok(v1::Selector::Fenwick) => SelectorKind::Fenwick,
        Ok(v1::Selector::PrefixSum) => SelectorKind::PrefixSum,
        Ok(v1::Selector::SumTree) => SelectorKind::SumTree,
        Err(_) => return Err(Fault::invalid("selector", "there is no such selector")),
    };
    let (limits, defaults) = (request.key_limits.unwrap_or_default(), KeyLimits::default());
    let keys = KeyLimits {
        window_ms: limits.window_ms.unwrap_or(defaults.window_ms),
        keys_max: limits.keys_max.unwrap_or(defaults.keys_max),
        outcomes_max: limits.outcomes_max.unwrap_or(defaults.outcomes_max),
    };
    Ok(PoolSpec { id, catalog, selector, keys })
}

/// The change of an item.
pub(super) fn item_change(request: &v1::UpdateItemRequest) -> Result<ItemChange, Fault> {
    let quantity = match request.quantity {
        None => None,
        Some(QuantityField::Add(units)) => Some(QuantityChange::Add(units)),
        Some(QuantityField::Set(set)) => {
            let field = "set.quantity";
            let to = set.quantity.ok_or_else(|| Fault::invalid(field, "it must be set"))?;
            let to = limited_or_not(field.to_owned(), to)?;
            Some(QuantityChange::Set { to, expected_version: set.expected_version })
        }
    };
    let weight = request.weight.map(|weight| self::weight("weight".to_owned(), weight));
    let weight = weight.transpose()?;
    if quantity.is_none() && weight.is_none() {
        let rule = "set a quantity (`add` or `set`), a weight, or both";
        return Err(Fault::invalid("quantity", rule));
    }
    Ok(ItemChange { quantity, weight })
}

/// The moment after which the client does not wait any more.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Instant> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    Instant::now().checked_add(timeout(text)?)
}

/// Reads a `grpc-timeout`: at most 8 digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
