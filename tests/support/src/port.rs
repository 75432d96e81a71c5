use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, TcpListener};

/// Below the range from which the system takes ports for outgoing connections (32768 and up on Linux), so that none of
/// those can occupy the port before the service listens on it, or while it is restarted.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A TCP port on which nothing listens on 127.0.0.1 at the moment.
///
/// The choice is random, so test processes that run side by side do not meet; it is not a reservation.
///
/// # Panics
/// When no free port is found in a thousand attempts.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| {
            let random = RandomState::new().build_hasher().finish() % u64::from(PORTS.end - PORTS.start);
            PORTS.start + u16::try_from(random).expect("smaller than a range of u16")
        })
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a thousand random ports of 127.0.0.1 are all in use")
}
