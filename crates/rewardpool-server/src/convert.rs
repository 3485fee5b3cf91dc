//! Between the engine's types and those of the gRPC interface.
//!
//! Which refusal has which status and reason is fixed in the `.proto` file; this is the one place
//! where it stands in code.
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rewardpool_core::command::{PoolStatus, Rejection};
use rewardpool_core::names::ItemNames;
use rewardpool_core::view::ItemState;
use rewardpool_engine::{
    BackupError, Chain, FollowError, PoolSummary, Refusal, SegmentSpan, snapshot_name,
};
use rewardpool_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::auth::Role;

/// The domain of every reason.
pub const DOMAIN: &str = "rewardpool";

/// When a client that was refused for want of room may try again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The name of a status, as gRPC writes it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// A refusal as clients see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The gRPC status.
    pub code: Code,
    /// For programs.
    pub reason: &'static str,
    /// For people: what went wrong and what to do.
    pub message: Cow<'static, str>,
    /// The field that is wrong, if one is.
    pub field: Option<Cow<'static, str>>,
    /// When a client that was refused for want of room may try again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    const fn new(code: Code, reason: &'static str, message: &'static str) -> Self {
        Self { code, reason, message: Cow::Borrowed(message), field: None, retry_after: None }
    }

    /// A field of the request has a value that it must not have.
    pub fn invalid(field: impl Into<Cow<'static, str>>, rule: impl Display) -> Self {
        let field = field.into();
        Self {
            code: Code::InvalidArgument,
            reason: "INVALID_ARGUMENT",
            message: format!("{field}: {rule}").into(),
            field: Some(field),
            retry_after: None,
        }
    }

    /// The answer does not fit into one message of the seed's interface.
    pub fn too_large() -> Self {
        Self::new(
            Code::OutOfRange,
            "TOO_LARGE",
            "the pool has too many items for one message: read it page by page with \
             rewardpool.v1.RewardPool.GetState",
        )
    }

    /// Too many streams watch the service already.
    pub fn too_many_watchers() -> Self {
        Self::new(
            Code::ResourceExhausted,
            "OVERLOADED",
            "too many streams watch the service: end some of them, or try again later",
        )
    }

    /// It is not known who asks. Whether a token is missing, wrong or expired is not told.
    pub fn unauthenticated() -> Self {
        Self::new(
            Code::Unauthenticated,
            "UNAUTHENTICATED",
            "this needs a valid token: send it as `authorization: Bearer TOKEN`",
        )
    }

    /// The caller lacks a role.
    pub fn missing_role(role: Role) -> Self {
        let message = format!("this needs the role `{}`: ask an administrator for it", role.name());
        Self { message: message.into(), ..Self::denied() }
    }

    /// The caller is bound to some pools and asks about the whole service.
    pub fn whole_service() -> Self {
        Self {
            message: "this is about the whole service, and the token is bound to some pools".into(),
            ..Self::denied()
        }
    }

    /// The caller is bound to other pools.
    pub fn other_pool() -> Self {
        Self { message: "the token is bound to other pools".into(), ..Self::denied() }
    }

    const fn denied() -> Self {
        Self::new(Code::PermissionDenied, "PERMISSION_DENIED", "")
    }

    /// There is no such method.
    pub fn unknown_method() -> Self {
        Self::new(Code::Unimplemented, "UNKNOWN_METHOD", "there is no such method")
    }

    /// The caller's draws of a second are used up for so long.
    pub fn quota(wait: Duration) -> Self {
        let ms = wait.as_millis().max(1);
        let rule = "the draws of this caller are used up and nothing was changed: try again in";
        Self {
            message: format!("{rule} {ms} ms").into(),
            retry_after: Some(wait),
            ..Self::new(Code::ResourceExhausted, "QUOTA", "")
        }
    }

    /// The caller has too many calls at the same time.
    pub fn too_many_calls() -> Self {
        Self::new(
            Code::ResourceExhausted,
            "QUOTA",
            "this caller has too many calls at the same time and nothing was changed: end some of \
             them first",
        )
    }

    /// A call waited too long for the client's next message.
    pub fn idle_call() -> Self {
        Self::new(
            Code::DeadlineExceeded,
            "DEADLINE_EXCEEDED",
            "the client sent no message for too long, and nothing more was changed: open a call \
             when there is something to send, or raise grpc.limits.stream_idle_timeout",
        )
    }

    /// Records that a stream should begin with were never written.
    pub fn never_written(wanted: u64, durable: u64) -> Self {
        let message = format!("LSN {wanted} was not written yet, the log ends at LSN {durable}");
        let new = Self::new(Code::OutOfRange, "NEVER_WRITTEN", "");
        Self { message: message.into(), ..new }
    }

    /// Whether there is no room at present, and may be soon.
    pub fn is_overload(&self) -> bool {
        matches!(self.code, Code::ResourceExhausted | Code::DeadlineExceeded)
    }

    /// A backup must have the secrets, and the service does not give them.
    pub fn secrets_not_served() -> Self {
        Self::new(
            Code::FailedPrecondition,
            "SECRETS_NOT_SERVED",
            "the service is not configured to give the secrets of its pools: allow it with \
             `backup_secrets: true` under `grpc`, or copy the files secret.* once by another way",
        )
    }

    /// As many backups run as may.
    pub fn backup_running() -> Self {
        Self::new(
            Code::ResourceExhausted,
            "BACKUP_RUNNING",
            "other backups are running: try again when they are finished",
        )
    }

    /// No backup can be made of the log as it is.
    pub fn no_backup(error: &BackupError) -> Self {
        let (code, reason, hint) = match error {
            BackupError::Refused(refusal) => return (*refusal).into(),
            BackupError::TooManySegments { .. } => {
                (Code::ResourceExhausted, "TOO_MANY_FILES", "take a snapshot, then try again")
            }
            BackupError::Engine(error) if error.is_corruption() => (
                Code::DataLoss,
                "CORRUPT",
                "what is on disk is damaged, the service goes on with what is in memory: keep it \
                 running, copy its directory, and see docs/operations.md",
            ),
            BackupError::Engine(_) | BackupError::Overtaken | _ => {
                (Code::Internal, "CANNOT_READ", "see the messages of the service")
            }
        };
        let message = format!("{}: {hint}", Chain(error)).into();
        Self { code, reason, message, field: None, retry_after: None }
    }

    /// The status of a call that is refused.
    pub fn to_status(&self) -> Status {
        let mut details = ErrorDetails::new();
        details.set_error_info(self.reason, DOMAIN, HashMap::new());
        if let Some(field) = &self.field {
            details.add_bad_request_violation(&**field, &*self.message);
        }
        if self.code == Code::ResourceExhausted {
            details.set_retry_info(Some(self.retry_after.unwrap_or(RETRY_AFTER)));
        }
        Status::with_error_details(self.code, &*self.message, details)
    }

    /// The answer to a request of a stream that is refused.
    pub fn to_draw_refusal(&self) -> v1::DrawRefusal {
        v1::DrawRefusal {
            code: self.code.into(),
            reason: self.reason.to_owned(),
            message: self.message.clone().into_owned(),
        }
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        fault.to_status()
    }
}

