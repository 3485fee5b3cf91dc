//! Goal: what a draw over gRPC allocates is bounded for each request and does not grow with its
//! count. Method: a real service in this process, and a bare echo of messages of the same size, both
//! drawn from by a client on a thread that the counting allocator leaves out. What the two allocate
//! for a request is compared: tonic's own share is in both. The echo makes its messages of strings
//! and lists, the service writes its own straight into bytes.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::pin::Pin;
use std::thread::{Builder, JoinHandle};

use rewardpool_allocations::{CountingAllocator, leave_out_this_thread, of_the_process};
use rewardpool_proto::v1::draw_stream_response::Answer;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::reward_pool_server::{RewardPool, RewardPoolServer};
use rewardpool_proto::v1::{
    DrawRequest, DrawResponse, DrawStreamResponse, GetDrawRequest, GetStateRequest,
    GetStateResponse, ListPoolsRequest, ListPoolsResponse, WatchStateRequest, WatchStateResponse,
};
use rewardpool_server::config::Config;
use rewardpool_server::serve::{ServeError, Service};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Draws of a run whose requests have many.
const DRAWS: u64 = 1_000_000;
/// Requests of a run whose requests have one.
const SINGLES: u64 = 100_000;

/// How draws are asked for.
#[derive(Clone, Copy, Debug)]
struct Shape {
    items: usize,
    count: usize,
    in_flight: usize,
    requests: u64,
}

const SHAPES: [Shape; 6] = [
    Shape { items: 6, count: 1, in_flight: 1, requests: SINGLES / 10 },
    Shape { items: 6, count: 1, in_flight: 64, requests: SINGLES },
    Shape { items: 6, count: 100, in_flight: 16, requests: DRAWS / 100 },
    Shape { items: 6, count: 1000, in_flight: 16, requests: DRAWS / 1000 },
    Shape { items: 1000, count: 1, in_flight: 64, requests: SINGLES },
    Shape { items: 1000, count: 100, in_flight: 16, requests: DRAWS / 100 },
];

/// What the service may allocate for a request, whatever its count: the requests that are there at
/// once are a bundle, and a bundle has a port for its reply, which is two allocations. The rest is
/// for the buffers of HTTP/2, now and then.
const OF_A_REQUEST: f64 = 2.1;

#[test]
fn a_request_allocates_no_more_than_its_echo() {
    for shape in SHAPES {
        let service = Running::service(shape.items);
        let echo = Running::echo(Template::new(&service, shape));
        let bare = measure(echo.address, shape);
        let ours = measure(service.address, shape);
        echo.stop();
        service.stop();
        println!("{shape:?}: {ours:.3} allocations a request, echo {bare:.3}");
        assert!(ours <= OF_A_REQUEST.min(bare), "{shape:?}: {ours:.3}, echo {bare:.3}");
    }
}

/// Allocations for each request, of all threads but the client's.
fn measure(address: SocketAddr, shape: Shape) -> f64 {
    let client = move || {
        leave_out_this_thread();
        runtime().block_on(async {
            let mut load = Load::new(address, shape).await;
            load.run(shape.requests / 10).await;
            let before = of_the_process();
            load.run(shape.requests).await;
            of_the_process() - before
        })
    };
    let allocations = Builder::new().name("client".to_owned()).spawn(client).unwrap();
    let allocations = u32::try_from(allocations.join().unwrap()).unwrap();
    f64::from(allocations) / f64::from(u32::try_from(shape.requests).unwrap())
}

/// A client with one stream.
struct Load {
    requests: mpsc::Sender<DrawRequest>,
    answers: Streaming<DrawStreamResponse>,
    shape: Shape,
}

impl Load {
    async fn new(address: SocketAddr, shape: Shape) -> Self {
        let mut client = RewardPoolClient::connect(format!("http://{address}")).await.unwrap();
        let (requests, stream) = mpsc::channel(shape.in_flight);
        let answers = client.draw_stream(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { requests, answers, shape }
    }

    async fn run(&mut self, requests: u64) {
        let (mut asked, mut answered) = (0, 0);
        while answered < requests {
            while asked < requests && asked - answered < self.shape.in_flight as u64 {
                let count = i32::try_from(self.shape.count).unwrap();
                self.requests.send(DrawRequest { count, ..Default::default() }).await.unwrap();
                asked += 1;
            }
            let answer = self.answers.message().await.unwrap().unwrap().answer;
            let Some(Answer::Draw(drawn)) = answer else { panic!("{answer:?}") };
            assert_eq!(drawn.outcomes.len(), self.shape.count);
            answered += 1;
        }
    }
}

/// A server on a thread of this process.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<Result<(), ServeError>>,
    _directory: Option<TempDir>,
}

