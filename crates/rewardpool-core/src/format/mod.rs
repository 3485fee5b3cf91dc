//! The record formats of the log: records to the payload of a batch and back, without any I/O.
//!
//! A batch is a header, which the log owns, and a payload: the records one after another.
//! - `binary` is compact and fast; the only one made for production.
//! - `json` is one object a line, for people and other programs.
//! - `string_line` is one line of comma-separated fields, for people and line tools.
//!
//! Invariant: every format carries every record, and a sequence of records has exactly one payload
//! in each format. The decoder refuses every other payload, so nothing that the encoder did not
//! write is ever replayed, and encoding what was decoded gives the same bytes again.
//!
//! Invariant: no payload has 512 zero bytes in a row, because recovery tells a sector that was
//! never written from a rotten one by its zeros.
mod binary;
mod cursor;
mod error;
mod json;
mod string_line;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;
use std::str::FromStr;

use self::cursor::Cursor;
pub use self::error::{FormatError, FormatFault};
use crate::command::DrawMode;
use crate::ids::{Lsn, Outcome, RequestId};
use crate::limits::DRAW_COUNT_MAX;
use crate::names::{Names, PoolNames};
use crate::record::{DrawRecord, Record, SingleDraws};

/// How the records of a segment are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Tags, variable-length integers and fixed-width outcomes.
    Binary,
    /// One JSON object a line.
    Json,
    /// One line of comma-separated fields a record.
    StringLine,
}

/// No format has this name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a format is one of binary, json and string_line")]
pub struct UnknownFormat;

impl Format {
    /// All formats, in the order of their ids.
    pub const ALL: [Self; 3] = [Self::Binary, Self::Json, Self::StringLine];

    /// The number that stands for the format in a segment's header. It never changes.
    pub const fn id(self) -> u8 {
        match self {
            Self::Binary => 1,
            Self::Json => 2,
            Self::StringLine => 3,
        }
    }

    /// The format with this number.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.id() == id)
    }

    /// The name in texts: `binary`, `json`, `string_line`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
            Self::StringLine => "string_line",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.name() == name).ok_or(UnknownFormat)
    }
}

/// The draws of a batch have request ids without gaps.
#[derive(Clone, Copy, Debug, Default)]
struct RequestIds {
    /// The first id of the next draw; `None` before the first draw of the batch.
    next: Option<RequestId>,
}

impl RequestIds {
    /// The ids after a draw of so many; `None` when they do not follow or do not fit in 64 bits.
    fn after(self, first: RequestId, count: usize) -> Option<Self> {
        if self.next.is_some_and(|next| next != first) {
            return None;
        }
        let next = first.number().checked_add(u64::try_from(count).ok()?)?;
        Some(Self { next: RequestId::new(next) })
    }
}

/// Encodes the records of one batch after another.
///
/// It is used again for each batch, so that nothing is allocated once it has seen a large one.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    payload: Vec<u8>,
    first_lsn: Lsn,
    count: u32,
    request_ids: RequestIds,
    context: Option<binary::Context>,
}

impl Encoder {
    /// An encoder with an empty batch that begins at the first position of a log.
    pub fn new(format: Format) -> Self {
        Self {
            format,
            payload: Vec::new(),
            first_lsn: Lsn::FIRST,
            count: 0,
            request_ids: RequestIds::default(),
            context: None,
        }
    }

    /// The format that it writes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Begins a batch and forgets the one before.
    pub fn begin(&mut self, first_lsn: Lsn) {
        self.payload.clear();
        self.first_lsn = first_lsn;
        self.count = 0;
        self.request_ids = RequestIds::default();
        self.context = None;
    }

