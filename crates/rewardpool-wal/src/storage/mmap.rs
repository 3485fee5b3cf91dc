//! A memory map of the same zero-filled files, made durable with `msync`.
//!
//! A process that is killed while it copies bytes into a map leaves any part of them behind, not
//! whole sectors as a write to a file does. So the first sector is copied last: until then it is full
//! of zeros, by which the reader knows an unfinished batch. What remains are the few nanoseconds in
//! which that one sector is copied.
//!
//! The files are written full of zeros with ordinary writes before they are mapped: a map of a
//! sparse file dies with SIGBUS when the disk is full, a map of allocated blocks does not.
use std::fs::OpenOptions;
use std::io;
use std::sync::atomic::{Ordering, fence};

use memmap2::MmapMut;

use super::{FileStorage, Source, Storage, StorageFile};
use crate::batch::SECTOR;

/// A directory of the file system whose segments are written through a memory map.
#[derive(Debug)]
pub struct MmapStorage {
    files: FileStorage,
}

impl MmapStorage {
    /// Uses the directory that `files` has open.
    pub fn new(files: FileStorage) -> Self {
        Self { files }
    }
}

impl Storage for MmapStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        self.files.list()
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        self.files.read(name, into)
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        self.files.source(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.files.create(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.files.path_of(name))?;
        // SAFETY: a map is sound while nobody else changes the file's length or bytes. The caller
        // holds the exclusive lock on the directory, every file of a log keeps its length for its
        // whole life, and no other map or writer of this file exists in this process while this
        // one does.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Box::new(MappedFile { map, dirty: None }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.files.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.files.sync_directory()
    }
}

struct MappedFile {
    map: MmapMut,
    /// First and last offset (exclusive) written since the last sync.
    dirty: Option<(usize, usize)>,
}

impl StorageFile for MappedFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        let Some(target) = self.map.get_mut(start..end) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "write beyond the mapped file",
            ));
        };
        let (last, first) = target.split_at_mut(SECTOR.min(bytes.len()));
        first.copy_from_slice(&bytes[last.len()..]);
        // Whoever reads the file after a kill sees the copies in this order.
        fence(Ordering::Release);
        last.copy_from_slice(&bytes[..last.len()]);
        let (first, last) = self.dirty.unwrap_or((start, end));
        self.dirty = Some((first.min(start), last.max(end)));
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let Some((start, end)) = self.dirty else { return Ok(()) };
        self.map.flush_range(start, end - start)?;
        self.dirty = None;
        Ok(())
    }
}
