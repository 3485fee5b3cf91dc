//! Goal: whatever happens to the bytes of a log at rest, recovery finds the same payloads or
//! refuses and names the file; it never finds other payloads and never panics.
//!
//! Method: every byte, every sector, every length and every file of several logs is damaged, one
//! at a time. Each log ends with a marker, as it does when its writer is idle; the marker itself
//! may be lost.
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rewardpool_wal::{Error, Fault, SECTOR, SegmentNumber};

use crate::journal::{Journal, Payload, recover};
use rewardpool_sim::{Disk, MemoryStorage};

type Files = BTreeMap<String, Vec<u8>>;

/// A log at rest.
struct Shape {
    name: &'static str,
    files: Files,
    /// All payloads, the marker included.
    history: Vec<Payload>,
    last_segment: SegmentNumber,
}

impl Shape {
    fn new(name: &'static str, live: impl FnOnce(&mut Journal) -> Result<(), Error>) -> Self {
        let storage = MemoryStorage::default();
        let mut journal = Journal::set_up(storage.shared(), None, 21).unwrap();
        live(&mut journal).unwrap();
        journal.mark().unwrap();
        let (files, last_segment) = (storage.disk().files(), journal.segment());
        Self { name, files, history: journal.history, last_segment }
    }
}

fn shapes() -> [Shape; 4] {
    let fill = |journal: &mut Journal, batches| (0..batches).try_for_each(|_| journal.append_any());
    [
        Shape::new("one segment", |journal| fill(journal, 5)),
        Shape::new("two snapshots", |journal| {
            for _ in 0..3 {
                fill(journal, 5)?;
                journal.rotate()?;
                journal.snapshot_here()?;
            }
            fill(journal, 4)
        }),
        Shape::new("a snapshot that lags", |journal| {
            fill(journal, 4)?;
            journal.rotate()?;
            journal.snapshot_here()?;
            for _ in 0..2 {
                fill(journal, 4)?;
                journal.rotate()?;
            }
            fill(journal, 4)
        }),
        Shape::new("closed empty", |journal| {
            fill(journal, 3)?;
            journal.rotate()?;
            journal.rotate()?;
            journal.snapshot_here()?;
            journal.rotate()
        }),
    ]
}

#[derive(Default)]
struct Tally {
    same: usize,
    refused: usize,
}

impl Tally {
    /// Recovers damaged files and judges what comes of it.
    fn judge(&mut self, shape: &Shape, files: &Files, what: &dyn Fn() -> String) {
        let storage = MemoryStorage::new(Disk::with_files(files));
        let result = catch_unwind(AssertUnwindSafe(|| recover(storage.shared())));
        let place = || format!("{}: {}", shape.name, what());
        let recovered = match result.unwrap_or_else(|_| panic!("{}: a panic", place())) {
            Ok(recovered) => recovered,
            Err(error) => {
                assert!(error.is_corruption(), "{}: {error:?}", place());
                let file = file_of(&error);
                let mut names = shape.files.keys().chain(files.keys());
                let is_known = names.any(|name| name.starts_with(file));
                assert!(is_known, "{}: {error:?} names no file of the log", place());
                self.refused += 1;
                return;
            }
        };
        let recovered = recovered.unwrap_or_else(|| panic!("{}: the log is gone", place()));
        let least = shape.history.len() - 1;
        assert!(recovered.payloads() >= least, "{}: payloads are lost", place());
        assert!(recovered.agrees(&shape.history), "{}: other payloads", place());
        // What was found can also be gone on with.
        let resumed = Journal::resume(storage.shared(), None, recovered, &shape.history);
        let mut journal = resumed.unwrap();
        journal.rotate().unwrap();
        journal.snapshot_here().unwrap_or_else(|error| panic!("{}: {error:?}", place()));
        journal.append_any().unwrap();
        let again = recover(storage.shared()).unwrap().unwrap();
        assert_eq!(again.payloads(), journal.history.len(), "{}", place());
        assert!(again.agrees(&journal.history), "{}", place());
        self.same += 1;
    }

    fn tell(&self, what: &str) {
        let all = self.same + self.refused;
        println!("rot, {what}: {all} damages, {} refused, {} harmless", self.refused, self.same);
    }
}

fn file_of(error: &Error) -> &str {
    match error {
        Error::Corrupt { file, .. }
        | Error::Version { file, .. }
        | Error::Missing { file, .. }
        | Error::Io { file, .. } => file,
        other @ (Error::Locked(_) | _) => panic!("{other:?} names no file"),
    }
}

/// Damages one file in turn, for every shape.
fn damage_each(what: &str, damages: impl Fn(&[u8]) -> Vec<(String, Vec<u8>)>) -> Tally {
    let mut tally = Tally::default();
    for shape in shapes() {
        for (name, good) in &shape.files {
            for (damage, bytes) in damages(good) {
                let mut files = shape.files.clone();
                files.insert(name.clone(), bytes);
                tally.judge(&shape, &files, &|| format!("{name}: {damage}"));
            }
        }
    }
    tally.tell(what);
    tally
}

#[test]
fn a_changed_byte_changes_no_payload() {
    let tally = damage_each("bytes", |good| {
        let mut damages = Vec::new();
        for place in 0..good.len() {
            let bit = 1 << (place % 8);
            let changes = [good[place] ^ bit, 0xff, 0].into_iter().enumerate();
            for (n, byte) in changes.filter(|(_, byte)| *byte != good[place]) {
                // Zeros behind the last batch are all alike.
                if good[place] == 0 && n > 0 && place % 7 != 0 {
                    continue;
                }
                let mut bad = good.to_vec();
                bad[place] = byte;
                damages.push((format!("byte {place} = {byte:#x}"), bad));
            }
        }
        damages
    });
    assert!(tally.refused > 30_000 && tally.same > 30_000);
}

