//! Goal: every refusal has the status and reason that the contract states, and an answer names the
//! items that were drawn. Method: the contract's table written once more; a plain model of the
//! dictionary.
use proptest::prelude::*;
use rewardpool_core::name::{ItemId, PoolId};
use rewardpool_core::names::Names;

use super::*;

fn names(count: usize) -> ItemNames {
    let mut names = Names::default();
    let pool = names.push(PoolId::new("pool").unwrap());
    let pool = names.pool_mut(pool).unwrap();
    for index in 0..count {
        pool.push(ItemId::new(&format!("item {index}")).unwrap());
    }
    pool.items().clone()
}

fn outcome(item: Option<u32>) -> Outcome {
    item.map_or(Outcome::EMPTY, |item| Outcome::award(ItemIndex::new(item).unwrap()))
}

#[test]
fn refusals_have_the_status_and_reason_of_the_contract() {
    let table = [
        (Rejection::UnknownPool, Code::NotFound, "UNKNOWN_POOL"),
        (Rejection::UnknownItem, Code::NotFound, "UNKNOWN_ITEM"),
        (Rejection::UnknownKey, Code::NotFound, "UNKNOWN_KEY"),
        (Rejection::KeyReused, Code::AlreadyExists, "KEY_REUSED"),
        (Rejection::ItemExists, Code::AlreadyExists, "ITEM_EXISTS"),
        (Rejection::PoolExists, Code::AlreadyExists, "POOL_EXISTS"),
        (Rejection::VersionMismatch { current: 3 }, Code::Aborted, "VERSION_MISMATCH"),
        (Rejection::PoolPaused, Code::FailedPrecondition, "POOL_PAUSED"),
        (Rejection::PoolClosed, Code::FailedPrecondition, "POOL_CLOSED"),
        (Rejection::InsufficientStock, Code::FailedPrecondition, "INSUFFICIENT_STOCK"),
        (Rejection::KeysOff, Code::FailedPrecondition, "KEYS_OFF"),
        (Rejection::RetiredItem, Code::FailedPrecondition, "RETIRED_ITEM"),
        (Rejection::QuantityRange, Code::FailedPrecondition, "QUANTITY_RANGE"),
        (Rejection::QuantityUnlimited, Code::FailedPrecondition, "QUANTITY_UNLIMITED"),
        (Rejection::TotalWeight, Code::FailedPrecondition, "TOTAL_WEIGHT"),
        (Rejection::Full, Code::FailedPrecondition, "FULL"),
    ];
    for (rejection, code, reason) in table {
        let fault = Fault::from(Refusal::Rejected(rejection));
        assert_eq!((fault.code, fault.reason), (code, reason));
        assert!(fault.message.starts_with(&rejection.to_string()), "{}", fault.message);
    }
    let table = [
        (Refusal::Overloaded, Code::ResourceExhausted, "OVERLOADED"),
        (Refusal::OutOfSpace, Code::ResourceExhausted, "NO_SPACE"),
        (Refusal::Expired, Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (Refusal::Stopping, Code::Unavailable, "STOPPING"),
        (Refusal::OutcomeUnknown, Code::Unavailable, "OUTCOME_UNKNOWN"),
    ];
    for (refusal, code, reason) in table {
        let fault = Fault::from(refusal);
        assert_eq!((fault.code, fault.reason), (code, reason));
    }
}

#[test]
fn a_status_carries_the_details_of_the_contract() {
    let status = Fault::from(Refusal::Overloaded).to_status();
    let info = status.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), ("OVERLOADED", "rewardpool"));
    assert!(status.get_details_retry_info().is_some());
    assert!(status.get_details_bad_request().is_none());

    let status = Fault::invalid("count", "too many").to_status();
    assert_eq!(status.message(), "count: too many");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].field, "count");
    assert!(status.get_details_retry_info().is_none());
    assert_eq!(status.get_details_error_info().unwrap().reason, "INVALID_ARGUMENT");

    let refusal = Fault::from(Rejection::PoolClosed).to_draw_refusal();
    assert_eq!((refusal.code, &*refusal.reason), (9, "POOL_CLOSED"));
}

#[test]
fn each_item_is_named_once_in_the_order_of_its_first_draw() {
    let outcomes = [Some(2), None, Some(0), Some(2)].map(outcome);
    let (items, places) = dictionary(&outcomes, &names(3));
    assert_eq!(items, ["item 2", "item 0"]);
    assert_eq!(places, [1, 0, 2, 1]);
    assert_eq!(dictionary(&[], &names(1)), (vec![], vec![]));
}

proptest! {
    /// Small catalogues are scanned, larger ones have a dense table, and the largest a sparse one.
    #[test]
    fn the_dictionary_gives_back_what_was_drawn(
        (catalog, drawn) in prop_oneof![Just(5_u32), Just(16), Just(17), Just(100), Just(5000)]
            .prop_flat_map(|catalog| {
                let draw = prop::option::weighted(0.9, 0..catalog);
                (Just(catalog), prop::collection::vec(draw, 0..300))
            })
    ) {
        let names = names(catalog as usize);
        let outcomes: Vec<Outcome> = drawn.iter().copied().map(outcome).collect();
        let (items, places) = dictionary(&outcomes, &names);
        let mut distinct = items.clone();
        distinct.sort();
        distinct.dedup();
        prop_assert_eq!(distinct.len(), items.len());
        let resolved: Vec<Option<String>> = places
            .iter()
            .map(|&place| (place as usize).checked_sub(1).map(|index| items[index].clone()))
            .collect();
        let expected: Vec<Option<String>> =
            drawn.iter().map(|item| item.map(|item| format!("item {item}"))).collect();
        prop_assert_eq!(resolved, expected);
    }
}
