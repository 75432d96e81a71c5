//! Read throughput, measured with `wrk`, and the number of database file accesses during it, counted with `strace`.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pilothouse_test_support::ProcessGuard;
use sha1::Sha1;

use crate::http::{Connection, Result};
use crate::server::{APP, KEY, OPEN_APP, PROFILE, Publisher, Server};
use crate::watchers::{VALUE_PREFIX, bearer, node, register};

/// Number of concurrent connections.
const CONNECTIONS: &str = "64";

/// Kind of read request.
#[derive(Debug)]
pub(crate) struct ReadRequest {
    pub(crate) name: &'static str,
    target: String,
    headers: String,
    /// App key to sign the request with. It is signed anew for each measurement, because a signature expires after a minute.
    signing_key: Option<String>,
    /// Expected status of every response.
    status: &'static str,
}

/// Publishes a value and prepares the read requests of nodes and of Apollo clients.
pub(crate) async fn prepare(server: &Server, value: &str) -> Result<Vec<ReadRequest>> {
    let mut publisher = Publisher::new(server, APP).await?;
    publisher.publish(APP, value).await?;
    let key = publisher.app_key(APP).await?;
    Publisher::new(server, OPEN_APP).await?.publish(OPEN_APP, value).await?;
    register(server.address, &key, 1).await?;
    let node_config = format!("/node/config?app={APP}&profile={PROFILE}&nodeId={}", node(0));
    let signed = format!("/configs/{APP}/{PROFILE}/application?ip=10.0.0.1");
    let open = format!("/configs/{OPEN_APP}/{PROFILE}/application?ip=10.0.0.1");

    let mut connection = Connection::open(server.address, "").await?;
    let response = connection.call("GET", &node_config, &bearer(&key), "").await?;
    let etag = response.header("etag").ok_or("no ETag")?.to_owned();
    let signed_unchanged =
        with_release_key(&mut connection, &signed, &signed_headers(&key, &signed)?).await?;
    let open_unchanged = with_release_key(&mut connection, &open, "").await?;
    let read =
        |name, target, headers, status| ReadRequest { name, target, headers, signing_key: None, status };
    let signed_read = |name, target, status| ReadRequest {
        signing_key: Some(key.clone()),
        ..read(name, target, String::new(), status)
    };
    let tagged = format!("{}if-none-match: {etag}\r\n", bearer(&key));
    Ok(vec![
        read("/node/config", node_config.clone(), bearer(&key), "200"),
        read("/node/config, 304", node_config, tagged, "304"),
        signed_read("/configs, signed", signed.clone(), "200"),
        signed_read("/configs, signed, 304", signed_unchanged, "304"),
        read("/configs, unsigned", open.clone(), String::new(), "200"),
        read("/configs, unsigned, 304", open_unchanged, String::new(), "304"),
    ])
}

impl ReadRequest {
    /// Request without authentication.
    pub(crate) fn unauthenticated(name: &'static str, target: String) -> Self {
        Self { name, target, headers: String::new(), signing_key: None, status: "200" }
    }
}

/// Adds the current release key to a request target, so that the response is 304.
async fn with_release_key(connection: &mut Connection, target: &str, headers: &str) -> Result<String> {
    let response = connection.call("GET", target, headers, "").await?;
    let response: serde_json::Value = serde_json::from_str(&response.body)?;
    if response["configurations"][KEY].as_str().is_none_or(|value| !value.starts_with(VALUE_PREFIX)) {
        return Err(format!("the response has no value: {response}").into());
    }
    let release_key = response["releaseKey"].as_str().ok_or("no release key")?;
    Ok(format!("{target}&releaseKey={release_key}"))
}

fn signed_headers(key: &str, target: &str) -> Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes())?.chain_update(format!("{time}\n{target}"));
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!("authorization: Apollo {APP}:{signature}\r\ntimestamp: {time}\r\n"))
}

/// Measures a request for some seconds and returns its responses per second.
pub(crate) async fn measure(server: SocketAddr, read: &ReadRequest, seconds: u64) -> Result<f64> {
    let headers = match &read.signing_key {
        Some(key) => signed_headers(key, &read.target)?,
        None => read.headers.clone(),
    };
    let response = Connection::open(server, "").await?.call("GET", &read.target, &headers, "").await?;
    if response.status() != read.status {
        return Err(format!("{}: {}{}", read.name, response.head, response.body).into());
    }
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")]);
    for header in headers.lines() {
        wrk.args(["-H", header]);
    }
    let output = wrk.arg(format!("http://{server}{}", read.target)).output()?;
    let output = String::from_utf8(output.stdout)?;
    // wrk reports responses from status 400 on as "Non-2xx or 3xx".
    if output.contains("Non-2xx") {
        return Err(format!("{}: {output}", read.name).into());
    }
    let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")).ok_or("no rate")?;
    Ok(rate.trim().parse()?)
}

/// Counts the file reads and file locks of a process during `action`, and returns them with its result. The traced system calls
/// are not used for sockets.
pub(crate) async fn file_reads<T>(process: u32, action: impl Future<Output = Result<T>>) -> Result<(u64, T)> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-e", "trace=pread64,preadv,fcntl", "-p", &process.to_string(), "-o"]);
    let mut strace = ProcessGuard::spawn(strace.arg(&counts).stderr(Stdio::null()))?;
    sleep(Duration::from_secs(1));
    let done = action.await?;
    // strace writes its counts on SIGTERM.
    strace.terminate();
    strace.wait_for_exit(Duration::from_secs(10)).ok_or("strace does not end")?;
    let counts = std::fs::read_to_string(counts)?;
    let calls = counts.lines().filter(|line| ["pread", "fcntl"].iter().any(|name| line.contains(name)));
    let calls = calls.filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    Ok((calls.sum(), done))
}