    /// Appends one record. `names` are those of the state before or after the record, so they know
    /// its pool and its items.
    ///
    /// # Panics
    /// When `names` does not know a pool or an item of the record, when a draw has no outcome or
    /// more than the maximum, or when its request ids do not follow those of the batch.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>, names: &Names) {
        if let Record::Draw(draw) = record {
            self.check_draw(draw);
        }
        match self.format {
            Format::Binary => binary::encode(record, names, &mut self.context, &mut self.payload),
            Format::Json | Format::StringLine => self.push_text(record, names),
        }
        self.count = self.count.checked_add(1).expect("a batch has less than 2^32 records");
    }

    fn push_text(&mut self, record: &Record<'_>, names: &Names) {
        let lsn = lsn_at(self.first_lsn, self.count).expect("the log never holds 2^64 records");
        match self.format {
            Format::StringLine => string_line::encode(lsn, record, names, &mut self.payload),
            Format::Json | Format::Binary => json::encode(lsn, record, names, &mut self.payload),
        }
    }

    /// The bytes of the batch so far.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The number of records so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Upper bound of the bytes that one draw of `count` from `pool` appends, in constant time.
    #[inline]
    pub fn draw_bytes_max(&self, pool: &PoolNames, count: usize) -> usize {
        match self.format {
            Format::Binary => binary::draw_bytes_max(pool, count),
            Format::Json => {
                json::draw_bytes_max(pool.id().as_str().len(), pool.item_bytes_max(), count)
            }
            Format::StringLine => {
                string_line::draw_bytes_max(pool.id().as_str().len(), pool.item_bytes_max(), count)
            }
        }
    }

    /// Upper bound of the bytes that a record appends. It may visit the whole record; of a draw,
    /// [`Encoder::draw_bytes_max`] is the closer bound.
    pub fn record_bytes_max(&self, record: &Record<'_>) -> usize {
        match self.format {
            Format::Binary => binary::record_bytes_max(record),
            Format::Json => json::record_bytes_max(record),
            Format::StringLine => string_line::record_bytes_max(record),
        }
    }

    #[inline]
    fn check_draw(&mut self, draw: &DrawRecord<'_>) {
        let count = draw.outcomes.len();
        assert!(count >= 1, "a draw has an outcome");
        assert!(count <= usize::from(DRAW_COUNT_MAX), "a draw is bounded");
        let after = self.request_ids.after(draw.first_request_id, count);
        self.request_ids = after.expect("the draws of a batch have request ids without gaps");
    }
}

/// Reads the records of one batch payload back.
#[derive(Debug)]
pub struct Decoder<'p> {
    format: Format,
    payload: &'p [u8],
    offset: usize,
    first_lsn: Lsn,
    count: u32,
    decoded: u32,
    request_ids: RequestIds,
    context: Option<binary::Context>,
}

impl<'p> Decoder<'p> {
    /// A decoder of a payload that should hold exactly `count` records from `first_lsn` on.
    pub fn new(format: Format, payload: &'p [u8], first_lsn: Lsn, count: u32) -> Self {
        Self {
            format,
            payload,
            offset: 0,
            first_lsn,
            count,
            decoded: 0,
            request_ids: RequestIds::default(),
            context: None,
        }
    }

