//! Goal: a bit that flips between leader and follower never gets into the copy. Method: a proxy that flips
//! bits of each connection, at ever other places, and lets the next connection try again.
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::load::Load;
use crate::node::{Node, assert_prefix, assert_same_state, until, until_equal};

/// Bits that are flipped at least, and connections that end because of them.
const FLIPS: u64 = 25;
const CONNECTIONS: u64 = 20;
/// Behind the beginning of a connection, where a client would be told nonsense about its call.
const FIRST_BYTES: u64 = 3000;
/// From one flipped bit of a connection that goes on to the next.
const EVERY_BYTES: u64 = 3000;

/// Passes connections on. It stops accepting when it is dropped.
struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Whether bits are flipped.
    is_noisy: AtomicBool,
    flips: AtomicU64,
    connections: AtomicU64,
}

impl Proxy {
    fn to(target: &str) -> Self {
        let target: SocketAddr = target.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::new(Shared::default()));
        let serving = Arc::clone(&shared);
        on_thread(move || {
            for client in listener.incoming() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) else {
                    continue;
                };
                let number = serving.connections.fetch_add(1, Ordering::Relaxed);
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                on_thread(move || pass(up, server, |_, _| {}));
                let noise = Arc::clone(&serving);
                on_thread(move || {
                    let mut damage = Damage { at: FIRST_BYTES + number * 977 % 6000, noise };
                    pass(down, client, |bytes, passed| damage.flip(bytes, passed));
                });
            }
        });
        Self { address, shared }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.address));
    }
}

struct Damage {
    at: u64,
    noise: Arc<Shared>,
}

impl Damage {
    fn flip(&mut self, bytes: &mut [u8], passed: u64) {
        let place = self.at.checked_sub(passed).and_then(|place| usize::try_from(place).ok());
        let byte = place.and_then(|place| bytes.get_mut(place));
        let is_noisy = self.noise.is_noisy.load(Ordering::Relaxed);
        if self.at < passed || !is_noisy {
            self.at = self.at.max(passed + EVERY_BYTES);
            return;
        }
        if let Some(byte) = byte {
            *byte ^= 1 << (self.at % 8);
            // Some bits do no harm, such as those of numbers that are only shown; then comes the next.
            self.at += EVERY_BYTES + self.at % 977;
            self.noise.flips.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// It ends with its connection.
fn on_thread(work: impl FnOnce() + Send + 'static) {
    drop(thread::Builder::new().name("proxy".to_owned()).spawn(work).unwrap());
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut change: impl FnMut(&mut [u8], u64)) {
    let (mut buffer, mut passed) = ([0; 4096], 0);
    while let Ok(length) = from.read(&mut buffer) {
        if length == 0 {
            break;
        }
        change(&mut buffer[..length], passed);
        passed += length as u64;
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    // The other direction ends with it.
    drop(to.shutdown(Shutdown::Both));
    drop(from.shutdown(Shutdown::Both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_refused_and_the_copy_stays_right() {
    let home = TempDir::new().unwrap();
    let mut leader = Node::lead(home.path(), "leader");
    let proxy = Proxy::to(&leader.address());
    let through = format!("http://{}", proxy.address);
    let mut follower = Node::follow(home.path(), "follower", &through);
    until_equal(&leader, &follower).await;
    proxy.shared.is_noisy.store(true, Ordering::Relaxed);
    {
        let _load = Load::on(&leader.address(), "wire");
        until("flipped bits", async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            proxy.shared.flips.load(Ordering::Relaxed) >= FLIPS
                && proxy.shared.connections.load(Ordering::Relaxed) >= CONNECTIONS
        })
        .await;
    }
    proxy.shared.is_noisy.store(false, Ordering::Relaxed);
    let lsn = until_equal(&leader, &follower).await;
    let connections = proxy.shared.connections.load(Ordering::Relaxed);
    leader.kill();
    follower.kill();
    assert_eq!(assert_same_state(&leader.data, &follower.data), lsn);
    assert_prefix(&leader.data, &follower.data);
    let flips = proxy.shared.flips.load(Ordering::Relaxed);
    println!("{flips} bits flipped in {connections} connections, equal at LSN {lsn}");
    rewardpool_tally::record("T18 followers: flipped bits", flips, connections, 0);
}
