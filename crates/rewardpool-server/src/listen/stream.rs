//! One call's life: it is broken off when its answer is not read.
//!
//! The client then sees `RST_STREAM` with `CANCEL`. What was drawn stays drawn, and a retry with the
//! same idempotency key gets the answer.
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::traffic::{Outbox, Stall, Traffic};

/// When the service stops, an answer waits only so long for a client that does not read.
pub(super) const PATIENCE_AT_STOP: Duration = Duration::from_secs(1);
/// An answer that waits is looked at so often within its time.
const LOOKS: u32 = 4;

tokio::task_local! {
    /// The outbox of the call that this task serves.
    static OUTBOX: Arc<Outbox>;
}

/// The outbox of the call whose answer is made here.
///
/// # Panics
/// Outside of a task of [`CallTasks`].
pub(super) fn current_outbox() -> Arc<Outbox> {
    OUTBOX.with(Arc::clone)
}

/// Runs each call of a connection as a task.
#[derive(Clone)]
pub(super) struct CallTasks {
    pub(super) traffic: Arc<Traffic>,
    pub(super) write_timeout: Duration,
    pub(super) stopping: watch::Receiver<bool>,
}

impl<F> Executor<F> for CallTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, call: F) {
        self.traffic.begin_call();
        // Nobody waits for this task: it ends with the call.
        drop(tokio::spawn(run(call, self.clone())));
    }
}

/// Ends a call in the books, however it ends.
struct Ending {
    traffic: Arc<Traffic>,
    outbox: Arc<Outbox>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.traffic.end_call(Arc::clone(&self.outbox));
    }
}

async fn run<F: Future<Output = ()>>(call: F, tasks: CallTasks) {
    let outbox = Arc::new(Outbox::default());
    let _ending = Ending { traffic: Arc::clone(&tasks.traffic), outbox: Arc::clone(&outbox) };
    let mut call = pin!(OUTBOX.scope(Arc::clone(&outbox), call));
    let mut stalled = None;
    // A call that is dropped here resets its stream.
    poll_fn(|context| {
        if call.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if outbox.unsent() == 0 {
            return Poll::Pending;
        }
        // It is kept for the next time, because a stream has to wait a little now and then.
        let stalled = stalled.get_or_insert_with(|| {
            let (outbox, stopping) = (Arc::clone(&outbox), tasks.stopping.clone());
            Box::pin(is_stalled(outbox, tasks.write_timeout, stopping))
        });
        stalled.as_mut().poll(context)
    })
    .await;
}

/// Ends when the outbox made no progress for too long.
async fn is_stalled(outbox: Arc<Outbox>, timeout: Duration, mut stopping: watch::Receiver<bool>) {
    let mut stall = Stall::begin(&outbox, Instant::now());
    loop {
        let stops = *stopping.borrow_and_update();
        let limit = if stops { timeout.min(PATIENCE_AT_STOP) } else { timeout };
        let now = Instant::now();
        let left = limit.saturating_sub(stall.look(&outbox, now));
        if left.is_zero() && outbox.unsent() > 0 {
            tracing::debug!("a call was broken off: its client does not read the answer");
            return;
        }
        tokio::select! {
            () = sleep_until(now + (limit / LOOKS).min(left.max(Duration::from_millis(1)))) => {}
            changed = stopping.changed(), if !stops => if changed.is_err() {
                return;
            },
        }
    }
}
