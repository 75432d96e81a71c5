//! Slow clients and many concurrent log-ins.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{ApiClient, Installation, PASSWORD, ROOT, TestServer};

/// Opens a connection and sends the beginning of a request.
pub(super) fn connect(server: &TestServer, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

/// Sends a part of a request; the time until the server closes the connection, at most 90 s, and its answer.
fn time_until_closed(server: &TestServer, sent: &'static str) -> std::thread::JoinHandle<(Duration, String)> {
    let mut stream = connect(server, sent);
    let begun = Instant::now();
    std::thread::spawn(move || {
        stream.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{sent:?} is kept open: {error}"),
            }
        }
        (begun.elapsed(), String::from_utf8_lossy(&answer).into_owned())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn incomplete_requests_time_out() {
    let server = Installation::memory().serve().await;
    let heads = ["", "P", "GET /heal", "GET /healthz HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n"];
    let heads: Vec<_> = heads.into_iter().map(|sent| (sent, time_until_closed(&server, sent))).collect();
    let body = "POST /admin/user_login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    let body = time_until_closed(&server, body);
    for (sent, kept) in heads {
        let (kept, _) = kept.join().unwrap();
        assert!((5..30).contains(&kept.as_secs()), "{sent:?} was kept for {kept:?}");
    }
    let (kept, answer) = body.join().unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!((10..75).contains(&kept.as_secs()), "kept for {kept:?}");
    assert!(server.is_ready().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_concurrent_log_ins_do_not_block_other_requests() {
    let installation = Installation::sqlite().with("TRUSTED_PROXIES", "127.0.0.1");
    let server = installation.serve().await;
    let anonymous = ApiClient::new(&[&server]);
    let root = anonymous.login(ROOT).await;
    // Each from its own address, because the throttle counts by address.
    let logins: Vec<_> = (0..64)
        .map(|n| {
            let client = anonymous.from(&format!("203.0.113.{n}"));
            let (password, expected) = if n % 2 == 0 { (PASSWORD, 200) } else { ("wrong", 403) };
            tokio::spawn(async move { (client.try_login(ROOT, password).await, expected) })
        })
        .collect();
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while logins.iter().any(|login| !login.is_finished()) {
        let asked = Instant::now();
        assert_eq!(anonymous.get("/healthz").await.status, 200);
        assert_eq!(root.get("/api/task").await.codes(), (200, 200));
        slowest = slowest.max(asked.elapsed());
    }
    let all = begun.elapsed();
    assert!(slowest < (all / 2).max(Duration::from_secs(5)), "a request took {slowest:?} of {all:?}");
    for login in logins {
        let (answer, expected) = login.await.unwrap();
        assert_eq!(i64::from(answer.status), expected, "{answer:?}");
    }
}
