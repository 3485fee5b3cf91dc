//! Goal: what the offline tools say is true and agrees with each other. Method: the same commands
//! in all formats, then every tool on what they left.
use rewardpool_engine::core::command::{
    AdminCommand, ItemChange, KeyHash, Note, PoolStatus, QuantityChange,
};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::ItemId;
use rewardpool_engine::inspect::{self, SegmentStatus};
use rewardpool_engine::{Engine, EngineConfig, Handle, Request};
use serde_json::Value;

use crate::fixture::{
    COMBINATIONS, PATIENCE, all_or_nothing, change, config, directory, draws, item, keyed, new_pool,
};

const POOL: PoolNumber = PoolNumber(0);

fn command_all(handle: &Handle) {
    let items = [("gold", 1, 5), ("silver", 10, 500), ("rock", 90, -1)];
    handle.create_pool(new_pool("summer", &items), PATIENCE).unwrap();
    let note = || Note::new("anna", "said \"so\" | \\").unwrap();
    let id = |name: &str| ItemId::new(name).unwrap();
    for turn in 0..50 {
        handle.draw(draws(POOL, 1 + turn % 5), PATIENCE).unwrap();
    }
    handle.draw(keyed(POOL, 4, "key"), PATIENCE).unwrap();
    handle.draw(all_or_nothing(POOL, 4), PATIENCE).unwrap();
    let key = KeyHash::of(b"key").unwrap();
    handle.call(Request::FindDraw { pool: POOL, key }, PATIENCE).map(drop).unwrap();
    let units = ItemChange { quantity: Some(QuantityChange::Add(-3)), weight: Some(11) };
    let item_of = |name: &str, change| AdminCommand::UpdateItem {
        pool: POOL,
        item: id(name),
        change,
        note: note(),
    };
    change(handle, item_of("silver", units)).unwrap();
    change(handle, AdminCommand::AddItem { pool: POOL, item: item("late", 2, 3), note: note() })
        .unwrap();
    change(handle, AdminCommand::RetireItem { pool: POOL, item: id("gold"), note: note() })
        .unwrap();
    for status in [PoolStatus::Paused, PoolStatus::Active, PoolStatus::Closed] {
        change(handle, AdminCommand::SetStatus { pool: POOL, status, note: note() }).unwrap();
    }
}

/// The records that come from commands, without positions and times: the engine adds records of
/// its own when it is idle or a segment is full.
fn commands(text: &str) -> Vec<Value> {
    let mut records = Vec::new();
    for line in text.lines() {
        let mut record: Value = serde_json::from_str(line).unwrap();
        let fields = record.as_object_mut().unwrap();
        let kind = fields.values().filter_map(Value::as_str).find_map(|text| {
            ["snapshot", "rotate", "marker", "digest", "closed"].into_iter().find(|k| *k == text)
        });
        let own = kind.is_some() && !fields.contains_key("pool");
        assert!(fields.remove("lsn").is_some(), "{line}");
        if !own {
            records.push(record);
        }
    }
    records
}

fn cat(config: &EngineConfig, segment: Option<u32>) -> String {
    let mut text = Vec::new();
    let records = inspect::cat(&config.directory, segment, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count() as u64, records);
    text
}

#[test]
fn the_same_commands_read_the_same_in_all_formats() {
    let mut texts = Vec::new();
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let plain = config(place.path(), format, storage);
        let config = EngineConfig { segment_bytes: 1 << 20, ..plain };
        let engine = Engine::open(&config).unwrap();
        command_all(&engine.handle());
        engine.stop().unwrap();
        texts.push(commands(&cat(&config, None)));
    }
    assert_eq!(texts[0].len(), 1 + 50 + 2 + 3 + 3);
    for text in &texts[1..] {
        assert_eq!(*text, texts[0]);
    }
}

#[test]
fn reports_agree_with_each_other() {
    for (format, storage) in COMBINATIONS {
        let place = directory();
        let config = config(place.path(), format, storage);
        let engine = Engine::open(&config).unwrap();
        command_all(&engine.handle());
        engine.stop().unwrap();
        let verified = inspect::verify(place.path()).unwrap();
        let segments = inspect::segments(place.path()).unwrap();
        let snapshots = inspect::snapshots(place.path()).unwrap();
        let (state, report) = inspect::load(place.path()).unwrap();

        assert_eq!(verified.segments as usize, segments.len());
        assert_eq!(verified.snapshots as usize, snapshots.len());
        assert_eq!(verified.records, segments.iter().map(|segment| segment.records).sum::<u64>());
        assert_eq!(verified.state_sha256, state.state_hash());
        assert_eq!((verified.last_lsn, report.last_lsn), (state.last_lsn(), state.last_lsn()));
        assert_eq!(verified.last_request_id, state.last_request_id());
        assert_eq!(snapshots[0].next_segment, segments[0].name);
        assert_eq!(snapshots[0].lsn + 1, segments[0].first_lsn);
        let (last, rotated) = segments.split_last().unwrap();
        assert_eq!((last.status, last.last_lsn), (SegmentStatus::Closed, Some(verified.last_lsn)));
        assert!(rotated.iter().all(|segment| segment.status == SegmentStatus::Rotated));
        for pair in segments.windows(2) {
            assert_eq!(pair[0].last_lsn.map(|lsn| lsn + 1), Some(pair[1].first_lsn));
        }
        let mut lines = String::new();
        for segment in &segments {
            assert_eq!((segment.format, segment.torn_at), (format, None));
            assert!(segment.used_bytes <= segment.bytes && segment.batches <= segment.records);
            let number = segment.name.strip_prefix("wal.").unwrap().parse().unwrap();
            lines += &cat(&config, Some(number));
        }
        assert_eq!(lines, cat(&config, None));
        assert!(inspect::cat(place.path(), Some(9999), &mut Vec::new()).is_err());
    }
}

#[test]
fn a_directory_without_a_log_is_refused_by_name() {
    let place = directory();
    let error = inspect::verify(place.path()).unwrap_err();
    assert!(error.is_corruption() && error.to_string().contains("POOL"), "{error}");
    assert!(Format::ALL.len() == 3 && std::fs::read_dir(place.path()).unwrap().next().is_none());
}
