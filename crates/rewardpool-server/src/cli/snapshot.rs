//! `snapshot`: takes one, or looks at those in a directory.
use clap::Subcommand;
use rewardpool_engine::inspect::{self, SnapshotInfo};
use rewardpool_proto::v1::TakeSnapshotRequest;
use serde_json::{Value, json};

use super::Failure;
use super::directory::DirectoryArgs;
use super::failure::exit;
use super::output::{self, Align, Format, Table, hexadecimal};
use super::service::{Address, with_service};

const EXAMPLES: &str = "\
Examples:
  rewardpool snapshot take                          Of the running service
  rewardpool snapshot ls --dir ./rewardpool-data    From the files of a stopped one
  rewardpool snapshot show";
const TAKE_EXAMPLES: &str = "Example:\n  rewardpool snapshot take -o json";
const LS_EXAMPLES: &str = "Example:\n  rewardpool snapshot ls --dir /var/lib/rewardpool";
const SHOW_EXAMPLES: &str = "\
Examples:
  rewardpool snapshot show                                   The newest
  rewardpool snapshot show NAME --dir /var/lib/rewardpool    A name of `rewardpool snapshot ls`";

/// Take a snapshot, or look at those in a directory
#[derive(Subcommand, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) enum SnapshotCommand {
    /// Let the running service write a snapshot; returns when it is durable
    #[command(after_help = TAKE_EXAMPLES)]
    Take,
    /// List the snapshots in a directory
    #[command(alias = "list", after_help = LS_EXAMPLES)]
    Ls {
        #[command(flatten)]
        directory: DirectoryArgs,
    },
    /// Show one snapshot of a directory
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// Name of its file [default: the newest]
        name: Option<String>,
        #[command(flatten)]
        directory: DirectoryArgs,
    },
}

pub(crate) fn run(
    command: &SnapshotCommand,
    address: &Address,
    format: Format,
) -> Result<(), Failure> {
    match command {
        SnapshotCommand::Take => take(address, format),
        SnapshotCommand::Ls { directory } => {
            let snapshots = directory.read(inspect::snapshots)?;
            output::print(
                format,
                || list_table(&snapshots),
                || json!({ "snapshots": snapshots.iter().map(json).collect::<Vec<_>>() }),
            )
        }
        SnapshotCommand::Show { name, directory } => {
            let snapshots = directory.read(inspect::snapshots)?;
            let found = match name {
                Some(name) => snapshots.iter().find(|snapshot| snapshot.name == *name),
                None => snapshots.iter().max_by_key(|snapshot| snapshot.lsn),
            };
            let Some(snapshot) = found else {
                let name = name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
                let what = format!("{}: there is no snapshot{name}", directory.path().display());
                let hint = "`rewardpool snapshot ls` lists what is there";
                return Err(Failure::new(exit::INPUT_OUTPUT, what, hint));
            };
            output::print(format, || fields(snapshot), || json(snapshot))
        }
    }
}

fn take(address: &Address, format: Format) -> Result<(), Failure> {
    let answer = with_service(address, async |service| {
        let answer = service.admin().take_snapshot(TakeSnapshotRequest {}).await;
        Ok(answer.map_err(|status| Failure::status(&status))?.into_inner())
    })?;
    let sha256 = hexadecimal(&answer.sha256);
    output::print(
        format,
        || {
            output::fields([
                ("file", answer.file.clone()),
                ("lsn", answer.lsn.to_string()),
                ("bytes", answer.bytes.to_string()),
                ("sha256", sha256.clone()),
            ])
        },
        || {
            json!({
                "lsn": answer.lsn,
                "file": answer.file,
                "bytes": answer.bytes,
                "sha256": sha256,
            })
        },
    )
}

fn list_table(snapshots: &[SnapshotInfo]) -> String {
    let mut table = Table::new([
        ("NAME", Align::Left),
        ("LSN", Align::Right),
        ("BYTES", Align::Right),
        ("NEXT SEGMENT", Align::Left),
    ]);
    for snapshot in snapshots {
        table.push([
            snapshot.name.clone(),
            snapshot.lsn.to_string(),
            snapshot.bytes.to_string(),
            snapshot.next_segment.clone(),
        ]);
    }
    table.render()
}

fn fields(snapshot: &SnapshotInfo) -> String {
    output::fields([
        ("name", snapshot.name.clone()),
        ("bytes", snapshot.bytes.to_string()),
        ("lsn", snapshot.lsn.to_string()),
        ("next segment", snapshot.next_segment.clone()),
        ("time (ms since 1970)", snapshot.time_ms.to_string()),
        ("sha256", hexadecimal(&snapshot.sha256)),
    ])
}

fn json(snapshot: &SnapshotInfo) -> Value {
    json!({
        "name": snapshot.name,
        "bytes": snapshot.bytes,
        "lsn": snapshot.lsn,
        "next_segment": snapshot.next_segment,
        "time_ms": snapshot.time_ms,
        "sha256": hexadecimal(&snapshot.sha256),
    })
}
