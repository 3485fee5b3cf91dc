//! What may be wrong with a run, each with the invariant that it breaks and the evidence.
use std::fmt;

use serde::Serialize;

/// What must hold. The numbers are those of the test plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum Invariant {
    /// The history itself is sound; otherwise the test is void, not passed.
    I0,
    /// What was acknowledged is in the log as it was told.
    I1,
    /// What is in the log was asked for.
    I2,
    /// Request ids are unique and without gaps.
    I3,
    /// All answers to one operation are the same.
    I4,
    /// An operation is in the log completely or not at all.
    I5,
    /// What was answered before another operation began has the lower ids.
    I6,
    /// Units are conserved at every position.
    I7,
    /// Never more of an item is won than there was, by what clients know alone.
    I8,
    /// Only an item that could be drawn was drawn.
    I9,
    /// Reads show the durable state of their position, and positions never fall.
    I10,
    /// Changes are made exactly once.
    I11,
    /// No outcome is rolled again: each is what the generator gives for its id.
    I12,
    /// Draws follow the weights.
    I13,
    /// Streams show a prefix of the durable log.
    I14,
    /// Snapshots hold what the log gives.
    I15,
    /// The service refuses to start only where it has a reason.
    I16,
    /// It serves soon after the last fault.
    I17,
    /// A clean stop ends the log, and nothing is acknowledged after it.
    I18,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::I0,
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
        Self::I13,
        Self::I14,
        Self::I15,
        Self::I16,
        Self::I17,
        Self::I18,
    ];

    /// Its place in [`Invariant::ALL`].
    pub const fn place(self) -> usize {
        self as usize
    }

    /// What it says, in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::I0 => "the history is sound",
            Self::I1 => "acknowledged is durable",
            Self::I2 => "nothing was made up",
            Self::I3 => "ids are unique, without gaps",
            Self::I4 => "a retry gets the same answer",
            Self::I5 => "all of an operation or nothing",
            Self::I6 => "real time and ids agree",
            Self::I7 => "units are conserved",
            Self::I8 => "no over-draw",
            Self::I9 => "legal choice",
            Self::I10 => "reads are durable states",
            Self::I11 => "changes exactly once",
            Self::I12 => "no re-roll",
            Self::I13 => "draws follow the weights",
            Self::I14 => "streams are prefixes",
            Self::I15 => "snapshots equal the log",
            Self::I16 => "refusals are honest",
            Self::I17 => "serves soon after a fault",
            Self::I18 => "a clean stop is final",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

