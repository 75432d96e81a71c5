//! Servers whose log cannot be written: requests are answered nevertheless, and the server ends on SIGTERM.

use std::fs::OpenOptions;
use std::process::Stdio;
use std::time::Duration;

use pilothouse_test_support::{ProcessGuard, free_port};

use crate::support::{ApiClient, Installation, ROOT, TestServer};

/// Time in which a server ends after SIGTERM.
const END: Duration = Duration::from_secs(30);

/// Starts a server that logs every request to this standard error.
async fn serve(stderr: Stdio) -> TestServer {
    let installation = Installation::sqlite();
    installation.create_root();
    let port = free_port();
    let mut command = installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).env("RUST_LOG", "debug");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
    let server = installation.server(ProcessGuard::spawn(&mut command).unwrap(), port);
    server.wait_until_ready().await;
    server
}

/// Asserts that writes are answered and that the server ends.
async fn assert_serves_and_ends(server: &mut TestServer) {
    let root = ApiClient::new(&[server]).login(ROOT).await;
    for n in 0..50 {
        root.add_task(&format!("task {n}")).await.unwrap().ok();
    }
    assert_eq!(root.all("/api/task").await.len(), 50);
    server.process.stop(END);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_log_pipe_does_not_stop_the_server() {
    let mut server = serve(Stdio::piped()).await;
    drop(server.process.child.stderr.take());
    assert_serves_and_ends(&mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_log_pipe_does_not_stop_the_server() {
    // A pipe holds 64 KiB, which the log of the requests below exceeds.
    let mut server = serve(Stdio::piped()).await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    for _ in 0..500 {
        root.get("/api/task?count=1").await.ok();
    }
    assert_serves_and_ends(&mut server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_does_not_stop_the_server() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut server = serve(full.into()).await;
    assert_serves_and_ends(&mut server).await;
}

/// Includes standard output, to which the server prints at its start.
#[tokio::test(flavor = "multi_thread")]
async fn unwritable_standard_streams_do_not_stop_the_server() {
    let installation = Installation::sqlite();
    installation.create_root();
    let port = free_port();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}"));
    command.stdin(Stdio::null()).stdout(full.try_clone().unwrap()).stderr(full);
    let mut server = installation.server(ProcessGuard::spawn(&mut command).unwrap(), port);
    server.wait_until_ready().await;
    assert_serves_and_ends(&mut server).await;
}
