//! Tests of the real binary under clients that want to harm it: raw TCP and raw HTTP/2 beside honest
//! clients, a stop that they try to hold up, and too little of what the system gives.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]
#![expect(clippy::print_stdout, reason = "a test tells how much it tried, and what it measured")]

mod attacks;
#[path = "../faults/client.rs"]
#[expect(dead_code, reason = "tests of faults need more of it")]
mod client;
mod descriptors;
#[path = "../faults/dice.rs"]
#[expect(dead_code, reason = "tests of faults need more of it")]
mod dice;
mod drain;
mod honest;
mod malformed;
mod memory;
mod overload;
mod pipelining;
#[path = "../faults/service.rs"]
#[expect(dead_code, reason = "tests of faults need more of it")]
mod service;
mod wire;
