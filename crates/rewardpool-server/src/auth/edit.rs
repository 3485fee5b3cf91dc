//! Changes of a tokens file: one at a time, and whole or not at all.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::registry::{AuthError, read_tokens_file};
use crate::config::{TokenEntry, read_tokens, write_tokens};

/// Changes the entries of a tokens file, which is made when it is not there. What the change
/// refuses leaves the file as it is.
pub fn edit_tokens_file<R, E: From<AuthError>>(
    path: &Path,
    change: impl FnOnce(&mut Vec<TokenEntry>) -> Result<R, E>,
) -> Result<R, E> {
    let failed = |source| AuthError::Read { path: path.to_owned(), source };
    let _lock = lock(path).map_err(failed)?;
    let mut entries = read_tokens_file(path)?;
    let changed = change(&mut entries)?;
    let text = write_tokens(&entries);
    // What could not be read again must not get into the file.
    read_tokens(path, &text).map_err(AuthError::from)?;
    replace(path, &text).map_err(failed)?;
    Ok(changed)
}

/// Takes the file for itself. Whoever had it before may have replaced it in the meantime.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let file = options.open(path)?;
        file.lock()?;
        let (held, named) = (file.metadata()?, fs::metadata(path));
        let is_it = |named: fs::Metadata| (named.dev(), named.ino()) == (held.dev(), held.ino());
        if named.is_ok_and(is_it) {
            return Ok(file);
        }
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A name that leads elsewhere keeps doing so.
    let path = fs::canonicalize(path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new: PathBuf = path.with_file_name(name);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, &path)?;
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Role, Roles};
    use crate::config::{Digest, QuotaConfig};

    fn entry(name: String) -> TokenEntry {
        TokenEntry {
            name,
            roles: Roles::default().with(Role::Reader),
            pools: None,
            expires: None,
            sha256: Some(Digest([7; 32])),
            certificate: None,
            quotas: QuotaConfig::default(),
        }
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("tokens.yaml");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                let add = move || {
                    for number in 0..10 {
                        edit_tokens_file(path, |entries| {
                            entries.push(entry(format!("{writer}-{number}")));
                            Ok::<_, AuthError>(())
                        })
                        .unwrap();
                    }
                };
                drop(std::thread::Builder::new().spawn_scoped(scope, add).unwrap());
            }
        });
        assert_eq!(read_tokens_file(&path).unwrap().len(), 40);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }
}
