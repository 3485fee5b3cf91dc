//! Replay and start, beside a raw read of the same files.
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rewardpool_engine::{Engine, inspect};
use rewardpool_load::{EnginePlan, Latencies, Watch, engine};

use crate::bench::Bench;
use crate::limits::read::{files, make_cold, read_all};
use crate::report::{Recovery, Report};
use crate::rounds::{Round, Rounds, alternate, median};
use crate::table::float;

/// Nothing but the number of draws ends the filling of a log.
const FOREVER: Duration = Duration::from_hours(1);

/// A log that ends cleanly.
struct Log {
    directory: PathBuf,
    /// Segments and snapshots, with the bytes that hold something.
    files: Vec<(PathBuf, u64)>,
    draws: u64,
    bytes: u64,
}

impl Log {
    /// Fills a log of one segment with so many draws. Each command draws `count`.
    fn fill(
        bench: &Bench,
        directory: &Path,
        (items, count): (u32, u16),
        draws: u64,
    ) -> anyhow::Result<Self> {
        let directory = directory.to_owned();
        let batch = 65_536;
        let commands = u16::try_from((batch / u32::from(count)).min(1024))?;
        let plan = EnginePlan {
            items,
            count,
            commands,
            in_flight: 128.min(u16::try_from(draws.div_ceil(1024)).unwrap_or(u16::MAX)),
            batch_draws_max: usize::try_from(batch)?,
            segment_bytes: bench.scale.log_bytes,
            duration: FOREVER,
            draws_max: draws,
            ..EnginePlan::default()
        };
        let draws = engine::run(&directory, &plan, &Watch::new())?.tally.draws;
        let mut files = files(&directory)?;
        let mut bytes = 0;
        for segment in inspect::segments(&directory)? {
            let is_it = |(path, _): &&mut (PathBuf, u64)| path.ends_with(&segment.name);
            if let Some((_, length)) = files.iter_mut().find(is_it) {
                *length = segment.used_bytes;
            }
            bytes += segment.used_bytes;
        }
        Ok(Self { directory, files, draws, bytes })
    }

    fn read(&self) -> anyhow::Result<Round> {
        let (_, elapsed) = read_all(&self.files)?;
        Ok(Round { events: self.draws, elapsed, latencies: Latencies::new() })
    }

    fn replay(&self) -> anyhow::Result<Round> {
        let begun = Instant::now();
        let (state, report) = inspect::load(&self.directory)?;
        let elapsed = begun.elapsed();
        drop(state);
        assert_eq!(report.draws, self.draws, "everything is replayed");
        Ok(Round { events: self.draws, elapsed, latencies: Latencies::new() })
    }

    /// Seconds of a whole start of a copy, since a start changes the log.
    fn start(&self, bench: &Bench, beside: &Path) -> anyhow::Result<f64> {
        if beside.exists() {
            std::fs::remove_dir_all(beside)?;
        }
        std::fs::create_dir(beside)?;
        for (file, _) in files(&self.directory)? {
            let name = file.file_name().expect("a file has a name");
            std::fs::copy(&file, beside.join(name))?;
            std::fs::File::open(beside.join(name))?.sync_all()?;
        }
        let begun = Instant::now();
        let engine = Engine::open(&bench.config(beside, 4096))?;
        let elapsed = begun.elapsed();
        engine.stop()?;
        Ok(elapsed.as_secs_f64())
    }
}

/// Row 12: replay from the page cache and from the disk.
pub(super) fn replay(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let rounds = bench.scale.rounds.min(3);
    let records = bench.scale.records;
    // The logs nearly fill their segment, as those of a service that runs for long do.
    let many = Log::fill(bench, &directory.path().join("thousands"), (6, 1000), 12 * records)?;
    let (limit, ours) = alternate(rounds, || many.read(), || many.replay())?;
    report.add(12, "thousands", Some(limit.per_second()), ours.per_second());
    let singles = Log::fill(bench, &directory.path().join("singles"), (6, 1), 6 * records)?;
    let (limit, ours) = alternate(rounds, || singles.read(), || singles.replay())?;
    report.add(12, "singles", Some(limit.per_second()), ours.per_second());
    let cold = |measure: fn(&Log) -> anyhow::Result<Round>| {
        make_cold(&singles.files)?;
        measure(&singles)
    };
    let (limit, ours) = alternate(rounds, || cold(Log::read), || cold(Log::replay))?;
    let bytes = float(singles.bytes);
    let rate = |rounds: &Rounds| bytes / float(singles.draws) * rounds.per_second();
    report.add(12, "cold", Some(rate(&limit)), rate(&ours));
    Ok(())
}

/// Row 16: what full batches take of the log.
pub(super) fn bytes(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    for (key, count) in [("single", 1), ("multi", 100)] {
        let log =
            Log::fill(bench, &directory.path().join(key), (6, count), bench.scale.records / 4)?;
        report.add(16, key, None, float(log.bytes) / float(log.draws));
    }
    Ok(())
}

/// Row 18: the start of a large pool with a long log.
pub(super) fn start(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let log = Log::fill(
        bench,
        &directory.path().join("data"),
        (bench.scale.items, 1),
        bench.scale.records,
    )?;
    let (mut starts, mut reads, mut replays) = (Vec::new(), Rounds::default(), Rounds::default());
    for _ in 0..bench.scale.rounds.min(3) {
        reads.push(log.read()?);
        starts.push(log.start(bench, &directory.path().join("copy"))?);
        replays.push(log.replay()?);
    }
    let seconds = |rounds: &Rounds| rounds.seconds_each() * float(log.draws);
    let read = Some(seconds(&reads));
    report.add(18, "start", read, median(starts.into_iter()));
    report.add(18, "replay", read, seconds(&replays));
    Ok(())
}

/// A start of logs of several lengths.
pub(super) fn by_length(bench: &Bench) -> anyhow::Result<Vec<Recovery>> {
    let mut recoveries = Vec::new();
    for part in [10, 4, 2, 1] {
        let directory = bench.directory()?;
        let log =
            Log::fill(bench, &directory.path().join("data"), (6, 1), bench.scale.records / part)?;
        let (mut read, mut replay) = (Rounds::default(), Rounds::default());
        let mut starts = Vec::new();
        for _ in 0..bench.scale.rounds.min(3) {
            read.push(log.read()?);
            replay.push(log.replay()?);
            starts.push(log.start(bench, &directory.path().join("copy"))?);
        }
        let seconds = |rounds: &Rounds| rounds.seconds_each() * float(log.draws);
        recoveries.push(Recovery {
            records: log.draws,
            bytes: log.bytes,
            read: seconds(&read),
            replay: seconds(&replay),
            start: median(starts.into_iter()),
        });
    }
    Ok(recoveries)
}
