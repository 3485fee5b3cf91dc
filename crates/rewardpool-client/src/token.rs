//! The secret that a client shows to the service.
//!
//! `rp_`, 64 hexadecimal digits of 256 random bits, and 8 digits of a checksum over everything before
//! them. The prefix and the checksum let scanners of repositories and logs find a token that leaked,
//! and let a client find a typing error before it asks.
use std::fmt::{self, Write as _};
use std::str::FromStr;

const PREFIX: &str = "rp_";
const SECRET_BYTES: usize = 32;
const SECRET_END: usize = PREFIX.len() + 2 * SECRET_BYTES;
const LENGTH: usize = SECRET_END + 8;

/// A token. Its text is only given by [`Token::reveal`].
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// Why a text is not a token. Says nothing about the text itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TokenError {
    /// It does not look like one.
    #[error("a token is `rp_` and 72 hexadecimal digits in lower case")]
    Shape,
    /// It looks like one, and a letter of it is wrong.
    #[error("the token has a typing error: its checksum does not fit")]
    Checksum,
}

impl Token {
    /// A new one, from the randomness of the operating system.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        let mut text = PREFIX.to_owned();
        for byte in secret {
            write!(text, "{byte:02x}").expect("a text takes everything");
        }
        let sum = crc32c::crc32c(text.as_bytes());
        write!(text, "{sum:08x}").expect("a text takes everything");
        Ok(Self(text.into()))
    }

    /// The text of the token: for the one who shall have it, and for its digest.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let digits = text.strip_prefix(PREFIX).ok_or(TokenError::Shape)?;
        if text.len() != LENGTH || !digits.bytes().all(is_digit) {
            return Err(TokenError::Shape);
        }
        let (secret, sum) = text.split_at(SECRET_END);
        if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(secret.as_bytes())) {
            return Err(TokenError::Checksum);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Token {
    /// Does not show the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_token_is_read_again_and_is_never_shown() {
        let token = Token::generate().expect("the system has randomness");
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        assert_ne!(Token::generate().expect("the system has randomness"), token);
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

    #[test]
    fn every_wrong_letter_is_found() {
        let token = Token::generate().expect("the system has randomness");
        let text = token.reveal();
        for place in 0..text.len() {
            let (before, after) = text.split_at(place);
            let letter = if after.starts_with('0') { '1' } else { '0' };
            let wrong = format!("{before}{letter}{}", &after[1..]);
            assert!(wrong.parse::<Token>().is_err(), "{place}");
            assert!(format!("{before}{}", &after[1..]).parse::<Token>().is_err(), "{place}");
        }
        for wrong in ["", "rp_", "secret", &format!("{text} "), &text.to_uppercase()] {
            assert_eq!(wrong.parse::<Token>(), Err(TokenError::Shape));
        }
    }
}
