//! The secrets from which the pools' randomness comes: one file each, beside the log, never in it.
use std::fmt::Write as _;
use std::io;

use rewardpool_core::generator::{Generator, Secret, StreamStart};
use rewardpool_core::ids::{PoolNumber, RequestId};
use rewardpool_core::state::State;
use rewardpool_wal::storage::{Storage, publish};
use rewardpool_wal::{Error, secret_name};

use crate::error::EngineError;

/// Takes a secret from the operating system.
pub(crate) fn random_secret() -> Result<[u8; 32], EngineError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(|error| EngineError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Takes a number from the operating system.
pub(crate) fn random_u64() -> Result<u64, EngineError> {
    getrandom::u64().map_err(|error| EngineError::Random(error.to_string()))
}

/// Writes the secret of a pool that is about to be created. Durable when it returns.
pub(crate) fn store(storage: &dyn Storage, pool: PoolNumber, secret: &Secret) -> Result<(), Error> {
    publish(storage, &secret_name(pool.0), &[encode(secret).as_bytes()])
}

/// Reads the secrets of all pools and checks each against the commitment in the log.
pub(crate) fn load_all(
    storage: &dyn Storage,
    state: &State,
) -> Result<Vec<Generator>, EngineError> {
    let secrets = load_secrets(storage, state)?;
    Ok(secrets.iter().map(Generator::new).collect())
}

/// The same without the generators.
pub(crate) fn load_secrets(
    storage: &dyn Storage,
    state: &State,
) -> Result<Vec<Secret>, EngineError> {
    let pools = state.pools();
    pools.map(|pool| load(storage, pool.number, pool.commitment)).collect()
}

/// Reads the secret of one pool and checks it.
pub(crate) fn load(
    storage: &dyn Storage,
    pool: PoolNumber,
    commitment: [u8; 32],
) -> Result<Secret, EngineError> {
    let file = secret_name(pool.0);
    let wrong = |because| EngineError::Secret { file: file.clone(), because };
    let mut bytes = Vec::new();
    storage.read(&file, &mut bytes).map_err(|source| unreadable(&file, source))?;
    let secret = decode(&bytes).ok_or_else(|| wrong("it does not hold a secret"))?;
    if secret.commitment() != commitment {
        return Err(wrong("it is not the secret that the log is committed to"));
    }
    Ok(secret)
}

fn unreadable(file: &str, source: io::Error) -> Error {
    let file = file.to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return Error::Missing { file, because: "a pool of the log draws with it" };
    }
    Error::Io { operation: "read", file, source }
}

/// The digits of the secret in one line. In a restored log a line for each start of a stream follows,
/// and one with the checksum of all lines before it.
fn encode(secret: &Secret) -> String {
    let mut text = secret.as_bytes().iter().fold(String::with_capacity(65), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    });
    text.push('\n');
    for start in secret.starts() {
        let StreamStart { first_request, stream } = start;
        writeln!(text, "from {first_request} stream {stream}")
            .expect("writing to a string cannot fail");
    }
    if !secret.starts().is_empty() {
        let checksum = checksum_line(&text);
        text += &checksum;
    }
    text
}

fn checksum_line(before: &str) -> String {
    format!("crc32c {:08x}\n", crc32c::crc32c(before.as_bytes()))
}

/// Takes exactly what `encode` writes.
fn decode(bytes: &[u8]) -> Option<Secret> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines();
    let mut secret = Secret::new(decode_key(lines.next()?)?);
    let starts = lines.take_while(|line| !line.starts_with("crc32c "));
    for line in starts {
        let (first_request, stream) = line.strip_prefix("from ")?.split_once(" stream ")?;
        let first_request = RequestId::new(first_request.parse().ok()?)?;
        let start = StreamStart { first_request, stream: stream.parse().ok()? };
        let is_later = secret.starts().last().is_none_or(|last| last.first_request < first_request);
        if !is_later || !start.is_well_formed() {
            return None;
        }
        secret = secret.restarted(start);
    }
    (encode(&secret) == text).then_some(secret)
}

fn decode_key(digits: &str) -> Option<[u8; 32]> {
    let digits = Some(digits.as_bytes()).filter(|digits| digits.len() == 64)?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut key = [0; 32];
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(first_request: u64, random: u64) -> StreamStart {
        StreamStart::new(RequestId::new(first_request).unwrap(), random).unwrap()
    }

    #[test]
    fn a_secret_is_read_back_and_nothing_else_is() {
        let secret = Secret::new(*b"0123456789abcdef0123456789abcdef");
        let text = encode(&secret).into_bytes();
        assert_eq!(text.len(), 65);
        assert_eq!(decode(&text).unwrap(), secret);
        for place in 0..text.len() {
            let mut bad = text.clone();
            bad[place] ^= 1;
            let same = decode(&bad).is_some_and(|read| read.commitment() == secret.commitment());
            assert!(!same, "byte {place}");
            assert!(decode(&text[..place]).is_none(), "length {place}");
        }
    }

    /// The commitment does not cover the starts of streams, so they have a checksum.
    #[test]
    fn the_starts_of_streams_are_read_back_and_every_changed_byte_is_noticed() {
        let secret = Secret::new(*b"0123456789abcdef0123456789abcdef")
            .restarted(start(1000, 0x0123_4567_89ab_cdef))
            .restarted(start(1001, u64::MAX));
        let example = Secret::new(*b"a secret of thirty-two bytes, ok");
        let text = encode(&example.restarted(start(12_346, 0x1234_5678_9abc_def0)));
        assert!(include_str!("../../../docs/FORMAT.md").contains(&text), "{text}");
        let text = encode(&secret);
        assert_eq!(decode(text.as_bytes()).unwrap(), secret);
        assert_eq!(text.lines().count(), 4, "{text}");
        for place in 0..text.len() {
            for change in [1, 0x20, 0x80] {
                let mut bad = text.clone().into_bytes();
                bad[place] ^= change;
                let same = decode(&bad).is_some_and(|it| it.commitment() == secret.commitment());
                assert!(!same, "byte {place} ^ {change}");
            }
            assert!(place == 65 || decode(&text.as_bytes()[..place]).is_none(), "length {place}");
        }
        let (head, _) = text.split_once("crc32c").unwrap();
        let (first, second) = (head.lines().nth(1).unwrap(), head.lines().nth(2).unwrap());
        let sealed = |body: String| format!("{body}{}", checksum_line(&body));
        let (key, odd) = (head.lines().next().unwrap(), "from 1 stream 65537");
        for body in [
            format!("{key}\n{second}\n{first}\n"),
            format!("{key}\n{first}\n{first}\n"),
            format!("{key}\n{odd}\n"),
            format!("{key}\nfrom 0 stream 65536\n"),
            format!("{key}\nfrom +1 stream 65536\n"),
            format!("{key}\n"),
        ] {
            let text = sealed(body);
            assert!(decode(text.as_bytes()).is_none(), "{text}");
        }
        assert!(decode(sealed(format!("{key}\n{first}\n")).as_bytes()).is_some());
    }
}
