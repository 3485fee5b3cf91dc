//! The file `POOL`: this directory holds a log, of this format version, with this identity.
//!
//! It is written last when a directory is set up. Without it nothing was ever acknowledged here,
//! so a set-up that was interrupted may start over; with it, nothing is ever set up again.
use std::fmt::Write as _;

use crc32c::crc32c;

use crate::error::{Error, Fault};
use crate::layout::IDENTITY;
use crate::storage::{Storage, publish};

pub(crate) const FORMAT_VERSION: u32 = 1;

/// Which log this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Random number given when the directory was set up; stands in every file of the log.
    pub uuid: [u8; 16],
}

impl Identity {
    /// The number in hexadecimal.
    pub fn to_hex(self) -> String {
        self.uuid.iter().fold(String::with_capacity(32), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a string cannot fail");
            text
        })
    }

    /// Publishes the file. From now on the directory holds a log.
    pub fn publish(self, storage: &dyn Storage) -> Result<(), Error> {
        publish(storage, IDENTITY, &[self.encode().as_bytes()])
    }

    pub(crate) fn load(storage: &dyn Storage) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        storage.read(IDENTITY, &mut bytes).map_err(Error::io("read", IDENTITY))?;
        Self::decode(&bytes)
    }

    fn encode(self) -> String {
        sealed(&format!("rewardpool\nformat {FORMAT_VERSION}\nuuid {}\n", self.to_hex()))
    }

    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let corrupt = |offset, fault| Error::corrupt(IDENTITY, offset, fault);
        let text = std::str::from_utf8(bytes).map_err(|_| corrupt(0, Fault::Magic))?;
        if !text.starts_with("rewardpool\n") {
            return Err(corrupt(0, Fault::Magic));
        }
        // Before the version is believed: a damaged one is no other version.
        let body = text.rfind("crc32c ").map_or(text, |end| &text[..end]);
        if text != sealed(body) {
            return Err(corrupt(0, Fault::HeaderChecksum));
        }
        let mut lines = text.lines().skip(1);
        let version = lines.next().and_then(|line| line.strip_prefix("format ")?.parse().ok());
        let version: u32 = version.ok_or_else(|| corrupt(11, Fault::Header("format")))?;
        if version != FORMAT_VERSION {
            return Err(Error::version(IDENTITY, 11, version));
        }
        let uuid = lines.next().and_then(|line| parse_uuid(line.strip_prefix("uuid ")?));
        let identity = Self { uuid: uuid.ok_or_else(|| corrupt(20, Fault::Header("uuid")))? };
        if identity.encode().as_bytes() != bytes {
            return Err(corrupt(0, Fault::HeaderChecksum));
        }
        Ok(identity)
    }
}

/// A text with its checksum.
pub(crate) fn sealed(body: &str) -> String {
    format!("{body}crc32c {:08x}\n", crc32c(body.as_bytes()))
}

/// Sixteen bytes in hexadecimal, of any case.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = well_formed.then(|| u128::from_str_radix(text, 16).ok()).flatten()?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Regression: a damaged version number was taken for another version.
    #[test]
    fn a_version_is_believed_only_with_its_checksum() {
        let newer = sealed("rewardpool\nformat 2\nsomething: else\n").into_bytes();
        let error = Identity::decode(&newer).unwrap_err();
        assert!(matches!(error, Error::Version { found: 2, .. }), "{error:?}");
        let good = Identity { uuid: *b"0123456789abcdef" }.encode();
        let damaged = good.replace("format 1", "format 5");
        let error = Identity::decode(damaged.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error:?}");
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let identity = Identity { uuid: *b"0123456789abcdef" };
        let good = identity.encode().into_bytes();
        assert_eq!(Identity::decode(&good).unwrap(), identity);
        for place in 0..good.len() {
            for change in [1, 0x20, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[place] ^= change;
                assert!(Identity::decode(&bad).is_err(), "byte {place} ^ {change}");
            }
        }
        for length in 0..good.len() {
            assert!(Identity::decode(&good[..length]).is_err(), "length {length}");
        }
    }
}
