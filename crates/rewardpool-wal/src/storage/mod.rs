//! How bytes reach the disk: the operations that a log needs of a directory, one call each, so
//! that a simulated disk can fail at any of them.
use std::io;

use rewardpool_mutant::{Mutant, is_on};

use crate::error::Error;
use crate::layout::UNPUBLISHED;

mod bulk;
mod file;
mod mmap;

pub use bulk::BulkStorage;
pub use file::FileStorage;
pub use mmap::MmapStorage;

/// A directory. Every change is durable only after the sync that belongs to it.
pub trait Storage: Send + Sync {
    /// Names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Reads a whole file into the cleared buffer.
    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()>;
    /// Opens a file to read parts of it, also after somebody removed it. Of what is written later it
    /// may show some or none.
    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        let mut bytes = Vec::new();
        self.read(name, &mut bytes)?;
        Ok(Box::new(bytes))
    }
    /// Makes an empty file that only its owner may read, in place of any file of this name.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Opens a file whose length stays as it is, to overwrite parts of it.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Renames a file, in place of any file of the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
}

/// A file that is read in parts.
pub trait Source: Send {
    /// Its length when it was opened.
    fn bytes(&self) -> u64;
    /// Reads exactly as many bytes as there is room for.
    ///
    /// # Errors
    /// Also when the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

impl Source for Vec<u8> {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok().and_then(|start| self.get(start..));
        let bytes = start.and_then(|bytes| bytes.get(..into.len()));
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// An open file of a [`Storage`].
pub trait StorageFile: Send {
    /// Writes all bytes at this offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes all writes to this file durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// Makes a file visible under its name only when its content is durable: written under another
/// name, synced, renamed, directory synced.
pub fn publish(storage: &dyn Storage, name: &str, parts: &[&[u8]]) -> Result<(), Error> {
    let unpublished = format!("{name}{UNPUBLISHED}");
    let written = write_new(storage, &unpublished, parts);
    if written.as_ref().is_err_and(Error::is_out_of_space) {
        // Give back what the attempt took; the space may let the service go on.
        remove_if_there(storage, &unpublished)?;
    }
    written?;
    storage.rename(&unpublished, name).map_err(Error::io("rename into place", name))?;
    storage.sync_directory().map_err(Error::io("sync the directory of", name))
}

/// Removes a file that may not have come to be: a full disk may refuse the name itself.
pub(crate) fn remove_if_there(storage: &dyn Storage, name: &str) -> Result<(), Error> {
    match storage.remove(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io("remove", name)),
    }
}

fn write_new(storage: &dyn Storage, name: &str, parts: &[&[u8]]) -> Result<(), Error> {
    let mut file = storage.create(name).map_err(Error::io("create", name))?;
    let mut offset = 0;
    for part in parts {
        file.write_at(offset, part).map_err(Error::io("write", name))?;
        offset += part.len() as u64;
    }
    if is_on(Mutant::SnapshotNotSynced) && name.starts_with("snapshot") {
        return Ok(());
    }
    file.sync().map_err(Error::io("sync", name))
}
