//! The configuration: any text is taken or refused with its faults, soon, and the same each time.
use std::collections::BTreeSet;
use std::path::Path;

use rewardpool_server::config::{Config, ConfigError};

/// Longer texts only take longer.
const BYTES_MAX: usize = 16 << 10;

/// The input is the text of a file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(&data[..data.len().min(BYTES_MAX)]) else { return };
    let path = Path::new("pool.yaml");
    match Config::parse(path, text) {
        Ok(config) => check(&config, text),
        Err(error @ ConfigError::Invalid { .. }) => {
            let told = error.to_string();
            assert!(told.lines().all(|line| line.starts_with("pool.yaml:")), "{told}");
            let is_plain = |letter: char| letter == '\n' || !letter.is_control();
            assert!(told.chars().all(is_plain), "a terminal is steered: {told:?}");
            let again = Config::parse(path, text).map_err(|error| error.to_string());
            assert_eq!(again.err(), Some(told), "the same text is refused again");
        }
        Err(error) => panic!("no file was read: {error}"),
    }
}

/// What was taken keeps to its bounds, and is taken again.
fn check(config: &Config, text: &str) {
    let again = Config::parse(Path::new("pool.yaml"), text);
    assert_eq!(again.ok().as_ref(), Some(config), "the same text gives the same");
    assert!((64 << 10..=4 << 30).contains(&config.wal.segment_bytes));
    assert!((1..=1_000_000).contains(&config.wal.mailbox_capacity));
    assert!((1..=10_000_000).contains(&config.wal.batch_draws_max));
    let is_local = config.grpc.listen_address.ip().is_loopback();
    assert!(is_local || config.grpc.insecure, "nobody else is let in by accident");
    let names: BTreeSet<_> = config.pools.iter().map(|pool| pool.spec.id.as_str()).collect();
    assert_eq!(names.len(), config.pools.len(), "names of pools are unique");
    for pool in &config.pools {
        assert!(pool.seed.is_none() || config.test_mode, "draws are predictable in tests only");
        assert!(!pool.spec.catalog.items().is_empty(), "a pool has items");
    }
}
