//! Compares the generator with a plain `ChaCha20` block function written from the RFC, and checks
//! that order does not matter and that odds are exact.
use super::*;

const ZERO: Secret = Secret::new([0; 32]);
const SOME: Secret = Secret::new(*b"a secret of thirty-two bytes, ok");

/// The first two blocks for the zero key and nonce: RFC 8439, appendix A.1, vectors 1 and 2.
const ZERO_KEY_STREAM: [&str; 2] = [
    "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7\
     da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed\
     29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
];

fn request(number: u64) -> RequestId {
    RequestId::new(number).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn quarter_round(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (left, right) in [(16, 12), (8, 7)] {
        state[a] = state[a].wrapping_add(state[b]);
        state[d] = (state[d] ^ state[a]).rotate_left(left);
        state[c] = state[c].wrapping_add(state[d]);
        state[b] = (state[b] ^ state[c]).rotate_left(right);
    }
}

/// One block of key stream as the RFC has it, but with a counter and a nonce of 64 bits.
fn block(secret: &Secret, counter: u64, stream: u64) -> [u32; 16] {
    let mut bytes = Vec::from(b"expand 32-byte k");
    bytes.extend(secret.as_bytes());
    bytes.extend(counter.to_le_bytes());
    bytes.extend(stream.to_le_bytes());
    let (words, _) = bytes.as_chunks();
    let start: [u32; 16] = std::array::from_fn(|place| u32::from_le_bytes(words[place]));
    let mut state = start;
    for _ in 0..10 {
        for column in 0..4 {
            quarter_round(&mut state, [column, column + 4, column + 8, column + 12]);
        }
        for column in 0..4 {
            let diagonal = [4, 8, 12].map(|row| row + (column + row / 4) % 4);
            quarter_round(&mut state, [column, diagonal[0], diagonal[1], diagonal[2]]);
        }
    }
    std::array::from_fn(|place| state[place].wrapping_add(start[place]))
}

/// The word of a request in a stream, from the definition.
fn reference_word(secret: &Secret, number: u64, stream: u64) -> u64 {
    let words = block(secret, number / 8, stream);
    let place = usize::try_from(number % 8).unwrap() * 2;
    u64::from(words[place + 1]) << 32 | u64::from(words[place])
}

#[test]
fn the_reference_gives_the_vectors_of_the_rfc() {
    for (counter, expected) in (0_u64..).zip(ZERO_KEY_STREAM) {
        let bytes = block(&ZERO, counter, 0).map(u32::to_le_bytes);
        assert_eq!(hex(bytes.as_flattened()), expected);
    }
}

#[test]
fn words_are_those_of_the_rfc() {
    let mut generator = Generator::new(&ZERO);
    assert_eq!(
        generator.word(request(1)),
        u64::from_be_bytes(*b"\x28\xbd\x86\x53\xe5\x6a\x5d\x40")
    );
    assert_eq!(
        generator.word(request(8)),
        u64::from_be_bytes(*b"\x7a\x38\x51\x55\xbe\xe7\x07\x9f")
    );
}

/// In sequence, backwards, alone, and far away, where the counter needs its upper half.
#[test]
fn words_depend_on_nothing_but_secret_and_id() {
    let window = LONG_WINDOW as u64;
    let mut starts = vec![1, window - 1, 1000, (1 << 35) - 70, 1 << 40, u64::MAX / 2];
    starts.push(u64::MAX - 3 * window);
    for start in starts {
        let numbers = start..start + 3 * window;
        let expected: Vec<u64> =
            numbers.clone().map(|number| reference_word(&SOME, number, 0)).collect();
        let mut generator = Generator::new(&SOME);
        let ahead: Vec<u64> = numbers.clone().map(|n| generator.word(request(n))).collect();
        assert_eq!(ahead, expected);
        let mut back: Vec<u64> =
            numbers.clone().rev().map(|n| generator.word(request(n))).collect();
        back.reverse();
        assert_eq!(back, expected);
        let alone: Vec<u64> =
            numbers.map(|number| Generator::new(&SOME).word(request(number))).collect();
        assert_eq!(alone, expected);
    }
    let last = Generator::new(&SOME).word(request(u64::MAX));
    assert_eq!(last, reference_word(&SOME, u64::MAX, 0));
}

/// Totals that reject up to half of the words, checked against the definition with 128 bits.
#[test]
fn a_rejected_word_is_replaced_from_the_next_streams() {
    for total in [(1 << 63) + 1, u64::MAX / 3 + 2, (3 << 61) + 12_345, u64::MAX, (1 << 63) - 1] {
        let rejected_below = (1_u128 << 64) % u128::from(total);
        let mut streams_max = 0;
        let mut generator = Generator::new(&SOME);
        for number in 1..=2_000 {
            let (stream, product) = (0..100)
                .map(|stream| (stream, reference_word(&SOME, number, stream)))
                .map(|(stream, word)| (stream, u128::from(word) * u128::from(total)))
                .find(|(_, product)| product % (1 << 64) >= rejected_below)
                .unwrap();
            let below = generator.below(request(number), total);
            assert_eq!(u128::from(below), product >> 64);
            assert!(below < total);
            // A rejection leaves nothing behind.
            assert_eq!(generator.word(request(number)), reference_word(&SOME, number, 0));
            let next = request(number + LONG_WINDOW as u64);
            assert_eq!(generator.word(next), reference_word(&SOME, next.number(), 0));
            streams_max = streams_max.max(stream);
        }
        let often = rejected_below > 1 << 60;
        assert!(if often { streams_max >= 4 } else { streams_max == 0 }, "{total}: {streams_max}");
    }
}

/// 2^64 is a multiple of these totals, so each word counts, also one whose lower half is 0.
#[test]
fn a_power_of_two_rejects_no_word() {
    for shift in [62, 61, 60] {
        let mut generator = Generator::new(&SOME);
        for number in 1..=2_000 {
            let word = reference_word(&SOME, number, 0);
            assert_eq!(generator.below(request(number), 1 << shift), word >> (64 - shift));
        }
    }
}

/// Long windows and short ones, entered at any place and left at any place.
#[test]
fn words_are_the_same_whatever_was_asked_before() {
    let window = LONG_WINDOW as u64;
    let mut generator = Generator::new(&SOME);
    let mut number = 1;
    for step in 0..6 * window {
        for id in number..number + step % (2 * window) {
            assert_eq!(generator.word(request(id)), reference_word(&SOME, id, 0));
        }
        number = (number * 31 + step) % (10 * window) + 1;
    }
}

#[test]
fn small_totals_are_uniform() {
    const DRAWS: u64 = 120_000;
    for total in [1_u64, 2, 3, 6, 10, 100] {
        let mut counts = vec![0_u64; usize::try_from(total).unwrap()];
        let mut generator = Generator::new(&SOME);
        for number in 1..=DRAWS {
            counts[usize::try_from(generator.below(request(number), total)).unwrap()] += 1;
        }
        // Chi-square as integers: sum of squared deviations, over the expected count. Its mean is
        // total - 1 and its variance twice that; 5 deviations above the mean are not chance.
        let expected = DRAWS / total;
        let squares: u64 = counts.iter().map(|&count| count.abs_diff(expected).pow(2)).sum();
        let chi_square = squares / expected;
        let freedom = total - 1;
        assert!(chi_square <= freedom + 5 * (2 * freedom).isqrt(), "{total}: {chi_square}");
    }
}

#[test]
#[should_panic(expected = "no number below 0")]
fn nothing_is_below_zero() {
    Generator::new(&ZERO).below(RequestId::FIRST, 0);
}

#[test]
fn the_commitment_is_the_sha256_and_debug_tells_nothing() {
    let expected = "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925";
    assert_eq!(hex(&ZERO.commitment()), expected);
    assert_ne!(ZERO.commitment(), SOME.commitment());
    assert_eq!(format!("{SOME:?} {:?}", Generator::new(&SOME)), "Secret Generator");
}

fn start(first_request: u64, random: u64) -> StreamStart {
    StreamStart::new(request(first_request), random).unwrap()
}

/// A restored log: ids that are given a second time get words that have nothing to do with the
/// first ones, and the ids before keep theirs.
#[test]
fn a_restart_changes_the_words_from_its_first_request_on() {
    let (first, second) = (start(100, 0x1234_5678_9abc_def0), start(180, u64::MAX));
    assert_eq!((first.stream, second.stream), (0x1234_5678_9abc_0000, u64::MAX << 16));
    let secret = SOME.restarted(first).restarted(second);
    assert_eq!(secret.commitment(), SOME.commitment(), "the log is committed to the same secret");
    let streams = [(1, 0), (99, 0), (100, first.stream), (179, first.stream), (180, second.stream)];
    for (number, stream) in streams {
        assert_eq!(secret.stream_of(request(number)), stream);
        let word = Generator::of_request(&secret, request(number)).word(request(number));
        assert_eq!(word, reference_word(&SOME, number, stream));
    }
    let mut newest = Generator::new(&secret);
    for number in 180..1000 {
        assert_eq!(newest.word(request(number)), reference_word(&SOME, number, second.stream));
    }
    // Back before both: neither is left.
    let again = secret.restarted(start(50, 1 << 20));
    assert_eq!(again.starts(), [start(50, 1 << 20)]);
    assert_eq!(again.stream_of(request(49)), 0);
}

#[test]
fn a_rejected_word_is_replaced_from_the_streams_of_its_start() {
    let secret = SOME.restarted(start(1, 77 << 16));
    let mut generator = Generator::new(&secret);
    let total = (1 << 63) + 1;
    let rejected_below = (1_u128 << 64) % u128::from(total);
    let mut streams_max = 0;
    for number in 1..=2_000 {
        let (stream, product) = (77 << 16..78 << 16)
            .map(|stream| (stream, reference_word(&SOME, number, stream)))
            .map(|(stream, word)| (stream, u128::from(word) * u128::from(total)))
            .find(|(_, product)| product % (1 << 64) >= rejected_below)
            .unwrap();
        assert_eq!(u128::from(generator.below(request(number), total)), product >> 64);
        streams_max = streams_max.max(stream);
    }
    assert!(streams_max >= (77 << 16) + 4, "{streams_max}");
}

#[test]
fn no_start_takes_the_streams_of_a_new_log() {
    for random in [0, 1, 0xffff] {
        assert_eq!(StreamStart::new(RequestId::FIRST, random), None);
    }
    assert!(start(1, 0x1_0000).is_well_formed());
    let (first_request, stream) = (RequestId::FIRST, 0x1_0001);
    assert!(!StreamStart { first_request, stream }.is_well_formed());
}
