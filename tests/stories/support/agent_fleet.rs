//! Fleet of agents: the real program, each on a machine of its own. A machine is a folder that its processes see at the path
//! at which those of the other machines see theirs, by a mount that is private to them.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use pilothouse_test_support::{ProcessGuard, skip_test};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::api_client::{Answer, ApiClient};
use super::fake_clock::FakeClock;
use super::installation::{TIMEOUT, chmod};

/// User and group of the agents that are not root's: nobody's.
const NOBODY: u32 = 65_534;

/// Everything that a revert brings back of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    content: String,
    mode: u32,
    owner: (u32, u32),
    modified: (i64, i64),
}

/// Shell script: mounts the folder of a machine at the path of machines, and becomes a program there.
const ON_MACHINE: &str = r#"mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@""#;

/// Agent of a machine, killed when it is dropped.
pub(crate) struct TestAgent {
    pub(crate) name: String,
    /// The machine as the test sees it.
    pub(crate) folder: PathBuf,
    /// The machine as its processes see it.
    pub(crate) root: PathBuf,
    program: PathBuf,
    user: Option<u32>,
    process: Option<ProcessGuard>,
    clock: Option<FakeClock>,
}

/// Machines `m1`, `m2`, … at 10.7.0.1, 10.7.0.2, … with their agents.
pub(crate) struct AgentFleet {
    pub(crate) agents: Vec<TestAgent>,
    _folder: TempDir,
}

/// The agent's program, which stands beside the server's once the workspace was built; without it the test is left out.
pub(crate) fn agent_program_or_skip(test: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_pilothouse")).with_file_name("pilothouse-agent");
    let newest = newest(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../agent/src"));
    let built = fs::metadata(&program).and_then(|metadata| metadata.modified());
    if !built.is_ok_and(|built| built >= newest) {
        skip_test(test, "the agent is not built: cargo build -p pilothouse-agent --all-features");
        return None;
    }
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        skip_test(test, "unshare makes no mount namespace here");
        return None;
    }
    Some(program)
}

/// Program that gives another one mounts of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::geteuid().is_root() { "-m" } else { "-rm" });
    command
}

/// Time of the last change below a folder.
fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let changed = entries.map(|path| {
        if path.is_dir() { newest(&path) } else { fs::metadata(&path).unwrap().modified().unwrap() }
    });
    changed.max().unwrap()
}

impl TestAgent {
    /// The file that orders are about, as the test sees it.
    fn file(&self) -> PathBuf {
        self.folder.join("conf/nginx.conf")
    }

    /// The file that orders are about, as they name it.
    pub(crate) fn path(&self) -> PathBuf {
        self.root.join("conf/nginx.conf")
    }

