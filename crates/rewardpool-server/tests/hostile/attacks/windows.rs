//! Clients that ask and do not take the answers.
use std::net::SocketAddr;

use crate::wire::{
    GET_STATE, INITIAL_WINDOW, WINDOW_UPDATE, Wire, call, frame, get_state, greeting, open,
};

use super::{SOON, failed, must};

const CANCEL: u32 = 8;
const FLOW_CONTROL: u32 = 3;
const WINDOW_MAX: u32 = 0x7fff_ffff;

fn calls(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| call(GET_STATE, 2 * n + 1, &get_state("main"))).collect()
}

/// Answers for which there is no window: their calls are broken off.
pub(super) async fn zero_windows(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted_with(to, &[(INITIAL_WINDOW, 0)]).await.map_err(failed)?;
    wire.send(&calls(100)).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| seen.resets.len() >= 100).await;
    let cancelled = seen.resets.iter().filter(|code| **code == CANCEL).count();
    must(cancelled >= 100, || format!("{cancelled} are broken off: {seen:?}"))
}

/// Windows of a byte: calls end here with their answers unsent, so the connection is closed.
pub(super) async fn windows_of_one_byte(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted_with(to, &[(INITIAL_WINDOW, 1)]).await.map_err(failed)?;
    wire.send(&calls(100)).await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("it stays: {seen:?}"))
}

/// Great windows, and a socket that is never read.
pub(super) async fn sockets_that_nobody_reads(to: SocketAddr) -> Result<(), String> {
    let mut wires = Vec::new();
    for _ in 0..20 {
        let mut wire = Wire::connect_narrow(to).await.map_err(failed)?;
        let window = frame(WINDOW_UPDATE, 0, 0, &(WINDOW_MAX - 65_535).to_be_bytes());
        let greeting = greeting(&[(INITIAL_WINDOW, WINDOW_MAX)]);
        wire.send(&[greeting, window].concat()).await.map_err(failed)?;
        wires.push(wire);
    }
    let mut is_broken = vec![false; wires.len()];
    // As long as the service reads, it is asked for more.
    for round in 0..2000_u32 {
        for (wire, is_broken) in wires.iter_mut().zip(&mut is_broken) {
            let asked: Vec<u8> = (0..20)
                .flat_map(|n| call(GET_STATE, 2 * (round * 20 + n) + 1, &get_state("main")))
                .collect();
            *is_broken = *is_broken || wire.send(&asked).await.is_err();
        }
        if is_broken.iter().all(|broken| *broken) {
            return Ok(());
        }
    }
    must(false, || "the service goes on for clients that never read".to_owned())
}

/// Windows above what there is.
pub(super) async fn window_overflow(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let update = frame(WINDOW_UPDATE, 0, 0, &WINDOW_MAX.to_be_bytes());
    wire.send(&[update.clone(), update].concat()).await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed && seen.goaways.contains(&FLOW_CONTROL), || format!("{seen:?}"))
}

/// Updates of windows by nothing, of the connection and of calls.
pub(super) async fn empty_window_updates(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    let opened = open(GET_STATE, 1);
    let of_call = frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
    wire.send(&[opened, of_call].concat()).await.map_err(failed)?;
    let seen = wire.read_until(SOON, |seen| !seen.resets.is_empty()).await;
    must(!seen.resets.is_empty() || seen.closed, || format!("{seen:?}"))?;
    let mut wire = Wire::greeted(to).await.map_err(failed)?;
    wire.send(&frame(WINDOW_UPDATE, 0, 0, &[0; 4])).await.map_err(failed)?;
    let seen = wire.read(SOON).await;
    must(seen.closed, || format!("{seen:?}"))
}
