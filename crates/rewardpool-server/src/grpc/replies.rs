//! Brings replies from the writer's thread to the tasks that wait for them.
//!
//! To wake a task from another thread takes a system call, and a commit may answer hundreds of
//! calls. So the writer leaves its replies in one place and wakes one task, which hands them on
//! within the thread of the network.
use std::sync::{Arc, Mutex, PoisonError};

use rewardpool_engine::{Reply, ReplyPort};
use tokio::sync::{Notify, oneshot};

/// Replies on their way, in the order of their arrival.
#[derive(Clone, Default)]
pub(crate) struct Replies(Arc<Shared>);

#[derive(Default)]
struct Shared {
    arrived: Mutex<Vec<Delivery>>,
    is_there: Notify,
}

/// A reply and whoever waits for it.
struct Delivery {
    reply: Reply,
    to: oneshot::Sender<Reply>,
}

impl Replies {
    /// Replies that a task of the runtime hands on for as long as the runtime lives.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub(crate) fn dispatched() -> Self {
        let replies = Self::default();
        // Nobody waits for this task: it ends with the runtime.
        drop(tokio::spawn(replies.clone().dispatch()));
        replies
    }

    async fn dispatch(self) {
        let mut deliveries = Vec::new();
        loop {
            self.0.is_there.notified().await;
            std::mem::swap(&mut deliveries, &mut *self.0.lock());
            for Delivery { reply, to } in deliveries.drain(..) {
                // A client that went away does not want its reply.
                drop(to.send(reply));
            }
        }
    }

    /// A port for one reply, and where it comes out. When the engine drops the port, the receiver
    /// learns that.
    pub(super) fn port(&self) -> (Arc<SinglePort>, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        let port = SinglePort { to: Mutex::new(Some(sender)), replies: self.clone() };
        (Arc::new(port), receiver)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Delivery>> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes one reply, once.
pub(super) struct SinglePort {
    to: Mutex<Option<oneshot::Sender<Reply>>>,
    replies: Replies,
}

impl ReplyPort for SinglePort {
    fn deliver(&self, reply: Reply) {
        let to = self.to.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(to) = to else { return };
        let shared = &self.replies.0;
        let mut arrived = shared.lock();
        arrived.push(Delivery { reply, to });
        let is_first = arrived.len() == 1;
        drop(arrived);
        if is_first {
            shared.is_there.notify_one();
        }
    }
}
