//! Goal: the log keeps one law, whatever it is stored with.
//!
//! Method: each rule is a function over a storage; every storage is put through all of them.
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rewardpool_wal::storage::{FileStorage, MmapStorage, Storage};
use rewardpool_wal::{
    Appender, Error, LogReader, Prepared, SECTOR, SnapshotHeader, remove_leftovers, segment_name,
    snapshot_name,
};

use crate::journal::{
    FORMAT, IDENTITY, Journal, Payload, SEGMENT_BYTES, body_of, records_of, recover,
};
use rewardpool_sim::{Faults, MemoryStorage, Numbers};

/// Makes empty storages. `reopen` gives another view of the same directory, as a new process has.
trait Maker {
    fn reopen(&self) -> Arc<dyn Storage>;
}

struct OnFiles(tempfile::TempDir);
struct OnMaps(tempfile::TempDir);
struct InMemory(MemoryStorage);

fn open(path: &Path) -> FileStorage {
    FileStorage::open(path).unwrap()
}

impl Maker for OnFiles {
    fn reopen(&self) -> Arc<dyn Storage> {
        Arc::new(open(self.0.path()))
    }
}

impl Maker for OnMaps {
    fn reopen(&self) -> Arc<dyn Storage> {
        Arc::new(MmapStorage::new(open(self.0.path())))
    }
}

impl Maker for InMemory {
    fn reopen(&self) -> Arc<dyn Storage> {
        self.0.shared()
    }
}

fn for_each_storage(rule: impl Fn(&dyn Maker)) {
    rule(&OnFiles(tempfile::tempdir().unwrap()));
    rule(&OnMaps(tempfile::tempdir().unwrap()));
    rule(&InMemory(MemoryStorage::default()));
}

fn files_of(storage: &dyn Storage) -> BTreeMap<String, Vec<u8>> {
    let content = |name: String| {
        let mut bytes = Vec::new();
        storage.read(&name, &mut bytes).unwrap();
        (name, bytes)
    };
    storage.list().unwrap().into_iter().map(content).collect()
}

fn set_up(maker: &dyn Maker) -> Journal {
    Journal::set_up(maker.reopen(), None, 31).unwrap()
}

fn resume(maker: &dyn Maker, history: &[Payload]) -> Journal {
    let recovered = recover(maker.reopen()).unwrap().unwrap();
    assert_eq!(recovered.payloads(), history.len());
    assert!(recovered.agrees(history) && recovered.damaged.is_empty());
    assert!(!recovered.is_torn, "nothing was cut off");
    Journal::resume(maker.reopen(), None, recovered, history).unwrap()
}

#[test]
fn a_directory_without_a_log_holds_none() {
    for_each_storage(|maker| {
        assert!(LogReader::open(maker.reopen()).unwrap().is_none());
        // A set-up that was broken off is none either, and may start over.
        let prepared = Prepared::create(maker.reopen(), SEGMENT_BYTES).unwrap();
        drop(Appender::begin(maker.reopen(), IDENTITY, FORMAT, prepared).unwrap());
        assert!(LogReader::open(maker.reopen()).unwrap().is_none());
        let journal = set_up(maker);
        resume(maker, &journal.history);
    });
}

#[test]
fn what_was_appended_is_replayed_in_order_after_every_step() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        for step in 0..60 {
            match step % 10 {
                7 => journal.rotate().unwrap(),
                8 => journal.snapshot_here().unwrap(),
                _ => journal.append_any().unwrap(),
            }
            let before = journal.log().position();
            // Every second time the writer goes away and another one takes over.
            if step % 2 == 0 {
                let history = journal.history.clone();
                drop(journal);
                journal = resume(maker, &history);
                assert_eq!(journal.log().position(), before);
            }
            let found = recover(maker.reopen()).unwrap().unwrap();
            assert_eq!(found.payloads(), journal.history.len());
            assert!(found.agrees(&journal.history), "step {step}");
            assert_eq!(found.tail.chain(), before.chain);
            assert_eq!(found.tail.segment(), before.segment);
        }
    });
}

#[test]
fn every_storage_writes_the_same_bytes() {
    let life = |maker: &dyn Maker| {
        let mut journal = set_up(maker);
        journal.live(5, 6).unwrap();
        let history = journal.history.clone();
        drop(journal);
        let mut journal = resume(maker, &history);
        journal.rotate().unwrap();
        journal.append_any().unwrap();
        files_of(maker.reopen().as_ref())
    };
    let on_files = life(&OnFiles(tempfile::tempdir().unwrap()));
    assert_eq!(on_files, life(&OnMaps(tempfile::tempdir().unwrap())));
    assert_eq!(on_files, life(&InMemory(MemoryStorage::default())));
    assert!(on_files.len() > 5);
}

