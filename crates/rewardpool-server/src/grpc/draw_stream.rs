//! How `rewardpool.v1.RewardPool.DrawStream` speaks: one answer for each request.
use rewardpool_core::command::DrawCommand;
use rewardpool_core::ids::PoolNumber;
use rewardpool_engine::{DrawAnswer, Reply};
use rewardpool_proto::encoded::Encoded;
use rewardpool_proto::v1;
use rewardpool_proto::v1::draw_stream_response::Answer;

use super::stream::{Ask, Dialect};
use super::{Mailbox, answer, check};
use crate::auth::Caller;
use crate::convert::Fault;

/// One stream of a client.
pub(crate) struct DrawStreamDialect<M> {
    mailbox: M,
    caller: Caller,
    accepted: Option<v1::DrawRequest>,
    /// The last name that was looked up. Numbers of pools never change; what an empty name means
    /// does.
    last_pool: Option<(String, PoolNumber)>,
}

impl<M: Mailbox> DrawStreamDialect<M> {
    pub(super) fn new(mailbox: M, caller: Caller) -> Self {
        Self { mailbox, caller, accepted: None, last_pool: None }
    }

    fn command(&mut self, request: v1::DrawRequest) -> Result<DrawCommand, Fault> {
        let pool = match &self.last_pool {
            Some((name, number)) if *name == request.pool => *number,
            Some(_) | None => check::pool_for(&self.caller, &self.mailbox, &request.pool)?,
        };
        let command = check::draw(pool, &request)?;
        let known = self.last_pool.as_ref().is_some_and(|(name, _)| *name == request.pool);
        if !known && !request.pool.is_empty() {
            self.last_pool = Some((request.pool, pool));
        }
        Ok(command)
    }
}

impl<M: Mailbox + Unpin> Dialect for DrawStreamDialect<M> {
    type Request = v1::DrawRequest;
    type Response = Encoded<v1::DrawStreamResponse>;

    fn accept(&mut self, request: v1::DrawRequest) {
        self.accepted = Some(request);
    }

    fn next(&mut self) -> Option<Ask> {
        let request = self.accepted.take()?;
        let command = self.command(request).map_err(Box::new);
        let count = command.as_ref().map_or(1, |command| command.count.number());
        Some(Ask { count, command })
    }

    fn answer(&mut self, reply: &Reply, draw: &DrawAnswer, _: u16) -> (Self::Response, bool) {
        (answer::stream_response(reply, draw), true)
    }

    fn refuse(&mut self, fault: &Fault, _: u16, _: u16) -> (Self::Response, bool) {
        let refusal = Some(Answer::Refusal(fault.to_draw_refusal()));
        (Encoded::of(&v1::DrawStreamResponse { answer: refusal }), true)
    }
}
