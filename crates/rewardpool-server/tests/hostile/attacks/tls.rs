//! Attacks on the handshake, and with tokens that are none.
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rewardpool_client::{Access, Token};
use rewardpool_proto::v1::DrawRequest;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tonic::Code;

use crate::wire::{DRAW, Wire, call, draw, greeting};

use super::{SOON, failed, must};

/// Connections of an attack.
const CONNECTIONS: usize = 100;

/// What attackers know of the service: everybody does.
static AUTHORITY: OnceLock<Vec<u8>> = OnceLock::new();

/// Lets attackers trust the certificate of a service.
pub(super) fn trust(access: &Access) {
    let pem = access.authority.clone().expect("the service has a certificate");
    assert!(AUTHORITY.set(pem).is_ok(), "there is one service");
}

fn authority() -> &'static [u8] {
    AUTHORITY.get().expect("the test begins with it")
}

fn config() -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

fn name() -> ServerName<'static> {
    ServerName::try_from("127.0.0.1").unwrap()
}

/// What a client says first.
fn hello() -> Vec<u8> {
    let mut connection = ClientConnection::new(config(), name()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// Connections that said this, and nothing more, are closed.
async fn are_closed_after(to: SocketAddr, bytes: &[u8]) -> Result<(), String> {
    let mut wires = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::connect(to).await.map_err(failed)?;
        drop(wire.send(bytes).await);
        wires.push(wire);
    }
    for wire in &mut wires {
        let seen = wire.read(SOON).await;
        must(seen.closed, || format!("after {} bytes it stays open", bytes.len()))?;
    }
    Ok(())
}

/// Clients that wait for the service to begin.
pub(super) async fn silence_before_the_hello(to: SocketAddr) -> Result<(), String> {
    are_closed_after(to, &[]).await
}

/// A hello that never ends.
pub(super) async fn half_a_hello(to: SocketAddr) -> Result<(), String> {
    let hello = hello();
    are_closed_after(to, &hello[..hello.len() / 2]).await
}

/// A hello of which a byte comes now and then.
pub(super) async fn hello_byte_by_byte(to: SocketAddr) -> Result<(), String> {
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    for byte in hello() {
        if wire.send(&[byte]).await.is_err() || wire.read(Duration::from_millis(50)).await.closed {
            return Ok(());
        }
    }
    Err("a slow hello is waited for".to_owned())
}

/// A thousand handshakes that cost the service a signature each, and are not finished.
pub(super) async fn hello_flood(to: SocketAddr) -> Result<(), String> {
    let hello = hello();
    for _ in 0..1000 {
        let mut wire = Wire::connect(to).await.map_err(failed)?;
        drop(wire.send(&hello).await);
    }
    Ok(())
}

/// Whole handshakes, and no preface.
pub(super) async fn silence_after_the_handshake(to: SocketAddr) -> Result<(), String> {
    let connector = TlsConnector::from(config());
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let wire = Wire::connect(to).await.map_err(failed)?;
        streams.push(connector.connect(name(), wire.into_stream()).await.map_err(failed)?);
    }
    for stream in streams {
        let mut wire = Wire::over(stream.into_inner().0);
        must(wire.read(SOON).await.closed, || "a silent connection stays".to_owned())?;
    }
    Ok(())
}

/// A handshake, and then what is no record.
pub(super) async fn records_of_nonsense(to: SocketAddr) -> Result<(), String> {
    let connector = TlsConnector::from(config());
    for first in [0, 0x15, 0x16, 0x17, 0xff] {
        let wire = Wire::connect(to).await.map_err(failed)?;
        let mut stream =
            connector.connect(name(), wire.into_stream()).await.map_err(failed)?.into_inner().0;
        drop(stream.write_all(&[first, 3, 3, 0, 40]).await);
        drop(stream.write_all(&[7; 40]).await);
        must(Wire::over(stream).read(SOON).await.closed, || format!("{first} is taken"))?;
    }
    Ok(())
}

/// What scanners of ports send, and much of nothing.
pub(super) async fn nonsense_instead_of_tls(to: SocketAddr) -> Result<(), String> {
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], &vec![0; 100_000], &vec![0x16; 100_000]]
    {
        let mut wire = Wire::connect(to).await.map_err(failed)?;
        drop(wire.send(bytes).await);
        must(wire.read(SOON).await.closed, || format!("{:?} is waited for", &bytes[..3]))?;
    }
    Ok(())
}

/// HTTP/2 without encryption.
pub(super) async fn calls_in_the_clear(to: SocketAddr) -> Result<(), String> {
    let bytes = [greeting(&[]), call(DRAW, 1, &draw(""))].concat();
    let mut wire = Wire::connect(to).await.map_err(failed)?;
    drop(wire.send(&bytes).await);
    let seen = wire.read(SOON).await;
    must(seen.closed && seen.headers == 0, || format!("it is answered: {seen:?}"))
}

/// A client with this token.
async fn client(
    to: SocketAddr,
    token: Option<Token>,
) -> Result<RewardPoolClient<rewardpool_client::Authorized>, String> {
    let authority = Some(authority().to_vec());
    let access = Access { token, authority, ..Access::default() };
    let endpoint = access.endpoint(&format!("https://{to}")).map_err(failed)?;
    Ok(RewardPoolClient::new(access.authorize(endpoint.connect().await.map_err(failed)?)))
}

/// A thousand tokens that nobody was given.
pub(super) async fn guessed_tokens(to: SocketAddr) -> Result<(), String> {
    for _ in 0..20 {
        let guess = Token::generate().map_err(failed)?;
        let mut client = client(to, Some(guess)).await?;
        for _ in 0..50 {
            let request = DrawRequest { pool: "attacked".into(), ..DrawRequest::default() };
            let code = client.draw(request).await.map_err(|status| status.code());
            must(code.as_ref().err() == Some(&Code::Unauthenticated), || format!("{code:?}"))?;
        }
    }
    Ok(())
}

/// Streams that are opened and filled, and the caller is nobody.
pub(super) async fn streams_without_a_token(to: SocketAddr) -> Result<(), String> {
    let mut client = client(to, None).await?;
    for _ in 0..200 {
        let request = DrawRequest { pool: "attacked".into(), ..DrawRequest::default() };
        let requests = tokio_stream::iter(vec![request; 1000]);
        let answer = timeout(SOON, client.draw_stream(requests)).await.map_err(failed)?;
        let code = answer.map(drop).map_err(|status| status.code());
        // A client that is still sending may see the reset before the answer.
        let is_refused = matches!(code, Err(Code::Unauthenticated | Code::Unknown));
        must(is_refused, || format!("{code:?}"))?;
        sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
