//! Memory of a large pool and of an idle service.
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};
use rewardpool_engine::Engine;

use crate::bench::Bench;
use crate::children::{Running, resident_bytes};
use crate::in_process::{InProcess, config};
use crate::report::Report;
use crate::table::float;

/// Row 17.
pub(super) fn use_of_items_and_service(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let directory = bench.directory()?;
    let items = bench.scale.items;
    let data = directory.path().join("data");
    InProcess::open(&bench.config(&data, 4096), items)?.stop()?;
    let used = of_items(bench, &data)?;
    let names: u64 = (0..items).map(|item| format!("item-{item}").len() as u64).sum();
    let each = (float(used) - float(names)) / float(items.into());
    report.add(17, "item", None, each.max(0.0)).note =
        format!("with its name {:.1} B", float(used) / float(items.into()));
    report.add(17, "idle", None, float(of_idle_service(bench, directory.path())?));
    Ok(())
}

/// Bytes of memory that a pool takes which is opened in a process of its own.
pub(super) fn of_items(bench: &Bench, data: &Path) -> anyhow::Result<u64> {
    let output = Command::new(&bench.myself).arg("memory").arg(data).output()?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Prints by how many bytes the memory of this process grows when it opens a directory.
#[expect(clippy::print_stdout, reason = "the answer to the process that started this one")]
pub(crate) fn report_memory(data: &Path) -> anyhow::Result<ExitCode> {
    let used = || resident_bytes("self").context("the kernel tells the resident memory");
    let before = used()?;
    let engine = Engine::open(&config(data, 4096))?;
    println!("{}", used()?.saturating_sub(before));
    engine.stop()?;
    Ok(ExitCode::SUCCESS)
}

fn of_idle_service(bench: &Bench, directory: &Path) -> anyhow::Result<u64> {
    let service = Running::service(&bench.service, &directory.join("service"), 6)?;
    service.resident_bytes().context("the service ended")
}
