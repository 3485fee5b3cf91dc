//! Randomness as a pure function of a pool's secret and the request id.
//!
//! The 64-bit word of request k is at 32-bit-word position 2k of the `ChaCha20` key stream: key =
//! the secret, 64-bit block counter, 64-bit stream number (nonce) 0, little-endian. When a word is
//! rejected for the sake of exact odds, the word at the same position of the next stream takes its
//! place. So there is no state to save, a crash cannot roll again, and any draw can be recomputed
//! alone.
//!
//! Drawn in the order of the ids, a word costs a lookup: the key stream is made for an aligned
//! window of ids at a time.

use std::fmt;

use chacha20::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

use crate::ids::RequestId;

/// Ids of a window: what the key stream is made for at one time.
const WINDOW: usize = 32;

/// The key of a pool's randomness. Who knows it knows every outcome.
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret with these bytes, which must come from the operating system's generator except
    /// in tests and simulations.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// SHA-256 of the secret: binds the pool to it without giving it away.
    pub fn commitment(&self) -> [u8; 32] {
        Sha256::digest(self.0).into()
    }

    /// The secret itself, to be stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Gives each request its random number.
pub struct Generator {
    /// Between calls at stream 0; the position is set before each use.
    key_stream: ChaCha20Rng,
    /// Invariant: `words` are those of the ids from `window * WINDOW` on.
    window: u64,
    words: [u64; WINDOW],
}

impl Generator {
    /// A generator keyed with the secret.
    pub fn new(secret: &Secret) -> Self {
        let key_stream = ChaCha20Rng::from_seed(secret.0);
        let mut generator = Self { key_stream, window: 0, words: [0; WINDOW] };
        generator.fill(0);
        generator
    }

    /// The random word of a request.
    #[inline]
    pub fn word(&mut self, request: RequestId) -> u64 {
        let number = request.number();
        let window = number / WINDOW as u64;
        if window != self.window {
            self.fill(window);
        }
        self.words[place_in_window(number)]
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

    #[cold]
    #[inline(never)]
    fn fill(&mut self, window: u64) {
        self.key_stream.set_word_pos(word_position(window * WINDOW as u64));
        let mut bytes = [0; WINDOW * size_of::<u64>()];
        self.key_stream.fill_bytes(&mut bytes);
        let (chunks, _) = bytes.as_chunks();
        for (word, chunk) in self.words.iter_mut().zip(chunks) {
            *word = u64::from_le_bytes(*chunk);
        }
        self.window = window;
    }

    /// Decides exactly whether the word is rejected, and draws from the next streams if so.
    #[cold]
    #[inline(never)]
    fn retry(&mut self, request: RequestId, total: u64, lower: u64, upper: u64) -> u64 {
        let rejected_below = total.wrapping_neg() % total;
        let (mut lower, mut upper) = (lower, upper);
        let mut stream = 0;
        while lower < rejected_below {
            stream += 1;
            self.key_stream.set_stream(stream);
            self.key_stream.set_word_pos(word_position(request.number()));
            (lower, upper) = self.key_stream.next_u64().carrying_mul(total, 0);
        }
        self.key_stream.set_stream(0);
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

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below WINDOW")]
const fn place_in_window(number: u64) -> usize {
    (number % WINDOW as u64) as usize
}

#[cfg(test)]
mod tests;
