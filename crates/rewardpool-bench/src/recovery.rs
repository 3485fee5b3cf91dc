//! How long a start takes: replay of many records, and a pool of many items.
#![expect(clippy::print_stdout, reason = "the output of the program")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rewardpool_engine::core::selector::SelectorKind;
use rewardpool_engine::{Engine, EngineConfig, inspect};

use crate::catalog::{config, pool};
use crate::engine::{Shape, measure};
use crate::table::{float, per_second, rate, row};

const PATIENCE: Duration = Duration::from_mins(1);
/// Large enough that nothing rotates, so that everything is replayed.
const SEGMENT_BYTES: usize = 128 << 20;

const SHAPES: [Shape; 3] = [
    Shape::filling("single draws, 6 items", 6, 1, 1024),
    Shape::filling("1000 draws a record, 6 items", 6, 1000, 66),
    Shape::filling("1000 draws a record, 1000 items", 1000, 1000, 66),
];

pub(crate) fn run(seconds: u64, items: u64) -> anyhow::Result<ExitCode> {
    println!("Replay from the page cache, then the whole start.");
    row(&["log", "draws", "records", "replay", "load s", "start s"]);
    for shape in &SHAPES {
        let directory = tempfile::tempdir_in(".")?;
        let data = directory.path().join("data");
        let config = EngineConfig { segment_bytes: SEGMENT_BYTES, ..config(&data, 65_536) };
        measure(&config, shape, Duration::from_secs(seconds), false)?;
        let begun = Instant::now();
        let (_, report) = inspect::load(&data)?;
        let loading = begun.elapsed();
        let begun = Instant::now();
        Engine::open(&config)?.stop()?;
        row(&[
            shape.name,
            &report.draws.to_string(),
            &report.records.to_string(),
            &rate(per_second(report.draws, loading)),
            &format!("{:.3}", loading.as_secs_f64()),
            &format!("{:.3}", begun.elapsed().as_secs_f64()),
        ]);
    }
    large_pool(items)?;
    Ok(ExitCode::SUCCESS)
}

/// Memory and start of a pool of many items.
fn large_pool(items: u64) -> anyhow::Result<()> {
    let directory = tempfile::tempdir_in(".")?;
    let config = config(&directory.path().join("data"), 4096);
    let engine = Engine::open(&config)?;
    let weights: Vec<u64> = (1..=items).collect();
    engine.handle().create_pool(pool(&weights, SelectorKind::Auto)?, PATIENCE)?;
    engine.stop()?;
    drop(weights);
    let before = resident_bytes()?;
    let begun = Instant::now();
    let engine = Engine::open(&config)?;
    let (starting, after) = (begun.elapsed(), resident_bytes()?);
    engine.stop()?;
    println!(
        "{items} items: start {:.3} s, at most {:.0} bytes of memory an item with its name",
        starting.as_secs_f64(),
        float(after.saturating_sub(before)) / float(items),
    );
    Ok(())
}

fn resident_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kilobytes.context("the kernel tells the resident memory")?.trim().parse::<u64>()? * 1024)
}
