//! The outer part of the service: its configuration.
pub mod config;
pub mod serve;
pub mod telemetry;
