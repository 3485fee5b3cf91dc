//! `rewardpool.v1.PoolAdmin`: what administrators need.
use std::time::{Duration, Instant};

use rewardpool_core::command::{AdminCommand, Note, PoolStatus};
use rewardpool_core::name::PoolId;
use rewardpool_engine::{Answer, NewPool, Refusal, Request};
use rewardpool_proto::v1;
use rewardpool_proto::v1::pool_admin_server::PoolAdmin;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::watch::{LogSource, Messages};
use super::{Edge, StatusInfo, call, check};
use crate::activity::process_id;
use crate::convert::{Fault, segment_info, snapshot_info, wide};

/// How long a call without a deadline waits for a snapshot.
const SNAPSHOT_PATIENCE: Duration = Duration::from_mins(10);

/// Serves `rewardpool.v1.PoolAdmin`.
pub(crate) struct PoolAdminService {
    edge: Edge,
    info: StatusInfo,
}

/// A change that is on disk.
struct Changed {
    lsn: u64,
    catalog_version: u64,
}

impl PoolAdminService {
    /// A service over this engine.
    pub(crate) fn new(edge: Edge, info: StatusInfo) -> Self {
        Self { edge, info }
    }

    async fn change(&self, metadata: &MetadataMap, request: Request) -> Result<Changed, Fault> {
        let deadline = check::deadline(metadata);
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        let Answer::Changed { lsn, catalog_version } = *call::answer(&reply)? else {
            unreachable!("a change is answered by a change")
        };
        Ok(Changed { lsn, catalog_version })
    }

    async fn set_status(
        &self,
        metadata: &MetadataMap,
        pool: &str,
        status: PoolStatus,
        note: Note,
    ) -> Result<Changed, Fault> {
        let pool = check::pool(&self.edge.mailbox, pool)?;
        let command = AdminCommand::SetStatus { pool, status, note };
        self.change(metadata, Request::Change(Box::new(command))).await
    }
}

#[tonic::async_trait]
impl PoolAdmin for PoolAdminService {
    type WatchLogStream = Messages<LogSource>;

    async fn create_pool(
        &self,
        request: tonic::Request<v1::CreatePoolRequest>,
    ) -> Result<Response<v1::CreatePoolResponse>, Status> {
        let spec = check::pool_spec(request.get_ref())?;
        let new_pool = Request::CreatePool(Box::new(NewPool { spec, secret: None }));
        let Changed { lsn, catalog_version } = self.change(request.metadata(), new_pool).await?;
        Ok(Response::new(v1::CreatePoolResponse { lsn, catalog_version }))
    }

