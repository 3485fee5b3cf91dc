//! Tests of the real binary as leaders and followers: what a follower answers and refuses, that it has
//! the leader's log byte by byte whatever happens to either, and that it can take over.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod answers;
mod full_disk;
mod kill;
mod load;
mod node;
mod succession;
#[expect(dead_code, reason = "it serves other tests, too")]
#[path = "../faults/tools.rs"]
mod tools;
#[expect(dead_code, reason = "it serves other tests, too")]
#[path = "../faults/volume.rs"]
mod volume;
mod wire;
