//! The least that a start does: read the files of the directory, from the page cache or from disk.
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

const CHUNK_BYTES: usize = 1 << 20;

/// Reads so much of each file, and throws it away. Gives the bytes and how long it took.
pub(crate) fn read_all(files: &[(PathBuf, u64)]) -> anyhow::Result<(u64, Duration)> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    let begun = Instant::now();
    for (path, length) in files {
        let mut file = File::open(path)?.take(*length);
        loop {
            let read = file.read(&mut chunk)?;
            bytes += read as u64;
            if read == 0 {
                break;
            }
        }
    }
    std::hint::black_box(&chunk);
    Ok((bytes, begun.elapsed()))
}

/// The segments and snapshots of a directory with their lengths.
pub(crate) fn files(directory: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        if kind.is_file() {
            files.push((entry.path(), kind.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Takes the files out of the page cache, so that the next read is from the disk.
pub(crate) fn make_cold(files: &[(PathBuf, u64)]) -> anyhow::Result<()> {
    for (path, _) in files {
        let file = File::open(path)?;
        // Pages that are not on the disk yet would stay.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
