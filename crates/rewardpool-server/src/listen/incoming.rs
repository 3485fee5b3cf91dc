//! Takes connections, and encrypts them if asked.
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected, TcpIncoming};

use super::tls::Tls;
use crate::auth::Peer;

/// A connection is encrypted within so long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at the same time. More connections wait in the kernel.
const HANDSHAKES_MAX: usize = 256;
/// How long nothing is accepted after an error, which is most likely that there are too many files.
const PAUSE: Duration = Duration::from_millis(50);

/// Connections that are ready for calls.
pub(crate) type Incoming = Pin<Box<dyn Stream<Item = io::Result<Transport>> + Send>>;

/// The connections of a listener, encrypted if asked. Ends its tasks when it is dropped.
pub(crate) fn incoming(listener: TcpListener, tls: Option<Arc<Tls>>) -> Incoming {
    let Some(tls) = tls else {
        let plain = TcpIncoming::from(listener).with_nodelay(Some(true));
        return Box::pin(plain.map(|accepted| accepted.map(Transport::Plain)));
    };
    let (sender, receiver) = mpsc::channel(HANDSHAKES_MAX);
    // Nobody waits for this task: it ends when the receiver is gone.
    drop(tokio::spawn(accept(listener, tls, sender)));
    Box::pin(ReceiverStream::new(receiver))
}

type Sender = mpsc::Sender<io::Result<Transport>>;

async fn accept(listener: TcpListener, tls: Arc<Tls>, sender: Sender) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = async {
            let permit = Arc::clone(&handshakes).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            biased;
            () = sender.closed() => return,
            accepted = accepted => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection cannot be accepted");
                time::sleep(PAUSE).await;
                continue;
            }
        };
        let (tls, sender) = (Arc::clone(&tls), sender.clone());
        drop(tokio::spawn(async move {
            let _permit = permit;
            if let Some(transport) = encrypt(&tls, stream).await {
                // The service stops when nobody receives.
                drop(sender.send(Ok(transport)).await);
            }
        }));
    }
}

async fn encrypt(tls: &Tls, stream: TcpStream) -> Option<Transport> {
    // Only makes small answers late when it cannot be set.
    drop(stream.set_nodelay(true));
    match time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok((stream, peer))) => Some(Transport::Encrypted(Box::new(stream), peer)),
        Ok(Err(error)) => {
            tracing::debug!(%error, "a connection could not be encrypted");
            None
        }
        Err(_) => {
            tracing::debug!("a connection was not encrypted in time");
            None
        }
    }
}

/// A connection, encrypted or not.
#[derive(Debug)]
pub(crate) enum Transport {
    /// As it came.
    Plain(TcpStream),
    /// Encrypted.
    Encrypted(Box<TlsStream<TcpStream>>, Peer),
}

impl Connected for Transport {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        match self {
            Self::Plain(stream) => Peer::at(stream.peer_addr().ok()),
            Self::Encrypted(_, peer) => peer.clone(),
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Encrypted(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Encrypted(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Encrypted(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Encrypted(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Encrypted(stream, _) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Encrypted(stream, _) => stream.is_write_vectored(),
        }
    }
}
