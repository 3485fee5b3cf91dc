//! Goal: whatever happens to a file, the next start gives the state that was acknowledged or
//! refuses and names a file; it never gives another state, and a refusal changes nothing.
//! Method: every file of a directory is damaged in turn, and each damaged copy is opened.
use std::collections::BTreeMap;
use std::path::Path;

use rewardpool_engine::core::format::Format;
use rewardpool_engine::inspect::Examination;
use rewardpool_engine::{Engine, EngineConfig, Handle, StorageKind, inspect};

use crate::copy::copy_running;
use crate::fixture::{
    PATIENCE, config, directory, draws, files, keyed, long_items, new_pool, picture, pool_of,
    stored, write_files,
};

/// The smallest segments there are, so that few bytes make many of them.
const SEGMENT_BYTES: usize = 8 << 10;

type Files = BTreeMap<String, Vec<u8>>;

/// How many starts went which way.
#[derive(Debug, Default)]
struct Tally {
    same: usize,
    refused: usize,
    /// Starts that went well although the examination told of damage.
    told: usize,
}

/// Looks at a directory before it is opened: each damage has its place.
fn examined(at: &EngineConfig, good: &str, what: &str) -> Examination {
    let found = inspect::examine(&at.directory).unwrap_or_else(|error| panic!("{what}: {error:?}"));
    for damage in &found.damages {
        let (file, offset) = damage.place().unwrap_or_else(|| panic!("{what}: {damage:?}"));
        let text = damage.to_string();
        assert!(text.contains(file), "{what}: {text}");
        match offset {
            Some(offset) => assert!(text.contains(&format!("offset {offset}")), "{what}: {text}"),
            None => assert!(text.contains("is missing"), "{what}: {text}"),
        }
    }
    if let Some(start) = &found.start {
        assert!(picture(&start.state) == good, "{what}: the examination gives another state");
    }
    assert!(found.start.is_some() || !found.damages.is_empty(), "{what}: refused without damage");
    assert!(found.verified.is_some() || !found.damages.is_empty(), "{what}: nothing was found");
    found
}

/// Opens a directory of these files, which differ from a good one by one damage.
fn probe(at: &EngineConfig, damaged: &Files, good: &str, what: &str, tally: &mut Tally) {
    write_files(&at.directory, damaged);
    let found = examined(at, good, what);
    match Engine::open(at) {
        Ok(engine) => {
            assert!(found.start.is_some(), "{what}: a start that should refuse");
            tally.told += usize::from(!found.damages.is_empty());
            engine.stop().unwrap();
            assert!(stored(&at.directory) == good, "{what}: another state");
            tally.same += 1;
        }
        Err(error) => {
            assert!(error.is_corruption(), "{what}: {error:?}");
            let text = error.to_string();
            let names = ["POOL", "secret.", "wal.", "snapshot"];
            assert!(names.iter().any(|name| text.contains(name)), "{what}: {text}");
            assert!(files(&at.directory) == *damaged, "{what}: a refusal changed a file");
            assert!(found.start.is_none(), "{what}: a start that should succeed");
            assert_eq!(found.damages[0].place(), error.place(), "{what}");
            assert_eq!(found.damages[0].to_string(), text, "{what}");
            tally.refused += 1;
        }
    }
}

/// Places that are changed: all over the short files, and in a segment more of what it holds than
/// of the zeros behind.
fn places(name: &str, bytes: &[u8]) -> Vec<usize> {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let step = if name.starts_with("wal.") || used > 4096 { 23 } else { 7 };
    (0..used).step_by(step).chain((used..bytes.len()).step_by(331)).collect()
}

