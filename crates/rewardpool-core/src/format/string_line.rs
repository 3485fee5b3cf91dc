//! One line of comma-separated fields a record, for people and line tools.
//!
//! The type comes first, then the position, then the fields in the order of the `json` format. The
//! elements of a list are separated by `;`, and an item of a catalogue is three of them: name,
//! weight, quantity. A lone `-` stands for a field without a value and for an empty outcome.
//! In texts `%`, `,`, `;`, control characters and a `-` at the beginning are written as `%` with
//! two upper-case hexadecimal digits, so that no text looks like anything else.
use std::borrow::Cow;

use super::cursor::Cursor;
use super::text::{
    FieldReader, FieldWriter, Sizes, hex_digit, item_of, put_hex, put_signed, put_unsigned,
    read_record, take_hex, take_kind, take_signed, take_unsigned, write_record,
};
use super::{FormatError, FormatFault};
use crate::catalog::CatalogItem;
use crate::ids::{Lsn, Outcome};
use crate::limits::NAME_BYTES_MAX;
use crate::names::{ItemNames, Names};
use crate::record::Record;

const SIZES: Sizes = Sizes { record: 256, draw: 160, item: 48, quotes: 1, growth: 3, empty: 2 };

pub(super) fn draw_bytes_max(pool: usize, item_max: usize, count: usize) -> usize {
    SIZES.draw_bytes_max(pool, item_max, count)
}

pub(super) fn record_bytes_max(record: &Record<'_>) -> usize {
    SIZES.record_bytes_max(record, NAME_BYTES_MAX)
}

pub(super) fn encode(lsn: Lsn, record: &Record<'_>, names: &Names, out: &mut Vec<u8>) {
    write_record(lsn, record, names, &mut Writer { out });
}

pub(super) fn decode<'o>(
    cursor: &mut Cursor<'_>,
    lsn: Lsn,
    names: &Names,
    outcomes: &'o mut Vec<Outcome>,
) -> Result<Record<'o>, FormatError> {
    read_record(lsn, names, outcomes, &mut Reader { cursor })
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn escaped(&mut self, text: &str) {
        for (place, &byte) in text.as_bytes().iter().enumerate() {
            if is_escaped(byte, place == 0) {
                let digits = [byte >> 4, byte & 0x0f].map(|nibble| hex_digit(nibble, b'A'));
                self.out.push(b'%');
                self.out.extend_from_slice(&digits);
            } else {
                self.out.push(byte);
            }
        }
    }
}

fn is_escaped(byte: u8, is_first: bool) -> bool {
    matches!(byte, b'%' | b',' | b';') || byte.is_ascii_control() || (is_first && byte == b'-')
}

impl FieldWriter for Writer<'_> {
    fn start(&mut self, lsn: Lsn, kind: &str) {
        self.out.extend_from_slice(kind.as_bytes());
        self.unsigned("lsn", lsn.number());
    }

    fn text(&mut self, _field: &str, text: &str) {
        self.out.push(b',');
        self.escaped(text);
    }

    fn unsigned(&mut self, _field: &str, number: u64) {
        self.out.push(b',');
        put_unsigned(self.out, number);
    }

    fn signed(&mut self, _field: &str, number: i64) {
        self.out.push(b',');
        put_signed(self.out, number);
    }

    fn hex(&mut self, _field: &str, bytes: &[u8]) {
        self.out.push(b',');
        put_hex(self.out, bytes);
    }

    fn absent(&mut self) {
        self.out.extend_from_slice(b",-");
    }

    fn outcomes(&mut self, _field: &str, names: &ItemNames, outcomes: &[Outcome]) {
        let mut separator = b',';
        for outcome in outcomes {
            self.out.push(separator);
            match outcome.item() {
                Some(item) => self.escaped(item_of(names, item).as_str()),
                None => self.out.push(b'-'),
            }
            separator = b';';
        }
    }

    fn items(&mut self, _field: &str, items: &[CatalogItem]) {
        let mut separator = b',';
        for item in items {
            self.out.push(separator);
            self.escaped(item.id.as_str());
            self.out.push(b';');
            put_unsigned(self.out, item.weight);
            self.out.push(b';');
            put_signed(self.out, item.quantity.to_number());
            separator = b';';
        }
    }

    fn end(&mut self) {
        self.out.push(b'\n');
    }
}

