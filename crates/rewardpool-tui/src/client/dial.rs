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
    /// What may help when there is no connection for this reason.
    pub(super) fn way_out(&self, reason: &str) -> &'static str {
        match self {
            Self::Url(url, _) => way_out(url, reason),
            Self::Local(_) => "quit, and start again",
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

/// What may help when a connection could not be made, or did not last.
fn way_out(url: &str, reason: &str) -> &'static str {
    let is_encrypted = url.starts_with("https://");
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if is_encrypted && has(&["CertificateRequired"]) {
        "start again with --client-certificate FILE and --client-key FILE"
    } else if is_encrypted && has(&["certificate", "UnknownCA"]) {
        "--ca-file FILE names the authority of the service's certificate"
    } else if is_encrypted && has(&["InvalidContentType"]) {
        "this service has no TLS: write http://"
    } else if !is_encrypted && has(&["http2 error", "frame with invalid size"]) {
        "this may be no rewardpool, or one with TLS: write https://"
    } else {
        "it is tried again and again; `rewardpool serve` starts one"
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
