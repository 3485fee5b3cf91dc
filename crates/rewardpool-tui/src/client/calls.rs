//! The calls of commands, draws apart.
use std::time::Duration;

use rewardpool_client::Authorized;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::update_item_request::Quantity;
use rewardpool_proto::v1::{
    AddItemRequest, CatalogItem, GetStateRequest, GetStateResponse, GetStatusRequest, ItemState,
    ListPoolsRequest, PausePoolRequest, ResumePoolRequest, SetQuantity, TakeSnapshotRequest,
    UpdateItemRequest,
};
use tokio::time;
use tonic::{Code, Status};

use super::{Desk, problem, translate};
use crate::catalogue::{CatalogueChange, UnitsChange};
use crate::command::Change;
use crate::effect::Call;
use crate::event::{Problem, Reply};
use crate::model::{PoolStatus, Units};

/// How long a call may take. A snapshot writes all pools.
const PATIENCE: Duration = Duration::from_mins(1);
/// Items that are read at once.
const PAGE: i32 = 5000;
/// How often a catalogue is read again that changes while it is read.
const READS_MAX: usize = 5;
/// Why a change was made, for the log.
const REASON: &str = "terminal";

/// Makes a call and puts what came of it into words.
pub(super) async fn make(channel: Option<Authorized>, call: Call, desk: &Desk) -> Reply {
    let Some(channel) = channel else {
        let what = "the service does not answer, nothing was sent";
        return Reply::Failed(Problem::new(what, "try again when it is back"));
    };
    let service = Service {
        players: RewardPoolClient::new(channel.clone()),
        admin: PoolAdminClient::new(channel),
        desk,
    };
    match time::timeout(PATIENCE, service.make(call)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(failed)) => Reply::Failed(failed.0),
        Err(_) => Reply::Failed(Problem::new(
            "no answer within a minute, and whether it was done is unknown",
            "look at `status` before you repeat it",
        )),
    }
}

/// Why a call was not done.
struct Failed(Problem);

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self(problem::of_status(&status))
    }
}

struct Service<'a> {
    players: RewardPoolClient<Authorized>,
    admin: PoolAdminClient<Authorized>,
    desk: &'a Desk,
}

