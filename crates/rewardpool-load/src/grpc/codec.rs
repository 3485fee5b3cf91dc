//! Requests and answers as bytes, made and read without an allocation for each.
//!
//! The load shares the CPUs with the service that it measures, so it must be cheap. All requests of
//! a run are the same but for their key, and of an answer only the counts matter: both are bytes
//! that need no message in between. Tests compare both with the generated code.
use std::sync::Arc;

use prost::Message as _;
use prost::bytes::{Buf, BufMut};
use rewardpool_proto::{seed, v1};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::Method;

/// Field 4 of a request, length-delimited: the key.
const KEY_TAG: u8 = 4 << 3 | 2;
/// Digits that tell the keys of a run apart.
const SERIAL_DIGITS: usize = 16;

/// One request: the number that makes its key, if it has one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ask(pub(super) Option<u64>);

/// What an answer holds, as far as it is counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Told {
    pub(super) draws: u32,
    pub(super) empties: u32,
    /// The reason code, when the request was refused.
    pub(super) refusal: Option<Box<str>>,
}

/// The codec of one run; its parts are cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct LoadCodec {
    method: Method,
    /// A request without its key.
    request: Arc<[u8]>,
    /// What all keys begin with.
    key_prefix: Arc<[u8]>,
}

impl LoadCodec {
    pub(super) fn new(method: Method, pool: &str, count: u16, key_prefix: &str) -> Self {
        let count = count.into();
        let request = match method {
            Method::Seed => seed::DrawRequest { count }.encode_to_vec(),
            Method::Unary | Method::Stream => {
                v1::DrawRequest { pool: pool.to_owned(), count, ..Default::default() }
                    .encode_to_vec()
            }
        };
        assert!(key_prefix.len() + SERIAL_DIGITS <= 64, "a key has at most 64 bytes");
        Self { method, request: request.into(), key_prefix: key_prefix.as_bytes().into() }
    }
}

impl Codec for LoadCodec {
    type Encode = Ask;
    type Decode = Told;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        self.clone()
    }

    fn decoder(&mut self) -> Self {
        self.clone()
    }
}

impl Encoder for LoadCodec {
    type Item = Ask;
    type Error = Status;

    fn encode(&mut self, Ask(serial): Ask, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        self.put(serial, to);
        Ok(())
    }
}

impl LoadCodec {
    fn put(&self, serial: Option<u64>, to: &mut impl BufMut) {
        to.put_slice(&self.request);
        let Some(serial) = serial else { return };
        to.put_u8(KEY_TAG);
        let length = self.key_prefix.len() + SERIAL_DIGITS;
        to.put_u8(u8::try_from(length).expect("a key has at most 64 bytes"));
        to.put_slice(&self.key_prefix);
        to.put_slice(&digits(serial));
    }
}

/// The number in hexadecimal, with all its zeros.
fn digits(mut number: u64) -> [u8; SERIAL_DIGITS] {
    let mut digits = [b'0'; SERIAL_DIGITS];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(number % 16).expect("below 16");
        *digit = b"0123456789abcdef"[index];
        number /= 16;
    }
    digits
}

impl Decoder for LoadCodec {
    type Item = Told;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Told>, Status> {
        // A message lies in one piece in the buffer of the connection.
        let bytes = from.chunk();
        let length = bytes.len();
        let told = read(self.method, bytes);
        from.advance(length);
        told.map(Some).ok_or_else(|| Status::internal("an answer cannot be read"))
    }
}

/// Reads an answer of the method; `None` when it is not one.
fn read(method: Method, bytes: &[u8]) -> Option<Told> {
    match method {
        Method::Unary => read_draw(bytes),
        Method::Stream => {
            let mut told = None;
            for field in Fields(bytes) {
                told = match field? {
                    (1, Value::Bytes(draw)) => Some(read_draw(draw)?),
                    (2, Value::Bytes(refusal)) => Some(read_refusal(refusal)?),
                    _ => told,
                };
            }
            told
        }
        Method::Seed => read_seed(bytes),
    }
}

fn read_draw(bytes: &[u8]) -> Option<Told> {
    let mut told = Told::default();
    for field in Fields(bytes) {
        if let (3, Value::Bytes(outcomes)) = field? {
            // Each outcome ends with its only byte below 128, and 0 is its only byte.
            let count = |is: fn(&u8) -> bool| outcomes.iter().filter(|byte| is(byte)).count();
            told.draws += u32::try_from(count(|&byte| byte < 0x80)).ok()?;
            told.empties += u32::try_from(count(|&byte| byte == 0)).ok()?;
        }
    }
    Some(told)
}

fn read_refusal(bytes: &[u8]) -> Option<Told> {
    let mut reason = "";
    for field in Fields(bytes) {
        if let (2, Value::Bytes(text)) = field? {
            reason = str::from_utf8(text).ok()?;
        }
    }
    Some(Told { refusal: Some(reason.into()), ..Told::default() })
}

fn read_seed(bytes: &[u8]) -> Option<Told> {
    let (mut is_draw, mut has_item, mut error) = (false, false, "");
    for field in Fields(bytes) {
        match field? {
            (1, Value::Number(request_id)) => is_draw = request_id > 0,
            (2, Value::Bytes(item)) => has_item = !item.is_empty(),
            (3, Value::Bytes(text)) => error = str::from_utf8(text).ok()?,
            _ => {}
        }
    }
    if !is_draw {
        return Some(Told { refusal: Some(error.into()), ..Told::default() });
    }
    Some(Told { draws: 1, empties: u32::from(!has_item), refusal: None })
}

/// The value of a field.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message. Gives `None` once, as its last item, when the bytes are no message.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Option<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_none() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.number()?;
        let value = match tag & 7 {
            0 => Value::Number(self.number()?),
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            // No answer has fields of a fixed width.
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for place in 0..10 {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
