//! r-nacos, to measure beside: over the protocol of Nacos's first version, where a watcher hears that something changed
//! and fetches it then.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, free_port};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::http::{Connection, Result};
use crate::server::{KEY, Published};
use crate::watchers::{MARK, Tell, spread};

const CONFIGS: &str = "/nacos/v1/cs/configs";
const LISTENER: &str = "/nacos/v1/cs/configs/listener";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";
/// How long a watcher's question may be held, in milliseconds.
const HELD: &str = "long-pulling-timeout: 60000\r\n";

/// A process with a store of its own.
#[derive(Debug)]
pub(crate) struct Nacos {
    _folder: TempDir,
    process: ProcessGuard,
    pub(crate) address: SocketAddr,
}

/// Where the value is read.
pub(crate) fn target() -> String {
    format!("{CONFIGS}?dataId={KEY}&group=load")
}

impl Nacos {
    /// Starts it, and publishes a value for the first time.
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
                // What it accepts right after its start may be gone again.
                && settled(&mut connection).await
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

/// Whether the value is still there after a while.
async fn settled(connection: &mut Connection) -> bool {
    sleep(Duration::from_secs(2)).await;
    fetch(connection).await.is_ok()
}

/// Publishes; the answer follows the commit.
pub(crate) async fn publish(connection: &mut Connection, value: &str) -> Result<Published> {
    let asked = Instant::now();
    let answer =
        connection.call("POST", CONFIGS, FORM, &format!("dataId={KEY}&group=load&content={value}")).await?;
    if answer.status() != "200" || answer.body.trim() != "true" {
        return Err(format!("{}{}", answer.head, answer.body).into());
    }
    Ok(Published { asked, answered: Instant::now() })
}

/// Watches, and comes back after every end.
pub(crate) async fn watch(server: SocketAddr, number: usize, tell: Tell) {
    loop {
        let _ = poll(server, &tell).await;
        sleep(spread(number)).await;
    }
}

async fn poll(server: SocketAddr, tell: &Tell) -> Result<()> {
    let mut connection = Connection::open(server, "").await?;
    let mut digest = fetch(&mut connection).await?.1;
    tell.open();
    loop {
        let listening = format!("Listening-Configs={KEY}%02load%02{digest}%01");
        let answer = connection.call("POST", LISTENER, &format!("{FORM}{HELD}"), &listening).await?;
        if answer.body.is_empty() {
            continue;
        }
        let signalled = Instant::now();
        let (value, next) = fetch(&mut connection).await?;
        if next != digest {
            tell.value(value, signalled, Instant::now());
        }
        digest = next;
    }
}

/// The number of the present value, and its digest.
async fn fetch(connection: &mut Connection) -> Result<(usize, String)> {
    let answer = connection.call("GET", &target(), "", "").await?;
    let digest = answer.header("content-md5").ok_or("no digest")?.to_owned();
    let (_, value) = answer.body.split_once(MARK).ok_or("no value")?;
    let digits = value.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
    Ok((digits.parse()?, digest))
}
