//! How each row of the table is measured.
mod cost;
mod engine;
mod growth;
mod grpc;
mod memory;
mod recovery;

pub(crate) use self::memory::report_memory;

use crate::bench::{Bench, Part};
use crate::report::Report;

/// Measures one part into the report.
pub(crate) fn measure(bench: &Bench, part: Part, report: &mut Report) -> anyhow::Result<()> {
    match part {
        Part::Row(1) => cost::draw(bench, report),
        Part::Row(2) => engine::quick_commits(bench, report),
        Part::Row(3) => engine::large_commits(bench, report),
        Part::Row(4) => engine::lone_caller(bench, report),
        Part::Row(5) => grpc::lone_client(bench, report),
        Part::Row(row @ (6..=9 | 14)) => grpc::beside_echo(bench, row, report),
        Part::Row(10) => grpc::many_items(bench, report),
        Part::Row(11) => engine::beside_hogs(bench, report),
        Part::Row(12) => recovery::replay(bench, report),
        Part::Row(13) => engine::pauses(bench, report),
        Part::Row(15) => {
            cost::selector(bench, report);
            Ok(())
        }
        Part::Row(16) => recovery::bytes(bench, report),
        Part::Row(17) => memory::use_of_items_and_service(bench, report),
        Part::Row(18) => recovery::start(bench, report),
        Part::Row(row) => unreachable!("a part has a row of the table, not {row}"),
        Part::Batches => engine::batches(bench, report),
        Part::Selectors => {
            cost::selectors(bench, report);
            Ok(())
        }
        Part::Growth => growth::measure(bench, report),
    }
}
