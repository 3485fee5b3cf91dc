//! The directory that a log is restored to. Nothing of it is a log that a start would take before all
//! of it is there, durable and verified.
//!
//! A directory that does not exist is made as `NAME.restoring` beside its place, and renamed. One
//! that exists and is empty keeps its owner and its mode, and may be a mount point: there the files
//! are made in `NAME/restoring`, and moved, the one that marks a log last. A directory with other
//! files of a log and without that one is refused by a start.
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use rewardpool_wal::{DirectoryLock, LogFile, create_directory, is_leftover, sync_directory_name};

/// The directory inside of an existing one where files wait until all are there.
const INSIDE: &str = "restoring";
/// What a file system has in its topmost directory.
const LOST_AND_FOUND: &str = "lost+found";

/// Why a directory cannot be restored to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// It holds something.
    #[error("{} is not empty: it holds {name}", path.display())]
    NotEmpty {
        /// The directory.
        path: PathBuf,
        /// Something that it holds.
        name: String,
    },
    /// Another process uses it.
    #[error("{} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The operating system refused an operation.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

impl DirectoryError {
    /// Whether the disk is full.
    pub fn is_out_of_space(&self) -> bool {
        let Self::Io { source, .. } = self else { return false };
        matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// A directory that is being restored to. Given up, it leaves nothing behind.
#[derive(Debug)]
pub struct RestoreDirectory {
    path: PathBuf,
    /// Where the files are until all are there.
    waiting: PathBuf,
    /// Whether the directory existed before.
    exists: bool,
    is_published: bool,
    _locks: Vec<DirectoryLock>,
}

impl RestoreDirectory {
    /// Looks whether a directory may be restored to, and changes nothing.
    ///
    /// # Errors
    /// [`DirectoryError::NotEmpty`] when it holds anything.
    pub fn check(path: &Path) -> Result<(), DirectoryError> {
        match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(failed("read", path)(source)),
            Ok(entries) => {
                for entry in entries {
                    let name = entry.map_err(failed("read", path))?.file_name();
                    if name != INSIDE && name != LOST_AND_FOUND {
                        let name = name.to_string_lossy().into_owned();
                        return Err(DirectoryError::NotEmpty { path: path.to_owned(), name });
                    }
                }
                Ok(())
            }
        }
    }

    /// Begins to restore to a directory, which must be empty or not there. What an attempt left
    /// behind that was killed is removed.
    ///
    /// # Errors
    /// When it holds anything, or another process uses it.
    pub fn create(path: &Path) -> Result<Self, DirectoryError> {
        let path = std::path::absolute(path).map_err(failed("find", path))?;
        let exists = path.is_dir();
        let mut locks = Vec::new();
        let waiting = if exists {
            locks.push(lock(&path)?);
            path.join(INSIDE)
        } else {
            let mut beside = path.as_os_str().to_owned();
            beside.push(".restoring");
            PathBuf::from(beside)
        };
        Self::check(&path)?;
        create_directory(&waiting).map_err(failed("create", &waiting))?;
        locks.push(lock(&waiting)?);
        clear(&waiting)?;
        Ok(Self { path, waiting, exists, is_published: false, _locks: locks })
    }

    /// Where the files are to be made.
    pub fn waiting(&self) -> &Path {
        &self.waiting
    }

    /// Puts the files in their place, which must be durable. So is their place when it returns.
    ///
    /// # Errors
    /// What the operating system says. Then there is no log that a start would take.
    pub fn publish(mut self) -> Result<(), DirectoryError> {
        if self.exists {
            self.move_inside()?;
        } else {
            fs::rename(&self.waiting, &self.path).map_err(failed("rename to", &self.path))?;
            self.is_published = true;
        }
        sync_directory_name(&self.path).map_err(failed("sync the name of", &self.path))
    }

    /// Moves the files up into the directory, the one that marks a log last.
    fn move_inside(&mut self) -> Result<(), DirectoryError> {
        let owner = fs::metadata(&self.path).map_err(failed("look at", &self.path))?;
        let mut names = files(&self.waiting)?;
        for name in &names {
            let file = self.waiting.join(name);
            let made = fs::metadata(&file).map_err(failed("look at", &file))?;
            if made.uid() != owner.uid() {
                // Whoever restores as root does it for the owner of the directory.
                chown(&file, Some(owner.uid()), Some(owner.gid())).map_err(failed("own", &file))?;
            }
        }
        let is_mark = |name: &String| LogFile::parse(name) == Some(LogFile::Identity);
        names.sort_by_key(is_mark);
        for name in names {
            if is_mark(&name) {
                self.sync()?;
            }
            let (from, to) = (self.waiting.join(&name), self.path.join(&name));
            fs::rename(from, &to).map_err(failed("rename to", &to))?;
        }
        self.is_published = true;
        fs::remove_dir(&self.waiting).map_err(failed("remove", &self.waiting))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), DirectoryError> {
        let synced = File::open(&self.path).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", &self.path))
    }
}

impl Drop for RestoreDirectory {
    fn drop(&mut self) {
        if !self.is_published && clear(&self.waiting).is_ok() {
            // What is left of it is removed by the next attempt.
            drop(fs::remove_dir(&self.waiting));
        }
    }
}

fn lock(path: &Path) -> Result<DirectoryLock, DirectoryError> {
    DirectoryLock::exclusive(path).map_err(|error| {
        if let rewardpool_wal::Error::Io { source, .. } = error {
            return failed("lock", path)(source);
        }
        DirectoryError::InUse(path.to_owned())
    })
}

/// Removes the files of a directory of our own. With others in it, it is somebody else's.
fn clear(path: &Path) -> Result<(), DirectoryError> {
    let names = files(path)?;
    let is_ours = |name: &&String| LogFile::parse(name).is_some() || is_leftover(name);
    if let Some(name) = names.iter().find(|name| !is_ours(name)) {
        return Err(DirectoryError::NotEmpty { path: path.to_owned(), name: name.clone() });
    }
    for name in names {
        let file = path.join(name);
        fs::remove_file(&file).map_err(failed("remove", &file))?;
    }
    Ok(())
}

fn files(path: &Path) -> Result<Vec<String>, DirectoryError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(failed("read", path))? {
        let name = entry.map_err(failed("read", path))?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn failed(operation: &'static str, path: &Path) -> impl Fn(io::Error) -> DirectoryError + use<> {
    let path = path.to_owned();
    move |source| DirectoryError::Io { operation, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

    use tempfile::TempDir;

    use super::*;

    fn place() -> (TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        (place, path)
    }

    fn fill(directory: &RestoreDirectory) {
        for name in ["POOL", "wal.000", "snapshot.7", "secret.0"] {
            fs::write(directory.waiting().join(name), name).unwrap();
        }
    }

    fn is_filled(path: &Path) {
        assert_eq!(files(path).unwrap(), ["POOL", "secret.0", "snapshot.7", "wal.000"]);
    }

    #[test]
    fn a_new_directory_appears_whole() {
        let (place, path) = place();
        let directory = RestoreDirectory::create(&path).unwrap();
        fill(&directory);
        assert!(!path.exists());
        let second = RestoreDirectory::create(&path);
        assert!(matches!(second, Err(DirectoryError::InUse(_))), "{second:?}");
        directory.publish().unwrap();
        is_filled(&path);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(files(place.path()).unwrap(), ["data"]);
        let again = RestoreDirectory::create(&path);
        assert!(matches!(again, Err(DirectoryError::NotEmpty { .. })), "{again:?}");
        is_filled(&path);
    }

    #[test]
    fn an_empty_directory_keeps_what_it_is() {
        let (place, path) = place();
        fs::DirBuilder::new().mode(0o750).create(&path).unwrap();
        fs::create_dir(path.join(LOST_AND_FOUND)).unwrap();
        let inode = path.metadata().unwrap().ino();
        let directory = RestoreDirectory::create(&path).unwrap();
        fill(&directory);
        assert!(DirectoryLock::exclusive(&path).is_err(), "no service starts meanwhile");
        directory.publish().unwrap();
        assert_eq!(path.metadata().unwrap().ino(), inode);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o750);
        fs::remove_dir(path.join(LOST_AND_FOUND)).unwrap();
        is_filled(&path);
        assert_eq!(files(place.path()).unwrap(), ["data"]);
    }

    /// Root restores for the user that the service runs as.
    #[test]
    fn files_belong_to_the_owner_of_the_directory() {
        const USER: u32 = 65_532;
        let (_place, path) = place();
        fs::create_dir(&path).unwrap();
        let may_chown = chown(&path, Some(USER), Some(USER)).is_ok();
        let directory = RestoreDirectory::create(&path).unwrap();
        fill(&directory);
        directory.publish().unwrap();
        is_filled(&path);
        let owner = path.metadata().unwrap().uid();
        assert_eq!(owner == USER, may_chown, "without the right it is this user's");
        for name in files(&path).unwrap() {
            assert_eq!(path.join(&name).metadata().unwrap().uid(), owner, "{name}");
        }
    }

    #[test]
    fn what_is_given_up_leaves_nothing_and_what_was_killed_is_removed() {
        let (place, path) = place();
        for exists in [false, true] {
            if exists {
                fs::create_dir(&path).unwrap();
            }
            let directory = RestoreDirectory::create(&path).unwrap();
            fill(&directory);
            let left = directory.waiting().to_owned();
            drop(directory);
            assert!(!left.exists());
            // A process that is killed leaves its files, and its locks end.
            fs::create_dir(&left).unwrap();
            fs::write(left.join("wal.next.3"), "half").unwrap();
            fs::write(left.join("snapshot.7.tmp"), "half").unwrap();
            let directory = RestoreDirectory::create(&path).unwrap();
            assert!(files(directory.waiting()).unwrap().is_empty());
            drop(directory);
            // Somebody else's files are not removed.
            fs::create_dir(&left).unwrap();
            fs::write(left.join("notes.txt"), "mine").unwrap();
            let refused = RestoreDirectory::create(&path).unwrap_err();
            assert!(refused.to_string().contains("notes.txt"), "{refused}");
            fs::remove_dir_all(&left).unwrap();
        }
        assert_eq!(files(place.path()).unwrap(), ["data"]);
    }

    #[test]
    fn a_directory_with_anything_in_it_or_in_use_is_refused() {
        let (_place, path) = place();
        fs::create_dir(&path).unwrap();
        let lock = DirectoryLock::shared(&path).unwrap();
        let used = RestoreDirectory::create(&path);
        assert!(matches!(used, Err(DirectoryError::InUse(_))), "{used:?}");
        drop(lock);
        fs::write(path.join(".hidden"), "").unwrap();
        assert!(RestoreDirectory::check(&path).unwrap_err().to_string().contains(".hidden"));
        assert!(RestoreDirectory::create(&path).is_err());
        assert_eq!(files(&path).unwrap(), [".hidden"]);
        fs::remove_file(path.join(".hidden")).unwrap();
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "a file").unwrap();
        assert!(RestoreDirectory::check(&path).is_err());
        assert!(RestoreDirectory::create(&path).is_err());
    }
}
