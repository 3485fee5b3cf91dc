//! `rewardpool.v1.PoolAdmin`: what administrators need.
use std::time::{Duration, Instant};

use rewardpool_core::command::{AdminCommand, PoolStatus};
use rewardpool_core::ids::PoolNumber;
use rewardpool_core::name::PoolId;
use rewardpool_engine::{Answer, NewPool, Refusal, Request};
use rewardpool_proto::v1;
use rewardpool_proto::v1::pool_admin_server::PoolAdmin;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::audit::Action;
use super::backup::{BackupStream, Backups};
use super::watch::{LogSource, Messages};
use super::{Edge, StatusInfo, audit, call, check};
use crate::activity::process_id;
use crate::convert::{Fault, segment_info, snapshot_info, wide};

/// How long a call without a deadline waits for a snapshot.
const SNAPSHOT_PATIENCE: Duration = Duration::from_mins(10);

/// Serves `rewardpool.v1.PoolAdmin`.
pub(crate) struct PoolAdminService {
    edge: Edge,
    info: StatusInfo,
    backups: Backups,
}

/// A pool that exists.
struct Named {
    number: PoolNumber,
    id: PoolId,
}

/// A change that is on disk.
struct Changed {
    lsn: u64,
    catalog_version: u64,
}

impl PoolAdminService {
    /// A service over this engine.
    pub(crate) fn new(edge: Edge, info: StatusInfo) -> Self {
        Self { edge, info, backups: Backups::default() }
    }

    /// Makes a change, and leaves a line about it.
    async fn change(
        &self,
        metadata: &MetadataMap,
        request: Request,
        action: Action<'_>,
    ) -> Result<Changed, Fault> {
        let deadline = check::deadline(metadata);
        let changed = self.make(request, deadline).await;
        action.audit(changed.as_ref().map(|changed| changed.lsn));
        changed
    }

    async fn make(&self, request: Request, deadline: Option<Instant>) -> Result<Changed, Fault> {
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        let Answer::Changed { lsn, catalog_version } = *call::answer(&reply)? else {
            unreachable!("a change is answered by a change")
        };
        Ok(Changed { lsn, catalog_version })
    }

    async fn set_status(
        &self,
        metadata: &MetadataMap,
        (pool, status): (&str, PoolStatus),
        (actor, reason): (&str, &str),
    ) -> Result<Changed, Fault> {
        let (note, pool) = (check::note(actor, reason)?, self.pool(pool)?);
        let what = match status {
            PoolStatus::Active => "pool resumed",
            PoolStatus::Paused => "pool paused",
            PoolStatus::Closed => "pool closed",
        };
        let action = Action { what, pool: pool.id.as_str(), actor, reason, ..Action::default() };
        let command = AdminCommand::SetStatus { pool: pool.number, status, note };
        self.change(metadata, Request::Change(Box::new(command)), action).await
    }

    fn pool(&self, name: &str) -> Result<Named, Fault> {
        let mailbox = &self.edge.mailbox;
        let number = check::pool(mailbox, name)?;
        let id = mailbox.handle.pool_id(number).expect("the pool was found by its name");
        Ok(Named { number, id })
    }
}

#[tonic::async_trait]
impl PoolAdmin for PoolAdminService {
    type WatchLogStream = Messages<LogSource>;
    type BackupStream = BackupStream;

