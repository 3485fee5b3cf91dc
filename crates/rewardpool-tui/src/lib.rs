//! The terminal for operators: shows a running service and takes commands for it.
//!
//! It is a gRPC client like any other, also of a service in its own process, so quitting it never
//! harms a service that runs by itself. `app` is the state: it changes by events (`event.rs`) and
//! asks for what is to be done outside (`effect.rs`). `view` draws it, a pure function. `client`
//! talks to the service, `terminal.rs` to the terminal, and `run.rs` is the loop that joins them.
//! Start reading at `run.rs` [`run`].
pub mod app;
pub mod catalogue;
pub mod client;
pub mod command;
pub mod editor;
pub mod effect;
pub mod event;
pub mod forecast;
pub mod layout;
pub mod look;
pub mod model;
pub mod moment;
pub mod numbers;
pub mod recall;
mod run;
mod terminal;
pub mod view;

pub use self::run::{LocalService, Options, run, session};
pub use self::terminal::{TerminalError, check};
