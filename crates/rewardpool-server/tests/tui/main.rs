//! Tests of the terminal as a person uses it: the real program in a real terminal (tmux), driven by
//! keys and read from its screen.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod attached;
mod commands;
mod cost;
mod embedded;
mod pictures;
mod protected;
mod refused;
mod screen;
mod service;
mod svg;
mod terminal;
