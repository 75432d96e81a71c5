//! Installations: a private folder, a store and settings, and the processes that run on them.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use pilothouse_test_support::{Database, ProcessGuard, S3Server, free_port};
use reqwest::header::DATE;
use tempfile::TempDir;

use super::fake_clock::FakeClock;

/// Password of every account in the stories.
pub(crate) const PASSWORD: &str = "correct horse battery";
/// Name of the account with every permission.
pub(crate) const ROOT: &str = "root";

/// Time limit for what takes a second on an idle machine.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(1);

/// Key of every edge in the stories.
pub(crate) const EDGE_KEY: &str = "0123456789abcdef0123456789abcdef";

/// A folder, a store and settings. Several processes may use them at once.
pub(crate) struct Installation {
    folder: Arc<TempDir>,
    settings: Vec<(&'static str, String)>,
    logs: AtomicU32,
    authority: Option<String>,
    open_files: Option<u32>,
    clock: Option<FakeClock>,
}

/// Exit code and output of a command.
#[derive(Debug)]
pub(crate) struct CommandOutcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Installation {
    /// With the default store: SQLite in the data folder.
    pub(crate) fn sqlite() -> Self {
        let folder = Arc::new(TempDir::new().unwrap());
        let data = folder.path().join("data").display().to_string();
        let settings = vec![("DATA_DIR", data)];
        Self { folder, settings, logs: AtomicU32::new(0), authority: None, open_files: None, clock: None }
    }

    /// With a store that ends with the process.
    pub(crate) fn memory() -> Self {
        Self::sqlite().with("DATABASE_URL", "memory:")
    }

    /// With a Postgres database. Installations with the same database may serve side by side.
    pub(crate) fn postgres(database: &Database) -> Self {
        // The secret is read from the environment variable of that name.
        Self::sqlite().with("DATABASE_URL", &database.url).with("SECRET_KEY", "env:TEST_SECRET")
    }

    /// With a setting, named as its environment variable without the prefix.
    pub(crate) fn with(mut self, setting: &'static str, value: &str) -> Self {
        self.settings.push((setting, value.to_owned()));
        self
    }

    /// Lets processes open no more than so many files.
    pub(crate) fn with_open_files(mut self, open_files: u32) -> Self {
        self.open_files = Some(open_files);
        self
    }

    /// Starts servers with this clock.
    pub(crate) fn with_clock(mut self, clock: &FakeClock) -> Self {
        self.clock = Some(clock.clone());
        self
    }

    /// Makes servers trust the certificates of this authority alone.
    pub(crate) fn trust(&mut self, authority: &str) {
        self.authority = Some(authority.to_owned());
    }

    /// A file in the folder, beside the data folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program with the settings of this installation, and without settings from the environment of the tests.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let program = env!("CARGO_BIN_EXE_pilothouse");
        let mut command = match self.open_files {
            None => Command::new(program),
            Some(open_files) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("ulimit -n {open_files} && exec \"$0\" \"$@\""), program]);
                command
            }
        };
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PILOTHOUSE_") {
                command.env_remove(name);
            }
        }
        let settings = self.settings.iter().map(|(name, value)| (format!("PILOTHOUSE_{name}"), value));
        command.envs(settings).env("TEST_SECRET", "0123456789abcdef0123456789abcdef").env_remove("RUST_LOG");
        command.env("TEST_S3_ACCESS_KEY", S3Server::ACCESS_KEY);
        command.env("TEST_S3_SECRET_KEY", S3Server::SECRET_KEY);
        command.env("TEST_EDGE_KEY", EDGE_KEY).args(arguments).current_dir(self.folder.path());
        command.envs(self.authority.as_ref().map(|authority| ("SSL_CERT_FILE", authority)));
        command
    }

    /// Runs a command to its end, with `input` on its standard input.
    pub(crate) fn run(&self, arguments: &[&str], input: &str) -> CommandOutcome {
        run(&mut self.command(arguments), input)
    }

    /// Creates the account [`ROOT`].
    pub(crate) fn create_root(&self) {
        let mail = "root@example.com";
        let arguments = ["create-superuser", "--name", ROOT, "--mail", mail, "--password-stdin"];
        let made = self.run(&arguments, PASSWORD);
        assert_eq!(made.code, Some(0), "{made:?}");
    }

    /// Starts a server that has the account [`ROOT`], and waits until it is ready.
    pub(crate) async fn serve(&self) -> TestServer {
        let server = self.start();
        server.wait_until_ready().await;
        server
    }

    /// Starts a server on the port of an earlier one, and waits until it is ready.
    pub(crate) async fn serve_again(&self, port: u16) -> TestServer {
        let server = self.start_on(port);
        server.wait_until_ready().await;
        server
    }

    /// Starts a server process and waits until it is ready.
    pub(crate) fn start(&self) -> TestServer {
        self.start_on(free_port())
    }

    /// Starts a server on the port of an earlier one.
    pub(crate) fn start_again(&self, port: u16) -> TestServer {
        self.start_on(port)
    }

    /// Starts a server on the port of an earlier one, with a log that is a pipe without a reader.
    pub(crate) fn start_without_log_reader(&self, port: u16) -> TestServer {
        let mut command = self.serve_command(port);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = ProcessGuard::spawn(&mut command).unwrap();
        drop(process.child.stderr.take());
        writeln!(process.child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        self.server(process, port)
    }

    fn serve_command(&self, port: u16) -> Command {
        let mut command =
            self.command(&["serve", "--superuser", "root:root@example.com", "--password-stdin"]);
        command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).stdin(Stdio::piped());
        if let Some(clock) = &self.clock {
            clock.apply(&mut command);
        }
        command
    }

    fn start_on(&self, port: u16) -> TestServer {
        let log = self.file(&format!("log-{}", self.logs.fetch_add(1, Ordering::Relaxed)));
        let lines = File::create(&log).unwrap();
        let mut command = self.serve_command(port);
        command.stdout(lines.try_clone().unwrap()).stderr(lines);
        let mut process = ProcessGuard::spawn(&mut command).unwrap();
        writeln!(process.child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        TestServer { process, port, log, _folder: self.folder.clone() }
    }

    /// A server process that was started with a log of its own.
    pub(crate) fn server(&self, process: ProcessGuard, port: u16) -> TestServer {
        TestServer { process, port, log: self.file("no log"), _folder: self.folder.clone() }
    }
}

