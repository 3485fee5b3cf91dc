//! `verify`: whether a directory is good, all that is wrong with it, and what a start would do.
use clap::Args;
use rewardpool_engine::inspect::{self, Examination, Outlook, VerifyReport};
use rewardpool_engine::{Chain, EngineError};
use serde_json::{Value, json};

use super::Failure;
use super::directory::DirectoryArgs;
use super::failure::exit;
use super::output::{self, Align, Format, Table, hexadecimal};

const EXAMPLES: &str = "\
Examples:
  rewardpool verify
  rewardpool verify --dir /backup/rewardpool -o json && echo good

Any damage is told with its file and offset and gives exit code 65, also in files that a start does
not need; whether a start would succeed, and from which snapshot, is told beside it.";

/// Replay a directory and check every hash and count in it; changes nothing
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    directory: DirectoryArgs,
}

/// Checks a directory as a whole.
pub(crate) fn verify(args: &VerifyArgs, format: Format) -> Result<(), Failure> {
    let found = args.directory.read(inspect::examine)?;
    let directory = args.directory.path().display().to_string();
    output::print(format, || text(&directory, &found), || json(&found))?;
    failure(&directory, &found).map_or(Ok(()), Err)
}

fn snapshot(start: &Outlook) -> String {
    format!("snapshot.{}", start.recovery.snapshot_lsn)
}

fn failure(directory: &str, found: &Examination) -> Option<Failure> {
    let first = found.damages.first()?;
    let more = match found.damages.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let (start, hint) = match &found.start {
        Some(start) => (
            format!("a start would succeed, from {}", snapshot(start)),
            "copy the directory before anything else; after a start, `rewardpool snapshot take` \
             makes a good snapshot",
        ),
        None if found.is_unused => (
            "a start would begin a new log here".to_owned(),
            "name the directory of a service, which holds a file POOL",
        ),
        None => (
            "a start would refuse".to_owned(),
            "copy the directory before anything else, then restore a backup of it",
        ),
    };
    let what = format!("{directory}: {}{more}; {start}", Chain(first));
    Some(Failure::new(exit::CORRUPT, what, hint))
}

fn text(directory: &str, found: &Examination) -> String {
    let fields = |report: &VerifyReport, start: &Outlook| {
        output::fields([
            ("segments", report.segments.to_string()),
            ("snapshots", report.snapshots.to_string()),
            ("records", report.records.to_string()),
            ("draws", report.draws.to_string()),
            ("last lsn", report.last_lsn.to_string()),
            ("last request", report.last_request_id.to_string()),
            ("torn bytes", report.torn_bytes.to_string()),
            ("state sha256", hexadecimal(&report.state_sha256)),
            ("a start begins at", snapshot(start)),
        ])
    };
    if let ([], Some(report), Some(start)) = (&found.damages[..], &found.verified, &found.start) {
        return format!("{directory} is good\n\n{}", fields(report, start));
    }
    let start = match &found.start {
        Some(start) => {
            let (from, to) = (snapshot(start), start.recovery.last_lsn);
            format!("a start would succeed, from {from} to lsn {to}")
        }
        None if found.is_unused => {
            return format!("{directory} holds no log; a start would begin one");
        }
        None => "a start would refuse".to_owned(),
    };
    format!("{directory} is damaged; {start}\n\n{}", table(&found.damages).render())
}

fn table(damages: &[EngineError]) -> Table<3> {
    let mut table =
        Table::new([("FILE", Align::Left), ("OFFSET", Align::Right), ("DAMAGE", Align::Left)]);
    for damage in damages {
        let (file, offset) = place(damage);
        let offset = offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        table.push([file.to_owned(), offset, Chain(damage).to_string()]);
    }
    table
}

fn place(damage: &EngineError) -> (&str, Option<u64>) {
    damage.place().unwrap_or(("-", None))
}

fn json(found: &Examination) -> Value {
    let damage = |damage: &EngineError| {
        let (file, offset) = place(damage);
        json!({ "file": file, "offset": offset, "damage": Chain(damage).to_string() })
    };
    let start = found.start.as_ref().map(|start| {
        json!({
            "snapshot": snapshot(start),
            "last_lsn": start.recovery.last_lsn,
            "last_request_id": start.recovery.last_request_id,
            "state_sha256": hexadecimal(&start.state_sha256),
        })
    });
    // What could not be counted is null, so that the fields are always the same.
    let report = found.verified.as_ref();
    json!({
        "good": found.damages.is_empty(),
        "damages": found.damages.iter().map(damage).collect::<Vec<_>>(),
        "start": start,
        "segments": report.map(|report| report.segments),
        "snapshots": report.map(|report| report.snapshots),
        "records": report.map(|report| report.records),
        "draws": report.map(|report| report.draws),
        "last_lsn": report.map(|report| report.last_lsn),
        "last_request_id": report.map(|report| report.last_request_id),
        "torn_bytes": report.map(|report| report.torn_bytes),
        "state_sha256": report.map(|report| hexadecimal(&report.state_sha256)),
    })
}
