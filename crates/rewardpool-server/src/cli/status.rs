//! `status`: the condition of a running service.
use clap::Args;
use rewardpool_proto::v1::{
    Freshness, GetStatusRequest, GetStatusResponse, ReplicationRole, ReplicationStatus,
    SegmentInfo, SegmentState, ServiceActivity, SnapshotInfo, SubscriberInfo,
};
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
    let activity = status.activity.clone().unwrap_or_default();
    output::fields([
        ("version", status.version.clone()),
        ("process", status.process_id.to_string()),
        ("working dir", status.working_dir.clone()),
        ("uptime", format!("{:.1} s", status.uptime_seconds)),
        ("pools", status.pools.to_string()),
        ("durable lsn", status.durable_lsn.to_string()),
        ("last request", status.last_request_id.to_string()),
        (
            "draws",
            format!(
                "{:.0} a second; {} since the start, {} of them empty; {} requests refused",
                activity.draws_per_second, activity.draws, activity.empties, activity.refusals
            ),
        ),
        (
            "commits",
            format!(
                "p50 {} µs, p99 {} µs, longest {} µs in the last 10 s; {} since the start",
                activity.commit_p50_us,
                activity.commit_p99_us,
                activity.commit_max_us,
                activity.commits
            ),
        ),
        ("storage", format!("{}, {}", status.storage, status.format)),
        ("scheduling", status.scheduling.clone()),
        ("segments", segments(status)),
        ("snapshots", snapshots(&status.snapshot_infos)),
        ("disk", if activity.out_of_space { "FULL" } else { "has room" }.to_owned()),
        ("mailbox", format!("{} of {}", status.mailbox_depth, status.mailbox_capacity)),
        ("conservation", if status.conservation_ok { "ok" } else { "BROKEN" }.to_owned()),
        ("role", role(status)),
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

fn role(status: &GetStatusResponse) -> String {
    let Some(replication) = &status.replication else { return String::new() };
    let ReplicationStatus { epoch, freshness, problem, subscribers, .. } = replication;
    match freshness {
        Some(Freshness { leader, connected: false, .. }) => {
            format!("follower of {leader}, which is NOT CONNECTED: {problem}; epoch {epoch}")
        }
        Some(Freshness { leader, lsn, leader_lsn, staleness_ms, .. }) => format!(
            "follower of {leader}, {} records behind, at most {staleness_ms} ms old; epoch {epoch}",
            leader_lsn.saturating_sub(*lsn)
        ),
        None => format!("leader; epoch {epoch}; {} read its log", subscribers.len()),
    }
}

fn segments(status: &GetStatusResponse) -> String {
    let infos = &status.segment_infos;
    let (used, length) =
        infos.iter().fold((0, 0), |(used, all), info| (used + info.used_bytes, all + info.bytes));
    let (count, current) = (status.segments, status.current_segment);
    format!("{count}, writing {current}; {used} of {length} bytes written")
}

fn snapshots(infos: &[SnapshotInfo]) -> String {
    let one = |info: &SnapshotInfo| format!("{} with {} bytes", info.file, info.bytes);
    infos.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn activity_json(activity: &ServiceActivity) -> Value {
    json!({
        "draws": activity.draws,
        "awards": activity.awards,
        "empties": activity.empties,
        "refusals": activity.refusals,
        "draws_per_second": activity.draws_per_second,
        "commits": activity.commits,
        "commit_p50_us": activity.commit_p50_us,
        "commit_p99_us": activity.commit_p99_us,
        "commit_max_us": activity.commit_max_us,
        "batch_p50_draws": activity.batch_p50_draws,
        "out_of_space": activity.out_of_space,
    })
}

fn segment_json(info: &SegmentInfo) -> Value {
    json!({
        "number": info.number,
        "first_lsn": info.first_lsn,
        "bytes": info.bytes,
        "used_bytes": info.used_bytes,
        "state": if info.state() == SegmentState::Open { "open" } else { "closed" },
    })
}

fn snapshot_json(info: &SnapshotInfo) -> Value {
    json!({
        "lsn": info.lsn,
        "file": info.file,
        "bytes": info.bytes,
        "taken_at_ms": info.taken_at_ms,
    })
}

/// How far a follower is behind; null of a leader.
pub(super) fn freshness_json(freshness: &Freshness) -> Value {
    json!({
        "lsn": freshness.lsn,
        "leader_lsn": freshness.leader_lsn,
        "staleness_ms": freshness.staleness_ms,
        "connected": freshness.connected,
        "leader": freshness.leader,
    })
}

fn replication_json(replication: &ReplicationStatus) -> Value {
    let is_follower = replication.role() == ReplicationRole::Follower;
    let subscriber = |subscriber: &SubscriberInfo| {
        json!({
            "number": subscriber.number,
            "lsn": subscriber.lsn,
            "lag_records": subscriber.lag_records,
            "lag_bytes": subscriber.lag_bytes,
            "lag_seconds": subscriber.lag_seconds,
        })
    };
    json!({
        "role": if is_follower { "follower" } else { "leader" },
        "epoch": replication.epoch,
        "freshness": replication.freshness.as_ref().map(freshness_json),
        "problem": replication.problem,
        "subscribers": replication.subscribers.iter().map(subscriber).collect::<Vec<_>>(),
    })
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
        "working_dir": status.working_dir,
        "process_id": status.process_id,
        "started_at_ms": status.started_at_ms,
        "replication": status.replication.as_ref().map(replication_json),
        "activity": status.activity.as_ref().map(activity_json),
        "segment_infos": status.segment_infos.iter().map(segment_json).collect::<Vec<_>>(),
        "snapshot_infos": status.snapshot_infos.iter().map(snapshot_json).collect::<Vec<_>>(),
    })
}
