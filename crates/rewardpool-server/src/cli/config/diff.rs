//! `config diff`: how the pools that run differ from those of a file, and the commands that would
//! make up for it. Changes nothing.
use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::Args;
use rewardpool_core::command::{ItemChange, PoolStatus, QuantityChange};
use rewardpool_core::quantity::Quantity;
use rewardpool_engine::inspect;
use rewardpool_server::config::Config;
use rewardpool_server::config::difference::{
    Change, Difference, ItemDifference, PoolDifference, QuantityDifference, RunningPool,
};
use serde_json::{Value, json};

use crate::cli::directory::read_directory;
use crate::cli::failure::exit;
use crate::cli::output::{self, Align, Table};
use crate::cli::running::{pools_of_directory, pools_of_service};
use crate::cli::service::with_service;
use crate::cli::{Failure, Global};

const EXAMPLES: &str = "\
Examples:
  rewardpool config diff
  rewardpool config diff /etc/rewardpool.yaml --addr http://127.0.0.1:50052
  rewardpool config diff rewardpool.yaml --dir ./rewardpool-data   Of a stopped service
  rewardpool config diff -o json || echo \"the service has another catalogue\"

Exit codes: 0 nothing differs, 1 something differs, 64 and above: it could not be compared.";

/// Show how the running catalogue differs from a file
///
/// The file says with how many units an item begins, so its quantity is compared with the units that
/// were granted since: what is left and what was awarded. Draws are no difference. The commands that
/// are shown make the service like the file; nothing is done by itself. What is only told, such as
/// an item that the file does not have, is for a person to decide.
///
/// Compared are the pools, their status, and the weights and quantities of their items; not the
/// selector nor the limits of idempotency keys, which a pool keeps as it was created.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DiffArgs {
    /// The configuration
    #[arg(default_value = "rewardpool.yaml")]
    file: PathBuf,
    /// Compare with the working directory of a stopped service instead of asking a running one
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "./rewardpool-data")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &DiffArgs, global: &Global) -> Result<(), Failure> {
    let config = Config::load(&args.file)?;
    let running = running(args, global, &config).map_err(not_compared)?;
    let difference = Difference::between(&running, &config.pools);
    let commands = Commands { file: &args.file, has_one_pool: running.len() == 1, global };
    output::print(
        global.output,
        || text(&args.file, &difference, &commands),
        || json(&args.file, &difference, &commands),
    )?;
    if difference.is_empty() { Ok(()) } else { Err(Failure::Answered(exit::DIFFERENT)) }
}

fn running(args: &DiffArgs, global: &Global, config: &Config) -> Result<Vec<RunningPool>, Failure> {
    let in_file: HashSet<&str> = config.pools.iter().map(|pool| pool.spec.id.as_str()).collect();
    match &args.dir {
        Some(directory) => {
            global.refuse_addr_with_dir()?;
            pools_of_directory(&read_directory(directory, inspect::load)?.0)
        }
        None => with_service(&global.addr, async |service| {
            pools_of_service(service, |pool| in_file.contains(pool)).await
        }),
    }
}

/// 1 means that something differs, so a refusal of the service has another code here.
fn not_compared(failure: Failure) -> Failure {
    if matches!(failure, Failure::Told { code: exit::REFUSED, .. }) {
        return failure.with_code(exit::UNAVAILABLE);
    }
    failure
}

fn text(file: &Path, difference: &Difference, commands: &Commands<'_>) -> String {
    let file = file.display();
    if difference.is_empty() {
        return format!("the service is as {file} says\n");
    }
    let mut text = format!("the service differs from {file}\n\n");
    text.push_str(&table(difference).render());
    let changes = difference.changes();
    if !changes.is_empty() {
        text.push_str("\nThese commands make it so:\n");
        for change in &changes {
            text.extend(["  ", &shell_line(&commands.of(change)), "\n"]);
        }
    }
    let told = told_only(difference);
    if !told.is_empty() {
        text.push_str("\nThis is only told:\n");
        for line in told {
            text.extend(["  ", &line, "\n"]);
        }
    }
    text
}

