//! What the tests share: directories, pools, commands, and a picture of a state to compare.
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rewardpool_engine::core::catalog::{Catalog, CatalogItem};
use rewardpool_engine::core::command::{
    AdminCommand, DrawCommand, DrawCount, DrawMode, KeyHash, KeyLimits, PoolSpec,
};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::core::ids::PoolNumber;
use rewardpool_engine::core::name::{ItemId, PoolId};
use rewardpool_engine::core::quantity::Quantity;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::core::state::State;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, Handle, NewPool, Refusal, Request, Scheduling, StorageKind,
    inspect,
};
use tempfile::TempDir;

/// Each format with each storage.
pub(crate) const COMBINATIONS: [(Format, StorageKind); 6] = [
    (Format::Binary, StorageKind::File),
    (Format::Binary, StorageKind::Mmap),
    (Format::Json, StorageKind::File),
    (Format::Json, StorageKind::Mmap),
    (Format::StringLine, StorageKind::File),
    (Format::StringLine, StorageKind::Mmap),
];
/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Small enough that a few dozen batches fill it.
pub(crate) const SEGMENT_BYTES: usize = 16 << 10;

/// A directory in memory where there is one: the bytes are the same, the syncs cost nothing.
pub(crate) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

pub(crate) fn config(directory: &Path, format: Format, storage: StorageKind) -> EngineConfig {
    EngineConfig {
        directory: directory.to_owned(),
        storage,
        format,
        segment_bytes: SEGMENT_BYTES,
        mailbox_capacity: 1024,
        batch_draws_max: 16_384,
        scheduling: Scheduling::Normal,
    }
}

/// A new pool of items (name, weight, units; -1 is unlimited) with a secret made of its name.
pub(crate) fn new_pool(name: &str, items: &[(&str, u64, i64)]) -> NewPool {
    let items = items.iter().map(|&(id, weight, units)| item(id, weight, units)).collect();
    pool_of(name, items)
}

pub(crate) fn pool_of(name: &str, items: Vec<CatalogItem>) -> NewPool {
    let spec = PoolSpec {
        id: PoolId::new(name).unwrap(),
        catalog: Catalog::new(items).unwrap(),
        selector: SelectorKind::Auto,
        keys: KeyLimits::default(),
    };
    let mut secret = [7; 32];
    secret[..name.len()].copy_from_slice(name.as_bytes());
    NewPool { spec, secret: Some(secret) }
}

pub(crate) fn item(id: &str, weight: u64, units: i64) -> CatalogItem {
    let quantity = Quantity::from_number(units).unwrap();
    CatalogItem { id: ItemId::new(id).unwrap(), weight, quantity }
}

/// Many items whose names are as long as they may be.
pub(crate) fn long_items(count: usize, units: i64) -> Vec<CatalogItem> {
    (0..count).map(|place| item(&format!("{place:0>64}"), 1, units)).collect()
}

pub(crate) fn draws(pool: PoolNumber, count: i64) -> DrawCommand {
    let count = DrawCount::new(count).unwrap();
    DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None }
}

pub(crate) fn all_or_nothing(pool: PoolNumber, count: i64) -> DrawCommand {
    DrawCommand { mode: DrawMode::AllOrNothing, ..draws(pool, count) }
}

pub(crate) fn keyed(pool: PoolNumber, count: i64, key: &str) -> DrawCommand {
    DrawCommand { key: KeyHash::of(key.as_bytes()), ..draws(pool, count) }
}

pub(crate) fn change(handle: &Handle, command: AdminCommand) -> Result<u64, Refusal> {
    let (answer, _) = handle.call(Request::Change(Box::new(command)), PATIENCE)?;
    let Answer::Changed { catalog_version, .. } = answer else { panic!("{answer:?}") };
    Ok(catalog_version)
}

/// All of a state that records change, except for positions and times.
pub(crate) fn picture(state: &State) -> String {
    let mut text = format!("last request {}\n", state.last_request_id());
    for pool in state.pools() {
        let totals = (pool.status, pool.catalog_version, pool.draws, pool.awards, pool.empties);
        let weights = (pool.available_weight, pool.listed_weight, pool.drawable_units);
        let keys = (pool.keys.keys, pool.keys.outcomes, pool.keys.limits);
        let id = pool.names.id();
        writeln!(text, "{id:?} {totals:?} {weights:?} {keys:?} {:?}", pool.commitment).unwrap();
        for item in state.items(pool.number, 0, usize::MAX).unwrap() {
            writeln!(text, "{:?} {item:?}", pool.names.items().get(item.index)).unwrap();
        }
    }
    writeln!(text, "digest {:016x}", state.digest()).unwrap();
    text
}

/// The picture of a directory that nobody has open, after its sums were checked.
pub(crate) fn stored(directory: &Path) -> String {
    let (state, _) = inspect::load(directory).unwrap();
    state.check().unwrap();
    picture(&state)
}

/// Everything that a client can read, except for positions in the log.
pub(crate) fn readable(handle: &Handle) -> String {
    let mut text = String::new();
    let pools = Request::ReadPools { from: 0, limit: usize::MAX };
    let (Answer::Pools(page), _) = handle.call(pools, PATIENCE).unwrap() else { panic!() };
    for pool in &page.pools {
        let read = Request::ReadPool { pool: pool.number, from: 0, limit: usize::MAX };
        let (Answer::Pool(page), _) = handle.call(read, PATIENCE).unwrap() else { panic!() };
        writeln!(text, "{} {:?}", page.last_request_id, page.summary).unwrap();
        for item in &page.items {
            writeln!(text, "{:?} {item:?}", page.names.get(item.index)).unwrap();
        }
    }
    text
}

/// Opens, stops, and gives the picture of what is there then.
pub(crate) fn reopened(config: &EngineConfig) -> String {
    Engine::open(config).unwrap().stop().unwrap();
    stored(&config.directory)
}

/// Every file of a directory.
pub(crate) fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let named = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    entries
        .map(|entry| (entry.path(), named(entry)))
        .map(|(p, n)| (n, fs::read(p).unwrap()))
        .collect()
}

/// Makes a directory hold exactly these files.
pub(crate) fn write_files(directory: &Path, files: &BTreeMap<String, Vec<u8>>) {
    fs::create_dir_all(directory).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}
