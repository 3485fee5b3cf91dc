//! `status`: the condition of a running service.
use clap::Args;
use rewardpool_proto::v1::{GetStatusRequest, GetStatusResponse};
use serde_json::{Value, json};

use super::Failure;
use super::failure::exit;
use super::output::{self, Format};
use super::service::{Address, with_service};

const EXAMPLES: &str = "\
Examples:
  rewardpool status
  rewardpool status --addr http://127.0.0.1:50052 -o json";

/// Show the condition of the running service
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArgs {}

pub(crate) fn run(_: &StatusArgs, address: &Address, format: Format) -> Result<(), Failure> {
    let status = with_service(address, async |service| {
        let answer = service.admin().get_status(GetStatusRequest {}).await;
        Ok(answer.map_err(|status| Failure::status(&status))?.into_inner())
    })?;
    output::print(format, || table(&status), || json(&status))?;
    if !status.conservation_ok {
        let what = "granted = quantity + awarded does not hold for every item";
        let hint = "stop the service, copy its working directory, and run `rewardpool verify`";
        return Err(Failure::new(exit::CORRUPT, what, hint));
    }
    Ok(())
}

fn table(status: &GetStatusResponse) -> String {
    let recovery = status.recovery.unwrap_or_default();
    output::fields([
        ("version", status.version.clone()),
        ("uptime", format!("{:.1} s", status.uptime_seconds)),
        ("pools", status.pools.to_string()),
        ("durable lsn", status.durable_lsn.to_string()),
        ("last request", status.last_request_id.to_string()),
        ("storage", format!("{}, {}", status.storage, status.format)),
        ("scheduling", status.scheduling.clone()),
        ("segments", format!("{}, writing {}", status.segments, status.current_segment)),
        ("mailbox", format!("{} of {}", status.mailbox_depth, status.mailbox_capacity)),
        ("conservation", if status.conservation_ok { "ok" } else { "BROKEN" }.to_owned()),
        (
            "recovery",
            format!(
                "snapshot at lsn {}, then {} records with {} draws in {} segments; {} torn bytes; \
                 {:.3} s",
                recovery.snapshot_lsn,
                recovery.records,
                recovery.draws,
                recovery.segments,
                recovery.torn_bytes,
                recovery.seconds
            ),
        ),
    ])
}

fn json(status: &GetStatusResponse) -> Value {
    let recovery = status.recovery.as_ref().map(|recovery| {
        json!({
            "snapshot_lsn": recovery.snapshot_lsn,
            "segments": recovery.segments,
            "records": recovery.records,
            "draws": recovery.draws,
            "seconds": recovery.seconds,
            "torn_bytes": recovery.torn_bytes,
        })
    });
    json!({
        "version": status.version,
        "storage": status.storage,
        "format": status.format,
        "scheduling": status.scheduling,
        "durable_lsn": status.durable_lsn,
        "last_request_id": status.last_request_id,
        "current_segment": status.current_segment,
        "segments": status.segments,
        "pools": status.pools,
        "uptime_seconds": status.uptime_seconds,
        "recovery": recovery,
        "mailbox_depth": status.mailbox_depth,
        "mailbox_capacity": status.mailbox_capacity,
        "conservation_ok": status.conservation_ok,
    })
}
