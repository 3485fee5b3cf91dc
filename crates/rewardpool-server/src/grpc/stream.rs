//! Requests and answers of one stream, pipelined.
//!
//! Requests that are ready at the same time travel to the engine as one bundle; several bundles may
//! be on their way; answers leave in the order of the requests.
//!
//! Invariant: memory of a stream is bounded. Nothing runs but when the transport asks for the next
//! answer, which it does only while the client reads; and requests are read only while fewer than
//! [`BUNDLES_MAX`] bundles wait.
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use rewardpool_core::command::DrawCommand;
use rewardpool_engine::{Answer, DrawAnswer, Refusal, Reply, Request, Submission};
use tokio::sync::{oneshot, watch};
use tokio::time::{self, Sleep};
use tokio_stream::Stream;
use tonic::{Code, Status};

use super::Mailbox;
use super::call::{RETRY_EVERY, give_up_at};
use super::replies::SinglePort;
use crate::convert::Fault;

/// Most bundles of a stream that wait for their answers to leave.
const BUNDLES_MAX: usize = 8;
/// Most commands of a bundle.
const COMMANDS_MAX: usize = 256;
/// A bundle with so many draws takes no further command.
const BUNDLE_DRAWS: usize = 10_000;

const _: () = assert!(COMMANDS_MAX <= Submission::REQUESTS_MAX);

/// One command that a request asks for, or why it asks for nothing possible.
pub(crate) struct Ask {
    /// How many draws it is about.
    pub(crate) count: u16,
    /// What the engine is asked.
    pub(crate) command: Result<DrawCommand, Box<Fault>>,
}

/// How the messages of an interface are read and written.
pub(crate) trait Dialect: Unpin {
    /// What clients send.
    type Request;
    /// What clients get.
    type Response;

    /// Takes a request. Only called when [`Dialect::next`] gives nothing.
    fn accept(&mut self, request: Self::Request);
    /// The next command of the accepted request.
    fn next(&mut self) -> Option<Ask>;
    /// One message about a draw, and whether it is the last one about it. The step counts the
    /// messages about it, from 0.
    fn answer(&mut self, reply: &Reply, draw: &DrawAnswer, step: u16) -> (Self::Response, bool);
    /// The same for a command that was refused.
    fn refuse(&mut self, fault: &Fault, count: u16, step: u16) -> (Self::Response, bool);
}

/// The place of one command in the order of the answers.
struct Place {
    count: u16,
    /// Why the command was refused at the edge. Else its answer is the next one of the reply.
    fault: Option<Box<Fault>>,
}

/// What became of the commands of a bundle that were not refused at the edge.
enum Fate {
    Waits(oneshot::Receiver<Reply>),
    Replied(Reply),
    Refused(Refusal),
}

/// Commands that travel together.
struct Bundle {
    places: Vec<Place>,
    fate: Fate,
    /// How many places are answered.
    answered: usize,
    /// How many answers of the reply are used.
    used: usize,
    /// How many messages of the present place have left.
    step: u16,
}

/// A bundle for which the mailbox had no room. It is the last one of the queue.
struct Held {
    submission: Submission,
    give_up_at: time::Instant,
    retry: Pin<Box<Sleep>>,
}

/// The answers of a stream.
pub(crate) struct Answers<M, D, S> {
    mailbox: M,
    dialect: D,
    requests: S,
    deadline: Option<Instant>,
    stopped: Pin<Box<dyn Future<Output = ()> + Send>>,
    bundles: VecDeque<Bundle>,
    held: Option<Held>,
    /// How the stream ends after the last answer, once no more requests are read.
    end: Option<Result<(), Status>>,
    finished: bool,
    /// Buffers to use again.
    spare_replies: Vec<Reply>,
    spare_places: Vec<Vec<Place>>,
}

