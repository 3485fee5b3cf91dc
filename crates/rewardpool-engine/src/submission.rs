//! A bundle of requests on its way to the writer, and the reply on its way back.
//!
//! One bundle is one message, so a connection with many requests in flight costs one hand-over and
//! one wake a commit. All buffers come back with the reply, to be used again.
use std::sync::Arc;
use std::time::Instant;

use rewardpool_core::ids::{Outcome, PoolNumber};
use rewardpool_core::names::ItemNames;

use crate::request::{Answer, DrawAnswer, Refusal, Request};

/// Where a reply goes. Called by the writer, so it must neither wait nor panic.
pub trait ReplyPort: Send + Sync {
    /// Takes the reply. Every answer in it is durable.
    fn deliver(&self, reply: Reply);
}

/// Requests that are handed over together and answered together, in their order.
///
/// A submission that is dropped without a reply (because the engine is gone) drops its port.
pub struct Submission {
    pub(crate) requests: Vec<Request>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) port: Arc<dyn ReplyPort>,
    pub(crate) answers: Vec<Result<Answer, Refusal>>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) names: Vec<(PoolNumber, ItemNames)>,
}

impl Submission {
    /// Most requests of one submission.
    pub const REQUESTS_MAX: usize = 1024;

    /// An empty submission whose reply goes to this port.
    pub fn new(port: Arc<dyn ReplyPort>) -> Self {
        let (requests, answers, outcomes, names) = Default::default();
        Self { requests, deadline: None, port, answers, outcomes, names }
    }

    /// An empty submission that uses the buffers of an earlier reply.
    #[must_use]
    pub fn reuse(reply: Reply, port: Arc<dyn ReplyPort>) -> Self {
        let Reply { mut requests, mut answers, mut outcomes, mut names } = reply;
        requests.clear();
        answers.clear();
        outcomes.clear();
        names.clear();
        Self { requests, deadline: None, port, answers, outcomes, names }
    }

    /// The requests are not begun after this moment.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Appends a request.
    ///
    /// # Panics
    /// When there are [`Submission::REQUESTS_MAX`] already.
    pub fn push(&mut self, request: Request) {
        assert!(self.requests.len() < Self::REQUESTS_MAX, "a submission is bounded");
        self.requests.push(request);
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is no request.
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Ends the submission with what was answered. Only for answers that are durable, which the
    /// writer's commit proves.
    pub(crate) fn reply(self) {
        assert_eq!(self.answers.len(), self.requests.len(), "each request has an answer");
        let Self { requests, port, answers, outcomes, names, deadline: _ } = self;
        port.deliver(Reply { requests, answers, outcomes, names });
    }

    /// Ends the submission with the same refusal for each request, whatever was staged.
    pub(crate) fn refuse(mut self, refusal: Refusal) {
        self.answers.clear();
        self.answers.extend(self.requests.iter().map(|_| Err(refusal)));
        self.reply();
    }
}

/// The answers to the requests of a submission, in their order.
#[derive(Debug)]
pub struct Reply {
    requests: Vec<Request>,
    answers: Vec<Result<Answer, Refusal>>,
    outcomes: Vec<Outcome>,
    names: Vec<(PoolNumber, ItemNames)>,
}

impl Reply {
    /// The answers, one for each request.
    pub fn answers(&self) -> &[Result<Answer, Refusal>] {
        &self.answers
    }

    /// The requests, in the same order.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The outcomes of a draw of this reply.
    pub fn outcomes(&self, draw: &DrawAnswer) -> &[Outcome] {
        &self.outcomes[draw.range()]
    }

    /// Names of the items of a pool that was drawn from in this reply.
    ///
    /// # Panics
    /// When no draw of this reply is from that pool.
    pub fn names(&self, draw: &DrawAnswer) -> &ItemNames {
        let entry = self.names.iter().find(|(pool, _)| *pool == draw.pool);
        &entry.expect("the writer attaches the names of each pool drawn from").1
    }

    /// Takes the answer of a reply to a single request.
    pub(crate) fn into_single(mut self) -> (Result<Answer, Refusal>, Self) {
        let answer = self.answers.pop().expect("a reply answers each request");
        assert!(self.answers.is_empty(), "only one request was made");
        (answer, self)
    }
}
