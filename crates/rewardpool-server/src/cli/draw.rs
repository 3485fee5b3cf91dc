//! `draw`: draws from a running service.
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use rewardpool_proto::v1::{DrawMode, DrawRequest, DrawResponse, GetDrawRequest};
use serde_json::json;

use super::output::{self, Align, Format, Table};
use super::service::{Address, with_service};
use super::{Failure, PoolOption};

const EXAMPLES: &str = "\
Examples:
  rewardpool draw                            One draw
  rewardpool draw -n 1000 --pool summer      Prints a count for each item
  rewardpool draw -n 10 --all-or-nothing     Ten prizes or none
  rewardpool draw --key order-7311           Safe to repeat: the same answer again
  rewardpool draw --key order-7311 --lookup  What that draw gave; draws nothing
  rewardpool draw -n 100 -o json";

/// Up to so many draws are printed one by one.
const LISTED_MAX: usize = 25;

/// Draw once or several times from a pool
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DrawArgs {
    /// How many draws, 1 to 10000: all of them are durable together, or none happened
    #[arg(
        short = 'n', long, default_value_t = 1, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(1..=10_000)
    )]
    count: i32,
    #[command(flatten)]
    pool: PoolOption,
    /// Makes a repetition safe: with the same key, the first answer comes again
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    key: Option<String>,
    /// Refuse unless every draw wins an item
    #[arg(long)]
    all_or_nothing: bool,
    /// Only show what was drawn with this key before; draws nothing
    #[arg(long, requires = "key", conflicts_with_all = ["count", "all_or_nothing"])]
    lookup: bool,
}

pub(crate) fn run(args: DrawArgs, address: &Address, format: Format) -> Result<(), Failure> {
    let answer = if args.lookup { lookup(args, address)? } else { draw(args, address)? };
    output::print(format, || table(&answer), || json(&answer))
}

fn lookup(args: DrawArgs, address: &Address) -> Result<DrawResponse, Failure> {
    let idempotency_key = args.key.unwrap_or_default();
    let request = GetDrawRequest { pool: args.pool.pool, idempotency_key };
    with_service(address, async |service| {
        let answer = service.players().get_draw(request).await;
        Ok(answer.map_err(|status| Failure::status(&status))?.into_inner())
    })
}

fn draw(args: DrawArgs, address: &Address) -> Result<DrawResponse, Failure> {
    let has_key = args.key.is_some();
    let mode =
        if args.all_or_nothing { DrawMode::AllOrNothing } else { DrawMode::BestEffort }.into();
    let request = DrawRequest {
        pool: args.pool.pool,
        count: args.count,
        mode,
        idempotency_key: args.key.unwrap_or_default(),
    };
    with_service(address, async |service| {
        let answer = service.players().draw(request).await.map_err(|status| {
            let failure = Failure::status(&status);
            match (Failure::leaves_outcome_unknown(&status), has_key) {
                (false, _) => failure,
                (true, true) => failure.with_hint("repeat it with the same --key"),
                (true, false) => failure.with_hint(
                    "it may have been drawn: look at `rewardpool state`, and next time use --key",
                ),
            }
        });
        Ok(answer?.into_inner())
    })
}

fn json(answer: &DrawResponse) -> serde_json::Value {
    json!({
        "first_request_id": answer.first_request_id,
        "item_ids": answer.item_ids,
        "outcomes": answer.outcomes,
        "replayed": answer.replayed,
    })
}

fn table(answer: &DrawResponse) -> String {
    let text = if answer.outcomes.len() <= LISTED_MAX { listed(answer) } else { counted(answer) };
    let note = if answer.replayed { "(the answer of an earlier draw with this key)\n" } else { "" };
    text + note
}

fn name(answer: &DrawResponse, outcome: u32) -> &str {
    let index = usize::try_from(outcome).ok().and_then(|place| place.checked_sub(1));
    index.map_or("(empty)", |index| answer.item_ids.get(index).map_or("(unknown)", String::as_str))
}

fn listed(answer: &DrawResponse) -> String {
    let mut table = Table::new([("REQUEST", Align::Right), ("ITEM", Align::Left)]);
    for (request, &outcome) in (answer.first_request_id..).zip(&answer.outcomes) {
        table.push([request.to_string(), name(answer, outcome).to_owned()]);
    }
    table.render()
}

fn counted(answer: &DrawResponse) -> String {
    let mut counts = vec![0_u64; answer.item_ids.len() + 1];
    for &outcome in &answer.outcomes {
        let place = usize::try_from(outcome).ok();
        if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
            *count += 1;
        }
    }
    let mut rows: Vec<(u64, &str)> =
        (0..).zip(&counts).map(|(outcome, &count)| (count, name(answer, outcome))).collect();
    rows.retain(|(count, _)| *count > 0);
    rows.sort_by_key(|&(count, name)| (std::cmp::Reverse(count), name));
    let mut table = Table::new([("ITEM", Align::Left), ("COUNT", Align::Right)]);
    for (count, name) in rows {
        table.push([name.to_owned(), output::count(count)]);
    }
    let first = answer.first_request_id;
    let draws = output::count(answer.outcomes.len());
    format!("{}{draws} draws, numbered from {first}\n", table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(outcomes: Vec<u32>) -> DrawResponse {
        let item_ids = vec!["gold".into(), "rock".into()];
        DrawResponse { first_request_id: 9, item_ids, outcomes, replayed: false }
    }

    #[test]
    fn few_draws_are_listed_and_many_are_counted() {
        assert_eq!(
            table(&answer(vec![2, 0, 1])),
            "REQUEST  ITEM\n      9  rock\n     10  (empty)\n     11  gold\n"
        );
        let mut many = vec![1; 40];
        many.extend([0, 0, 2]);
        assert_eq!(
            table(&answer(many)),
            "ITEM     COUNT\ngold        40\n(empty)      2\nrock         1\n\
             43 draws, numbered from 9\n"
        );
    }
}
