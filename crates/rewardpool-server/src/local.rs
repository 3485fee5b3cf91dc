//! Connections to the service from within its own process, beside those from the network.
use std::convert::Infallible;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;

use crate::grpc::CallLayer;

/// Connections that wait for the service to take them.
const WAITING_MAX: usize = 16;

/// Makes connections from within the process: each end that is sent is served.
pub type LocalConnector = mpsc::Sender<DuplexStream>;

/// The service's side of a [`LocalConnector`].
#[derive(Debug)]
pub(crate) struct LocalListener(mpsc::Receiver<DuplexStream>);

/// Both sides.
pub(crate) fn pair() -> (LocalConnector, LocalListener) {
    let (connector, listener) = mpsc::channel(WAITING_MAX);
    (connector, LocalListener(listener))
}

/// Serves calls that come in here until `stopping` becomes true, and then for `drain_timeout` at
/// most. Nothing else is limited: whoever is in the process has its memory anyway.
pub(crate) async fn serve(
    listener: LocalListener,
    calls: CallLayer,
    routes: Routes,
    mut stopping: watch::Receiver<bool>,
    drain_timeout: Duration,
) {
    let mut asked = stopping.clone();
    let stop = async move {
        // A sender that is gone has stopped, too.
        drop(asked.wait_for(|stopping| *stopping).await);
    };
    let incoming = ReceiverStream::new(listener.0).map(Ok::<_, Infallible>);
    let served = Server::builder()
        .layer(calls)
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop);
    let late = async {
        drop(stopping.wait_for(|stopping| *stopping).await);
        sleep(drain_timeout).await;
    };
    tokio::select! {
        served = served => if let Err(error) = served {
            tracing::warn!(%error, "calls from within the process are not served any more");
        },
        () = late => {}
    }
}
