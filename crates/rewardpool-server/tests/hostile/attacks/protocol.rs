//! Frames that are right by themselves and wrong where they stand.
use std::net::SocketAddr;

use crate::wire::{
    DATA, DRAW, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, Wire, call, call_headers, draw, frame, greeting, open,
};

use super::{SOON, failed, must};

/// Sent after a right greeting, this ends the connection.
async fn ends(to: SocketAddr, bytes: &[u8], what: &str) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    drop(wire.send(bytes).await);
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("{what}: {seen:?}"))
}

/// Ids that are even, used, or smaller than one before.
pub(super) async fn stream_ids_again_and_backwards(to: SocketAddr) -> Result<(), String> {
    ends(to, &call(DRAW, 2, &draw("")), "an even id").await?;
    ends(to, &call(DRAW, 0, &draw("")), "no id").await?;
    let backwards = [call(DRAW, 9, &draw("")), call(DRAW, 7, &draw(""))].concat();
    ends(to, &backwards, "a smaller id").await?;
    let twice = [open(DRAW, 1), open(DRAW, 1)].concat();
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&twice).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| !seen.resets.is_empty() || seen.ended > 0).await;
    must(seen.closed || !seen.resets.is_empty() || seen.ended > 0, || format!("{seen:?}"))
}

/// Resets, data and windows of calls that are not open.
pub(super) async fn resets_of_what_is_not_open(to: SocketAddr) -> Result<(), String> {
    ends(to, &frame(RST_STREAM, 0, 5, &8_u32.to_be_bytes()), "a reset before the call").await?;
    ends(to, &frame(RST_STREAM, 0, 0, &8_u32.to_be_bytes()), "a reset of no call").await?;
    ends(to, &frame(DATA, 0, 5, &[1; 10]), "data before the call").await?;
    ends(to, &frame(DATA, 0, 0, &[1; 10]), "data of no call").await?;
    ends(to, &frame(WINDOW_UPDATE, 0, 5, &[0, 0, 0, 1]), "a window before the call").await
}

/// Farewells, and calls after them.
pub(super) async fn goaway_again_and_again(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let farewell = frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0]);
    for n in 0..1000 {
        let bytes = [farewell.clone(), call(DRAW, 2 * n + 1, &draw(""))].concat();
        if wire.send(&bytes).await.is_err() {
            break;
        }
    }
    wire.close_half().await.ok();
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("it stays: {seen:?}"))
}

/// Promises, which only servers make, settings that are none, and a second greeting.
pub(super) async fn promises(to: SocketAddr) -> Result<(), String> {
    let promise = [&[0, 0, 0, 2][..], &call_headers(DRAW)].concat();
    ends(to, &frame(PUSH_PROMISE, END_HEADERS, 1, &promise), "a promise").await?;
    ends(to, &frame(SETTINGS, 0, 0, &[0, 4, 0]), "half a setting").await?;
    ends(to, &frame(SETTINGS, 0, 3, &[]), "settings of a call").await?;
    ends(to, &frame(SETTINGS, 1, 0, &[0; 6]), "an acknowledgement with settings").await?;
    ends(to, &frame(SETTINGS, 0, 0, &[0, 4, 255, 255, 255, 255]), "a window above all").await?;
    ends(to, &frame(SETTINGS, 0, 0, &[0, 5, 0, 0, 0, 1]), "frames of a byte").await?;
    ends(to, &frame(PING, 0, 0, &[1; 7]), "a ping of 7 bytes").await?;
    ends(to, &greeting(&[]), "a second greeting").await
}

/// Frames above the size that the service allows.
pub(super) async fn frames_too_large(to: SocketAddr) -> Result<(), String> {
    let large = frame(DATA, 0, 1, &vec![0; 20_000]);
    ends(to, &[open(DRAW, 1), large].concat(), "a frame of 20 000 bytes").await?;
    ends(to, &[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1, 7], "a frame of 16 MiB").await?;
    ends(to, &[0xff, 0xff, 0xff, 99, 0, 0, 0, 0, 0, 7], "an unknown frame of 16 MiB").await
}

/// Padding that is longer than its frame, and calls that end twice.
pub(super) async fn padding_too_long(to: SocketAddr) -> Result<(), String> {
    let padded = frame(DATA, 8 | END_STREAM, 1, &[200, 1, 2, 3]);
    ends(to, &[open(DRAW, 1), padded].concat(), "padding of data").await?;
    ends(to, &frame(HEADERS, 8 | END_HEADERS, 1, &[255, 0]), "padding of headers").await?;
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let end = frame(DATA, END_STREAM, 1, &[]);
    wire.send(&[open(DRAW, 1), end.clone(), end].concat()).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| !seen.resets.is_empty() || seen.ended > 0).await;
    must(seen.closed || !seen.resets.is_empty() || seen.ended > 0, || format!("{seen:?}"))
}
