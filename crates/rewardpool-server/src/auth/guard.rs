//! The layer before all services: no method is served that it did not admit.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, header};
use tower::{Layer, Service};

use super::peer::Peer;
use super::registry::Auth;

/// Puts a [`Guard`] before a service.
#[derive(Clone, Debug)]
pub(crate) struct GuardLayer(Arc<Auth>);

impl GuardLayer {
    pub(crate) fn new(auth: Arc<Auth>) -> Self {
        Self(auth)
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard { auth: Arc::clone(&self.0), inner }
    }
}

/// Lets through whom it knows, with a [`super::Caller`] beside the request.
#[derive(Clone, Debug)]
pub(crate) struct Guard<S> {
    auth: Arc<Auth>,
    inner: S,
}

type Answer<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<S, A, B> Service<Request<A>> for Guard<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Default + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Answer<B, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<A>) -> Self::Future {
        let peer = request.extensions().get::<Peer>();
        match self.auth.admit(request.uri().path(), request.headers(), peer) {
            Err(fault) => {
                let refused = fault.to_status().into_http();
                Box::pin(std::future::ready(Ok(refused)))
            }
            Ok(caller) => {
                // What is behind the guard has no use for the token.
                request.headers_mut().remove(header::AUTHORIZATION);
                request.extensions_mut().insert(caller.clone());
                let answer = self.inner.call(request);
                Box::pin(async move {
                    let answered = answer.await;
                    drop(caller);
                    answered
                })
            }
        }
    }
}
