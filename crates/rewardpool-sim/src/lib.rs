//! A simulator of the reward pool: the real engine, log and state machine on a disk, a clock and
//! random numbers that a seed decides, so that every failure that it finds can be seen again.
//!
//! [`Disk`] is what a power cut leaves; [`MemoryStorage`] fails at any operation; [`life`] is a
//! service with its clients through a dozen restarts.
mod clients;
pub mod crash;
mod disk;
pub mod life;
mod numbers;
mod requests;
pub mod rot;
mod service;
mod storage;

pub use disk::Disk;
pub use numbers::Numbers;
pub use service::{Picture, Settings};
pub use storage::{Faults, MemoryStorage, Moment, Promise, Recording};
