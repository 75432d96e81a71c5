use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

/// Range of the ports to choose from. It is below the ephemeral range (32768 and up on Linux), so that no outgoing connection
/// can take the port before the service listens on it or while the service restarts.
const PORTS: Range<u16> = 20_000..32_000;

/// Finds a TCP port on which nothing listens on 127.0.0.1 at the moment.
///
/// The choice is random, so that test processes side by side rarely choose the same port; it is not a reservation.
///
/// # Panics
/// When no free port is found in a thousand attempts.
pub fn free_port() -> u16 {
    (0..1000)
        .map(|_| fastrand::u16(PORTS))
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a thousand random ports of 127.0.0.1 are all in use")
}
