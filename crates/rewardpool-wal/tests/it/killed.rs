//! Goal: a process that is killed while it copies a batch into a memory map leaves a log that
//! recovers to what was acknowledged.
//!
//! Method: every part of the last batch that such a copy can leave behind, which is any length of what
//! follows its first sector, as that is copied last.
use std::collections::BTreeMap;

use crate::journal::{Journal, recover};
use rewardpool_sim::{Disk, MemoryStorage};
use rewardpool_wal::SECTOR;

#[test]
fn a_batch_that_was_copied_in_part_is_torn() {
    let storage = MemoryStorage::default();
    let mut journal = Journal::set_up(storage.shared(), None, 33).unwrap();
    let mut tried = 0;
    for turn in 0..12 {
        let before = storage.disk().files();
        journal.append_any().unwrap();
        let after = storage.disk().files();
        let changed: Vec<_> = after.iter().filter(|(name, new)| before[*name] != **new).collect();
        let [(name, new)] = changed[..] else { panic!("a batch is in one file") };
        let old = &before[name];
        let start = (0..new.len()).find(|&at| old[at] != new[at]).unwrap();
        let end = (0..new.len()).rfind(|&at| old[at] != new[at]).unwrap() + 1;
        let start = start / SECTOR * SECTOR;
        for copied in start + SECTOR..end {
            let mut files: BTreeMap<String, Vec<u8>> = before.clone();
            tried += 1;
            let part = start + SECTOR..copied;
            files.get_mut(name).unwrap()[part.clone()].copy_from_slice(&new[part]);
            let killed = MemoryStorage::new(Disk::with_files(&files));
            let recovered = recover(killed.shared());
            let recovered = recovered.unwrap_or_else(|error| panic!("{turn} {copied}: {error:?}"));
            let recovered = recovered.expect("the log is there");
            assert_eq!(recovered.payloads(), journal.history.len() - 1, "{turn} {copied}");
            assert!(recovered.agrees(&journal.history), "{turn} {copied}");
        }
    }
    assert!(tried > 0, "no batch was longer than a sector");
}
