//! The log's storage on a simulated disk that fails when it is told to.
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rewardpool_wal::SECTOR;
use rewardpool_wal::storage::{Storage, StorageFile};

use crate::disk::Disk;
use crate::numbers::Numbers;

/// What goes wrong, and when. Operations and syncs are counted from 1 from the moment the faults
/// are set; reading is no operation.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// The operation at which everything ends. A write may get some of its sectors done.
    pub crash_at: Option<u64>,
    /// The sync, of a file or the directory, that fails.
    pub failing_sync: Option<u64>,
    /// The write that fails.
    pub failing_write: Option<u64>,
    /// How many more bytes fit on the disk.
    pub bytes_left: Option<usize>,
    /// Whether the disk takes no more files.
    pub is_out_of_inodes: bool,
}

/// Before which operations a recording storage keeps the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recording {
    /// Before each sync: what a power cut may leave in between is a part of what it may leave
    /// then.
    Syncs,
    /// Before each operation, and in the middle of each write, for the death of the process as
    /// well.
    Operations,
}

/// What a log has promised at some moment, counted in whatever its user counts in.
#[derive(Clone, Copy, Default, Debug)]
pub struct Promise {
    /// How much was acknowledged: it must be there.
    pub acknowledged: usize,
    /// How much was given to the log: no more may be there.
    pub started: usize,
    /// Whether the directory was acknowledged to hold a log.
    pub is_marked: bool,
}

/// The disk just before an operation.
#[derive(Debug)]
pub struct Moment {
    /// The disk.
    pub disk: Disk,
    /// What was promised by then.
    pub promise: Promise,
}

#[derive(Default)]
struct Machine {
    disk: Disk,
    promise: Promise,
    recording: Option<Recording>,
    moments: Vec<Moment>,
    faults: Faults,
    capacity: Option<usize>,
    operations: u64,
    writes: u64,
    syncs: u64,
    has_ended: bool,
    /// Whether a write or a sync failed.
    is_broken: bool,
    /// How many faults were met.
    faults_met: u64,
}

impl Machine {
    /// Begins an operation: fails when it is the one at which everything ends.
    fn begin(&mut self, is_sync: bool) -> io::Result<()> {
        self.be_alive()?;
        self.operations += 1;
        if self.faults.crash_at == Some(self.operations) {
            self.has_ended = true;
            self.faults_met += 1;
            return Err(ended());
        }
        let is_kept = match self.recording {
            None => false,
            Some(Recording::Syncs) => is_sync,
            Some(Recording::Operations) => true,
        };
        if is_kept {
            self.moments.push(Moment { disk: self.disk.clone(), promise: self.promise });
        }
        Ok(())
    }

    fn be_alive(&self) -> io::Result<()> {
        if self.has_ended { Err(ended()) } else { Ok(()) }
    }

    fn numbers(&self) -> Numbers {
        Numbers(self.operations ^ self.syncs << 32)
    }

    fn write(&mut self, inode: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).expect("the offset is inside a file in memory");
        // The kernel copies page by page, so a write that is cut off ends between two sectors.
        let sectors = self.numbers().below(bytes.len().div_ceil(SECTOR) + 1);
        let part = bytes.len().min(sectors * SECTOR);
        let was_alive = !self.has_ended;
        if let Err(error) = self.begin(false) {
            if was_alive {
                self.disk.write(inode, offset, &bytes[..part]);
            }
            return Err(error);
        }
        if self.recording == Some(Recording::Operations) && bytes.len() >= 2 * SECTOR {
            let mut disk = self.disk.clone();
            disk.write(inode, offset, &bytes[..part.clamp(SECTOR, bytes.len() - SECTOR)]);
            self.moments.push(Moment { disk, promise: self.promise });
        }
        self.writes += 1;
        let grows = (offset + bytes.len()).saturating_sub(self.disk.content(inode).len());
        let room = self.capacity.map_or(usize::MAX, |all| all.saturating_sub(self.disk.used()));
        let is_full = grows > room;
        let fails = self.faults.failing_write == Some(self.writes);
        // A disk that fills up, or fails, takes what it can.
        let taken = match (is_full, fails) {
            (false, false) => bytes.len(),
            (true, _) => bytes.len() - (grows - room),
            (false, true) => part,
        };
        self.disk.write(inode, offset, &bytes[..taken]);
        if !is_full && !fails {
            return Ok(());
        }
        self.faults_met += 1;
        self.is_broken |= !is_full;
        Err(if is_full { io::ErrorKind::StorageFull.into() } else { broken() })
    }

    /// Syncs a file, or with `None` the directory.
    fn sync(&mut self, file: Option<usize>) -> io::Result<()> {
        self.begin(true)?;
        self.syncs += 1;
        if self.faults.failing_sync == Some(self.syncs) {
            self.faults_met += 1;
            self.is_broken = true;
            let mut numbers = self.numbers();
            self.disk.fail_sync(file, &mut numbers);
            return Err(broken());
        }
        self.disk.sync(file);
        Ok(())
    }
}

