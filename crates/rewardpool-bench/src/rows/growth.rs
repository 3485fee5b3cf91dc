//! How memory, snapshots, rotations and starts grow with items and records.
use std::time::{Duration, Instant};

use rewardpool_engine::{Engine, Request};

use super::{memory, recovery};
use crate::bench::Bench;
use crate::in_process::{InProcess, Shape};
use crate::report::goals::Unit;
use crate::report::{Growth, Recovery, Report};
use crate::rounds::median;

const PATIENCE: Duration = Duration::from_mins(1);
const SNAPSHOTS: usize = 5;

/// Measures each at several sizes.
pub(super) fn measure(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    by_items(bench, report)?;
    report.recoveries = recovery::by_length(bench)?;
    let points = |of: fn(&Recovery) -> f64| {
        report.recoveries.iter().map(|start| (start.records, of(start))).collect()
    };
    let growth = |what: &str, points| Growth {
        what: what.to_owned(),
        by: "records".to_owned(),
        unit: Unit::Seconds,
        points,
    };
    let (start, replay) = (points(|start| start.start), points(|start| start.replay));
    report.growth.push(growth("start with 6 items", start));
    report.growth.push(growth("its replay", replay));
    Ok(())
}

fn by_items(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let [mut memory, mut snapshot, mut rotation, mut start] = [const { Vec::new() }; 4];
    for part in [100, 10, 4, 1] {
        let items = bench.scale.items / part;
        let directory = bench.directory()?;
        let config = bench.config(&directory.path().join("data"), 4096);
        let engine = InProcess::open(&config, items)?;
        let (mut snapshots, mut rotations) = (Vec::new(), Vec::new());
        for _ in 0..SNAPSHOTS {
            engine.run(&Shape::lone(100), bench.scale.round / 20)?;
            let begun = Instant::now();
            engine.handle.call(Request::Rotate, PATIENCE)?;
            rotations.push(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            engine.handle.take_snapshot(PATIENCE)?;
            snapshots.push(begun.elapsed().as_secs_f64());
        }
        engine.stop()?;
        let size = u64::from(items);
        snapshot.push((size, median(snapshots.into_iter())));
        rotation.push((size, median(rotations.into_iter())));
        let begun = Instant::now();
        let engine = Engine::open(&config)?;
        start.push((size, begun.elapsed().as_secs_f64()));
        engine.stop()?;
        memory.push((size, crate::table::float(memory::of_items(bench, &config.directory)?)));
    }
    let growth = |what: &str, unit, points| Growth {
        what: what.to_owned(),
        by: "items".to_owned(),
        unit,
        points,
    };
    report.growth.push(growth("memory of a pool with its names", Unit::Bytes, memory));
    report.growth.push(growth("snapshot on request", Unit::Seconds, snapshot));
    report.growth.push(growth("pause of a rotation", Unit::Seconds, rotation));
    report.growth.push(growth("start without draws", Unit::Seconds, start));
    Ok(())
}
