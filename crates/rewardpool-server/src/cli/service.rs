//! A running service, asked over gRPC.
use std::str::FromStr;
use std::time::Duration;

use rewardpool_engine::Chain;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::wal_stream_client::WalStreamClient;
use tonic::transport::{Channel, Endpoint};

use super::Failure;
use super::failure::exit;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Also bounds `snapshot take`, which writes all pools.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Where a service listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address(String);

impl FromStr for Address {
    type Err = &'static str;

    /// Takes `host:port` as well.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        if !url.starts_with("http://") {
            return Err("calls are not encrypted: write http://HOST:PORT");
        }
        match Endpoint::from_shared(url.clone()) {
            Ok(endpoint) if endpoint.uri().port_u16().is_some() => Ok(Self(url)),
            Ok(_) => Err("the port is missing: write http://HOST:PORT"),
            Err(_) => Err("an address is http://HOST:PORT"),
        }
    }
}

impl Address {
    /// The address with its scheme.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A connection to a service.
#[derive(Debug)]
pub(crate) struct Service {
    channel: Channel,
}

impl Service {
    /// What players use.
    pub(crate) fn players(&self) -> RewardPoolClient<Channel> {
        RewardPoolClient::new(self.channel.clone())
    }

    /// What administrators use.
    pub(crate) fn admin(&self) -> PoolAdminClient<Channel> {
        PoolAdminClient::new(self.channel.clone())
    }

    /// What followers use.
    pub(crate) fn log(&self) -> WalStreamClient<Channel> {
        WalStreamClient::new(self.channel.clone())
    }
}

/// Connects and runs one command to its end.
pub(crate) fn with_service<T>(
    address: &Address,
    command: impl AsyncFnOnce(&Service) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let what = format!("the client cannot start: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of open files")
    })?;
    runtime.block_on(async {
        let endpoint = Endpoint::from_shared(address.0.clone())
            .expect("an address was parsed as an endpoint")
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT);
        let channel = endpoint.connect().await.map_err(|error| {
            let what = format!("no service answers at {}: {}", address.0, Chain(&error));
            let hint = "start one with `rewardpool serve`, or name another with --addr";
            Failure::new(exit::UNAVAILABLE, what, hint)
        })?;
        command(&Service { channel }).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_urls_or_a_host_and_port() {
        let url = |text: &str| Address::from_str(text).map(|address| address.0);
        assert_eq!(url("http://a:1").as_deref(), Ok("http://a:1"));
        assert_eq!(url("a:1").as_deref(), Ok("http://a:1"));
        assert_eq!(url("[::1]:1").as_deref(), Ok("http://[::1]:1"));
        for wrong in ["", "a", "http://", "http://a", "https://a:1", "a b:1", "ftp://a:1"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