fn table(difference: &Difference) -> Table<5> {
    let mut table = Table::new([
        ("POOL", Align::Left),
        ("ITEM", Align::Left),
        ("WHAT", Align::Left),
        ("SERVICE", Align::Right),
        ("FILE", Align::Right),
    ]);
    let mut row = |pool: &str, item: &str, what: &str, service: String, file: String| {
        table.push([pool.to_owned(), item.to_owned(), what.to_owned(), service, file]);
    };
    let none = || "-".to_owned();
    for pool in &difference.pools {
        match pool {
            PoolDifference::New(config) => {
                let items = config.spec.catalog.items().len();
                row(config.spec.id.as_str(), "", "pool", none(), format!("{items} items"));
            }
            PoolDifference::Missing { pool, status } => {
                row(pool, "", "pool", status.name().to_owned(), none());
            }
            PoolDifference::Changed { pool, status, items, .. } => {
                let pool = pool.as_str();
                if *status != PoolStatus::Active {
                    row(pool, "", "status", status.name().to_owned(), "active".to_owned());
                }
                for item in items {
                    item_rows(item, |item, what, service, file| {
                        row(pool, item, what, service, file);
                    });
                }
            }
        }
    }
    table
}

fn item_rows(difference: &ItemDifference, mut row: impl FnMut(&str, &str, String, String)) {
    let units = |quantity: Quantity| output::quantity(quantity.to_number());
    match difference {
        ItemDifference::New(item) => {
            row(item.id.as_str(), "item", "-".to_owned(), units(item.quantity));
        }
        ItemDifference::Missing(item) => row(&item.id, "item", units(item.granted), "-".to_owned()),
        ItemDifference::Retired(item) => {
            row(item.id.as_str(), "item", "retired".to_owned(), units(item.quantity));
        }
        ItemDifference::Changed { item, weight, quantity } => {
            if let Some(weight) = weight {
                let (running, file) = (output::count(weight.running), output::count(weight.file));
                row(item.as_str(), "weight", running, file);
            }
            if let Some(QuantityDifference { granted, file, .. }) = quantity {
                row(item.as_str(), "granted", units(*granted), units(*file));
            }
        }
    }
}

/// What no command makes up for by itself, with what a person may do.
fn told_only(difference: &Difference) -> Vec<String> {
    let mut lines = Vec::new();
    for pool in &difference.pools {
        match pool {
            PoolDifference::New(_) => {}
            PoolDifference::Missing { pool, .. } => lines.push(format!(
                "pool {pool} is not in the file; `rewardpool pool close {pool}` ends it for ever"
            )),
            PoolDifference::Changed { pool, status, items, .. } => {
                match status {
                    PoolStatus::Active => {}
                    PoolStatus::Paused => lines.push(format!(
                        "pool {pool} is paused; `rewardpool pool resume {pool}` lets it draw again"
                    )),
                    PoolStatus::Closed => lines.push(format!(
                        "pool {pool} is closed, which cannot be undone; use another name in the file"
                    )),
                }
                lines.extend(items.iter().filter_map(item_told_only));
            }
        }
    }
    lines
}

fn item_told_only(difference: &ItemDifference) -> Option<String> {
    match difference {
        ItemDifference::Missing(item) => Some(format!(
            "{} is not in the file; `rewardpool pool retire-item` takes an item out for ever",
            item.id
        )),
        ItemDifference::Retired(item) => Some(format!(
            "{} is retired, which cannot be undone; use another name in the file",
            item.id
        )),
        ItemDifference::Changed { item, quantity: Some(units), .. } if units.is_below_awards() => {
            let (awarded, file) = (output::count(units.awarded), units.file);
            Some(format!("{item} was awarded {awarded} times, and the file grants {file}"))
        }
        ItemDifference::New(_) | ItemDifference::Changed { .. } => None,
    }
}

/// How changes are written as commands.
struct Commands<'a> {
    file: &'a Path,
    /// Then no command needs its name.
    has_one_pool: bool,
    global: &'a Global,
}

