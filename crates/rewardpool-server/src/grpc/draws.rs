//! `rewardpool.v1.RewardPool`: what players need.
use rewardpool_engine::{Answer, PoolPage, PoolsPage, Reply, Request};
use rewardpool_proto::encoded::Encoded;
use rewardpool_proto::encoded::v1::reward_pool_server::RewardPool;
use rewardpool_proto::v1;

use tonic::{Code, Response, Status, Streaming};

use super::check::Page;
use super::draw_stream::DrawStreamDialect;
use super::stream::Answers;
use super::watch::{Messages, StateSource};
use super::{Edge, EngineMailbox, answer, call, check};
use crate::convert::{Fault, item_state, pool_status, pool_summary, wide};

/// The answers of one stream of draws.
type DrawAnswers =
    Answers<EngineMailbox, DrawStreamDialect<EngineMailbox>, Streaming<v1::DrawRequest>>;

/// Items of a message to someone who watches and does not say how many.
const WATCHED_ITEMS: i32 = 100;

/// Serves `rewardpool.v1.RewardPool`.
pub(crate) struct RewardPoolService {
    edge: Edge,
}

impl RewardPoolService {
    /// A service over this engine.
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }
}

fn drawn(reply: &Reply) -> Result<Encoded<v1::DrawResponse>, Fault> {
    let Answer::Draw(draw) = call::answer(reply)? else {
        unreachable!("a draw is answered by a draw")
    };
    Ok(answer::draw_response(reply, draw))
}

pub(super) fn state(
    edge: &Edge,
    page: Page,
    found: &PoolPage,
) -> Result<v1::GetStateResponse, Fault> {
    let summary = &found.summary;
    Ok(v1::GetStateResponse {
        pool: summary.id.as_str().to_owned(),
        status: pool_status(summary.status).into(),
        lsn: found.lsn,
        catalog_version: summary.catalog_version,
        last_request_id: found.last_request_id,
        draws: summary.draws,
        awards: summary.awards,
        empties: summary.empties,
        total_weight: summary.available_weight,
        items: found.items.iter().map(|item| item_state(item, &found.names)).collect(),
        next_page_token: page.next_token(found.items.len(), summary.item_count)?,
        item_count: wide(summary.item_count),
        freshness: edge.freshness(),
    })
}

fn pools(edge: &Edge, page: Page, found: &PoolsPage) -> Result<v1::ListPoolsResponse, Fault> {
    Ok(v1::ListPoolsResponse {
        pools: found.pools.iter().map(pool_summary).collect(),
        next_page_token: page.next_token(found.pools.len(), found.count)?,
        pool_count: wide(found.count),
        freshness: edge.freshness(),
    })
}

#[tonic::async_trait]
impl RewardPool for RewardPoolService {
    type DrawStreamStream = Box<DrawAnswers>;
    type WatchStateStream = Messages<StateSource>;

    async fn draw(
        &self,
        request: tonic::Request<v1::DrawRequest>,
    ) -> Result<Response<Encoded<v1::DrawResponse>>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let request = request.into_inner();
        let pool = check::pool_for(&caller, &self.edge.mailbox, &request.pool)?;
        let command = check::draw(pool, &request)?;
        if let Some(mut allowance) = caller.allowance() {
            caller.admit(&mut allowance, command.count.number())?;
        }
        let request = Request::Draw(command);
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        Ok(Response::new(drawn(&reply)?))
    }

    async fn draw_stream(
        &self,
        request: tonic::Request<Streaming<v1::DrawRequest>>,
    ) -> Result<Response<Self::DrawStreamStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let Edge { mailbox, stopping, .. } = self.edge.clone();
        let dialect = DrawStreamDialect::new(mailbox.clone(), caller.clone());
        let requests = request.into_inner();
        let answers = Answers::new(mailbox, dialect, caller, requests, deadline, stopping);
        Ok(Response::new(Box::new(answers)))
    }

    async fn get_state(
        &self,
        request: tonic::Request<v1::GetStateRequest>,
    ) -> Result<Response<v1::GetStateResponse>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let request = request.into_inner();
        let pool = check::pool_for(&caller, &self.edge.mailbox, &request.pool)?;
        let page = Page::new(request.page_size, &request.page_token)?;
        let request = Request::ReadPool { pool, from: page.from, limit: page.limit };
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        let Answer::Pool(found) = call::answer(&reply)? else {
            unreachable!("a read of a pool is answered by a pool")
        };
        Ok(Response::new(state(&self.edge, page, found)?))
    }

    async fn list_pools(
        &self,
        request: tonic::Request<v1::ListPoolsRequest>,
    ) -> Result<Response<v1::ListPoolsResponse>, Status> {
        let deadline = check::deadline(request.metadata());
        self.edge.caller(&request)?;
        let request = request.into_inner();
        let page = Page::new(request.page_size, &request.page_token)?;
        let request = Request::ReadPools { from: page.from, limit: page.limit };
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        let Answer::Pools(found) = call::answer(&reply)? else {
            unreachable!("a read of the pools is answered by pools")
        };
        Ok(Response::new(pools(&self.edge, page, found)?))
    }

    async fn get_draw(
        &self,
        request: tonic::Request<v1::GetDrawRequest>,
    ) -> Result<Response<Encoded<v1::DrawResponse>>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let request = request.into_inner();
        let pool = check::pool_for(&caller, &self.edge.mailbox, &request.pool)?;
        let key = check::key(&request.idempotency_key)?;
        let request = Request::FindDraw { pool, key };
        let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
        let found = drawn(&reply).map_err(|fault| match &self.edge.leader {
            // It may have happened, and be on its way.
            Some(leader) if fault.code == Code::NotFound => Fault::follower(leader.url()),
            Some(_) | None => fault,
        });
        Ok(Response::new(found?))
    }

    async fn watch_state(
        &self,
        request: tonic::Request<v1::WatchStateRequest>,
    ) -> Result<Response<Self::WatchStateStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let caller = self.edge.caller(&request)?;
        let request = request.into_inner();
        let pool = check::pool_for(&caller, &self.edge.mailbox, &request.pool)?;
        let interval = check::interval(request.interval_ms)?;
        let size = if request.page_size == 0 { WATCHED_ITEMS } else { request.page_size };
        let page = Page::new(size, &request.page_token)?;
        let source = StateSource::new(self.edge.clone(), pool, page, interval).for_caller(&caller);
        Ok(Response::new(Messages::new(&self.edge, caller, deadline, source)?))
    }
}
