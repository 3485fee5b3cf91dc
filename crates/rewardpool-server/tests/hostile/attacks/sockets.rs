//! Clients that do not speak HTTP/2, or use sockets in odd ways.
use std::net::SocketAddr;

use crate::wire::{DRAW, Wire, call, draw, greeting, open};

use super::{SOON, failed, must};

/// The connection is closed after these bytes.
async fn is_closed_after(to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    drop(wire.send(bytes).await);
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("{:?} is waited for: {seen:?}", bytes.get(..20)))
}

/// HTTP/1.1, with and without an upgrade, and something that is no protocol.
pub(super) async fn http1_requests(to: SocketAddr) -> Result<(), String> {
    is_closed_after(to, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await?;
    let upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: \
                    h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    is_closed_after(to, upgrade).await?;
    is_closed_after(to, &vec![b'x'; 100_000]).await?;
    is_closed_after(to, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense").await
}

/// What scanners of ports send.
pub(super) async fn tls_hello(to: SocketAddr) -> Result<(), String> {
    let mut hello = vec![0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    hello.extend([7; 194]);
    is_closed_after(to, &hello).await?;
    is_closed_after(to, b"SSH-2.0-OpenSSH_9.2\r\n").await?;
    is_closed_after(to, b"*1\r\n$4\r\nPING\r\n").await?;
    is_closed_after(to, &[0; 64]).await
}

/// Two thousand connections that are closed at once, each at another point.
pub(super) async fn connect_and_close(to: SocketAddr) -> Result<(), String> {
    let begin = [greeting(&[]), open(DRAW, 1)].concat();
    for n in 0..2000 {
        let mut wire = Wire::connect(to).await.map_err(failed)?;
        drop(wire.send(&begin[..n % begin.len()]).await);
    }
    Ok(())
}

/// Clients that close their side: before the greeting, after it, and after a call, which is
/// answered.
pub(super) async fn half_closed(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    wire.close_half().await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("before the greeting: {seen:?}"))?;
    for bytes in [Vec::new(), open(DRAW, 1)] {
        let mut wire = Wire::greeted(to).await.map_err(failed)?;
        wire.send(&bytes).await.map_err(failed)?;
        wire.close_half().await.map_err(failed)?;
        let seen = wire.read(SOON).await;
        must(seen.closed, || format!("after the greeting: {seen:?}"))?;
    }
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&call(DRAW, 1, &draw(""))).await.map_err(failed)?;
    wire.close_half().await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("after a call: {seen:?}"))
}
