//! The limit of the wire: the same methods and messages, answered at once without drawing.
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll, ready};

use rewardpool_proto::seed;
use rewardpool_proto::seed::reward_pool_service_server::{
    RewardPoolService, RewardPoolServiceServer,
};
use rewardpool_proto::v1::reward_pool_server::{RewardPool, RewardPoolServer};
use rewardpool_proto::v1::{
    DrawRequest, DrawResponse, DrawStreamResponse, GetDrawRequest, GetStateRequest,
    GetStateResponse, ListPoolsRequest, ListPoolsResponse, WatchStateRequest, WatchStateResponse,
    draw_stream_response::Answer,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

/// The first id of every answer: as long on the wire as those of a service that is used.
const REQUEST_ID: u64 = 123_456_789;

struct Echo;

fn answer(request: &DrawRequest) -> DrawResponse {
    let count = usize::try_from(request.count).unwrap_or(1);
    DrawResponse {
        first_request_id: REQUEST_ID,
        item_ids: (0..count.min(6)).map(|index| format!("item-{index}")).collect(),
        outcomes: (0..count).map(|index| u32::try_from(index % 6).unwrap_or(0) + 1).collect(),
        replayed: false,
    }
}

#[tonic::async_trait]
impl RewardPool for Echo {
    type DrawStreamStream = Pin<Box<dyn Stream<Item = Result<DrawStreamResponse, Status>> + Send>>;
    type WatchStateStream = tokio_stream::Empty<Result<WatchStateResponse, Status>>;

    async fn draw(&self, request: Request<DrawRequest>) -> Result<Response<DrawResponse>, Status> {
        Ok(Response::new(answer(request.get_ref())))
    }

    async fn draw_stream(
        &self,
        request: Request<Streaming<DrawRequest>>,
    ) -> Result<Response<Self::DrawStreamStream>, Status> {
        let echo = |request: Result<DrawRequest, Status>| {
            request.map(|r| DrawStreamResponse { answer: Some(Answer::Draw(answer(&r))) })
        };
        Ok(Response::new(Box::pin(request.into_inner().map(echo))))
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

#[tonic::async_trait]
impl RewardPoolService for Echo {
    type DrawStream = SeedEcho;

    async fn get_state(
        &self,
        _: Request<seed::GetStateRequest>,
    ) -> Result<Response<seed::GetStateResponse>, Status> {
        Err(Status::unimplemented("the echo has no state"))
    }

    async fn draw(
        &self,
        request: Request<Streaming<seed::DrawRequest>>,
    ) -> Result<Response<SeedEcho>, Status> {
        Ok(Response::new(SeedEcho { requests: request.into_inner(), left: 0 }))
    }
}

/// One response for each draw of each request.
struct SeedEcho {
    requests: Streaming<seed::DrawRequest>,
    /// Responses to the last request that are still to be sent.
    left: u32,
}

impl Stream for SeedEcho {
    type Item = Result<seed::DrawResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.left == 0 {
            match ready!(Pin::new(&mut self.requests).poll_next(context)) {
                Some(Ok(request)) => self.left = u32::try_from(request.count).unwrap_or(0).max(1),
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            }
        }
        self.left -= 1;
        let item_id = format!("item-{}", self.left % 6);
        let request_id = REQUEST_ID;
        Poll::Ready(Some(Ok(seed::DrawResponse { request_id, item_id, error: String::new() })))
    }
}

/// Serves until it is killed.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = tonic::transport::Server::builder().tcp_nodelay(true);
    let server = { server }.add_service(RewardPoolServer::new(Echo));
    let server = server.add_service(RewardPoolServiceServer::new(Echo));
    runtime.block_on(server.serve(listen))?;
    Ok(ExitCode::SUCCESS)
}
