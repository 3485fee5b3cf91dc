//! The gRPC request path: any bytes as the body of any method, through the service's own decoding,
//! checks and conversions into a real engine. Every answer is a message or a status; nothing panics,
//! and no unit appears or vanishes.
use std::cell::RefCell;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use rewardpool_engine::core::format::Format;
use rewardpool_engine::{
    Answer, Engine, EngineConfig, NewPool, Request as Asked, Scheduling, StorageKind,
};
use rewardpool_server::config::Config;
use rewardpool_server::serve::routes;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tonic::Code;
use tonic::body::Body;
use tonic::service::Routes;
use tower_service::Service as _;

use crate::script::Script;

/// Every method that takes requests of a client.
pub(crate) const METHODS: [&str; 21] = [
    "/rewardpool.v1.RewardPool/Draw",
    "/rewardpool.v1.RewardPool/DrawStream",
    "/rewardpool.v1.RewardPool/GetState",
    "/rewardpool.v1.RewardPool/ListPools",
    "/rewardpool.v1.RewardPool/GetDraw",
    "/rewardpool.v1.PoolAdmin/CreatePool",
    "/rewardpool.v1.PoolAdmin/UpdateItem",
    "/rewardpool.v1.PoolAdmin/AddItem",
    "/rewardpool.v1.PoolAdmin/RetireItem",
    "/rewardpool.v1.PoolAdmin/PausePool",
    "/rewardpool.v1.PoolAdmin/ResumePool",
    "/rewardpool.v1.PoolAdmin/ClosePool",
    "/rewardpool.v1.PoolAdmin/TakeSnapshot",
    "/rewardpool.v1.PoolAdmin/GetStatus",
    "/rewardpool.RewardPoolService/GetState",
    "/rewardpool.RewardPoolService/Draw",
    "/grpc.health.v1.Health/Check",
    "/rewardpool.v1.PoolAdmin/Backup",
    "/rewardpool.v1.RewardPool/WatchState",
    "/rewardpool.v1.PoolAdmin/WatchLog",
    "/rewardpool.v1.WalStream/Subscribe",
];
/// How many of them, the last ones, answer for as long as the client stays.
const ENDLESS: usize = 3;
/// How long a client stays that could stay for ever.
const STAY: Duration = Duration::from_millis(5);
/// Calls of one input.
const CALLS_MAX: usize = 8;
/// Bytes of an answer that are read: a request may ask for an endless one.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Inputs after which a new service is set up, so that what they leave behind stays small.
const INPUTS_MAX: usize = 500;
const PATIENCE: Duration = Duration::from_secs(30);

/// An engine and the services over it, without a socket.
struct Edge {
    runtime: Runtime,
    routes: Routes,
    engine: Engine,
    inputs: usize,
    _stopping: watch::Sender<bool>,
    _place: TempDir,
}

/// The input is a list of calls: method, what stands around the message, deadline, message.
pub fn grpc(data: &[u8]) {
    thread_local! {
        static EDGE: RefCell<Option<Edge>> = const { RefCell::new(None) };
    }
    EDGE.with_borrow_mut(|slot| {
        if let Some(full) = slot.take_if(|edge| edge.inputs >= INPUTS_MAX) {
            full.engine.stop().expect("the engine stops");
        }
        let edge = slot.get_or_insert_with(Edge::new);
        edge.inputs += 1;
        let mut script = Script::new(data);
        for _ in 0..CALLS_MAX {
            if script.is_over() {
                break;
            }
            edge.call(&mut script);
        }
        edge.check();
    });
}

impl Edge {
    fn new() -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let place =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let place = place.expect("a scratch directory can be made");
        let engine = Engine::open(&EngineConfig {
            directory: place.path().to_owned(),
            storage: StorageKind::File,
            format: Format::Binary,
            segment_bytes: 64 << 10,
            mailbox_capacity: 64,
            batch_draws_max: 16_384,
            scheduling: Scheduling::Normal,
        });
        let engine = engine.expect("an empty directory is set up");
        let config = Config::built_in();
        let spec = config.pools[0].spec.clone();
        let pool = NewPool { spec, secret: Some([7; 32]) };
        engine.handle().create_pool(pool, PATIENCE).expect("the pool is new");
        let (stopping, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let routes = {
            let _entered = runtime.enter();
            routes(&engine, &config, stopped).prepare()
        };
        Self { runtime, routes, engine, inputs: 0, _stopping: stopping, _place: place }
    }

