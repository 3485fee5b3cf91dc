//! A real service over gRPC, in turns with an echo of the same messages. The load shares the CPUs
//! with both.
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use rewardpool_load::{GrpcPlan, Method, Watch, grpc};

use crate::bench::Bench;
use crate::children::Running;
use crate::limits::commit::ZeroFilled;
use crate::report::{Latency, Report};
use crate::rounds::{Round, Rounds, alternate};

/// What a lone draw takes of the log.
const SECTOR_BYTES: usize = 512;

/// A round that takes longer has no use.
const LONGEST: Duration = Duration::from_secs(30);

/// The load of a row.
fn plan(row: u8, duration: Duration) -> GrpcPlan {
    let (method, connections, in_flight, count) = match row {
        5 => (Method::Stream, 1, 1, 1),
        6 => (Method::Stream, 64, 1, 1),
        7 => (Method::Stream, 8, 64, 1),
        8 => (Method::Stream, 8, 16, 100),
        9 => (Method::Seed, 8, 16, 100),
        14 => (Method::Unary, 8, 32, 1),
        _ => unreachable!("row {row} is not over gRPC"),
    };
    GrpcPlan { method, connections, in_flight, count, duration, ..GrpcPlan::default() }
}

/// Lays the load on. On a busy machine a short round may end before its first request; such a round
/// says nothing, and a longer one takes its place.
fn load(address: &str, plan: &GrpcPlan) -> anyhow::Result<Round> {
    let mut plan = plan.clone();
    while plan.duration < LONGEST {
        let run = grpc::run(address, &plan, &Arc::new(Watch::new()))?;
        if let Some((reason, times)) = run.tally.errors.first_key_value() {
            bail!("{times} requests failed: {reason}");
        }
        if run.tally.draws > 0 {
            let (events, elapsed) = (run.tally.draws, run.elapsed);
            return Ok(Round { events, elapsed, latencies: run.tally.latency });
        }
        plan.duration *= 2;
    }
    bail!("nothing was drawn within {LONGEST:?}")
}

fn service(bench: &Bench, directory: &Path, items: u32) -> anyhow::Result<Running> {
    Running::service(&bench.service, &directory.join(items.to_string()), items)
}

/// Rows 6 to 9 and 14.
pub(super) fn beside_echo(bench: &Bench, row: u8, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let (echo, service) = (Running::echo(&bench.myself)?, service(bench, directory.path(), 6)?);
    let plan = plan(row, bench.scale.round);
    let (limit, ours) = alternate(
        bench.scale.rounds,
        || load(echo.address(), &plan),
        || load(service.address(), &plan),
    )?;
    let figure = report.add(row, "rate", Some(limit.per_second()), ours.per_second());
    figure.note = format!(
        "p50 {:.0} us, p99 {:.0} us; echo {:.0} and {:.0} us",
        ours.quantile(0.5) * 1e6,
        ours.quantile(0.99) * 1e6,
        limit.quantile(0.5) * 1e6,
        limit.quantile(0.99) * 1e6,
    );
    if matches!(row, 6 | 7) {
        report.add(row, "p99", Some(limit.quantile(0.99)), ours.quantile(0.99));
    }
    match row {
        6 => report.latencies.extend(Latency::pair("gRPC, 64 connections", &limit, &ours)),
        7 => report.latencies.extend(Latency::pair("gRPC, 8 x 64 in flight", &limit, &ours)),
        _ => {}
    }
    Ok(())
}

/// Row 5: one client who waits for each answer. The limit is an echo and a bare commit.
pub(super) fn lone_client(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let (echo, service) = (Running::echo(&bench.myself)?, service(bench, directory.path(), 6)?);
    let mut file = ZeroFilled::new(directory.path(), bench.scale.segment_bytes)?;
    let plan = plan(5, bench.scale.round);
    let mut commits = Rounds::default();
    let (limit, ours) = alternate(
        bench.scale.rounds,
        || {
            commits.push(file.run(SECTOR_BYTES, bench.scale.round)?);
            load(echo.address(), &plan)
        },
        || load(service.address(), &plan),
    )?;
    let (echo, sync) = (limit.quantile(0.5), commits.quantile(0.5));
    let figure = report.add(5, "p50", Some(echo + sync), ours.quantile(0.5));
    figure.note = format!("echo {:.0} us, sync {:.0} us", echo * 1e6, sync * 1e6);
    report.latencies.extend(Latency::pair("gRPC, 1 in flight", &limit, &ours));
    Ok(())
}

/// Row 10: what a larger catalogue costs, two services in turns.
pub(super) fn many_items(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let (few, many) =
        (service(bench, directory.path(), 6)?, service(bench, directory.path(), 1_000)?);
    for (row, key) in [(6, "6"), (7, "7"), (8, "8")] {
        let plan = plan(row, bench.scale.round);
        let (few, many) = alternate(
            bench.scale.rounds,
            || load(few.address(), &plan),
            || load(many.address(), &plan),
        )?;
        report.add(10, key, Some(few.per_second()), many.per_second());
    }
    Ok(())
}