macro_rules! findings {
    ($($name:ident $invariant:ident $text:literal)*) => {
        /// What is wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Finding {
            $(#[doc = concat!("Breaks ", stringify!($invariant), ": ", $text, ".")] $name,)*
        }

        impl Finding {
            /// All of them, in the order of their invariants.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The invariant that it breaks.
            pub const fn invariant(self) -> Invariant {
                match self { $(Self::$name => Invariant::$invariant,)* }
            }

            /// A sentence about it.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

findings! {
    TimeFalls I0 "the clock of the history falls"
    ResultWithoutRequest I0 "a result has no open request"
    OperationReused I0 "one id stands for two operations"
    KeyShared I0 "two operations share an idempotency key"
    AnswerOfOtherKind I0 "the answer does not belong to the request"
    UnknownPoolName I0 "the request was done, but the log has no pool of this name"
    Lost I1 "an acknowledged draw is not in the log"
    OutcomeDiffers I1 "the log holds other items than were told"
    OfAnotherOperation I1 "the log has these ids for another operation"
    LostAtCrash I1 "the log ended before an acknowledged draw when the service came back"
    DrawnByNobody I2 "the log holds a draw that nobody asked for"
    RefusedButLogged I2 "the log holds a draw that was definitely refused"
    IdGap I3 "request ids are skipped"
    IdTwice I3 "a request id stands twice in the log"
    LsnGap I3 "positions are not 1, 2, 3, …"
    ToldTwice I3 "two operations were told the same request id"
    AnswersDiffer I4 "two answers to one operation differ"
    NotReplayed I4 "a retry was answered as a first draw"
    ReplayOfNothing I4 "a first draw was answered as a retry"
    RetryRefused I4 "a retry of an acknowledged draw was refused"
    PartOfOperation I5 "the count of outcomes is not what was asked for"
    EmptyInAllOrNothing I5 "an all-or-nothing draw has an empty outcome"
    OrderReversed I6 "an operation has a lower position than one that was answered before it began"
    StreamReversed I6 "request ids fall within one stream"
    AfterItsEnd I6 "an operation took effect after the process that had it was dead"
    Overdrawn I7 "an item was drawn that had no units left"
    QuantityDiffers I7 "a change leaves other units than it gives"
    StateDiffers I7 "the state at a position is not what the records add up to"
    MoreToldThanGranted I8 "clients won more units than there ever were"
    MoreLoggedThanAsked I8 "the log holds more draws than were answered or are unknown"
    IllegalItem I9 "an item was drawn that could not be drawn"
    EmptyInStock I9 "a draw was empty although something was available"
    WrongVersion I9 "a record names another version of the catalogue than is in force"
    NotActive I9 "a draw was made from a pool that was not active"
    ReadDiffers I10 "a read is not the state of its position"
    ReadBehind I10 "a read misses what was acknowledged before it"
    ReadAhead I10 "a read shows a position that the log does not have"
    DirtyRead I10 "a read showed what was not durable at the crash that followed"
    ChangeLost I11 "an acknowledged change is not in the log"
    ChangeTwice I11 "a change was made twice"
    ChangeDiffers I11 "the log holds another change than was asked for or told"
    ChangeByNobody I11 "the log holds a change that nobody asked for"
    ChangeRefusedButLogged I11 "the log holds a change that was definitely refused"
    ChangeOutOfOrder I11 "a change does not stand between its request and its answer"
    ChangeLostAtCrash I11 "the log ended before an acknowledged change when the service came back"
    Rerolled I12 "a key was drawn for a second time"
    NotGenerated I12 "the outcome is not what the generator gives for the request id"
    SearchDiffers I12 "the search for a draw gives something else than the log"
    Biased I13 "an item was drawn too often or too rarely"
    BiasedAfterFault I13 "an item was drawn too often or too rarely in retried or unanswered operations"
    SnapshotDiffers I15 "a snapshot is not the state that the log gives"
    SnapshotOtherHash I15 "the log names another SHA-256 for a snapshot than its file has"
    RefusedWithoutReason I16 "the service ended by itself without a fault that explains it"
    NeverReady I17 "the service was not ready in time"
    NeverServed I17 "no draw succeeded in time after the service was ready"
    NotClosed I18 "the log does not end with the record of a clean stop"
    AnsweredAfterClose I18 "something was acknowledged after the record of a clean stop"
    UncleanStop I18 "the service was asked to stop and did not end with exit code 0"
    LeftUnanswered I18 "a request was left without any result after a clean stop"
}

/// Something that is wrong, with the evidence. What does not apply is empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    /// What is wrong.
    pub finding: Finding,
    /// The operation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The request id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<u64>,
    /// The position in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lsn: Option<u64>,
    /// What a client was told, or what must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// What the log holds, or what is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logged: Option<String>,
}

impl Violation {
    /// A violation without evidence yet.
    pub const fn new(finding: Finding) -> Self {
        Self { finding, op: None, request_id: None, lsn: None, told: None, logged: None }
    }

    /// Names the operation.
    #[must_use]
    pub fn op(mut self, op: &str) -> Self {
        self.op = Some(op.to_owned());
        self
    }

    /// Names the request id.
    #[must_use]
    pub const fn request(mut self, request_id: u64) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// Names the position.
    #[must_use]
    pub const fn lsn(mut self, lsn: u64) -> Self {
        self.lsn = Some(lsn);
        self
    }

    /// Says what was told, or what must be.
    #[must_use]
    pub fn told(mut self, told: impl fmt::Display) -> Self {
        self.told = Some(told.to_string());
        self
    }

    /// Says what the log holds, or what is.
    #[must_use]
    pub fn logged(mut self, logged: impl fmt::Display) -> Self {
        self.logged = Some(logged.to_string());
        self
    }

    /// The invariant that is broken.
    pub const fn invariant(&self) -> Invariant {
        self.finding.invariant()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant(), self.finding.text())?;
        if let Some(op) = &self.op {
            write!(f, "; operation {op}")?;
        }
        if let Some(request_id) = self.request_id {
            write!(f, "; request {request_id}")?;
        }
        if let Some(lsn) = self.lsn {
            write!(f, "; LSN {lsn}")?;
        }
        if let Some(told) = &self.told {
            write!(f, "; expected {told}")?;
        }
        if let Some(logged) = &self.logged {
            write!(f, "; found {logged}")?;
        }
        Ok(())
    }
}
