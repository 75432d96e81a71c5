//! Fleet of real edges in front of an origin, and requests of visitors.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use axum::serve::ListenerExt;
use axum_server::tls_rustls::RustlsConfig;
use pilothouse_test_support::{EdgeProgram, EdgeServer, TcpProxy};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::api_client::ApiClient;
use super::installation::{EDGE_KEY, Installation, ROOT, TIMEOUT, TestServer};

/// Domain of the customer.
pub(crate) const HOST: &str = "a.test";
const MAIL: &str = "root@example.com";
const MEGABYTE: usize = 1_000_000;

/// An origin whose objects all consist of its current version, a growing number, read when the request arrives. Under
/// `/slow/<milliseconds>/` the answer is delayed, under `/missing/` it is 404, under `/private/` it must not be cached, under
/// `/large/<megabytes>/` it has so many, and under `/stream/<megabytes>/` does not say how many. A query `h-NAME=VALUE` sets a
/// header of the answer, `s=STATUS` its status, and so does a header `X-Status` of the request. The header `X-Seen` of every
/// answer says which host, scheme, cookie and URI the origin was asked for, and what else the visitor said of its way there.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    version: Arc<AtomicU64>,
    requests: Arc<Mutex<HashMap<String, u64>>>,
}

/// Ports of an origin on 127.0.0.1.
#[derive(Clone, Copy)]
pub(crate) struct OriginPorts {
    pub(crate) http: u16,
    /// With the certificate of the tests' authority, for localhost.
    pub(crate) https: u16,
}

impl Origin {
    /// Starts an origin whose versions begin after a number.
    pub(crate) async fn start(version: u64) -> (Self, OriginPorts) {
        let origin = Self { version: Arc::new(AtomicU64::new(version)), requests: Arc::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let http = listener.local_addr().unwrap().port();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let router = Router::new().fallback(answer).with_state(origin.clone());
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tls =
            RustlsConfig::from_pem_file(tls_file("localhost.pem"), tls_file("localhost.key")).await.unwrap();
        let secure = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        secure.set_nonblocking(true).unwrap();
        let https = secure.local_addr().unwrap().port();
        let serve =
            axum_server::from_tcp_rustls(secure, tls).unwrap().serve(router.clone().into_make_service());
        tokio::spawn(serve);
        tokio::spawn(async move { axum::serve(listener, router).await });
        (origin, OriginPorts { http, https })
    }

    /// Increments the version of every object; the new version.
    pub(crate) fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Number of requests for a path.
    pub(crate) fn requests(&self, path: &str) -> u64 {
        self.requests.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

async fn answer(State(origin): State<Origin>, uri: Uri, request: HeaderMap) -> (StatusCode, HeaderMap, Body) {
    let version = origin.version.load(Ordering::SeqCst).to_string();
    let path = uri.path();
    *origin.requests.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    if let Some(rest) = path.strip_prefix("/slow/") {
        let millis = rest.split('/').next().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    let (mut status, cached) = match path.split('/').nth(1) {
        Some("missing") => (StatusCode::NOT_FOUND, "max-age=3600"),
        Some("private") => (StatusCode::OK, "private, no-store, max-age=0"),
        _ => (StatusCode::OK, "max-age=3600"),
    };
    let mut headers = HeaderMap::new();
    headers.insert("cache-control", HeaderValue::from_static(cached));
    let mut chosen = request.get("x-status").map(|status| status.to_str().unwrap().to_owned());
    for (name, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
        if name == "s" {
            chosen = chosen.or(Some(value.to_owned()));
        } else if let Some(name) = name.strip_prefix("h-") {
            let name = HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::try_from(value.replace("%20", " ")).unwrap());
        }
    }
    if let Some(chosen) = chosen {
        status = chosen.parse().unwrap();
    }
    let seen = ["host", "x-forwarded-proto", "cookie", "x-forwarded-host", "forwarded"]
        .map(|name| request.get(name).map_or("", |value| value.to_str().unwrap()));
    let seen = format!("{} {} {} {uri} {}{}", seen[0], seen[1], seen[2], seen[3], seen[4]);
    headers.insert("x-seen", HeaderValue::try_from(seen.trim_end()).unwrap());
    (status, headers, body(path, version))
}

fn body(path: &str, version: String) -> Body {
    let mut parts = path.split('/').skip(1);
    let kind = parts.next();
    let Some(megabytes) = parts.next().and_then(|part| part.parse::<usize>().ok()) else {
        return version.into();
    };
    match kind {
        Some("large") => "x".repeat(megabytes * MEGABYTE).into(),
        Some("stream") => {
            let megabyte = Bytes::from("x".repeat(MEGABYTE));
            let chunks = std::iter::repeat_n(megabyte, megabytes).map(Ok::<_, Infallible>);
            Body::from_stream(futures_util::stream::iter(chunks))
        }
        _ => version.into(),
    }
}

/// An edge, reached by visitors directly and by the control plane through a proxy.
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) server: EdgeServer,
    /// Its access log. That of Varnish is written by the shipped script, where a story starts it.
    pub(crate) log: PathBuf,
    /// Between control plane and edge.
    pub(crate) proxy: TcpProxy,
}

/// Request of a visitor, sent byte by byte as it is written.
#[derive(Clone, Copy)]
pub(crate) struct RawRequest<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) host: &'a str,
    /// Header lines besides `Host`, without their ends.
    pub(crate) headers: &'a [&'a str],
}

