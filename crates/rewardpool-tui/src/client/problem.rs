//! What a refusal means for somebody at the terminal: the cause and the next step.
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::dial::chain;
use crate::event::Problem;

/// Whether the call was not decided: the service may have done what it was asked for.
pub(super) fn is_unknown(status: &Status) -> bool {
    let is_open = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Internal
    );
    is_open && reason(status) != "STOPPING"
}

/// Whether the service itself said this, and not the connection to it.
pub(super) fn is_from_service(status: &Status) -> bool {
    !is_unknown(status) && reason(status) != "STOPPING"
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Why the connection is gone, in few words.
pub(super) fn why_gone(status: &Status) -> String {
    if reason(status) == "STOPPING" {
        return "it stops".to_owned();
    }
    let cause = std::error::Error::source(status).map(chain);
    printable(&cause.unwrap_or_else(|| status.message().to_owned()))
}

/// A refusal of a call.
pub(super) fn of_status(status: &Status) -> Problem {
    if is_unknown(status) {
        let what = format!("whether it was done is unknown: {}", why_gone(status));
        return Problem::new(what, "look at `status` before you repeat it");
    }
    let mut what = status.message().to_owned();
    let details = status.get_error_details();
    for violation in details.bad_request().iter().flat_map(|request| &request.field_violations) {
        what.extend([" (", &violation.field, ": ", &violation.description, ")"]);
    }
    of_reason(&reason(status), status.code(), &what)
}

/// A refusal by its reason, as the service gives it on streams too.
pub(super) fn of_reason(reason: &str, code: Code, message: &str) -> Problem {
    let what = match reason {
        // Which version it has says nothing to somebody who looks at the screen.
        "VERSION_MISMATCH" => "somebody changed the catalogue since you saw it".to_owned(),
        "UNKNOWN_POOL" => "there is no such pool".to_owned(),
        // The service adds advice for programs; here it is the next step that counts.
        "POOL_PAUSED" => "the pool is paused".to_owned(),
        "POOL_CLOSED" => "the pool is closed".to_owned(),
        "RETIRED_ITEM" => "the item is retired".to_owned(),
        "QUANTITY_UNLIMITED" => "the item is unlimited".to_owned(),
        // How a token travels is nothing for somebody at a terminal.
        "UNAUTHENTICATED" => "the service wants a valid token".to_owned(),
        _ => printable(message),
    };
    Problem::new(what, next_step(reason, code))
}

/// The text comes from another program and must not steer the terminal.
fn printable(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn next_step(reason: &str, code: Code) -> &'static str {
    match reason {
        "UNKNOWN_POOL" => "`pool <name>` shows one; the tab Pools lists them",
        "UNKNOWN_ITEM" => "Tab completes the names of items",
        "ITEM_EXISTS" => "somebody added it meanwhile; look at the items and compare again",
        "VERSION_MISMATCH" => "look at it and enter it again; +n and -n are always right",
        "POOL_PAUSED" => "`resume` lets the pool draw again",
        "POOL_CLOSED" => "a closed pool stays closed; `pool <name>` shows another",
        "RETIRED_ITEM" => "a retired item stays retired; add one with another name",
        "QUANTITY_RANGE" => "the list shows how many units are left",
        "QUANTITY_UNLIMITED" => "a number without a sign makes the item limited",
        "TOTAL_WEIGHT" => "the weights of a pool add up to less than 2^63: take smaller ones",
        "OVERLOADED" => "nothing was changed; try again a little later",
        "NO_SPACE" => "nothing was changed; make room on the disk of the service",
        "STOPPING" => "nothing was changed; the service stops",
        "QUOTA" => "nothing was changed; draw a little later, or fewer at once",
        _ if code == Code::Unimplemented => {
            "the service is older than this program, or has another address for administrators"
        }
        _ if code == Code::Unauthenticated => {
            "quit, and start again with --token-file FILE or REWARDPOOL_TOKEN"
        }
        _ if code == Code::PermissionDenied => "it takes a token that may do this",
        _ => "nothing was changed; `help` shows what a command takes",
    }
}
