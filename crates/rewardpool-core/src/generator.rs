//! Randomness as a pure function of a pool's secret and the request id.
//!
//! The 64-bit word of request k is at 32-bit-word position 2k of the `ChaCha20` key stream: key =
//! the secret, 64-bit block counter, 64-bit stream number (nonce) 0, little-endian. When a word is
//! rejected for the sake of exact odds, the word at the same position of the next stream takes its
//! place. So there is no state to save, a crash cannot roll again, and any draw can be recomputed
//! alone.
//!
//! A log that was restored to an earlier position gives the request ids behind it once more. Their
//! outcomes are known to those who were told of them, so from there on the words come from a stream
//! that nobody has seen: see [`StreamStart`].
//!
//! Drawn in the order of the ids, a word costs a lookup: the key stream is made for an aligned
//! window of ids at a time, a long one while the ids go on without a gap and a short one where they
//! jump, as they do when several pools are drawn from in turn.

use std::fmt;

use chacha20::cipher::{Block, KeyIvInit as _, StreamCipherCore as _};
use chacha20::{ChaCha20LegacyCore, ChaCha20Rng};
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::ids::RequestId;

/// Ids whose words are in one block of the key stream.
const BLOCK_IDS: u64 = 8;
/// Blocks of a long window: what the widest vector instructions make in one go.
const LONG_BLOCKS: usize = 16;
/// Blocks of a short window.
const SHORT_BLOCKS: usize = 4;
/// Ids of a long window.
const LONG_WINDOW: usize = 8 * LONG_BLOCKS;

/// From a request id on, the words come from this stream, and from those after it when one is
/// rejected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamStart {
    /// The first request whose word is in this stream.
    pub first_request: RequestId,
    /// The stream, with room for the next ones: see [`StreamStart::new`].
    pub stream: u64,
}

impl StreamStart {
    /// Streams that a start has for itself. A word is rejected less than every other time.
    const STREAMS: u64 = 1 << 16;

    /// A start at a stream that is chosen by a random number. `None` for the few numbers that would
    /// choose the streams of a new log.
    pub const fn new(first_request: RequestId, random: u64) -> Option<Self> {
        let stream = random - random % Self::STREAMS;
        if stream == 0 { None } else { Some(Self { first_request, stream }) }
    }

    /// Whether it is one that [`StreamStart::new`] gives.
    pub const fn is_well_formed(&self) -> bool {
        self.stream != 0 && self.stream.is_multiple_of(Self::STREAMS)
    }
}

/// The key of a pool's randomness. Who knows it knows every outcome.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    key: [u8; 32],
    /// Rising by their first requests. Empty in a log that was never restored: then all words are in
    /// stream 0.
    starts: Vec<StreamStart>,
}

