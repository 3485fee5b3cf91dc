//! Goal: nobody does with the service what they may not, over TLS and without; those who may are
//! never disturbed, and nothing secret is told. Method: the real service, on a thread of this process
//! or as a process of its own, with real certificates and tokens; every method of the published
//! descriptors is called as everybody that there is.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod audit;
mod certificates;
mod fixture;
mod guessing;
mod matrix;
mod privacy;
mod quotas;
mod tokens;
