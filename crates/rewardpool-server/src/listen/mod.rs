//! The door of the gRPC server: takes connections, keeps each within its limits, and lets go of all
//! of them when the service stops.
//!
//! Invariant: whatever a client does or leaves undone, what it holds is bounded, and it holds it for
//! a bounded time. `serve` returns at most `drain_timeout` after the service begins to stop.
//!
//! Read on in `accept.rs` (the loop), `seats.rs` (how many connections there may be), `transport.rs`
//! (TCP or TLS), `tls.rs` (certificates), `guard.rs` (deadlines of reading and writing), `frames.rs` (where in
//! HTTP/2 the client is), `connection.rs` (one connection's life), `arriving.rs`, `leaving.rs` and
//! `stream.rs` (one call's messages, answer and life).
mod accept;
mod arriving;
mod connection;
mod frames;
mod guard;
mod leaving;
mod seats;
mod stream;
pub mod tls;
mod traffic;
mod transport;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Bytes;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::Service;

use crate::config::GrpcLimits;

use self::accept::Door;
use self::tls::Tls;

/// Serves calls that come in here until `stopping` becomes true, and then until all connections are
/// closed, or until the time for that is over. Returns how many were still open.
///
/// The limits of a message's size are those of the services; all others are kept here.
pub(crate) async fn serve<S, B>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    services: S,
    limits: &GrpcLimits,
    stopping: watch::Receiver<bool>,
    drain_timeout: Duration,
) -> usize
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    Door::new(listener, tls, services, limits, stopping).serve(drain_timeout).await
}