#[test]
fn a_segment_is_filled_to_its_last_sector() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        let room = journal.log().payload_room();
        assert!(Appender::segment_bytes_for(room) <= SEGMENT_BYTES);
        assert!(Appender::segment_bytes_for(room + 1) > SEGMENT_BYTES);
        journal.append(&Payload::random(room, 9, &mut Numbers(1))).unwrap();
        assert_eq!(journal.log().payload_room(), 0);
        journal.rotate().unwrap();
        journal.append_any().unwrap();
        let payload = Payload { bytes: b"the end".to_vec(), count: 1 };
        journal.log().close(&payload.bytes, 1_000_000).unwrap();
        journal.history.push(payload);
        resume(maker, &journal.history);
    });
}

#[test]
fn replay_stops_at_the_end_of_the_segment_it_was_told() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        let mut ends = Vec::new();
        for _ in 0..3 {
            journal.append_any().unwrap();
            let segment = journal.segment();
            journal.rotate().unwrap();
            ends.push((segment, records_of(&journal.history)));
        }
        journal.append_any().unwrap();
        let reader = LogReader::open(maker.reopen()).unwrap().unwrap();
        let (snapshot, _) = reader.newest_snapshot().unwrap();
        for (segment, end) in ends {
            let replayed = reader
                .replay(&snapshot.header, Some(segment), &mut |_, _| Ok::<_, Error>(()))
                .unwrap();
            assert_eq!(replayed.tail.last_lsn(), end);
            assert_eq!(replayed.segments, segment.0 + 1);
        }
    });
}

#[test]
fn snapshots_come_back_as_they_were() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        journal.append_any().unwrap();
        journal.rotate().unwrap();
        let (lsn, chain) = (journal.log().position().lsn, journal.log().position().chain);
        let next_segment = journal.segment();
        for length in [0, 1, 100_000] {
            let body = vec![b'x'; length];
            let header = SnapshotHeader {
                identity: IDENTITY,
                lsn,
                chain,
                next_segment,
                time_ms: 9,
                epoch: 1,
            };
            let sha256 = header.publish(maker.reopen().as_ref(), &body).unwrap();
            let reader = LogReader::open(maker.reopen()).unwrap().unwrap();
            assert_eq!(reader.snapshots(), [0, lsn]);
            let snapshot = reader.load_snapshot(lsn).unwrap();
            assert_eq!((snapshot.header, snapshot.sha256), (header, sha256));
            assert_eq!(snapshot.body(), body);
        }
    });
}

#[test]
fn pruning_keeps_two_good_snapshots_and_what_they_need() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        for round in 0..5 {
            journal.append_any().unwrap();
            journal.rotate().unwrap();
            journal.append_any().unwrap();
            journal.rotate().unwrap();
            journal.snapshot_here().unwrap();
            let reader = LogReader::open(maker.reopen()).unwrap().unwrap();
            let [older, newer] = reader.snapshots()[..] else { panic!("round {round}") };
            assert_eq!(newer, records_of(&journal.history));
            let oldest = reader.load_snapshot(older).unwrap().header.next_segment;
            assert_eq!(reader.segments().first(), Some(&oldest));
            assert_eq!(reader.segments().last(), Some(&journal.segment()));
            assert!(reader.prune(None).unwrap().is_empty(), "there is nothing left to remove");
        }
    });
}

/// Regression: with a damaged snapshot in the middle, pruning failed, and with it the start.
#[test]
fn pruning_passes_over_a_damaged_snapshot() {
    let storage = MemoryStorage::default();
    let mut journal = Journal::set_up(storage.shared(), None, 32).unwrap();
    journal.append_any().unwrap();
    journal.rotate().unwrap();
    journal.snapshot_here().unwrap();
    let damaged = snapshot_name(records_of(&journal.history));
    storage.shared().open(&damaged).unwrap().write_at(200, b"rot").unwrap();
    for _ in 0..2 {
        journal.append_any().unwrap();
        journal.rotate().unwrap();
        journal.snapshot_here().unwrap();
        let reader = LogReader::open(storage.shared()).unwrap().unwrap();
        let good = reader.snapshots().iter().filter(|&&lsn| reader.load_snapshot(lsn).is_ok());
        assert_eq!(good.count(), 2);
    }
    assert!(!storage.disk().files().contains_key(&damaged), "it is removed when it is the oldest");
    // The good ones are enough even when the newest is damaged as well.
    let newest = snapshot_name(records_of(&journal.history));
    storage.shared().open(&newest).unwrap().write_at(200, b"rot").unwrap();
    let recovered = recover(storage.shared()).unwrap().unwrap();
    assert!(recovered.agrees(&journal.history) && recovered.damaged.len() == 1);
}

