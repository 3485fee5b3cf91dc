//! Headers that are too large, or none.
use std::net::SocketAddr;

use crate::wire::{
    CONTINUATION, DRAW, END_HEADERS, END_STREAM, HEADERS, Wire, call_headers, frame, header,
    headers,
};

use super::{SOON, failed, must};

const WHOLE: u8 = END_HEADERS | END_STREAM;

/// Whether a call is refused in any way: by a status, a reset, or the end of the connection.
async fn is_refused(to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    // The service may close the connection before it has read all.
    drop(wire.send(bytes).await);
    let is_over = |seen: &crate::wire::Seen| seen.ended > 0 || !seen.resets.is_empty();
    let seen = wire.read_until(SOON, is_over).await;
    must(seen.closed || is_over(&seen), || format!("it is not refused: {seen:?}"))
}

/// Headers of 16 and of 64 KiB.
pub(super) async fn giant_headers(to: SocketAddr) -> Result<(), String> {
    let giant = [call_headers(DRAW), header("x-giant", &[b'v'; 12_000])].concat();
    is_refused(to, &frame(HEADERS, WHOLE, 1, &giant)).await?;
    let mut bytes = frame(HEADERS, END_STREAM, 1, &giant);
    for _ in 0..4 {
        bytes.extend(frame(CONTINUATION, 0, 1, &header("x-giant", &[b'v'; 12_000])));
    }
    bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
    is_refused(to, &bytes).await
}

/// A header of 4000 bytes that is remembered, and then named by a byte each four thousand times.
pub(super) async fn hpack_bomb(to: SocketAddr) -> Result<(), String> {
    let mut remembered = header("x-bomb", &[b'b'; 3900]);
    remembered[0] = 0x40;
    for round in 0..20 {
        let bomb = [&call_headers(DRAW)[..], &remembered, &[0xbe; 4000]].concat();
        let frames: Vec<u8> =
            (0..=round).flat_map(|n| frame(HEADERS, WHOLE, 2 * n + 1, &bomb)).collect();
        is_refused(to, &frames).await?;
    }
    Ok(())
}

/// Bytes that are no headers.
pub(super) async fn hpack_nonsense(to: SocketAddr) -> Result<(), String> {
    let nonsense: [&[u8]; 5] =
        [&[0xff; 20], &[0x80], &[0xfe], &[0, 127, 255, 255, 255, 255, 255, 127], &[0, 1]];
    for bytes in nonsense {
        let mut wire = Wire::greeted(to).await.map_err(failed)?;
        wire.send(&frame(HEADERS, WHOLE, 1, bytes)).await.map_err(failed)?;
        let seen = wire.read(SOON).await;
        must(seen.closed && !seen.goaways.is_empty(), || format!("{bytes:x?}: {seen:?}"))?;
    }
    Ok(())
}

/// A table of headers larger than the service allows.
pub(super) async fn table_too_large(to: SocketAddr) -> Result<(), String> {
    let larger = [&[0x3f, 0xff, 0xff, 0x7f][..], &call_headers(DRAW)].concat();
    is_refused(to, &frame(HEADERS, WHOLE, 1, &larger)).await
}

/// Pseudo headers twice, after others, unknown ones, none, and names in capitals.
pub(super) async fn duplicate_pseudo_headers(to: SocketAddr) -> Result<(), String> {
    let right = call_headers(DRAW);
    let wrong = [
        [headers(&[(":path", "/other")]), right.clone()].concat(),
        [right.clone(), headers(&[(":path", "/other")])].concat(),
        [headers(&[(":unknown", "x")]), right.clone()].concat(),
        headers(&[("content-type", "application/grpc")]),
        [right.clone(), headers(&[("X-Capital", "x")])].concat(),
        [right.clone(), headers(&[("connection", "close")])].concat(),
        [right, headers(&[("te", "gzip")])].concat(),
        Vec::new(),
    ];
    for block in wrong {
        is_refused(to, &frame(HEADERS, WHOLE, 1, &block)).await?;
    }
    Ok(())
}