    async fn update_item(
        &self,
        request: tonic::Request<v1::UpdateItemRequest>,
    ) -> Result<Response<v1::UpdateItemResponse>, Status> {
        let fields = request.get_ref();
        let command = AdminCommand::UpdateItem {
            pool: check::pool(&self.edge.mailbox, &fields.pool)?,
            item: check::item_id("item_id".to_owned(), &fields.item_id)?,
            change: check::item_change(fields)?,
            note: check::note(&fields.actor, &fields.reason)?,
        };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } = self.change(request.metadata(), change).await?;
        Ok(Response::new(v1::UpdateItemResponse { lsn, catalog_version }))
    }

    async fn add_item(
        &self,
        request: tonic::Request<v1::AddItemRequest>,
    ) -> Result<Response<v1::AddItemResponse>, Status> {
        let fields = request.get_ref();
        let item = fields.item.as_ref();
        let item = item.ok_or_else(|| Fault::invalid("item", "it must be set"))?;
        let command = AdminCommand::AddItem {
            pool: check::pool(&self.edge.mailbox, &fields.pool)?,
            item: check::catalog_item("item", item)?,
            note: check::note(&fields.actor, &fields.reason)?,
        };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } = self.change(request.metadata(), change).await?;
        Ok(Response::new(v1::AddItemResponse { lsn, catalog_version }))
    }

    async fn retire_item(
        &self,
        request: tonic::Request<v1::RetireItemRequest>,
    ) -> Result<Response<v1::RetireItemResponse>, Status> {
        let fields = request.get_ref();
        let command = AdminCommand::RetireItem {
            pool: check::pool(&self.edge.mailbox, &fields.pool)?,
            item: check::item_id("item_id".to_owned(), &fields.item_id)?,
            note: check::note(&fields.actor, &fields.reason)?,
        };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } = self.change(request.metadata(), change).await?;
        Ok(Response::new(v1::RetireItemResponse { lsn, catalog_version }))
    }

    async fn pause_pool(
        &self,
        request: tonic::Request<v1::PausePoolRequest>,
    ) -> Result<Response<v1::PausePoolResponse>, Status> {
        let v1::PausePoolRequest { pool, actor, reason } = request.get_ref();
        let (note, status) = (check::note(actor, reason)?, PoolStatus::Paused);
        let changed = self.set_status(request.metadata(), pool, status, note).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::PausePoolResponse { lsn, catalog_version }))
    }

    async fn resume_pool(
        &self,
        request: tonic::Request<v1::ResumePoolRequest>,
    ) -> Result<Response<v1::ResumePoolResponse>, Status> {
        let v1::ResumePoolRequest { pool, actor, reason } = request.get_ref();
        let (note, status) = (check::note(actor, reason)?, PoolStatus::Active);
        let changed = self.set_status(request.metadata(), pool, status, note).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::ResumePoolResponse { lsn, catalog_version }))
    }

    async fn close_pool(
        &self,
        request: tonic::Request<v1::ClosePoolRequest>,
    ) -> Result<Response<v1::ClosePoolResponse>, Status> {
        let v1::ClosePoolRequest { pool, actor, reason } = request.get_ref();
        // What cannot be undone is not done to a pool that was not named.
        PoolId::new(pool).map_err(|error| Fault::invalid("pool", error))?;
        let (note, status) = (check::note(actor, reason)?, PoolStatus::Closed);
        let changed = self.set_status(request.metadata(), pool, status, note).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::ClosePoolResponse { lsn, catalog_version }))
    }

    async fn take_snapshot(
        &self,
        request: tonic::Request<v1::TakeSnapshotRequest>,
    ) -> Result<Response<v1::TakeSnapshotResponse>, Status> {
        let deadline = check::deadline(request.metadata());
        let patience = deadline.map_or(SNAPSHOT_PATIENCE, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        let handle = self.edge.mailbox.handle.clone();
        let taken = tokio::task::spawn_blocking(move || handle.take_snapshot(patience)).await;
        let taken = taken.unwrap_or(Err(Refusal::OutcomeUnknown)).map_err(Fault::from)?;
        Ok(Response::new(v1::TakeSnapshotResponse {
            lsn: taken.lsn,
            file: taken.file,
            bytes: taken.bytes,
            sha256: taken.sha256.to_vec().into(),
        }))
    }

    async fn get_status(
        &self,
        request: tonic::Request<v1::GetStatusRequest>,
    ) -> Result<Response<v1::GetStatusResponse>, Status> {
        let (Edge { mailbox, meter, .. }, info) = (&self.edge, &self.info);
        let handle = &mailbox.handle;
        let deadline = check::deadline(request.metadata());
        let reply = call::ask(mailbox, Request::ReadStatus, deadline).await?;
        let Answer::Status(status) = call::answer(&reply)? else {
            unreachable!("a read of the status is answered by a status")
        };
        let segments = handle.segment_spans();
        let snapshots = handle.snapshots();
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(Response::new(v1::GetStatusResponse {
            version: info.version.to_owned(),
            storage: info.storage.to_owned(),
            format: info.format.to_owned(),
            durable_lsn: status.durable_lsn,
            last_request_id: status.last_request_id,
            current_segment: status.current_segment,
            segments: narrow(segments.len()),
            pools: narrow(status.pools),
            uptime_seconds: meter.uptime_seconds(),
            recovery: Some(v1::RecoveryReport {
                snapshot_lsn: info.recovery.snapshot_lsn,
                segments: info.recovery.segments,
                records: info.recovery.records,
                draws: info.recovery.draws,
                seconds: info.recovery.duration.as_secs_f64(),
                torn_bytes: info.recovery.torn_bytes,
            }),
            mailbox_depth: wide(handle.mailbox_depth()),
            mailbox_capacity: wide(handle.mailbox_capacity()),
            conservation_ok: status.conservation_ok,
            scheduling: info.scheduling.to_owned(),
            segment_infos: segments
                .iter()
                .map(|segment| segment_info(segment, status.current_segment))
                .collect(),
            snapshot_infos: snapshots
                .iter()
                .rev()
                .filter_map(|&lsn| snapshot_info(&info.working_dir, lsn))
                .collect(),
            working_dir: info.working_dir.display().to_string(),
            started_at_ms: meter.started_at_ms(),
            process_id: process_id(),
            activity: Some(meter.activity()),
        }))
    }

    async fn watch_log(
        &self,
        request: tonic::Request<v1::WatchLogRequest>,
    ) -> Result<Response<Self::WatchLogStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let v1::WatchLogRequest { after_sequence, backlog } = request.into_inner();
        let (backlog, ring) = (check::backlog(backlog)?, &self.info.log);
        let next = match after_sequence {
            0 => ring.place_before_end(backlog),
            _ => ring.place_after(after_sequence),
        };
        let source = LogSource::new(ring.clone(), next);
        Ok(Response::new(Messages::new(&self.edge, deadline, source)?))
    }
}
