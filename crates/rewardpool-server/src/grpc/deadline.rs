//! Ends a call at the deadline that its client gave it.
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::check;

/// Puts [`Timely`] around the services.
#[derive(Clone, Copy)]
pub(crate) struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = Timely<S>;

    fn layer(&self, inner: S) -> Timely<S> {
        Timely { inner }
    }
}

/// The services, none of which answers after the client's deadline.
#[derive(Clone)]
pub(crate) struct Timely<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Timely<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = InTime<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> InTime<S::Future> {
        let timer = check::timeout_of(request.headers()).map(|timeout| Box::pin(sleep(timeout)));
        InTime { answer: self.inner.call(request), timer }
    }
}

pin_project! {
    /// The way to an answer.
    pub(crate) struct InTime<F> {
        #[pin]
        answer: F,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F, E> Future for InTime<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(context) {
            return Poll::Ready(answer);
        }
        let Some(timer) = this.timer else { return Poll::Pending };
        timer.as_mut().poll(context).map(|()| {
            // What the engine has begun goes on, so the client cannot know.
            let status = Status::deadline_exceeded(
                "the deadline passed and the call may or may not have happened: send a draw again \
                 with the same idempotency key",
            );
            Ok(status.into_http())
        })
    }
}