impl Secret {
    /// The secret with these bytes, which must come from the operating system's generator except
    /// in tests and simulations.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self { key: bytes, starts: Vec::new() }
    }

    /// The same secret in a log that was restored: from this start on it is all new.
    #[must_use]
    pub fn restarted(mut self, start: StreamStart) -> Self {
        assert!(start.is_well_formed(), "a start has streams of its own");
        self.starts.retain(|earlier| earlier.first_request < start.first_request);
        self.starts.push(start);
        self
    }

    /// SHA-256 of the secret: binds the pool to it without giving it away.
    pub fn commitment(&self) -> [u8; 32] {
        Sha256::digest(self.key).into()
    }

    /// The secret itself, to be stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// Where its words come from other streams than 0, rising.
    pub fn starts(&self) -> &[StreamStart] {
        &self.starts
    }

    /// The stream of a request's word.
    pub fn stream_of(&self, request: RequestId) -> u64 {
        let begun = |start: &&StreamStart| start.first_request <= request;
        self.starts.iter().rev().find(begun).map_or(0, |start| start.stream)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Gives each request its random number.
pub struct Generator {
    /// Makes the windows. The block position is set before each use.
    blocks: ChaCha20LegacyCore,
    /// Makes single words of the streams after that. The position is set before each use.
    streams: ChaCha20Rng,
    /// The stream of the windows.
    stream: u64,
    /// Invariant: the first `len` words are those of the ids from `first` on, which is a multiple
    /// of `len`, so that no window reaches beyond the last id.
    first: u64,
    len: u64,
    words: [u64; LONG_WINDOW],
}

impl Generator {
    /// A generator keyed with the secret, for requests that come: in the newest of its streams.
    pub fn new(secret: &Secret) -> Self {
        Self::in_stream(secret, secret.starts.last().map_or(0, |start| start.stream))
    }

    /// A generator for the word of this request, and of those after it up to the next start of the
    /// secret.
    pub fn of_request(secret: &Secret, request: RequestId) -> Self {
        Self::in_stream(secret, secret.stream_of(request))
    }

    fn in_stream(secret: &Secret, stream: u64) -> Self {
        let nonce = stream.to_le_bytes();
        let mut generator = Self {
            blocks: ChaCha20LegacyCore::new(&secret.key.into(), &nonce.into()),
            streams: ChaCha20Rng::from_seed(secret.key),
            stream,
            first: 0,
            len: 0,
            words: [0; LONG_WINDOW],
        };
        generator.fill(1);
        generator
    }

    /// The stream of its words.
    pub const fn stream(&self) -> u64 {
        self.stream
    }

    /// The random word of a request.
    #[inline]
    pub fn word(&mut self, request: RequestId) -> u64 {
        let number = request.number();
        if number.wrapping_sub(self.first) >= self.len {
            self.fill(number);
        }
        self.words[place_in_window(number.wrapping_sub(self.first))]
    }

    /// The random number of a request in `0..total`, each with exactly the same chance.
    ///
    /// # Panics
    /// If the total is 0.
    #[inline]
    pub fn below(&mut self, request: RequestId, total: u64) -> u64 {
        assert!(total > 0, "there is no number below 0");
        let word = self.word(request);
        // Lemire's method: the upper half of word * total is the number, and it is exact once the
        // lower half is not among the lowest 2^64 mod total.
        let (lower, upper) = word.carrying_mul(total, 0);
        let number = if lower < total { self.retry(request, total, lower, upper) } else { upper };
        debug_assert!(number < total);
        number
    }

    /// The random numbers of requests that follow each other, as [`Generator::below`] gives them.
    ///
    /// # Panics
    /// If the total is 0, or if an id is beyond the last one.
    #[inline]
    pub fn each_below(&mut self, first: RequestId, total: u64, numbers: &mut [u64]) {
        for (number, id) in numbers.iter_mut().zip(first.number()..) {
            let request = RequestId::new(id).expect("request ids start at 1");
            *number = self.below(request, total);
        }
    }

    #[cold]
    #[inline(never)]
    fn fill(&mut self, number: u64) {
        let goes_on = self.len > 0 && number == self.first.wrapping_add(self.len);
        let count = if goes_on { LONG_BLOCKS } else { SHORT_BLOCKS };
        self.len = BLOCK_IDS * count as u64;
        self.first = number - number % self.len;
        let mut blocks = [Block::<ChaCha20LegacyCore>::default(); LONG_BLOCKS];
        let blocks = &mut blocks[..count];
        self.blocks.set_block_pos(self.first / BLOCK_IDS);
        self.blocks.write_keystream_blocks(blocks);
        let bytes = blocks.iter().flat_map(|block| block.as_chunks().0);
        for (word, &bytes) in self.words.iter_mut().zip(bytes) {
            *word = u64::from_le_bytes(bytes);
        }
    }

    /// Decides exactly whether the word is rejected, and draws from the next streams if so.
    #[cold]
    #[inline(never)]
    fn retry(&mut self, request: RequestId, total: u64, lower: u64, upper: u64) -> u64 {
        let rejected_below = total.wrapping_neg() % total;
        let (mut lower, mut upper) = (lower, upper);
        let mut stream = self.stream;
        while lower < rejected_below {
            stream += 1;
            self.streams.set_stream(stream);
            self.streams.set_word_pos(word_position(request.number()));
            (lower, upper) = self.streams.next_u64().carrying_mul(total, 0);
        }
        upper
    }
}

impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator")
    }
}

/// Where the word of a request is in the key stream, in words of 32 bits.
const fn word_position(number: u64) -> u128 {
    2 * number as u128
}

/// The remainder, which changes nothing, spares a bounds check.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below LONG_WINDOW")]
const fn place_in_window(place: u64) -> usize {
    (place % LONG_WINDOW as u64) as usize
}

#[cfg(test)]
mod tests;
