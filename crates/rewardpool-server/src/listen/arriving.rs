//! The messages of a call on their way in. Whoever opens a call and does not go on is told that it
//! took too long, or that the service stops; both before anything of the unfinished message happened.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use hyper::body::{Bytes, Incoming};
use rewardpool_engine::Refusal;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::Status;

use crate::convert::Fault;

/// The body of a request.
pub(super) struct Arriving {
    body: Incoming,
    limit: Duration,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    stopping: watch::Receiver<bool>,
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, limit: Duration, stopping: watch::Receiver<bool>) -> Self {
        Self { body, limit, since: Instant::now(), timer: None, stopping, stopped: None }
    }

    fn poll_stopped(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let stopped = self.stopped.get_or_insert_with(|| {
            let mut stopping = self.stopping.clone();
            Box::pin(async move {
                // A sender that is gone has stopped, too.
                drop(stopping.wait_for(|stopping| *stopping).await);
            })
        });
        stopped.as_mut().poll(context)
    }

    /// Ready when nothing arrived for too long. The timer is set again only when it is over, not
    /// with each message.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let until = self.since + self.limit;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            std::task::ready!(timer.as_mut().poll(context));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.since = Instant::now();
            return Poll::Ready(frame.map(|frame| frame.map_err(|e| Status::from_error(e.into()))));
        }
        if this.poll_stopped(context).is_ready() {
            return Poll::Ready(Some(Err(Fault::from(Refusal::Stopping).to_status())));
        }
        if this.poll_idle(context).is_ready() {
            return Poll::Ready(Some(Err(Fault::idle_call().to_status())));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
