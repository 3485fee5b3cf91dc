//! Tests of what an operator has beside the program: the manual, the unit of systemd, the health
//! check, and what the service tells its manager.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod health;
mod manual;
mod notify;
mod service;
mod systemd;
mod tools;