impl<'a> RawRequest<'a> {
    pub(crate) fn get(target: &'a str) -> Self {
        Self { method: "GET", target, host: HOST, headers: &[] }
    }
}

/// Answer to a raw request.
#[derive(Debug)]
pub(crate) struct RawAnswer {
    pub(crate) status: u16,
    /// Header `X-Cache`, empty where there is none.
    pub(crate) cache: String,
    /// Header `X-Seen`: what the origin was asked for. Empty where the answer is not of the origin.
    pub(crate) seen: String,
    pub(crate) body: String,
}

impl Edge {
    /// Reads so many bytes of the answer to a request, and closes the connection after a pause.
    pub(crate) async fn break_off(&self, target: &str, read: usize, pause: Duration) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(65_536).unwrap();
        let mut stream = socket.connect(([127, 0, 0, 1], self.server.port).into()).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.read_exact(&mut vec![0; read]).await.unwrap();
        tokio::time::sleep(pause).await;
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(&self, request: RawRequest<'_>) -> RawAnswer {
        let RawRequest { method, target, host, headers } = request;
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        for line in headers {
            text.extend([line, "\r\n"]);
        }
        text.push_str(if matches!(method, "GET" | "HEAD") { "\r\n" } else { "Content-Length: 0\r\n\r\n" });
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port)).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(TIMEOUT, stream.read_to_end(&mut answer)).await;
        read.expect("an edge answers in time").unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let header = |name: &str| {
            let value = |line: &'_ str| {
                line.split_once(": ")
                    .filter(|(found, _)| found.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
            };
            head.lines().find_map(value).unwrap_or_default()
        };
        RawAnswer { status, cache: header("X-Cache"), seen: header("X-Seen"), body: body.to_owned() }
    }
}

/// Two nginx and two Varnish in front of an origin, all of one cdn, and the installation that manages them.
pub(crate) struct EdgeFleet {
    pub(crate) origin: Origin,
    pub(crate) edges: Vec<Edge>,
    pub(crate) installation: Installation,
    visitors: reqwest::Client,
}

impl EdgeFleet {
    /// Starts the edges with their logs in one folder, named so that they look like rotated files of each other, and has the
    /// logs followed.
    pub(crate) async fn install_with_logs(installation: Installation) -> Self {
        let folder = installation.file("edge-logs");
        fs::create_dir(&folder).unwrap();
        let default =
            |_: &str, ports: OriginPorts| vec!["--origin".to_owned(), format!("127.0.0.1:{}", ports.http)];
        Self::install_all(installation, Some(folder), default, |shipped| shipped).await
    }

