//! The limit of the wire: the same methods and messages, answered at once without drawing.
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;

use rewardpool_proto::v1::reward_pool_server::{RewardPool, RewardPoolServer};
use rewardpool_proto::v1::{
    DrawRequest, DrawResponse, DrawStreamResponse, GetDrawRequest, GetStateRequest,
    GetStateResponse, ListPoolsRequest, ListPoolsResponse, draw_stream_response::Answer,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

struct Echo;

fn answer(request: &DrawRequest) -> DrawResponse {
    let count = usize::try_from(request.count).unwrap_or(1);
    DrawResponse {
        first_request_id: 123_456_789,
        item_ids: (0..count.min(6)).map(|index| format!("item-{index}")).collect(),
        outcomes: (0..count).map(|index| u32::try_from(index % 6).unwrap_or(0) + 1).collect(),
        replayed: false,
    }
}

#[tonic::async_trait]
impl RewardPool for Echo {
    type DrawStreamStream = Pin<Box<dyn Stream<Item = Result<DrawStreamResponse, Status>> + Send>>;

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
}

/// Serves until it is killed.
pub(crate) fn run(listen: SocketAddr) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = tonic::transport::Server::builder().tcp_nodelay(true);
    runtime.block_on({ server }.add_service(RewardPoolServer::new(Echo)).serve(listen))?;
    Ok(ExitCode::SUCCESS)
}
