//! `rewardpool.RewardPoolService`: the interface of the first service, for its clients.
use rewardpool_core::command::{DrawCommand, DrawCount, DrawMode};
use rewardpool_core::limits::DRAW_COUNT_MAX;
use rewardpool_engine::{Answer, DrawAnswer, PoolPage, Reply, Request};
use rewardpool_proto::encoded::Encoded;
use rewardpool_proto::encoded::seed::reward_pool_service_server::RewardPoolService;
use rewardpool_proto::seed;
use tonic::{Response, Status, Streaming};

use super::stream::{Answers, Ask, Dialect};
use super::{Edge, EngineMailbox, Mailbox, answer, call, check};
use crate::convert::{Fault, item_name};

/// Largest state that is sent: what clients accept unless they are set up otherwise.
const STATE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of an item in a message besides its name, at most.
const ITEM_BYTES_MAX: usize = 32;

/// The answers of one stream of draws.
type SeedAnswers = Answers<EngineMailbox, SeedDialect<EngineMailbox>, Streaming<seed::DrawRequest>>;

/// Serves `rewardpool.RewardPoolService`.
pub(crate) struct SeedService {
    edge: Edge,
}

impl SeedService {
    /// A service over this engine.
    pub(crate) fn new(edge: Edge) -> Self {
        Self { edge }
    }
}

#[tonic::async_trait]
impl RewardPoolService for SeedService {
    type DrawStream = Box<SeedAnswers>;

    async fn get_state(
        &self,
        request: tonic::Request<seed::GetStateRequest>,
    ) -> Result<Response<seed::GetStateResponse>, Status> {
        let deadline = check::deadline(request.metadata());
        let pool = check::pool(&self.edge.mailbox, "")?;
        let (mut items, mut bytes, mut from) = (Vec::new(), 0, 0);
        loop {
            // In pages, so that a large pool does not hold up the draws.
            let request = Request::ReadPool { pool, from, limit: check::PAGE_MAX };
            let reply = call::ask(&self.edge.mailbox, request, deadline).await?;
            let Answer::Pool(page) = call::answer(&reply)? else {
                unreachable!("a read of a pool is answered by a pool")
            };
            append_items(&mut items, &mut bytes, page)?;
            from += page.items.len();
            if page.items.is_empty() || from >= page.summary.item_count {
                return Ok(Response::new(seed::GetStateResponse { items }));
            }
        }
    }

    async fn draw(
        &self,
        request: tonic::Request<Streaming<seed::DrawRequest>>,
    ) -> Result<Response<Self::DrawStream>, Status> {
        let deadline = check::deadline(request.metadata());
        let Edge { mailbox, stopping, .. } = self.edge.clone();
        let dialect = SeedDialect::new(mailbox.clone());
        let answers = Answers::new(mailbox, dialect, request.into_inner(), deadline, stopping);
        Ok(Response::new(Box::new(answers)))
    }
}

fn append_items(
    items: &mut Vec<seed::RewardItem>,
    bytes: &mut usize,
    page: &PoolPage,
) -> Result<(), Fault> {
    for item in page.items.iter().filter(|item| !item.retired) {
        let item_id = item_name(item, &page.names);
        *bytes += item_id.len() + ITEM_BYTES_MAX;
        if *bytes > STATE_BYTES_MAX {
            return Err(Fault::too_large());
        }
        items.push(seed::RewardItem {
            item_id,
            quantity: item.quantity.to_number(),
            probability: i64::try_from(item.weight).expect("a weight is below 2^63"),
        });
    }
    Ok(())
}

/// One stream of a client: one message for each draw.
pub(crate) struct SeedDialect<M> {
    mailbox: M,
    /// Draws of the present request that are not asked for yet.
    left: u32,
}

impl<M> SeedDialect<M> {
    pub(super) fn new(mailbox: M) -> Self {
        Self { mailbox, left: 0 }
    }
}

impl<M: Mailbox + Unpin> Dialect for SeedDialect<M> {
    type Request = seed::DrawRequest;
    type Response = Encoded<seed::DrawResponse>;

    fn accept(&mut self, request: seed::DrawRequest) {
        self.left = u32::try_from(request.count).unwrap_or(1).max(1);
    }

    /// A count above the maximum of one command becomes several commands.
    fn next(&mut self) -> Option<Ask> {
        let part = self.left.min(DRAW_COUNT_MAX.into());
        let count = DrawCount::new(part.into())?;
        self.left -= part;
        let pool = check::pool(&self.mailbox, "");
        let command = |pool| DrawCommand { pool, count, mode: DrawMode::BestEffort, key: None };
        Some(Ask { count: count.number(), command: pool.map(command).map_err(Box::new) })
    }

    fn answer(&mut self, reply: &Reply, draw: &DrawAnswer, step: u16) -> (Self::Response, bool) {
        let place = usize::from(step);
        let last = place + 1 == reply.outcomes(draw).len();
        (answer::seed_response(reply, draw, place), last)
    }

    /// One message for each draw that was refused, because clients count them.
    fn refuse(&mut self, fault: &Fault, count: u16, step: u16) -> (Self::Response, bool) {
        let error = fault.message.clone().into_owned();
        let response = seed::DrawResponse { request_id: 0, item_id: String::new(), error };
        (Encoded::of(&response), step + 1 >= count)
    }
}

#[cfg(test)]
mod tests;
