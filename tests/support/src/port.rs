use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// Range of the ports to choose from. It is below the ephemeral range (32768 and up on Linux), so that no outgoing connection
/// can take the port before the service listens on it or while the service restarts.
const PORTS: Range<u16> = 20_000..32_000;

/// Finds a TCP port on which nothing listens on 127.0.0.1 at the moment, and which was not found in this process before:
/// a server that is started again needs the port it had.
///
/// The choice is random, so that test processes side by side rarely choose the same port; it is not a reservation.
///
/// # Panics
/// When no free port is found in a thousand attempts.
pub fn free_port() -> u16 {
    static FOUND: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let port = (0..1000)
        .map(|_| fastrand::u16(PORTS))
        .find(|port| !found.contains(port) && is_free(*port).is_ok())
        .expect("a thousand random ports of 127.0.0.1 are all in use");
    found.insert(port);
    port
}

/// Fails when something listens on the port.
///
/// The socket is bound but never listens: a process that another thread starts at this moment holds a copy of it until its
/// program runs, and whoever wants the port meanwhile is hindered by a listening one only.
fn is_free(port: u16) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?)
}