fn damage_everything(at: &EngineConfig, original: &Files, good: &str) -> Tally {
    let mut tally = Tally::default();
    let changes = [0x01, 0xff, 0x80, 0x20];
    for (name, bytes) in original {
        let mut damaged = original.clone();
        for (turn, place) in places(name, bytes).into_iter().enumerate() {
            let change = changes[turn % changes.len()];
            damaged.get_mut(name).unwrap()[place] ^= change;
            probe(at, &damaged, good, &format!("{name} byte {place} ^ {change:#x}"), &mut tally);
            damaged.get_mut(name).unwrap()[place] ^= change;
        }
        let length = bytes.len();
        for cut in [0, 1, 100, 511, 512, 513, length / 2, length.saturating_sub(1)] {
            if cut < length {
                damaged.insert(name.clone(), bytes[..cut].to_vec());
                probe(at, &damaged, good, &format!("{name} cut to {cut}"), &mut tally);
            }
        }
        damaged.insert(name.clone(), [&bytes[..], &[0; 512]].concat());
        probe(at, &damaged, good, &format!("{name} grown"), &mut tally);
        damaged.remove(name);
        probe(at, &damaged, good, &format!("{name} removed"), &mut tally);
    }
    tally
}

/// A pool whose snapshot is longer than segments, so that the newest snapshot does not stand at
/// the last segment, and one whose snapshot is short.
fn fill(handle: &Handle, items: usize) {
    handle.create_pool(pool_of("many", long_items(items, 3)), PATIENCE).unwrap();
    let few = new_pool("few", &[("gold", 1, 5), ("rock", 9, -1)]);
    let few = handle.create_pool(few, PATIENCE).unwrap();
    let many = handle.pool("many").unwrap();
    for turn in 0..24 {
        handle.draw(draws(few, 30), PATIENCE).unwrap();
        handle.draw(keyed(many, 2, &format!("key {turn}")), PATIENCE).unwrap();
    }
}

fn rot(format: Format, storage: StorageKind, items: usize) {
    let (place, scratch, unclean) = (directory(), directory(), directory());
    let small = |directory: &Path| EngineConfig {
        segment_bytes: SEGMENT_BYTES,
        ..config(directory, format, storage)
    };
    let engine = Engine::open(&small(place.path())).unwrap();
    fill(&engine.handle(), items);
    copy_running(place.path(), unclean.path());
    engine.stop().unwrap();
    let last = inspect::load(place.path()).unwrap().0.last_request_id();
    let mut told = 0;
    for source in [place.path(), unclean.path()] {
        let (state, _) = inspect::load(source).unwrap();
        assert_eq!(state.last_request_id(), last);
        let tally = damage_everything(&small(scratch.path()), &files(source), &picture(&state));
        let damages = u64::try_from(tally.same + tally.refused).unwrap();
        rewardpool_tally::record("T3 rot on files, verify and start agree", damages, damages, 0);
        assert!(tally.same > 0 && tally.refused > 0, "{tally:?}");
        told += tally.told;
    }
    // A copy may be taken before there is a second snapshot, which a start could do without.
    assert!(told > 0, "no damage was told beside a good start");
}

#[test]
fn rot_in_binary_files() {
    rot(Format::Binary, StorageKind::File, 5);
}

#[test]
fn rot_in_binary_files_with_long_snapshots() {
    rot(Format::Binary, StorageKind::Mmap, 200);
}

#[test]
fn rot_in_json_files() {
    rot(Format::Json, StorageKind::Mmap, 5);
}

#[test]
fn rot_in_json_files_with_long_snapshots() {
    rot(Format::Json, StorageKind::File, 100);
}

#[test]
fn rot_in_string_line_files() {
    rot(Format::StringLine, StorageKind::Mmap, 5);
}

#[test]
fn rot_in_string_line_files_with_long_snapshots() {
    rot(Format::StringLine, StorageKind::File, 100);
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    for damage in [0, 100] {
        let place = directory();
        let config = config(place.path(), Format::Binary, StorageKind::File);
        let engine = Engine::open(&config).unwrap();
        fill(&engine.handle(), 5);
        engine.stop().unwrap();
        let good = stored(place.path());
        let mut files = files(place.path());
        let newest = inspect::snapshots(place.path()).unwrap().pop().unwrap();
        files.get_mut(&newest.name).unwrap()[damage] ^= 1;
        write_files(place.path(), &files);
        let engine = Engine::open(&config).unwrap();
        assert_eq!(engine.recovery().damaged_snapshots.len(), 1);
        assert!(engine.recovery().snapshot_lsn < newest.lsn);
        engine.handle().take_snapshot(PATIENCE).unwrap();
        engine.stop().unwrap();
        assert_eq!(stored(place.path()), good);
        inspect::verify(place.path()).unwrap();
        assert_eq!(inspect::snapshots(place.path()).unwrap().len(), 2);
    }
}