    fn call(&mut self, script: &mut Script<'_>) {
        let request = request(script);
        let endless = &METHODS[METHODS.len() - ENDLESS..];
        let is_endless = endless.contains(&request.uri().path());
        let answered = self.routes.call(request);
        self.runtime.block_on(async {
            let answer = answered.await.expect("a service never fails");
            let patience = if is_endless { STAY } else { PATIENCE };
            let finished = tokio::time::timeout(patience, read(answer)).await;
            assert!(is_endless || finished.is_ok(), "an answer comes, or a status");
        });
    }

    /// The sums are right, and the engine lives.
    fn check(&self) {
        let answer = self.engine.handle().call(Asked::ReadStatus, PATIENCE);
        let Ok((Answer::Status(status), _)) = answer else {
            panic!("the engine is gone: {answer:?}")
        };
        assert!(status.conservation_ok, "a unit appeared or vanished");
    }
}

/// One call, with one or more messages.
fn request(script: &mut Script<'_>) -> Request<Body> {
    let method = script.pick(&METHODS);
    let shape = script.byte();
    let length = usize::from(script.short()) % 2048;
    let message = script.take(length);
    let mut body = Vec::new();
    match shape % 8 {
        // Whatever the bytes are: frames with wrong lengths, compressed ones, none at all.
        0 => body.extend_from_slice(message),
        // Some messages on one stream.
        1 => message.chunks(message.len() / 3 + 1).for_each(|part| frame(part, &mut body)),
        _ => frame(message, &mut body),
    }
    let mut request = Request::builder()
        .method("POST")
        .uri(format!("http://localhost{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    match shape >> 4 {
        0 => request = request.header("grpc-timeout", "1n"),
        1 => request = request.header("grpc-timeout", "99999999H"),
        2 => {
            if let Ok(timeout) = http::HeaderValue::from_bytes(script.take(9)) {
                request = request.header("grpc-timeout", timeout);
            }
        }
        3 => request = request.header("grpc-encoding", "gzip"),
        _ => {}
    }
    let body = Body::new(Full::new(Bytes::from(body)));
    request.body(body).expect("the parts of the request are right")
}

/// A message with its prefix: not compressed, and so long.
pub(crate) fn frame(message: &[u8], body: &mut Vec<u8>) {
    body.push(0);
    body.extend_from_slice(&u32::try_from(message.len()).expect("it is short").to_be_bytes());
    body.extend_from_slice(message);
}

/// Reads an answer up to its status, or as much of it as is looked at.
async fn read(answer: Response<Body>) {
    assert_eq!(answer.status(), 200, "{answer:?}");
    if assert_status(answer.headers()) {
        return;
    }
    let mut body = answer.into_body();
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.expect("a body never fails");
        if let Some(trailers) = frame.trailers_ref() {
            assert!(assert_status(trailers), "the trailers have the status");
        }
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > ANSWER_BYTES_MAX {
            // A client that goes away.
            return;
        }
    }
}

/// Whether there is a status; it is one that a client can act on.
fn assert_status(headers: &HeaderMap) -> bool {
    let Some(status) = tonic::Status::from_header_map(headers) else { return false };
    let message = status.message();
    match status.code() {
        // The transport's words for a body that is no message.
        Code::Internal => {
            let known = ["decode", "rotocol error", "Missing request message", "Unexpected EOF"];
            assert!(known.iter().any(|known| message.contains(known)), "{status:?}");
        }
        Code::Unknown | Code::DataLoss | Code::Unauthenticated | Code::PermissionDenied => {
            panic!("{status:?}")
        }
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unavailable => {}
    }
    true
}
