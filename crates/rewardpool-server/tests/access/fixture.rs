//! A service with tokens and certificates, and those who use it.
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rewardpool_client::{Access, Authorized, Identity, Token};
use rewardpool_proto::v1::DrawRequest;
use rewardpool_proto::v1::pool_admin_client::PoolAdminClient;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rewardpool_server::auth::{Auth, digest};
use rewardpool_server::config::Config;
use rewardpool_server::serve::{ServeError, Service};
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) const POOLS: &str = "pools:
  - id: mine
    catalog: [{ item_id: gold, quantity: -1, weight: 1 }]
  - id: other
    catalog: [{ item_id: gold, quantity: -1, weight: 1 }]
";

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// An authority that signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, both PEM.
pub(crate) struct Signed {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for these names and addresses.
    pub(crate) fn sign(&self, names: &[&str]) -> Signed {
        self.sign_until(names, 2100)
    }

    pub(crate) fn sign_until(&self, names: &[&str], year: i32) -> Signed {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Signed { certificate, key: key.serialize_pem() }
    }
}

/// Signs itself.
pub(crate) fn self_signed(names: &[&str]) -> Signed {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
    Signed { certificate, key: key.serialize_pem() }
}

impl Signed {
    /// Writes both files, the key for nobody else.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let [certificate, key] = ["crt", "key"].map(|end| directory.join(format!("{name}.{end}")));
        write_private(&key, &self.key);
        write_private(&certificate, &self.certificate);
        (certificate, key)
    }

    pub(crate) fn identity(&self, directory: &Path) -> Identity {
        let (certificate, key) = self.write(directory, "client");
        Identity::read(&certificate, &key).unwrap()
    }
}

/// Writes a file whole, as tools that rotate secrets do.
pub(crate) fn write_private(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// One who has a token, and the lines of the tokens file about them.
pub(crate) struct Person {
    pub(crate) token: Token,
    pub(crate) entry: String,
}

/// Somebody with a token. `more` are further lines of the entry.
pub(crate) fn person(name: &str, roles: &str, more: &str) -> Person {
    let token = Token::generate().unwrap();
    let mut entry = format!("  - name: {name}\n    roles: [{roles}]\n");
    for line in more.lines() {
        writeln!(entry, "    {line}").unwrap();
    }
    writeln!(entry, "    sha256: \"{}\"", digest(&token)).unwrap();
    Person { token, entry }
}

/// What the service wrote into its log.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What a service is started with.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// The entries of the tokens file; without any there is no such file.
    pub(crate) people: &'a [&'a Person],
    pub(crate) more_entries: &'a str,
    /// Certificate of the service.
    pub(crate) certificate: Option<&'a Signed>,
    /// Authority of the clients.
    pub(crate) client_authority: Option<&'a Authority>,
    /// Further lines of the section `auth`, and of `grpc`.
    pub(crate) auth: &'a str,
    pub(crate) grpc: &'a str,
}

/// A service in this process.
pub(crate) struct Running {
    pub(crate) url: String,
    pub(crate) admin_url: Option<String>,
    pub(crate) log: Lines,
    pub(crate) directory: TempDir,
    pub(crate) auth: Option<Arc<Auth>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Plan<'_> {
    /// The configuration, with the files that it names.
    pub(crate) fn write(&self, directory: &Path) -> String {
        let path = |name: &str| directory.join(name).display().to_string();
        let mut text = format!("{POOLS}drain_timeout: 200ms\nworking_dir: {}\n", path("data"));
        write!(text, "grpc:\n  listen_address: 127.0.0.1:0\n{}", self.grpc).unwrap();
        if let Some(signed) = self.certificate {
            let (certificate, key) = signed.write(directory, "server");
            let (certificate, key) = (certificate.display(), key.display());
            write!(text, "  tls:\n    certificate: {certificate}\n    key: {key}\n").unwrap();
            if let Some(authority) = self.client_authority {
                fs::write(path("clients.crt"), &authority.pem).unwrap();
                writeln!(text, "    client_ca: {}", path("clients.crt")).unwrap();
            }
        }
        if !self.people.is_empty() || !self.more_entries.is_empty() || !self.auth.is_empty() {
            write!(text, "auth:\n{}", self.auth).unwrap();
        }
        if !self.people.is_empty() || !self.more_entries.is_empty() {
            writeln!(text, "  tokens_file: {}", path("tokens.yaml")).unwrap();
            write_tokens(&directory.join("tokens.yaml"), self.people, self.more_entries);
        }
        text
    }

    pub(crate) fn start(&self) -> Running {
        let directory = TempDir::new().unwrap();
        let text = self.write(directory.path());
        let config = Config::parse(Path::new("test.yaml"), &text).unwrap();
        let service = Service::open(&config).unwrap();
        let scheme = if self.certificate.is_some() { "https" } else { "http" };
        let url = |address| format!("{scheme}://{address}");
        let admin_url = service.admin_address().map(url);
        let url = url(service.address().unwrap());
        let (auth, log) = (service.auth(), Lines::default());
        let (stop, stopped) = oneshot::channel();
        let lines = log.clone();
        let run = move || {
            let writer = move || lines.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_env_filter("warn,rewardpool=debug,audit=info")
                .with_ansi(false)
                .with_writer(writer)
                .finish();
            let stopped = async { drop(stopped.await) };
            tracing::subscriber::with_default(subscriber, || service.run(stopped))
        };
        let thread = std::thread::Builder::new().name("service".to_owned()).spawn(run).unwrap();
        let (stop, thread) = (Some(stop), Some(thread));
        Running { url, admin_url, log, directory, auth, stop, thread }
    }
}

/// Writes a tokens file as a whole.
pub(crate) fn write_tokens(path: &Path, people: &[&Person], more: &str) {
    let entries: String = people.iter().map(|person| person.entry.as_str()).collect();
    write_private(path, &format!("tokens:\n{entries}{more}"));
}

impl Running {
    /// Waits until the log tells this.
    pub(crate) async fn told(&self, text: &str) {
        let begun = Instant::now();
        while !self.log.text().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text:?} is not told:\n{}", self.log.text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn connect(&self, access: &Access) -> Authorized {
        connect(&self.url, access).await.unwrap()
    }

    pub(crate) async fn draws(&self, access: &Access) -> RewardPoolClient<Authorized> {
        RewardPoolClient::new(self.connect(access).await)
    }

    pub(crate) async fn admin(&self, access: &Access) -> PoolAdminClient<Authorized> {
        PoolAdminClient::new(self.connect(access).await)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().unwrap().join();
        assert!(std::thread::panicking() || matches!(ended, Ok(Ok(()))), "the service failed");
    }
}

pub(crate) async fn connect(
    url: &str,
    access: &Access,
) -> Result<Authorized, tonic::transport::Error> {
    let endpoint = access.endpoint(url).unwrap().connect_timeout(PATIENCE).timeout(PATIENCE);
    Ok(access.authorize(endpoint.connect().await?))
}

/// With a token, and trust in an authority.
pub(crate) fn access(person: &Person, authority: Option<&Authority>) -> Access {
    Access {
        token: Some(person.token.clone()),
        authority: authority.map(|authority| authority.pem.clone().into_bytes()),
        ..Access::default()
    }
}

pub(crate) fn draw(count: i32) -> DrawRequest {
    DrawRequest { pool: "mine".to_owned(), count, ..Default::default() }
}