impl<M, D, S> Answers<M, D, S>
where
    M: Mailbox,
    D: Dialect,
    S: Stream<Item = Result<D::Request, Status>> + Unpin,
{
    pub(super) fn new(
        mailbox: M,
        dialect: D,
        requests: S,
        deadline: Option<Instant>,
        mut stopping: watch::Receiver<bool>,
    ) -> Self {
        let stopped = Box::pin(async move {
            // A sender that is gone has stopped, too.
            drop(stopping.wait_for(|stopping| *stopping).await);
        });
        Self {
            mailbox,
            dialect,
            requests,
            deadline,
            stopped,
            bundles: VecDeque::with_capacity(BUNDLES_MAX),
            held: None,
            end: None,
            finished: false,
            spare_replies: Vec::new(),
            spare_places: Vec::new(),
        }
    }

    /// The next message, if one can leave without waiting.
    fn next_answer(&mut self) -> Option<Result<D::Response, Status>> {
        loop {
            let bundle = self.bundles.front_mut()?;
            if matches!(bundle.fate, Fate::Waits(_)) {
                return None;
            }
            if bundle.answered < bundle.places.len() {
                return Some(bundle.next_answer(&mut self.dialect));
            }
            let Bundle { mut places, fate, .. } = self.bundles.pop_front()?;
            places.clear();
            self.spare_places.push(places);
            if let Fate::Replied(reply) = fate {
                self.spare_replies.push(reply);
            }
        }
    }

    /// Takes the reply of the first bundle. False when there is none to wait for.
    fn poll_reply(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Some(bundle) = self.bundles.front_mut() else { return Poll::Ready(false) };
        if let Fate::Waits(receiver) = &mut bundle.fate {
            bundle.fate = match Pin::new(receiver).poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(reply)) => Fate::Replied(reply),
                Poll::Ready(Err(_)) => Fate::Refused(Refusal::OutcomeUnknown),
            };
        }
        Poll::Ready(true)
    }

    /// Reads the requests that are ready and hands them over, as far as there is room.
    fn pump(&mut self, context: &mut Context<'_>) {
        loop {
            if !self.retry_held(context) {
                return;
            }
            if self.end.is_some() || self.bundles.len() >= BUNDLES_MAX {
                return;
            }
            if self.stopped.as_mut().poll(context).is_ready() {
                self.end = Some(Err(Fault::from(Refusal::Stopping).to_status()));
                return;
            }
            if !self.send_bundle(context) {
                return;
            }
        }
    }

    /// Tries again to hand over what is held. True when nothing is held any more.
    fn retry_held(&mut self, context: &mut Context<'_>) -> bool {
        while let Some(mut held) = self.held.take() {
            if held.retry.as_mut().poll(context).is_pending() {
                self.held = Some(held);
                return false;
            }
            self.submit(held.submission, held.give_up_at);
        }
        true
    }

    /// Hands over the last bundle of the queue, or holds it for a while, or refuses it.
    fn submit(&mut self, submission: Submission, give_up_at: time::Instant) {
        let Err((refusal, submission)) = self.mailbox.submit(submission) else { return };
        let now = time::Instant::now();
        if refusal == Refusal::Overloaded && now < give_up_at {
            let retry = Box::pin(time::sleep_until(now + RETRY_EVERY));
            self.held = Some(Held { submission, give_up_at, retry });
        } else {
            (0..submission.len()).for_each(|_| self.mailbox.count_refusal(refusal));
            let last = self.bundles.back_mut().expect("a submission belongs to the last bundle");
            last.fate = Fate::Refused(refusal);
        }
    }

    /// Makes a bundle of the requests that are ready. False when there is none.
    fn send_bundle(&mut self, context: &mut Context<'_>) -> bool {
        let Some(mut ask) = self.next_ask(context) else { return false };
        let mut places = self.spare_places.pop().unwrap_or_default();
        let (port, receiver) = self.mailbox.replies().port();
        let mut submission = self.submission(port);
        let mut draws = 0;
        loop {
            let fault = match ask.command {
                Ok(command) => {
                    submission.push(Request::Draw(command));
                    draws += command.count.as_usize();
                    None
                }
                Err(fault) => {
                    if fault.code == Code::InvalidArgument {
                        self.mailbox.count_invalid();
                    }
                    Some(fault)
                }
            };
            places.push(Place { count: ask.count, fault });
            if places.len() >= COMMANDS_MAX || draws >= BUNDLE_DRAWS {
                break;
            }
            let Some(next) = self.next_ask(context) else { break };
            ask = next;
        }
        let fate = Fate::Waits(receiver);
        self.bundles.push_back(Bundle { places, fate, answered: 0, used: 0, step: 0 });
        if submission.is_empty() {
            // Every place has its own fault, so this one is never told.
            let last = self.bundles.back_mut().expect("a bundle was just added");
            last.fate = Fate::Refused(Refusal::Stopping);
        } else {
            self.submit(submission, give_up_at(self.deadline));
        }
        true
    }

    fn submission(&mut self, port: Arc<SinglePort>) -> Submission {
        let mut submission = match self.spare_replies.pop() {
            Some(reply) => Submission::reuse(reply, port),
            None => Submission::new(port),
        };
        submission.set_deadline(self.deadline);
        submission
    }

    /// The next command, if it is there without waiting.
    fn next_ask(&mut self, context: &mut Context<'_>) -> Option<Ask> {
        loop {
            if let Some(ask) = self.dialect.next() {
                return Some(ask);
            }
            if self.end.is_some() {
                return None;
            }
            match Pin::new(&mut self.requests).poll_next(context) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(request))) => self.dialect.accept(request),
                Poll::Ready(Some(Err(status))) => self.end = Some(Err(status)),
                Poll::Ready(None) => self.end = Some(Ok(())),
            }
        }
    }
}

