//! Clocks that were wrong: a server that was killed while its clock was eight hours ahead leaves leases behind that end in
//! eight hours, and everything recovers in the ordinary time.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, free_port, skip_test};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{ApiClient, EDGE_KEY, Installation, ROOT, TIMEOUT, faketime};

const MAIL: &str = "root@example.com";
/// Time in which edges, nodes and jobs recover after a crash: the lease of five seconds, and some for the machine.
const ORDINARY: Duration = Duration::from_mins(1);

/// An edge that confirms every control request, while it is up.
fn start_edge() -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, is_up) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(true)));
    let up = is_up.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let up = up.clone();
            std::thread::spawn(move || {
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read) = stream.read(&mut buffer)
                    && read > 0
                    && up.load(Ordering::SeqCst)
                {
                    request.extend_from_slice(&buffer[..read]);
                    if is_whole(&request) {
                        request.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nX-Pilothouse: 1\r\nContent-Length: 0\r\n\r\n";
                        if stream.write_all(answer).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (port, is_up)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    body.len() >= length.unwrap_or(0)
}

async fn edge(root: &ApiClient) -> Value {
    root.get("/level3/edges?cdn=level3").await.ok()["results"][0].clone()
}

async fn wait_for_edge(root: &ApiClient, is_there: impl Fn(&Value) -> bool, limit: Duration) -> Duration {
    let begun = Instant::now();
    loop {
        let edge = edge(root).await;
        if is_there(&edge) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < limit, "after {limit:?}: {edge}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn nodes(root: &ApiClient) -> usize {
    let listed = root.post("/node/list", json!({"app": "clocks", "profile": "dev"})).await.ok();
    listed["data"].as_object().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_a_server_killed_while_eight_hours_ahead_are_void() {
    let Some(library) = faketime() else {
        skip_test(
            "server::clock::leases_of_a_server_killed_while_eight_hours_ahead_are_void",
            "libfaketime is not installed",
        );
        return;
    };
    let (edge_port, edge_is_up) = start_edge();
    let installation = Installation::sqlite();
    let settings = format!(
        "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n[[cdn.edge]]\nname = \"edge-1\"\nkind = \"nginx\"\n\
         url = \"http://127.0.0.1:{edge_port}\"\nkey = \"env:TEST_EDGE_KEY\"\n"
    );
    assert_eq!(EDGE_KEY.len(), 32);
    fs::write(installation.file("settings.toml"), settings).unwrap();
    let file = installation.file("settings.toml").display().to_string();
    let installation = installation.with("CONFIG", &file);
    installation.create_root();

    let port = free_port();
    let mut command = installation.command(&["serve"]);
    command.env("PILOTHOUSE_LISTEN", format!("127.0.0.1:{port}")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.env("LD_PRELOAD", library).env("FAKETIME", "+8h").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut ahead = installation.server(ProcessGuard::spawn(&mut command).unwrap(), port);
    ahead.wait_until_ready().await;
    let root = ApiClient::new(&[&ahead]).login(ROOT).await;
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": "a.test"});
    root.post("/level3/user_domains", domains).await.ok();
    let app = json!({"app": "clocks", "appType": 0, "name": "n", "charger": ROOT});
    root.post("/app/create", app).await.ok();
    let key = root.post("/app/key/create", json!({"app": "clocks"})).await.ok();
    let node = root.with_token(key["data"]["Key"].as_str().unwrap());
    let new = json!({"app": "clocks", "profile": "dev", "pid": "1", "nodeId": "n1"});
    node.post("/node/register", new.clone()).await.ok();
    assert_eq!(nodes(&root).await, 1);
    wait_for_edge(&root, |edge| edge["state"] == "in_service", TIMEOUT).await;
    edge_is_up.store(false, Ordering::SeqCst);
    let refresh = json!({"login_email": MAIL, "path": "http://a.test/1"});
    let queued = root.post("/level3/refresh", refresh).await.ok();
    let task = format!("/level3/task?taskid={}", queued["results"][0]["taskid"].as_str().unwrap());
    // A try was made, so that the job waits for its next one.
    let begun = Instant::now();
    while root.get(&task).await.ok()["reason"] == "" {
        assert!(begun.elapsed() < TIMEOUT, "the job is not tried");
        sleep(Duration::from_millis(20)).await;
    }
    ahead.process.kill9();
    edge_is_up.store(true, Ordering::SeqCst);

    let begun = Instant::now();
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    assert_eq!(nodes(&root).await, 0, "nobody is online who has not been here for a lease");
    let in_an_hour = in_an_hour();
    let is_known = |edge: &Value| {
        edge["state"] == "in_service"
            && edge["age_seconds"].as_i64().is_some_and(|age| age < 5)
            && *edge["heard"].as_str().unwrap() < *in_an_hour
    };
    wait_for_edge(&root, is_known, ORDINARY).await;
    while root.get(&task).await.ok()["state"] != "done" {
        assert!(begun.elapsed() < ORDINARY, "the job waits: {:?}", root.get(&task).await);
        sleep(Duration::from_millis(50)).await;
    }
    node_of(&server, &node).post("/node/register", new).await.ok();
    assert_eq!(nodes(&root).await, 1);
    println!("everything has recovered {:?} after the start", begun.elapsed());
}

/// A client of another server with the same token.
fn node_of(server: &crate::support::TestServer, client: &ApiClient) -> ApiClient {
    ApiClient::new(&[server]).with_token(client.token())
}

/// The time an hour from now, as lists of the cdn family show it.
fn in_an_hour() -> String {
    let shown = std::process::Command::new("date")
        .args(["--date", "1 hour", "+%Y/%m/%d %H:%M:%S"])
        .env("TZ", "Asia/Shanghai")
        .output()
        .unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}
