//! The layer that answers what a follower does not do: with the address of the one that does.
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower::{Layer, Service};

use super::Leader;
use crate::convert::Fault;

/// What changes something, and so is the leader's business.
const OF_THE_LEADER: [&str; 11] = [
    "/rewardpool.v1.RewardPool/Draw",
    "/rewardpool.v1.RewardPool/DrawStream",
    "/rewardpool.RewardPoolService/Draw",
    "/rewardpool.v1.PoolAdmin/CreatePool",
    "/rewardpool.v1.PoolAdmin/UpdateItem",
    "/rewardpool.v1.PoolAdmin/AddItem",
    "/rewardpool.v1.PoolAdmin/RetireItem",
    "/rewardpool.v1.PoolAdmin/PausePool",
    "/rewardpool.v1.PoolAdmin/ResumePool",
    "/rewardpool.v1.PoolAdmin/ClosePool",
    "/rewardpool.v1.PoolAdmin/TakeSnapshot",
];

/// Puts [`Refusing`] before the services of a follower.
#[derive(Clone, Debug)]
pub(crate) struct FollowerLayer(Arc<Leader>);

impl FollowerLayer {
    pub(crate) fn new(leader: Arc<Leader>) -> Self {
        Self(leader)
    }
}

impl<S> Layer<S> for FollowerLayer {
    type Service = Refusing<S>;

    fn layer(&self, inner: S) -> Refusing<S> {
        Refusing { leader: Arc::clone(&self.0), inner }
    }
}

/// The services of a follower.
#[derive(Clone, Debug)]
pub(crate) struct Refusing<S> {
    leader: Arc<Leader>,
    inner: S,
}

impl<S, A, B> Service<Request<A>> for Refusing<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
    B: Default + Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        if OF_THE_LEADER.contains(&request.uri().path()) {
            let refused = Fault::follower(self.leader.url()).to_status().into_http();
            return Box::pin(std::future::ready(Ok(refused)));
        }
        Box::pin(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::PERMISSIONS;

    /// Whoever adds a method decides here whether a follower serves it.
    #[test]
    fn every_method_is_of_the_leader_or_only_reads() {
        let served = [
            "/rewardpool.v1.RewardPool/GetDraw",
            "/rewardpool.v1.RewardPool/GetState",
            "/rewardpool.v1.RewardPool/WatchState",
            "/rewardpool.v1.RewardPool/ListPools",
            "/rewardpool.RewardPoolService/GetState",
            "/rewardpool.v1.PoolAdmin/Backup",
            "/rewardpool.v1.PoolAdmin/GetStatus",
            "/rewardpool.v1.PoolAdmin/WatchLog",
            "/rewardpool.v1.WalStream/Subscribe",
            "/rewardpool.v1.WalStream/Promote",
            "/grpc.health.v1.Health/Check",
            "/grpc.health.v1.Health/Watch",
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ];
        for permission in PERMISSIONS {
            let path = permission.path;
            assert_ne!(OF_THE_LEADER.contains(&path), served.contains(&path), "{path}");
        }
    }
}
