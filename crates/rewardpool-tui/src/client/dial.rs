//! Makes the connection: over a socket, or to a service in the same process.
use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rewardpool_client::{Access, Authorized};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A silent connection is asked so often whether it is alive, and is given so long to say so.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Bytes under way within the process, in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// Takes connections into a service of the same process.
pub type LocalConnector = mpsc::Sender<DuplexStream>;

/// Where the service is.
#[derive(Clone, Debug)]
pub enum Target {
    /// Behind this address, reached in this way.
    Url(String, Access),
    /// In this process.
    Local(LocalConnector),
}

impl Target {
    /// What may help when there is no connection for this reason. One that is `mute` was made, and
    /// broke before anything was answered.
    pub(super) fn way_out(&self, reason: &str, is_mute: bool) -> &'static str {
        let Self::Url(url, _) = self else { return "quit, and start again" };
        if is_mute && url.starts_with("https://") {
            "it may want --client-certificate FILE and --client-key FILE"
        } else if is_mute {
            "it may be no rewardpool, or want https:// before its address"
        } else if reason.contains("InvalidContentType") {
            "it has no TLS: write http:// before its address"
        } else if reason.contains("certificate") {
            "--ca-file FILE names the authority of its certificate"
        } else {
            "`rewardpool serve` starts one; this tries again and again"
        }
    }

    /// Connects. The error says why not.
    pub(super) async fn connect(&self) -> Result<Authorized, String> {
        let nothing = Access::default();
        let (url, access) = match self {
            Self::Url(url, access) => (&**url, access),
            // Names nothing, but a request has to have a host.
            Self::Local(_) => ("http://localhost", &nothing),
        };
        let endpoint = access.endpoint(url).map_err(|error| chain(&error))?;
        let endpoint = endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        let connected = match self {
            Self::Url(..) => endpoint.connect().await,
            Self::Local(connector) => {
                endpoint.connect_with_connector(Pipe(connector.clone())).await
            }
        };
        connected.map(|channel| access.authorize(channel)).map_err(|error| chain(&error))
    }
}

/// An error with its causes, without what says nothing.
pub(super) fn chain(error: &dyn Error) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let told = cause.to_string();
        if text == "transport error" {
            text = told;
        } else if !text.contains(&told) {
            text.extend([": ", &told]);
        }
        next = cause.source();
    }
    text
}

/// Makes connections within the process.
#[derive(Clone)]
struct Pipe(LocalConnector);

impl Service<Uri> for Pipe {
    type Response = TokioIo<DuplexStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.0.clone();
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let gone = || io::Error::new(io::ErrorKind::ConnectionRefused, "it has stopped");
            connector.send(theirs).await.map_err(|_| gone())?;
            Ok(TokioIo::new(ours))
        })
    }
}
