//! A running service, asked over gRPC.
use std::str::FromStr;
use std::time::Duration;

use rewardpool_engine::Chain;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_proto::v1::wal_stream_client::WalStreamClient;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::Failure;
use super::failure::exit;

/// How long a connection may take, if a call may take longer.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Where a service listens if nobody says otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:50051";
/// How long a call may take if nobody says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Where a service listens, and how long it may take to answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    url: String,
    /// `None` when nobody says it.
    timeout: Option<Duration>,
}

impl Default for Address {
    fn default() -> Self {
        DEFAULT_URL.parse().expect("it is an address")
    }
}

impl FromStr for Address {
    type Err = &'static str;

    /// Takes `host:port` as well.
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        if !url.starts_with("http://") {
            return Err("calls are not encrypted: write http://HOST:PORT");
        }
        match Endpoint::from_shared(url.clone()) {
            Ok(endpoint) if endpoint.uri().port_u16().is_some() => Ok(Self { url, timeout: None }),
            Ok(_) => Err("the port is missing: write http://HOST:PORT"),
            Err(_) => Err("an address is http://HOST:PORT"),
        }
    }
}

impl Address {
    /// The address with its scheme.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// The same service, which has so long for an answer.
    pub(crate) fn with_timeout(self, timeout: Option<Duration>) -> Self {
        Self { timeout, ..self }
    }

    /// How long the service has for an answer, with another default than that of most commands.
    pub(crate) fn timeout_or(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }
}

/// Reads how long a call may take: `500ms`, `10s`, `2m`, or a number of seconds.
pub(crate) fn parse_timeout(text: &str) -> Result<Duration, &'static str> {
    let rule = "a timeout is 1ms to 1h, such as 500ms, 10s or 2m";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| rule)?;
    let unit_ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return Err(rule),
    };
    let timeout = number.checked_mul(unit_ms).map(Duration::from_millis).ok_or(rule)?;
    let bounds = Duration::from_millis(1)..=Duration::from_hours(1);
    if bounds.contains(&timeout) { Ok(timeout) } else { Err(rule) }
}

/// A connection to a service.
#[derive(Debug)]
pub(crate) struct Service {
    channel: Channel,
    deadline: Deadline,
}

/// A channel whose calls all have a deadline.
type Calls = InterceptedService<Channel, Deadline>;

impl Service {
    /// What players use.
    pub(crate) fn players(&self) -> RewardPoolClient<Calls> {
        RewardPoolClient::with_interceptor(self.channel.clone(), self.deadline)
    }

    /// What administrators use.
    pub(crate) fn admin(&self) -> PoolAdminClient<Calls> {
        PoolAdminClient::with_interceptor(self.channel.clone(), self.deadline)
    }

    /// What followers use. Their streams have no deadline.
    pub(crate) fn log(&self) -> WalStreamClient<Channel> {
        WalStreamClient::new(self.channel.clone())
    }
}

/// Tells the service how long the caller waits, so that it does not begin what nobody hears of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Duration);

impl Interceptor for Deadline {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(self.0);
        Ok(request)
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
        let (url, timeout) = (&address.url, address.timeout_or(DEFAULT_TIMEOUT));
        let endpoint = Endpoint::from_shared(url.clone())
            .expect("an address was parsed as an endpoint")
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout))
            .timeout(timeout);
        let channel = endpoint.connect().await.map_err(|error| {
            let what = format!("no service answers at {url}: {}", Chain(&error));
            let hint = "start one with `rewardpool serve`, or name another with --addr";
            Failure::new(exit::UNAVAILABLE, what, hint)
        })?;
        command(&Service { channel, deadline: Deadline(timeout) }).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_urls_or_a_host_and_port() {
        let url = |text: &str| Address::from_str(text).map(|address| address.url);
        assert_eq!(url("http://a:1").as_deref(), Ok("http://a:1"));
        assert_eq!(url("a:1").as_deref(), Ok("http://a:1"));
        assert_eq!(url("[::1]:1").as_deref(), Ok("http://[::1]:1"));
        for wrong in ["", "a", "http://", "http://a", "https://a:1", "a b:1", "ftp://a:1"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Address::default().as_str(), DEFAULT_URL);
    }

    #[test]
    fn timeouts_have_a_unit_or_are_seconds() {
        for (text, ms) in [("1ms", 1), ("10s", 10_000), ("10", 10_000), ("2m", 120_000)] {
            assert_eq!(parse_timeout(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "0", "0ms", "2h", "1d", "-1", "1.5s", "s", "99999999999999999999", " 1"] {
            assert!(parse_timeout(wrong).is_err(), "{wrong}");
        }
    }
}
