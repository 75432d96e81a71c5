//! Server under load: a real process with its own database, and a publisher that uses its API.

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
use crate::tls::Tls;

/// Password of every account.
pub(crate) const PASSWORD: &str = "correct horse battery";
const SETTINGS: &str = "settings.toml";
/// Environment variable with a secret, for settings that need one.
pub(crate) const SECRET: &str = "LOAD_SECRET";
/// Mail address of the account `root`.
pub(crate) const MAIL: &str = "root@example.com";
/// App that Apollo clients may read without a signature.
pub(crate) const OPEN_APP: &str = "open";
/// App that needs its app key.
pub(crate) const APP: &str = "load";
pub(crate) const PROFILE: &str = "prod";
/// Configuration key that is published repeatedly.
pub(crate) const KEY: &str = "motd";

/// Server process with its data folder.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    folder: TempDir,
    process: Option<ProcessGuard>,
    pub(crate) address: SocketAddr,
    tls: Option<Tls>,
}

/// Where a server is reached.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    tls: Option<Tls>,
}

impl Endpoint {
    /// Opens a connection.
    pub(crate) async fn open(&self, headers: &str) -> Result<Connection> {
        Connection::open_with(self.address, headers, self.tls.as_ref()).await
    }
}

impl Server {
    /// Starts a new server with these settings and a superuser `root`.
    pub(crate) async fn start(program: &Path, settings: &str) -> Result<Self> {
        Self::start_as(program, settings, None).await
    }

    /// The same, reached over TLS, which the settings set up.
    pub(crate) async fn start_with_tls(program: &Path, settings: &str) -> Result<Self> {
        Self::start_as(program, settings, Some(Tls::new()?)).await
    }

    async fn start_as(program: &Path, settings: &str, tls: Option<Tls>) -> Result<Self> {
        let program = program.canonicalize()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut server = Self { program, folder: tempfile::tempdir()?, process: None, address, tls };
        fs::write(server.folder.path().join(SETTINGS), settings)?;
        let mut command = server.command();
        command.args(["create-superuser", "--name", "root", "--mail", MAIL, "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        writeln!(child.stdin.take().ok_or("no standard input")?, "{PASSWORD}")?;
        if !child.wait()?.success() {
            return Err("create-superuser failed".into());
        }
        server.start_process().await?;
        Ok(server)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.folder).env("PILOTHOUSE_LISTEN", self.address.to_string());
        command.env("PILOTHOUSE_CONFIG", SETTINGS).env("PILOTHOUSE_APOLLO_UNSIGNED_APPS", OPEN_APP);
        command.env(SECRET, "0123456789".repeat(4));
        command
    }

    /// Starts the process on the existing database, and waits until it is ready.
    pub(crate) async fn start_process(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = self.command();
        self.process =
            Some(ProcessGuard::spawn(command.arg("serve").stdout(Stdio::null()).stderr(Stdio::from(log)))?);
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Ok(mut connection) = self.endpoint().open("").await
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

    /// Kills the process as in a crash (SIGKILL).
    pub(crate) fn kill9(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill9();
        }
    }

    /// Where it is reached.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { address: self.address, tls: self.tls.clone() }
    }

    /// File of the SQLite database.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("pilothouse-data/pilothouse.db")
    }

    /// Process id of the server.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, |process| process.child.id())
    }

    /// Opens a connection with the access token of `root`.
    pub(crate) async fn login(&self) -> Result<Connection> {
        let mut connection = self.endpoint().open("").await?;
        let login = json!({"name": "root", "password": PASSWORD});
        let response = connection.call("POST", "/admin/user_login", "", &login.to_string()).await?;
        let token = response.body.split('"').find(|part| part.len() == 64).ok_or("no token")?;
        self.endpoint().open(&format!("authorization: Bearer {token}\r\n")).await
    }
}

/// Reads the resident memory of a process in bytes.
pub(crate) fn resident_memory(process: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? * 1024.0)
}

/// Reads the processor time that a process has used so far.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // User and system time, in hundredths of a second. The process name before them may contain spaces, so they are counted
    // from the closing parenthesis.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split(' ').skip(12).take(2);
    let hundredths: u64 = numbers.map(|number| number.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(hundredths * 10))
}

/// API client that edits, approves and publishes one item.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) connection: Connection,
    /// Id of the item.
    item: serde_json::Value,
}

/// Times of a publish request and of its response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PublishTime {
    pub(crate) requested: Instant,
    pub(crate) answered: Instant,
}

impl Publisher {
    /// Creates an app with one item, which is not published yet.
    pub(crate) async fn new(server: &Server, app: &str) -> Result<Self> {
        let mut connection = server.login().await?;
        create_app(&mut connection, app).await?;
        let item = json!({"app": app, "profile": PROFILE, "key": KEY, "value": ""});
        let item = connection.post("/config/create", &item).await?;
        Ok(Self { connection, item })
    }

    /// Creates an app key.
    pub(crate) async fn app_key(&mut self, app: &str) -> Result<String> {
        let created = self.connection.post("/app/key/create", &json!({"app": app})).await?;
        Ok(created["Key"].as_str().ok_or("no key")?.to_owned())
    }

    /// Updates the item to a value, approves it and publishes it to all nodes.
    pub(crate) async fn publish(&mut self, app: &str, value: &str) -> Result<PublishTime> {
        let item = json!({"app": app, "profile": PROFILE, "key": KEY});
        let mut update = item.clone();
        update["value"] = value.into();
        self.connection.post("/config/update", &update).await?;
        self.connection.post("/config/approve", &item).await?;
        let requested = Instant::now();
        self.connection.post("/publish", &json!({"id": self.item})).await?;
        Ok(PublishTime { requested, answered: Instant::now() })
    }
}

/// Creates an app without items.
pub(crate) async fn create_app(connection: &mut Connection, app: &str) -> Result<()> {
    let app = json!({"app": app, "appType": 0, "name": app, "charger": "root"});
    connection.post("/app/create", &app).await.map(|_| ())
}
