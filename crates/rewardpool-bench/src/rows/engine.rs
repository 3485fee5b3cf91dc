//! Durable draws in process, beside bare loops that write and sync.
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::Duration;

use rewardpool_engine::{EngineConfig, Handle, Request, Scheduling};

use crate::bench::Bench;
use crate::children::Running;
use crate::in_process::{InProcess, Measured, Shape};
use crate::limits::commit::ZeroFilled;
use crate::limits::draws::BareDraws;
use crate::report::{BatchSize, Latency, Report};
use crate::rounds::{Rounds, alternate};

const PATIENCE: Duration = Duration::from_mins(1);
/// What a lone draw takes of the log.
const SECTOR_BYTES: usize = 512;
/// Draws of a command where the size of the batch is what matters.
const BATCH_COUNT: u16 = 64;
/// Rotations beside draws come so often.
const ROTATE_EVERY: Duration = Duration::from_millis(50);
/// Small, so that segments which are made ahead are not what is measured.
const ROTATED_SEGMENT_BYTES: usize = 4 << 20;

/// A bare loop and an engine on the same disk.
struct Pair {
    bare: BareDraws,
    file: ZeroFilled,
    engine: InProcess,
    /// Lives as long as the files in it are used.
    directory: tempfile::TempDir,
}

impl Pair {
    fn open(bench: &Bench, items: u32, batch: usize) -> anyhow::Result<Self> {
        Self::scheduled(bench, items, batch, Scheduling::Normal)
    }

    fn scheduled(
        bench: &Bench,
        items: u32,
        batch: usize,
        scheduling: Scheduling,
    ) -> anyhow::Result<Self> {
        let directory = bench.directory()?;
        let file = ZeroFilled::new(directory.path(), bench.scale.segment_bytes)?;
        let config = bench.config(&directory.path().join("data"), batch);
        let engine = InProcess::open(&EngineConfig { scheduling, ..config }, items)?;
        Ok(Self { bare: BareDraws::new(items), file, engine, directory })
    }

    /// Rounds of the bare loop, of the engine, and the commits of the engine.
    fn measure(
        &mut self,
        bench: &Bench,
        batch: u32,
        shape: &Shape,
    ) -> anyhow::Result<(Rounds, Rounds, Rounds)> {
        let mut commits = Rounds::default();
        let round = bench.scale.round;
        let (limit, ours) = alternate(
            bench.scale.rounds,
            || self.bare.run(&mut self.file, batch, round),
            || {
                let Measured { replies, commits: of_round } = self.engine.run(shape, round)?;
                commits.push(of_round);
                Ok(replies)
            },
        )?;
        Ok((limit, ours, commits))
    }

    fn stop(self) -> anyhow::Result<()> {
        self.engine.stop()?;
        Ok(self.directory.close()?)
    }
}

/// Row 2: as many draws as a short commit allows.
pub(super) fn quick_commits(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let shapes = [
        ("hundreds", "hundreds p99", Shape { count: 100, commands: 41, in_flight: 3 }),
        ("singles", "singles p99", Shape { count: 1, commands: 1024, in_flight: 12 }),
    ];
    for (rate, p99, shape) in shapes {
        let mut pair = Pair::open(bench, 6, 4096)?;
        let (limit, ours, commits) = pair.measure(bench, 4096, &shape)?;
        report.add(2, rate, Some(limit.per_second()), ours.per_second());
        report.add(2, p99, Some(limit.quantile(0.99)), commits.quantile(0.99));
        pair.stop()?;
    }
    Ok(())
}

/// Row 3: as many draws as it goes.
pub(super) fn large_commits(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for (items, key) in [(6, "6"), (1_000, "1000")] {
        let mut pair = Pair::open(bench, items, 65_536)?;
        let shape = Shape { count: 1000, commands: 66, in_flight: 3 };
        let (limit, ours, _) = pair.measure(bench, 65_536, &shape)?;
        report.add(3, key, Some(limit.per_second()), ours.per_second());
        pair.stop()?;
    }
    Ok(())
}

/// Throughput by size of the batch.
pub(super) fn batches(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    for draws in [64_u16, 256, 1024, 4096, 16_384, 65_472] {
        let mut pair = Pair::open(bench, 6, draws.into())?;
        let shape = Shape { count: BATCH_COUNT, commands: draws / BATCH_COUNT, in_flight: 3 };
        let (limit, ours, _) = pair.measure(bench, draws.into(), &shape)?;
        let (limit, reached) = (limit.per_second(), ours.per_second());
        report.batches.push(BatchSize { draws: draws.into(), limit, reached });
        pair.stop()?;
    }
    Ok(())
}