#[test]
pub(crate) fn a_lost_sector_loses_no_payload() {
    let tally = damage_each("sectors", |good| {
        let mut damages = Vec::new();
        for start in (0..good.len()).step_by(SECTOR) {
            let end = (start + SECTOR).min(good.len());
            for filler in [0, 0xff] {
                let mut bad = good.to_vec();
                bad[start..end].fill(filler);
                damages.push((format!("sector at {start} full of {filler:#x}"), bad));
            }
            // A write that went astray leaves the sector of another place, or repeats one.
            for other in (0..good.len().saturating_sub(SECTOR)).step_by(SECTOR) {
                if end - start == SECTOR && other != start {
                    let mut bad = good.to_vec();
                    bad.copy_within(other..other + SECTOR, start);
                    damages.push((format!("sector at {start} like that at {other}"), bad));
                }
            }
        }
        damages
    });
    assert!(tally.refused > 1000 && tally.same > 100);
}

#[test]
fn another_length_loses_no_payload() {
    let tally = damage_each("lengths", |good| {
        let cuts = (0..good.len()).filter(|length| length % 3 == 0 || good.len() - length < 600);
        let mut damages: Vec<_> =
            cuts.map(|length| (format!("cut to {length}"), good[..length].to_vec())).collect();
        for more in [1, SECTOR] {
            damages.push((format!("{more} more"), [good, &vec![0; more]].concat()));
        }
        damages
    });
    assert!(tally.refused > 5000);
}

#[test]
fn a_file_that_is_gone_or_elsewhere_changes_no_payload() {
    let mut tally = Tally::default();
    for shape in shapes() {
        let one_more = format!("wal.{:03}", shape.last_segment.next().0);
        for (name, content) in &shape.files {
            let mut files = shape.files.clone();
            files.remove(name);
            tally.judge(&shape, &files, &|| format!("{name} removed"));
            for extra in [&one_more, "wal.next", "snapshot.1", "snapshot.9999", "secret.1", "x"] {
                let mut files = shape.files.clone();
                files.insert(extra.to_string(), content.clone());
                tally.judge(&shape, &files, &|| format!("{extra} is a copy of {name}"));
            }
            for (other, other_content) in &shape.files {
                let mut files = shape.files.clone();
                files.insert(other.clone(), content.clone());
                tally.judge(&shape, &files, &|| format!("{other} is a copy of {name}"));
                files.insert(name.clone(), other_content.clone());
                tally.judge(&shape, &files, &|| format!("{name} and {other} swapped"));
            }
        }
    }
    tally.tell("files");
    assert!(tally.refused > 100 && tally.same > 10);
}

/// A file as it was earlier: a backup that was put back, or a disk that lost a while.
#[test]
fn an_old_copy_of_a_file_changes_no_payload() {
    let mut tally = Tally::default();
    let storage = MemoryStorage::default();
    let mut journal = Journal::set_up(storage.shared(), None, 22).unwrap();
    let mut old = Vec::new();
    for step in 0..24 {
        old.push(storage.disk().files());
        journal.append_any().unwrap();
        if step % 6 == 5 {
            journal.rotate().unwrap();
            if step < 12 {
                journal.snapshot_here().unwrap();
            }
            journal.append_any().unwrap();
        }
    }
    journal.mark().unwrap();
    // The end of the log can be taken back by an old copy of the last segment, and only there.
    let last_segment = journal.segment();
    let (name, files) = ("old copies", storage.disk().files());
    let shape = Shape { name, files, history: journal.history, last_segment };
    let last = last_segment.to_string();
    for (age, old) in old.iter().enumerate() {
        for (name, content) in old.iter().filter(|(name, _)| **name != last) {
            let mut files = shape.files.clone();
            files.insert(name.clone(), content.clone());
            tally.judge(&shape, &files, &|| format!("{name} as at step {age}"));
        }
    }
    tally.tell("old copies");
    assert!(tally.refused + tally.same > 50);
}

#[test]
fn the_newest_segment_is_missed_before_a_snapshot_names_it() {
    let mut shape = Shape::new("a closed segment", |journal| {
        journal.append_any()?;
        journal.rotate()?;
        journal.append_any()
    });
    shape.files.remove("wal.001").unwrap();
    let result = recover(MemoryStorage::new(Disk::with_files(&shape.files)).shared());
    let Err(Error::Missing { file, .. }) = result.map(drop) else { panic!("a silent step back") };
    assert_eq!(file, "wal.001");
}

#[test]
fn the_end_of_a_segment_whose_successor_is_ahead_is_missed() {
    let mut shape = Shape::new("two segments", |journal| {
        journal.append_any()?;
        journal.rotate()?;
        journal.append_any()
    });
    let first = shape.files.get_mut("wal.000").unwrap();
    let end = first.iter().rposition(|&byte| byte != 0).unwrap() / SECTOR * SECTOR;
    first[end..end + SECTOR].fill(0);
    let result = recover(MemoryStorage::new(Disk::with_files(&shape.files)).shared());
    let Err(Error::Corrupt { file, fault: Fault::EndsEarly { .. }, .. }) = result.map(drop) else {
        panic!("a closed segment without its end was accepted")
    };
    assert_eq!(file, "wal.000");
}
