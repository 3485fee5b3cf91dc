//! Certificates of both sides: good ones, bad ones, and new ones while the service is busy.
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rewardpool_client::Access;
use rewardpool_proto::v1::reward_pool_client::RewardPoolClient;
use tempfile::TempDir;
use tonic::Code;

use super::fixture::{
    Authority, Plan, Signed, access, connect, draw, person, self_signed, write_private,
};

const HERE: &[&str] = &["127.0.0.1"];

fn trusting(pem: String) -> Access {
    Access { authority: Some(pem.into_bytes()), ..Access::default() }
}

#[tokio::test]
async fn a_client_refuses_a_service_that_it_cannot_trust() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let bad: [(&str, Signed); 4] = [
        ("expired", authority.sign_until(HERE, 2020)),
        ("of another place", authority.sign(&["elsewhere.example"])),
        ("of a stranger", stranger.sign(HERE)),
        ("self-signed", self_signed(HERE)),
    ];
    for (what, certificate) in bad {
        let running = Plan { certificate: Some(&certificate), ..Plan::default() }.start();
        let connected = connect(&running.url, &trusting(authority.pem.clone())).await;
        assert!(connected.is_err(), "{what}");
    }
    let certificate = authority.sign(HERE);
    let running = Plan { certificate: Some(&certificate), ..Plan::default() }.start();
    let mut draws = running.draws(&trusting(authority.pem.clone())).await;
    draws.draw(draw(1)).await.unwrap();
    // And without encryption nobody is answered.
    let clear = running.url.replace("https", "http");
    let clear = connect(&clear, &Access::default()).await;
    let refused = match clear {
        Ok(channel) => RewardPoolClient::new(channel).draw(draw(1)).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test]
async fn the_service_refuses_a_client_that_it_cannot_trust_and_knows_the_others() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = authority.sign(HERE);
    let both = person("both", "drawer", "certificate: shop.example");
    let plan = Plan {
        people: &[&both],
        more_entries: "  - { name: shop, roles: [reader], certificate: reader.example }\n",
        certificate: Some(&certificate),
        client_authority: Some(&authority),
        ..Plan::default()
    };
    let running = plan.start();
    let directory = TempDir::new().unwrap();
    let with = |signed: &Signed, path: &Path| Access {
        identity: Some(signed.identity(path)),
        ..trusting(authority.pem.clone())
    };
    let bad = [
        ("expired", authority.sign_until(&["shop.example"], 2020)),
        ("of a stranger", stranger.sign(&["shop.example"])),
        ("self-signed", self_signed(&["shop.example"])),
    ];
    for (what, signed) in bad {
        let answer = try_to_draw(&running.url, &with(&signed, directory.path())).await;
        assert!(!is_answered(answer), "{what}: {answer:?}");
    }
    let without = try_to_draw(&running.url, &trusting(authority.pem.clone())).await;
    assert!(!is_answered(without), "{without:?}");

    // A certificate is enough where the entry says so, and it gives the roles of its entry.
    let reader = with(&authority.sign(&["reader.example"]), directory.path());
    assert_eq!(try_to_draw(&running.url, &reader).await, Some(Code::PermissionDenied));
    let unknown = with(&authority.sign(&["unknown.example"]), directory.path());
    assert_eq!(try_to_draw(&running.url, &unknown).await, Some(Code::Unauthenticated));
    // Where an entry wants both, one of them is not enough.
    let shop = with(&authority.sign(&["shop.example"]), directory.path());
    assert_eq!(try_to_draw(&running.url, &shop).await, Some(Code::Unauthenticated));
    let token = Some(both.token.clone());
    let stolen = Access { token: token.clone(), ..unknown };
    assert_eq!(try_to_draw(&running.url, &stolen).await, Some(Code::Unauthenticated));
    let shop = Access { token, ..shop };
    assert_eq!(try_to_draw(&running.url, &shop).await, Some(Code::Ok));
}

/// Whether the service itself answered. The client of TLS 1.3 thinks that it is connected before it
/// hears that its certificate is refused, and then its call breaks off.
fn is_answered(code: Option<Code>) -> bool {
    matches!(code, Some(Code::Ok | Code::Unauthenticated | Code::PermissionDenied))
}

/// `None` when there was no connection.
async fn try_to_draw(url: &str, access: &Access) -> Option<Code> {
    let channel = connect(url, access).await.ok()?;
    let drawn = RewardPoolClient::new(channel).draw(draw(1)).await;
    Some(drawn.map_or_else(|status| status.code(), |_| Code::Ok))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_replaced_while_draws_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let shop = person("shop", "drawer", "");
    let certificate = old.sign(HERE);
    let plan = Plan { people: &[&shop], certificate: Some(&certificate), ..Plan::default() };
    let running = plan.start();
    let both = format!("{}{}", old.pem, new.pem).into_bytes();
    let trusting_both = Access { authority: Some(both), ..access(&shop, None) };
    let (drawn, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (url, access) = (running.url.clone(), trusting_both.clone());
        let (drawn, is_over) = (Arc::clone(&drawn), Arc::clone(&is_over));
        clients.spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                let channel = connect(&url, &access).await.unwrap();
                let mut draws = RewardPoolClient::new(channel);
                for _ in 0..20 {
                    draws.draw(draw(1)).await.unwrap();
                    drawn.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let file = |name: &str| running.directory.path().join(name);
    // First a certificate that is none.
    write_private(&file("server.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n");
    running.told("the new certificates are wrong").await;
    connect(&running.url, &access(&shop, Some(&old))).await.unwrap();
    // Then one of another authority. For a moment its key is not there yet.
    let replaced = new.sign(HERE);
    replaced.write(running.directory.path(), "server");
    running.told("the certificates were read again").await;
    assert!(connect(&running.url, &access(&shop, Some(&old))).await.is_err());
    connect(&running.url, &access(&shop, Some(&new))).await.unwrap();
    let before = drawn.load(Ordering::Relaxed);
    while drawn.load(Ordering::Relaxed) < before + 100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        assert!(clients.len() == 4, "a client failed");
    }
    is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
}
