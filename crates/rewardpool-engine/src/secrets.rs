//! The secrets from which the pools' randomness comes: one file each, beside the log, never in it.
use std::fmt::Write as _;
use std::io;

use rewardpool_core::generator::{Generator, Secret};
use rewardpool_core::ids::PoolNumber;
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

fn load(
    storage: &dyn Storage,
    pool: PoolNumber,
    commitment: [u8; 32],
) -> Result<Secret, EngineError> {
    let file = secret_name(pool.0);
    let wrong = |because| EngineError::Secret { file: file.clone(), because };
    let mut bytes = Vec::new();
    if let Err(source) = storage.read(&file, &mut bytes) {
        // A file does not go away by itself; that it cannot be read says nothing about it.
        return Err(if source.kind() == io::ErrorKind::NotFound {
            wrong("the secret of a pool is missing")
        } else {
            Error::Io { operation: "read", file, source }.into()
        });
    }
    let secret = decode(&bytes).ok_or_else(|| wrong("it does not hold 64 hexadecimal digits"))?;
    if secret.commitment() != commitment {
        return Err(wrong("it is not the secret that the log is committed to"));
    }
    Ok(secret)
}

fn encode(secret: &Secret) -> String {
    let mut text = secret.as_bytes().iter().fold(String::with_capacity(65), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    });
    text.push('\n');
    text
}

fn decode(bytes: &[u8]) -> Option<Secret> {
    let digits = bytes.strip_suffix(b"\n").filter(|digits| digits.len() == 64)?;
    let digit = |byte: u8| char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
    let mut secret = [0; 32];
    for (byte, pair) in secret.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(Secret::new(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_back_and_nothing_else_is() {
        let secret = Secret::new(*b"0123456789abcdef0123456789abcdef");
        let text = encode(&secret).into_bytes();
        assert_eq!(decode(&text).unwrap().as_bytes(), secret.as_bytes());
        for place in 0..text.len() {
            let mut bad = text.clone();
            bad[place] ^= 1;
            let same = decode(&bad).is_some_and(|read| read.commitment() == secret.commitment());
            assert!(!same, "byte {place}");
            assert!(decode(&text[..place]).is_none(), "length {place}");
        }
    }
}
