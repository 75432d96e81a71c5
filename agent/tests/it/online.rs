//! Orders of a real server, carried out by the real program: applied, refused by a check, reverted, and after kills.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use pilothouse_conformance::doubles::MemoryBlobs;
use pilothouse_core::account::{Caller, TokenAuthenticator};
use pilothouse_core::ops::{
    Machine, MachineNumber, NewFile, NewTask, OrderState, OrderView, Sha256Digest, TaskId,
};
use pilothouse_core::ports::Authenticator;
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::{ApiState, router};
use pilothouse_storage_memory::MemoryStorage;
use tokio::runtime::Runtime;

use crate::machine::{self, PROGRAM};

/// Running agent, killed when it is dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Server with one machine, whose agent is enrolled.
pub(crate) struct Fleet {
    runtime: Runtime,
    pilothouse: Pilothouse,
    ann: Caller,
    blobs: Arc<MemoryBlobs>,
    sha256: Sha256Digest,
    pub(crate) url: String,
    pub(crate) machine: machine::Machine,
}

/// File of the certificates of tests.
fn tls_data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls").join(name)
}

/// Serves the routes on a free port, with the certificate of `localhost` where `tls` says so; the URL.
async fn listen(routes: Router, tls: bool) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    if !tls {
        tokio::spawn(async move { axum::serve(listener, routes).await });
        return format!("http://127.0.0.1:{port}");
    }
    // Fails where a test before has installed it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let pair = RustlsConfig::from_pem_file(tls_data("localhost.pem"), tls_data("localhost.key"));
    let server = axum_server::from_tcp_rustls(listener.into_std().unwrap(), pair.await.unwrap()).unwrap();
    tokio::spawn(server.serve(routes.into_make_service()));
    format!("https://localhost:{port}")
}