impl From<FollowError> for Fault {
    fn from(error: FollowError) -> Self {
        let (code, reason) = match &error {
            FollowError::Gone { .. } => (Code::OutOfRange, "GONE"),
            FollowError::Log(cause) if cause.is_corruption() => (Code::DataLoss, "DAMAGED_LOG"),
            FollowError::Log(_) => (Code::Internal, "UNREADABLE_LOG"),
        };
        let message = match &error {
            FollowError::Gone { .. } => format!("{error}: begin with a snapshot"),
            FollowError::Log(_) => format!("{}: see docs/reliability.md", Chain(&error)),
        };
        Self { message: message.into(), ..Self::new(code, reason, "") }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => rejection.into(),
            Refusal::Overloaded => Self::new(
                Code::ResourceExhausted,
                "OVERLOADED",
                "the service is overloaded and nothing was changed: try again later, with fewer \
                 calls at once",
            ),
            Refusal::Expired => Self::new(
                Code::DeadlineExceeded,
                "DEADLINE_EXCEEDED",
                "the deadline passed before the request was begun and nothing was changed: try \
                 again with a longer deadline",
            ),
            Refusal::OutOfSpace => Self::new(
                Code::ResourceExhausted,
                "NO_SPACE",
                "the disk of the service is full and nothing was changed: make room; the service \
                 goes on by itself",
            ),
            Refusal::Stopping => Self::new(
                Code::Unavailable,
                "STOPPING",
                "the service is stopping and nothing was changed: try again when it has started",
            ),
            Refusal::OutcomeUnknown => Self::new(
                Code::Unavailable,
                "OUTCOME_UNKNOWN",
                "the service failed and the request may or may not have happened: send a draw \
                 again with the same idempotency key; before another change, read the state",
            ),
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        use Code::{Aborted, AlreadyExists, FailedPrecondition, NotFound};
        let (code, reason, hint) = match rejection {
            Rejection::UnknownPool => {
                (NotFound, "UNKNOWN_POOL", "ListPools names all pools, CreatePool makes one")
            }
            Rejection::UnknownItem => (NotFound, "UNKNOWN_ITEM", "GetState names all items"),
            Rejection::UnknownKey => {
                (NotFound, "UNKNOWN_KEY", "none happened, or its key has expired")
            }
            Rejection::KeyReused => (
                AlreadyExists,
                "KEY_REUSED",
                "send a retry with the same count and mode, and a new draw with a new key",
            ),
            Rejection::ItemExists => (
                AlreadyExists,
                "ITEM_EXISTS",
                "choose another name, or change the item with UpdateItem",
            ),
            Rejection::PoolExists => (AlreadyExists, "POOL_EXISTS", "choose another name"),
            Rejection::VersionMismatch { .. } => {
                (Aborted, "VERSION_MISMATCH", "read the state again, then decide again")
            }
            Rejection::PoolPaused => {
                (FailedPrecondition, "POOL_PAUSED", "try again after it was resumed")
            }
            Rejection::PoolClosed => {
                (FailedPrecondition, "POOL_CLOSED", "it stays closed, use another pool")
            }
            Rejection::InsufficientStock => (
                FailedPrecondition,
                "INSUFFICIENT_STOCK",
                "ask for fewer draws, or for best effort",
            ),
            Rejection::KeysOff => {
                (FailedPrecondition, "KEYS_OFF", "send draws to this pool without a key")
            }
            Rejection::RetiredItem => {
                (FailedPrecondition, "RETIRED_ITEM", "add an item with another name")
            }
            Rejection::QuantityRange => {
                (FailedPrecondition, "QUANTITY_RANGE", "read the state, then add or take less")
            }
            Rejection::QuantityUnlimited => {
                (FailedPrecondition, "QUANTITY_UNLIMITED", "set a quantity first")
            }
            Rejection::TotalWeight => (
                FailedPrecondition,
                "TOTAL_WEIGHT",
                "choose a smaller weight, or lower the others first",
            ),
            Rejection::Full => (FailedPrecondition, "FULL", "no more can be added"),
        };
        Self {
            code,
            reason,
            message: format!("{rejection}: {hint}").into(),
            field: None,
            retry_after: None,
        }
    }
}

