//! `reload` of the terminal: reads the configuration again and compares it with a pool that runs.
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rewardpool_core::command::{PoolStatus, QuantityChange};
use rewardpool_core::quantity::Quantity;
use rewardpool_server::config::difference::{
    Change, Difference, ItemDifference, PoolDifference, RunningItem, RunningPool,
};
use rewardpool_server::config::{Config, ConfigError};
use rewardpool_tui::catalogue::{self, CatalogueChange, Compare, DifferenceLine, UnitsChange};
use rewardpool_tui::event::Problem;
use rewardpool_tui::model::{Item, Units};
use rewardpool_tui::numbers::{grouped, signed};

/// Compares with this file, as it is when it is asked.
pub(super) fn comparison(file: PathBuf) -> Compare {
    Arc::new(move |pool, version, items| compare(&file, pool, version, items))
}

fn compare(
    file: &Path,
    pool: &str,
    version: u64,
    items: &[Item],
) -> Result<catalogue::Difference, Problem> {
    let config = Config::load(file).map_err(|error| unreadable(file, &error))?;
    let name = file.display();
    let Some(of_file) = config.pools.iter().find(|config| config.spec.id.as_str() == pool) else {
        let next = "`pool <name>` shows a pool that it has";
        return Err(Problem::new(format!("{name} has no pool `{pool}`"), next));
    };
    let running = RunningPool {
        id: pool.to_owned(),
        // Whether it is paused stands on the screen, and a reload does not change it.
        status: PoolStatus::Active,
        catalog_version: version,
        items: items.iter().map(running_item).collect(),
    };
    let difference = Difference::between(&[running], std::slice::from_ref(of_file));
    let changes = difference.changes().into_iter().filter_map(change).collect();
    let lines = difference.pools.iter().flat_map(|pool| match pool {
        PoolDifference::Changed { items, .. } => items.as_slice(),
        PoolDifference::New(_) | PoolDifference::Missing { .. } => &[],
    });
    let lines = lines.map(line).collect();
    Ok(catalogue::Difference { file: name.to_string(), lines, changes, seen_version: version })
}

fn unreadable(file: &Path, error: &ConfigError) -> Problem {
    let next = format!("correct it; `rewardpool config check {}` shows all", file.display());
    let ConfigError::Invalid { faults, .. } = error else {
        return Problem::new(error.to_string(), next);
    };
    let first = error.to_string().lines().next().unwrap_or_default().to_owned();
    let count = faults.len();
    let noun = if count == 1 { "fault" } else { "faults" };
    Problem::new(format!("the file has {count} {noun}: {first}"), next)
}

fn running_item(item: &Item) -> RunningItem {
    RunningItem {
        id: item.id.clone(),
        weight: item.weight,
        granted: match item.granted {
            Units::Limited(units) => Quantity::Limited(units),
            Units::Unlimited => Quantity::Unlimited,
        },
        awarded: item.awarded,
        retired: item.is_retired,
    }
}

fn units(quantity: Quantity) -> Units {
    match quantity {
        Quantity::Limited(units) => Units::Limited(units),
        Quantity::Unlimited => Units::Unlimited,
    }
}

fn change(change: Change) -> Option<CatalogueChange> {
    match change {
        // The pool that is compared is there.
        Change::CreatePool(_) => None,
        Change::AddItem { item, .. } => Some(CatalogueChange::Add {
            item: item.id.to_string(),
            weight: item.weight,
            units: units(item.quantity),
        }),
        Change::UpdateItem { item, change, .. } => Some(CatalogueChange::Update {
            item: item.to_string(),
            units: change.quantity.map(|change| match change {
                QuantityChange::Add(units) => UnitsChange::Add(units),
                QuantityChange::Set { to, .. } => UnitsChange::Set(units(to)),
            }),
            weight: change.weight,
        }),
    }
}

