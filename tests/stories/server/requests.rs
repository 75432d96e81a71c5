//! Requests as bytes on a connection, and the lines that the server logs of them.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{ApiClient, Installation, ROOT, TIMEOUT, TestServer};

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// A client that sends everything before it reads, as many do, learns why it was refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_with_a_dead_token_is_answered() {
    let server = Installation::memory().serve().await;
    for (path, mebibytes, status) in
        [("/api/task", 7, "403"), ("/config/create", 7, "200"), ("/api/task", 12, "403")]
    {
        let mut stream = connect(&server);
        let length = mebibytes << 20;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
            "0".repeat(64)
        );
        stream.write_all(head.as_bytes()).unwrap();
        // Slower than the answer comes.
        for _ in 0..mebibytes {
            stream.write_all(&vec![b' '; 1 << 20]).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        // The connection is good for another request.
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut next = [0; 1024];
        let read = stream.read(&mut next).unwrap();
        assert!(
            next[..read].starts_with(b"HTTP/1.1 200 "),
            "{path}: {}",
            String::from_utf8_lossy(&next[..read])
        );
    }
}

/// What the document says of a head that is too long.
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_long_is_refused_without_a_body() {
    let server = Installation::memory().serve().await;
    for (head, status) in [
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(66 << 10)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(400 << 10)), "431"),
    ] {
        let mut stream = connect(&server);
        // Fails where the refusal comes before the last byte.
        let _ = stream.write_all(head.as_bytes());
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains("content-length: 0\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_by_get_are_logged_and_reads_are_not() {
    let server = Installation::memory().serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    root.get("/app/create?app=app1&appType=0&name=n&charger=c").await.ok();
    root.get("/config/create?app=app1&profile=dev&key=k&value=hello").await.ok();
    root.get("/config/queryWithKey?app=app1&profile=dev&key=k").await.ok();
    root.get("/api/task").await.ok();
    root.post("/config/update", json!({"app": "app1", "profile": "dev", "key": "k", "value": "b"}))
        .await
        .ok();
    let deadline = Instant::now() + TIMEOUT;
    while !server.log().contains("path=\"/config/update\"") {
        assert!(Instant::now() < deadline, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = server.log();
    for written in ["/app/create", "/config/create", "/config/update"] {
        assert_eq!(log.matches(&format!("path=\"{written}\"")).count(), 1, "{written}: {log}");
    }
    for read in ["/config/queryWithKey", "/api/task\""] {
        assert!(!log.contains(&format!("path=\"{read}")), "{read}: {log}");
    }
    assert!(!log.contains("hello"), "values are in no log: {log}");
}
