//! The pools of a configuration: `pool` for one, `pools` for many.
//!
//! The rules of a catalogue as a whole are those of `rewardpool_core::catalog`. They are checked
//! here as well because only here a fault has a line.
use std::collections::HashMap;
use std::time::Duration;

use rewardpool_core::catalog::{Catalog, CatalogItem};
use rewardpool_core::command::{KeyLimits, PoolSpec};
use rewardpool_core::limits::{DRAW_COUNT_MAX, POOLS_MAX, TOTAL_WEIGHT_MAX};
use rewardpool_core::name::{ItemId, NameError, PoolId};
use rewardpool_core::quantity::Quantity;
use rewardpool_core::selector::SelectorKind;

use super::document::{Node, Value};
use super::fault::Position;
use super::reader::{Numbers, Path, Reader, Section};
use super::{PoolConfig, Seed, keys};

const SELECTORS: [(&str, SelectorKind); 4] = [
    ("auto", SelectorKind::Auto),
    ("fenwick", SelectorKind::Fenwick),
    ("prefix_sum", SelectorKind::PrefixSum),
    ("sum_tree", SelectorKind::SumTree),
];

/// Reads `pool` or `pools`. The result is complete when nothing was noted.
pub(super) fn read(
    reader: &mut Reader<'_>,
    top: &Section<'_, '_>,
    test_mode: bool,
) -> Vec<PoolConfig> {
    match (top.get("pool"), top.get("pools")) {
        (Some(node), None) => {
            let path = Path::Key(top.path, "pool");
            let section = reader.section(&path, node, keys::POOL);
            let id = section.get("id").map_or(Some("default"), |node| read_id(reader, &path, node));
            id.and_then(|id| read_pool(reader, &section, id, test_mode)).into_iter().collect()
        }
        (None, Some(node)) => read_many(reader, &Path::Key(top.path, "pools"), node, test_mode),
        (Some(_), Some(_)) => {
            let position = top.key_position("pools").unwrap_or(top.position);
            let message = "`pool` and `pools` are both there: write one of them";
            reader.fault(position, message.to_owned());
            Vec::new()
        }
        (None, None) => {
            let message = "there is no pool: write `pool` with a `catalog`, or `pools: []` to \
                           create pools over gRPC only";
            reader.missing(top, message.to_owned());
            Vec::new()
        }
    }
}

fn read_many(
    reader: &mut Reader<'_>,
    path: &Path<'_>,
    node: &Node,
    test_mode: bool,
) -> Vec<PoolConfig> {
    let nodes = reader.list(path, node, "it is a list of pools");
    if nodes.len() > POOLS_MAX {
        reader.fault(node.position, format!("{path} has more than {POOLS_MAX} pools"));
    }
    let mut pools = Vec::with_capacity(nodes.len());
    let mut seen = HashMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let path = Path::Index(path, index);
        let section = reader.section(&path, node, keys::POOL);
        let Some(id_node) = section.get("id") else {
            reader.missing(&section, format!("{path} has no `id`"));
            // The rest of the pool is still checked.
            let _unnamed = read_pool(reader, &section, "default", test_mode);
            continue;
        };
        let Some(id) = read_id(reader, &path, id_node) else { continue };
        refuse_twice(reader, &mut seen, &Path::Key(&path, "id"), id, id_node.position);
        pools.extend(read_pool(reader, &section, id, test_mode));
    }
    pools
}

fn read_id<'a>(reader: &mut Reader<'_>, pool: &Path<'_>, node: &'a Node) -> Option<&'a str> {
    reader.text(&Path::Key(pool, "id"), node, "a name is text")
}

fn read_pool(
    reader: &mut Reader<'_>,
    section: &Section<'_, '_>,
    id: &str,
    test_mode: bool,
) -> Option<PoolConfig> {
    let id = match PoolId::new(id) {
        Ok(id) => Some(id),
        Err(error) => {
            let position = section.get("id").map_or(section.position, |node| node.position);
            let message = format!(
                "{} is {id:?}: {error} (1 to 64 of a-z, 0-9, `_`, `-`)",
                Path::Key(section.path, "id")
            );
            reader.fault(position, message);
            None
        }
    };
    let catalog = read_catalog(reader, section);
    let selector = reader.choice_or(section, "selector", &SELECTORS, SelectorKind::Auto);
    let keys = read_key_limits(reader, section);
    let seed = read_seed(reader, section, test_mode);
    Some(PoolConfig { spec: PoolSpec { id: id?, catalog: catalog?, selector, keys }, seed })
}

fn read_catalog(reader: &mut Reader<'_>, pool: &Section<'_, '_>) -> Option<Catalog> {
    let Some(node) = pool.get("catalog") else {
        reader.missing(pool, format!("{} has no `catalog`", pool.path));
        return None;
    };
    let path = Path::Key(pool.path, "catalog");
    let nodes = reader.list(&path, node, "it is a list of items");
    let mut items = Vec::with_capacity(nodes.len());
    let mut seen = HashMap::with_capacity(nodes.len());
    let mut total = Some(0_u64);
    for (index, node) in nodes.iter().enumerate() {
        let path = Path::Index(&path, index);
        let section = reader.section(&path, node, keys::ITEM);
        let id = read_item_id(reader, &section, &mut seen);
        let quantity = read_quantity(reader, &section);
        let weight = read_weight(reader, &section, &mut total);
        if let (Some(id), Some(quantity), Some(weight)) = (id, quantity, weight) {
            items.push(CatalogItem { id, weight, quantity });
        }
    }
    if items.len() < nodes.len() || !matches!(node.value, Value::List(_)) {
        return None;
    }
    match Catalog::new(items) {
        Ok(catalog) => Some(catalog),
        // The faults of single items have been noted with their own line already.
        Err(_) if total.is_none() || seen.len() < nodes.len() => None,
        Err(error) => {
            reader.fault(node.position, format!("{path}: {error}"));
            None
        }
    }
}

