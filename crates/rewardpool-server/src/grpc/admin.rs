//! `rewardpool.v1.PoolAdmin`: what administrators need.
use std::time::{Duration, Instant};

use rewardpool_core::command::{AdminCommand, Note, PoolStatus};
use rewardpool_core::ids::{ItemIndex, PoolNumber};
use rewardpool_core::name::PoolId;
use rewardpool_core::view::ItemState;
use rewardpool_engine::{Answer, FeedStanding, NewPool, PoolPage, Refusal, Reply, Request};
use rewardpool_proto::v1;
use rewardpool_proto::v1::pool_admin_server::PoolAdmin;
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

use super::audit::Action;
use super::backup::{BackupStream, Backups};
use super::watch::{LogSource, Messages};
use super::{Edge, StatusInfo, audit, call, check};
use crate::activity::process_id;
use crate::auth::Caller;
use crate::convert::{Fault, segment_info, snapshot_info, wide};

/// How long a call without a deadline waits for a snapshot.
const SNAPSHOT_PATIENCE: Duration = Duration::from_mins(10);

/// Serves `rewardpool.v1.PoolAdmin`.
pub(crate) struct PoolAdminService {
    edge: Edge,
    info: StatusInfo,
    backups: Backups,
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

    async fn make(&self, metadata: &MetadataMap, request: Request) -> Result<Changed, Fault> {
        let reply = call::ask(&self.edge.mailbox, request, check::deadline(metadata)).await?;
        let Answer::Changed { lsn, catalog_version } = *call::answer(&reply)? else {
            unreachable!("a change is answered by a change")
        };
        Ok(Changed { lsn, catalog_version })
    }

    /// Makes a change of a pool, and leaves a line about it. The command comes with a text that says
    /// what it changes. What is wrong in itself, or not the caller's business, leaves no line.
    async fn change(
        &self,
        asked: Asked<'_>,
        command: impl FnOnce(PoolNumber, Note) -> Result<(AdminCommand, String), Fault>,
    ) -> Result<Changed, Fault> {
        let Asked { caller, metadata, mut action } = asked;
        let mailbox = &self.edge.mailbox;
        let pool = check::pool_for(&caller, mailbox, action.pool)?;
        let id = mailbox.handle.pool_id(pool).expect("the pool was found by its name");
        let note = caller.note(action.actor, action.reason)?;
        let actor = note.actor().to_owned();
        let (command, change) = command(pool, note)?;
        action.change = change;
        action.before = self.look(pool, action.item).await.unwrap_or_default();
        let changed = self.make(metadata, Request::Change(Box::new(command))).await;
        if changed.is_ok() {
            action.after = self.look(pool, action.item).await.unwrap_or_default();
        }
        let action = Action { pool: id.as_str(), actor: &actor, ..action };
        action.audit(&caller, metadata, changed.as_ref().map(|changed| changed.lsn));
        changed
    }

    async fn set_status(&self, asked: Asked<'_>, status: PoolStatus) -> Result<Changed, Fault> {
        let command =
            |pool, note| Ok((AdminCommand::SetStatus { pool, status, note }, String::new()));
        self.change(asked, command).await
    }

    /// How a pool or, when it is named, an item is at present, for a trace.
    async fn look(&self, pool: PoolNumber, item: &str) -> Option<String> {
        let reply = self.read(pool, 0).await.ok()?;
        let page = page(&reply)?;
        if item.is_empty() {
            return Some(format!("{:?}", page.summary.status).to_lowercase());
        }
        let is_it = |place: &usize| {
            let index = ItemIndex::from_usize(*place);
            index.and_then(|index| page.names.get(index)).is_some_and(|id| id.as_str() == item)
        };
        let Some(place) = (0..page.names.len()).find(is_it) else {
            return Some("not there".to_owned());
        };
        let reply = self.read(pool, place).await.ok()?;
        self::page(&reply)?.items.first().map(describe)
    }

