//! `state`: what is left in a pool, from a running service or from a directory, once or again and
//! again.
use std::cmp::Reverse;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum, value_parser};
use rewardpool_engine::inspect;
use rewardpool_proto::v1::{Freshness, GetStateResponse, ItemState, PoolStatus};
use serde_json::{Value, json};

use super::directory::read_directory;
use super::output::{self, Align, Format, Table};
use super::running::{pool_of_directory, read_pool};
use super::service::with_service;
use super::status::freshness_json;
use super::{Failure, Global, PoolOption};

const EXAMPLES: &str = "\
Examples:
  rewardpool state                              Of the running service
  rewardpool state --watch                      Again every two seconds, until Ctrl-C
  rewardpool state --sort quantity --limit 10   The ten items of which least is left
  rewardpool state --pool summer -o json
  rewardpool state --dir ./rewardpool-data      Of a stopped service, from its files";

/// Back to the first place of the terminal, and what is behind a line or below the last one goes away.
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K\n";
const CLEAR_BELOW: &str = "\u{1b}[J";

/// Show what is left in a pool, with the odds of each item
///
/// QUANTITY is what is left, GRANTED what there was in all, so granted = quantity + awarded. The odds
/// are those of the next draw: an item that is sold out has none, and its share is the others'.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StateArgs {
    #[command(flatten)]
    pool: PoolOption,
    /// Read the working directory of a stopped service instead of asking a running one
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "./rewardpool-data")]
    dir: Option<PathBuf>,
    /// Order of the items: `catalogue`, `name`, `quantity` (least first), `awarded` or `odds` (most
    /// first)
    #[arg(
        long,
        value_enum,
        value_name = "ORDER",
        default_value = "catalogue",
        hide_possible_values = true
    )]
    sort: Order,
    /// Show at most so many items [default: all]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Show it again after so many seconds, 0.1 to 3600 [default: 2], until Ctrl-C; with `-o json`
    /// one object a line
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = seconds, conflicts_with = "dir"
    )]
    watch: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Order {
    Catalogue,
    Name,
    Quantity,
    Awarded,
    Odds,
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    let rule = "a number of seconds from 0.1 to 3600";
    let seconds: f64 = text.parse().map_err(|_| rule)?;
    if (0.1..=3600.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(rule) }
}

impl StateArgs {
    /// Items that must be read to know which are shown.
    fn read_max(&self) -> usize {
        if self.sort == Order::Catalogue { self.shown_max() } else { usize::MAX }
    }

    fn shown_max(&self) -> usize {
        self.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX)
    }

    fn select(&self, mut state: GetStateResponse) -> GetStateResponse {
        let items = &mut state.items;
        match self.sort {
            Order::Catalogue => {}
            Order::Name => items.sort_by(|a, b| a.item_id.cmp(&b.item_id)),
            // Unlimited is not a number, and more than any.
            Order::Quantity => items.sort_by_key(|item| (item.quantity < 0, item.quantity)),
            Order::Awarded => items.sort_by_key(|item| Reverse(item.awarded)),
            Order::Odds => items.sort_by_key(|item| Reverse((item.drawable, item.weight))),
        }
        items.truncate(self.shown_max());
        state
    }
}

pub(crate) fn run(args: &StateArgs, global: &Global) -> Result<(), Failure> {
    if let Some(every) = args.watch {
        return watch(args, global, every);
    }
    let state = match &args.dir {
        Some(directory) => {
            global.refuse_addr_with_dir()?;
            let (state, _) = read_directory(directory, inspect::load)?;
            pool_of_directory(&state, &args.pool.pool)?
        }
        None => with_service(&global.addr, async |service| {
            read_pool(service, &args.pool.pool, args.read_max()).await
        })?,
    };
    let state = args.select(state);
    output::print(global.output, || table(&state, None), || json(&state))
}

