//! The deterministic heart of the reward pool: a state machine without files, threads, clocks or
//! sockets.
pub mod catalog;
pub mod command;
pub mod generator;
pub mod format;
pub mod ids;
pub mod limits;
pub mod name;
pub mod names;
pub mod quantity;
pub mod record;
pub mod selector;