impl Commands<'_> {
    fn of(&self, change: &Change) -> Vec<String> {
        let (command, item, options, pool) = match change {
            Change::CreatePool(config) => {
                let file = self.file.display().to_string();
                (&["pool", "create"][..], None, vec!["--file".to_owned(), file], &config.spec.id)
            }
            Change::AddItem { pool, item, .. } => {
                let (units, weight) = (item.quantity.to_string(), item.weight.to_string());
                let options = vec!["--quantity".to_owned(), units, "--weight".to_owned(), weight];
                (&["pool", "add-item"][..], Some(&item.id), options, pool)
            }
            Change::UpdateItem { pool, item, change: ItemChange { quantity, weight }, .. } => {
                let quantity =
                    quantity.map(|change| ["--quantity".to_owned(), quantity_word(change)]);
                let weight = weight.map(|weight| ["--weight".to_owned(), weight.to_string()]);
                let options = quantity.into_iter().chain(weight).flatten().collect();
                (&["update"][..], Some(item), options, pool)
            }
        };
        let words = ["rewardpool"].iter().chain(command).map(|word| (*word).to_owned());
        let mut words: Vec<String> = words.collect();
        let item = item.map(|item| item.as_str().to_owned());
        // A name that begins like an option stands behind all of them.
        let (item, last) = match item {
            Some(item) if item.starts_with('-') => (None, vec!["--".to_owned(), item]),
            other => (other, Vec::new()),
        };
        words.extend(item);
        words.extend(options);
        if !self.has_one_pool || matches!(change, Change::CreatePool(_)) {
            words.extend(["--pool".to_owned(), pool.as_str().to_owned()]);
        }
        if self.global.is_addr_given {
            words.extend(["--addr".to_owned(), self.global.addr.as_str().to_owned()]);
        }
        words.extend(last);
        words
    }
}

fn quantity_word(change: QuantityChange) -> String {
    match change {
        QuantityChange::Add(units) => format!("{units:+}"),
        QuantityChange::Set { to, .. } => to.to_string(),
    }
}

/// A command as a shell reads it.
fn shell_line(words: &[String]) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "_./:=+-@%,".contains(letter);
    let words = words.iter().map(|word| {
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn json(file: &Path, difference: &Difference, commands: &Commands<'_>) -> Value {
    let changes = difference.changes();
    json!({
        "file": file.display().to_string(),
        "same": difference.is_empty(),
        "pools": difference.pools.iter().map(pool_json).collect::<Vec<_>>(),
        "commands": changes.iter().map(|change| commands.of(change)).collect::<Vec<_>>(),
    })
}

fn pool_json(difference: &PoolDifference) -> Value {
    let status_name =
        |status: &PoolStatus| rewardpool_server::convert::pool_status(*status).as_str_name();
    let (pool, kind, status, version, items) = match difference {
        PoolDifference::New(config) => (config.spec.id.as_str(), "new", None, None, &[][..]),
        PoolDifference::Missing { pool, status } => {
            (pool.as_str(), "missing", Some(status), None, &[][..])
        }
        PoolDifference::Changed { pool, status, catalog_version, items } => {
            (pool.as_str(), "changed", Some(status), Some(*catalog_version), &items[..])
        }
    };
    json!({
        "pool": pool,
        "difference": kind,
        "status": status.map(status_name),
        "catalog_version": version,
        "items": items.iter().map(item_json).collect::<Vec<_>>(),
    })
}

fn item_json(difference: &ItemDifference) -> Value {
    let (item, kind, weight, quantity) = match difference {
        ItemDifference::New(item) => (
            item.id.as_str(),
            "new",
            json!({ "running": null, "file": item.weight }),
            json!({ "granted": null, "awarded": null, "file": item.quantity.to_number() }),
        ),
        ItemDifference::Missing(item) => (
            item.id.as_str(),
            "missing",
            json!({ "running": item.weight, "file": null }),
            json!({ "granted": item.granted.to_number(), "awarded": item.awarded, "file": null }),
        ),
        ItemDifference::Retired(item) => (item.id.as_str(), "retired", Value::Null, Value::Null),
        ItemDifference::Changed { item, weight, quantity } => (
            item.as_str(),
            "changed",
            json!(weight.map(|weight| json!({ "running": weight.running, "file": weight.file }))),
            json!(quantity.map(|units| json!({
                "granted": units.granted.to_number(),
                "awarded": units.awarded,
                "file": units.file.to_number(),
            }))),
        ),
    };
    json!({ "item_id": item, "difference": kind, "weight": weight, "quantity": quantity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_words_back() {
        for (words, line) in [
            (&["a", "--quantity", "+5"][..], "a --quantity +5"),
            (&["10 % off", "it's", ""], r"'10 % off' 'it'\''s' ''"),
            (&["金", "$HOME", "a;b"], "金 '$HOME' 'a;b'"),
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(shell_line(&words), line);
        }
    }
}
