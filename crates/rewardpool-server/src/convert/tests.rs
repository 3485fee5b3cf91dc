//! Goal: every refusal has the status and reason that the contract states. Method: the contract's
//! table written once more.
use super::*;

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
        (Refusal::Follower, Code::Unavailable, "FOLLOWER"),
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
