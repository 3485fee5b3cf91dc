//! From the messages of the protocol to what the screen knows.
use std::time::Duration;

use rewardpool_proto::v1;

use crate::model::{
    Activity, Item, Level, LogLine, PoolState, PoolStatus, PoolSummary, Pools, Recovery, Segment,
    SegmentState, ServiceStatus, Snapshot, Units,
};

pub(super) fn pool(state: v1::GetStateResponse) -> PoolState {
    PoolState {
        status: pool_status(state.status()),
        pool: state.pool,
        lsn: state.lsn,
        catalog_version: state.catalog_version,
        last_request_id: state.last_request_id,
        draws: state.draws,
        awards: state.awards,
        empties: state.empties,
        total_weight: state.total_weight,
        items: state.items.into_iter().map(item).collect(),
        item_count: state.item_count,
        next_page: state.next_page_token,
    }
}

pub(super) fn item(item: v1::ItemState) -> Item {
    Item {
        id: item.item_id,
        weight: item.weight,
        left: Units::from_number(item.quantity),
        granted: Units::from_number(item.granted),
        awarded: item.awarded,
        is_retired: item.retired,
        is_drawable: item.drawable,
    }
}

/// A status that a later version may know is shown as the most careful one.
fn pool_status(status: v1::PoolStatus) -> PoolStatus {
    match status {
        v1::PoolStatus::Active => PoolStatus::Active,
        v1::PoolStatus::Paused | v1::PoolStatus::Unspecified => PoolStatus::Paused,
        v1::PoolStatus::Closed => PoolStatus::Closed,
    }
}

pub(super) fn pools(answer: v1::ListPoolsResponse) -> Pools {
    let pools = answer.pools.into_iter().map(|pool| PoolSummary {
        status: pool_status(pool.status()),
        pool: pool.pool,
        item_count: pool.item_count,
        draws: pool.draws,
        awards: pool.awards,
        empties: pool.empties,
        total_weight: pool.total_weight,
    });
    Pools { pools: pools.collect(), count: answer.pool_count }
}

pub(super) fn activity(activity: v1::ServiceActivity) -> Activity {
    Activity {
        uptime: seconds(activity.uptime_seconds),
        draws_per_second: activity.draws_per_second,
        commits: activity.commits,
        commit_p50_us: activity.commit_p50_us,
        commit_p99_us: activity.commit_p99_us,
        commit_max_us: activity.commit_max_us,
        batch_p50: activity.batch_p50_draws,
        durable_lsn: activity.durable_lsn,
        last_request_id: activity.last_request_id,
        mailbox_depth: activity.mailbox_depth,
        mailbox_capacity: activity.mailbox_capacity,
        is_out_of_space: activity.out_of_space,
        is_conserved: activity.conservation_ok,
        version: activity.version,
    }
}

pub(super) fn status(status: v1::GetStatusResponse) -> ServiceStatus {
    let recovery = status.recovery.unwrap_or_default();
    ServiceStatus {
        working_dir: status.working_dir,
        storage: status.storage,
        format: status.format,
        scheduling: status.scheduling,
        started_at_ms: unix_ms(status.started_at_ms),
        segments: status.segment_infos.into_iter().map(segment).collect(),
        segment_count: status.segments,
        snapshots: status.snapshot_infos.into_iter().map(snapshot).collect(),
        durable_lsn: status.durable_lsn,
        pools: status.pools,
        recovery: Recovery {
            snapshot_lsn: recovery.snapshot_lsn,
            records: recovery.records,
            torn_bytes: recovery.torn_bytes,
            duration: seconds(recovery.seconds),
        },
    }
}

fn segment(segment: v1::SegmentInfo) -> Segment {
    let state = match segment.state() {
        v1::SegmentState::Open => SegmentState::Open,
        v1::SegmentState::Closed | v1::SegmentState::Unspecified => SegmentState::Closed,
    };
    Segment {
        number: segment.number,
        first_lsn: segment.first_lsn,
        bytes: segment.bytes,
        used_bytes: segment.used_bytes,
        state,
    }
}

fn snapshot(snapshot: v1::SnapshotInfo) -> Snapshot {
    Snapshot {
        lsn: snapshot.lsn,
        file: snapshot.file,
        bytes: snapshot.bytes,
        made_at_ms: unix_ms(snapshot.taken_at_ms),
    }
}

pub(super) fn log_line(event: v1::LogEvent) -> LogLine {
    let level = match event.level.as_str() {
        "ERROR" => Level::Error,
        "WARN" => Level::Warn,
        "INFO" => Level::Info,
        "DEBUG" => Level::Debug,
        _ => Level::Trace,
    };
    let mut fields: Vec<(String, String)> = event.fields.into_iter().collect();
    fields.sort();
    let mut text = event.message;
    for (name, value) in fields {
        text.extend([" ", &name, "=", &value]);
    }
    if event.missed > 0 {
        text = format!("({} lines before this were lost) {text}", event.missed);
    }
    LogLine::new(event.sequence, unix_ms(event.time_ms), level, &text)
}

/// A time before 1970 is none.
fn unix_ms(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0)
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_sends_cannot_steer_the_terminal() {
        let event = v1::LogEvent {
            level: "WARN".into(),
            message: "bad\u{1b}[2J\nline".into(),
            fields: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1\r".to_owned())].into(),
            missed: 7,
            time_ms: -5,
            ..v1::LogEvent::default()
        };
        let line = log_line(event);
        let message = "(7 lines before this were lost) bad [2J line a=1  b=2";
        assert_eq!(line.text, format!("00:00:00 WARN  {message}"));
        assert_eq!(&line.text[LogLine::MESSAGE_AT..], message);
    }

    #[test]
    fn minus_one_is_unlimited() {
        let sent =
            v1::ItemState { quantity: -1, granted: -1, drawable: true, ..Default::default() };
        let found = item(sent);
        assert_eq!((found.left, found.granted), (Units::Unlimited, Units::Unlimited));
        assert_eq!(item(v1::ItemState::default()).left, Units::Limited(0));
    }

    #[test]
    fn impossible_durations_are_none() {
        assert_eq!(seconds(f64::NAN), Duration::ZERO);
        assert_eq!(seconds(-1.0), Duration::ZERO);
        assert_eq!(seconds(1.5), Duration::from_millis(1500));
    }
}