    /// The next record, or `None` after the last.
    ///
    /// `names` are those of the state after all earlier records were applied. `outcomes` is
    /// overwritten when the record is a draw, which borrows it.
    ///
    /// In a loop over many single draws, match `Ok(Some(ref record))` directly on the call: to move
    /// a record takes longer than to decode it.
    ///
    /// # Errors
    /// When the payload is anything else than what the encoder writes for `count` records that fit
    /// the names. The decoder stays where it was, so it gives the same error again.
    #[inline]
    pub fn next<'o>(
        &mut self,
        names: &Names,
        outcomes: &'o mut Vec<Outcome>,
    ) -> Result<Option<Record<'o>>, FormatError> {
        let mut cursor = Cursor::new(self.payload, self.offset);
        if self.decoded == self.count {
            cursor.expect_end()?;
            return Ok(None);
        }
        if self.format == Format::Binary
            && let (Some(context), Some(first_request_id)) = (&self.context, self.request_ids.next)
            && let Some((outcome, mode)) = binary::decode_single(&mut cursor, context, names)
            && let Some(after) = self.request_ids.after(first_request_id, 1)
        {
            self.request_ids = after;
            self.offset = cursor.offset();
            self.decoded += 1;
            outcomes.clear();
            outcomes.push(outcome);
            let (pool, catalog_version) = (context.pool, context.catalog_version);
            return Ok(Some(Record::Draw(DrawRecord {
                pool,
                catalog_version,
                first_request_id,
                outcomes,
                mode,
                key: None,
            })));
        }
        self.next_record(names, outcomes)
    }

    /// The next records as long as they are best-effort draws of one prize without a key from the
    /// same pool, at most so many; empty when the next record is another, or wrong:
    /// [`Decoder::next`] tells then. `names` and `outcomes` as there.
    ///
    /// Most records of a busy log are such draws, and to decode and check them together takes a
    /// third of the time.
    pub fn next_singles<'o>(
        &mut self,
        names: &Names,
        outcomes: &'o mut Vec<Outcome>,
        most: usize,
    ) -> Option<SingleDraws<'o>> {
        let (Format::Binary, Some(context)) = (self.format, &self.context) else { return None };
        let first_request_id = self.request_ids.next?;
        let (mut cursor, mut offset) = (Cursor::new(self.payload, self.offset), self.offset);
        let left = usize::try_from(self.count - self.decoded).unwrap_or(usize::MAX);
        outcomes.clear();
        while outcomes.len() < most.min(left)
            && let Some((outcome, DrawMode::BestEffort)) =
                binary::decode_single(&mut cursor, context, names)
        {
            outcomes.push(outcome);
            offset = cursor.offset();
        }
        let count = u32::try_from(outcomes.len()).ok().filter(|count| *count > 0)?;
        // When the ids end, the decoding of one record tells.
        self.request_ids = self.request_ids.after(first_request_id, outcomes.len())?;
        self.offset = offset;
        self.decoded += count;
        let (pool, catalog_version) = (context.pool, context.catalog_version);
        Some(SingleDraws { pool, catalog_version, first_request_id, outcomes })
    }

    #[inline(never)]
    fn next_record<'o>(
        &mut self,
        names: &Names,
        outcomes: &'o mut Vec<Outcome>,
    ) -> Result<Option<Record<'o>>, FormatError> {
        let mut cursor = Cursor::new(self.payload, self.offset);
        if cursor.is_at_end() {
            let (expected, found) = (self.count, self.decoded);
            return Err(cursor.fault(FormatFault::MissingRecords { expected, found }));
        }
        let mut context = self.context;
        let record = match self.format {
            Format::Binary => {
                let next_id = self.request_ids.next;
                binary::decode(&mut cursor, &mut context, next_id, names, outcomes)?
            }
            Format::Json | Format::StringLine => self.next_text(&mut cursor, names, outcomes)?,
        };
        if let Record::Draw(draw) = &record {
            let after = self.request_ids.after(draw.first_request_id, draw.outcomes.len());
            self.request_ids = after.ok_or_else(|| self.request_id_fault(draw))?;
        }
        self.context = context;
        self.offset = cursor.offset();
        self.decoded += 1;
        Ok(Some(record))
    }

    fn next_text<'o>(
        &self,
        cursor: &mut Cursor<'p>,
        names: &Names,
        outcomes: &'o mut Vec<Outcome>,
    ) -> Result<Record<'o>, FormatError> {
        let lsn = lsn_at(self.first_lsn, self.decoded);
        let lsn = lsn.ok_or_else(|| cursor.fault(FormatFault::LsnRange))?;
        match self.format {
            Format::StringLine => string_line::decode(cursor, lsn, names, outcomes),
            Format::Json | Format::Binary => json::decode(cursor, lsn, names, outcomes),
        }
    }

    #[cold]
    fn request_id_fault(&self, draw: &DrawRecord<'_>) -> FormatError {
        let found = draw.first_request_id.number();
        let fault = match self.request_ids.next.map(RequestId::number) {
            Some(expected) if expected != found => FormatFault::RequestId { expected, found },
            _ => FormatFault::RequestIdRange,
        };
        FormatError { offset: self.offset, fault }
    }
}

/// Appends one record as a JSON line, whatever the format of the log: the line of the `json` format.
///
/// # Panics
/// When `names` does not know a pool or an item of the record.
pub fn json_line(lsn: Lsn, record: &Record<'_>, names: &Names, out: &mut Vec<u8>) {
    json::encode(lsn, record, names, out);
}

/// The position of a batch's record with this index, if there is one.
fn lsn_at(first: Lsn, index: u32) -> Option<Lsn> {
    first.number().checked_add(u64::from(index)).and_then(Lsn::new)
}
