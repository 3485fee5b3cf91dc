//! The outer part of the service: its configuration, its gRPC interface, and what wires the parts.
mod activity;
pub mod auth;
pub mod config;
pub mod convert;
pub mod follow;
mod grpc;
pub mod listen;
pub mod local;
pub mod log_ring;
mod metrics;
mod notify;
pub mod privacy;
pub mod security;
pub mod serve;
mod stamp;
pub mod telemetry;
