//! r-nacos as a comparison: a server process, and watchers by long polling of the Nacos 1 API, where a watcher is signalled
//! that a value has changed and then fetches it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, free_port};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::server::{KEY, PublishTime};
use crate::watchers::{Recorder, VALUE_PREFIX, reconnect_delay};

const CONFIGS: &str = "/nacos/v1/cs/configs";
const LISTENER: &str = "/nacos/v1/cs/configs/listener";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
/// Header with the time-out of a long poll in milliseconds.
const LONG_POLL_TIMEOUT: &str = "long-pulling-timeout: 60000\r\n";

/// r-nacos process with its own data folder.
#[derive(Debug)]
pub(crate) struct Nacos {
    _folder: TempDir,
    process: ProcessGuard,
    pub(crate) address: SocketAddr,
}

/// Request target of the published value.
pub(crate) fn target() -> String {
    format!("{CONFIGS}?dataId={KEY}&group=load")
}

impl Nacos {
    /// Starts the process and publishes the first value.
    pub(crate) async fn start(program: &Path, value: &str) -> Result<Self> {
        let program = program.canonicalize()?;
        let folder = tempfile::tempdir()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new(program);
        command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::null());
        command.env("RNACOS_SDK_HOST", "127.0.0.1").env("RNACOS_DATA_DIR", folder.path());
        command.env("RNACOS_HTTP_PORT", address.port().to_string());
        for more in ["RNACOS_GRPC_PORT", "RNACOS_HTTP_CONSOLE_PORT"] {
            command.env(more, free_port().to_string());
        }
        let nacos = Self { process: ProcessGuard::spawn(&mut command)?, _folder: folder, address };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut connection) = Connection::open(address, "").await
                && publish(&mut connection, value).await.is_ok()
                // A value accepted right after the start may be lost again.
                && is_value_stable(&mut connection).await
            {
                return Ok(nacos);
            }
            if Instant::now() > deadline {
                return Err("r-nacos is not ready after 30 s".into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }
}

/// Whether the value is still present after two seconds.
async fn is_value_stable(connection: &mut Connection) -> bool {
    sleep(Duration::from_secs(2)).await;
    fetch(connection).await.is_ok()
}

/// Publishes a value; r-nacos answers after the commit.
pub(crate) async fn publish(connection: &mut Connection, value: &str) -> Result<PublishTime> {
    let requested = Instant::now();
    let response =
        connection.call("POST", CONFIGS, FORM, &format!("dataId={KEY}&group=load&content={value}")).await?;
    if response.status() != "200" || response.body.trim() != "true" {
        return Err(format!("{}{}", response.head, response.body).into());
    }
    Ok(PublishTime { requested, answered: Instant::now() })
}

/// Watches the value, and reconnects after every failure.
pub(crate) async fn watch(server: SocketAddr, number: usize, recorder: Recorder) {
    loop {
        let _ = poll(server, &recorder).await;
        sleep(reconnect_delay(number)).await;
    }
}

async fn poll(server: SocketAddr, recorder: &Recorder) -> Result<()> {
    let mut connection = Connection::open(server, "").await?;
    let mut digest = fetch(&mut connection).await?.1;
    recorder.watch_opened();
    loop {
        let listen = format!("Listening-Configs={KEY}%02load%02{digest}%01");
        let response =
            connection.call("POST", LISTENER, &format!("{FORM}{LONG_POLL_TIMEOUT}"), &listen).await?;
        if response.body.is_empty() {
            continue;
        }
        let signalled = Instant::now();
        let (value, next) = fetch(&mut connection).await?;
        if next != digest {
            recorder.value_received(value, signalled, Instant::now());
        }
        digest = next;
    }
}

/// Fetches the current value's number and digest.
async fn fetch(connection: &mut Connection) -> Result<(usize, String)> {
    let response = connection.call("GET", &target(), "", "").await?;
    let digest = response.header("content-md5").ok_or("no digest")?.to_owned();
    let (_, value) = response.body.split_once(VALUE_PREFIX).ok_or("no value")?;
    let digits = value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
    Ok((digits.parse()?, digest))
}