    /// Starts the edges, and adds them to the settings of an installation.
    pub(crate) async fn install(installation: Installation) -> Self {
        Self::install_with(installation, |shipped| shipped).await
    }

    /// The same with a change of the edge configuration that Pilothouse generates.
    pub(crate) async fn install_with(installation: Installation, change: impl Fn(String) -> String) -> Self {
        let default =
            |_: &str, ports: OriginPorts| vec!["--origin".to_owned(), format!("127.0.0.1:{}", ports.http)];
        Self::install_with_options(installation, default, change).await
    }

    /// The same with further options of `edge-config`, among them its origins. They may depend on the kind of the edge and on the
    /// ports of the origin.
    pub(crate) async fn install_with_options(
        installation: Installation,
        options: impl Fn(&str, OriginPorts) -> Vec<String>,
        change: impl Fn(String) -> String,
    ) -> Self {
        Self::install_all(installation, None, options, change).await
    }

    async fn install_all(
        installation: Installation,
        followed: Option<PathBuf>,
        options: impl Fn(&str, OriginPorts) -> Vec<String>,
        change: impl Fn(String) -> String,
    ) -> Self {
        let (origin, ports) = Origin::start(0).await;
        let key = installation.file("edge-key");
        fs::write(&key, format!("{EDGE_KEY}\n")).unwrap();
        let key = format!("file:{}", key.display());
        let mut settings = "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned();
        let mut edges = Vec::new();
        for (name, program, kind, log_name) in [
            ("nginx-1", EdgeProgram::Nginx, "nginx", "edge.log"),
            ("nginx-2", EdgeProgram::Nginx, "nginx", "edge-2.log"),
            ("varnish-1", EdgeProgram::Varnish, "varnish", "access.log"),
            ("varnish-2", EdgeProgram::Varnish, "varnish", "access-443.log"),
        ] {
            let followed = followed.as_ref().map(|folder| folder.join(log_name));
            let server = EdgeServer::start(program, |listen, folder| {
                let log = followed.clone().unwrap_or_else(|| folder.join("tsv"));
                let (log, cache) = (log.display().to_string(), folder.join("cache").display().to_string());
                let listen = format!("127.0.0.1:{listen}");
                let own = [
                    "edge-config",
                    "--kind",
                    kind,
                    "--listen",
                    &listen,
                    "--allow",
                    "127.0.0.1",
                    "--key",
                    &key,
                ];
                let files = ["--log", &log, "--cache", &cache];
                let more = options(kind, ports);
                let all: Vec<&str> =
                    own.into_iter().chain(files).chain(more.iter().map(String::as_str)).collect();
                let printed = installation.run(&all, "");
                assert_eq!(printed.code, Some(0), "{printed:?}");
                change(printed.stdout)
            });
            let proxy = TcpProxy::to(server.port);
            let edge = format!(
                "[[cdn.edge]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{}\"\nkey = \"{key}\"\n",
                proxy.port
            );
            settings.push_str(&edge);
            if let Some(log) = &followed {
                settings += &format!("access_log = \"{}\"\nlog_format = \"tsv\"\n", log.display());
            }
            let log = followed.unwrap_or_else(|| server.file("tsv"));
            edges.push(Edge { name, server, log, proxy });
        }
        let file = installation.file("fleet.toml");
        fs::write(&file, settings).unwrap();
        let installation = installation.with("CONFIG", &file.display().to_string());
        installation.create_root();
        let visitors = crate::support::http_client().timeout(TIMEOUT).build().unwrap();
        Self { origin, edges, installation, visitors }
    }

    /// Starts a server and logs in.
    pub(crate) async fn serve(&self) -> (TestServer, ApiClient) {
        let server = self.installation.serve().await;
        let root = ApiClient::new(&[&server]).login(ROOT).await;
        (server, root)
    }

