//! One connection, from the accepted socket to its end.
//!
//! It is asked to leave (GOAWAY) when it is old, when it has nothing to do, and when the service
//! stops; it is dropped when it does not.
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tower::Service;

use super::arriving::Arriving;
use super::guard::Guarded;
use super::leaving::Leaving;
use super::seats::Seat;
use super::stream::CallTasks;
use super::tls::Tls;
use super::traffic::Traffic;
use super::transport::Transport;
use crate::auth::Peer;
use crate::config::GrpcLimits;

/// Bytes of requests that are kept for a call until it takes them.
const CALL_WINDOW: u32 = 32 * 1024;
/// The same for all calls of a connection together.
///
/// `h2` closes a connection whose small frames wait in such numbers that their own cost is more than
/// half of this: 256 bytes less the length of each. A client that sends requests one by one as far
/// as the window of a call lets it must not meet that, because then it would not know what was drawn.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// The shortest message is that of a draw with a count.
const MESSAGE_BYTES_MIN: u32 = 5 + 2;

const _: () =
    assert!(CALL_WINDOW / MESSAGE_BYTES_MIN * (256 - MESSAGE_BYTES_MIN) < CONNECTION_WINDOW / 2);

/// Bytes of answers that are kept for a call until the client takes them.
const SEND_BUFFER: usize = 64 * 1024;
/// A connection is looked at at least so often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// And so often while it should leave.
const LEAVING_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Without a call and without a byte for so long, a connection that should leave has left. At a stop
/// less, so that it does not last.
const QUIET: Duration = Duration::from_secs(5);
const QUIET_AT_STOP: Duration = Duration::from_millis(400);

/// What a connection needs.
#[derive(Clone)]
pub(super) struct Connection<S> {
    pub(super) services: S,
    /// Encrypts it; `None` leaves it as it is.
    pub(super) tls: Option<Arc<Tls>>,
    pub(super) limits: Arc<GrpcLimits>,
    pub(super) stopping: watch::Receiver<bool>,
}

impl<S, B> Connection<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<tonic::codegen::StdError>,
{
    /// Serves it until its end, and gives its seat back then.
    pub(super) async fn serve(self, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let greeting_until = Instant::now() + self.limits.handshake_timeout;
        let mut stopping = self.stopping.clone();
        let opened = tokio::select! {
            biased;
            _ = stopping.wait_for(|stopping| *stopping) => return,
            opened = timeout_at(greeting_until, Transport::open(stream, self.tls.as_deref())) => opened,
        };
        match opened {
            Ok(Ok((transport, certificate_names))) => {
                let info = Peer { address: Some(peer), certificate_names };
                self.speak(transport, greeting_until, info).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %peer, "a connection could not begin"),
            Err(_) => tracing::debug!(%peer, "a connection took too long to begin"),
        }
        drop(seat);
    }

    async fn speak(self, transport: Transport, greeting_until: Instant, info: Peer) {
        let traffic = Arc::new(Traffic::default());
        let guarded = Guarded::new(transport, &self.limits, greeting_until, Arc::clone(&traffic));
        let mut stopping = self.stopping.clone();
        let mut keeper = Keeper::new(Arc::clone(&self.limits), Arc::clone(&traffic));
        let builder = self.builder(traffic);
        let peer = info.address;
        let site = Site { connection: self, info };
        let mut served = pin!(builder.serve_connection(TokioIo::new(guarded), site));
        loop {
            tokio::select! {
                biased;
                served = served.as_mut() => {
                    if let Err(error) = served {
                        let error = rewardpool_engine::Chain(&error);
                        tracing::debug!(%error, ?peer, "a connection was closed");
                    }
                    return;
                }
                _ = stopping.wait_for(|stopping| *stopping), if !keeper.is_stopping => {
                    keeper.is_stopping = true;
                }
                () = tokio::time::sleep(keeper.look_every()) => {}
            }
            match keeper.look(Instant::now()) {
                Verdict::Stay => {}
                Verdict::Leave => served.as_mut().graceful_shutdown(),
                Verdict::Drop(why) => {
                    tracing::debug!(?peer, why, "a connection was dropped");
                    return;
                }
            }
        }
    }