    async fn create_pool(
        &self,
        request: tonic::Request<v1::CreatePoolRequest>,
    ) -> Result<Response<v1::CreatePoolResponse>, Status> {
        let spec = check::pool_spec(request.get_ref())?;
        let (what, pool) = ("pool created", spec.id.clone());
        let action = Action { what, pool: pool.as_str(), ..Action::default() };
        let new_pool = Request::CreatePool(Box::new(NewPool { spec, secret: None }));
        let changed = self.change(request.metadata(), new_pool, action).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::CreatePoolResponse { lsn, catalog_version }))
    }

    async fn update_item(
        &self,
        request: tonic::Request<v1::UpdateItemRequest>,
    ) -> Result<Response<v1::UpdateItemResponse>, Status> {
        let fields = request.get_ref();
        let v1::UpdateItemRequest { item_id, actor, reason, .. } = fields;
        let (pool, change) = (self.pool(&fields.pool)?, check::item_change(fields)?);
        let action = Action {
            what: "item updated",
            pool: pool.id.as_str(),
            item: item_id,
            change: audit::change(&change),
            actor,
            reason,
        };
        let command = AdminCommand::UpdateItem {
            pool: pool.number,
            item: check::item_id("item_id".to_owned(), item_id)?,
            change,
            note: check::note(actor, reason)?,
        };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } =
            self.change(request.metadata(), change, action).await?;
        Ok(Response::new(v1::UpdateItemResponse { lsn, catalog_version }))
    }

    async fn add_item(
        &self,
        request: tonic::Request<v1::AddItemRequest>,
    ) -> Result<Response<v1::AddItemResponse>, Status> {
        let v1::AddItemRequest { pool, item, actor, reason } = request.get_ref();
        let item = item.as_ref().ok_or_else(|| Fault::invalid("item", "it must be set"))?;
        let (pool, added) = (self.pool(pool)?, check::catalog_item("item", item)?);
        let action = Action {
            what: "item added",
            pool: pool.id.as_str(),
            item: &item.item_id,
            change: format!("quantity {}, weight {}", added.quantity.to_number(), added.weight),
            actor,
            reason,
        };
        let note = check::note(actor, reason)?;
        let command = AdminCommand::AddItem { pool: pool.number, item: added, note };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } =
            self.change(request.metadata(), change, action).await?;
        Ok(Response::new(v1::AddItemResponse { lsn, catalog_version }))
    }

    async fn retire_item(
        &self,
        request: tonic::Request<v1::RetireItemRequest>,
    ) -> Result<Response<v1::RetireItemResponse>, Status> {
        let v1::RetireItemRequest { pool, item_id, actor, reason } = request.get_ref();
        let pool = self.pool(pool)?;
        let (what, change) = ("item retired", String::new());
        let action = Action { what, pool: pool.id.as_str(), item: item_id, change, actor, reason };
        let command = AdminCommand::RetireItem {
            pool: pool.number,
            item: check::item_id("item_id".to_owned(), item_id)?,
            note: check::note(actor, reason)?,
        };
        let change = Request::Change(Box::new(command));
        let Changed { lsn, catalog_version } =
            self.change(request.metadata(), change, action).await?;
        Ok(Response::new(v1::RetireItemResponse { lsn, catalog_version }))
    }

    async fn pause_pool(
        &self,
        request: tonic::Request<v1::PausePoolRequest>,
    ) -> Result<Response<v1::PausePoolResponse>, Status> {
        let v1::PausePoolRequest { pool, actor, reason } = request.get_ref();
        let status = (pool.as_str(), PoolStatus::Paused);
        let changed = self.set_status(request.metadata(), status, (actor, reason)).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::PausePoolResponse { lsn, catalog_version }))
    }

    async fn resume_pool(
        &self,
        request: tonic::Request<v1::ResumePoolRequest>,
    ) -> Result<Response<v1::ResumePoolResponse>, Status> {
        let v1::ResumePoolRequest { pool, actor, reason } = request.get_ref();
        let status = (pool.as_str(), PoolStatus::Active);
        let changed = self.set_status(request.metadata(), status, (actor, reason)).await?;
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
        let status = (pool.as_str(), PoolStatus::Closed);
        let changed = self.set_status(request.metadata(), status, (actor, reason)).await?;
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
        let taken = taken.unwrap_or(Err(Refusal::OutcomeUnknown)).map_err(Fault::from);
        let action = Action { what: "snapshot taken", ..Action::default() };
        action.audit(taken.as_ref().map(|taken| taken.lsn));
        let taken = taken?;
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

    async fn backup(
        &self,
        request: tonic::Request<v1::BackupRequest>,
    ) -> Result<Response<BackupStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let rate = request.get_ref().bytes_per_second_max;
        let options = check::backup_options(request.get_ref(), self.info.backup_secrets)?;
        let version = self.info.version;
        let stream = self.backups.begin(&self.edge, options, rate, version, deadline).await?;
        Ok(Response::new(stream))
    }
}
