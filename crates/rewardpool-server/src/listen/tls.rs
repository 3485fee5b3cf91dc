//! Encryption of connections: TLS 1.2 and 1.3 by rustls, with its safe suites only, and with
//! certificates that are read again when their files change.
use std::future::poll_fn;
use std::io;
use std::mem::replace;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Poll;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsConfig;
use crate::stamp::Stamp;

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read, or is no PEM file of its kind.
    #[error("{}: {source}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file has no certificate in it.
    #[error("{}: there is no certificate in this file", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Everybody on this machine may read the key.
    #[error("{}: everybody may read this key (mode {mode:o}): `chmod 600` it", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The certificate and the key do not belong together, or the certificate is none.
    #[error("{}: the certificate and its key cannot be used: {source}", path.display())]
    Certificate {
        /// The file of the certificate.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The authorities of the clients cannot be used.
    #[error("{}: the authorities of clients cannot be used: {what}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// The certificates of the service, as their files say at present.
#[derive(Debug)]
pub struct Tls {
    files: TlsConfig,
    config: RwLock<Arc<ServerConfig>>,
    stamps: Mutex<[Option<Stamp>; 3]>,
    /// Held while a step of a handshake is computed.
    turn: Semaphore,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: &TlsConfig) -> Result<Self, TlsError> {
        // Before the files, so that a change in between is seen later.
        let stamps = stamps(files);
        let config = read(files)?;
        Ok(Self {
            files: files.clone(),
            config: RwLock::new(Arc::new(config)),
            stamps: Mutex::new(stamps),
            turn: Semaphore::new(1),
        })
    }

    /// Reads the files again if they changed. Connections that are there stay as they are. Files
    /// that are wrong change nothing.
    pub fn refresh(&self) {
        let new = stamps(&self.files);
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == new {
            return;
        }
        match read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!("the certificates were read again");
            }
            Err(error) => tracing::error!(
                %error,
                "the new certificates are wrong: the old ones stay in use until they are corrected"
            ),
        }
        *known = new;
    }

    fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// Encrypts a connection, and gives the names in the client's certificate, which was verified;
    /// none without one. How long that may take is up to the caller.
    pub async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Arc<[String]>)> {
        let stream = by_turns(self.acceptor().accept(stream), &self.turn).await?;
        let (_, connection) = stream.get_ref();
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let names = certificate.map(names).unwrap_or_default();
        Ok((stream, names.into()))
    }
}

/// Runs handshakes so that everybody else has a turn between two steps of any of them.
///
/// A step may cost a signature, and a thousand clients that say hello at once must not keep those
/// waiting who are there already. While a handshake waits for its client it keeps nobody from theirs.
async fn by_turns<F: Future>(handshake: F, turn: &Semaphore) -> F::Output {
    let mut handshake = pin!(handshake);
    loop {
        let my_turn = turn.acquire().await.expect("nobody closes it");
        // First it is looked what the network has for others.
        yield_now().await;
        let step = poll_fn(|context| Poll::Ready(handshake.as_mut().poll(context))).await;
        drop(my_turn);
        if let Poll::Ready(done) = step {
            return done;
        }
        // The step has left its waker, and nothing was waited for since.
        let mut is_woken = false;
        poll_fn(|_| if replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending })
            .await;
    }
}

fn stamps(files: &TlsConfig) -> [Option<Stamp>; 3] {
    [Some(&files.certificate), Some(&files.key), files.client_ca.as_ref()]
        .map(|file| file.and_then(|file| Stamp::of(file)))
}

fn read(files: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let TlsConfig { certificate, key, client_ca } = files;
    let chain = read_certificates(certificate)?;
    let key = read_key(key)?;
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let failed = |what: String| TlsError::Authorities { path: path.clone(), what };
            let mut roots = RootCertStore::empty();
            for certificate in read_certificates(path)? {
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| failed(error.to_string()))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Certificate { path: certificate.clone(), source })?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { path: path.to_owned(), source };
    let certificates = CertificateDer::pem_file_iter(path).map_err(failed)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.to_owned() });
    }
    Ok(certificates)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let failed = |source| TlsError::Pem { path: path.to_owned(), source };
    let mode = path.metadata().map_or(0, |metadata| metadata.mode() & 0o777);
    // A group may: so do those who put keys into containers.
    if mode & 0o007 != 0 {
        return Err(TlsError::Mode { path: path.to_owned(), mode });
    }
    PrivateKeyDer::from_pem_file(path).map_err(failed)
}

/// The names of a certificate that was verified. Its common name is none of them, because that is a
/// text for people.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let names = certificate.valid_dns_names().chain(certificate.valid_uri_names());
    names.map(str::to_owned).collect()
}
