//! A disk in memory that keeps what was written apart from what was synced, sector by sector and
//! name by name, so that a power cut can keep or drop any of it.
//!
//! The model, sector by sector of 512 bytes: a sector is written wholly or not at all, in any
//! order; a name appears, moves or goes in one step, in any order; a sync makes durable what it
//! belongs to; a sync of a file that fails makes any part of it durable, and what is left stays
//! visible to readers until the power is cut, though no later sync writes it (which is what Linux
//! does).
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use rewardpool_wal::SECTOR;

use crate::numbers::Numbers;

/// Something that a power cut may keep or drop.
#[derive(Clone, PartialEq, Eq, Debug)]
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
    /// Whether a sync of this file, or with `None` of the directory, makes it durable.
    fn is_part_of(&self, file: Option<usize>) -> bool {
        match self {
            Self::Sector { inode, .. } | Self::Length { inode } => file == Some(*inode),
            Self::Names(_) => file.is_none(),
        }
    }
}

#[derive(Clone, Default, Debug)]
struct Inode {
    written: Vec<u8>,
    synced: Vec<u8>,
}

/// The state of the disk and of the memory in front of it.
#[derive(Clone, Default, Debug)]
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
    #[must_use]
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
        disk.forget_unreachable();
        disk
    }

    /// The disk after a power cut that kept nothing that was not synced.
    #[must_use]
    pub fn cut_all(&self) -> Self {
        self.cut(&vec![false; self.unsynced()])
    }

    /// The disk after the death of the process alone: all that was written is still there.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut disk = self.clone();
        disk.forget_unreachable();
        disk
    }

    /// Sets of the unsynced things that a power cut may keep: all there are when there are few,
    /// else every prefix, every set of one and of all but one, and so many others. Of very many
    /// things, as a large new file has, one in several ends a prefix or is alone.
    pub fn sets_of_survivors(&self, random: usize, numbers: &mut Numbers) -> BTreeSet<Vec<bool>> {
        let things = self.unsynced();
        let set = |keep: &dyn Fn(usize) -> bool| (0..things).map(keep).collect::<Vec<_>>();
        if things <= 6 {
            return (0..1_usize << things).map(|bits| set(&|n| bits >> n & 1 == 1)).collect();
        }
        let mut sets = BTreeSet::new();
        for one in (0..=things).step_by(1 + things / 48) {
            sets.insert(set(&|n| n < one));
            sets.insert(set(&|n| n != one));
            sets.insert(set(&|n| n == one));
        }
        sets.extend((0..random).map(|_| (0..things).map(|_| numbers.coin()).collect()));
        sets
    }

    /// Which of the unsynced things a power cut keeps: chosen in one of many ways.
    pub fn survivors(&self, numbers: &mut Numbers) -> Vec<bool> {
        let things = self.unsynced();
        let (way, one, density) =
            (numbers.below(6), numbers.below(things.max(1)), 1 + numbers.below(99));
        let mut keep = |place: usize| match way {
            0 => false,
            1 => true,
            2 => place < one,
            3 => place != one,
            4 => place == one,
            _ => numbers.below(100) < density,
        };
        (0..things).map(&mut keep).collect()
    }

    /// Empties files that no name leads to any more.
    fn forget_unreachable(&mut self) {
        let changes = self.unsynced.iter().filter_map(|thing| match thing {
            Unsynced::Names(changes) => Some(changes.iter().filter_map(|(_, inode)| *inode)),
            Unsynced::Sector { .. } | Unsynced::Length { .. } => None,
        });
        let named = self.names.values().chain(self.synced_names.values()).copied();
        let reachable: BTreeSet<usize> = named.chain(changes.flatten()).collect();
        for (number, inode) in self.inodes.iter_mut().enumerate() {
            if !reachable.contains(&number) {
                *inode = Inode::default();
            }
        }
        self.unsynced.retain(|thing| match thing {
            Unsynced::Sector { inode, .. } | Unsynced::Length { inode } => {
                reachable.contains(inode)
            }
            Unsynced::Names(_) => true,
        });
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

    pub(crate) fn write(&mut self, inode: usize, offset: usize, bytes: &[u8]) {
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
    pub(crate) fn sync(&mut self, file: Option<usize>) {
        let (mut synced, rest): (Vec<_>, _) = std::mem::take(&mut self.unsynced)
            .into_iter()
            .partition(|thing| thing.is_part_of(file));
        self.unsynced = rest;
        synced.sort_by_key(|thing| !matches!(thing, Unsynced::Length { .. }));
        for thing in &synced {
            self.make_durable(thing);
        }
    }

    /// A sync that fails, of a file, or with `None` of the directory: some of it gets to the disk.
    /// What is left of a file's bytes no later sync writes; names wait for the next one, because a
    /// file system either keeps them in its journal or stops altogether.
    pub(crate) fn fail_sync(&mut self, file: Option<usize>, numbers: &mut Numbers) {
        let mut things = std::mem::take(&mut self.unsynced);
        things.retain(|thing| {
            let is_meant = thing.is_part_of(file);
            let is_length = matches!(thing, Unsynced::Length { .. });
            if is_meant && (is_length || numbers.coin()) {
                self.make_durable(thing);
                return false;
            }
            !is_meant || file.is_none()
        });
        self.unsynced = things;
    }

    /// Makes a new empty file and gives its number.
    pub(crate) fn create(&mut self, name: &str) -> usize {
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.rename_all(vec![(name.to_owned(), Some(inode))]);
        inode
    }

    /// What a reader sees of a file.
    pub(crate) fn content(&self, inode: usize) -> &[u8] {
        &self.inodes[inode].written
    }

    /// The names of all files.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.names.keys()
    }

    pub(crate) fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn rename_all(&mut self, changes: Vec<(String, Option<usize>)>) {
        for (name, inode) in &changes {
            match inode {
                Some(inode) => self.names.insert(name.clone(), *inode),
                None => self.names.remove(name),
            };
        }
        self.unsynced.push(Unsynced::Names(changes));
    }

    pub(crate) fn used(&self) -> usize {
        self.names.values().map(|&inode| self.inodes[inode].written.len()).sum()
    }
}
