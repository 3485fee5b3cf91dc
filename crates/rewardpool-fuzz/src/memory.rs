//! A directory in memory, so that a target reads thousands of them a second.
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rewardpool_wal::storage::{Storage, StorageFile};

/// Names and contents of files.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The content of a file, whatever its name is at present.
type Content = Arc<Mutex<Vec<u8>>>;

/// Files that everybody who holds a clone sees. Nothing is ever lost, so syncs do nothing.
#[derive(Clone, Default, Debug)]
pub struct Memory {
    files: Arc<Mutex<BTreeMap<String, Content>>>,
}

impl Memory {
    /// A directory that holds these files.
    pub fn new(files: &Files) -> Self {
        let content = |bytes: &Vec<u8>| Arc::new(Mutex::new(bytes.clone()));
        let files = files.iter().map(|(name, bytes)| (name.clone(), content(bytes)));
        Self { files: Arc::new(Mutex::new(files.collect())) }
    }

    /// A copy of all files.
    pub fn files(&self) -> Files {
        let files = lock(&self.files);
        files.iter().map(|(name, content)| (name.clone(), lock(content).clone())).collect()
    }

    fn content(&self, name: &str) -> io::Result<Content> {
        lock(&self.files).get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(lock(&self.files).keys().cloned().collect())
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        into.clear();
        into.extend_from_slice(&lock(&*self.content(name)?));
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        lock(&self.files).insert(name.to_owned(), Content::default());
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(MemoryFile(self.content(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = lock(&self.files);
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        lock(&self.files).remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

struct MemoryFile(Content);

impl StorageFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = lock(&self.0);
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
