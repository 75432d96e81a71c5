//! Origin server of the edges: the body of every object is the current version number.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::http::Result;

/// Origin server, which runs until the program ends.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    version: Arc<AtomicU64>,
}

impl Origin {
    /// Starts the origin on a free port of 127.0.0.1.
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, version) = (listener.local_addr()?, Arc::new(AtomicU64::new(0)));
        let served = version.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let version = served.clone();
                // Ends when the edge closes the connection.
                tokio::spawn(async move { serve(stream, &version).await });
            }
        });
        Ok(Self { address, version })
    }

    /// Changes every object and returns the new version.
    pub(crate) fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }
}

/// Answers the requests of a connection. Requests with a body are not supported: the edges send none.
async fn serve(stream: TcpStream, version: &AtomicU64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(1024, stream);
    let mut line = String::new();
    loop {
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
        }
        line.clear();
        let body = version.load(Ordering::SeqCst).to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncache-control: max-age=3600\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
