//! Writes the answers to draws, straight from outcomes to the bytes of the message.
//!
//! An answer names each item once, in the order in which they come first, and has one small number
//! for each draw: 0, or the place of its item among the names, starting at 1.
use std::cell::RefCell;
use std::collections::HashMap;

use prost::bytes::{BufMut as _, Bytes, BytesMut};
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use rewardpool_core::ids::{ItemIndex, Outcome};
use rewardpool_core::names::ItemNames;
use rewardpool_engine::{DrawAnswer, Reply};
use rewardpool_proto::encoded::Encoded;
use rewardpool_proto::{seed, v1};

/// Larger catalogues have no table of all their items: one of this size takes a megabyte.
const TABLE_ITEMS_MAX: usize = 1 << 17;
/// Numbers below this take one byte.
const ONE_BYTE: usize = 128;
/// Answers are written into buffers of this size, one after another.
const BUFFER_BYTES: usize = 16 << 10;

/// What the error of an empty draw says to clients of the first service.
pub(crate) const EMPTY: &str = "reward pool is empty";

thread_local! {
    /// The network runs on one thread, so all its streams share this.
    static WRITER: RefCell<AnswerWriter> = RefCell::default();
}

/// The answer to a draw.
pub(super) fn draw_response(reply: &Reply, draw: &DrawAnswer) -> Encoded<v1::DrawResponse> {
    WRITER.with_borrow_mut(|writer| Encoded::new(writer.draw_response(&Answered::of(reply, draw))))
}

/// The answer to a draw of a stream.
pub(super) fn stream_response(reply: &Reply, draw: &DrawAnswer) -> Encoded<v1::DrawStreamResponse> {
    let answered = Answered::of(reply, draw);
    WRITER.with_borrow_mut(|writer| Encoded::new(writer.stream_response(&answered)))
}

/// The answer about one of the draws to a client of the first service.
pub(super) fn seed_response(
    reply: &Reply,
    draw: &DrawAnswer,
    place: usize,
) -> Encoded<seed::DrawResponse> {
    let answered = Answered::of(reply, draw);
    WRITER.with_borrow_mut(|writer| Encoded::new(writer.seed_response(&answered, place)))
}

/// What an answer tells.
struct Answered<'a> {
    first_request_id: u64,
    outcomes: &'a [Outcome],
    names: &'a ItemNames,
    replayed: bool,
}

impl<'a> Answered<'a> {
    fn of(reply: &'a Reply, draw: &DrawAnswer) -> Self {
        Self {
            first_request_id: draw.first_request_id.number(),
            outcomes: reply.outcomes(draw),
            names: reply.names(draw),
            replayed: draw.replayed,
        }
    }

    fn name(&self, item: ItemIndex) -> &'a str {
        self.names.get(item).expect("an awarded item has a name").as_str()
    }
}

/// Buffers that are used again for each answer.
#[derive(Default)]
struct AnswerWriter {
    dictionary: Dictionary,
    buffer: BytesMut,
}

impl AnswerWriter {
    fn draw_response(&mut self, answered: &Answered<'_>) -> Bytes {
        let sizes = self.measure(answered);
        self.reserve(sizes.message);
        self.put(answered, &sizes);
        self.buffer.split().freeze()
    }

    fn stream_response(&mut self, answered: &Answered<'_>) -> Bytes {
        let sizes = self.measure(answered);
        self.reserve(field_bytes(sizes.message));
        put_head(1, sizes.message, &mut self.buffer);
        self.put(answered, &sizes);
        self.buffer.split().freeze()
    }

    fn seed_response(&mut self, answered: &Answered<'_>, place: usize) -> Bytes {
        let item = answered.outcomes[place].item();
        let (field, text) = item.map_or((3, EMPTY), |item| (2, answered.name(item)));
        let request_id = answered.first_request_id + place as u64;
        self.reserve(1 + encoded_len_varint(request_id) + field_bytes(text.len()));
        put_number(1, request_id, &mut self.buffer);
        put_head(field, text.len(), &mut self.buffer);
        self.buffer.put_slice(text.as_bytes());
        self.buffer.split().freeze()
    }

    /// Makes room, so that the answer is in one piece.
    fn reserve(&mut self, bytes: usize) {
        if self.buffer.capacity() < bytes {
            self.buffer.reserve(bytes.max(BUFFER_BYTES));
        }
    }

