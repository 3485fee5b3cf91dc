//! A running service, asked over gRPC.
use std::env;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use rewardpool_client::{Access, AccessError, Authorized, Bearer, Identity};
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

/// Where a service listens, how long it may take to answer, and how it is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    url: String,
    /// `None` when nobody says it.
    timeout: Option<Duration>,
    access: AccessArgs,
}

/// What is shown to the service, and who it must be. A token itself is never an argument, because
/// everybody on the machine sees those.
#[derive(Args, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct AccessArgs {
    /// The file with the token for the service; the token itself may be in `REWARDPOOL_TOKEN`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REWARDPOOL_TOKEN_FILE",
        hide_env_values = true,
        hide_short_help = true
    )]
    token_file: Option<PathBuf>,
    /// The authority (PEM) of the service's certificate, instead of those that the system trusts
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REWARDPOOL_CA_FILE",
        hide_env_values = true,
        hide_short_help = true
    )]
    ca_file: Option<PathBuf>,
    /// The certificate (PEM) of this client; needs --client-key
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REWARDPOOL_CLIENT_CERTIFICATE",
        hide_env_values = true,
        hide_short_help = true
    )]
    client_certificate: Option<PathBuf>,
    /// The key (PEM) of --client-certificate
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "REWARDPOOL_CLIENT_KEY",
        hide_env_values = true,
        hide_short_help = true
    )]
    client_key: Option<PathBuf>,
    /// Send the token to another machine without encryption, where everybody can read it
    #[arg(long, global = true, hide_short_help = true)]
    allow_clear_token: bool,
}

impl AccessArgs {
    /// The same for a command line that is not complete yet, whose options are found in this way.
    pub(crate) fn of_line(option: impl Fn(&str) -> Option<String>) -> Self {
        let file = |name, variable| {
            option(name).map(PathBuf::from).or_else(|| env::var_os(variable).map(PathBuf::from))
        };
        Self {
            token_file: file("--token-file", "REWARDPOOL_TOKEN_FILE"),
            ca_file: file("--ca-file", "REWARDPOOL_CA_FILE"),
            client_certificate: file("--client-certificate", "REWARDPOOL_CLIENT_CERTIFICATE"),
            client_key: file("--client-key", "REWARDPOOL_CLIENT_KEY"),
            allow_clear_token: false,
        }
    }

    fn read(&self) -> Result<Access, Failure> {
        let mut access = Access { allows_clear_token: self.allow_clear_token, ..Access::default() };
        match (&self.token_file, env::var("REWARDPOOL_TOKEN")) {
            (Some(file), _) => access.read_token(file).map_err(|error| access_failure(&error))?,
            (None, Ok(text)) if !text.is_empty() => {
                let token = text.trim().parse().map_err(|error| {
                    let hint = "`rewardpool token new` makes a token";
                    Failure::usage(format!("REWARDPOOL_TOKEN: {error}"), hint)
                })?;
                access.token = Some(token);
            }
            (None, _) => {}
        }
        if let Some(file) = &self.ca_file {
            access.read_authority(file).map_err(|error| access_failure(&error))?;
        }
        match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::read(certificate, key);
                access.identity = Some(identity.map_err(|error| access_failure(&error))?);
            }
            (None, None) => {}
            (Some(_), None) | (None, Some(_)) => {
                let what = "--client-certificate and --client-key belong together";
                return Err(Failure::usage(what, "give both or none"));
            }
        }
        Ok(access)
    }
}

fn access_failure(error: &AccessError) -> Failure {
    let (code, hint) = match error {
        AccessError::Read { .. } => (exit::INPUT_OUTPUT, "check that you may read the file"),
        AccessError::Token { .. } => (exit::USAGE, "`rewardpool token new` makes a token"),
        AccessError::ClearToken { .. } => (
            exit::USAGE,
            "write https:// in --addr, or add --allow-clear-token if everybody on the way may have \
             the token",
        ),
        AccessError::ClearCertificates => (exit::USAGE, "write https:// in --addr"),
        AccessError::Endpoint(_) | _ => (exit::USAGE, "check the address and the certificates"),
    };
    Failure::new(code, Chain(error).to_string(), hint)
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
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err("an address is http://HOST:PORT or https://HOST:PORT");
        }
        match Endpoint::from_shared(url.clone()) {
            Ok(endpoint) if endpoint.uri().port_u16().is_some() => {
                Ok(Self { url, timeout: None, access: AccessArgs::default() })
            }
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

    /// The same service, reached in this way.
    pub(crate) fn with_access(self, access: AccessArgs) -> Self {
        Self { access, ..self }
    }

    /// What is shown to the service.
    pub(crate) fn access(&self) -> Result<Access, Failure> {
        self.access.read()
    }

    /// The way there; an error when what is shown must not be sent in this way.
    pub(crate) fn endpoint(&self, access: &Access) -> Result<Endpoint, Failure> {
        access.endpoint(&self.url).map_err(|error| access_failure(&error))
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
    heading: Heading,
}

/// A channel whose calls all have a deadline, and the token.
type Calls = InterceptedService<Channel, Heading>;

impl Service {
    /// What players use.
    pub(crate) fn players(&self) -> RewardPoolClient<Calls> {
        RewardPoolClient::with_interceptor(self.channel.clone(), self.heading.clone())
    }

    /// What administrators use.
    pub(crate) fn admin(&self) -> PoolAdminClient<Calls> {
        PoolAdminClient::with_interceptor(self.channel.clone(), self.heading.clone())
    }

    /// What followers use. Their streams have no deadline.
    pub(crate) fn log(&self) -> WalStreamClient<Authorized> {
        WalStreamClient::with_interceptor(self.channel.clone(), self.heading.bearer.clone())
    }
}

/// Tells the service how long the caller waits, so that it does not begin what nobody hears of.
#[derive(Clone, Debug)]
pub(crate) struct Heading {
    timeout: Duration,
    bearer: Bearer,
}

impl Interceptor for Heading {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(self.timeout);
        self.bearer.call(request)
    }
}

/// Connects and runs one command to its end.
pub(crate) fn with_service<T>(
    address: &Address,
    command: impl AsyncFnOnce(&Service) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let access = address.access()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        let what = format!("the client cannot start: {error}");
        Failure::new(exit::INPUT_OUTPUT, what, "check the limits of open files")
    })?;
    runtime.block_on(async {
        let (url, timeout) = (&address.url, address.timeout_or(DEFAULT_TIMEOUT));
        let endpoint = address
            .endpoint(&access)?
            .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout))
            .timeout(timeout);
        let channel = endpoint.connect().await.map_err(|error| {
            let what = format!("no service answers at {url}: {}", Chain(&error));
            let hint = "start one with `rewardpool serve`, or name another with --addr";
            Failure::new(exit::UNAVAILABLE, what, hint)
        })?;
        command(&Service { channel, heading: Heading { timeout, bearer: access.bearer() } }).await
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
        assert_eq!(url("https://a:1").as_deref(), Ok("https://a:1"));
        assert_eq!(url("[::1]:1").as_deref(), Ok("http://[::1]:1"));
        for wrong in ["", "a", "http://", "http://a", "https://a", "a b:1", "ftp://a:1"] {
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
