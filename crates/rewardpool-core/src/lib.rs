//! The deterministic heart of the reward pool: a state machine without files, threads, clocks or
//! sockets.
pub mod catalog;
pub mod command;
mod decide;
mod digest;
pub mod generator;
pub mod ids;
mod keys;
pub mod limits;
pub mod name;
pub mod names;
mod pool;
pub mod quantity;
pub mod record;
pub mod selector;
pub mod snapshot;
pub mod state;
pub mod view;
pub mod violation;
