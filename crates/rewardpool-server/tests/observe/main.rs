//! Goal: whoever watches the service, a person, a program or Prometheus, is told the truth, and
//! watching costs the draws nothing. Method: real services, clients and programs; draws whose
//! number is known. Each file begins with its own goal and method.
#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod http;
mod logs;
mod metrics;
mod program;
mod prometheus;
mod running;
mod watch;
