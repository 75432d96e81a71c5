//! How long others wait for their reads during a storm of log-ins, and beside idle connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::latency::{print_header, print_percentiles};
use crate::server::{PASSWORD, Server};

/// Pause between two reads of the client that is measured.
const PAUSE: Duration = Duration::from_millis(5);

/// Options of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Server program
    #[arg(long)]
    program: PathBuf,
    /// Clients that log in again and again
    #[arg(long, default_value_t = 400)]
    clients: usize,
    /// Idle connections of each kind
    #[arg(long, default_value_t = 1000)]
    idle: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 8)]
    seconds: u64,
}

/// Runs the measurements and prints the results.
pub(crate) async fn measure(args: Args) -> Result<()> {
    let server = Server::start(&args.program, "").await?;
    let mut root = server.login().await?;
    let account = json!({
        "mail": "storm@example.com", "name": "storm", "passwd": PASSWORD, "department": "", "permissions": "",
    });
    root.post("/admin/user", &json!({"action": "add", "data": account})).await?;
    let task = json!({"ip": "192.0.2.1", "action": "update", "content": "/etc/motd", "description": "greet"});
    for _ in 0..10 {
        root.post("/api/task", &json!({"action": "add", "data": task})).await?;
    }

    print_header("GET /api/task, 10 rows, by another client");
    print_percentiles("alone", &mut reads(&mut root, args.seconds).await?);
    for (name, password) in [("right passwords", PASSWORD), ("wrong passwords", "wrong horse battery")] {
        let mut storm = JoinSet::new();
        for _ in 0..args.clients {
            storm.spawn(log_in_again(server.address, password));
        }
        sleep(Duration::from_secs(1)).await;
        let mut during = reads(&mut root, args.seconds).await?;
        print_percentiles(&format!("{} clients log in, {name}", args.clients), &mut during);
        storm.shutdown().await;
    }
    for (name, sent) in [
        ("that say nothing", ""),
        ("with half a head", "GET /healthz HTTP/1.1\r\nhost: lo"),
        ("with half a body", "POST /api/task HTTP/1.1\r\nhost: load\r\ncontent-length: 9\r\n\r\n{"),
        ("that were answered", "GET /healthz HTTP/1.1\r\nhost: load\r\n\r\n"),
    ] {
        let mut idle = Vec::with_capacity(args.idle);
        for _ in 0..args.idle {
            let mut connection = TcpStream::connect(server.address).await?;
            connection.write_all(sent.as_bytes()).await?;
            idle.push(connection);
        }
        let mut beside = reads(&mut root, args.seconds).await?;
        print_percentiles(&format!("{} connections {name}", args.idle), &mut beside);
    }
    Ok(())
}

/// Latencies of reads, one after the other, for some seconds.
async fn reads(connection: &mut Connection, seconds: u64) -> Result<Vec<Duration>> {
    let (end, mut latencies) = (Instant::now() + Duration::from_secs(seconds), Vec::new());
    while Instant::now() < end {
        let start = Instant::now();
        let response = connection.call("GET", "/api/task", "", "").await?;
        if response.status() != "200" {
            return Err(format!("{}{}", response.head, response.body).into());
        }
        latencies.push(start.elapsed());
        sleep(PAUSE).await;
    }
    Ok(latencies)
}

/// Logs in for ever, whatever the answers.
async fn log_in_again(server: SocketAddr, password: &str) {
    let login = json!({"name": "storm", "password": password}).to_string();
    loop {
        let Ok(mut connection) = Connection::open(server, "").await else { continue };
        while connection.call("POST", "/admin/user_login", "", &login).await.is_ok() {}
    }
}