    fn builder(&self, traffic: Arc<Traffic>) -> http2::Builder<CallTasks> {
        let limits = &self.limits;
        let (write_timeout, stopping) = (limits.write_timeout, self.stopping.clone());
        let mut builder = http2::Builder::new(CallTasks { traffic, write_timeout, stopping });
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(CALL_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER)
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(limits.header_bytes)
            .keep_alive_interval(limits.keepalive_interval)
            .keep_alive_timeout(limits.keepalive_timeout)
            .max_pending_accept_reset_streams(limits.pending_resets)
            .max_local_error_reset_streams(limits.local_resets);
        builder
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Stay,
    /// It is asked to leave.
    Leave,
    Drop(&'static str),
}

/// Decides what becomes of a connection.
struct Keeper {
    limits: Arc<GrpcLimits>,
    traffic: Arc<Traffic>,
    is_stopping: bool,
    since: Instant,
    /// Since when there was no call, and how many there had been.
    idle: (u64, Instant),
    /// Since when no byte moved, and how many had.
    quiet: (u64, Instant),
    leaving: Option<Instant>,
}

impl Keeper {
    fn new(limits: Arc<GrpcLimits>, traffic: Arc<Traffic>) -> Self {
        let since = Instant::now();
        let (idle, quiet) = ((0, since), (0, since));
        Self { limits, traffic, is_stopping: false, since, idle, quiet, leaving: None }
    }

    /// How long until the next look.
    fn look_every(&self) -> Duration {
        if self.leaving.is_some() {
            return LEAVING_LOOK_EVERY;
        }
        let limits = &self.limits;
        let shortest = limits.idle_timeout.min(limits.age_max).min(limits.write_timeout);
        LOOK_EVERY.min(shortest / 4)
    }

    fn look(&mut self, now: Instant) -> Verdict {
        let (traffic, limits) = (&self.traffic, &self.limits);
        let (open, begun, moved) = (traffic.open(), traffic.begun(), traffic.moved());
        if self.is_stopping && !traffic.has_greeted() {
            return Verdict::Drop("it had not begun when the service stopped");
        }
        let unread = traffic.longest_unread(now);
        if unread.is_some_and(|unread| unread >= limits.write_timeout) {
            return Verdict::Drop("its client does not read");
        }
        if open > 0 || begun != self.idle.0 {
            self.idle = (begun, now);
        }
        if moved != self.quiet.0 {
            self.quiet = (moved, now);
        }
        let Some(leaving) = self.leaving else {
            let is_due = self.is_stopping
                || now - self.since >= limits.age_max
                || now - self.idle.1 >= limits.idle_timeout;
            if is_due {
                self.leaving = Some(now);
                return Verdict::Leave;
            }
            return Verdict::Stay;
        };
        let quiet = if self.is_stopping { QUIET_AT_STOP } else { QUIET };
        if open == 0 && now - self.quiet.1.max(leaving) >= quiet {
            return Verdict::Drop("it was asked to leave and had nothing more to do");
        }
        // At a stop the limit is that of the whole service.
        if !self.is_stopping && now - leaving >= limits.age_grace {
            return Verdict::Drop("it was asked to leave and did not");
        }
        Verdict::Stay
    }
}

/// Where the calls of a connection go.
struct Site<S> {
    connection: Connection<S>,
    info: Peer,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Site<S>
where
    S: Service<Request<tonic::body::Body>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    type Response = Response<Leaving<B>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let Connection { services, limits, stopping, .. } = &self.connection;
        request.extensions_mut().insert(self.info.clone());
        let (idle, stopping) = (limits.stream_idle_timeout, stopping.clone());
        let request =
            request.map(|body| tonic::body::Body::new(Arriving::new(body, idle, stopping)));
        let mut services = services.clone();
        Box::pin(async move {
            poll_fn(|context| services.poll_ready(context)).await?;
            Ok(services.call(request).await?.map(Leaving::new))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::traffic::Outbox;

    const SECOND: Duration = Duration::from_secs(1);

    fn keeper() -> (Keeper, Arc<Traffic>, Instant) {
        let limits = GrpcLimits {
            write_timeout: SECOND * 30,
            idle_timeout: SECOND * 100,
            age_max: SECOND * 1000,
            age_grace: SECOND * 60,
            ..GrpcLimits::default()
        };
        let traffic = Arc::new(Traffic::default());
        traffic.greet();
        let keeper = Keeper::new(Arc::new(limits), Arc::clone(&traffic));
        let since = keeper.since;
        (keeper, traffic, since)
    }

    #[test]
    fn a_connection_without_a_call_is_asked_to_leave_and_then_dropped() {
        let (mut keeper, traffic, since) = keeper();
        traffic.begin_call();
        traffic.end_call(Arc::default());
        assert_eq!(keeper.look(since + SECOND * 50), Verdict::Stay);
        // A call that began and ended between two looks counts.
        assert_eq!(keeper.look(since + SECOND * 149), Verdict::Stay);
        assert_eq!(keeper.look(since + SECOND * 150), Verdict::Leave);
        assert_eq!(keeper.look(since + SECOND * 152), Verdict::Stay);
        // Who still says something has not left.
        traffic.count_bytes(1);
        assert_eq!(keeper.look(since + SECOND * 156), Verdict::Stay);
        assert!(matches!(keeper.look(since + SECOND * 161), Verdict::Drop(_)));
    }

    #[test]
    fn an_old_connection_is_asked_to_leave_and_its_calls_have_the_grace() {
        let (mut keeper, traffic, since) = keeper();
        traffic.begin_call();
        assert_eq!(keeper.look(since + SECOND * 999), Verdict::Stay);
        assert_eq!(keeper.look(since + SECOND * 1000), Verdict::Leave);
        assert_eq!(keeper.look(since + SECOND * 1059), Verdict::Stay);
        assert!(matches!(keeper.look(since + SECOND * 1060), Verdict::Drop(_)));
    }

    #[test]
    fn at_a_stop_only_what_has_something_to_do_stays() {
        let (mut busy, traffic, since) = keeper();
        traffic.begin_call();
        busy.is_stopping = true;
        assert_eq!(busy.look(since), Verdict::Leave);
        assert_eq!(busy.look(since + SECOND * 100), Verdict::Stay);
        traffic.end_call(Arc::default());
        assert!(matches!(busy.look(since + SECOND * 101), Verdict::Drop(_)));
        let traffic = Arc::new(Traffic::default());
        let mut silent = Keeper::new(Arc::new(GrpcLimits::default()), traffic);
        assert_eq!(silent.look(since), Verdict::Stay);
        silent.is_stopping = true;
        assert!(matches!(silent.look(since), Verdict::Drop(_)));
    }

    #[test]
    fn what_a_client_does_not_read_after_the_end_of_a_call_ends_the_connection() {
        let (mut keeper, traffic, since) = keeper();
        let outbox = Arc::new(Outbox::default());
        outbox.add_piece();
        traffic.begin_call();
        traffic.end_call(Arc::clone(&outbox));
        assert_eq!(keeper.look(since + SECOND * 29), Verdict::Stay);
        outbox.count_sent(1);
        assert_eq!(keeper.look(since + SECOND * 40), Verdict::Stay);
        assert_eq!(keeper.look(since + SECOND * 69), Verdict::Stay);
        assert!(matches!(keeper.look(since + SECOND * 71), Verdict::Drop(_)));
    }
}
