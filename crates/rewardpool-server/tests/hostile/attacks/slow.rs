//! Clients that begin and do not go on.
use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::{
    DATA, DRAW, DRAW_STREAM, END_HEADERS, HEADERS, PREFACE, Seen, Wire, call_headers, draw, frame,
    message, open,
};

use super::{SOON, failed, must};

const REFUSED: u32 = 7;

/// Two hundred connections that say nothing.
pub(super) async fn silent_connections(to: SocketAddr) -> Result<(), String> {
    let mut wires = Vec::new();
    for _ in 0..200 {
        wires.push(Wire::connect(to).await.map_err(failed)?);
    }
    for wire in &mut wires {
        let seen = wire.read(SOON).await;
        must(seen.closed, || format!("a silent connection stays: {seen:?}"))?;
    }
    Ok(())
}

/// A preface of which a byte comes now and then.
pub(super) async fn preface_byte_by_byte(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    trickle(&mut wire, PREFACE).await
}

/// A preface, and nothing after it.
pub(super) async fn preface_without_settings(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    wire.send(PREFACE).await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("it stays: {seen:?}"))
}

/// Headers of which a byte comes now and then.
pub(super) async fn headers_byte_by_byte(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    trickle(&mut wire, &open(DRAW, 1)).await
}

/// Sends a byte every tenth of a second; the service closes the connection before the end.
async fn trickle(wire: &mut Wire, bytes: &[u8]) -> Result<(), String> {
    for byte in bytes {
        let is_broken = wire.send(&[*byte]).await.is_err();
        if is_broken || wire.read(Duration::from_millis(100)).await.closed {
            return Ok(());
        }
    }
    must(false, || "all of it was waited for".to_owned())
}

/// Headers that do not say that they end, and nothing after them.
pub(super) async fn headers_without_an_end(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&frame(HEADERS, 0, 1, &call_headers(DRAW))).await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("it stays: {seen:?}"))
}

/// Calls without a message: as many as there may be are told that they took too long, more are
/// refused at once.
pub(super) async fn half_open_streams(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let calls: Vec<u8> = (0..300).flat_map(|call| open(DRAW, 2 * call + 1)).collect();
    wire.send(&calls).await.map_err(failed)?;
    let refused = |seen: &Seen| seen.resets.iter().filter(|code| **code == REFUSED).count();
    let is_so = |seen: &Seen| refused(seen) >= 172 && seen.ended >= 128;
    let seen = wire.read_until(SOON, is_so).await;
    must(is_so(&seen), || format!("{} refused, {} ended", refused(&seen), seen.ended))
}

/// Streams of draws that ask once and then stay open.
pub(super) async fn streams_without_an_end(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    for call in 0..100 {
        let stream = 2 * call + 1;
        let asked = frame(DATA, 0, stream, &message(0, &draw("")));
        wire.send(&[open(DRAW_STREAM, stream), asked].concat()).await.map_err(failed)?;
    }
    let seen = wire.read_until(SOON, |seen| seen.ended >= 100).await;
    must(seen.ended >= 100, || format!("they stay open: {seen:?}"))?;
    // The connection is as good as before.
    let late = frame(HEADERS, END_HEADERS, 201, &call_headers(DRAW));
    let asked = frame(DATA, 1, 201, &message(0, &draw("")));
    wire.send(&[late, asked].concat()).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| seen.ended >= 101).await;
    must(seen.ended >= 101, || format!("the connection does not serve any more: {seen:?}"))
}
