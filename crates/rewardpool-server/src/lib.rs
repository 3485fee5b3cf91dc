//! The outer part of the service: its configuration, its gRPC interface, and what wires the parts.
pub mod config;
pub mod convert;
mod grpc;
mod notify;
pub mod serve;
pub mod telemetry;
