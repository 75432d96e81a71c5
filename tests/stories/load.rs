//! A server under load, and among clients that mean no good.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pilothouse_test_support::postgres_or_skip;

use crate::client::Client;
use crate::place::{PASSWORD, Place, ROOT, Server};
use crate::story::with_cdn;
use crate::writer::{check, prepare, write_to_the_end};

/// How long the server may take to end, as it promises.
const END: Duration = Duration::from_secs(10);

fn connect(server: &Server, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

async fn ends_under_load(place: Place) {
    let mut server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    prepare(&root).await;
    // Neither may hold up the end: a request that never becomes whole, and one whose body never comes.
    let _half_a_head = connect(&server, "GET /healthz HTTP/1.1\r\nHost:");
    let _no_body =
        connect(&server, "POST /admin/user_login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{");
    let writing = tokio::spawn({
        let root = root.clone();
        async move { write_to_the_end(&root, 0).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;

    let asked = Instant::now();
    server.process.terminate();
    let status = server.process.wait_for_exit(END);
    assert!(status.is_some_and(|status| status.success()), "{status:?} after {:?}", asked.elapsed());
    let ledger = writing.await.unwrap();
    assert!(ledger.len() > 16, "it was under load");

    let server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    check(&root, &ledger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_in_time_under_load_on_sqlite() {
    ends_under_load(with_cdn(Place::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_in_time_under_load_on_postgres() {
    let Some(postgres) = postgres_or_skip("load::ends_in_time_under_load_on_postgres") else { return };
    ends_under_load(with_cdn(Place::postgres(&postgres.database()))).await;
}

/// How long the server keeps a connection that was sent only this much, up to a minute and a half.
fn kept_open(server: &Server, sent: &'static str) -> std::thread::JoinHandle<(Duration, String)> {
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
async fn requests_that_never_become_whole_are_cut_off() {
    let server = Place::memory().serve().await;
    let heads = ["", "P", "GET /heal", "GET /healthz HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n"];
    let heads: Vec<_> = heads.into_iter().map(|sent| (sent, kept_open(&server, sent))).collect();
    let body = "POST /admin/user_login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    let body = kept_open(&server, body);
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
async fn a_storm_of_log_ins_does_not_stop_the_others() {
    let place = Place::sqlite().with("TRUSTED_PROXIES", "127.0.0.1");
    let server = place.serve().await;
    let anybody = Client::new(&[&server]);
    let root = anybody.login(ROOT).await;
    // Each from an address of its own, or the throttle would end the storm before it begins.
    let storm: Vec<_> = (0..64)
        .map(|n| {
            let client = anybody.from(&format!("203.0.113.{n}"));
            let (password, expected) = if n % 2 == 0 { (PASSWORD, 200) } else { ("wrong", 403) };
            tokio::spawn(async move { (client.try_login(ROOT, password).await, expected) })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    while storm.iter().any(|login| !login.is_finished()) {
        let asked = Instant::now();
        assert_eq!(anybody.get("/healthz").await.status, 200);
        assert_eq!(root.get("/api/task").await.codes(), (200, 200));
        slowest = slowest.max(asked.elapsed());
    }
    assert!(slowest < Duration::from_secs(5), "a request took {slowest:?}");
    for login in storm {
        let (answer, expected) = login.await.unwrap();
        assert_eq!(i64::from(answer.status), expected, "{answer:?}");
    }
}
