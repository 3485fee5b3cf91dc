//! One process at a time: an exclusive lock on the directory itself.
//!
//! A lock on a lock *file* has two owners after somebody removes and re-creates the file; the
//! directory cannot be swapped under its open descriptor. The kernel frees the lock when the
//! process ends, however it ends.
use std::fs::{File, TryLockError};
use std::path::Path;

use crate::error::Error;

/// Holds a directory for this process until it is dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    _directory: File,
}

impl DirectoryLock {
    /// Locks the directory for writing. Never waits.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process holds it.
    pub fn exclusive(directory: &Path) -> Result<Self, Error> {
        Self::acquire(directory, File::try_lock)
    }

    /// Locks the directory for reading: other readers may hold it too, a writer may not.
    ///
    /// # Errors
    /// [`Error::Locked`] when a writer holds it.
    pub fn shared(directory: &Path) -> Result<Self, Error> {
        Self::acquire(directory, File::try_lock_shared)
    }

    fn acquire(
        directory: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, Error> {
        let name = directory.display().to_string();
        let file = File::open(directory).map_err(Error::io("open the directory", &name))?;
        match lock(&file) {
            Ok(()) => Ok(Self { _directory: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(name)),
            Err(TryLockError::Error(source)) => Err(Error::io("lock the directory", &name)(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_writer_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::exclusive(directory.path()).unwrap();
        let second = DirectoryLock::exclusive(directory.path());
        assert!(matches!(second, Err(Error::Locked(_))));
        let reader = DirectoryLock::shared(directory.path());
        assert!(matches!(reader, Err(Error::Locked(_))));
        drop(first);
        let _again = DirectoryLock::exclusive(directory.path()).unwrap();
    }
}