impl Running {
    fn service(items: usize) -> Self {
        let directory = directory();
        let items = (0..items)
            .map(|n| format!("    - {{ item_id: item-{n}, quantity: -1, weight: {} }}\n", n + 1));
        let text = format!(
            "pool:\n  catalog:\n{}grpc:\n  listen_address: 127.0.0.1:0\n",
            items.collect::<String>()
        );
        let mut config = Config::parse(Path::new("test.yaml"), &text).unwrap();
        directory.path().clone_into(&mut config.working_dir);
        let service = Service::open(&config).unwrap();
        let address = service.address().unwrap();
        let (stop, stopped) = oneshot::channel();
        let run = move || service.run(async { drop(stopped.await) });
        let thread = Builder::new().name("service".to_owned()).spawn(run).unwrap();
        Self { address, stop, thread, _directory: Some(directory) }
    }

    fn echo(template: Template) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let incoming = tonic::transport::server::TcpIncoming::from(listener);
                let server = tonic::transport::Server::builder();
                let stopped = async { drop(stopped.await) };
                { server }
                    .add_service(RewardPoolServer::new(template))
                    .serve_with_incoming_shutdown(incoming.with_nodelay(Some(true)), stopped)
                    .await
                    .map_err(ServeError::Server)
            })
        };
        let thread = Builder::new().name("echo".to_owned()).spawn(run).unwrap();
        Self { address, stop, thread, _directory: None }
    }

    fn stop(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap().unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A directory in memory where there is one: the syncs cost nothing.
fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// The bare echo: answers each request at once, always the same.
struct Template(DrawResponse);

impl Template {
    /// The service's own answer to one request.
    fn new(service: &Running, shape: Shape) -> Self {
        let count = i32::try_from(shape.count).unwrap();
        let address = service.address;
        let draw = async {
            let client = RewardPoolClient::connect(format!("http://{address}")).await;
            client.unwrap().draw(DrawRequest { count, ..Default::default() }).await
        };
        Self(runtime().block_on(draw).unwrap().into_inner())
    }
}

#[tonic::async_trait]
impl RewardPool for Template {
    type DrawStreamStream = Pin<Box<dyn Stream<Item = Result<DrawStreamResponse, Status>> + Send>>;
    type WatchStateStream = tokio_stream::Empty<Result<WatchStateResponse, Status>>;

    async fn draw_stream(
        &self,
        request: Request<Streaming<DrawRequest>>,
    ) -> Result<Response<Self::DrawStreamStream>, Status> {
        let answer = self.0.clone();
        let echo = move |request: Result<DrawRequest, Status>| {
            request.map(|_| DrawStreamResponse { answer: Some(Answer::Draw(answer.clone())) })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(echo))))
    }

    async fn draw(&self, _: Request<DrawRequest>) -> Result<Response<DrawResponse>, Status> {
        Err(Status::unimplemented("the echo only has a stream"))
    }

    async fn get_state(
        &self,
        _: Request<GetStateRequest>,
    ) -> Result<Response<GetStateResponse>, Status> {
        Err(Status::unimplemented("the echo has no state"))
    }

    async fn list_pools(
        &self,
        _: Request<ListPoolsRequest>,
    ) -> Result<Response<ListPoolsResponse>, Status> {
        Err(Status::unimplemented("the echo has no pools"))
    }

    async fn get_draw(&self, _: Request<GetDrawRequest>) -> Result<Response<DrawResponse>, Status> {
        Err(Status::unimplemented("the echo has no draws"))
    }

    async fn watch_state(
        &self,
        _: Request<WatchStateRequest>,
    ) -> Result<Response<Self::WatchStateStream>, Status> {
        Err(Status::unimplemented("the echo has no state"))
    }
}