/// Row 4: one caller, one draw at a time.
pub(super) fn lone_caller(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let Pair { mut file, engine, directory: _directory, .. } = Pair::open(bench, 6, 4096)?;
    let round = bench.scale.round;
    let (limit, ours) = alternate(
        bench.scale.rounds,
        || file.run(SECTOR_BYTES, round),
        || Ok(engine.run(&Shape::lone(1), round)?.replies),
    )?;
    report.add(4, "p50", Some(limit.quantile(0.5)), ours.quantile(0.5));
    report.add(4, "p99", Some(limit.quantile(0.99)), ours.quantile(0.99));
    report.latencies.extend(Latency::pair("one caller in process", &limit, &ours));
    engine.stop()
}

/// Row 11: the same while others want both CPUs, with the engine's thread before them.
pub(super) fn beside_hogs(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let Pair { mut file, engine, directory: _directory, .. } =
        Pair::scheduled(bench, 6, 4096, Scheduling::Fifo)?;
    let hogs = [Running::hog(&bench.myself)?, Running::hog(&bench.myself)?];
    let (mut first, mut ordinary, mut ours) =
        (Rounds::default(), Rounds::default(), Rounds::default());
    let mut is_permitted = true;
    for _ in 0..bench.scale.rounds {
        match file.run_first(SECTOR_BYTES, bench.scale.round)? {
            Some(round) => first.push(round),
            None => is_permitted = false,
        }
        ordinary.push(file.run(SECTOR_BYTES, bench.scale.round)?);
        ours.push(engine.run(&Shape::lone(1), bench.scale.round)?.commits);
    }
    drop(hogs);
    let limit = if is_permitted { &first } else { &ordinary };
    let figure = report.add(11, "p99", Some(limit.quantile(0.99)), ours.quantile(0.99));
    let without = ordinary.quantile(0.99) * 1e6;
    figure.note = if is_permitted {
        format!("the limit has SCHED_FIFO; without it its p99 is {without:.0} us")
    } else {
        "SCHED_FIFO is not permitted here, neither to the limit nor to the engine".to_owned()
    };
    report.latencies.extend(Latency::pair("commit beside 2 CPU hogs", limit, &ours));
    engine.stop()
}

/// Row 13: draws of 100 from a large pool, beside rotations and beside snapshots.
pub(super) fn pauses(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let config = EngineConfig {
        segment_bytes: ROTATED_SEGMENT_BYTES,
        ..bench.config(&directory.path().join("data"), 4096)
    };
    let engine = InProcess::open(&config, bench.scale.items)?;
    let (shape, round) = (Shape::lone(100), 2 * bench.scale.round);
    let mut counted = [0, 0];
    let [mut quiet, mut rotating, mut snapping] = [const { Rounds::none() }; 3];
    for _ in 0..bench.scale.rounds {
        quiet.push(engine.run(&shape, round)?.replies);
        let run = || Ok(engine.run(&shape, round)?.replies);
        let (beside, times) = beside(&engine.handle, rotate, run)?;
        rotating.push(beside);
        counted[0] += times;
        let run = || Ok(engine.run(&shape, round)?.replies);
        let (beside, times) = self::beside(&engine.handle, snapshot, run)?;
        snapping.push(beside);
        counted[1] += times;
    }
    let without = quiet.quantile(0.99);
    for (key, rounds, times) in
        [("rotation", &rotating, counted[0]), ("snapshot", &snapping, counted[1])]
    {
        let figure = report.add(13, key, Some(without), rounds.quantile(0.99));
        figure.note = format!(
            "{times} of them; p99.9 {:.0} us, longest {:.1} ms; without {:.0} us and {:.1} ms",
            rounds.quantile(0.999) * 1e6,
            rounds.longest() * 1e3,
            quiet.quantile(0.999) * 1e6,
            quiet.longest() * 1e3,
        );
    }
    engine.stop()
}

/// Does something again and again while the load runs. Gives how often.
fn beside<T>(
    handle: &Handle,
    disturb: fn(&Handle) -> anyhow::Result<()>,
    load: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, u64)> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let body = || {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                disturb(handle)?;
                times += 1;
            }
            anyhow::Ok(times)
        };
        let thread = Builder::new().name("bench-beside".to_owned()).spawn_scoped(scope, body)?;
        let measured = load();
        is_over.store(true, Ordering::Relaxed);
        let times = thread.join().expect("the thread does not panic")?;
        Ok((measured?, times))
    })
}

fn rotate(handle: &Handle) -> anyhow::Result<()> {
    handle.call(Request::Rotate, PATIENCE)?;
    std::thread::sleep(ROTATE_EVERY);
    Ok(())
}

fn snapshot(handle: &Handle) -> anyhow::Result<()> {
    handle.take_snapshot(PATIENCE)?;
    Ok(())
}
