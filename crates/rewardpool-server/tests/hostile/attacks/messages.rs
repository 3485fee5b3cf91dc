//! Calls that are right for HTTP/2 and wrong for gRPC. Each gets a status.
use std::net::SocketAddr;

use crate::wire::{
    DATA, DRAW, DRAW_STREAM, END_HEADERS, END_STREAM, HEADERS, Seen, Wire, call, draw, frame,
    headers, message, open,
};

use super::{SOON, failed, must};

/// Each of these calls, which have ids in their order, ends with an answer or is broken off.
async fn all_end(to: SocketAddr, calls: &[Vec<u8>]) -> Result<Seen, String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    for bytes in calls {
        wire.send(bytes).await.map_err(failed)?;
    }
    let is_over = |seen: &Seen| seen.ended >= calls.len();
    let seen = wire.read_until(SOON, is_over).await;
    must(is_over(&seen), || format!("of {} calls: {seen:?}", calls.len()))?;
    Ok(seen)
}

fn id(index: usize) -> u32 {
    2 * u32::try_from(index).unwrap() + 1
}

/// Messages that say that they are large, and some that are.
pub(super) async fn giant_messages(to: SocketAddr) -> Result<(), String> {
    let lengths = [16 * 1024 + 1, 10 << 20, u32::MAX];
    let calls: Vec<_> = lengths
        .iter()
        .enumerate()
        .map(|(index, length)| {
            let begin = [&[0][..], &length.to_be_bytes(), &[7; 8000]].concat();
            [open(DRAW, id(index)), frame(DATA, 0, id(index), &begin)].concat()
        })
        .collect();
    all_end(to, &calls).await?;
    // All of it is sent, whatever the service says.
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let part = frame(DATA, 0, 1, &[7; 16_000]);
    wire.send(&[open(DRAW, 1), frame(DATA, 0, 1, &[0, 0, 160, 0, 0])].concat())
        .await
        .map_err(failed)?;
    for _ in 0..600 {
        if wire.send(&part).await.is_err() {
            break;
        }
    }
    let seen = wire.read_until(SOON, |seen| seen.ended > 0 || !seen.resets.is_empty()).await;
    must(seen.closed || seen.ended > 0 || !seen.resets.is_empty(), || format!("{seen:?}"))
}

/// Types of content and methods that are not those of gRPC.
pub(super) async fn wrong_content_types(to: SocketAddr) -> Result<(), String> {
    let types = ["", "text/html", "application/json", "application/grpc-web", "application/grpc+x"];
    let methods = ["POST", "GET", "PUT", "OPTIONS", "TRACE"];
    let pairs = types.iter().flat_map(|kind| methods.iter().map(move |method| (method, kind)));
    let calls: Vec<_> = pairs
        .enumerate()
        .map(|(index, (method, kind))| {
            let block = headers(&[
                (":method", method),
                (":scheme", "http"),
                (":path", DRAW),
                (":authority", "x"),
                ("content-type", kind),
            ]);
            let head = frame(HEADERS, END_HEADERS, id(index), &block);
            let data = frame(DATA, END_STREAM, id(index), &message(0, &draw("")));
            [head, data].concat()
        })
        .collect();
    all_end(to, &calls).await.map(drop)
}

/// Messages that are compressed although nothing is, with lengths that are not theirs.
pub(super) async fn wrong_grpc_frames(to: SocketAddr) -> Result<(), String> {
    let right = draw("");
    let short = message(0, &right);
    let bodies = [
        message(1, &right),
        message(7, &right),
        message(255, &right),
        vec![],
        vec![0],
        vec![0, 0, 0, 0],
        [&[0, 0, 0, 0, 200][..], &right].concat(),
        short[..short.len() - 1].to_vec(),
        [short.clone(), vec![9; 3]].concat(),
        short.repeat(3),
    ];
    let methods = [DRAW, DRAW_STREAM];
    let pairs = bodies.iter().flat_map(|body| methods.iter().map(move |path| (path, body)));
    let calls: Vec<_> = pairs
        .enumerate()
        .map(|(index, (path, body))| {
            [open(path, id(index)), frame(DATA, END_STREAM, id(index), body)].concat()
        })
        .collect();
    all_end(to, &calls).await.map(drop)
}

/// Bytes that are no message.
pub(super) async fn wrong_protobuf(to: SocketAddr) -> Result<(), String> {
    let bodies: [&[u8]; 8] = [
        &[0xff; 64],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x0a, 5, 1],
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        &[0x0b; 200],
        &[0x0a, 4, 0xff, 0xfe, 0xfd, 0xfc],
        &[0x07],
        &[0x10, 0],
    ];
    let calls: Vec<_> =
        bodies.iter().enumerate().map(|(index, body)| call(DRAW, id(index), body)).collect();
    all_end(to, &calls).await.map(drop)
}

/// Paths that there are not.
pub(super) async fn unknown_methods(to: SocketAddr) -> Result<(), String> {
    let long = format!("/{}", "x".repeat(2000));
    let paths = [
        "/",
        "//",
        "/rewardpool.v1.RewardPool/",
        "/rewardpool.v1.RewardPool/Steal",
        "/rewardpool.v1.PoolAdmin/../RewardPool/Draw",
        "/%00/%ff",
        "*",
        &long,
    ];
    let calls: Vec<_> =
        paths.iter().enumerate().map(|(index, path)| call(path, id(index), &draw(""))).collect();
    all_end(to, &calls).await.map(drop)
}

/// Calls that end in the midst of a message, by trailers, or by nothing.
pub(super) async fn missing_trailers(to: SocketAddr) -> Result<(), String> {
    let cut = &message(0, &draw("k"))[..4];
    let trailers = headers(&[("x-end", "1")]);
    let calls = [
        [open(DRAW, 1), frame(DATA, END_STREAM, 1, cut)].concat(),
        [open(DRAW, 3), frame(HEADERS, END_HEADERS | END_STREAM, 3, &trailers)].concat(),
        [
            open(DRAW_STREAM, 5),
            frame(DATA, 0, 5, cut),
            frame(HEADERS, END_HEADERS | END_STREAM, 5, &trailers),
        ]
        .concat(),
    ];
    all_end(to, &calls).await.map(drop)
}