    /// Whether this service leads or follows, and who follows.
    fn replication(&self) -> v1::ReplicationStatus {
        let (handle, leader) = (&self.edge.mailbox.handle, &self.edge.leader);
        let role = match leader {
            Some(_) => v1::ReplicationRole::Follower,
            None => v1::ReplicationRole::Leader,
        };
        let subscriber = |feed: FeedStanding| v1::SubscriberInfo {
            number: feed.number,
            lsn: feed.last_lsn,
            lag_records: feed.lag_records,
            lag_bytes: feed.lag_bytes,
            lag_seconds: feed.lag.as_secs_f64(),
        };
        v1::ReplicationStatus {
            role: role.into(),
            epoch: handle.epoch(),
            freshness: self.edge.freshness(),
            problem: leader.as_ref().map(|leader| leader.problem()).unwrap_or_default(),
            subscribers: handle.feeds().into_iter().map(subscriber).collect(),
        }
    }

    async fn read(&self, pool: PoolNumber, from: usize) -> Result<Reply, Fault> {
        let request = Request::ReadPool { pool, from, limit: 1 };
        call::ask(&self.edge.mailbox, request, None).await
    }
}

fn page(reply: &Reply) -> Option<&PoolPage> {
    match call::answer(reply) {
        Ok(Answer::Pool(page)) => Some(page),
        Ok(_) | Err(_) => None,
    }
}

/// A change that somebody asks for.
struct Asked<'a> {
    caller: Caller,
    metadata: &'a MetadataMap,
    action: Action<'a>,
}

impl<'a> Asked<'a> {
    fn new<T>(
        edge: &Edge,
        request: &'a tonic::Request<T>,
        action: Action<'a>,
    ) -> Result<Self, Fault> {
        Ok(Self { caller: edge.caller(request)?, metadata: request.metadata(), action })
    }
}

fn describe(item: &ItemState) -> String {
    let ItemState { weight, quantity, retired, .. } = item;
    let retired = if *retired { ", retired" } else { "" };
    format!("weight {weight}, quantity {}{retired}", quantity.to_number())
}

#[tonic::async_trait]
impl PoolAdmin for PoolAdminService {
    type WatchLogStream = Messages<LogSource>;
    type BackupStream = BackupStream;

    async fn create_pool(
        &self,
        request: tonic::Request<v1::CreatePoolRequest>,
    ) -> Result<Response<v1::CreatePoolResponse>, Status> {
        let (caller, metadata) = (self.edge.caller(&request)?, request.metadata());
        caller.check_name(&request.get_ref().pool)?;
        let spec = check::pool_spec(request.get_ref())?;
        let (pool, change) = (spec.id.clone(), format!("{} items", spec.catalog.items().len()));
        let action =
            Action { what: "pool created", pool: pool.as_str(), change, ..Action::default() };
        let new_pool = Request::CreatePool(Box::new(NewPool { spec, secret: None }));
        let created = self.make(metadata, new_pool).await;
        action.audit(&caller, metadata, created.as_ref().map(|created| created.lsn));
        let Changed { lsn, catalog_version } = created?;
        Ok(Response::new(v1::CreatePoolResponse { lsn, catalog_version }))
    }

