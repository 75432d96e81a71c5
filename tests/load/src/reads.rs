//! How many reads a second a server answers, with `wrk`, and how often it asks its database meanwhile.

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
use crate::watchers::{MARK, bearer, node, register};

/// How many connections ask at once.
const CONNECTIONS: &str = "64";

/// What is read, and how.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) name: &'static str,
    target: String,
    headers: String,
    /// The key it is signed with, afresh each time: a signature is good for a minute.
    signed_with: Option<String>,
    /// The status that every answer has.
    status: &'static str,
}

/// The reads of a node and of Apollo's clients.
pub(crate) async fn prepare(server: &Server, value: &str) -> Result<Vec<Read>> {
    let mut publisher = Publisher::new(server, APP).await?;
    publisher.publish(APP, value).await?;
    let key = publisher.app_key(APP).await?;
    Publisher::new(server, OPEN_APP).await?.publish(OPEN_APP, value).await?;
    register(server.address, &key, 1).await?;
    let of_node = format!("/node/config?app={APP}&profile={PROFILE}&nodeId={}", node(0));
    let signed = format!("/configs/{APP}/{PROFILE}/application?ip=10.0.0.1");
    let open = format!("/configs/{OPEN_APP}/{PROFILE}/application?ip=10.0.0.1");

    let mut connection = Connection::open(server.address, "").await?;
    let answer = connection.call("GET", &of_node, &bearer(&key), "").await?;
    let tag = answer.header("etag").ok_or("no ETag")?.to_owned();
    let signed_known = known(&mut connection, &signed, &signed_headers(&key, &signed)?).await?;
    let open_known = known(&mut connection, &open, "").await?;
    let read = |name, target, headers, status| Read { name, target, headers, signed_with: None, status };
    let signed_read = |name, target, status| Read {
        signed_with: Some(key.clone()),
        ..read(name, target, String::new(), status)
    };
    let tagged = format!("{}if-none-match: {tag}\r\n", bearer(&key));
    Ok(vec![
        read("/node/config", of_node.clone(), bearer(&key), "200"),
        read("/node/config, 304", of_node, tagged, "304"),
        signed_read("/configs, signed", signed.clone(), "200"),
        signed_read("/configs, signed, 304", signed_known, "304"),
        read("/configs, unsigned", open.clone(), String::new(), "200"),
        read("/configs, unsigned, 304", open_known, String::new(), "304"),
    ])
}

impl Read {
    /// What anybody may read.
    pub(crate) fn open(name: &'static str, target: String) -> Self {
        Self { name, target, headers: String::new(), signed_with: None, status: "200" }
    }
}

/// The target for a client that holds what it is told: with its release key.
async fn known(connection: &mut Connection, target: &str, headers: &str) -> Result<String> {
    let answer = connection.call("GET", target, headers, "").await?;
    let answer: serde_json::Value = serde_json::from_str(&answer.body)?;
    if answer["configurations"][KEY].as_str().is_none_or(|value| !value.starts_with(MARK)) {
        return Err(format!("the value is not in {answer}").into());
    }
    let release_key = answer["releaseKey"].as_str().ok_or("no release key")?;
    Ok(format!("{target}&releaseKey={release_key}"))
}

fn signed_headers(key: &str, target: &str) -> Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes())?.chain_update(format!("{time}\n{target}"));
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!("authorization: Apollo {APP}:{signature}\r\ntimestamp: {time}\r\n"))
}

/// Reads for some seconds and says how many answers a second came.
pub(crate) async fn measure(server: SocketAddr, read: &Read, seconds: u64) -> Result<f64> {
    let headers = match &read.signed_with {
        Some(key) => signed_headers(key, &read.target)?,
        None => read.headers.clone(),
    };
    let answer = Connection::open(server, "").await?.call("GET", &read.target, &headers, "").await?;
    if answer.status() != read.status {
        return Err(format!("{}: {}{}", read.name, answer.head, answer.body).into());
    }
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", CONNECTIONS, "-d", &format!("{seconds}s")]);
    for header in headers.lines() {
        wrk.args(["-H", header]);
    }
    let output = wrk.arg(format!("http://{server}{}", read.target)).output()?;
    let output = String::from_utf8(output.stdout)?;
    // wrk counts everything from 400 on.
    if output.contains("Non-2xx") {
        return Err(format!("{}: {output}", read.name).into());
    }
    let rate = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")).ok_or("no rate")?;
    Ok(rate.trim().parse()?)
}

/// How often a process read a file or took a lock on one while `during` ran, and what that returned. Sockets are not read so.
pub(crate) async fn file_reads<T>(process: u32, during: impl Future<Output = Result<T>>) -> Result<(u64, T)> {
    let folder = tempfile::tempdir()?;
    let counts = folder.path().join("counts");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-e", "trace=pread64,preadv,fcntl", "-p", &process.to_string(), "-o"]);
    let mut strace = ProcessGuard::spawn(strace.arg(&counts).stderr(Stdio::null()))?;
    sleep(Duration::from_secs(1));
    let done = during.await?;
    // It writes what it counted when it is asked to end.
    strace.terminate();
    strace.wait_for_exit(Duration::from_secs(10)).ok_or("strace does not end")?;
    let counts = std::fs::read_to_string(counts)?;
    let calls = counts.lines().filter(|line| ["pread", "fcntl"].iter().any(|name| line.contains(name)));
    let calls = calls.filter_map(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    Ok((calls.sum(), done))
}
