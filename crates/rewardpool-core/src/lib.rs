//! The deterministic heart of the reward pool: a state machine without files, threads, clocks or
//! sockets.
//!
//! A [`command`] is decided against the [`state`], which gives a [`record`]; the record is applied
//! to the state by the one `apply` that live service, replay and followers share. A [`mod@format`]
//! turns records into the bytes of the log.
//!
//! Start reading at [`state::State`].
pub mod catalog;
pub mod command;
mod decide;
mod digest;
pub mod format;
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