impl Bundle {
    /// The next message about this bundle. Ends the stream when the outcome is not known, because
    /// a refusal would say that nothing was drawn.
    fn next_answer<D: Dialect>(&mut self, dialect: &mut D) -> Result<D::Response, Status> {
        let place = &self.places[self.answered];
        let asked = place.fault.is_none();
        let (response, last) = match (&place.fault, &self.fate) {
            (Some(fault), _) => dialect.refuse(fault, place.count, self.step),
            (None, Fate::Replied(reply)) => match &reply.answers()[self.used] {
                Ok(Answer::Draw(draw)) => dialect.answer(reply, draw, self.step),
                Ok(_) => unreachable!("a draw is answered by a draw"),
                Err(refusal) => refused(dialect, *refusal, place.count, self.step)?,
            },
            (None, Fate::Refused(refusal)) => refused(dialect, *refusal, place.count, self.step)?,
            (None, Fate::Waits(_)) => unreachable!("a bundle is answered after its reply"),
        };
        if last {
            self.step = 0;
            self.answered += 1;
            self.used += usize::from(asked);
        } else {
            self.step += 1;
        }
        Ok(response)
    }
}

fn refused<D: Dialect>(
    dialect: &mut D,
    refusal: Refusal,
    count: u16,
    step: u16,
) -> Result<(D::Response, bool), Status> {
    let fault = Fault::from(refusal);
    if refusal == Refusal::OutcomeUnknown {
        return Err(fault.to_status());
    }
    Ok(dialect.refuse(&fault, count, step))
}

impl<M, D, S> Stream for Answers<M, D, S>
where
    M: Mailbox + Unpin,
    D: Dialect,
    S: Stream<Item = Result<D::Request, Status>> + Unpin,
{
    type Item = Result<D::Response, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if this.finished {
                return Poll::Ready(None);
            }
            if let Some(answer) = this.next_answer() {
                this.finished = answer.is_err();
                return Poll::Ready(Some(answer));
            }
            this.pump(context);
            match this.poll_reply(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(true) => {}
                Poll::Ready(false) => match this.end.take() {
                    None => return Poll::Pending,
                    Some(end) => {
                        this.finished = true;
                        return Poll::Ready(end.err().map(Err));
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests;
