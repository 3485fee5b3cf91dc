//! Names of pools and items, checked once at the edge.
use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;

/// Why a text is not a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameError {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The text holds a character that is not allowed.
    #[error("the character {0:?} is not allowed in this name")]
    Character(char),
}

/// Name of a pool: 1 to 64 bytes of `a-z`, `0-9`, `_` and `-`. It may stand in file names and URLs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(Arc<str>);

impl PoolId {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        match text.chars().find(|&c| !allowed(c)) {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Name of an item: 1 to 64 bytes of UTF-8 without control characters and without white space at
/// either end. Shared, so a clone costs no memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(Arc<str>);

impl ItemId {
    /// Checks the text.
    pub fn new(text: &str) -> Result<Self, NameError> {
        check_length(text)?;
        if let Some(c) = text.chars().find(|c| c.is_control()) {
            return Err(NameError::Character(c));
        }
        let ends = text.chars().next().into_iter().chain(text.chars().next_back());
        match ends.into_iter().find(|c| c.is_whitespace()) {
            Some(c) => Err(NameError::Character(c)),
            None => Ok(Self(text.into())),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_length(text: &str) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty),
        1..=NAME_BYTES_MAX => Ok(()),
        length => Err(NameError::TooLong(length)),
    }
}

macro_rules! text_of {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_of!(PoolId);
text_of!(ItemId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_names_are_plain() {
        assert!(PoolId::new("summer-2026_a").is_ok());
        for bad in ["", "Summer", "a b", "../x", "ü"] {
            assert!(PoolId::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn item_names_are_printable_text() {
        for good in ["diamond", "10 % off, once", "金", "a;b|c\\d%"] {
            assert!(ItemId::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", " x", "x\u{a0}", "a\nb", "\u{7f}", &"x".repeat(65)] {
            assert!(ItemId::new(bad).is_err(), "{bad:?}");
        }
    }
}
