//! The other end of a connection.
use std::net::SocketAddr;
use std::sync::Arc;

/// What a connection tells about its other end. Whoever accepts connections puts it beside each
/// request, as an extension.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where it is.
    pub address: Option<SocketAddr>,
    /// The names (DNS and URI) in the certificate that it showed, which was verified. Empty without
    /// one.
    pub certificate_names: Arc<[String]>,
}

impl Peer {
    /// The other end of a connection without a certificate.
    pub fn at(address: Option<SocketAddr>) -> Self {
        Self { address, certificate_names: Arc::new([]) }
    }
}
