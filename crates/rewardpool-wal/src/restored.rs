//! The file `RESTORED`: this log was restored from a backup of another one, up to a position. For
//! people and for those who audit a log; a start neither needs nor reads it.
use std::fmt::Write as _;

use crate::error::{Error, Fault};
use crate::identity::{Identity, parse_uuid, sealed};
use crate::layout::RESTORED;
use crate::storage::{Storage, publish};

const TITLE: &str = "restored";

/// One restoration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restoration {
    /// The log that was backed up.
    pub from: Identity,
    /// The last LSN that was taken over.
    pub lsn: u64,
    /// The last request id at that position; 0 before the first draw.
    pub last_request_id: u64,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
}

/// All restorations that led to a log, the first one first; none for a log that was never restored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ancestry(pub Vec<Restoration>);

impl Ancestry {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it does not hold what was written to it.
    pub fn load(storage: &dyn Storage) -> Result<Self, Error> {
        let names = storage.list().map_err(Error::io("list the directory of", RESTORED))?;
        if !names.iter().any(|name| name == RESTORED) {
            return Ok(Self::default());
        }
        let mut bytes = Vec::new();
        storage.read(RESTORED, &mut bytes).map_err(Error::io("read", RESTORED))?;
        Self::decode(&bytes).ok_or_else(|| Error::corrupt(RESTORED, 0, Fault::HeaderChecksum))
    }

    /// Publishes the file. Durable when it returns.
    pub fn publish(&self, storage: &dyn Storage) -> Result<(), Error> {
        publish(storage, RESTORED, &[self.encode().as_bytes()])
    }

    fn encode(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for Restoration { from, lsn, last_request_id, time_ms } in &self.0 {
            let from = from.to_hex();
            writeln!(text, "from {from} lsn {lsn} request {last_request_id} time {time_ms}")
                .expect("writing to a string cannot fail");
        }
        sealed(&text)
    }

    /// Takes exactly what `encode` writes.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let lines = text.lines().skip(1).take_while(|line| !line.starts_with("crc32c "));
        let ancestry = Self(lines.map(decode_line).collect::<Option<_>>()?);
        (ancestry.encode() == text).then_some(ancestry)
    }
}

fn decode_line(line: &str) -> Option<Restoration> {
    let words: Vec<&str> = line.split(' ').collect();
    let ["from", from, "lsn", lsn, "request", request, "time", time] = words[..] else {
        return None;
    };
    Some(Restoration {
        from: Identity { uuid: parse_uuid(from)? },
        lsn: lsn.parse().ok()?,
        last_request_id: request.parse().ok()?,
        time_ms: time.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileStorage;

    #[test]
    fn it_is_read_back_and_every_changed_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(directory.path()).unwrap();
        assert_eq!(Ancestry::load(&storage).unwrap(), Ancestry::default());
        let from = Identity { uuid: *b"0123456789abcdef" };
        let example =
            Restoration { from, lsn: 8123, last_request_id: 12_345, time_ms: 1_764_000_000_000 };
        let text = Ancestry(vec![example]).encode();
        assert!(include_str!("../../../docs/FORMAT.md").contains(&text), "{text}");
        let first = Restoration { from, lsn: 0, last_request_id: 0, time_ms: 1 };
        let second = Restoration { from, lsn: u64::MAX, last_request_id: 7, time_ms: u64::MAX };
        let ancestry = Ancestry(vec![first, second]);
        ancestry.publish(&storage).unwrap();
        assert_eq!(Ancestry::load(&storage).unwrap(), ancestry);
        let good = ancestry.encode().into_bytes();
        for place in 0..good.len() {
            for change in [1, 0x20, 0x80] {
                let mut bad = good.clone();
                bad[place] ^= change;
                assert_eq!(Ancestry::decode(&bad), None, "byte {place} ^ {change}");
            }
            assert_eq!(Ancestry::decode(&good[..place]), None, "length {place}");
        }
    }
}
