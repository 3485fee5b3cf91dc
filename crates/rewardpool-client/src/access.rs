//! The way to a service: encryption by the scheme of its address, and the token with each call.
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::token::{Token, TokenError};

/// A connection over which every call shows the token.
pub type Authorized = InterceptedService<Channel, Bearer>;

/// What a client has to show and to trust. The default has nothing: for a service on this machine.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Shown with each call.
    pub token: Option<Token>,
    /// Certificates (PEM) that the service's certificate must come from, in place of those that the
    /// operating system trusts.
    pub authority: Option<Vec<u8>>,
    /// Shown when the connection is made.
    pub identity: Option<Identity>,
    /// Whether a token may be sent to another machine without encryption.
    pub allows_clear_token: bool,
}

/// A certificate of the client and its key, both PEM.
#[derive(Clone)]
pub struct Identity(tonic::transport::Identity);

impl fmt::Debug for Identity {
    /// Does not show the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// Why a service cannot be reached in this way.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What stands in the file of a token is none.
    #[error("{}: {source}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
    /// The address is none, or the certificates are none.
    #[error(transparent)]
    Endpoint(#[from] tonic::transport::Error),
    /// Everybody on the way could read the token.
    #[error("the token would be sent to {host} without encryption")]
    ClearToken {
        /// The host of the address.
        host: String,
    },
    /// Certificates were given for an address without encryption.
    #[error("certificates need an address that begins with https://")]
    ClearCertificates,
}

impl Identity {
    /// Reads both files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, AccessError> {
        Ok(Self(tonic::transport::Identity::from_pem(read(certificate)?, read(key)?)))
    }
}

impl Access {
    /// Takes the token that stands in a file, with or without an end of line.
    pub fn read_token(&mut self, path: &Path) -> Result<(), AccessError> {
        let bytes = read(path)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let failed = |source| AccessError::Token { path: path.to_owned(), source };
        self.token = Some(text.trim_end().parse().map_err(failed)?);
        Ok(())
    }

    /// Takes the certificates that stand in a file.
    pub fn read_authority(&mut self, path: &Path) -> Result<(), AccessError> {
        self.authority = Some(read(path)?);
        Ok(())
    }

    /// The way to this address: `http://HOST:PORT` or, encrypted, `https://HOST:PORT`.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint, AccessError> {
        let endpoint = Endpoint::from_shared(url.to_owned())?;
        if endpoint.uri().scheme_str() == Some("https") {
            return Ok(endpoint.tls_config(self.tls())?);
        }
        if self.authority.is_some() || self.identity.is_some() {
            return Err(AccessError::ClearCertificates);
        }
        let host = endpoint.uri().host().unwrap_or_default();
        if self.token.is_some() && !self.allows_clear_token && !is_this_machine(host) {
            return Err(AccessError::ClearToken { host: host.to_owned() });
        }
        Ok(endpoint)
    }

    fn tls(&self) -> ClientTlsConfig {
        let tls = ClientTlsConfig::new();
        let tls = match &self.authority {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        };
        match &self.identity {
            Some(Identity(identity)) => tls.identity(identity.clone()),
            None => tls,
        }
    }

    /// What puts the token into each call.
    pub fn bearer(&self) -> Bearer {
        Bearer::new(self.token.as_ref())
    }

    /// The same connection, which shows the token with each call from now on.
    pub fn authorize(&self, channel: Channel) -> Authorized {
        InterceptedService::new(channel, self.bearer())
    }
}

/// Puts the token into each call.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    fn new(token: Option<&Token>) -> Self {
        Self(token.map(|token| {
            let text = format!("Bearer {}", token.reveal());
            let mut value: MetadataValue<Ascii> = text.parse().expect("a token has ASCII only");
            // Keeps it out of the tables of the header compression, and of what libraries print.
            value.set_sensitive(true);
            value
        }))
    }
}

impl fmt::Debug for Bearer {
    /// Does not show the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, AccessError> {
    fs::read(path).map_err(|source| AccessError::Read { path: path.to_owned(), source })
}

fn is_this_machine(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |address: std::net::IpAddr| address.is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_token() -> Access {
        let token = Token::generate().expect("the system has randomness");
        Access { token: Some(token), ..Access::default() }
    }

    #[test]
    fn a_token_leaves_the_machine_encrypted_only() {
        let access = with_token();
        for here in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1"] {
            assert!(access.endpoint(here).is_ok(), "{here}");
        }
        let elsewhere = access.endpoint("http://10.0.0.1:1");
        assert!(matches!(elsewhere, Err(AccessError::ClearToken { host }) if host == "10.0.0.1"));
        assert!(access.endpoint("https://10.0.0.1:1").is_ok());
        assert!(Access::default().endpoint("http://10.0.0.1:1").is_ok());
        let allowed = Access { allows_clear_token: true, ..access };
        assert!(allowed.endpoint("http://10.0.0.1:1").is_ok());
    }

    #[test]
    fn nothing_shows_the_token() {
        let access = with_token();
        let text = access.token.as_ref().map(|token| token.reveal().to_owned());
        let secret = text.expect("a token was given");
        let bearer = Bearer::new(access.token.as_ref());
        let request = bearer.clone().call(Request::new(())).expect("nothing is refused");
        assert!(request.metadata().get("authorization").is_some_and(MetadataValue::is_sensitive));
        for shown in [format!("{access:?}"), format!("{bearer:?}"), format!("{request:?}")] {
            assert!(!shown.contains(&secret), "{shown}");
        }
    }
}
