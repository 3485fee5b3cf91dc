//! What surrounds each call: it is counted by method and status, it has an id that the client gets
//! back in `x-request-id`, and a span that names it in the log.
//!
//! A player's call has its span at level debug only, because it costs as much as a few draws. Nothing
//! here is done for each message of a stream.
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use http::header::HeaderName;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tonic::Code;
use tower::{Layer, Service};
use tracing::Span;
use tracing::field::Empty;

use crate::auth::Peer;
use crate::convert::code_name;

/// The header with the id of a call.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const STATUS: &str = "grpc-status";
/// Bytes of an id that a client gives.
const ID_BYTES_MAX: usize = 64;
/// How many status codes there are.
const CODES: usize = 17;

/// Whose call it is, which decides how much is said about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Caller {
    Player,
    Administrator,
}

/// One method of the service.
struct Method {
    service: &'static str,
    name: &'static str,
    path: &'static str,
    caller: Caller,
}

macro_rules! methods {
    ($($caller:ident $service:literal $method:literal)*) => {
        [$(Method {
            service: $service,
            name: $method,
            path: concat!("/", $service, "/", $method),
            caller: Caller::$caller,
        }),*]
    };
}

/// All methods, the most frequent first. The last one stands for those that there are not.
static METHODS: [Method; 24] = methods![
    Player "rewardpool.v1.RewardPool" "Draw"
    Player "rewardpool.v1.RewardPool" "DrawStream"
    Player "rewardpool.RewardPoolService" "Draw"
    Player "rewardpool.v1.RewardPool" "GetDraw"
    Player "rewardpool.v1.RewardPool" "GetState"
    Player "rewardpool.v1.RewardPool" "ListPools"
    Player "rewardpool.v1.RewardPool" "WatchState"
    Player "rewardpool.RewardPoolService" "GetState"
    Administrator "rewardpool.v1.PoolAdmin" "CreatePool"
    Administrator "rewardpool.v1.PoolAdmin" "UpdateItem"
    Administrator "rewardpool.v1.PoolAdmin" "AddItem"
    Administrator "rewardpool.v1.PoolAdmin" "RetireItem"
    Administrator "rewardpool.v1.PoolAdmin" "PausePool"
    Administrator "rewardpool.v1.PoolAdmin" "ResumePool"
    Administrator "rewardpool.v1.PoolAdmin" "ClosePool"
    Administrator "rewardpool.v1.PoolAdmin" "TakeSnapshot"
    Administrator "rewardpool.v1.PoolAdmin" "GetStatus"
    Administrator "rewardpool.v1.PoolAdmin" "WatchLog"
    Administrator "rewardpool.v1.PoolAdmin" "Backup"
    Administrator "rewardpool.v1.WalStream" "Subscribe"
    Player "grpc.health.v1.Health" "Check"
    Player "grpc.health.v1.Health" "Watch"
    Player "grpc.reflection.v1.ServerReflection" "ServerReflectionInfo"
    Player "other" "other"
];

/// Counts the calls of a service.
pub(crate) struct Calls {
    methods: [OfMethod; METHODS.len()],
    /// Requests with a value that it must not have.
    invalid: AtomicU64,
    /// Ids are made of this and of the place of the call.
    id_base: u64,
    ids: AtomicU64,
}

#[derive(Default)]
struct OfMethod {
    ended: [AtomicU64; CODES],
    begun: AtomicU64,
}

/// How the calls of one method went.
#[derive(Debug)]
pub(crate) struct CallCounts {
    /// Name of the service.
    pub(crate) service: &'static str,
    /// Name of the method.
    pub(crate) method: &'static str,
    /// Calls that ended, by status. Only those that there were.
    pub(crate) ended: Vec<(&'static str, u64)>,
    /// Calls that go on.
    pub(crate) in_flight: u64,
}

impl Default for Calls {
    fn default() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id_base = u64::try_from(since.as_micros()).unwrap_or(0) << 12;
        let (invalid, ids) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { methods: Default::default(), invalid, id_base, ids }
    }
}

