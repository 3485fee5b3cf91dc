//! A place in a payload. Every read is checked; nothing panics, whatever the bytes.
use super::{FormatError, FormatFault};

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'p> {
    bytes: &'p [u8],
    /// Invariant: at most the length of `bytes`.
    offset: usize,
}

impl<'p> Cursor<'p> {
    pub(super) fn new(bytes: &'p [u8], offset: usize) -> Self {
        assert!(offset <= bytes.len(), "a cursor stands within its payload");
        Self { bytes, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn rest(&self) -> &'p [u8] {
        self.bytes.get(self.offset..).unwrap_or_default()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.offset == self.bytes.len()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.offset).copied()
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, FormatError> {
        let Some(byte) = self.peek() else { return Err(self.fault(FormatFault::Truncated)) };
        self.offset += 1;
        Ok(byte)
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'p [u8], FormatError> {
        let Some(bytes) = self.rest().get(..length) else {
            return Err(self.fault(FormatFault::Truncated));
        };
        self.offset += length;
        Ok(bytes)
    }

    /// Leaves out bytes that were seen in [`Cursor::rest`].
    #[inline]
    pub(super) fn skip(&mut self, length: usize) {
        self.offset += length;
        assert!(self.offset <= self.bytes.len(), "a cursor stays within its payload");
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some(bytes) = self.rest().first_chunk() else {
            return Err(self.fault(FormatFault::Truncated));
        };
        self.offset += N;
        Ok(*bytes)
    }

    /// Takes these bytes if they are the next ones.
    pub(super) fn eat(&mut self, bytes: &[u8]) -> bool {
        let found = self.rest().starts_with(bytes);
        if found {
            self.offset += bytes.len();
        }
        found
    }

    /// Takes these bytes, which must be the next ones.
    pub(super) fn expect(&mut self, bytes: &[u8], fault: FormatFault) -> Result<(), FormatError> {
        if self.eat(bytes) { Ok(()) } else { Err(self.fault(fault)) }
    }

    /// Takes the bytes before the first that is refused or the end.
    pub(super) fn take_while(&mut self, accepted: impl Fn(u8) -> bool) -> &'p [u8] {
        let rest = self.rest();
        let length = rest.iter().position(|&byte| !accepted(byte)).unwrap_or(rest.len());
        self.offset += length;
        rest.get(..length).unwrap_or_default()
    }

    pub(super) fn expect_end(&self) -> Result<(), FormatError> {
        match self.rest().len() {
            0 => Ok(()),
            bytes => Err(self.fault(FormatFault::TrailingBytes { bytes })),
        }
    }

    /// An error at this place.
    #[cold]
    pub(super) fn fault(&self, fault: FormatFault) -> FormatError {
        FormatError { offset: self.offset, fault }
    }
}