    /// Writes a file of the machine, as its user, long ago.
    pub(crate) fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.folder.join(name);
        fs::write(&path, content).unwrap();
        chmod(&path, mode);
        if let Some(user) = self.user {
            chown(&path, Some(user), Some(user)).unwrap();
        }
        let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_480_471_675, 123_456_789);
        File::options().write(true).open(&path).unwrap().set_modified(long_ago).unwrap();
    }

    pub(crate) fn content(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    /// The file as it is now.
    pub(crate) fn state(&self) -> FileState {
        let metadata = fs::metadata(self.file()).unwrap();
        FileState {
            content: self.content(),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// How often its journal says that a file was replaced for good.
    pub(crate) fn replacements(&self, name: &str) -> usize {
        let path = self.root.join("conf").join(name);
        let mut command = self.command(&self.program);
        command.arg("--config").arg(self.root.join("agent.toml")).arg("history").arg(path);
        let history = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let lines = history.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_replaced =
            |line: &Value| line["state"] == "succeeded" && line["old_sha256"] != line["new_sha256"];
        lines.filter(is_replaced).count()
    }

    /// Names in the folder of the file that no test has put there: what an attempt has left behind.
    pub(crate) fn litter(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.join("conf")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }

    /// A program on this machine, as its user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = unshare();
        command.args(["sh", "-c", ON_MACHINE, "sh"]).arg(&self.folder).arg(&self.root);
        if let Some(user) = self.user {
            let [user, group] = ["--reuid", "--regid"].map(|option| format!("{option}={user}"));
            command.args(["setpriv", &user, &group, "--clear-groups"]);
        }
        command.arg(program).stdin(Stdio::null());
        command
    }

    fn agent(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.clock {
            None => self.command(&self.program),
            Some(clock) => {
                let mut command = self.command(Path::new("env"));
                command.args(clock.arguments()).arg(&self.program);
                command
            }
        };
        command.arg("--config").arg(self.root.join("agent.toml")).args(arguments);
        let log = File::options().create(true).append(true).open(self.folder.join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Lets it run; a running one is killed first.
    pub(crate) fn start(&mut self) {
        self.kill();
        self.process = Some(ProcessGuard::spawn(&mut self.agent(&["run"])).unwrap());
    }

    fn kill(&mut self) {
        if let Some(running) = self.process.take() {
            let process = running.child.id();
            drop(running);
            FakeClock::forget(process);
        }
    }

    /// Lets it run with this clock from its next start on.
    pub(crate) fn set_clock(&mut self, clock: &FakeClock) {
        self.clock = Some(clock.clone());
    }

    /// The running process.
    pub(crate) fn process(&mut self) -> &mut ProcessGuard {
        self.process.as_mut().unwrap()
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            eprintln!("log of agent {}:\n{log}", self.name);
        }
    }
}

impl AgentFleet {
    /// Adds machines and enrols their agents. With `urls` of several servers each agent has one of them in turn. Where the test
    /// runs as root every second agent is nobody's.
    pub(crate) async fn enroll(program: &Path, client: &ApiClient, urls: &[String], number: usize) -> Self {
        let base = std::env::temp_dir().canonicalize().unwrap();
        let folder = tempfile::Builder::new().prefix("fleet-").tempdir_in(base).unwrap();
        chmod(folder.path(), 0o755);
        // Its own folder may be closed to nobody.
        let copy = folder.path().join("pilothouse-agent");
        fs::copy(program, &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("machine")).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        let mut agents = Vec::new();
        for index in 0..number {
            let name = format!("m{}", index + 1);
            let user = (is_root && index % 2 == 1).then_some(NOBODY);
            let (own, root) = (folder.path().join(&name), folder.path().join("machine"));
            let agent = TestAgent {
                name,
                folder: own,
                root,
                program: copy.clone(),
                user,
                process: None,
                clock: None,
            };
            agent.prepare(&urls[index % urls.len()]);
            agent.enroll(client, index + 1).await;
            agents.push(agent);
        }
        Self { agents, _folder: folder }
    }

    /// Starts every agent.
    pub(crate) fn start(&mut self) {
        self.agents.iter_mut().for_each(TestAgent::start);
    }

    /// The files of all machines.
    pub(crate) fn states(&self) -> Vec<FileState> {
        self.agents.iter().map(TestAgent::state).collect()
    }
}

impl TestAgent {
    fn prepare(&self, url: &str) {
        for below in ["", "conf", "state", "temp"] {
            let path = self.folder.join(below);
            fs::create_dir(&path).unwrap();
            chmod(&path, if below == "state" { 0o700 } else { 0o755 });
            if let Some(user) = self.user {
                chown(&path, Some(user), Some(user)).unwrap();
            }
        }
        let folder = self.root.display();
        // As long as a real check and reload: kills have something to hit.
        let nginx = format!("sleep 0.3; exec nginx -e stderr -p {folder} -c");
        let settings = format!(
            "server = \"{url}\"\nstate_dir = \"{folder}/state\"\nreserve_percent = 0\nallow = [\"{folder}/conf\"]\n\
             [command.nginx-test]\nargv = [\"sh\", \"-c\", \"{nginx} {{staged}} -t -q\"]\n\
             [command.nginx-reload]\nargv = [\"sh\", \"-c\", \"{nginx} {folder}/conf/nginx.conf -s reload\"]\n"
        );
        self.write("agent.toml", &settings, 0o600);
        self.write("log", "", 0o600);
    }

    async fn enroll(&self, root: &ApiClient, number: usize) {
        let machine = json!({
            "machine_name": self.name, "inside_ip": format!("10.7.0.{number}"), "outside_ip": "",
            "usage": "web", "is_initialized": 0, "location": "here",
        });
        root.post("/api/machine_info", json!({"action": "add", "data": machine})).await.ok();
        let enroll = json!({"action": "enroll", "data": {"machine_name": self.name}});
        let code = root.post("/api/machine_info", enroll).await.ok()["info"]["code"].clone();
        let enrolled = self.agent(&["enroll", "--code", code.as_str().unwrap()]).status().unwrap();
        assert!(enrolled.success(), "{}", fs::read_to_string(self.folder.join("log")).unwrap());
    }
}

impl ApiClient {
    /// Uploads a content in two pieces; its hash.
    pub(crate) async fn upload(&self, content: &str) -> String {
        let sha256 = sha256_of(content.as_bytes());
        let (size, half) = (content.len(), content.len() / 2);
        for (offset, piece) in [(0, &content[..half]), (half, &content[half..])] {
            let path = format!("/api/blob?sha256={sha256}&size={size}&offset={offset}");
            let taken = self.body("PUT", &path, "application/octet-stream", piece).await;
            assert_eq!(taken.codes(), (200, 200), "{taken:?}");
        }
        sha256
    }

    /// Adds a task for the file of a machine, or with `ips` or `machines` in `more` for many.
    pub(crate) async fn add_update(&self, path: &Path, sha256: &str, more: Value) -> Value {
        let mut data = json!({
            "action": "update", "content": path.to_str().unwrap(), "description": "story", "sha256": sha256, "check": "nginx-test",
        });
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.post("/api/task", json!({"action": "add", "data": data})).await.ok()["info"].clone()
    }

    /// Orders something.
    pub(crate) async fn order(&self, action: &str, data: Value) -> Answer {
        self.post("/api/update", json!({"action": action, "data": data})).await
    }

    /// How far an order or a batch is, by `task_id=…` or `batch=…`.
    pub(crate) async fn update(&self, query: &str) -> Value {
        self.get(&format!("/api/update?{query}")).await.ok()["info"].clone()
    }

    /// Waits until an order or a batch is in one of these states.
    pub(crate) async fn wait_for_update(&self, query: &str, states: &[&str]) -> Value {
        let begun = Instant::now();
        loop {
            let seen = self.update(query).await;
            if states.iter().any(|state| seen["state"] == *state) {
                return seen;
            }
            assert!(begun.elapsed() < 2 * TIMEOUT, "it is not {states:?}: {seen:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn sha256_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