/// Segments that are gone are missed, also when no snapshot names them: the last record of the
/// segment before says that there is another.
#[test]
fn the_loss_of_the_last_segments_is_noticed() {
    let (place, scratch) = (directory(), directory());
    let config = |directory: &Path| EngineConfig {
        segment_bytes: SEGMENT_BYTES,
        ..config(directory, Format::Binary, StorageKind::File)
    };
    let engine = Engine::open(&config(place.path())).unwrap();
    let handle = engine.handle();
    let many = handle.create_pool(pool_of("many", long_items(2000, 3)), PATIENCE).unwrap();
    // The segments that follow are much shorter than this snapshot, so there is no other one.
    handle.take_snapshot(PATIENCE).unwrap();
    for _ in 0..100 {
        handle.draw(draws(many, 1), PATIENCE).unwrap();
    }
    engine.stop().unwrap();
    let good = stored(place.path());
    let mut left = files(place.path());
    let snapshots = inspect::snapshots(place.path()).unwrap();
    let named = snapshots.last().unwrap().next_segment.clone();
    let mut lost = 0;
    while let Some((name, _)) = left.iter().rfind(|(name, _)| name.starts_with("wal.")) {
        if *name < named {
            break;
        }
        let name = name.clone();
        left.remove(&name);
        probe(&config(scratch.path()), &left, &good, &name, &mut Tally::default());
        write_files(scratch.path(), &left);
        assert!(inspect::verify(scratch.path()).unwrap_err().is_corruption());
        lost += 1;
    }
    assert!(lost >= 2, "only {lost} segments follow the newest snapshot");
}

/// Each file that holds more than a segment's zeros is told by its name when a byte of it changes,
/// whether a start needs it or not.
#[test]
fn every_damaged_file_is_told_also_those_that_a_start_does_not_need() {
    for format in Format::ALL {
        let (place, scratch) = (directory(), directory());
        let small = |directory: &Path| EngineConfig {
            segment_bytes: SEGMENT_BYTES,
            ..config(directory, format, StorageKind::File)
        };
        let engine = Engine::open(&small(place.path())).unwrap();
        fill(&engine.handle(), 200);
        engine.stop().unwrap();
        let original = files(place.path());
        let (state, _) = inspect::load(place.path()).unwrap();
        let snapshots = inspect::snapshots(place.path()).unwrap();
        assert_eq!(snapshots.len(), 2);
        let at = small(scratch.path());
        // All files at once: no damage hides another.
        let mut all = original.clone();
        for (name, bytes) in &original {
            let mut damaged = original.clone();
            // In a segment the first byte of the first payload, else one in the middle.
            let place = if name.starts_with("wal.") { 512 + 64 } else { bytes.len() / 2 };
            for files in [&mut damaged, &mut all] {
                files.get_mut(name).unwrap()[place] ^= 1;
            }
            write_files(&at.directory, &damaged);
            let found = examined(&at, &picture(&state), name);
            assert!(files(&at.directory) == damaged, "{name}: looking changed a file");
            let told = |file: &str| found.damages.iter().any(|d| d.place().unwrap().0 == file);
            assert!(told(name), "{format} {name}: {:?}", found.damages);
            assert!(found.start.is_some() || found.damages[0].place().unwrap().0 == name);
            assert!(inspect::verify(&at.directory).is_err());
        }
        all.insert("POOL".to_owned(), original["POOL"].clone());
        write_files(&at.directory, &all);
        let found = examined(&at, &picture(&state), "all files");
        let told: Vec<_> = found.damages.iter().map(|d| d.place().unwrap().0).collect();
        // Which secrets are right stands in a snapshot, and there is no good one left.
        let known = |name: &&String| !name.starts_with("secret.") && *name != "POOL";
        for name in original.keys().filter(known) {
            assert!(told.contains(&name.as_str()), "{format} {name}: {told:?}");
        }
    }
}
