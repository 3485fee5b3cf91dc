//! How many connections there may be: of all clients together, and of each address.
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::GrpcLimits;

/// Open files that are not connections: the log and its segments, snapshots, the runtime, the
/// listeners and connections of metrics. A connection must not take what the log needs.
const OTHER_FILES: u64 = 48;
/// Connections there may be where the system allows hardly any open files.
const SEATS_MIN: u32 = 4;

/// Room for connections.
#[derive(Clone)]
pub(super) struct Seats {
    all: Arc<Semaphore>,
    count: u32,
    of_addresses: Arc<Mutex<HashMap<IpAddr, u32>>>,
    per_address: u32,
}

/// Why there is no room for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// All clients together have as many as there may be.
    All,
    /// This address has.
    Address,
}

/// One connection's place. Others can have it when this is dropped.
pub(super) struct Seat {
    of_addresses: Arc<Mutex<HashMap<IpAddr, u32>>>,
    origin: IpAddr,
    _permit: OwnedSemaphorePermit,
}

impl Seats {
    /// As many as the limits say, and the system allows.
    pub(super) fn new(limits: &GrpcLimits) -> Self {
        let count = limits.connections.min(seats_of_system());
        if count < limits.connections {
            tracing::warn!(
                connections = count,
                wanted = limits.connections,
                "the system allows too few open files for grpc.limits.max_connections: raise the \
                 limit of open files (LimitNOFILE of systemd, ulimit -n)"
            );
        }
        Self::of(count, limits.connections_per_address)
    }

    fn of(count: u32, per_address: u32) -> Self {
        let all = Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        Self { all, count, of_addresses: Arc::default(), per_address }
    }

    /// A place for a connection from this address.
    pub(super) fn take(&self, address: IpAddr) -> Result<Seat, Taken> {
        let origin = origin(address);
        let mut of_addresses = self.of_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = of_addresses.get(&origin).copied().unwrap_or(0);
        if taken >= self.per_address {
            return Err(Taken::Address);
        }
        let permit = Arc::clone(&self.all).try_acquire_owned().map_err(|_| Taken::All)?;
        of_addresses.insert(origin, taken + 1);
        drop(of_addresses);
        Ok(Seat { of_addresses: Arc::clone(&self.of_addresses), origin, _permit: permit })
    }

    /// How many are taken.
    pub(super) fn taken(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX) - self.all.available_permits()
    }

    /// Waits until all are free.
    pub(super) async fn all_free(&self) {
        // The semaphore is never closed.
        drop(self.all.acquire_many(self.count).await);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut of_addresses = self.of_addresses.lock().unwrap_or_else(PoisonError::into_inner);
        match of_addresses.get_mut(&self.origin) {
            Some(taken) if *taken > 1 => *taken -= 1,
            _ => drop(of_addresses.remove(&self.origin)),
        }
    }
}

/// What counts as one client: an address, but for IPv6 a network of 64 bits, because that is what
/// anybody gets who asks for one address.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// So many connections fit beside the other open files of the process. It takes as many files as it
/// may have; what it has by itself is often meant for programs that count on small numbers.
fn seats_of_system() -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    let all = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum && setrlimit(Resource::Nofile, all).is_ok() {
        limit = getrlimit(Resource::Nofile);
    }
    let Some(files) = limit.current else { return u32::MAX };
    // Half of a small limit is for the rest, so that neither has nothing.
    let room = files.saturating_sub(OTHER_FILES.min(files / 2));
    u32::try_from(room).unwrap_or(u32::MAX).max(SEATS_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_only_its_share_and_gives_it_back() {
        let seats = Seats::of(3, 2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = seats.take(one).unwrap();
        let _second = seats.take(one).unwrap();
        assert_eq!(seats.take(one).err(), Some(Taken::Address));
        let _third = seats.take(other).unwrap();
        assert_eq!(seats.take(other).err(), Some(Taken::All));
        assert_eq!(seats.taken(), 3);
        drop(first);
        let _again = seats.take(one).unwrap();
        assert_eq!(seats.taken(), 3);
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_left() {
        let seats = Seats::of(3, 2);
        drop((seats.take(address("10.0.0.1")), seats.take(address("::1"))));
        assert!(seats.of_addresses.lock().unwrap().is_empty());
        assert_eq!(seats.taken(), 0);
    }

    #[test]
    fn a_network_of_64_bits_counts_as_one() {
        assert_eq!(origin(address("2001:db8::1")), origin(address("2001:db8::ffff:1:2:3")));
        assert_ne!(origin(address("2001:db8::1")), origin(address("2001:db8:0:1::1")));
        assert_eq!(origin(address("::ffff:10.0.0.1")), address("10.0.0.1"));
        assert_ne!(origin(address("10.0.0.1")), origin(address("10.0.0.2")));
    }

    #[tokio::test]
    async fn the_last_that_leaves_frees_all() {
        let seats = Seats::of(2, 2);
        let seat = seats.take(address("10.0.0.1")).unwrap();
        let free = seats.all_free();
        tokio::pin!(free);
        let soon = std::time::Duration::ZERO;
        assert!(tokio::time::timeout(soon, &mut free).await.is_err());
        drop(seat);
        free.await;
    }
}
