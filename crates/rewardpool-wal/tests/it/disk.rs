//! A disk in memory that keeps what was written apart from what was synced, sector by sector and
//! name by name, so that a power cut can keep or drop any of it.
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use rewardpool_wal::SECTOR;
use rewardpool_wal::storage::{Storage, StorageFile};

/// A small generator of numbers that are the same in every run.
#[derive(Clone)]
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// Something that a power cut may keep or drop.
#[derive(Clone, PartialEq, Eq)]
enum Unsynced {
    Sector {
        inode: usize,
        sector: usize,
    },
    Length {
        inode: usize,
    },
    /// Names that get another file, or none, in one step.
    Names(Vec<(String, Option<usize>)>),
}

impl Unsynced {
    fn is_of(&self, file: usize) -> bool {
        match self {
            Self::Sector { inode, .. } | Self::Length { inode } => *inode == file,
            Self::Names(_) => false,
        }
    }
}

#[derive(Clone, Default)]
struct Inode {
    written: Vec<u8>,
    synced: Vec<u8>,
}

/// The state of the disk and of the memory in front of it.
#[derive(Clone, Default)]
pub struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// In the order in which it happened.
    unsynced: Vec<Unsynced>,
}

impl Disk {
    /// A disk with these files, all of them synced.
    pub fn with_files(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let mut disk = Self::default();
        for (name, bytes) in files {
            disk.names.insert(name.clone(), disk.inodes.len());
            disk.inodes.push(Inode { written: bytes.clone(), synced: bytes.clone() });
        }
        disk.synced_names = disk.names.clone();
        disk
    }

    /// All files as a reader sees them.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let content = |inode: &usize| self.inodes[*inode].written.clone();
        self.names.iter().map(|(name, inode)| (name.clone(), content(inode))).collect()
    }

    /// How many things a power cut may keep or drop.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The disk after a power cut that kept exactly these of the unsynced things.
    pub fn cut(&self, keep: &[bool]) -> Self {
        assert_eq!(keep.len(), self.unsynced.len());
        let mut disk = self.clone();
        let things = std::mem::take(&mut disk.unsynced);
        let kept: Vec<_> = things.into_iter().zip(keep).filter(|(_, k)| **k).collect();
        // A sector beyond the end of a file is of no use, so lengths come first.
        for is_length in [true, false] {
            for (thing, _) in &kept {
                if matches!(thing, Unsynced::Length { .. }) == is_length {
                    disk.make_durable(thing);
                }
            }
        }
        for inode in &mut disk.inodes {
            inode.written.clone_from(&inode.synced);
        }
        disk.names.clone_from(&disk.synced_names);
        disk
    }

    /// The disk after a power cut that kept nothing that was not synced.
    pub fn cut_all(&self) -> Self {
        self.cut(&vec![false; self.unsynced()])
    }

    fn make_durable(&mut self, thing: &Unsynced) {
        match thing {
            Unsynced::Length { inode } => {
                let inode = &mut self.inodes[*inode];
                inode.synced.resize(inode.written.len(), 0);
            }
            Unsynced::Sector { inode, sector } => {
                let inode = &mut self.inodes[*inode];
                let start = sector * SECTOR;
                let end = (start + SECTOR).min(inode.written.len()).min(inode.synced.len());
                if start < end {
                    inode.synced[start..end].copy_from_slice(&inode.written[start..end]);
                }
            }
            Unsynced::Names(changes) => {
                for (name, inode) in changes {
                    match inode {
                        Some(inode) => self.synced_names.insert(name.clone(), *inode),
                        None => self.synced_names.remove(name),
                    };
                }
            }
        }
    }

    fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.inodes[inode].written.len() < end {
            self.inodes[inode].written.resize(end, 0);
            self.add(Unsynced::Length { inode });
        }
        self.inodes[inode].written[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR..end.div_ceil(SECTOR) {
            self.add(Unsynced::Sector { inode, sector });
        }
    }

    fn add(&mut self, thing: Unsynced) {
        if !self.unsynced.contains(&thing) {
            self.unsynced.push(thing);
        }
    }

    /// Syncs one file, or with `None` the directory.
    fn sync(&mut self, file: Option<usize>) {
        let of = |thing: &Unsynced| match file {
            Some(inode) => thing.is_of(inode),
            None => matches!(thing, Unsynced::Names(_)),
        };
        let (mut synced, rest): (Vec<_>, _) =
            std::mem::take(&mut self.unsynced).into_iter().partition(of);
        self.unsynced = rest;
        synced.sort_by_key(|thing| !matches!(thing, Unsynced::Length { .. }));
        for thing in &synced {
            self.make_durable(thing);
        }
    }

    /// A sync that fails: some of it gets to the disk, the rest stays visible, and no later sync
    /// writes it.
    fn fail_sync(&mut self, file: usize, numbers: &mut Numbers) {
        let mut things = std::mem::take(&mut self.unsynced);
        things.retain(|thing| {
            if thing.is_of(file) && (matches!(thing, Unsynced::Length { .. }) || numbers.coin()) {
                self.make_durable(thing);
            }
            !thing.is_of(file)
        });
        self.unsynced = things;
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename_all(&mut self, changes: Vec<(String, Option<usize>)>) {
        for (name, inode) in &changes {
            match inode {
                Some(inode) => self.names.insert(name.clone(), *inode),
                None => self.names.remove(name),
            };
        }
        self.unsynced.push(Unsynced::Names(changes));
    }

    fn used(&self) -> usize {
        self.names.values().map(|&inode| self.inodes[inode].written.len()).sum()
    }
}