impl Calls {
    /// The methods that were called.
    pub(crate) fn counts(&self) -> impl Iterator<Item = CallCounts> {
        let methods = METHODS.iter().zip(&self.methods);
        methods.filter_map(|(method, counts)| {
            let ended: Vec<u64> =
                counts.ended.iter().map(|count| count.load(Ordering::Relaxed)).collect();
            // Read after the calls that ended, so that the difference is none below zero.
            let begun = counts.begun.load(Ordering::Relaxed);
            let in_flight = begun.saturating_sub(ended.iter().sum());
            let ended = (0..)
                .map(|code| code_name(Code::from_i32(code)))
                .zip(ended)
                .filter(|(_, count)| *count > 0)
                .collect();
            let Method { service, name, .. } = *method;
            (begun > 0).then_some(CallCounts { service, method: name, ended, in_flight })
        })
    }

    /// Requests with a value that it must not have, alone or in a stream.
    pub(crate) fn invalid(&self) -> u64 {
        self.invalid.load(Ordering::Relaxed)
    }

    /// Counts a request of a stream that has a value that it must not have.
    pub(super) fn count_invalid(&self) {
        self.invalid.fetch_add(1, Ordering::Relaxed);
    }

    fn begin(self: Arc<Self>, method: usize) -> Call {
        self.methods[method].begun.fetch_add(1, Ordering::Relaxed);
        Call { calls: self, method, has_ended: false }
    }

    /// The id of a call: what the client gives, or a new one.
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(REQUEST_ID).filter(|value| is_id(value.as_bytes()));
        given.cloned().unwrap_or_else(|| {
            let number = self.id_base.wrapping_add(self.ids.fetch_add(1, Ordering::Relaxed));
            let mut digits = [0; 16];
            let halves = number.to_be_bytes().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            for (digit, half) in digits.iter_mut().zip(halves) {
                *digit = b"0123456789abcdef"[usize::from(half)];
            }
            HeaderValue::from_bytes(&digits).expect("digits are a valid value")
        })
    }
}

fn is_id(value: &[u8]) -> bool {
    let is_fine = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=ID_BYTES_MAX).contains(&value.len()) && value.iter().all(is_fine)
}

/// One call from its beginning to its end, however it ends.
struct Call {
    calls: Arc<Calls>,
    method: usize,
    has_ended: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.has_ended, true) {
            return;
        }
        let place = usize::try_from(i32::from(code)).unwrap_or(2);
        self.calls.methods[self.method].ended[place].fetch_add(1, Ordering::Relaxed);
        if code == Code::InvalidArgument {
            self.calls.count_invalid();
        }
    }

    /// Ends it when the headers, or trailers, tell its status.
    fn end_by(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get(STATUS) {
            self.end(Code::from_bytes(status.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        // The client went away, or the service did.
        self.end(Code::Cancelled);
    }
}

/// Puts [`Surrounded`] around the services.
#[derive(Clone)]
pub(crate) struct CallLayer {
    calls: Arc<Calls>,
}

impl CallLayer {
    pub(crate) fn new(calls: Arc<Calls>) -> Self {
        Self { calls }
    }
}

impl<S> Layer<S> for CallLayer {
    type Service = Surrounded<S>;

    fn layer(&self, inner: S) -> Surrounded<S> {
        Surrounded { inner, calls: Arc::clone(&self.calls) }
    }
}

/// The services, with all that surrounds a call.
#[derive(Clone)]
pub(crate) struct Surrounded<S> {
    inner: S,
    calls: Arc<Calls>,
}

impl<S, B, R> Service<Request<B>> for Surrounded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<CountedBody<R>>;
    type Error = S::Error;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Answering<S::Future> {
        let path = request.uri().path();
        let found = METHODS.iter().position(|method| method.path == path);
        let method = found.unwrap_or(METHODS.len() - 1);
        let id = self.calls.request_id(request.headers());
        let span = span(&METHODS[method], &request, &id);
        if METHODS[method].caller == Caller::Administrator {
            // The trace of what administrators do has it, too.
            request.headers_mut().insert(REQUEST_ID, id.clone());
        }
        let call = Arc::clone(&self.calls).begin(method);
        let answer = span.in_scope(|| self.inner.call(request));
        Answering { answer, span, rest: Some((id, call)) }
    }
}

fn span<B>(method: &Method, request: &Request<B>, id: &HeaderValue) -> Span {
    let Method { path, caller, .. } = *method;
    let span = match caller {
        Caller::Player => tracing::debug_span!("call", method = path, id = Empty, peer = Empty),
        Caller::Administrator => {
            tracing::info_span!("call", method = path, id = Empty, peer = Empty)
        }
    };
    if !span.is_disabled() {
        span.record("id", id.to_str().unwrap_or(""));
        let peer = request.extensions().get::<Peer>();
        if let Some(address) = peer.and_then(|peer| peer.address) {
            span.record("peer", tracing::field::display(address));
        }
    }
    span
}

pin_project! {
    /// The way to the answer of a call.
    pub(crate) struct Answering<F> {
        #[pin]
        answer: F,
        span: Span,
        rest: Option<(HeaderValue, Call)>,
    }
}

impl<F, R, E> Future for Answering<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<CountedBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.span.enter();
        let polled = this.answer.poll(context);
        drop(entered);
        polled.map(|answer| {
            let mut response = answer?;
            let (id, mut call) = this.rest.take().expect("a future is not polled after its end");
            response.headers_mut().insert(REQUEST_ID, id);
            call.end_by(response.headers());
            Ok(response.map(|body| CountedBody { body, call }))
        })
    }
}

