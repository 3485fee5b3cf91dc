//! What is read of the service for one scrape. Counters are read as they are; pools are read through
//! the mailbox, page by page, so that draws go on in between.
use std::time::Instant;

use rewardpool_core::names::ItemNames;
use rewardpool_core::view::ItemState;
use rewardpool_engine::{Answer, FeedStanding, Reading, Request, SegmentSpan, SnapshotsMade};
use rewardpool_proto::v1::Freshness;

use super::Subject;
use super::process::Process;
use crate::convert::{Fault, snapshot_info};
use crate::grpc::call::{answer, ask};
use crate::grpc::{CallCounts, EngineMailbox};

/// Entries of a page: so few that a draw does not notice that it waits for one.
const PAGE: usize = 1000;

/// Reads the service again and again.
pub(super) struct Scraper {
    subject: Subject,
    mailbox: EngineMailbox,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) build: [(&'static str, &'static str); 4],
    pub(super) reading: Reading,
    /// Refused requests, by reason.
    pub(super) refusals: Vec<(&'static str, u64)>,
    pub(super) mailbox_depth: usize,
    pub(super) mailbox_capacity: usize,
    pub(super) segments: Vec<SegmentSpan>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) snapshots_made: SnapshotsMade,
    pub(super) is_out_of_space: bool,
    pub(super) is_conserved: bool,
    pub(super) recovery: Recovery,
    pub(super) calls: Vec<CallCounts>,
    /// Whether all pools could be read.
    pub(super) is_complete: bool,
    pub(super) pools: Vec<Pool>,
    /// Who reads the log.
    pub(super) subscribers: Vec<FeedStanding>,
    /// How often the log changed hands.
    pub(super) epoch: u32,
    /// How far a follower is behind its leader.
    pub(super) freshness: Option<Freshness>,
    pub(super) process: Process,
    /// How long the reading took.
    pub(super) seconds: f64,
}

/// The newest snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) lsn: u64,
    pub(super) bytes: u64,
    /// In seconds since 1970.
    pub(super) taken_at: f64,
}

/// What the start found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    pub(super) seconds: f64,
    pub(super) records: u64,
    pub(super) torn_bytes: u64,
}

/// One pool with its first items.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) summary: rewardpool_engine::PoolSummary,
    pub(super) names: Option<ItemNames>,
    pub(super) items: Vec<ItemState>,
}

impl Scraper {
    /// # Panics
    /// Outside of a runtime.
    pub(super) fn new(subject: Subject) -> Self {
        let mailbox = EngineMailbox::new(subject.handle.clone(), subject.calls.clone());
        Self { subject, mailbox }
    }

    /// Reads everything. What of the pools cannot be read at present is left out.
    pub(super) async fn scrape(&mut self) -> Scrape {
        let begun = Instant::now();
        let mut pools = Vec::new();
        let is_complete = self.read_pools(&mut pools).await.is_ok();
        let Subject { handle, calls, info, leader, .. } = &self.subject;
        let mut reading = Reading::default();
        handle.read_statistics(&mut reading);
        let refusals =
            handle.refusals().map(|(refusal, count)| (Fault::from(refusal).reason, count));
        let refusals = refusals.chain([("INVALID_ARGUMENT", calls.invalid())]).collect();
        let snapshots = handle.snapshots();
        let newest = snapshots.last().and_then(|&lsn| snapshot_info(&info.working_dir, lsn));
        Scrape {
            build: [
                ("version", info.version),
                ("storage", info.storage),
                ("formatter", info.format),
                ("scheduling", info.scheduling),
            ],
            reading,
            refusals,
            mailbox_depth: handle.mailbox_depth(),
            mailbox_capacity: handle.mailbox_capacity(),
            segments: handle.segment_spans(),
            snapshot: newest.map(|snapshot| Snapshot {
                lsn: snapshot.lsn,
                bytes: snapshot.bytes,
                taken_at: millis(snapshot.taken_at_ms),
            }),
            snapshots_made: handle.snapshots_made(),
            is_out_of_space: handle.is_out_of_space(),
            is_conserved: handle.conservation_ok(),
            recovery: Recovery {
                seconds: info.recovery.duration.as_secs_f64(),
                records: info.recovery.records,
                torn_bytes: info.recovery.torn_bytes,
            },
            calls: calls.counts().collect(),
            is_complete,
            pools,
            subscribers: handle.feeds(),
            epoch: handle.epoch(),
            freshness: leader.as_ref().map(|leader| leader.freshness(handle.durable_lsn())),
            process: Process::read(),
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    async fn read_pools(&self, pools: &mut Vec<Pool>) -> Result<(), Fault> {
        if self.subject.meter.is_recount_due() {
            answer(&ask(&self.mailbox, Request::ReadStatus, None).await?)?;
        }
        loop {
            let request = Request::ReadPools { from: pools.len(), limit: PAGE };
            let reply = ask(&self.mailbox, request, None).await?;
            let Answer::Pools(page) = answer(&reply)? else {
                unreachable!("a read of the pools is answered by pools")
            };
            let found = page.pools.iter().cloned();
            pools.extend(found.map(|summary| Pool { summary, names: None, items: Vec::new() }));
            if page.pools.is_empty() || pools.len() >= page.count {
                break;
            }
        }
        for pool in pools {
            self.read_items(pool).await?;
        }
        Ok(())
    }

    async fn read_items(&self, pool: &mut Pool) -> Result<(), Fault> {
        let wanted = self.subject.items_max.min(pool.summary.item_count);
        while pool.items.len() < wanted {
            let from = pool.items.len();
            let limit = PAGE.min(wanted - from);
            let request = Request::ReadPool { pool: pool.summary.number, from, limit };
            let reply = ask(&self.mailbox, request, None).await?;
            let Answer::Pool(page) = answer(&reply)? else {
                unreachable!("a read of a pool is answered by a pool")
            };
            pool.items.extend_from_slice(&page.items);
            pool.names = Some(page.names.clone());
            if page.items.is_empty() {
                break;
            }
        }
        Ok(())
    }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "moments of this age of the world are exact")]
fn millis(count: i64) -> f64 {
    count as f64 / 1000.0
}