async fn serve(blobs: Arc<MemoryBlobs>, tls: bool) -> (Pilothouse, Caller, String, String) {
    let storage = Arc::new(MemoryStorage::new());
    let pilothouse = Pilothouse::new(storage, Settings::default()).unwrap().with_blob_store(blobs);
    pilothouse.accounts().create_superuser("ann", "ann@example.com", "correct horse").await.unwrap();
    let access = pilothouse.logins().login("ann", "correct horse", None).await.unwrap();
    let ann = TokenAuthenticator::new(pilothouse.clone()).authenticate(&access.token, None).await.unwrap();
    let machine = Machine {
        id: MachineNumber::UNSAVED,
        machine_name: "web01".into(),
        inside_ip: "10.0.0.1".parse().unwrap(),
        outside_ip: None,
        usage: "web".into(),
        is_initialized: false,
        location: "here".into(),
    };
    pilothouse.machines().add(&ann, machine).await.unwrap();
    let code = pilothouse.agents().enroll(&ann, "web01").await.unwrap().code;
    let (routes, _) = router::<()>(ApiState::new(pilothouse.clone()));
    let url = listen(routes, tls).await;
    (pilothouse, ann, url, code)
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let (fleet, code) = Self::serving(false);
        fleet.write_settings(None);
        assert!(fleet.program(&["enroll", "--code", &code]).status().unwrap().success());
        let again = fleet.program(&["enroll", "--code", &code]).stderr(Stdio::null()).status().unwrap();
        assert!(!again.success(), "a code is used once");
        fleet
    }

    /// The same over TLS, before the agent has settings; the code of its enrolment.
    pub(crate) fn with_tls() -> (Self, String) {
        Self::serving(true)
    }

    fn serving(tls: bool) -> (Self, String) {
        let runtime = Runtime::new().unwrap();
        let blobs = Arc::new(MemoryBlobs::default());
        let sha256 = blobs.put(b"new content");
        let (pilothouse, ann, url, code) = runtime.block_on(serve(blobs.clone(), tls));
        let machine = machine::Machine::new();
        (Self { runtime, pilothouse, ann, blobs, sha256, url, machine }, code)
    }

    /// Settings of the agent, with this file of an authority.
    pub(crate) fn write_settings(&self, authority: Option<&str>) {
        let url = &self.url;
        let authority = authority.map(|name| format!("ca_file = \"{}\"\n", tls_data(name).display()));
        let authority = authority.unwrap_or_default();
        self.machine.write_settings(&format!(
            "server = \"{url}\"\n{authority}[command.refuse]\nargv = [\"false\"]\n\
             [command.slow]\nargv = [\"sleep\", \"2\"]\n"
        ));
    }

    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--config").arg(self.machine.settings_file()).args(arguments);
        command
    }

    pub(crate) fn run(&self) -> Running {
        Running(self.program(&["run"]).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Settings of the agent with these tables.
    pub(crate) fn write_settings_with(&self, tables: &str) {
        self.machine.write_settings(&format!("server = \"{}\"\n{tables}", self.url));
    }

    pub(crate) fn add(&self, check: Option<&str>) -> TaskId {
        self.add_with(check, None)
    }

    pub(crate) fn add_with_reload(&self, reload: &str) -> TaskId {
        self.add_with(None, Some(reload))
    }

    fn add_with(&self, check: Option<&str>, reload: Option<&str>) -> TaskId {
        let file = NewFile {
            sha256: Some(self.sha256),
            mode: None,
            owner: None,
            group: None,
            expect_sha256: None,
            check: check.map(str::to_owned),
            reload: reload.map(str::to_owned),
            confirm_seconds: 30,
            not_before: None,
            deadline_seconds: None,
        };
        let task = NewTask {
            ip: "10.0.0.1".parse().unwrap(),
            action: "update".into(),
            content: self.machine.file("motd").to_str().unwrap().into(),
            description: "greet".into(),
            file: Some(file),
        };
        self.runtime.block_on(self.pilothouse.tasks().add(&self.ann, task)).unwrap()
    }

    /// Content of the tasks that are added from now on.
    pub(crate) fn set_content(&mut self, content: &[u8]) {
        self.sha256 = self.blobs.put(content);
    }

    pub(crate) fn execute(&self, task: TaskId) {
        self.runtime.block_on(self.pilothouse.updates().execute(&self.ann, task)).unwrap();
    }

    fn revert(&self, task: TaskId) {
        self.runtime.block_on(self.pilothouse.updates().revert(&self.ann, task, false)).unwrap();
    }

    pub(crate) fn view(&self, task: TaskId) -> OrderView {
        self.runtime.block_on(self.pilothouse.updates().find(&self.ann, task, None, 0)).unwrap()
    }

    /// Waits until the order is as expected.
    fn wait(&self, task: TaskId, is_there: impl Fn(&OrderView) -> bool) -> OrderView {
        for _ in 0..900 {
            let view = self.view(task);
            if is_there(&view) {
                return view;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{:?}", self.view(task));
    }

    pub(crate) fn settled(&self, task: TaskId, state: OrderState) -> OrderView {
        self.wait(task, |view| view.order.state == state)
    }

    /// Content, mode and modification time of the file.
    pub(crate) fn file(&self) -> (String, u32, i64, i64) {
        let metadata = fs::metadata(self.machine.file("motd")).unwrap();
        (self.machine.read("motd"), metadata.mode(), metadata.mtime(), metadata.mtime_nsec())
    }

    /// Writes the old file, as it was long ago.
    pub(crate) fn write_old(&self) -> (String, u32, i64, i64) {
        self.machine.write("motd", "old content");
        let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_480_471_675, 123_456_789);
        File::options().write(true).open(self.machine.file("motd")).unwrap().set_modified(long_ago).unwrap();
        self.file()
    }
}

#[test]
fn an_update_and_its_revert_by_a_server() {
    let fleet = Fleet::new();
    let old = fleet.write_old();
    let agent = fleet.run();
    let refused = fleet.add(Some("refuse"));
    fleet.execute(refused);
    let failed = fleet.settled(refused, OrderState::Failed);
    assert!(failed.order.message.contains("refuse"), "{:?}", failed.order);
    assert_eq!(fleet.file(), old, "a check that fails leaves the old file");
    let task = fleet.add(None);
    fleet.execute(task);
    let done = fleet.settled(task, OrderState::Succeeded);
    assert_eq!((done.order.percent, done.order.observed_sha256), (100, Some(fleet.sha256)));
    assert_eq!(fleet.machine.read("motd"), "new content");
    drop(agent);
    fleet.revert(task);
    let _agent = fleet.run();
    fleet.settled(task, OrderState::Reverted);
    assert_eq!(fleet.file(), old, "bytes, mode and modification time are the old ones");
}

#[test]
fn a_killed_agent_goes_on_with_its_attempt() {
    let fleet = Fleet::new();
    let old = fleet.write_old();
    let agent = fleet.run();
    let task = fleet.add(Some("slow"));
    fleet.execute(task);
    fleet.wait(task, |view| view.order.phase == Some(pilothouse_core::ops::Phase::Check));
    drop(agent);
    assert_eq!(fleet.file(), old, "nothing was replaced yet");
    let _agent = fleet.run();
    let ended = fleet.settled(task, OrderState::Failed);
    assert_eq!(ended.order.attempt, 1, "the same instance has the same attempt");
    assert_eq!(fleet.file(), old);
    fleet.runtime.block_on(fleet.pilothouse.updates().retry(&fleet.ann, task)).unwrap();
    assert_eq!(fleet.settled(task, OrderState::Succeeded).order.attempt, 2);
    assert_eq!(fleet.machine.read("motd"), "new content");
}

#[test]
fn a_cancelled_attempt_stops_before_the_swap() {
    let fleet = Fleet::new();
    let old = fleet.write_old();
    let _agent = fleet.run();
    let task = fleet.add(Some("slow"));
    fleet.execute(task);
    fleet.wait(task, |view| view.order.phase == Some(pilothouse_core::ops::Phase::Check));
    fleet.runtime.block_on(fleet.pilothouse.updates().cancel(&fleet.ann, task)).unwrap();
    fleet.settled(task, OrderState::Cancelled);
    assert_eq!(fleet.file(), old);
}

#[test]
fn doctor_asks_the_server_whether_it_accepts_the_token() {
    let fleet = Fleet::new();
    let identity = fs::read(fleet.machine.path("state/identity.json")).unwrap();
    let examine = || {
        let done = fleet.program(&["doctor"]).output().unwrap();
        (done.status.code(), String::from_utf8(done.stdout).unwrap())
    };
    let (status, told) = examine();
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains(&format!("server {}: answers, and accepts the token", fleet.url)), "{told}");
    assert_eq!(fs::read(fleet.machine.path("state/identity.json")).unwrap(), identity);
    fleet.runtime.block_on(fleet.pilothouse.agents().revoke(&fleet.ann, "web01")).unwrap();
    let (status, told) = examine();
    assert_eq!(status, Some(1));
    assert!(told.contains("the agent was revoked"), "{told}");
    // Another service at the address answers 404, too.
    let elsewhere = fleet.runtime.block_on(listen(Router::new(), false));
    for url in [&*elsewhere, "http://127.0.0.1:1"] {
        fleet.machine.write_settings(&format!("server = \"{url}\"\n"));
        let (status, told) = examine();
        assert_eq!(status, Some(1), "{told}");
        assert!(told.contains(&format!("FAILED  server {url}: ")), "{told}");
    }
}

#[test]
fn an_old_token_is_renewed_and_the_agent_goes_on() {
    let fleet = Fleet::new();
    fleet.write_old();
    let file = fleet.machine.path("state/identity.json");
    let identity = || serde_json::from_slice::<serde_json::Value>(&fs::read(&file).unwrap()).unwrap();
    let mut old = identity();
    old["renewed"] = 0.into();
    fs::write(&file, old.to_string()).unwrap();
    let _agent = fleet.run();
    let task = fleet.add(None);
    fleet.execute(task);
    fleet.settled(task, OrderState::Succeeded);
    let new = identity();
    assert_ne!(new["token"], old["token"]);
    assert_eq!(new["instance"], old["instance"]);
    let authenticate = |token: &serde_json::Value| {
        let agents = fleet.pilothouse.agents();
        fleet.runtime.block_on(agents.authenticate(token.as_str().unwrap())).is_ok()
    };
    assert!(authenticate(&new["token"]) && !authenticate(&old["token"]));
}
