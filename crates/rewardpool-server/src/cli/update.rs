//! `update`: changes the quantity or the weight of an item.
use std::str::FromStr;

use clap::{ArgGroup, Args};
use clap_complete::ArgValueCompleter;
use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{GetStateRequest, SetQuantity, UpdateItemRequest};

use super::output::Format;
use super::pool::{Changed, print_changed};
use super::service::{Address, Service, with_service};
use super::{Failure, NoteArgs, PoolOption, complete};

const EXAMPLES: &str = "\
Examples:
  rewardpool update gold --quantity +50 --actor ann --reason \"second delivery\"
  rewardpool update gold --quantity -5       Takes 5 away (it is not `unlimited`)
  rewardpool update gold --quantity 200      Exactly 200 are left from now on
  rewardpool update mud --quantity unlimited
  rewardpool update gold --weight 0          Never drawn until it has a weight again

A number without a sign is compare-and-set: it is refused with VERSION_MISMATCH when somebody
changes the catalogue in between. Draws that go on meanwhile are not seen by it; to correct stock
while draws go on, use +N or -N.";

/// Change the quantity or the weight of an item
#[derive(Args, Debug)]
#[command(
    after_help = EXAMPLES,
    group(ArgGroup::new("change").args(["quantity", "weight"]).required(true).multiple(true))
)]
pub(crate) struct UpdateArgs {
    /// Name of the item
    #[arg(add = ArgValueCompleter::new(complete::items))]
    item: String,
    /// `+N` adds units, `-N` takes them away, `N` or `unlimited` sets what is left
    #[arg(long, value_name = "+N|-N|N|unlimited", allow_negative_numbers = true)]
    quantity: Option<QuantityChange>,
    /// Chance relative to the other items; 0 is never drawn
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=WEIGHT_MAX))]
    weight: Option<u64>,
    /// The catalogue version on which the change was decided [default: the present one]
    #[arg(long, value_name = "VERSION", requires = "quantity")]
    expected_version: Option<u64>,
    #[command(flatten)]
    pool: PoolOption,
    #[command(flatten)]
    note: NoteArgs,
}

/// The largest weight, 2^63 - 1.
pub(crate) const WEIGHT_MAX: u64 = u64::MAX >> 1;

/// A change of units, as people write it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum QuantityChange {
    Add(i64),
    /// -1 is unlimited.
    Set(i64),
}

impl FromStr for QuantityChange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let rule = "a change is +N, -N, N or `unlimited`, with N at most 2^63 - 1";
        if text == "unlimited" {
            return Ok(Self::Set(-1));
        }
        let is_number = text.strip_prefix(['+', '-']).unwrap_or(text);
        if is_number.is_empty() || !is_number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(rule);
        }
        let number: i64 = text.parse().map_err(|_| rule)?;
        let is_signed = text.starts_with(['+', '-']);
        Ok(if is_signed { Self::Add(number) } else { Self::Set(number) })
    }
}

pub(crate) fn run(args: UpdateArgs, address: &Address, format: Format) -> Result<(), Failure> {
    if let (Some(_), Some(QuantityChange::Add(_))) = (args.expected_version, args.quantity) {
        let what = "--expected-version is for a quantity without a sign";
        return Err(Failure::usage(what, "leave it out: +N and -N are right whatever happened"));
    }
    let done = format!("{} is updated", args.item);
    let changed = with_service(address, async |service| change(service, args).await)?;
    print_changed(format, &done, &changed)
}

async fn change(service: &Service, args: UpdateArgs) -> Result<Changed, Failure> {
    let quantity = match args.quantity {
        None => None,
        Some(QuantityChange::Add(units)) => Some(Quantity::Add(units)),
        Some(QuantityChange::Set(units)) => {
            let expected_version = match args.expected_version {
                Some(version) => version,
                None => catalog_version(service, &args.pool.pool).await?,
            };
            Some(Quantity::Set(SetQuantity { quantity: Some(units), expected_version }))
        }
    };
    let NoteArgs { actor, reason } = args.note;
    let request = UpdateItemRequest {
        pool: args.pool.pool,
        item_id: args.item,
        quantity,
        weight: args.weight,
        actor,
        reason,
    };
    let answer = service.admin().update_item(request).await;
    let answer = answer.map_err(|status| Failure::status(&status))?.into_inner();
    Ok(Changed { lsn: answer.lsn, catalog_version: answer.catalog_version })
}

async fn catalog_version(service: &Service, pool: &str) -> Result<u64, Failure> {
    let request = GetStateRequest { pool: pool.to_owned(), page_size: 1, ..Default::default() };
    let answer = service.players().get_state(request).await;
    Ok(answer.map_err(|status| Failure::status(&status))?.into_inner().catalog_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_tells_a_difference_from_a_quantity() {
        let parse = QuantityChange::from_str;
        assert_eq!(parse("+5"), Ok(QuantityChange::Add(5)));
        assert_eq!(parse("-1"), Ok(QuantityChange::Add(-1)));
        assert_eq!(parse("5"), Ok(QuantityChange::Set(5)));
        assert_eq!(parse("unlimited"), Ok(QuantityChange::Set(-1)));
        assert_eq!(parse("9223372036854775807"), Ok(QuantityChange::Set(i64::MAX)));
        for wrong in ["", "+", "-", "+-5", "--5", "1.5", "9223372036854775808", "all", " 5"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