    /// Requests an object as a visitor; its version, and the header `X-Cache`.
    pub(crate) async fn visit(&self, edge: &Edge, path: &str) -> (u64, String) {
        let url = format!("http://127.0.0.1:{}{path}", edge.server.port);
        let answer = self.visitors.get(url).header("host", HOST).send().await.unwrap();
        let cache = answer.headers()["x-cache"].to_str().unwrap().to_owned();
        assert!(answer.status().is_success(), "{}: {}", edge.name, answer.status());
        (answer.text().await.unwrap().parse().unwrap(), cache)
    }

    /// Requests an object from every edge.
    pub(crate) async fn visit_all(&self, path: &str) -> Vec<(u64, String)> {
        let mut answers = Vec::new();
        for edge in &self.edges {
            answers.push(self.visit(edge, path).await);
        }
        answers
    }

    /// Asserts that every edge answers this version, twice.
    pub(crate) async fn assert_version(&self, path: &str, version: u64) {
        for _ in 0..2 {
            for (edge, (found, cache)) in self.edges.iter().zip(self.visit_all(path).await) {
                assert_eq!(found, version, "{} answers {path} with an old object ({cache})", edge.name);
            }
        }
    }
}

/// A file of the tests' certificate authority. Its certificate `localhost.pem` is for localhost and 127.0.0.1.
pub(crate) fn tls_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/tls").join(name)
}

/// Creates the customer and its domain.
pub(crate) async fn create_customer(root: &ApiClient) {
    create_customer_of(root, &[HOST]).await;
}

/// Creates the customer with certain domains.
pub(crate) async fn create_customer_of(root: &ApiClient, domains: &[&str]) {
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": domains});
    root.post("/level3/user_domains", domains).await.ok();
}

/// Queues a refresh or preload of paths; its task id.
pub(crate) async fn queue(root: &ApiClient, kind: &str, paths: &[String]) -> String {
    let urls: Vec<_> = paths.iter().map(|path| format!("http://{HOST}{path}")).collect();
    queue_urls(root, kind, &urls).await
}

/// Queues a refresh or preload of whole URLs; its task id.
async fn queue_urls(root: &ApiClient, kind: &str, urls: &[String]) -> String {
    let body = json!({"login_email": MAIL, "path": urls.join("|")});
    let queued = root.post(&format!("/level3/{kind}"), body).await.ok();
    queued["results"][0]["taskid"].as_str().unwrap().to_owned()
}

/// Queues a refresh or preload of whole URLs, and waits until it is done.
pub(crate) async fn complete_urls(root: &ApiClient, kind: &str, urls: &[String]) {
    wait_until_done(root, &queue_urls(root, kind, urls).await).await;
}

/// The current state of a task.
pub(crate) async fn task(root: &ApiClient, id: &str) -> Value {
    root.get(&format!("/level3/task?taskid={id}")).await.ok()
}

/// Waits until a task meets a condition; its state.
pub(crate) async fn wait_for(root: &ApiClient, id: &str, until: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let task = task(root, id).await;
        if until(&task) {
            return task;
        }
        assert!(begun.elapsed() < TIMEOUT, "the task stays as it is: {task}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Queues a refresh or preload of paths, and waits until it is done.
pub(crate) async fn complete(root: &ApiClient, kind: &str, paths: &[&str]) {
    let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
    wait_until_done(root, &queue(root, kind, &paths).await).await;
}

async fn wait_until_done(root: &ApiClient, id: &str) {
    let done = wait_for(root, id, |task| task["state"] != "pending").await;
    assert_eq!(
        (done["state"].as_str(), done["percentComplete"].as_str()),
        (Some("done"), Some("100")),
        "{done}"
    );
}

/// Waits until all edges, or those named, are in a state; the answer of `/level3/edges`.
pub(crate) async fn wait_for_edges(root: &ApiClient, names: &[&str], state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let edges = root.get("/level3/edges?cdn=level3").await.ok();
        let rows = edges["results"].as_array().unwrap();
        let mut named =
            rows.iter().filter(|row| names.is_empty() || names.contains(&row["edge"].as_str().unwrap()));
        if rows.len() == 4 && named.all(|row| row["state"] == state) {
            return edges;
        }
        assert!(begun.elapsed() < TIMEOUT, "the edges are not {state}: {edges}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