/// A status of a pool.
pub const fn pool_status(status: PoolStatus) -> v1::PoolStatus {
    match status {
        PoolStatus::Active => v1::PoolStatus::Active,
        PoolStatus::Paused => v1::PoolStatus::Paused,
        PoolStatus::Closed => v1::PoolStatus::Closed,
    }
}

/// An item of a pool.
pub fn item_state(item: &ItemState, names: &ItemNames) -> v1::ItemState {
    let units = |units: u64| i64::try_from(units).expect("granted units are below 2^63");
    v1::ItemState {
        item_id: item_name(item, names),
        weight: item.weight,
        quantity: item.quantity.to_number(),
        awarded: item.awarded,
        granted: item.granted.map_or(-1, units),
        retired: item.retired,
        drawable: item.effective_weight > 0,
    }
}

/// The name of an item of a page.
pub fn item_name(item: &ItemState, names: &ItemNames) -> String {
    names.get(item.index).expect("an item has a name").as_str().to_owned()
}

/// A pool in a list.
pub fn pool_summary(summary: &PoolSummary) -> v1::PoolSummary {
    v1::PoolSummary {
        pool: summary.id.as_str().to_owned(),
        status: pool_status(summary.status).into(),
        catalog_version: summary.catalog_version,
        item_count: wide(summary.item_count),
        draws: summary.draws,
        awards: summary.awards,
        empties: summary.empties,
        total_weight: summary.available_weight,
    }
}

/// A segment of the log.
pub fn segment_info(segment: &SegmentSpan, current: u32) -> v1::SegmentInfo {
    let number = segment.number.0;
    let is_open = number >= current;
    let state = if is_open { v1::SegmentState::Open } else { v1::SegmentState::Closed };
    v1::SegmentInfo {
        number,
        first_lsn: segment.first_lsn,
        bytes: segment.bytes,
        used_bytes: segment.used_bytes,
        state: state.into(),
    }
}

/// A snapshot in the working directory. `None` when it was removed just now.
pub fn snapshot_info(working_dir: &Path, lsn: u64) -> Option<v1::SnapshotInfo> {
    let file = snapshot_name(lsn);
    let metadata = fs::metadata(working_dir.join(&file)).ok()?;
    let taken = metadata.modified().ok()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let taken_at_ms = i64::try_from(taken.as_millis()).unwrap_or(i64::MAX);
    Some(v1::SnapshotInfo { lsn, file, bytes: metadata.len(), taken_at_ms })
}

/// A count as clients see it.
pub fn wide(count: usize) -> u64 {
    u64::try_from(count).expect("a count has at most 64 bits")
}

#[cfg(test)]
mod tests;