/// Shows the state again and again, over one connection.
fn watch(args: &StateArgs, global: &Global, every: Duration) -> Result<(), Failure> {
    with_service(&global.addr, async |service| {
        let mut before: Option<(Instant, u64)> = None;
        loop {
            let state = read_pool(service, &args.pool.pool, args.read_max()).await?;
            let (now, draws) = (Instant::now(), state.draws);
            let rate = before.map(|(then, before)| Rate {
                draws: draws.saturating_sub(before),
                time: now.duration_since(then),
            });
            before = Some((now, draws));
            let state = args.select(state);
            match global.output {
                Format::Table => show(&table(&state, rate))?,
                Format::Json => show_line(&json(&state))?,
            }
            tokio::time::sleep(every).await;
        }
    })
}

/// In the place of what was shown before, if that is on a terminal: as many lines as it has.
fn show(text: &str) -> Result<(), Failure> {
    let text = if let Some(height) = output::terminal_height() {
        let lines = text.lines().take(height - 1).flat_map(|line| [line, CLEAR_LINE]);
        [HOME].into_iter().chain(lines).chain([CLEAR_BELOW]).collect()
    } else {
        format!("{text}\n")
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

fn show_line(value: &Value) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{value}")?;
    out.flush()?;
    Ok(())
}

/// Draws since the last look.
#[derive(Clone, Copy, Debug)]
struct Rate {
    draws: u64,
    time: Duration,
}

impl Rate {
    fn per_second(self) -> u128 {
        let ms = self.time.as_millis().max(1);
        (u128::from(self.draws) * 1000 + ms / 2) / ms
    }
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

fn table(state: &GetStateResponse, rate: Option<Rate>) -> String {
    let GetStateResponse { pool, lsn, catalog_version, .. } = state;
    let [draws, awards, empties] = [state.draws, state.awards, state.empties].map(output::count);
    let rate = rate
        .map_or_else(String::new, |rate| format!("; {} draws/s", output::count(rate.per_second())));
    let head = format!(
        "pool {pool} ({}), catalogue version {catalog_version}, lsn {lsn}\n\
         {draws} draws: {awards} awards, {empties} empty{rate}\n\n",
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
    let hidden = state.item_count.saturating_sub(output::length(state.items.len()));
    let rest =
        if hidden == 0 { String::new() } else { format!("and {} more\n", output::count(hidden)) };
    let old = state.freshness.as_ref().map_or_else(String::new, |freshness| {
        let Freshness { leader, staleness_ms, connected, .. } = freshness;
        let lost = if *connected { "" } else { ", which is NOT CONNECTED" };
        let age = match *staleness_ms {
            u64::MAX => "of unknown age".to_owned(),
            ms => format!("at most {ms} ms old"),
        };
        format!("{age}, from a follower of {leader}{lost}\n")
    });
    head + &table.render() + &rest + &old
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
    let mut json = json!({
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
    });
    // Only a follower's answers are ever old.
    if let Some(freshness) = &state.freshness {
        json["freshness"] = freshness_json(freshness);
    }
    json
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
        let state = GetStateResponse {
            pool,
            status,
            total_weight: 2,
            items,
            item_count: 5,
            ..GetStateResponse::default()
        };
        let rate = Rate { draws: 7, time: Duration::from_secs(2) };
        let text = table(&state, Some(rate));
        assert!(text.contains(" empty; 4 draws/s\n"), "{text}");
        let lines: Vec<&str> = text.lines().skip(3).collect();
        assert_eq!(
            lines,
            [
                "ITEM   QUANTITY    GRANTED  AWARDED  WEIGHT   ODDS %",
                "gold          3          5        2       1  50.0000",
                "log   unlimited  unlimited        2       1  50.0000",
                "old           0          2        2       1        -  retired",
                "and 2 more",
            ]
        );
        assert_eq!(json(&state)["status"], "POOL_STATUS_ACTIVE");
    }
}
