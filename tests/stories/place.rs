//! A place for a server: a private folder and a store; and the processes that run there.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use pilothouse_test_support::{Database, ProcessGuard, free_port};
use tempfile::TempDir;

/// The password of every account in the stories.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// The account with every right.
pub(crate) const ROOT: &str = "root";

/// How long a process may take for what should take a second, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// The key that edges of the stories have.
pub(crate) const EDGE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A folder, a store and settings. Several processes may run there at once.
pub(crate) struct Place {
    folder: Arc<TempDir>,
    settings: Vec<(&'static str, String)>,
    logs: AtomicU32,
    authority: Option<String>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// With the store a server has where nothing is said: SQLite in the data folder.
    pub(crate) fn sqlite() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let data = folder.path().join("data").display().to_string();
        Self { folder, settings: vec![("DATA_DIR", data)], logs: AtomicU32::new(0), authority: None }
    }

    /// With a store that ends with the process.
    pub(crate) fn memory() -> Self {
        Self::sqlite().with("DATABASE_URL", "memory:")
    }

    /// With a database on a Postgres. Places with the same database may serve side by side.
    pub(crate) fn postgres(database: &Database) -> Self {
        // The text of the secret comes in a variable of any name.
        Self::sqlite().with("DATABASE_URL", &database.url).with("SECRET_KEY", "env:STORY_SECRET")
    }

    /// With the setting of that environment variable, without its prefix.
    pub(crate) fn with(mut self, setting: &'static str, value: &str) -> Self {
        self.settings.push((setting, value.to_owned()));
        self
    }

    /// From now on servers believe the certificates of this authority, and of no other.
    pub(crate) fn trust(&mut self, authority: &str) {
        self.authority = Some(authority.to_owned());
    }

    /// A file in the folder, beside the data folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, with the settings of this place and none of those the tests run under.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilothouse"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PILOTHOUSE_") {
                command.env_remove(name);
            }
        }
        let settings = self.settings.iter().map(|(name, value)| (format!("PILOTHOUSE_{name}"), value));
        command.envs(settings).env("STORY_SECRET", "0123456789abcdef0123456789abcdef").env_remove("RUST_LOG");
        command.env("STORY_EDGE_KEY", EDGE_KEY).args(arguments).current_dir(self.folder.path());
        command.envs(self.authority.as_ref().map(|authority| ("SSL_CERT_FILE", authority)));
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> Ended {
        run(&mut self.command(arguments), input)
    }

    /// Makes the account [`ROOT`].
    pub(crate) fn create_root(&self) {
        let mail = "root@example.com";
        let arguments = ["create-superuser", "--name", ROOT, "--mail", mail, "--password-stdin"];
        let made = self.run(&arguments, PASSWORD);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    /// Starts a server that has the account [`ROOT`], and waits until it is ready.
    pub(crate) async fn serve(&self) -> Server {
        let server = self.start();
        server.wait_until_ready().await;
        server
    }

    /// Starts a server again where one was, and waits until it is ready.
    pub(crate) async fn serve_again(&self, port: u16) -> Server {
        let server = self.start_on(port);
        server.wait_until_ready().await;
        server
    }

    /// Starts a server.
    pub(crate) fn start(&self) -> Server {
        self.start_on(free_port())
    }

    fn start_on(&self, port: u16) -> Server {
        let log = self.file(&format!("log-{}", self.logs.fetch_add(1, Ordering::Relaxed)));
        let lines = File::create(&log).unwrap();
        let mut command =
            self.command(&["serve", "--superuser", "root:root@example.com", "--password-stdin"]);
        command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).stdin(Stdio::piped());
        command.stdout(lines.try_clone().unwrap()).stderr(lines);
        let mut process = ProcessGuard::spawn(&mut command).unwrap();
        writeln!(process.child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        Server { process, port, log, _folder: self.folder.clone() }
    }
}

/// A running server. It is killed when this is dropped, and what it logged is shown when the test fails.
pub(crate) struct Server {
    pub(crate) process: ProcessGuard,
    pub(crate) port: u16,
    log: PathBuf,
    _folder: Arc<TempDir>,
}

impl Server {
    /// Where it is reached.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Whether it says that it can serve.
    pub(crate) async fn is_ready(&self) -> bool {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(format!("{}/readyz", self.url())).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until it is ready.
    pub(crate) async fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready().await {
            assert!(Instant::now() < deadline, "the server does not get ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the server logged last:\n{}", tail(&self.log));
        }
    }
}

/// The last lines of a log that may be long.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses before it reads leaves nobody to write to.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