fn ended() -> io::Error {
    io::Error::other("the machine is off")
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken")
}

/// A storage on a simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    machine: Arc<Mutex<Machine>>,
}

impl MemoryStorage {
    /// A storage on this disk.
    pub fn new(disk: Disk) -> Self {
        let storage = Self::default();
        storage.machine().disk = disk;
        storage
    }

    /// A storage that keeps the moments before its operations.
    pub fn recording(disk: Disk, promise: Promise, recording: Recording) -> Self {
        let storage = Self::new(disk);
        storage.machine().recording = Some(recording);
        storage.machine().promise = promise;
        storage
    }

    /// For an engine or a log.
    pub fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    /// The disk as it is now.
    pub fn disk(&self) -> Disk {
        self.machine().disk.clone()
    }

    /// Takes the moments that were kept.
    pub fn take_moments(&self) -> Vec<Moment> {
        std::mem::take(&mut self.machine().moments)
    }

    /// Notes what the log has promised.
    pub fn promise(&self, change: impl FnOnce(&mut Promise)) {
        change(&mut self.machine().promise);
    }

    /// What the log has promised.
    pub fn promised(&self) -> Promise {
        self.machine().promise
    }

    /// From now on this goes wrong, and nothing else.
    pub fn set_faults(&self, faults: Faults) {
        let mut machine = self.machine();
        machine.capacity = faults.bytes_left.map(|left| machine.disk.used() + left);
        machine.faults = faults;
        (machine.operations, machine.writes, machine.syncs) = (0, 0, 0);
    }

    /// Whether a service may give up: the machine is off, or a write or sync failed.
    pub fn is_lost(&self) -> bool {
        let machine = self.machine();
        machine.has_ended || machine.is_broken
    }

    /// How many faults were met.
    pub fn faults_met(&self) -> u64 {
        self.machine().faults_met
    }

    /// Operations since the faults were set.
    pub fn operations(&self) -> u64 {
        self.machine().operations
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        // A test that panics on its way drops files, which come here once more.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let machine = self.machine();
        machine.be_alive()?;
        Ok(machine.disk.names().cloned().collect())
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        let machine = self.machine();
        machine.be_alive()?;
        let inode = machine.disk.inode(name)?;
        into.clear();
        into.extend_from_slice(machine.disk.content(inode));
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut machine = self.machine();
        machine.begin(false)?;
        if machine.faults.is_out_of_inodes {
            machine.faults_met += 1;
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = machine.disk.create(name);
        Ok(Box::new(MemoryFile { storage: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let machine = self.machine();
        machine.be_alive()?;
        let inode = machine.disk.inode(name)?;
        Ok(Box::new(MemoryFile { storage: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.begin(false)?;
        let inode = machine.disk.inode(from)?;
        machine.disk.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.begin(false)?;
        machine.disk.inode(name)?;
        machine.disk.rename_all(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.machine().sync(None)
    }
}

struct MemoryFile {
    storage: MemoryStorage,
    inode: usize,
}

impl StorageFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.storage.machine().write(self.inode, offset, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.storage.machine().sync(Some(self.inode))
    }
}