/// What the log was promised at some moment.
#[derive(Clone, Copy, Default, Debug)]
pub struct Promise {
    /// Payloads that were acknowledged: they must be there.
    pub acknowledged: usize,
    /// Payloads that were given to the log: no more may be there.
    pub started: usize,
    /// Whether the directory was acknowledged to hold a log.
    pub is_marked: bool,
}

/// A moment just before a sync.
pub struct Moment {
    pub disk: Disk,
    pub promise: Promise,
}

#[derive(Default)]
struct Machine {
    disk: Disk,
    promise: Promise,
    moments: Option<Vec<Moment>>,
    /// Bytes that fit on the disk.
    capacity: Option<usize>,
    /// Whether no more files can be made.
    is_out_of_inodes: bool,
    syncs: usize,
    /// The sync of a file that fails, by its number.
    failing_sync: Option<usize>,
}

impl Machine {
    fn record(&mut self) {
        let moment = Moment { disk: self.disk.clone(), promise: self.promise };
        if let Some(moments) = &mut self.moments {
            moments.push(moment);
        }
    }
}

/// A storage on a simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryStorage {
    machine: Arc<Mutex<Machine>>,
}

impl MemoryStorage {
    pub fn new(disk: Disk) -> Self {
        let storage = Self::default();
        storage.machine().disk = disk;
        storage
    }

    /// A storage that keeps the moment before every sync.
    pub fn recording(disk: Disk, promise: Promise) -> Self {
        let storage = Self::new(disk);
        storage.machine().moments = Some(Vec::new());
        storage.machine().promise = promise;
        storage
    }

    pub fn shared(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    pub fn disk(&self) -> Disk {
        self.machine().disk.clone()
    }

    pub fn take_moments(&self) -> Vec<Moment> {
        self.machine().moments.replace(Vec::new()).unwrap_or_default()
    }

    pub fn promise(&self, change: impl FnOnce(&mut Promise)) {
        change(&mut self.machine().promise);
    }

    pub fn promised(&self) -> Promise {
        self.machine().promise
    }

    pub fn limit_bytes(&self, more: Option<usize>) {
        let mut machine = self.machine();
        machine.capacity = more.map(|more| machine.disk.used() + more);
    }

    pub fn limit_files(&self, is_out_of_inodes: bool) {
        self.machine().is_out_of_inodes = is_out_of_inodes;
    }

    /// Lets the sync of a file with this number fail.
    pub fn fail_sync(&self, number: usize) {
        self.machine().failing_sync = Some(number);
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap()
    }
}

impl Storage for MemoryStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.machine().disk.names.keys().cloned().collect())
    }

    fn read(&self, name: &str, into: &mut Vec<u8>) -> io::Result<()> {
        let machine = self.machine();
        let inode = machine.disk.inode(name)?;
        into.clone_from(&machine.disk.inodes[inode].written);
        Ok(())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut machine = self.machine();
        if machine.is_out_of_inodes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let inode = machine.disk.inodes.len();
        machine.disk.inodes.push(Inode::default());
        machine.disk.rename_all(vec![(name.to_owned(), Some(inode))]);
        Ok(Box::new(MemoryFile { storage: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let inode = self.machine().disk.inode(name)?;
        Ok(Box::new(MemoryFile { storage: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        let inode = machine.disk.inode(from)?;
        machine.disk.rename_all(vec![(from.to_owned(), None), (to.to_owned(), Some(inode))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        machine.disk.inode(name)?;
        machine.disk.rename_all(vec![(name.to_owned(), None)]);
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut machine = self.machine();
        machine.record();
        machine.disk.sync(None);
        Ok(())
    }
}

struct MemoryFile {
    storage: MemoryStorage,
    inode: usize,
}

impl StorageFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut machine = self.storage.machine();
        let offset = usize::try_from(offset).unwrap();
        let grows =
            (offset + bytes.len()).saturating_sub(machine.disk.inodes[self.inode].written.len());
        let room = machine.capacity.map_or(usize::MAX, |all| all - machine.disk.used());
        let is_full = grows > room;
        // A disk that fills up takes what it can.
        let taken = if is_full { bytes.len() - (grows - room) } else { bytes.len() };
        machine.disk.write(self.inode, offset, &bytes[..taken]);
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut machine = self.storage.machine();
        machine.record();
        machine.syncs += 1;
        if machine.failing_sync == Some(machine.syncs) {
            let mut numbers = Numbers(machine.syncs as u64);
            machine.disk.fail_sync(self.inode, &mut numbers);
            return Err(io::Error::other("the sync failed"));
        }
        machine.disk.sync(Some(self.inode));
        Ok(())
    }
}