pin_project! {
    /// The body of an answer. Its trailers tell how the call ended.
    pub(crate) struct CountedBody<B> {
        #[pin]
        body: B,
        call: Call,
    }
}

impl<B: Body> Body for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        let polled = this.body.poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            this.call.end_by(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use rewardpool_proto::FILE_DESCRIPTOR_SET;

    use super::*;

    #[test]
    fn every_method_of_the_protocol_is_known() {
        let files = [FILE_DESCRIPTOR_SET, tonic_health::pb::FILE_DESCRIPTOR_SET];
        let mut paths = Vec::new();
        for file in files.map(|bytes| FileDescriptorSet::decode(bytes).unwrap().file).concat() {
            for service in &file.service {
                for method in &service.method {
                    paths.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
                }
            }
        }
        assert!(paths.len() > 15, "{paths:?}");
        for path in &paths {
            assert!(METHODS.iter().any(|method| method.path == path), "{path} is not listed");
        }
        // Reflection and what stands for all others.
        assert_eq!(METHODS.len(), paths.len() + 2);
    }

    #[test]
    fn an_id_is_taken_when_it_is_fine_and_made_otherwise() {
        let calls = Calls::default();
        let id = |given: &'static [u8]| {
            let value = HeaderValue::from_bytes(given).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, value)]);
            calls.request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id(b"order-17_a.b:c"), "order-17_a.b:c");
        let long: &'static [u8] = &[b'a'; ID_BYTES_MAX + 1];
        assert_eq!(id(&long[1..]).len(), ID_BYTES_MAX);
        let mut made = vec![calls.request_id(&HeaderMap::new()).to_str().unwrap().to_owned()];
        made.extend([&b""[..], b"two words", b"\xc3\xa9", b"a\"b", long].map(id));
        for (place, id) in made.iter().enumerate() {
            assert_eq!(id.len(), 16);
            assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
            assert!(!made[..place].contains(id), "{id} twice");
        }
    }

    #[test]
    fn a_call_is_counted_once_however_it_ends() {
        let calls = Arc::new(Calls::default());
        let mut refused = Arc::clone(&calls).begin(3);
        refused.end(Code::InvalidArgument);
        refused.end(Code::Ok);
        drop(refused);
        drop(Arc::clone(&calls).begin(3));
        let _goes_on = Arc::clone(&calls).begin(3);
        let counts: Vec<CallCounts> = calls.counts().collect();
        let [counts] = &counts[..] else { panic!("one method was called") };
        assert_eq!((counts.service, counts.method), ("rewardpool.v1.RewardPool", "GetDraw"));
        assert_eq!(counts.ended, [("CANCELLED", 1), ("INVALID_ARGUMENT", 1)]);
        assert_eq!((counts.in_flight, calls.invalid()), (1, 1));
    }
}