impl Service<'_> {
    async fn make(mut self, call: Call) -> Result<Reply, Failed> {
        match call {
            Call::Draw { .. } => unreachable!("draws have a task of their own"),
            Call::Update { pool, item, change, weight, seen_version } => {
                self.update(pool, item, change, weight, seen_version).await
            }
            Call::Pause(pool) => {
                let (actor, reason) = self.note();
                self.admin.pause_pool(PausePoolRequest { pool, actor, reason }).await?;
                Ok(Reply::Switched(PoolStatus::Paused))
            }
            Call::Resume(pool) => {
                let (actor, reason) = self.note();
                self.admin.resume_pool(ResumePoolRequest { pool, actor, reason }).await?;
                Ok(Reply::Switched(PoolStatus::Active))
            }
            Call::Snapshot => {
                let taken = self.admin.take_snapshot(TakeSnapshotRequest {}).await?.into_inner();
                Ok(Reply::Snapshot { lsn: taken.lsn, file: taken.file, bytes: taken.bytes })
            }
            Call::Status(pool) => self.status(pool).await,
            Call::FindPool(pool) => self.find_pool(pool).await,
            Call::Compare(pool) => self.compare(pool).await,
            Call::Apply { pool, changes, seen_version } => {
                self.apply(&pool, changes, seen_version).await
            }
        }
    }

    /// Who changes something, and why.
    fn note(&self) -> (String, String) {
        (self.desk.actor.clone(), REASON.to_owned())
    }

    async fn update(
        &mut self,
        pool: String,
        item: String,
        change: Change,
        weight: Option<u64>,
        seen_version: u64,
    ) -> Result<Reply, Failed> {
        let (before, token) = self.find_item(&pool, &item, String::new()).await?;
        let set = |quantity: Option<i64>| {
            Quantity::Set(SetQuantity { quantity, expected_version: seen_version })
        };
        let quantity = match change {
            // Adding nothing is how a weight alone is changed.
            Change::Add(0) => None,
            Change::Add(units) => Some(Quantity::Add(units)),
            Change::Set(units) => Some(set(i64::try_from(units).ok())),
            Change::Unlimited => Some(set(Some(-1))),
            Change::MinusOne => unreachable!("the user was asked what is meant"),
        };
        if quantity.is_none() && weight.is_none() {
            let next = "write `+n`, `-n`, a quantity, or a weight behind it";
            return Err(Failed(Problem::new("+0 changes nothing", next)));
        }
        let (actor, reason) = self.note();
        let request = UpdateItemRequest {
            pool: pool.clone(),
            item_id: item.clone(),
            quantity,
            weight,
            actor,
            reason,
        };
        let changed = self.admin.update_item(request).await?.into_inner();
        let (after, _) = self.find_item(&pool, &item, token).await?;
        Ok(Reply::Updated {
            before: translate::item(before),
            after: translate::item(after),
            catalog_version: changed.catalog_version,
            lsn: changed.lsn,
        })
    }

    async fn page(&mut self, pool: &str, page_token: String) -> Result<GetStateResponse, Status> {
        let request = GetStateRequest { pool: pool.to_owned(), page_size: PAGE, page_token };
        Ok(self.players.get_state(request).await?.into_inner())
    }

    /// An item, and the token of its page. Begins at a page.
    async fn find_item(
        &mut self,
        pool: &str,
        name: &str,
        mut token: String,
    ) -> Result<(ItemState, String), Failed> {
        loop {
            let page = self.page(pool, token.clone()).await?;
            if let Some(item) = page.items.into_iter().find(|item| item.item_id == name) {
                return Ok((item, token));
            }
            if page.next_page_token.is_empty() {
                let what = format!("there is no item `{name}` in the pool {}", page.pool);
                return Err(Failed(Problem::new(what, "Tab completes the names of items")));
            }
            token = page.next_page_token;
        }
    }

    async fn status(&mut self, pool: String) -> Result<Reply, Failed> {
        let request = GetStateRequest { pool, page_size: 1, ..Default::default() };
        let pool = self.players.get_state(request).await?.into_inner();
        let mut service = self.admin.get_status(GetStatusRequest {}).await?.into_inner();
        let activity = service.activity.take().map(translate::activity);
        Ok(Reply::Status {
            pool: Box::new(translate::pool(pool)),
            activity,
            service: Box::new(translate::status(service)),
        })
    }

    async fn find_pool(&mut self, pool: String) -> Result<Reply, Failed> {
        let request = GetStateRequest { pool, page_size: 1, ..Default::default() };
        match self.players.get_state(request).await {
            Ok(found) => Ok(Reply::PoolFound(found.into_inner().pool)),
            Err(status) if matches!(status.code(), Code::NotFound | Code::InvalidArgument) => {
                let request = ListPoolsRequest { page_size: 1000, ..Default::default() };
                let pools = self.players.list_pools(request).await?.into_inner();
                let problem = problem::of_status(&status);
                Ok(Reply::NoPool { problem, pools: translate::pools(pools) })
            }
            Err(status) => Err(status.into()),
        }
    }

    /// All items, as of one version of the catalogue.
    async fn items(&mut self, pool: &str) -> Result<(Vec<ItemState>, u64), Failed> {
        for _ in 0..READS_MAX {
            let mut page = self.page(pool, String::new()).await?;
            let version = page.catalog_version;
            let mut items = std::mem::take(&mut page.items);
            while !page.next_page_token.is_empty() && page.catalog_version == version {
                page = self.page(pool, page.next_page_token).await?;
                items.append(&mut page.items);
            }
            if page.catalog_version == version {
                return Ok((items, version));
            }
        }
        let next = "try again when nobody changes it";
        Err(Failed(Problem::new("the catalogue changes while it is read", next)))
    }

    async fn compare(&mut self, pool: String) -> Result<Reply, Failed> {
        let Some(compare) = self.desk.compare.clone() else {
            let what = "there is no configuration to compare with";
            let next = "start the terminal with --config FILE";
            return Err(Failed(Problem::new(what, next)));
        };
        let (items, version) = self.items(&pool).await?;
        let items: Vec<_> = items.into_iter().map(translate::item).collect();
        // It reads a file, which the screen must not wait for.
        let compared = tokio::task::spawn_blocking(move || compare(&pool, version, &items)).await;
        let lost = |_| Problem::new("the comparison ended early", "try again");
        let mut found = compared.map_err(lost).flatten().map_err(Failed)?;
        found.seen_version = version;
        Ok(Reply::Compared(Box::new(found)))
    }

    /// Makes the changes one by one, and stops when somebody else changes the catalogue meanwhile:
    /// then they are not what the user said yes to.
    async fn apply(
        &mut self,
        pool: &str,
        changes: Vec<CatalogueChange>,
        seen_version: u64,
    ) -> Result<Reply, Failed> {
        let count = changes.len();
        let mut version = seen_version;
        for (done, change) in changes.into_iter().enumerate() {
            match self.apply_one(pool, change, version).await {
                Ok(reached) if reached == version + 1 => version = reached,
                Ok(_) if done + 1 == count => {}
                Ok(_) => {
                    let what = "somebody else changes the catalogue at the same time";
                    let problem = Problem::new(what, "`reload` compares again");
                    return Ok(Reply::Applied { done: done + 1, problem: Some(problem) });
                }
                Err(Failed(problem)) => {
                    return Ok(Reply::Applied { done, problem: Some(problem) });
                }
            }
        }
        Ok(Reply::Applied { done: count, problem: None })
    }

    /// Makes a change and returns the version of the catalogue after it.
    async fn apply_one(
        &mut self,
        pool: &str,
        change: CatalogueChange,
        version: u64,
    ) -> Result<u64, Failed> {
        let (actor, _) = self.note();
        let reason = "reload of the configuration".to_owned();
        let pool = pool.to_owned();
        match change {
            CatalogueChange::Update { item, units, weight } => {
                let set = |quantity| SetQuantity { quantity, expected_version: version };
                let quantity = units.map(|units| match units {
                    UnitsChange::Add(units) => Quantity::Add(units),
                    UnitsChange::Set(units) => Quantity::Set(set(Some(number(units)))),
                });
                let request =
                    UpdateItemRequest { pool, item_id: item, quantity, weight, actor, reason };
                Ok(self.admin.update_item(request).await?.into_inner().catalog_version)
            }
            CatalogueChange::Add { item, weight, units } => {
                let item = CatalogItem {
                    item_id: item,
                    weight: Some(weight),
                    quantity: Some(number(units)),
                };
                let request = AddItemRequest { pool, item: Some(item), actor, reason };
                Ok(self.admin.add_item(request).await?.into_inner().catalog_version)
            }
        }
    }
}

/// The number that stands for units in the protocol, where unlimited is -1.
fn number(units: Units) -> i64 {
    match units {
        Units::Unlimited => -1,
        Units::Limited(units) => i64::try_from(units).expect("a quantity is below 2^63"),
    }
}
