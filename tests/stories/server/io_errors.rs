//! Errors of input and output, injected by strace into the system calls with which a running server writes its database.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, skip_test};
use tokio::time::sleep;

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, TestServer};

/// Time within which writes go on after the errors have ended.
const RECOVERY: Duration = Duration::from_secs(20);

/// System calls that fail for as long as this lives.
struct Injection {
    tracer: ProcessGuard,
}

impl Injection {
    /// Lets these system calls of a server fail with EIO, where they are about one of the files.
    async fn start(server: &TestServer, calls: &str, files: &[&Path]) -> Self {
        let pid = server.process.child.id();
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "--quiet=all", "--output=/dev/null"]);
        strace.arg(format!("--attach={pid}")).arg(format!("--trace={calls}"));
        strace.arg(format!("--inject={calls}:error=EIO"));
        for file in files {
            strace.arg("--trace-path").arg(file);
        }
        let tracer = ProcessGuard::spawn(strace.stdin(Stdio::null())).unwrap();
        let deadline = Instant::now() + TIMEOUT;
        while !is_traced(pid) {
            assert!(Instant::now() < deadline, "strace does not attach to the server");
            sleep(Duration::from_millis(10)).await;
        }
        Self { tracer }
    }

    fn end(mut self) {
        self.tracer.terminate();
        assert!(self.tracer.wait_for_exit(TIMEOUT).is_some(), "strace does not detach");
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.flatten().all(|thread| {
        let status = fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

/// Tells whether strace is missing, which leaves the test out.
fn lacks_strace(test: &str) -> bool {
    let is_missing = Command::new("strace").arg("--version").stdout(Stdio::null()).status().is_err();
    if is_missing {
        skip_test(test, "strace is missing");
    }
    is_missing
}

async fn add_task(root: &ApiClient, name: &str) -> Option<String> {
    let answer = root.add_task(name).await.ok()?;
    answer.is_ok().then(|| answer.body["info"]["task_id"].as_str().unwrap().to_owned())
}

async fn add_tasks(root: &ApiClient) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(add_task(root, "before").await.expect("it is acknowledged"));
    }
    ids
}

async fn assert_has_all(root: &ApiClient, ids: &[String]) {
    for id in ids {
        let found = root.get(&format!("/api/task?task_id={id}")).await.ok();
        assert!(found.to_string().contains(id.as_str()), "{id} was acknowledged: {found}");
    }
}

/// What a failed flush was about may be gone from the caches of the kernel: flushing again would say that all is well.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_flush_ends_the_server_with_its_reason() {
    if lacks_strace("server::io_errors::a_failed_flush_ends_the_server_with_its_reason") {
        return;
    }
    let installation = Installation::sqlite();
    let mut server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let acknowledged = add_tasks(&root).await;
    let injection = Injection::start(&server, "fsync,fdatasync", &[]).await;
    assert_eq!(add_task(&root, "never flushed").await, None);
    let exit = server.process.wait_for_exit(TIMEOUT).expect("the process ends");
    assert_eq!(exit.code(), Some(1), "{}", server.log());
    assert!(server.log().contains("flush"), "{}", server.log());
    injection.end();
    let server = installation.serve().await;
    assert_has_all(&ApiClient::new(&[&server]).login(ROOT).await, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_after_errors_of_the_disk() {
    if lacks_strace("server::io_errors::writes_go_on_after_errors_of_the_disk") {
        return;
    }
    let installation = Installation::sqlite();
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    let mut acknowledged = add_tasks(&root).await;
    let (file, log) = (installation.file("data/pilothouse.db"), installation.file("data/pilothouse.db-wal"));
    let injection = Injection::start(&server, "pwrite64", &[&file, &log]).await;
    for _ in 0..5 {
        let answer = root.add_task("during the errors").await.unwrap();
        assert_eq!(answer.status, 503, "{:?}", answer.body);
    }
    let deadline = Instant::now() + TIMEOUT;
    while server.is_ready().await {
        assert!(Instant::now() < deadline, "it is ready while no write succeeds");
        sleep(Duration::from_millis(50)).await;
    }
    injection.end();
    let ended = Instant::now();
    let id = loop {
        if let Some(id) = add_task(&root, "after the errors").await {
            break id;
        }
        assert!(ended.elapsed() < RECOVERY, "writes do not go on");
    };
    acknowledged.push(id);
    server.wait_until_ready().await;
    assert_has_all(&root, &acknowledged).await;
}
