//! Clients that connect and then do nothing, at every listener.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use pilothouse_test_support::free_port;
use rustls::ClientConnection;
use tokio::net::TcpSocket;

use crate::support::{Installation, TIMEOUT, http_client};

/// Connections of one kind that lie idle at once.
const CONNECTIONS: usize = 160;
/// Preface of HTTP/2 and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// HEADERS frame, the whole of a request: GET, http, `/healthz`.
const HTTP2_REQUEST: &[u8] = b"\0\0\x0f\x01\x05\0\0\0\x01\x82\x86\x04\x08/healthz\x41\x01x";
/// HEADERS frame with the beginning of a request, without `END_HEADERS`.
const HTTP2_HALF_A_HEAD: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";
const HTTP1_REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
const HTTP1_HALF_A_HEAD: &[u8] = b"GET /healthz HTTP/1.1\r\nHost:";

/// Idle connections of one kind, and what they sent.
struct Idle {
    kind: &'static str,
    streams: Vec<TcpStream>,
    opened: Instant,
}

impl Idle {
    fn open(kind: &'static str, port: u16, sent: &[&[u8]]) -> Self {
        let opened = Instant::now();
        let connect = |_| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.write_all(&sent.concat()).unwrap();
            stream
        };
        Self { kind, streams: (0..CONNECTIONS).map(connect).collect(), opened }
    }

    /// The time until the last of them is closed by the server.
    fn time_until_closed(self) -> Duration {
        for mut stream in self.streams {
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut buffer = [0; 4096];
            loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                    Err(error) => panic!("{}: kept open: {error}", self.kind),
                }
            }
        }
        self.opened.elapsed()
    }
}

/// Lets this process open as many files as it may.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    setrlimit(Resource::Nofile, files).unwrap();
}

async fn get(url: &str) -> (Duration, String) {
    let http = http_client().build().unwrap();
    let asked = Instant::now();
    let answer = http.get(url).timeout(TIMEOUT).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}: {answer:?}");
    (asked.elapsed(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_every_kind_end() {
    raise_open_files();
    let metrics = free_port();
    let installation = Installation::memory()
        .with("METRICS_LISTEN", &format!("127.0.0.1:{metrics}"))
        .with("KEEP_ALIVE_SECONDS", "3");
    let server = installation.serve().await;
    let unanswered = [
        Idle::open("silent", server.port, &[]),
        Idle::open("half a head", server.port, &[HTTP1_HALF_A_HEAD]),
        Idle::open("HTTP/2, no request", server.port, &[HTTP2]),
        Idle::open("HTTP/2, half a head", server.port, &[HTTP2, HTTP2_HALF_A_HEAD]),
        Idle::open("metrics, silent", metrics, &[]),
        Idle::open("metrics, half a head", metrics, &[HTTP1_HALF_A_HEAD]),
        Idle::open("metrics, HTTP/2, no request", metrics, &[HTTP2]),
    ];
    let answered = [
        Idle::open("answered", server.port, &[HTTP1_REQUEST]),
        Idle::open("HTTP/2, answered", server.port, &[HTTP2, HTTP2_REQUEST]),
        Idle::open("metrics, answered", metrics, &[HTTP1_REQUEST]),
        Idle::open("metrics, HTTP/2, answered", metrics, &[HTTP2, HTTP2_REQUEST]),
    ];
    for url in [server.url() + "/healthz", format!("http://127.0.0.1:{metrics}/metrics")] {
        let (elapsed, _) = get(&url).await;
        assert!(elapsed < Duration::from_secs(8), "{url} took {elapsed:?} beside idle connections");
    }
    for idle in answered {
        let (kind, kept) = (idle.kind, idle.time_until_closed());
        assert!((2.9..9.5).contains(&kept.as_secs_f64()), "{kind}: kept for {kept:?}");
    }
    for idle in unanswered {
        let (kind, kept) = (idle.kind, idle.time_until_closed());
        assert!((9.9..60.0).contains(&kept.as_secs_f64()), "{kind}: kept for {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_tls_connections_end() {
    raise_open_files();
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls");
    let file = |name: &str| tls.join(name).display().to_string();
    let installation = Installation::memory()
        .with("TLS_CERTIFICATE", &file("localhost.pem"))
        .with("TLS_KEY", &file("localhost.key"));
    let server = installation.start();
    let config = super::tls_reload::client();
    let deadline = Instant::now() + TIMEOUT;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err() {
        assert!(Instant::now() < deadline, "the server does not listen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let no_handshake = Idle::open("TLS, no handshake", server.port, &[]);
    let handshake = Idle::open("TLS, silent after the handshake", server.port, &[]);
    let mut sessions = Vec::new();
    for mut stream in &handshake.streams {
        let mut session = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut stream).unwrap();
        }
        sessions.push(session);
    }
    for idle in [no_handshake, handshake] {
        let (kind, kept) = (idle.kind, idle.time_until_closed());
        assert!((9.9..60.0).contains(&kept.as_secs_f64()), "{kind}: kept for {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_leave_room_for_others() {
    raise_open_files();
    let metrics = free_port();
    let installation =
        Installation::sqlite().with("METRICS_LISTEN", &format!("127.0.0.1:{metrics}")).with_open_files(240);
    let server = installation.serve().await;
    let mut idle = Vec::new();
    for (port, sent) in [(server.port, b"".as_slice()), (server.port, HTTP2), (metrics, b"")] {
        for _ in 0..CONNECTIONS {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let stream = socket.connect(address).await.unwrap().into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            // Fails where the connection is one too many.
            let _ = (&stream).write_all(sent);
            idle.push(stream);
        }
    }
    let (elapsed, _) = get(&(server.url() + "/readyz")).await;
    assert!(elapsed < Duration::from_secs(8), "took {elapsed:?} beside idle connections");
    let (_, text) = get(&format!("http://127.0.0.1:{metrics}/metrics")).await;
    let metric = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        line.parse::<f64>().unwrap_or_else(|_| panic!("{name} is not in\n{text}"))
    };
    let refused = metric("pilothouse_connections_refused_total{cap=\"address\"}");
    // A third of three quarters of 240 files.
    assert!((refused - (3.0 * 160.0 - 60.0)).abs() < 0.5, "{refused} were refused");
    assert!(metric("pilothouse_connections ") >= 60.0, "{text}");
    drop(idle);
}