    async fn update_item(
        &self,
        request: tonic::Request<v1::UpdateItemRequest>,
    ) -> Result<Response<v1::UpdateItemResponse>, Status> {
        let fields = request.get_ref();
        let v1::UpdateItemRequest { pool, item_id: item, actor, reason, .. } = fields;
        let action =
            Action { what: "item updated", pool, item, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let command = |pool, note| {
            let change = check::item_change(fields)?;
            let text = audit::change(&change);
            let item = check::item_id("item_id".to_owned(), item)?;
            Ok((AdminCommand::UpdateItem { pool, item, change, note }, text))
        };
        let Changed { lsn, catalog_version } = self.change(asked, command).await?;
        Ok(Response::new(v1::UpdateItemResponse { lsn, catalog_version }))
    }

    async fn add_item(
        &self,
        request: tonic::Request<v1::AddItemRequest>,
    ) -> Result<Response<v1::AddItemResponse>, Status> {
        let v1::AddItemRequest { pool, item, actor, reason } = request.get_ref();
        let name = item.as_ref().map_or("", |item| &item.item_id);
        let action =
            Action { what: "item added", pool, item: name, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let command = |pool, note| {
            let item = item.as_ref().ok_or_else(|| Fault::invalid("item", "it must be set"))?;
            let item = check::catalog_item("item", item)?;
            let text = format!("quantity {}, weight {}", item.quantity.to_number(), item.weight);
            Ok((AdminCommand::AddItem { pool, item, note }, text))
        };
        let Changed { lsn, catalog_version } = self.change(asked, command).await?;
        Ok(Response::new(v1::AddItemResponse { lsn, catalog_version }))
    }

    async fn retire_item(
        &self,
        request: tonic::Request<v1::RetireItemRequest>,
    ) -> Result<Response<v1::RetireItemResponse>, Status> {
        let v1::RetireItemRequest { pool, item_id: item, actor, reason } = request.get_ref();
        let action =
            Action { what: "item retired", pool, item, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let command = |pool, note| {
            let item = check::item_id("item_id".to_owned(), item)?;
            Ok((AdminCommand::RetireItem { pool, item, note }, String::new()))
        };
        let Changed { lsn, catalog_version } = self.change(asked, command).await?;
        Ok(Response::new(v1::RetireItemResponse { lsn, catalog_version }))
    }

    async fn pause_pool(
        &self,
        request: tonic::Request<v1::PausePoolRequest>,
    ) -> Result<Response<v1::PausePoolResponse>, Status> {
        let v1::PausePoolRequest { pool, actor, reason } = request.get_ref();
        let action = Action { what: "pool paused", pool, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let changed = self.set_status(asked, PoolStatus::Paused).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::PausePoolResponse { lsn, catalog_version }))
    }

    async fn resume_pool(
        &self,
        request: tonic::Request<v1::ResumePoolRequest>,
    ) -> Result<Response<v1::ResumePoolResponse>, Status> {
        let v1::ResumePoolRequest { pool, actor, reason } = request.get_ref();
        let action = Action { what: "pool resumed", pool, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let changed = self.set_status(asked, PoolStatus::Active).await?;
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
        let action = Action { what: "pool closed", pool, actor, reason, ..Action::default() };
        let asked = Asked::new(&self.edge, &request, action)?;
        let changed = self.set_status(asked, PoolStatus::Closed).await?;
        let Changed { lsn, catalog_version } = changed;
        Ok(Response::new(v1::ClosePoolResponse { lsn, catalog_version }))
    }

    async fn take_snapshot(
        &self,
        request: tonic::Request<v1::TakeSnapshotRequest>,
    ) -> Result<Response<v1::TakeSnapshotResponse>, Status> {
        let caller = self.edge.caller(&request)?;
        let deadline = check::deadline(request.metadata());
        let patience = deadline.map_or(SNAPSHOT_PATIENCE, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        let handle = self.edge.mailbox.handle.clone();
        let taken = tokio::task::spawn_blocking(move || handle.take_snapshot(patience)).await;
        let taken = taken.unwrap_or(Err(Refusal::OutcomeUnknown)).map_err(Fault::from);
        let action = Action { what: "snapshot taken", ..Action::default() };
        action.audit(&caller, request.metadata(), taken.as_ref().map(|taken| taken.lsn));
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
        self.edge.caller(&request)?;
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
            replication: Some(self.replication()),
        }))
    }

    async fn watch_log(
        &self,
        request: tonic::Request<v1::WatchLogRequest>,
    ) -> Result<Response<Self::WatchLogStream>, Status> {
        let caller = self.edge.caller(&request)?;
        let deadline = check::deadline(request.metadata());
        let v1::WatchLogRequest { after_sequence, backlog } = request.into_inner();
        let (backlog, ring) = (check::backlog(backlog)?, &self.info.log);
        let next = match after_sequence {
            0 => ring.place_before_end(backlog),
            _ => ring.place_after(after_sequence),
        };
        let source = LogSource::new(ring.clone(), next);
        Ok(Response::new(Messages::new(&self.edge, caller, deadline, source)?))
    }

    async fn backup(
        &self,
        request: tonic::Request<v1::BackupRequest>,
    ) -> Result<Response<BackupStream>, Status> {
        let caller = self.edge.caller(&request)?;
        let deadline = check::deadline(request.metadata());
        let rate = request.get_ref().bytes_per_second_max;
        let options = check::backup_options(request.get_ref(), self.info.backup_secrets)?;
        let version = self.info.version;
        let begun = self.backups.begin(&self.edge, options, rate, version, deadline).await;
        // It takes the whole log away, perhaps with the secrets of the pools.
        let action = Action { what: "backup begun", ..Action::default() };
        let lsn = self.edge.mailbox.handle.durable_lsn();
        action.audit(&caller, request.metadata(), begun.as_ref().map(|_| lsn));
        Ok(Response::new(begun?))
    }
}