    /// Looks up the items, and works out how long the parts of the answer are.
    fn measure(&mut self, answered: &Answered<'_>) -> Sizes {
        self.dictionary.look_up(answered.outcomes, answered.names.len());
        let Dictionary { items, places, .. } = &self.dictionary;
        let names = items.iter().map(|&item| field_bytes(answered.name(item).len()));
        let outcomes = if items.len() < ONE_BYTE {
            places.len()
        } else {
            places.iter().map(|&place| encoded_len_varint(place.into())).sum()
        };
        let message = 1
            + encoded_len_varint(answered.first_request_id)
            + names.sum::<usize>()
            + if outcomes > 0 { field_bytes(outcomes) } else { 0 }
            + if answered.replayed { 2 } else { 0 };
        Sizes { message, outcomes }
    }

    fn put(&mut self, answered: &Answered<'_>, sizes: &Sizes) {
        let Self { dictionary, buffer } = self;
        let before = buffer.len();
        put_number(1, answered.first_request_id, buffer);
        for &item in &dictionary.items {
            let name = answered.name(item);
            put_head(2, name.len(), buffer);
            buffer.put_slice(name.as_bytes());
        }
        if sizes.outcomes > 0 {
            put_head(3, sizes.outcomes, buffer);
            dictionary.put_places(buffer);
        }
        if answered.replayed {
            put_number(4, 1, buffer);
        }
        assert_eq!(buffer.len() - before, sizes.message, "the length was told before");
    }
}

/// Bytes of the parts of an answer.
struct Sizes {
    message: usize,
    outcomes: usize,
}

/// Bytes of a field of such a length, with its key and its length. The number of the field is below
/// 16.
fn field_bytes(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

fn put_head(field: u32, length: usize, buffer: &mut BytesMut) {
    encode_key(field, WireType::LengthDelimited, buffer);
    encode_varint(length as u64, buffer);
}

fn put_number(field: u32, number: u64, buffer: &mut BytesMut) {
    encode_key(field, WireType::Varint, buffer);
    encode_varint(number, buffer);
}

/// The distinct items of an answer.
#[derive(Default)]
struct Dictionary {
    /// In the order in which they come first.
    items: Vec<ItemIndex>,
    /// For each draw 0, or the place of its item among the items, starting at 1.
    places: Vec<u32>,
    /// The place of each item of the catalogue, and the answer in which it has that place.
    table: Vec<(u32, u32)>,
    /// The answer that is written.
    answer: u32,
    /// The same for a catalogue that is too large for the table.
    sparse: HashMap<ItemIndex, u32>,
}

impl Dictionary {
    fn look_up(&mut self, outcomes: &[Outcome], catalog_items: usize) {
        self.items.clear();
        self.places.clear();
        self.places.reserve(outcomes.len());
        if catalog_items > TABLE_ITEMS_MAX {
            return self.look_up_sparse(outcomes);
        }
        if self.table.len() < catalog_items {
            self.table.resize(catalog_items, (0, 0));
        }
        self.answer = self.answer.wrapping_add(1);
        if self.answer == 0 {
            self.table.fill((0, 0));
            self.answer = 1;
        }
        for outcome in outcomes {
            let Some(item) = outcome.item() else {
                self.places.push(0);
                continue;
            };
            let (place, answer) = &mut self.table[item.as_usize()];
            if *answer != self.answer {
                self.items.push(item);
                (*place, *answer) = (number(self.items.len()), self.answer);
            }
            self.places.push(*place);
        }
    }

    fn look_up_sparse(&mut self, outcomes: &[Outcome]) {
        self.sparse.clear();
        for outcome in outcomes {
            let place = outcome.item().map_or(0, |item| {
                *self.sparse.entry(item).or_insert_with(|| {
                    self.items.push(item);
                    number(self.items.len())
                })
            });
            self.places.push(place);
        }
    }

    fn put_places(&self, buffer: &mut BytesMut) {
        if self.items.len() < ONE_BYTE {
            let byte = |&place: &u32| u8::try_from(place).expect("there are few items");
            return buffer.extend(self.places.iter().map(byte));
        }
        for &place in &self.places {
            encode_varint(place.into(), buffer);
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("an answer has at most 10 000 items")
}

#[cfg(test)]
mod tests;
