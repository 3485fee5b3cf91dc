//! The HTTP server from which Prometheus reads: `/metrics`, and `/healthz` and `/readyz` for whoever
//! looks after the process.
//!
//! It has a thread of its own, so that the text of a great catalogue is not written while draws wait
//! for the network. Read on in `scrape.rs` (what is read of the service), `exposition.rs` (how it is
//! written) and `process.rs` (what the system knows of the process).
mod exposition;
mod process;
mod scrape;

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use http::header::{ACCEPT, ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rewardpool_engine::Handle;
use tokio::net::{TcpListener as Listener, TcpStream};
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use self::exposition::Exposition;
use self::scrape::Scraper;
use crate::activity::Meter;
use crate::follow::Leader;
use crate::grpc::{Calls, StatusInfo};

/// Connections at the same time.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may last. Prometheus makes a new one then.
const CONNECTION_PATIENCE: Duration = Duration::from_mins(1);
/// How long the head of a request may take to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(5);
/// How long an answer may take to be made.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long to wait when no connection can be taken, for want of file descriptors for example.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// What metrics tell of.
pub(crate) struct Subject {
    /// The engine.
    pub(crate) handle: Handle,
    /// How busy it is.
    pub(crate) meter: Arc<Meter>,
    /// The gRPC calls.
    pub(crate) calls: Arc<Calls>,
    /// What the engine does not know.
    pub(crate) info: StatusInfo,
    /// Items of each pool that have metrics of their own.
    pub(crate) items_max: usize,
    /// Whether the service takes calls.
    pub(crate) is_ready: Arc<AtomicBool>,
    /// Whom it follows, if it follows somebody.
    pub(crate) leader: Option<Arc<Leader>>,
}

/// The running server. It ends when this is dropped.
pub(crate) struct Endpoint {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Endpoint {
    /// Serves on this socket, which does not block.
    pub(crate) fn start(listener: TcpListener, subject: Subject) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _entered = runtime.enter();
            Listener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, subject) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("rewardpool-metrics".to_owned()).spawn(serve)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        drop(self.stop.take());
        // It has nothing to lose, so it does not matter how it ended.
        let _ended = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(listener: Listener, subject: Subject) {
    let site = Arc::new(Site::new(subject));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = Arc::clone(&site);
                // Nobody waits for this task: it ends by itself after a while.
                drop(tokio::spawn(async move {
                    let _ended: Result<(), _> =
                        timeout(CONNECTION_PATIENCE, connection(stream, site)).await;
                    drop(permit);
                }));
            }
            Err(error) => {
                tracing::debug!(%error, "the server of metrics could not take a connection");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, site: Arc<Site>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the server of metrics ended");
    }
}

/// The pages.
struct Site {
    /// One scrape at a time, because the text of one may be long.
    scraper: Mutex<Scraper>,
    is_ready: Arc<AtomicBool>,
}

impl Site {
    fn new(subject: Subject) -> Self {
        let is_ready = Arc::clone(&subject.is_ready);
        Self { scraper: Mutex::new(Scraper::new(subject)), is_ready }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request.headers()).await,
            "/healthz" => page(StatusCode::OK, PLAIN, "ok\n"),
            "/readyz" if self.is_ready.load(Ordering::Relaxed) => {
                page(StatusCode::OK, PLAIN, "ready\n")
            }
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "not ready\n"),
            _ => page(StatusCode::NOT_FOUND, PLAIN, "/metrics, /healthz, /readyz\n"),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let scraped = timeout(ANSWER_PATIENCE, async {
            let mut scraper = self.scraper.lock().await;
            Exposition::of(scraper.scrape().await)
        });
        let Ok(exposition) = scraped.await else {
            let why = "the service did not answer in time\n";
            return page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why);
        };
        if wants_open_metrics(headers) {
            page(StatusCode::OK, OPEN_METRICS, exposition.into_open_metrics())
        } else {
            page(StatusCode::OK, TEXT, exposition.into_text())
        }
    }
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Whether a client names the format of `OpenMetrics` among those that it takes. Whoever does prefers
/// it to the older one.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    types.any(|name| name == "application/openmetrics-text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_is_asked_for() {
        let wants = |values: &[&'static str]| {
            let values = values.iter().map(|value| (ACCEPT, HeaderValue::from_static(value)));
            wants_open_metrics(&values.collect())
        };
        assert!(!wants(&[]));
        assert!(!wants(&["text/plain", "*/*"]));
        assert!(!wants(&["application/openmetrics-textual"]));
        assert!(wants(&["Application/OpenMetrics-Text;version=1.0.0;q=0.5,text/plain;q=0.3"]));
        assert!(wants(&["text/plain;version=0.0.4;q=0.5, application/openmetrics-text"]));
    }
}