fn read_item_id<'a>(
    reader: &mut Reader<'_>,
    item: &Section<'_, 'a>,
    seen: &mut HashMap<&'a str, Position>,
) -> Option<ItemId> {
    let path = Path::Key(item.path, "item_id");
    let Some(node) = item.get("item_id") else {
        reader.missing(item, format!("{} has no `item_id`", item.path));
        return None;
    };
    let text = reader.text(&path, node, "a name is text")?;
    refuse_twice(reader, seen, &path, text, node.position);
    match ItemId::new(text) {
        Ok(id) => Some(id),
        Err(error) => {
            let rule = match error {
                NameError::Character(c) if c.is_whitespace() && !c.is_control() => {
                    "a name has no white space at either end".to_owned()
                }
                NameError::Character(_) | NameError::Empty | NameError::TooLong(_) => {
                    error.to_string()
                }
            };
            reader.refuse(&path, node, &rule);
            None
        }
    }
}

fn refuse_twice<'a>(
    reader: &mut Reader<'_>,
    seen: &mut HashMap<&'a str, Position>,
    path: &Path<'_>,
    name: &'a str,
    position: Position,
) {
    if let Some(first) = seen.get(name) {
        let message = format!("{path} is {name:?}: this name stands at line {} too", first.line);
        reader.fault(position, message);
    } else {
        seen.insert(name, position);
    }
}

fn read_quantity(reader: &mut Reader<'_>, item: &Section<'_, '_>) -> Option<Quantity> {
    let rule = Numbers { noun: "a quantity", min: -1, max: i64::MAX, note: " (-1 = unlimited)" };
    let Some(node) = item.get("quantity") else {
        let message = format!("{} has no `quantity` (-1 = unlimited)", item.path);
        reader.missing(item, message);
        return None;
    };
    let number = reader.number(&Path::Key(item.path, "quantity"), node, rule)?;
    Quantity::from_number(number).ok()
}

/// Reads `weight` or its older name, and adds it to the total, which is `None` after it was
/// reported as too large.
fn read_weight(
    reader: &mut Reader<'_>,
    item: &Section<'_, '_>,
    total: &mut Option<u64>,
) -> Option<u64> {
    let rule = Numbers { noun: "a weight", min: 0, max: i64::MAX, note: " (0 = never drawn)" };
    let (key, node) = match (item.get("weight"), item.get("probability")) {
        (Some(node), None) => ("weight", node),
        (None, Some(node)) => ("probability", node),
        (Some(_), Some(_)) => {
            let position = item.key_position("probability").unwrap_or(item.position);
            let message = format!(
                "{} has `weight` and its older name `probability`: write one of them",
                item.path
            );
            reader.fault(position, message);
            return None;
        }
        (None, None) => {
            reader.missing(item, format!("{} has no `weight`", item.path));
            return None;
        }
    };
    let path = Path::Key(item.path, key);
    let number = reader.number(&path, node, rule)?;
    let weight = u64::try_from(number).ok()?;
    if let Some(sum) = *total {
        *total = sum.checked_add(weight).filter(|&sum| sum <= TOTAL_WEIGHT_MAX);
        if total.is_none() {
            let rule = format!("with it the weights add up to more than {TOTAL_WEIGHT_MAX}");
            reader.refuse(&path, node, &rule);
        }
    }
    Some(weight)
}

fn read_key_limits(reader: &mut Reader<'_>, pool: &Section<'_, '_>) -> KeyLimits {
    let default = KeyLimits::default();
    let Some(node) = pool.get("idempotency") else { return default };
    let path = Path::Key(pool.path, "idempotency");
    let section = reader.section(&path, node, keys::IDEMPOTENCY);
    let window = reader.duration_or(
        &section,
        "window",
        [("1s", Duration::from_secs(1)), ("365d", Duration::from_hours(365 * 24))],
        Duration::from_millis(default.window_ms),
    );
    let keys_rule = Numbers { noun: "it", min: 0, max: 100_000_000, note: " (0 = no keys)" };
    // One command's outcomes must fit, or its key would be forgotten at once.
    let outcomes_rule =
        Numbers { noun: "it", min: DRAW_COUNT_MAX.into(), max: 1_000_000_000, note: "" };
    let keys_max = reader.number_or(&section, "max_keys", keys_rule, default.keys_max);
    let outcomes_max =
        reader.number_or(&section, "max_outcomes", outcomes_rule, default.outcomes_max);
    let window_ms = u64::try_from(window.as_millis()).expect("at most a year");
    KeyLimits { window_ms, keys_max, outcomes_max }
}

fn read_seed(reader: &mut Reader<'_>, pool: &Section<'_, '_>, test_mode: bool) -> Option<Seed> {
    let node = pool.get("seed")?;
    let path = Path::Key(pool.path, "seed");
    if !test_mode {
        let message = format!(
            "{path} makes every draw predictable: leave it out, or write `test_mode: true` at the \
             top level"
        );
        reader.fault(node.position, message);
    }
    let seed = if let Value::Text(text) = &node.value { parse_seed(text) } else { None };
    if seed.is_none() {
        // The value is a secret, so it is not shown.
        let message = format!("{path} is not 64 hexadecimal digits in quotes");
        reader.fault(node.position, message);
    }
    seed
}

fn parse_seed(text: &str) -> Option<Seed> {
    let mut bytes = [0; 32];
    let digits: Vec<u32> = text.chars().map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    if digits.len() != 2 * bytes.len() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::try_from(pair[0] << 4 | pair[1]).ok()?;
    }
    Some(Seed(bytes))
}