/// A running server. It is killed on drop, and the end of its log is shown when the test fails.
pub(crate) struct TestServer {
    pub(crate) process: ProcessGuard,
    pub(crate) port: u16,
    log: PathBuf,
    _folder: Arc<TempDir>,
}

impl TestServer {
    /// Base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has printed and logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it reports to be ready.
    pub(crate) async fn is_ready(&self) -> bool {
        let http = crate::support::http_client().build().unwrap();
        let answer = http.get(format!("{}/readyz", self.url())).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Waits until it is ready.
    pub(crate) async fn wait_until_ready(&self) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.is_ready().await {
            assert!(Instant::now() < deadline, "the server does not become ready");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has the time of a clock that was set, as its answers tell it.
    pub(crate) async fn wait_for_clock(&self, time: i64) {
        let http = crate::support::http_client().build().unwrap();
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let answer = http.get(format!("{}/healthz", self.url())).send().await.unwrap();
            let told = answer.headers()[DATE].to_str().unwrap();
            let told = DateTime::parse_from_rfc2822(told).unwrap().timestamp();
            if (told - time).abs() < 60 {
                return;
            }
            assert!(Instant::now() < deadline, "the clock of a server stands at {told} instead of {time}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("end of the server log:\n{}", tail(&self.log));
        }
    }
}

/// The last lines of a log that may be long.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// The library that makes a program see another time, where it is installed.
pub(crate) fn faketime() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|folder| folder.path());
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// Sets the mode of a file or folder.
pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a command to its end, with `input` on its standard input.
pub(crate) fn run(command: &mut Command, input: &str) -> CommandOutcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Fails when the command ends before it reads its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    CommandOutcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// An installation with a setting that names a bucket, of an S3 server on this port.
pub(crate) fn with_bucket(
    installation: Installation,
    setting: &'static str,
    location: &str,
    port: u16,
) -> Installation {
    installation
        .with(setting, location)
        .with("S3_ENDPOINT", &format!("http://127.0.0.1:{port}"))
        .with("S3_ACCESS_KEY_ID", "env:TEST_S3_ACCESS_KEY")
        .with("S3_SECRET_ACCESS_KEY", "env:TEST_S3_SECRET_KEY")
}

/// An installation with the cdn `level3`, whose one edge cannot be reached.
pub(crate) fn with_unreachable_edge(installation: Installation) -> Installation {
    let edge = "name = \"edge-1\"\nkind = \"varnish\"\nurl = \"http://127.0.0.1:9\"";
    let settings = format!("[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n[[cdn.edge]]\n{edge}\n");
    let file = installation.file("settings.toml");
    fs::write(&file, settings).unwrap();
    installation.with("CONFIG", &file.display().to_string())
}