struct Reader<'c, 'p> {
    cursor: &'c mut Cursor<'p>,
}

impl Reader<'_, '_> {
    fn separator(&mut self) -> Result<(), FormatError> {
        self.cursor.expect(b";", FormatFault::Escape)
    }

    /// Takes a `-` that is a whole field or element.
    fn dash(&mut self) -> bool {
        let found = matches!(self.cursor.rest(), [b'-', b',' | b';' | b'\n', ..]);
        found && self.cursor.eat(b"-")
    }
}

/// A text whose escapes are those that the writer needs, no more and no fewer; `None` for others.
fn unescape(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !bytes.contains(&b'%') {
        let mut places = bytes.iter().enumerate();
        let is_plain = places.all(|(place, &byte)| !is_escaped(byte, place == 0));
        return is_plain.then_some(Cow::Borrowed(bytes));
    }
    let mut text = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let &[byte, ref after @ ..] = rest {
        let is_first = text.is_empty();
        if byte == b'%' {
            let &[high, low, ref after @ ..] = after else { return None };
            let byte = hex_value(high)? << 4 | hex_value(low)?;
            text.push(Some(byte).filter(|&byte| is_escaped(byte, is_first))?);
            rest = after;
        } else {
            text.push(Some(byte).filter(|&byte| !is_escaped(byte, is_first))?);
            rest = after;
        }
    }
    Some(Cow::Owned(text))
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl<'p> FieldReader<'p> for Reader<'_, 'p> {
    fn cursor(&mut self) -> &mut Cursor<'p> {
        self.cursor
    }

    fn start(&mut self) -> Result<(u64, &'p [u8]), FormatError> {
        let kind = take_kind(self.cursor);
        self.field("lsn")?;
        Ok((take_unsigned(self.cursor)?, kind))
    }

    fn field(&mut self, field: &'static str) -> Result<(), FormatError> {
        self.cursor.expect(b",", FormatFault::MissingField { field })
    }

    fn optional_field(&mut self, field: &'static str) -> Result<bool, FormatError> {
        self.field(field)?;
        Ok(!self.dash())
    }

    fn text(&mut self) -> Result<Cow<'p, str>, FormatError> {
        let start = *self.cursor;
        let bytes = self.cursor.take_while(|byte| !matches!(byte, b',' | b';' | b'\n'));
        let text = match unescape(bytes) {
            Some(Cow::Borrowed(bytes)) => str::from_utf8(bytes).map(Cow::Borrowed).ok(),
            Some(Cow::Owned(bytes)) => String::from_utf8(bytes).map(Cow::Owned).ok(),
            None => return Err(start.fault(FormatFault::Escape)),
        };
        text.ok_or_else(|| start.fault(FormatFault::Utf8))
    }

    fn hex<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        take_hex(self.cursor)
    }

    fn open_list(&mut self, field: &'static str) -> Result<(), FormatError> {
        self.field(field)
    }

    fn more_elements(&mut self) -> Result<bool, FormatError> {
        Ok(self.cursor.eat(b";"))
    }

    fn outcome(&mut self) -> Result<Option<Cow<'p, str>>, FormatError> {
        if self.dash() { Ok(None) } else { self.text().map(Some) }
    }

    fn item(&mut self) -> Result<(Cow<'p, str>, u64, i64), FormatError> {
        let name = self.text()?;
        self.separator()?;
        let weight = take_unsigned(self.cursor)?;
        self.separator()?;
        Ok((name, weight, take_signed(self.cursor)?))
    }

    fn end(&mut self) -> Result<(), FormatError> {
        self.cursor.expect(b"\n", FormatFault::ExtraField)
    }
}
