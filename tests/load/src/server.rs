//! The server under load: a real process with a store of its own.

use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, free_port};
use serde_json::json;
use tempfile::TempDir;

use crate::http::{Connection, Result};

const PASSWORD: &str = "correct horse battery";
const SETTINGS: &str = "settings.toml";
/// The mail of the account.
pub(crate) const MAIL: &str = "root@example.com";
/// The app whose key nobody needs.
pub(crate) const OPEN_APP: &str = "open";
pub(crate) const APP: &str = "load";
pub(crate) const PROFILE: &str = "prod";
/// The key that is published again and again.
pub(crate) const KEY: &str = "motd";

/// A process, and where it listens.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    folder: TempDir,
    process: Option<ProcessGuard>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts a new server with these settings and an account `root`.
    pub(crate) async fn start(program: &Path, settings: &str) -> Result<Self> {
        let program = program.canonicalize()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut server = Self { program, folder: tempfile::tempdir()?, process: None, address };
        fs::write(server.folder.path().join(SETTINGS), settings)?;
        let mut command = server.command();
        command.args(["create-superuser", "--name", "root", "--mail", MAIL, "--password-stdin"]);
        let mut made = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        writeln!(made.stdin.take().ok_or("no standard input")?, "{PASSWORD}")?;
        if !made.wait()?.success() {
            return Err("the account could not be made".into());
        }
        server.again().await?;
        Ok(server)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("PILOTHOUSE_LISTEN", self.address.to_string());
        command.env("PILOTHOUSE_CONFIG", SETTINGS).env("PILOTHOUSE_APOLLO_UNSIGNED_APPS", OPEN_APP);
        command
    }

    /// Starts it, on the store there is, and returns when it is ready.
    pub(crate) async fn again(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = self.command();
        self.process =
            Some(ProcessGuard::spawn(command.arg("serve").stdout(Stdio::null()).stderr(Stdio::from(log)))?);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut connection) = Connection::open(self.address, "").await
                && connection.call("GET", "/readyz", "", "").await.is_ok_and(|ready| ready.status() == "200")
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("the server is not ready after 30 s".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends it as a crash would.
    pub(crate) fn kill9(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill9();
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.child.id())
    }

    /// A connection that is logged in.
    pub(crate) async fn login(&self) -> Result<Connection> {
        let mut connection = Connection::open(self.address, "").await?;
        let login = json!({"name": "root", "password": PASSWORD});
        let answer = connection.call("POST", "/admin/user_login", "", &login.to_string()).await?;
        let token = answer.body.split('"').find(|part| part.len() == 64).ok_or("no token")?;
        Connection::open(self.address, &format!("authorization: Bearer {token}\r\n")).await
    }
}

/// The resident memory of a process in bytes.
pub(crate) fn memory(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
}

/// How long a process has kept processors busy until now.
pub(crate) fn busy(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // In hundredths of a second, for itself and for what the kernel did for it; the name may hold blanks.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split(' ').skip(12).take(2);
    let hundredths: u64 = numbers.map(|number| number.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(hundredths * 10))
}

/// Who edits and publishes.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) connection: Connection,
    item: serde_json::Value,
}

/// When a publish was asked for, and when that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) asked: Instant,
    pub(crate) answered: Instant,
}

impl Publisher {
    /// Makes an app with one item. The first [`Publisher::publish`] publishes it for the first time.
    pub(crate) async fn new(server: &Server, app: &str) -> Result<Self> {
        let mut connection = server.login().await?;
        let made = json!({"app": app, "appType": 0, "name": app, "charger": "root"});
        connection.post("/app/create", &made).await?;
        let item = json!({"app": app, "profile": PROFILE, "key": KEY, "value": ""});
        let item = connection.post("/config/create", &item).await?;
        Ok(Self { connection, item })
    }

    /// Makes a key for the app.
    pub(crate) async fn app_key(&mut self, app: &str) -> Result<String> {
        let made = self.connection.post("/app/key/create", &json!({"app": app})).await?;
        Ok(made["Key"].as_str().ok_or("no key")?.to_owned())
    }

    /// Edits, approves and publishes.
    pub(crate) async fn publish(&mut self, app: &str, value: &str) -> Result<Published> {
        let item = json!({"app": app, "profile": PROFILE, "key": KEY});
        let mut update = item.clone();
        update["value"] = value.into();
        self.connection.post("/config/update", &update).await?;
        self.connection.post("/config/approve", &item).await?;
        let asked = Instant::now();
        self.connection.post("/publish", &json!({"id": self.item})).await?;
        Ok(Published { asked, answered: Instant::now() })
    }
}
