use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::free_port;

/// Throwaway Postgres server on a port of 127.0.0.1, open to everybody on this machine as user `postgres`.
///
/// The server is stopped and its files are removed when this value is dropped, and in any case when the test process ends,
/// however it ends: see `postgres_supervisor.sh`. Debian's own clusters are not touched.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
    supervisor: Mutex<Supervisor>,
}

/// Empty database for one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Connection URL (`postgres://…`) for `sqlx` and `psql`.
    pub url: String,
}

impl Postgres {
    /// Whether the server programs are installed: in `PATH`, in the folder that `pg_config` names, or in Debian's folders.
    pub fn is_installed() -> bool {
        programs().is_some()
    }

    /// Returns the server that all tests of this process share, and starts it at the first call. It runs without fsync: fast,
    /// but not durable; see [`Postgres::durable`].
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn start() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::launch("off"))
    }

    /// Starts a server with fsync for one test, which may kill and restart it.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn durable() -> Self {
        Self::launch("on")
    }

    fn launch(fsync: &str) -> Self {
        let programs = programs().expect("Postgres is not installed");
        let mut supervisor = Supervisor::spawn(&programs, fsync);
        // Another process may take the port between its choice and the start of the server.
        let port = (0..3).map(|_| free_port()).find(|port| supervisor.start(*port));
        let port = port.unwrap_or_else(|| panic!("Postgres does not start:\n{}", supervisor.log()));
        Self { programs, port, databases: AtomicU32::new(0), supervisor: Mutex::new(supervisor) }
    }

    /// Creates an empty database.
    ///
    /// # Panics
    /// When the server does not run or reports an error.
    pub fn database(&self) -> Database {
        self.create("TEMPLATE template0")
    }

    fn create(&self, options: &str) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--command"])
            .arg(format!("CREATE DATABASE {name} {options}"))
            .arg(self.url("postgres"))
            .stdin(Stdio::null())
            .output()
            .expect("psql can be started");
        assert!(
            output.status.success(),
            "CREATE DATABASE failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Database { url: self.url(&name) }
    }

    /// Creates a database with the content of another, which nobody may be connected to.
    ///
    /// # Panics
    /// When the server does not run or reports an error.
    pub fn copy(&self, database: &Database) -> Database {
        let name = database.url.rsplit('/').next().unwrap_or_default();
        self.create(&format!("TEMPLATE {name}"))
    }

    /// Kills the server and all its sessions as in a crash (SIGKILL); its data stay.
    ///
    /// # Panics
    /// When the supervisor of the server has ended.
    pub fn kill(&self) {
        self.with_supervisor(|supervisor| assert_eq!(supervisor.send("kill"), "killed"));
    }

    /// Stops the server and all its sessions where they are (SIGSTOP), until [`Postgres::thaw`].
    ///
    /// # Panics
    /// When the supervisor of the server has ended.
    pub fn freeze(&self) {
        self.with_supervisor(|supervisor| assert_eq!(supervisor.send("freeze"), "frozen"));
    }

    /// Lets the server and its sessions go on after [`Postgres::freeze`] (SIGCONT).
    ///
    /// # Panics
    /// When the supervisor of the server has ended.
    pub fn thaw(&self) {
        self.with_supervisor(|supervisor| assert_eq!(supervisor.send("thaw"), "thawed"));
    }

    /// Terminates the sessions that LISTEN for notifications, which are lost until they have reconnected, and returns their
    /// number.
    ///
    /// # Panics
    /// When the server does not run or reports an error.
    pub fn end_listeners(&self) -> usize {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command"])
            .arg("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'listen %'")
            .arg(self.url("postgres"))
            .stdin(Stdio::null())
            .output()
            .expect("psql can be started");
        assert!(
            output.status.success(),
            "pg_terminate_backend failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line == "t").count()
    }

    /// Restarts the server after [`Postgres::kill`], on the same port and data, and waits until it accepts connections.
    ///
    /// # Panics
    /// When the server does not start.
    pub fn restart(&self) {
        self.with_supervisor(|supervisor| {
            assert!(supervisor.start(self.port), "Postgres does not restart:\n{}", supervisor.log());
        });
    }

    fn with_supervisor(&self, act: impl FnOnce(&mut Supervisor)) {
        act(&mut self.supervisor.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// Supervisor shell of the server process. It outlives this process just long enough to stop the server and remove its files.
#[derive(Debug)]
struct Supervisor {
    child: Child,
    /// Standard input of the supervisor, which ends when it is closed; `None` only during the drop.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Supervisor {
    fn spawn(programs: &Path, fsync: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", include_str!("postgres_supervisor.sh"), "supervisor"])
            .arg(programs)
            .arg(fsync)
            // In its own process group, so that Ctrl-C does not reach it before the end of file does.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh can be started");
        let commands = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut supervisor = Self { child, commands, answers, folder: PathBuf::new() };
        supervisor.folder = supervisor.answer().into();
        supervisor
    }

    fn start(&mut self, port: u16) -> bool {
        self.send(&format!("start {port}")) == "ready"
    }

    fn send(&mut self, command: &str) -> String {
        let commands = self.commands.as_mut().expect("open until the drop");
        writeln!(commands, "{command}").expect("the supervisor of Postgres runs");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the supervisor of Postgres answers in UTF-8");
        assert!(line.pop().is_some(), "the supervisor of Postgres ended, see its error output above");
        line
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_else(|error| format!("no log: {error}"))
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.commands = None;
        // Fails only when the supervisor has ended already.
        let _ = self.child.wait();
    }
}

/// Finds the folder with the programs of a Postgres server.
fn programs() -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    folders.extend(debian_folders());
    folders.iter().find_map(|folder| {
        // A program in PATH may be a link into the folder with all of them.
        let initdb = folder.join("initdb").canonicalize().ok()?;
        let folder = initdb.parent()?;
        ["postgres", "psql"].iter().all(|program| folder.join(program).is_file()).then(|| folder.to_owned())
    })
}

/// Lists Debian's folders, `/usr/lib/postgresql/<major version>/bin`, newest first.
fn debian_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).collect()
}
