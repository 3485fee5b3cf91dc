//! A file that appears under its name only when it is whole and durable: until then it is
//! `NAME.partial`, which is removed when the work is given up, and taken over when it was killed.
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartialError {
    /// There is a file of this name, which is not to be replaced.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// Another process writes it.
    #[error("{} is being written by another process", .0.display())]
    InUse(PathBuf),
    /// The operating system refused an operation.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// A file that is not whole yet. Only its owner may read it.
#[derive(Debug)]
pub struct PartialFile {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    replaces: bool,
    is_published: bool,
}

impl PartialFile {
    /// Begins a file. One that was begun by a process that was killed is begun anew.
    ///
    /// # Errors
    /// [`PartialError::Exists`] when there is one already, unless it may be replaced.
    pub fn create(path: &Path, replaces: bool) -> Result<Self, PartialError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let failed = |operation| {
            let path = partial.clone();
            move |source| PartialError::Io { operation, path, source }
        };
        if !replaces && fs::symlink_metadata(path).is_ok() {
            return Err(PartialError::Exists(path.to_owned()));
        }
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let file = options.open(&partial).map_err(failed("create"))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(PartialError::InUse(partial)),
                Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
            }
            // Whoever had it locked may have published or removed it since it was opened.
            let opened = file.metadata().map_err(failed("look at"))?;
            let is_same = fs::symlink_metadata(&partial)
                .is_ok_and(|named| (named.dev(), named.ino()) == (opened.dev(), opened.ino()));
            if !is_same {
                continue;
            }
            // From here on it is given up in order.
            let (path, partial) = (path.to_owned(), partial.clone());
            let begun = Self { path, partial, file, replaces, is_published: false };
            begun.file.set_len(0).map_err(failed("empty"))?;
            let owner_only = fs::Permissions::from_mode(0o600);
            begun.file.set_permissions(owner_only).map_err(failed("protect"))?;
            return Ok(begun);
        }
    }

    /// Where it is until it is published.
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn sync(&self) -> Result<(), PartialError> {
        self.file.sync_all().map_err(|source| self.failed("sync", source))
    }

    /// Gives the file its name. Durable when it returns.
    ///
    /// # Errors
    /// What the operating system says, or [`PartialError::Exists`] when somebody else made a file of
    /// this name.
    pub fn publish(mut self) -> Result<(), PartialError> {
        self.sync()?;
        if !self.replaces && fs::symlink_metadata(&self.path).is_ok() {
            return Err(PartialError::Exists(self.path.clone()));
        }
        // What may fail for other reasons than the disk does so while there is no file yet.
        let parent = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let directory = File::open(parent);
        let directory = directory.map_err(|source| self.failed("open the directory of", source))?;
        let renamed = fs::rename(&self.partial, &self.path);
        renamed.map_err(|source| self.failed("rename", source))?;
        self.is_published = true;
        let synced = directory.sync_all();
        synced.map_err(|source| self.failed("sync the directory of", source))
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> PartialError {
        PartialError::Io { operation, path: self.partial.clone(), source }
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_published {
            // It was given up; what is left of it is taken over by the next attempt.
            drop(fs::remove_file(&self.partial));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_published_and_not_before() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let partial = place.path().join("file.partial");
        // What a killed process left behind, readable for everybody.
        fs::write(&partial, "a longer rest of an earlier attempt").unwrap();
        let mut file = PartialFile::create(&path, false).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        let second = PartialFile::create(&path, false);
        assert!(matches!(second, Err(PartialError::InUse(_))), "{second:?}");
        assert!(partial.exists(), "the second attempt leaves the first alone");
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!partial.exists());
        let again = PartialFile::create(&path, false);
        assert!(matches!(again, Err(PartialError::Exists(_))), "{again:?}");
        let mut file = PartialFile::create(&path, true).unwrap();
        file.write_all(b"other").unwrap();
        file.publish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }

    #[test]
    fn what_is_given_up_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let mut file = PartialFile::create(&path, false).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
        let missing = PartialFile::create(&place.path().join("no/file"), false).unwrap_err();
        assert!(missing.to_string().contains("no/file.partial"), "{missing}");
    }

    #[test]
    fn a_file_that_came_up_meanwhile_is_not_replaced() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        let file = PartialFile::create(&path, false).unwrap();
        fs::write(&path, "somebody else's").unwrap();
        assert!(matches!(file.publish(), Err(PartialError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
