//! Connections to the service from within its own process, beside those from the network.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::transport::server::{Connected, TcpIncoming};

/// Connections that wait for the service to take them.
const WAITING_MAX: usize = 16;

/// Makes connections from within the process: each end that is sent is served.
pub type LocalConnector = mpsc::Sender<DuplexStream>;

/// The service's side of a [`LocalConnector`].
#[derive(Debug)]
pub(crate) struct LocalListener(mpsc::Receiver<DuplexStream>);

/// Both sides.
pub(crate) fn local() -> (LocalConnector, LocalListener) {
    let (connector, listener) = mpsc::channel(WAITING_MAX);
    (connector, LocalListener(listener))
}

/// Connections of both kinds. Never ends: whoever serves them says when it is enough.
pub(crate) struct Incoming {
    pub(crate) network: Option<TcpIncoming>,
    pub(crate) local: Option<LocalListener>,
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(local) = &mut self.local
            && let Poll::Ready(found) = local.0.poll_recv(context)
        {
            match found {
                Some(stream) => return Poll::Ready(Some(Ok(Connection::Local(stream)))),
                // Nobody in the process can connect any more.
                None => self.local = None,
            }
        }
        let Some(network) = &mut self.network else { return Poll::Pending };
        Pin::new(network).poll_next(context).map(|found| Some(found?.map(Connection::Network)))
    }
}

/// A connection of either kind.
pub(crate) enum Connection {
    Network(TcpStream),
    Local(DuplexStream),
}

impl Connected for Connection {
    type ConnectInfo = ();

    /// Nobody asks who is at the other end.
    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Network(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Network(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Network(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Network(stream) => stream.is_write_vectored(),
            Self::Local(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Network(stream) => Pin::new(stream).poll_flush(context),
            Self::Local(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Network(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