/// A difference as a person reads it.
fn line(difference: &ItemDifference) -> DifferenceLine {
    let text = |quantity| match quantity {
        Quantity::Limited(units) => grouped(units),
        Quantity::Unlimited => "unlimited".to_owned(),
    };
    match difference {
        ItemDifference::New(item) => DifferenceLine {
            item: item.id.to_string(),
            text: format!("new, weight {}, {} units", grouped(item.weight), text(item.quantity)),
            is_changed: true,
        },
        ItemDifference::Missing(item) => DifferenceLine {
            item: item.id.clone(),
            text: "not in the file; `rewardpool pool retire-item` takes it out".to_owned(),
            is_changed: false,
        },
        ItemDifference::Retired(item) => DifferenceLine {
            item: item.id.to_string(),
            text: "in the file, and retired: it stays so; give it another name".to_owned(),
            is_changed: false,
        },
        ItemDifference::Changed { item, weight, quantity } => {
            let mut parts = Vec::new();
            let mut is_changed = weight.is_some();
            if let Some(weight) = weight {
                let (running, file) = (grouped(weight.running), grouped(weight.file));
                parts.push(format!("weight {running} → {file}"));
            }
            if let Some(quantity) = quantity {
                let (granted, file) = (text(quantity.granted), text(quantity.file));
                let by = quantity.units().map_or(String::new(), |by| format!(" ({})", signed(by)));
                let note = if quantity.is_below_awards() {
                    format!("; {} are awarded already, so it stays", grouped(quantity.awarded))
                } else {
                    is_changed = true;
                    String::new()
                };
                parts.push(format!("granted {granted} → {file}{by}{note}"));
            }
            DifferenceLine { item: item.to_string(), text: parts.join(", "), is_changed }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn item(id: &str, weight: u64, granted: Option<u64>, awarded: u64) -> Item {
        let units = |units: Option<u64>| units.map_or(Units::Unlimited, Units::Limited);
        Item {
            id: id.into(),
            weight,
            left: units(granted.map(|granted| granted - awarded)),
            granted: units(granted),
            awarded,
            is_retired: id == "old",
            is_drawable: true,
        }
    }

    #[test]
    fn differences_are_told_line_by_line_with_the_changes_that_take_them_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.yaml");
        let text = "pool:\n  id: p\n  catalog:\n\
                    \x20   - { item_id: gold, quantity: 1500, weight: 20 }\n\
                    \x20   - { item_id: mud, quantity: 10, weight: 5 }\n\
                    \x20   - { item_id: rare, quantity: 3, weight: 1 }\n\
                    \x20   - { item_id: old, quantity: 1, weight: 1 }\n\
                    \x20   - { item_id: ruby, quantity: -1, weight: 9 }\n";
        fs::write(&file, text).unwrap();
        let running = [
            item("gold", 30, Some(1000), 900),
            item("mud", 5, None, 4),
            item("rare", 1, Some(8), 5),
            item("old", 1, Some(1), 0),
            item("extra", 1, Some(1), 0),
        ];
        let compare = comparison(file.clone());
        let found = compare("p", 7, &running).unwrap();
        let lines: Vec<String> =
            found.lines.iter().map(|line| format!("{}: {}", line.item, line.text)).collect();
        assert_eq!(
            lines,
            [
                "gold: weight 30 → 20, granted 1 000 → 1 500 (+500)",
                "mud: granted unlimited → 10",
                "rare: granted 8 → 3 (-5); 5 are awarded already, so it stays",
                "old: in the file, and retired: it stays so; give it another name",
                "ruby: new, weight 9, unlimited units",
                "extra: not in the file; `rewardpool pool retire-item` takes it out",
            ]
        );
        let update = |item: &str, units, weight| CatalogueChange::Update {
            item: item.into(),
            units,
            weight,
        };
        assert_eq!(
            found.changes,
            [
                update("gold", Some(UnitsChange::Add(500)), Some(20)),
                update("mud", Some(UnitsChange::Set(Units::Limited(6))), None),
                CatalogueChange::Add { item: "ruby".into(), weight: 9, units: Units::Unlimited },
            ]
        );
        assert_eq!(found.seen_version, 7);
        let other = compare("q", 7, &running).unwrap_err();
        assert!(other.what.contains("no pool `q`"), "{other:?}");
        fs::write(&file, "pool: 5").unwrap();
        let broken = compare("p", 7, &running).unwrap_err();
        assert!(broken.next.contains("config check"), "{broken:?}");
        fs::remove_file(&file).unwrap();
        assert!(compare("p", 7, &running).is_err());
    }
}
