//! Takes connections. Nothing that goes wrong with one, and no want of file descriptors, ends the
//! loop.
use std::convert::Infallible;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use super::connection::Connection;
use super::seats::{Seats, Taken};
use super::tls::Tls;
use crate::config::GrpcLimits;

/// After a failure the loop waits so long before it tries again, and then twice as long each time.
const WAIT_MIN: Duration = Duration::from_millis(5);
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Connections that are taken before it is the turn of those that are there.
const TURN: u32 = 8;
/// The log tells of connections that were not taken at most so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The loop and what each connection needs.
pub(super) struct Door<S> {
    listener: TcpListener,
    seats: Seats,
    connection: Connection<S>,
    complaint: Complaint,
}

impl<S, B> Door<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    pub(super) fn new(
        listener: TcpListener,
        tls: Option<Arc<Tls>>,
        services: S,
        limits: &GrpcLimits,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let seats = Seats::new(limits);
        let connection = Connection { services, tls, limits: Arc::new(limits.clone()), stopping };
        Self { listener, seats, connection, complaint: Complaint::default() }
    }

    /// See [`super::serve`].
    pub(super) async fn serve(mut self, drain_timeout: Duration) -> usize {
        let mut stopping = self.connection.stopping.clone();
        tokio::select! {
            biased;
            // A sender that is gone has stopped, too.
            _ = stopping.wait_for(|stopping| *stopping) => {}
            never = self.accept() => match never {},
        }
        // From here on the system refuses connections.
        let Self { listener, seats, .. } = self;
        drop(listener);
        match timeout(drain_timeout, seats.all_free()).await {
            Ok(()) => 0,
            Err(_) => seats.taken(),
        }
    }

    async fn accept(&mut self) -> Infallible {
        let (mut wait, mut turn) = (WAIT_MIN, 0);
        loop {
            turn = (turn + 1) % TURN;
            if turn == 0 {
                yield_now().await;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    wait = WAIT_MIN;
                    self.admit(stream, peer);
                }
                // Broken off while it waited to be taken.
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    let Complaint { missed, .. } = self.complaint;
                    if self.complaint.is_due() {
                        tracing::warn!(%error, missed, "a connection cannot be taken; trying again");
                    }
                    sleep(wait).await;
                    wait = WAIT_MAX.min(wait * 2);
                }
            }
        }
    }

    /// Serves it if there is room, else closes it.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        match self.seats.take(peer.ip()) {
            // Nobody waits for this task: it gives its seat back at its end.
            Ok(seat) => drop(tokio::spawn(self.connection.clone().serve(stream, peer, seat))),
            Err(taken) => {
                let Complaint { missed, .. } = self.complaint;
                if self.complaint.is_due() {
                    let limit = match taken {
                        Taken::All => "grpc.limits.max_connections",
                        Taken::Address => "grpc.limits.max_connections_per_address",
                    };
                    tracing::warn!(%peer, limit, missed, "a connection was refused: too many");
                }
            }
        }
    }
}

/// Whether an error tells of the connection and not of the listener.
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::WouldBlock
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}

/// Tells now and then of something that may happen thousands of times a second.
#[derive(Clone, Copy, Default)]
struct Complaint {
    last: Option<Instant>,
    /// How often it was not told since then.
    missed: u64,
}

impl Complaint {
    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if self.last.is_some_and(|last| now - last < COMPLAIN_EVERY) {
            self.missed += 1;
            return false;
        }
        *self = Self { last: Some(now), missed: 0 };
        true
    }
}
