//! One request, one reply: hands a submission over and waits for what comes back.
use std::time::{Duration, Instant};

use rewardpool_engine::{Answer, Refusal, Reply, Request, Submission};
use tokio::time;

use super::Mailbox;
use crate::convert::Fault;

/// How long a call without a deadline waits for room in the mailbox.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How often a full mailbox is tried.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(1);

/// When to give up on a full mailbox.
pub(super) fn give_up_at(deadline: Option<Instant>) -> time::Instant {
    deadline.map_or_else(|| time::Instant::now() + PATIENCE, time::Instant::from_std)
}

/// Makes one request. The reply holds exactly one answer, see [`answer`].
pub(crate) async fn ask(
    mailbox: &impl Mailbox,
    request: Request,
    deadline: Option<Instant>,
) -> Result<Reply, Fault> {
    let (port, receiver) = mailbox.replies().port();
    let mut submission = Submission::new(port);
    submission.set_deadline(deadline);
    submission.push(request);
    let give_up_at = give_up_at(deadline);
    while let Err((refusal, returned)) = mailbox.submit(submission) {
        if refusal != Refusal::Overloaded || time::Instant::now() >= give_up_at {
            mailbox.count_refusal(refusal);
            return Err(refusal.into());
        }
        submission = returned;
        time::sleep(RETRY_EVERY).await;
    }
    receiver.await.map_err(|_| Refusal::OutcomeUnknown.into())
}

/// The answer of a reply to a single request.
pub(crate) fn answer(reply: &Reply) -> Result<&Answer, Fault> {
    let [answer] = reply.answers() else { unreachable!("one request has one answer") };
    answer.as_ref().map_err(|&refusal| refusal.into())
}

#[cfg(test)]
mod tests;
