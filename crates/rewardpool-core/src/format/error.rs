//! Why a payload is not a sequence of records.
use crate::catalog::CatalogError;
use crate::limits::DRAW_COUNT_MAX;
use crate::name::NameError;

/// A payload that the encoder did not write.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{fault} (at byte {offset} of the payload)")]
pub struct FormatError {
    /// Where in the payload: the field that is wrong, or the record when it is wrong as a whole.
    pub offset: usize,
    /// What is wrong.
    pub fault: FormatFault,
}

/// What is wrong with a payload.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatFault {
    /// The payload ends within a record.
    #[error("the payload ends within a record")]
    Truncated,
    /// The payload ends after fewer records than it should hold.
    #[error("the payload holds {found} records instead of {expected}")]
    MissingRecords {
        /// Records that the payload should hold.
        expected: u32,
        /// Records that it holds.
        found: u32,
    },
    /// The payload goes on after its last record.
    #[error("{bytes} bytes follow the last record")]
    TrailingBytes {
        /// How many bytes are left.
        bytes: usize,
    },
    /// The binary format has no record with this tag, or this version does not know it.
    #[error("records with the tag {tag:#04x} are unknown to this version")]
    UnknownRecord {
        /// The tag.
        tag: u8,
    },
    /// A text format has no record with this name, or this version does not know it.
    #[error("a record of this type is unknown to this version")]
    UnknownType,
    /// A draw has flags that are reserved for later versions.
    #[error("a draw has the flags {flags:#04x}, which are unknown to this version")]
    UnknownFlags {
        /// Those of its flags that are unknown.
        flags: u8,
    },
    /// A text field is missing, doubled, unknown or not in its place.
    #[error("here the field `{field}` should stand")]
    MissingField {
        /// The field that should stand there.
        field: &'static str,
    },
    /// A text record should end here.
    #[error("here the record should end")]
    ExtraField,
    /// A number is not in its one and shortest form.
    #[error("a number is missing or not in its shortest form")]
    NumberForm,
    /// A number does not fit its type.
    #[error("a number is out of its range")]
    NumberRange,
    /// A hash is not written in lower-case hexadecimal digits of the right number.
    #[error("a hash is missing or not in its hexadecimal form")]
    Hex,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    Utf8,
    /// A text is not quoted or escaped the way the encoder does it.
    #[error("a text is not quoted or escaped as it should be")]
    Escape,
    /// A choice (mode, status, selector, kind of change) is none of the known ones.
    #[error("a value is none of those known to this version")]
    UnknownValue,
    /// The record has another position than its place in the log says.
    #[error("the record has the position {found} instead of {expected}")]
    Lsn {
        /// The position that follows from the batch.
        expected: u64,
        /// The position in the record.
        found: u64,
    },
    /// The positions of the batch do not fit in 64 bits.
    #[error("the positions of the batch exceed 64 bits")]
    LsnRange,
    /// The request ids of a draw do not follow those of the draw before.
    #[error("the draw has the first request id {found} instead of {expected}")]
    RequestId {
        /// The id that follows from the draws before.
        expected: u64,
        /// The id in the record.
        found: u64,
    },
    /// A request id is 0 or does not fit in 64 bits.
    #[error("a request id is 0 or exceeds 64 bits")]
    RequestIdRange,
    /// A draw has no outcome, or too many.
    #[error("a draw has 1 to {DRAW_COUNT_MAX} outcomes")]
    DrawCount,
    /// The first draw of a batch names no pool.
    #[error("the first draw of a batch names no pool")]
    MissingContext,
    /// A draw names its pool although nothing changed.
    #[error("a draw repeats the pool and version of the one before")]
    RepeatedContext,
    /// The outcomes have another width than the size of the catalogue asks for.
    #[error("outcomes have {found} bytes instead of {expected}")]
    OutcomeWidth {
        /// The width that follows from the catalogue.
        expected: u8,
        /// The width in the record.
        found: u8,
    },
    /// There is no such pool.
    #[error("the record is about a pool that does not exist")]
    UnknownPool,
    /// The pool has no such item.
    #[error("the record is about an item that its pool does not have")]
    UnknownItem,
    /// A new pool has a number that is not the next, or a name that exists.
    #[error("the new pool's number is not the next one, or its name exists")]
    NotANewPool,
    /// A new item has an index that is not the next, or a name that exists.
    #[error("the new item's index is not the next one, or its name exists")]
    NotANewItem,
    /// A text is not a name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The actor or the reason of a change is too long or has control characters.
    #[error("the actor or the reason is too long or has control characters")]
    Note,
    /// A list of items is not a catalogue.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
