//! T11. Goal: whatever a client does, honest clients notice nothing, and it costs the service little.
//! Method: one service, and attack after attack on it beside an honest client that draws with keys.
//! Each attack says how it must end. Measured are the honest client's draws with the attack and
//! without it, and the memory of the process.
mod floods;
mod headers;
mod messages;
mod protocol;
mod slow;
mod sockets;
mod tls;
mod windows;

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::{Duration, Instant};

use rewardpool_tally::Trial;

use crate::honest::{CONFIG, Ground};

/// Each limit of time of the service, and what a busy machine adds.
pub(crate) const SOON: Duration = Duration::from_secs(4);
/// An attack lasts at least so long, so that the honest client can be measured.
const LASTS: Duration = Duration::from_millis(700);
/// The honest client's median and p99 may be so many times what they are without the attack.
const TIMES: u32 = 2;
/// A machine that is busy with an attacker and with other tests moves them by so much anyway.
const MEDIAN_NOISE: Duration = Duration::from_millis(5);
const NOISE: Duration = Duration::from_millis(25);
/// A measurement is taken so often at most.
const TRIES: usize = 3;
/// What an attack may take of memory, and what may be left of all of them, in KiB.
const MEMORY: u64 = 64 * 1024;
const MEMORY_LEFT: u64 = 32 * 1024;

type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One way to harm a service. Gives an error when it did not end as it must.
pub(crate) struct Attack {
    name: &'static str,
    run: fn(SocketAddr) -> Running,
}

/// Names an attack like its function.
macro_rules! attacks {
    ($($module:ident: $($name:ident),+;)+) => {
        &[$($(Attack { name: stringify!($name), run: |to| Box::pin($module::$name(to)) }),+),+]
    };
}

const ATTACKS: &[Attack] = attacks![
    slow: silent_connections, preface_byte_by_byte, preface_without_settings,
        headers_byte_by_byte, headers_without_an_end, half_open_streams, streams_without_an_end;
    windows: zero_windows, windows_of_one_byte, sockets_that_nobody_reads, window_overflow,
        empty_window_updates;
    floods: rapid_reset, made_you_reset, continuation_flood, settings_flood, ping_flood,
        priority_loops, empty_data, unknown_frames;
    headers: giant_headers, hpack_bomb, hpack_nonsense, table_too_large, duplicate_pseudo_headers;
    messages: giant_messages, wrong_content_types, wrong_grpc_frames, wrong_protobuf,
        unknown_methods, missing_trailers;
    protocol: stream_ids_again_and_backwards, resets_of_what_is_not_open, goaway_again_and_again,
        promises, frames_too_large, padding_too_long;
    sockets: http1_requests, tls_hello, connect_and_close, half_closed;
];

/// Against a service with a certificate that wants tokens.
const ATTACKS_ON_TLS: &[Attack] = attacks![
    tls: silence_before_the_hello, half_a_hello, hello_byte_by_byte, hello_flood,
        silence_after_the_handshake, records_of_nonsense, nonsense_instead_of_tls,
        calls_in_the_clear, guessed_tokens, streams_without_a_token;
];

/// What an attack did.
struct Effect {
    median: Duration,
    p99: Duration,
    draws: usize,
    refused: u64,
    memory: u64,
}

#[test]
fn no_attack_is_noticed_by_an_honest_client() {
    run_all("T11 hostile clients", Ground::prepare(CONFIG), ATTACKS);
}

#[test]
fn no_attack_on_tls_is_noticed_by_an_honest_client() {
    let ground = Ground::prepare_protected();
    tls::trust(&ground.access);
    run_all("T11 hostile clients over TLS", ground, ATTACKS_ON_TLS);
}

fn run_all(name: &'static str, ground: Ground, all: &[Attack]) {
    let trial = Trial::begin(name);
    let only = std::env::var("ATTACK").unwrap_or_default();
    // The first draws and connections make what stays.
    alone(&ground);
    let memory_before = ground.memory();
    let (mut failures, mut attacks, mut draws) = (Vec::new(), 0, 0);
    for attack in all.iter().filter(|attack| attack.name.contains(&only)) {
        attacks += 1;
        draws += judge(&ground, attack, &mut failures);
    }
    assert!(attacks > 0 || !only.is_empty());
    let left = wait_for_memory(&ground, memory_before + MEMORY_LEFT).saturating_sub(memory_before);
    println!("{attacks} attacks, {draws} honest draws, {left} KiB of memory left");
    if left > MEMORY_LEFT {
        failures.push(format!("{left} KiB of memory do not come back"));
    }
    ground.end();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    trial.pass(attacks, attacks);
}

/// Runs one attack, again when it could be noise. Gives how many honest draws there were.
fn judge(ground: &Ground, attack: &Attack, failures: &mut Vec<String>) -> usize {
    let mut draws = 0;
    for attempt in 1.. {
        let ((median, p99), effect) = (alone(ground), under(ground, attack, failures));
        draws += effect.draws;
        println!(
            "{}: median and p99 of {} draws {:.1?} {:.1?}, alone {median:.1?} {p99:.1?}, memory +{} \
             KiB",
            attack.name, effect.draws, effect.median, effect.p99, effect.memory
        );
        if effect.memory > MEMORY {
            failures.push(format!("{}: takes {} KiB of memory", attack.name, effect.memory));
        }
        let is_median_fine = effect.median <= median * TIMES + MEDIAN_NOISE;
        if is_median_fine && effect.p99 <= p99 * TIMES + NOISE && effect.refused == 0 {
            break;
        }
        if attempt == TRIES {
            failures.push(format!("{}: honest clients notice it", attack.name));
            break;
        }
    }
    draws
}

/// The honest client's median and p99 when nobody attacks.
fn alone(ground: &Ground) -> (Duration, Duration) {
    let honest = ground.honest("alone");
    std::thread::sleep(LASTS / 2);
    let diary = honest.end();
    assert!(diary.failures.is_empty(), "{:?}", diary.failures);
    (diary.percentile(50), diary.percentile(99))
}

fn under(ground: &Ground, attack: &Attack, failures: &mut Vec<String>) -> Effect {
    let (begun, before) = (Instant::now(), ground.memory());
    let honest = ground.honest("beside");
    let address = ground.address();
    let run = attack.run;
    let running = ground.runtime.spawn(async move { run(address).await });
    let mut most = before;
    while !running.is_finished() || begun.elapsed() < LASTS {
        most = most.max(ground.memory());
        std::thread::sleep(Duration::from_millis(10));
    }
    let diary = honest.end();
    if let Err(why) = ground.runtime.block_on(running).unwrap() {
        failures.push(format!("{}: {why}", attack.name));
    }
    failures.extend(diary.failures.iter().map(|failure| format!("{}: {failure}", attack.name)));
    Effect {
        median: diary.percentile(50),
        p99: diary.percentile(99),
        draws: diary.latencies.len(),
        refused: diary.refused,
        memory: most.saturating_sub(before),
    }
}

/// Waits until memory has come down to this. Gives what it is then, or after a while.
fn wait_for_memory(ground: &Ground, enough: u64) -> u64 {
    let begun = Instant::now();
    loop {
        let memory = ground.memory();
        if memory <= enough || begun.elapsed() > SOON {
            return memory;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An error unless it holds.
fn must(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

/// What an attacker cannot do is an error of the test.
fn failed(error: impl Display) -> String {
    format!("the attacker failed: {error}")
}
