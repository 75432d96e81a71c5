use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// TCP proxy to a port of 127.0.0.1 that can simulate a network partition.
#[derive(Debug)]
pub struct TcpProxy {
    /// Port on 127.0.0.1 that clients connect to.
    pub port: u16,
    is_partitioned: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
    connections: Arc<Mutex<Connections>>,
}

/// Open connections of a proxy.
#[derive(Debug, Default)]
struct Connections {
    /// Both ends of each forwarded connection, for as long as it is open.
    forwarded: Vec<Weak<TcpStream>>,
    /// Connections accepted during a partition, which never get a byte.
    unanswered: Vec<TcpStream>,
}

impl TcpProxy {
    /// Starts a proxy to a port of 127.0.0.1. Its thread ends with the process.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let proxy = Self {
            port: listener.local_addr().expect("the listener has an address").port(),
            is_partitioned: Arc::default(),
            is_silent: Arc::default(),
            connections: Arc::default(),
        };
        let (is_partitioned, connections) = (proxy.is_partitioned.clone(), proxy.connections.clone());
        let is_silent = proxy.is_silent.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { continue };
                let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
                if is_partitioned.load(Ordering::SeqCst) {
                    // A refused connection would be noticed at once; in a real partition packets are lost silently.
                    connections.unanswered.push(client);
                    continue;
                }
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                let (client, server) = (Arc::new(client), Arc::new(server));
                connections.forwarded.retain(|stream| stream.strong_count() > 0);
                connections.forwarded.extend([Arc::downgrade(&client), Arc::downgrade(&server)]);
                forward(client.clone(), server.clone(), is_silent.clone());
                forward(server, client, is_silent.clone());
            }
        });
        proxy
    }

    /// Begins a partition: closes the open connections; new ones are accepted and never answered.
    pub fn partition(&self) {
        self.is_partitioned.store(true, Ordering::SeqCst);
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in connections.forwarded.drain(..).filter_map(|stream| stream.upgrade()) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Forwards nothing any more, in either direction, and closes nothing: as when a firewall forgets its connections.
    pub fn silence(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
    }

    /// Ends a partition and a silence, after which what was sent meanwhile arrives: new connections are forwarded, the unanswered ones are closed.
    pub fn heal(&self) {
        self.is_silent.store(false, Ordering::SeqCst);
        self.is_partitioned.store(false, Ordering::SeqCst);
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).unanswered.clear();
    }
}

/// Copies one direction of a connection in a thread of its own.
fn forward(from: Arc<TcpStream>, to: Arc<TcpStream>, is_silent: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let _: io::Result<()> = copy(&from, &to, &is_silent);
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, is_silent: &AtomicBool) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer)?;
        while is_silent.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read])?;
    }
}
