//! Goal: damage to a file is overcome or refused. Method: files are damaged and opened.
use rewardpool_engine::core::format::Format;
use rewardpool_engine::{Engine, Handle, StorageKind, inspect};

use crate::fixture::{
    PATIENCE, config, directory, draws, files, keyed, long_items, new_pool, pool_of, stored,
    write_files,
};

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
