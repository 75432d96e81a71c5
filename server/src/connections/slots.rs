//! Caps on open connections: of one address, and of all together.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use metrics::{counter, gauge};
use pilothouse_core::account::client_network;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Files that are kept for the store, logs and calls to edges: as many as a quarter of all.
const KEPT: u64 = 4;

/// Counts open connections of a process. Clones share their counts.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionSlots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    total: usize,
    per_address: usize,
    trusted: Vec<IpNet>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl ConnectionSlots {
    /// At most `per_address` connections of one address (IPv6: of a /64), and at most a third of all of them; all are three
    /// quarters of the files that the process may open. Behind a proxy in `trusted` are many clients, so only the cap on
    /// all holds for it.
    pub(crate) fn new(per_address: usize, trusted: Vec<IpNet>) -> Self {
        Self::within(usable_files(), per_address, trusted)
    }

    fn within(files: u64, per_address: usize, trusted: Vec<IpNet>) -> Self {
        let total = usize::try_from(files - files / KEPT).unwrap_or(usize::MAX);
        let per_address = per_address.min(total / 3).max(1);
        Self(Arc::new(Shared { total, per_address, trusted, open: Mutex::default() }))
    }

    /// Takes a slot for a connection. One that is refused is counted.
    pub(super) fn take(&self, peer: IpAddr) -> io::Result<Slot> {
        let peer = peer.to_canonical();
        let counted = !self.0.trusted.iter().any(|block| block.contains(&peer));
        let address = counted.then(|| client_network(peer));
        let mut open = self.0.lock();
        let of_address = address.and_then(|address| open.by_address.get(&address)).copied().unwrap_or(0);
        let refused = if of_address >= self.0.per_address {
            Some("address")
        } else if open.all >= self.0.total {
            Some("total")
        } else {
            None
        };
        if let Some(cap) = refused {
            drop(open);
            counter!("pilothouse_connections_refused_total", "cap" => cap).increment(1);
            return Err(io::Error::other("too many connections"));
        }
        open.all += 1;
        if let Some(address) = address {
            *open.by_address.entry(address).or_default() += 1;
        }
        drop(open);
        gauge!("pilothouse_connections").increment(1);
        Ok(Slot { shared: self.0.clone(), address })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection's place, given back on drop.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    address: Option<IpAddr>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.shared.lock();
        open.all -= 1;
        if let Some(address) = self.address
            && let Some(count) = open.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&address);
            }
        }
        drop(open);
        gauge!("pilothouse_connections").decrement(1);
    }
}

/// The most files that the process may open, after it has raised its limit as far as it is allowed to.
fn usable_files() -> u64 {
    let mut files = getrlimit(Resource::Nofile);
    let before = files.current;
    files.current = files.maximum;
    let usable = if setrlimit(Resource::Nofile, files).is_ok() { files.maximum } else { before };
    usable.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_cap_and_gets_slots_back() {
        let slots = ConnectionSlots::within(4000, 2, Vec::new());
        let first = slots.take(address("10.0.0.1")).unwrap();
        let second = slots.take(address("::ffff:10.0.0.1")).unwrap();
        assert!(slots.take(address("10.0.0.1")).is_err());
        let _other = slots.take(address("10.0.0.2")).unwrap();
        drop(first);
        let _third = slots.take(address("10.0.0.1")).unwrap();
        assert!(slots.take(address("10.0.0.1")).is_err());
        drop(second);
        assert_eq!(slots.0.lock().by_address.len(), 2, "nothing is left of an address without connections");
    }

    #[test]
    fn ipv6_is_counted_by_its_64() {
        let slots = ConnectionSlots::within(4000, 1, Vec::new());
        let _first = slots.take(address("2001:db8:0:1::1")).unwrap();
        assert!(slots.take(address("2001:db8:0:1:ffff::2")).is_err());
        let _other = slots.take(address("2001:db8:0:2::1")).unwrap();
    }

    #[test]
    fn proxies_and_few_files_are_capped_together() {
        let slots = ConnectionSlots::within(12, 1000, vec!["10.0.0.0/8".parse().unwrap()]);
        let _of_address: Vec<_> = (0..3).map(|_| slots.take(address("192.0.2.1")).unwrap()).collect();
        assert!(slots.take(address("192.0.2.1")).is_err(), "one address has no more than a third of all");
        let _of_proxy: Vec<_> = (0..6).map(|_| slots.take(address("10.0.0.1")).unwrap()).collect();
        assert!(slots.take(address("10.0.0.1")).is_err(), "nine of twelve files are for connections");
    }
}
