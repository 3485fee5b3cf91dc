//! The file `FOLLOWER`: this directory holds a copy of a log that another service writes. Nobody
//! appends to it of their own accord while the file is there.
use crate::error::{Error, Fault};
use crate::identity::sealed;
use crate::layout::{FOLLOWER, LogFile};
use crate::storage::{Storage, publish};

const TITLE: &str = "follower";

/// Whose log the directory holds a copy of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Following {
    /// Where the service listens that writes the log.
    pub leader: String,
    /// Whether the copy is being begun: what is in the directory is of no use, and may be removed.
    pub is_copying: bool,
}

impl Following {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// When it does not hold what was written to it.
    pub fn load(storage: &dyn Storage) -> Result<Option<Self>, Error> {
        let names = storage.list().map_err(Error::io("list the directory of", FOLLOWER))?;
        if !names.iter().any(|name| name == FOLLOWER) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        storage.read(FOLLOWER, &mut bytes).map_err(Error::io("read", FOLLOWER))?;
        let decoded = Self::decode(&bytes);
        decoded.map(Some).ok_or_else(|| Error::corrupt(FOLLOWER, 0, Fault::HeaderChecksum))
    }

    /// Publishes the file. Durable when it returns.
    pub fn publish(&self, storage: &dyn Storage) -> Result<(), Error> {
        publish(storage, FOLLOWER, &[self.encode().as_bytes()])
    }

    /// Removes the file: the directory is the log itself from now on. Durable when it returns.
    pub fn end(storage: &dyn Storage) -> Result<(), Error> {
        storage.remove(FOLLOWER).map_err(Error::io("remove", FOLLOWER))?;
        storage.sync_directory().map_err(Error::io("sync the directory of", FOLLOWER))
    }

    /// Removes a copy that cannot be gone on with: all files of the log, and the one that marks it
    /// first. Durable when it returns.
    pub fn remove_copy(storage: &dyn Storage) -> Result<(), Error> {
        let names = storage.list().map_err(Error::io("list the directory of", FOLLOWER))?;
        let mut files: Vec<(LogFile, &String)> =
            names.iter().filter_map(|name| Some((LogFile::parse(name)?, name))).collect();
        files.sort_by_key(|(file, _)| *file != LogFile::Identity);
        for (file, name) in files {
            storage.remove(name).map_err(Error::io("remove", name))?;
            if file == LogFile::Identity {
                storage.sync_directory().map_err(Error::io("sync the directory of", name))?;
            }
        }
        storage.sync_directory().map_err(Error::io("sync the directory of", FOLLOWER))
    }

    fn encode(&self) -> String {
        let state = if self.is_copying { "copying" } else { "following" };
        sealed(&format!("{TITLE}\nleader {}\nstate {state}\n", self.leader))
    }

    /// Takes exactly what `encode` writes.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.lines().skip(1);
        let leader = lines.next()?.strip_prefix("leader ")?.to_owned();
        let is_copying = lines.next()? == "state copying";
        let following = Self { leader, is_copying };
        (following.encode() == text).then_some(following)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::FileStorage;

    #[test]
    fn it_is_read_back_and_every_changed_byte_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let storage = FileStorage::open(directory.path()).unwrap();
        assert_eq!(Following::load(&storage).unwrap(), None);
        let leader = "https://pool.example:50051".to_owned();
        let following = Following { leader, is_copying: false };
        assert!(include_str!("../../../docs/FORMAT.md").contains(&following.encode()));
        for following in [Following { is_copying: true, ..following.clone() }, following] {
            following.publish(&storage).unwrap();
            assert_eq!(Following::load(&storage).unwrap(), Some(following.clone()));
            let good = following.encode().into_bytes();
            for place in 0..good.len() {
                for change in [1, 0x20, 0x80] {
                    let mut bad = good.clone();
                    bad[place] ^= change;
                    assert_eq!(Following::decode(&bad), None, "byte {place} ^ {change}");
                }
                assert_eq!(Following::decode(&good[..place]), None, "length {place}");
            }
        }
        Following::end(&storage).unwrap();
        assert_eq!(Following::load(&storage).unwrap(), None);
    }
}
