//! Proxy between agent and server that a test decides about: of every piece whether it passes, or ends its connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Forwards connections to a server; the URL. Of each piece from the agent and from the server its decider is told the length.
pub(crate) fn proxy(
    server: &str,
    from_agent: impl Fn(u64) -> bool + Send + Sync + 'static,
    from_server: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> String {
    let server = server.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (from_agent, from_server) = (Arc::new(from_agent), Arc::new(from_server));
    thread::spawn(move || {
        for agent in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&server) else { continue };
            let (requests, requested) = (agent.try_clone().unwrap(), server.try_clone().unwrap());
            let (from_agent, from_server) = (from_agent.clone(), from_server.clone());
            thread::spawn(move || forward(requests, requested, &*from_agent));
            thread::spawn(move || forward(server, agent, &*from_server));
        }
    });
    url
}

/// Forwards one direction until it ends or a piece does not pass, which ends the connection.
fn forward(mut from: TcpStream, mut to: TcpStream, passes: &dyn Fn(u64) -> bool) {
    let mut buffer = [0; 1 << 14];
    while let Ok(length) = from.read(&mut buffer)
        && length > 0
        && passes(length as u64)
        && to.write_all(&buffer[..length]).is_ok()
    {}
    // The other direction may have ended them already.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
