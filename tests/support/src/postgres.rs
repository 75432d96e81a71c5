use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::free_port;

/// A throwaway Postgres server on a port of 127.0.0.1, open to everybody on this machine as user `postgres`.
///
/// It is stopped and its files are removed when it is dropped, and in any case when the test process ends, however it
/// ends: see `keeper.sh`. Debian's own clusters are not touched.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    port: u16,
    databases: AtomicU32,
    keeper: Mutex<Keeper>,
}

/// An empty database of its own for one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `postgres://…`, as `sqlx` and `psql` take it.
    pub url: String,
}

impl Postgres {
    /// Whether the server programs are installed: in `PATH`, where `pg_config` says, or where Debian puts them.
    pub fn is_installed() -> bool {
        programs().is_some()
    }

    /// The server that all tests of this process share, started at the first call. It does not wait for the disk, so it
    /// is fast and forgets when the machine fails; see [`Postgres::durable`].
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn start() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::launch("off"))
    }

    /// A server of its own that writes to the disk before it acknowledges, to be killed and restarted by one test.
    ///
    /// # Panics
    /// When Postgres is not installed or does not start.
    pub fn durable() -> Self {
        Self::launch("on")
    }

    fn launch(fsync: &str) -> Self {
        let programs = programs().expect("Postgres is not installed");
        let mut keeper = Keeper::spawn(&programs, fsync);
        // Somebody else may take the port between our choice and the start.
        let port = (0..3).map(|_| free_port()).find(|port| keeper.start(*port));
        let port = port.unwrap_or_else(|| panic!("Postgres does not start:\n{}", keeper.log()));
        Self { programs, port, databases: AtomicU32::new(0), keeper: Mutex::new(keeper) }
    }

    /// Creates an empty database.
    ///
    /// # Panics
    /// When the server does not run or refuses.
    pub fn database(&self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed) + 1);
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--command"])
            .arg(format!("CREATE DATABASE {name} TEMPLATE template0"))
            .arg(self.url("postgres"))
            .stdin(Stdio::null())
            .output()
            .expect("psql can be started");
        assert!(output.status.success(), "no new database: {}", String::from_utf8_lossy(&output.stderr));
        Database { url: self.url(&name) }
    }

    /// Ends the server and all its sessions as a crash would (SIGKILL); the data stay.
    ///
    /// # Panics
    /// When the shell that keeps the server is gone.
    pub fn kill(&self) {
        self.with_keeper(|keeper| assert_eq!(keeper.order("kill"), "killed"));
    }

    /// Ends the sessions that listen for notifications, which are lost until they are back; how many those were.
    ///
    /// # Panics
    /// When the server does not run or refuses.
    pub fn end_listeners(&self) -> usize {
        let output = Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--command"])
            .arg("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'listen %'")
            .arg(self.url("postgres"))
            .stdin(Stdio::null())
            .output()
            .expect("psql can be started");
        assert!(output.status.success(), "refused: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).lines().filter(|line| *line == "t").count()
    }

    /// Starts the server again after [`Postgres::kill`], on the same port and data; returns when it accepts connections.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&self) {
        self.with_keeper(|keeper| {
            assert!(keeper.start(self.port), "Postgres does not restart:\n{}", keeper.log());
        });
    }

    fn with_keeper(&self, act: impl FnOnce(&mut Keeper)) {
        act(&mut self.keeper.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

/// The shell that owns the server process and outlives this one just long enough to tidy up.
#[derive(Debug)]
struct Keeper {
    child: Child,
    /// Closed with this process, which is what the keeper waits for; `None` only while it is dropped.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Keeper {
    fn spawn(programs: &Path, fsync: &str) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", include_str!("keeper.sh"), "keeper"])
            .arg(programs)
            .arg(fsync)
            // Out of reach of the Ctrl-C that ends the test process.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh can be started");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut keeper = Self { child, orders, answers, folder: PathBuf::new() };
        keeper.folder = keeper.answer().into();
        keeper
    }

    fn start(&mut self, port: u16) -> bool {
        self.order(&format!("start {port}")) == "ready"
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("open until the drop");
        writeln!(orders, "{order}").expect("the keeper of Postgres runs");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the keeper of Postgres answers in UTF-8");
        assert!(line.pop().is_some(), "the keeper of Postgres ended, its reason is above");
        line
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_else(|error| format!("no log: {error}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        // Fails only when the keeper is gone already.
        let _ = self.child.wait();
    }
}

/// The folder that holds the programs of a Postgres server.
fn programs() -> Option<PathBuf> {
    let in_path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&in_path).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    folders.extend(debian_folders());
    folders.iter().find_map(|folder| {
        // Behind a link in PATH stands the folder with all of them.
        let initdb = folder.join("initdb").canonicalize().ok()?;
        let folder = initdb.parent()?;
        ["postgres", "psql"].iter().all(|program| folder.join(program).is_file()).then(|| folder.to_owned())
    })
}

/// `/usr/lib/postgresql/<major version>/bin`, newest first.
fn debian_folders() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    versions.iter().map(|version| format!("/usr/lib/postgresql/{version}/bin").into()).collect()
}
