//! The outer part of the service: its configuration, its gRPC interface, and what wires the parts.
mod activity;
pub mod config;
pub mod convert;
mod grpc;
pub mod local;
pub mod log_ring;
mod metrics;
pub mod serve;
pub mod telemetry;
