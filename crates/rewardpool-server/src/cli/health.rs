//! `health`: whether the service serves, by an exit code, for those who watch over it.
use std::time::Duration;

use clap::Args;
use rewardpool_engine::Chain;
use serde_json::json;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::Failure;
use super::failure::exit;
use super::output::{self, Format};
use super::service::Address;

const EXAMPLES: &str = "\
Examples:
  rewardpool health && echo serving
  rewardpool health --addr http://127.0.0.1:50052 --timeout 500ms
  HEALTHCHECK CMD [\"/rewardpool\", \"health\"]           In a Dockerfile

It asks grpc.health.v1.Health, which says NOT_SERVING from the moment in which the service begins to
stop. Exit codes: 0 it serves, 69 it does not, or nothing answers in time.";

/// How long the service has for an answer if nobody says otherwise: whoever asks, asks often.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// Ask whether the running service serves
///
/// Without --timeout the service has two seconds for its answer.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct HealthArgs {}

pub(crate) fn run(_: &HealthArgs, address: &Address, format: Format) -> Result<(), Failure> {
    let status = ask(address)?;
    let name = status.as_str_name();
    output::print(format, || format!("{name}\n"), || json!({ "status": name }))?;
    if status == ServingStatus::Serving {
        return Ok(());
    }
    let what = format!("the service at {} is {name}", address.as_str());
    Err(Failure::new(exit::UNAVAILABLE, what, "it is stopping: look at its messages"))
}

fn ask(address: &Address) -> Result<ServingStatus, Failure> {
    let timeout = address.timeout_or(DEFAULT_TIMEOUT);
    let unavailable = |why: String| {
        let what = format!("no service answers at {}: {why}", address.as_str());
        Failure::new(exit::UNAVAILABLE, what, "look whether it runs, and at its messages")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unavailable(error.to_string()))?;
    runtime.block_on(async {
        let asked = async {
            let endpoint = Endpoint::from_shared(address.as_str().to_owned())
                .expect("an address was parsed as an endpoint");
            let channel = endpoint.connect().await.map_err(|error| Chain(&error).to_string())?;
            let request = HealthCheckRequest { service: String::new() };
            HealthClient::new(channel).check(request).await.map_err(|status| {
                if status.code() == Code::Unimplemented {
                    return "it does not tell its health, so it is none".to_owned();
                }
                // The text comes from another program and must not steer the terminal.
                status.message().replace(char::is_control, " ")
            })
        };
        let answer = tokio::time::timeout(timeout, asked).await;
        let answer = answer.map_err(|_| unavailable(format!("not within {timeout:?}")))?;
        Ok(answer.map_err(unavailable)?.into_inner().status())
    })
}
