//! A TCP proxy that goes silent: it stays connected to both sides and passes nothing on, as a hung server does, or a network
//! that forgot its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    /// The URL of the database, by way of the proxy.
    pub(crate) url: String,
    /// Odd while it is silent. Connections pass bytes on only in the phase in which they were made.
    phase: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// A proxy to the server of a `postgres://postgres@host:port/name` URL.
    pub(crate) async fn start(url: &str) -> Self {
        let (_, rest) = url.split_once('@').unwrap();
        let (server, database) = rest.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://postgres@{}/{database}", listener.local_addr().unwrap());
        let phase = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, server.to_owned(), phase.clone()));
        Self { url, phase, _tasks: tasks }
    }

    /// Stops to pass anything on.
    pub(crate) fn silence(&self) {
        assert_eq!(self.phase.fetch_add(1, Ordering::SeqCst) % 2, 0, "it was silent already");
    }

    /// Passes new connections on; those from before stay silent.
    pub(crate) fn speak(&self) {
        assert_eq!(self.phase.fetch_add(1, Ordering::SeqCst) % 2, 1, "it was not silent");
    }
}

async fn accept(listener: TcpListener, server: String, phase: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let mine = phase.load(Ordering::SeqCst);
        let speaks = {
            let phase = phase.clone();
            move || phase.load(Ordering::SeqCst) == mine && mine.is_multiple_of(2)
        };
        connections.spawn(pass(client, server.clone(), speaks));
    }
}

async fn pass(client: TcpStream, server: String, speaks: impl Fn() -> bool + Clone) {
    if !speaks() {
        return hold([client]).await;
    }
    let server = TcpStream::connect(server).await.unwrap();
    let [mut client, mut server] = [client, server];
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let there = copy(client_reads, server_writes, speaks.clone());
    let back = copy(server_reads, client_writes, speaks.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
    }
    if !speaks() {
        hold([client, server]).await;
    }
}

/// Copies until either side closes or silence begins; looks for that all the time.
async fn copy(
    mut from: tokio::net::tcp::ReadHalf<'_>,
    mut to: tokio::net::tcp::WriteHalf<'_>,
    speaks: impl Fn() -> bool,
) {
    let mut buffer = vec![0; 1 << 16];
    while speaks() {
        let read = tokio::time::timeout(Duration::from_millis(20), from.read(&mut buffer)).await;
        let Ok(Ok(length)) = read else { continue };
        if length == 0 || !speaks() || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

/// Keeps connections open without a word, longer than any test.
async fn hold<const N: usize>(connections: [TcpStream; N]) {
    tokio::time::sleep(Duration::from_mins(10)).await;
    drop(connections);
}
