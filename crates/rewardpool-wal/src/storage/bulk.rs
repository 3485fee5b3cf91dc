//! Puts syncs off, for files that nobody relies on before all of them are there: a log that is copied
//! would otherwise sync once for each of its batches.
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Source, Storage, StorageFile};

type Shared<T> = Arc<Mutex<T>>;

/// A storage whose files are durable only after [`BulkStorage::settle`].
pub struct BulkStorage {
    inner: Arc<dyn Storage>,
    unsynced: Shared<Vec<Shared<Box<dyn StorageFile>>>>,
}

impl BulkStorage {
    /// Writes to this storage.
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, unsynced: Shared::default() }
    }

    /// Makes everything durable that should be so far.
    ///
    /// # Errors
    /// The first failure. Then nothing that was written may be relied on.
    pub fn settle(&self) -> io::Result<()> {
        for file in lock(&self.unsynced).drain(..) {
            lock(&file).sync()?;
        }
        self.inner.sync_directory()
    }
}

impl Storage for BulkStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        self.inner.read(name, into)
    }

    fn source(&self, name: &str) -> io::Result<Box<dyn Source>> {
        self.inner.source(name)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.put_off(self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.put_off(self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

impl BulkStorage {
    fn put_off(&self, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        let (file, unsynced) = (Arc::new(Mutex::new(file)), Arc::clone(&self.unsynced));
        Box::new(BulkFile { file, unsynced })
    }
}

struct BulkFile {
    file: Shared<Box<dyn StorageFile>>,
    unsynced: Shared<Vec<Shared<Box<dyn StorageFile>>>>,
}

impl StorageFile for BulkFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        lock(&self.file).write_at(offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut unsynced = lock(&self.unsynced);
        if !unsynced.iter().any(|file| Arc::ptr_eq(file, &self.file)) {
            unsynced.push(Arc::clone(&self.file));
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::publish;

    /// Counts the syncs of a storage that holds nothing.
    #[derive(Clone, Default)]
    struct Counting {
        syncs: Arc<Mutex<Vec<String>>>,
    }

    struct CountingFile(String, Counting);

    impl Storage for Counting {
        fn list(&self) -> io::Result<Vec<String>> {
            Ok(Vec::new())
        }

        fn read(&self, _: &str, _: &mut Vec<u8>) -> io::Result<()> {
            Err(io::ErrorKind::NotFound.into())
        }

        fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
            self.open(name)
        }

        fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
            Ok(Box::new(CountingFile(name.to_owned(), self.clone())))
        }

        fn rename(&self, _: &str, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn remove(&self, _: &str) -> io::Result<()> {
            Ok(())
        }

        fn sync_directory(&self) -> io::Result<()> {
            lock(&self.syncs).push("directory".to_owned());
            Ok(())
        }
    }

    impl StorageFile for CountingFile {
        fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            if self.0 == "broken" {
                return Err(io::Error::other("the disk is broken"));
            }
            lock(&self.1.syncs).push(self.0.clone());
            Ok(())
        }
    }

    #[test]
    fn each_file_is_synced_once_when_all_is_settled_and_the_directory_last() {
        let counting = Counting::default();
        let syncs = || std::mem::take(&mut *lock(&counting.syncs));
        let bulk = BulkStorage::new(Arc::new(counting.clone()));
        publish(&bulk, "a", &[b"1"]).unwrap();
        let mut file = bulk.create("b").unwrap();
        for _ in 0..3 {
            file.write_at(0, b"2").unwrap();
            file.sync().unwrap();
        }
        assert_eq!(syncs(), [""; 0]);
        bulk.settle().unwrap();
        assert_eq!(syncs(), ["a.tmp", "b", "directory"]);
        file.sync().unwrap();
        drop(file);
        bulk.settle().unwrap();
        assert_eq!(syncs(), ["b", "directory"]);
        bulk.create("broken").unwrap().sync().unwrap();
        assert!(bulk.settle().is_err());
    }
}
