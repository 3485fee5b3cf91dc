//! T11. Goal: no bytes, however wrong, harm the service or others.
//! Method: right greetings, calls and frames, changed at random, beside an honest client; the
//! connections are as many as it takes. `FRAMES` says how many, `SEED` repeats them.
use std::net::SocketAddr;
use std::time::Duration;

use rewardpool_tally::Trial;

use crate::dice::Dice;
use crate::honest::{CONFIG, Ground};
use crate::wire::{
    CONTINUATION, DATA, DRAW, DRAW_STREAM, END_HEADERS, END_STREAM, GET_STATE, GOAWAY, HEADERS,
    PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, Wire, call_headers, draw, frame,
    get_state, message,
};

/// Frames, unless `FRAMES` says otherwise.
const FRAMES: u64 = 100_000;
/// Frames that are sent before the answers are read.
const PART: u64 = 100;
/// Frames of a connection, if it lives so long.
const OF_CONNECTION: u64 = 400;
/// How long answers are waited for.
const PATIENCE: Duration = Duration::from_millis(20);
/// Memory that may be left of it, in KiB.
const MEMORY_LEFT: u64 = 64 * 1024;

#[test]
fn a_hundred_thousand_malformed_frames_are_survived() {
    let trial = Trial::begin("T11 malformed frames");
    let frames: u64 = std::env::var("FRAMES").map_or(FRAMES, |text| text.parse().unwrap());
    let seed = Dice::seed();
    println!("SEED={seed} FRAMES={frames}");
    let ground = Ground::prepare(CONFIG);
    let honest = ground.honest("honest");
    let before = ground.memory();
    let (address, dice) = (ground.address(), Dice::new(seed));
    let connections = ground.runtime.block_on(send(address, frames, dice));
    let diary = honest.end();
    let left = ground.memory().saturating_sub(before);
    println!(
        "{frames} frames on {connections} connections, {} honest draws with a p99 of {:?}, {left} \
         KiB of memory left",
        diary.latencies.len(),
        diary.percentile(99)
    );
    assert_eq!(diary.failures, Vec::<String>::new());
    assert_eq!(diary.refused, 0);
    assert!(left <= MEMORY_LEFT, "{left} KiB");
    ground.end();
    trial.pass(frames, frames);
}

/// Sends so many frames. Gives how many connections it took.
async fn send(to: SocketAddr, frames: u64, mut dice: Dice) -> u64 {
    let (mut sent, mut connections) = (0, 0);
    while sent < frames {
        connections += 1;
        let mut wire = Wire::greeted(to).await.unwrap();
        // Half of the connections keep to HTTP/2, so that what is above it meets nonsense too.
        let (mut stream, is_polite, mut of_this) = (1, dice.percent(50), 0);
        while sent < frames && of_this < OF_CONNECTION {
            let mut bytes = Vec::new();
            for _ in 0..PART {
                bytes.extend(next_frame(&mut dice, &mut stream, is_polite));
                (sent, of_this) = (sent + 1, of_this + 1);
            }
            let is_broken = wire.send(&bytes).await.is_err();
            if is_broken || wire.read(PATIENCE).await.closed {
                break;
            }
        }
    }
    connections
}

fn next_frame(dice: &mut Dice, stream: &mut u32, is_polite: bool) -> Vec<u8> {
    if is_polite {
        *stream += 2;
        return polite_call(dice, *stream);
    }
    let mut bytes = right_frame(dice, stream);
    if dice.percent(70) {
        change(dice, &mut bytes);
    }
    bytes
}

/// A call that HTTP/2 allows, with a message that is none.
fn polite_call(dice: &mut Dice, stream: u32) -> Vec<u8> {
    let path = dice.one_of(&[DRAW, DRAW_STREAM, GET_STATE, "/rewardpool.RewardPoolService/Draw"]);
    let mut body = message(0, &if dice.percent(50) { draw("key") } else { get_state("main") });
    change(dice, &mut body);
    let head = frame(HEADERS, END_HEADERS, stream, &call_headers(path));
    [head, frame(DATA, END_STREAM, stream, &body)].concat()
}

fn right_frame(dice: &mut Dice, stream: &mut u32) -> Vec<u8> {
    match dice.below(10) {
        0..=3 => {
            *stream += 2;
            frame(HEADERS, END_HEADERS, *stream, &call_headers(DRAW_STREAM))
        }
        4..=5 => frame(DATA, 0, *stream, &message(0, &draw(""))),
        6 => frame(RST_STREAM, 0, *stream, &8_u32.to_be_bytes()),
        7 => frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 9]),
        8 => frame(PING, 0, 0, b"12345678"),
        _ => match dice.below(4) {
            0 => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
            1 => frame(PRIORITY, 0, *stream, &[0, 0, 0, 0, 16]),
            2 => frame(GOAWAY, 0, 0, &[0; 8]),
            _ => frame(CONTINUATION, END_HEADERS, *stream, &[]),
        },
    }
}

/// Changes bytes, takes some out, or puts some in.
fn change(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        let length = u64::try_from(bytes.len()).unwrap();
        let place = usize::try_from(dice.below(length)).unwrap();
        let byte = u8::try_from(dice.below(256)).unwrap();
        match dice.below(6) {
            0..=2 => bytes[place] = byte,
            3 => bytes[place] ^= 1 << dice.below(8),
            4 => bytes.insert(place, byte),
            _ => drop(bytes.remove(place)),
        }
    }
}
