//! The working directory itself: made when it is missing, in a way that a power cut cannot undo.
//!
//! A file is lost with the directory that it is in, and a directory is lost when its name was not
//! synced in the directory above it.
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::Path;

/// Makes a directory for its owner only, and those above it. Durable when it returns, for those
/// that it made.
///
/// # Errors
/// What the operating system says, also when a file has its name.
pub fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        // One name, in the directory where the process is.
        _ => Path::new("."),
    };
    create_directory(parent)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        created => created,
    }?;
    File::open(parent)?.sync_all()
}

/// Makes the names of a directory and of those above it durable, which an earlier start may have
/// made and not synced.
///
/// # Errors
/// What the operating system says.
pub fn sync_directory_name(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let device = directory.metadata()?.dev();
    for parent in directory.ancestors().skip(1) {
        if parent.metadata()?.dev() != device {
            // It was there before it was mounted on, and what is above may not be able to sync.
            return Ok(());
        }
        match File::open(parent) {
            // Whoever may not read the directory above did not make this one.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            opened => opened?.sync_all()?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn directories_are_made_for_their_owner_only() {
        let place = tempfile::tempdir().unwrap();
        let (above, directory) = (place.path().join("a"), place.path().join("a/b"));
        create_directory(&directory).unwrap();
        create_directory(&directory).unwrap();
        sync_directory_name(&directory).unwrap();
        for made in [above, directory] {
            assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        drop(File::create_new(&file).unwrap());
        assert!(create_directory(&file).is_err());
        assert!(create_directory(&file.join("below")).is_err());
        assert!(file.is_file());
    }
}
