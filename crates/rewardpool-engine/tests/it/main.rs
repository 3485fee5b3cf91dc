//! The engine on real files: that what was answered stays, that nothing else appears, and that
//! damage is refused.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "the tests damage and copy files and measure time, which the engine never does"
)]
mod backup;
mod concurrency;
mod copy;
mod feed;
mod fixture;
mod follower;
mod full_disk;
mod golden;
mod inspection;
mod life;
mod mailbox;
mod rot;
mod rotation;
