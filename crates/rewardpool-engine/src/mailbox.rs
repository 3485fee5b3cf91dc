//! The bounded queue in front of the writer. Whatever gets in is answered, also when the writer ends
//! in that moment.
//!
//! A queue alone cannot promise this: what is put in between the last look of the one who takes out
//! and its end would lie there for ever, and whoever waits for the answer with it. So both sides can
//! empty the queue. The receiver first closes and then takes out what is there; a sender first puts
//! in and then looks whether it is closed, and if so takes out what is there. One of them is later
//! than the other and sees the submission (Dekker's argument, so the fences are sequentially
//! consistent).
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use crate::request::Refusal;
use crate::submission::Submission;

/// A mailbox of so many submissions.
pub(crate) fn mailbox(capacity: usize) -> (MailboxSender, MailboxReceiver) {
    let (sender, queue) = bounded(capacity);
    let is_closed = Arc::new(AtomicBool::new(false));
    let receiver = MailboxReceiver { queue: queue.clone(), is_closed: Arc::clone(&is_closed) };
    (MailboxSender { queue: sender, left: queue, is_closed }, receiver)
}

/// Puts submissions in. Clones put into the same mailbox.
#[derive(Clone)]
pub(crate) struct MailboxSender {
    queue: Sender<Submission>,
    /// The same queue's other end, which also keeps it connected.
    left: Receiver<Submission>,
    is_closed: Arc<AtomicBool>,
}

impl MailboxSender {
    /// Puts a submission in without waiting, or gives it back.
    #[expect(clippy::result_large_err, reason = "the submission goes back to its owner, unboxed")]
    pub(crate) fn try_send(&self, submission: Submission) -> Result<(), (Refusal, Submission)> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err((Refusal::Stopping, submission));
        }
        match self.queue.try_send(submission) {
            Ok(()) => {
                self.refuse_if_closed();
                Ok(())
            }
            Err(TrySendError::Full(submission)) => Err((Refusal::Overloaded, submission)),
            Err(TrySendError::Disconnected(_)) => {
                unreachable!("a sender keeps the queue connected")
            }
        }
    }

    /// Puts a submission in as soon as there is room, or refuses at the deadline.
    pub(crate) fn send(
        &self,
        submission: Submission,
        deadline: Option<Instant>,
    ) -> Result<(), Refusal> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(Refusal::Stopping);
        }
        let is_sent = match deadline {
            Some(deadline) => self.queue.send_deadline(submission, deadline).is_ok(),
            None => self.queue.send(submission).is_ok(),
        };
        // Nobody but a sender makes room once it is closed.
        self.refuse_if_closed();
        if is_sent { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    fn refuse_if_closed(&self) {
        fence(Ordering::SeqCst);
        if self.is_closed.load(Ordering::Relaxed) {
            refuse_all(&self.left);
        }
    }

    /// Submissions that wait.
    pub(crate) fn depth(&self) -> usize {
        self.queue.len()
    }

    /// Submissions that may wait at most.
    pub(crate) fn capacity(&self) -> usize {
        self.queue.capacity().expect("the mailbox is bounded")
    }
}

/// Takes submissions out. When it is dropped, what is in the mailbox and what comes later is refused.
pub(crate) struct MailboxReceiver {
    queue: Receiver<Submission>,
    is_closed: Arc<AtomicBool>,
}

impl MailboxReceiver {
    /// What can be waited for.
    pub(crate) fn queue(&self) -> &Receiver<Submission> {
        &self.queue
    }
}

impl Drop for MailboxReceiver {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        refuse_all(&self.queue);
    }
}

/// They were too late, had no effect, and are told so.
fn refuse_all(queue: &Receiver<Submission>) {
    for submission in queue.try_iter() {
        submission.refuse(Refusal::Stopping);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::request::Request;
    use crate::submission::{Reply, ReplyPort};

    #[derive(Default)]
    struct Refusals(AtomicUsize);

    impl ReplyPort for Refusals {
        fn deliver(&self, reply: Reply) {
            assert!(matches!(reply.answers(), [Err(Refusal::Stopping)]));
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn submission(port: &Arc<Refusals>) -> Submission {
        let mut submission = Submission::new(Arc::<Refusals>::clone(port));
        submission.push(Request::ReadStatus);
        submission
    }

    #[test]
    fn what_is_put_in_behind_the_last_look_is_refused() {
        let refusals = Arc::new(Refusals::default());
        let (sender, receiver) = mailbox(4);
        drop(receiver);
        // As by a sender that had looked before the receiver was dropped.
        assert!(sender.queue.try_send(submission(&refusals)).is_ok());
        assert_eq!(refusals.0.load(Ordering::Relaxed), 0);
        sender.refuse_if_closed();
        assert_eq!(refusals.0.load(Ordering::Relaxed), 1);
        assert!(matches!(sender.try_send(submission(&refusals)), Err((Refusal::Stopping, _))));
        assert_eq!(sender.send(submission(&refusals), None), Err(Refusal::Stopping));
    }

    #[test]
    fn what_waits_when_the_writer_ends_is_refused() {
        let refusals = Arc::new(Refusals::default());
        let (sender, receiver) = mailbox(2);
        assert!(sender.try_send(submission(&refusals)).is_ok());
        assert!(sender.try_send(submission(&refusals)).is_ok());
        assert!(matches!(sender.try_send(submission(&refusals)), Err((Refusal::Overloaded, _))));
        thread::scope(|scope| {
            // It waits for room, which the end of the receiver makes.
            let waiting = scope.spawn(|| sender.send(submission(&refusals), None));
            drop(receiver);
            let sent = usize::from(waiting.join().unwrap().is_ok());
            assert_eq!(refusals.0.load(Ordering::Relaxed), 2 + sent);
        });
    }

    #[test]
    fn nothing_is_left_when_the_writer_ends_while_it_is_put_in() {
        for _ in 0..2000 {
            let refusals = Arc::new(Refusals::default());
            let (sender, receiver) = mailbox(3);
            let begin = Barrier::new(3);
            let accepted = thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    begin.wait();
                    (0..4).filter(|_| sender.send(submission(&refusals), None).is_ok()).count()
                });
                let tries = scope.spawn(|| {
                    begin.wait();
                    (0..4).filter(|_| sender.try_send(submission(&refusals)).is_ok()).count()
                });
                begin.wait();
                drop(receiver);
                waits.join().unwrap() + tries.join().unwrap()
            });
            assert_eq!(refusals.0.load(Ordering::Relaxed), accepted);
            assert_eq!(sender.depth(), 0);
        }
    }
}
