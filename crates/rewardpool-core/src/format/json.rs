//! One JSON object a line, for people and other programs.
//!
//! Fields stand in a fixed order, without white space; a field without a value is left out; an
//! empty outcome is `null`. Only `"` and `\` are escaped, because names and notes have no control
//! characters. Numbers may exceed 2^53, so they need a reader with 64-bit integers.
use std::borrow::Cow;

use super::cursor::Cursor;
use super::text::{
    FieldReader, FieldWriter, Sizes, item_of, put_hex, put_signed, put_unsigned, read_record,
    take_hex, take_kind, take_signed, take_unsigned, write_record,
};
use super::{FormatError, FormatFault};
use crate::catalog::CatalogItem;
use crate::ids::{Lsn, Outcome};
use crate::limits::NAME_BYTES_MAX;
use crate::names::{ItemNames, Names};
use crate::record::Record;

const SIZES: Sizes = Sizes { record: 512, draw: 256, item: 80, quotes: 3, growth: 2, empty: 5 };

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
    fn field(&mut self, field: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(field.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn string(&mut self, text: &str) {
        debug_assert!(!text.chars().any(char::is_control), "texts have no control characters");
        self.out.push(b'"');
        let mut rest = text.as_bytes();
        while let Some(place) = rest.iter().position(|&byte| is_escaped(byte)) {
            let (plain, escaped) = rest.split_at(place);
            self.out.extend_from_slice(plain);
            self.out.push(b'\\');
            self.out.extend_from_slice(&escaped[..1]);
            rest = &escaped[1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
    }
}

fn is_escaped(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

impl FieldWriter for Writer<'_> {
    fn start(&mut self, lsn: Lsn, kind: &str) {
        self.out.push(b'{');
        self.unsigned("lsn", lsn.number());
        self.text("type", kind);
    }

    fn text(&mut self, field: &str, text: &str) {
        self.field(field);
        self.string(text);
    }

    fn unsigned(&mut self, field: &str, number: u64) {
        self.field(field);
        put_unsigned(self.out, number);
    }

    fn signed(&mut self, field: &str, number: i64) {
        self.field(field);
        put_signed(self.out, number);
    }

    fn hex(&mut self, field: &str, bytes: &[u8]) {
        self.field(field);
        self.out.push(b'"');
        put_hex(self.out, bytes);
        self.out.push(b'"');
    }

    fn absent(&mut self) {}

    fn outcomes(&mut self, field: &str, names: &ItemNames, outcomes: &[Outcome]) {
        self.field(field);
        let mut separator = b'[';
        for outcome in outcomes {
            self.out.push(separator);
            match outcome.item() {
                Some(item) => self.string(item_of(names, item).as_str()),
                None => self.out.extend_from_slice(b"null"),
            }
            separator = b',';
        }
        self.out.push(b']');
    }

    fn items(&mut self, field: &str, items: &[CatalogItem]) {
        self.field(field);
        let mut separator = b'[';
        for item in items {
            self.out.extend_from_slice(&[separator, b'{']);
            self.text("item", item.id.as_str());
            self.unsigned("weight", item.weight);
            self.signed("quantity", item.quantity.to_number());
            self.out.push(b'}');
            separator = b',';
        }
        self.out.push(b']');
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"}\n");
    }
}

struct Reader<'c, 'p> {
    cursor: &'c mut Cursor<'p>,
}

impl<'p> Reader<'_, 'p> {
    /// Whether the next bytes are `"field":`, which are taken then.
    fn name(&mut self, field: &str) -> bool {
        let mut ahead = *self.cursor;
        let found = ahead.eat(b"\"") && ahead.eat(field.as_bytes()) && ahead.eat(b"\":");
        if found {
            *self.cursor = ahead;
        }
        found
    }

    fn first_field(&mut self, field: &'static str) -> Result<(), FormatError> {
        if self.cursor.eat(b"{") && self.name(field) {
            return Ok(());
        }
        Err(self.cursor.fault(FormatFault::MissingField { field }))
    }

    fn quote(&mut self) -> Result<(), FormatError> {
        self.cursor.expect(b"\"", FormatFault::Escape)
    }

    fn plain(&mut self) -> Result<&'p str, FormatError> {
        let start = *self.cursor;
        let bytes = self.cursor.take_while(|byte| !is_escaped(byte));
        str::from_utf8(bytes).map_err(|_| start.fault(FormatFault::Utf8))
    }

    /// The rest of a text, from its first escape on.
    fn escaped(&mut self, plain: &'p str) -> Result<Cow<'p, str>, FormatError> {
        let mut text = plain.to_owned();
        while self.cursor.eat(b"\\") {
            match self.cursor.byte()? {
                byte if is_escaped(byte) => text.push(char::from(byte)),
                _ => return Err(self.cursor.fault(FormatFault::Escape)),
            }
            text.push_str(self.plain()?);
        }
        Ok(Cow::Owned(text))
    }
}

impl<'p> FieldReader<'p> for Reader<'_, 'p> {
    fn cursor(&mut self) -> &mut Cursor<'p> {
        self.cursor
    }

    fn start(&mut self) -> Result<(u64, &'p [u8]), FormatError> {
        self.first_field("lsn")?;
        let lsn = take_unsigned(self.cursor)?;
        self.field("type")?;
        self.quote()?;
        let kind = take_kind(self.cursor);
        self.quote()?;
        Ok((lsn, kind))
    }

    fn field(&mut self, field: &'static str) -> Result<(), FormatError> {
        if self.optional_field(field)? {
            return Ok(());
        }
        Err(self.cursor.fault(FormatFault::MissingField { field }))
    }

    fn optional_field(&mut self, field: &'static str) -> Result<bool, FormatError> {
        let start = *self.cursor;
        let found = self.cursor.eat(b",") && self.name(field);
        if !found {
            *self.cursor = start;
        }
        Ok(found)
    }

    fn text(&mut self) -> Result<Cow<'p, str>, FormatError> {
        self.quote()?;
        let plain = self.plain()?;
        let text = match self.cursor.peek() {
            Some(b'\\') => self.escaped(plain)?,
            _ => Cow::Borrowed(plain),
        };
        self.quote()?;
        Ok(text)
    }

    fn hex<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        self.quote()?;
        let bytes = take_hex(self.cursor)?;
        self.quote()?;
        Ok(bytes)
    }

    fn open_list(&mut self, field: &'static str) -> Result<(), FormatError> {
        self.field(field)?;
        self.cursor.expect(b"[", FormatFault::MissingField { field })
    }

    fn more_elements(&mut self) -> Result<bool, FormatError> {
        if self.cursor.eat(b",") {
            return Ok(true);
        }
        self.cursor.expect(b"]", FormatFault::ExtraField)?;
        Ok(false)
    }

    fn outcome(&mut self) -> Result<Option<Cow<'p, str>>, FormatError> {
        if self.cursor.eat(b"null") { Ok(None) } else { self.text().map(Some) }
    }

    fn item(&mut self) -> Result<(Cow<'p, str>, u64, i64), FormatError> {
        self.first_field("item")?;
        let name = self.text()?;
        self.field("weight")?;
        let weight = take_unsigned(self.cursor)?;
        self.field("quantity")?;
        let quantity = take_signed(self.cursor)?;
        self.cursor.expect(b"}", FormatFault::ExtraField)?;
        Ok((name, weight, quantity))
    }

    fn end(&mut self) -> Result<(), FormatError> {
        self.cursor.expect(b"}\n", FormatFault::ExtraField)
    }
}