fn full(bytes_left: usize) -> Faults {
    Faults { bytes_left: Some(bytes_left), ..Faults::default() }
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let storage = MemoryStorage::default();
    let mut journal = Journal::set_up(storage.shared(), None, 33).unwrap();
    journal.append_any().unwrap();
    let before = storage.disk().files();
    for more in [0, 1, SECTOR, SEGMENT_BYTES - 1] {
        storage.set_faults(full(more));
        let error = Prepared::create(storage.shared(), SEGMENT_BYTES).map(drop).unwrap_err();
        assert!(error.is_out_of_space() && !error.is_corruption(), "{error:?}");
        assert_eq!(storage.disk().files(), before);
    }
    for more in [0, 50, 500] {
        storage.set_faults(full(more));
        let error = journal.snapshot_here().unwrap_err();
        assert!(error.is_out_of_space(), "{error:?}");
        assert_eq!(storage.disk().files(), before);
    }
    // A batch has its room already, so it is taken even now.
    storage.set_faults(full(0));
    journal.append_any().unwrap();
    storage.set_faults(Faults::default());
    journal.rotate().unwrap();
    assert!(recover(storage.shared()).unwrap().unwrap().agrees(&journal.history));
}

/// Regression: when not even the file could be made, its removal failed and hid the reason.
#[test]
fn a_disk_without_room_for_a_name_is_a_full_disk() {
    let storage = MemoryStorage::default();
    let mut journal = Journal::set_up(storage.shared(), None, 34).unwrap();
    let before = storage.disk().files();
    storage.set_faults(Faults { is_out_of_inodes: true, ..Faults::default() });
    let prepared = Prepared::create(storage.shared(), SEGMENT_BYTES).map(drop);
    for error in [prepared.unwrap_err(), journal.snapshot_here().unwrap_err()] {
        assert!(error.is_out_of_space(), "{error:?}");
    }
    assert_eq!(storage.disk().files(), before);
}

#[test]
fn leftovers_are_no_part_of_the_log() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        journal.append_any().unwrap();
        let storage = maker.reopen();
        let before = files_of(storage.as_ref());
        for name in ["wal.next.7", "snapshot.9.tmp", "POOL.tmp"] {
            storage.create(name).unwrap().write_at(0, b"unfinished").unwrap();
        }
        resume(maker, &journal.history);
        remove_leftovers(storage.as_ref()).unwrap();
        assert_eq!(files_of(storage.as_ref()), before);
        drop(Prepared::create(Arc::clone(&storage), SEGMENT_BYTES).unwrap());
        assert_eq!(files_of(storage.as_ref()), before, "an unused segment goes away");
    });
}

#[test]
fn a_mark_that_is_gone_is_missed() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        journal.append_any().unwrap();
        maker.reopen().remove("POOL").unwrap();
        let error = LogReader::open(maker.reopen()).map(drop).unwrap_err();
        assert!(matches!(error, Error::Missing { ref file, .. } if file == "POOL"), "{error:?}");
    });
}

#[test]
fn damage_on_a_real_disk_is_refused_by_name() {
    for_each_storage(|maker| {
        let mut journal = set_up(maker);
        for _ in 0..4 {
            journal.append_any().unwrap();
        }
        journal.mark().unwrap();
        let name = segment_name(journal.segment());
        let mut files = files_of(maker.reopen().as_ref());
        let used = journal.log().used_bytes();
        drop(journal);
        let good = files.remove(&name).unwrap();
        for offset in (0..used).step_by(61) {
            let mut file = maker.reopen().open(&name).unwrap();
            file.write_at(offset as u64, &[!good[offset]]).unwrap();
            drop(file);
            if let Err(error) = recover(maker.reopen()) {
                assert!(error.is_corruption() && error.to_string().contains(&name), "{error}");
            }
            let mut file = maker.reopen().open(&name).unwrap();
            file.write_at(offset as u64, &good[offset..=offset]).unwrap();
        }
        recover(maker.reopen()).unwrap().unwrap();
    });
}

#[test]
fn a_body_tells_its_history() {
    let mut numbers = Numbers(1);
    let payloads: Vec<_> = (1..4).map(|n| Payload::random(10, n, &mut numbers)).collect();
    assert_ne!(body_of(&payloads), body_of(&payloads[..2]));
    assert_eq!(records_of(&payloads), 6);
}
