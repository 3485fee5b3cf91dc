//! Clients that send much of what costs them little.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::wire::{
    CONTINUATION, DATA, DRAW, END_HEADERS, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Wire, call_headers, frame, header, open,
};

use super::{SOON, failed, must};

const CALM: u32 = 11;
/// A flood that the service does not have to end goes on for so long.
const FLOOD: Duration = Duration::from_millis(700);

/// Calls that are broken off as soon as they are open.
pub(super) async fn rapid_reset(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    for round in 0..1000_u32 {
        let calls: Vec<u8> = (0..100)
            .map(|n| 2 * (round * 100 + n) + 1)
            .flat_map(|id| [open(DRAW, id), frame(RST_STREAM, 0, id, &8_u32.to_be_bytes())])
            .flatten()
            .collect();
        if wire.send(&calls).await.is_err() {
            break;
        }
    }
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("a hundred thousand are taken: {seen:?}"))
}

/// Calls that the service has to break off.
pub(super) async fn made_you_reset(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    for id in (1..4000_u32).step_by(2) {
        let wrong = frame(WINDOW_UPDATE, 0, id, &[0; 4]);
        if wire.send(&[open(DRAW, id), wrong].concat()).await.is_err() {
            break;
        }
    }
    let seen = wire.read(SOON).await;
    let is_ended = seen.closed && seen.resets.len() <= 400;
    must(is_ended, || format!("{} broken off, {:?}", seen.resets.len(), seen.goaways))
}

/// Headers that go on and on.
pub(super) async fn continuation_flood(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&frame(HEADERS, 0, 1, &call_headers(DRAW))).await.map_err(failed)?;
    let more = frame(CONTINUATION, 0, 1, &header("x", &[b'v'; 4000]));
    let mut sent = 0;
    while sent < 4000 && wire.send(&more).await.is_ok() {
        sent += 1;
    }
    let seen = wire.read(SOON).await;
    must(seen.closed && sent < 4000, || format!("{sent} frames are taken: {seen:?}"))
}

/// Sends the same again and again and reads nothing. Whether the service puts an end to it or not,
/// others are served meanwhile.
async fn flood(to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let many = bytes.repeat(1000);
    let begun = Instant::now();
    while begun.elapsed() < FLOOD {
        let sent = tokio::time::timeout(FLOOD, wire.send(&many)).await;
        if !matches!(sent, Ok(Ok(()))) {
            break;
        }
    }
    Ok(())
}

/// Settings, each of which asks for an acknowledgement.
pub(super) async fn settings_flood(to: SocketAddr) -> Result<(), String> {
    flood(to, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])).await
}

/// Pings, each of which asks for an answer.
pub(super) async fn ping_flood(to: SocketAddr) -> Result<(), String> {
    flood(to, &frame(PING, 0, 0, b"12345678")).await
}

/// Calls that depend on each other and on themselves.
pub(super) async fn priority_loops(to: SocketAddr) -> Result<(), String> {
    let around = [(1_u32, 3_u32), (3, 5), (5, 1)];
    let bytes: Vec<u8> = around
        .iter()
        .flat_map(|(id, on)| frame(PRIORITY, 0, *id, &[&on.to_be_bytes()[..], &[255]].concat()))
        .collect();
    flood(to, &bytes).await?;
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 7])).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| !seen.resets.is_empty()).await;
    must(seen.closed || !seen.resets.is_empty(), || format!("{seen:?}"))
}

/// Data without data.
pub(super) async fn empty_data(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&open(DRAW, 1)).await.map_err(failed)?;
    let many = frame(DATA, 0, 1, &[]).repeat(1000);
    let begun = Instant::now();
    while begun.elapsed() < FLOOD && wire.send(&many).await.is_ok() {}
    let seen = wire.read_until(Duration::ZERO, |_| false).await;
    must(!seen.goaways.contains(&2), || format!("an internal error: {seen:?}"))
}

/// Frames of kinds that nobody knows, which must be ignored.
pub(super) async fn unknown_frames(to: SocketAddr) -> Result<(), String> {
    let bytes: Vec<u8> = (10..=255).flat_map(|kind| frame(kind, 0xff, 0, &[7; 16])).collect();
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&bytes).await.map_err(failed)?;
    let (head, end) = (call_headers("/no/method"), END_HEADERS | 1);
    wire.send(&frame(HEADERS, end, 1, &head)).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| seen.ended > 0).await;
    must(seen.ended > 0 && !seen.goaways.contains(&CALM), || format!("{seen:?}"))?;
    flood(to, &bytes).await
}
