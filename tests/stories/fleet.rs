//! Real edges before an origin, and the visitors who ask them.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::serve::ListenerExt;
use pilothouse_test_support::{EdgeProgram, EdgeServer, Line};
use serde_json::{Value, json};

use crate::client::Client;
use crate::place::{EDGE_KEY, PATIENCE, Place, ROOT, Server};

/// The customer's domain.
pub(crate) const HOST: &str = "a.test";
const MAIL: &str = "root@example.com";

/// An origin whose every object is its present version, a number that grows. It is read when the request arrives; under
/// `/slow/<milliseconds>/` the answer takes so long, and under `/missing/` there is nothing.
#[derive(Clone, Default)]
pub(crate) struct Origin {
    version: Arc<AtomicU64>,
    asked: Arc<Mutex<HashMap<String, u64>>>,
}

impl Origin {
    async fn start() -> (Self, u16) {
        let origin = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let router = Router::new().fallback(answer).with_state(origin.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (origin, port)
    }

    /// Changes every object; the new version.
    pub(crate) fn change(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How often a path was asked for.
    pub(crate) fn asked(&self, path: &str) -> u64 {
        self.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }
}

async fn answer(
    State(origin): State<Origin>,
    uri: Uri,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    let version = origin.version.load(Ordering::SeqCst).to_string();
    let path = uri.path();
    *origin.asked.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    if let Some(rest) = path.strip_prefix("/slow/") {
        let millis = rest.split('/').next().unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    let (status, cached) = match path.split('/').nth(1) {
        Some("missing") => (StatusCode::NOT_FOUND, "max-age=3600"),
        Some("private") => (StatusCode::OK, "private, no-store, max-age=0"),
        _ => (StatusCode::OK, "max-age=3600"),
    };
    (status, [("cache-control", cached)], version)
}

/// An edge as visitors and the control plane reach it.
pub(crate) struct Edge {
    pub(crate) name: &'static str,
    pub(crate) server: EdgeServer,
    /// How the control plane reaches it.
    pub(crate) line: Line,
}

/// Two Varnish and two nginx before an origin, all of one cdn, and a server that looks after them.
pub(crate) struct Fleet {
    pub(crate) origin: Origin,
    pub(crate) edges: Vec<Edge>,
    pub(crate) place: Place,
    visitors: reqwest::Client,
}

impl Fleet {
    /// Installs it, with settings for a server at this place.
    pub(crate) async fn install(place: Place) -> Self {
        Self::install_with(place, |shipped| shipped).await
    }

    /// The same with changes of the shipped configuration of the edges.
    pub(crate) async fn install_with(place: Place, change: impl Fn(String) -> String) -> Self {
        let (origin, port) = Origin::start().await;
        let key = place.file("edge-key");
        fs::write(&key, format!("{EDGE_KEY}\n")).unwrap();
        let key = format!("file:{}", key.display());
        let mut settings = "[[cdn]]\nname = \"level3\"\nkind = \"edges\"\n".to_owned();
        let mut edges = Vec::new();
        for (name, program, kind) in [
            ("nginx-1", EdgeProgram::Nginx, "nginx"),
            ("nginx-2", EdgeProgram::Nginx, "nginx"),
            ("varnish-1", EdgeProgram::Varnish, "varnish"),
            ("varnish-2", EdgeProgram::Varnish, "varnish"),
        ] {
            let server = EdgeServer::start(program, |listen, folder| {
                let (log, cache) = (folder.join("tsv"), folder.join("cache"));
                let printed = place.run(
                    &[
                        "edge-config",
                        "--kind",
                        kind,
                        "--origin",
                        &format!("127.0.0.1:{port}"),
                        "--listen",
                        &format!("127.0.0.1:{listen}"),
                        "--allow",
                        "127.0.0.1",
                        "--key",
                        &key,
                        "--log",
                        &log.display().to_string(),
                        "--cache",
                        &cache.display().to_string(),
                    ],
                    "",
                );
                assert_eq!(printed.code, Some(0), "{printed:?}");
                change(printed.stdout)
            });
            let line = Line::to(server.port);
            let edge = format!(
                "[[cdn.edge]]\nname = \"{name}\"\nkind = \"{kind}\"\nurl = \"http://127.0.0.1:{}\"\nkey = \"{key}\"\n",
                line.port
            );
            settings.push_str(&edge);
            edges.push(Edge { name, server, line });
        }
        let file = place.file("fleet.toml");
        fs::write(&file, settings).unwrap();
        let place = place.with("CONFIG", &file.display().to_string());
        place.create_root();
        let visitors = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { origin, edges, place, visitors }
    }

    /// Starts a server and logs in.
    pub(crate) async fn serve(&self) -> (Server, Client) {
        let server = self.place.serve().await;
        let root = Client::new(&[&server]).login(ROOT).await;
        (server, root)
    }

    /// What an edge answers a visitor: the version, and how its cache stood.
    pub(crate) async fn visit(&self, edge: &Edge, path: &str) -> (u64, String) {
        let url = format!("http://127.0.0.1:{}{path}", edge.server.port);
        let answer = self.visitors.get(url).header("host", HOST).send().await.unwrap();
        let cache = answer.headers()["x-cache"].to_str().unwrap().to_owned();
        assert!(answer.status().is_success(), "{}: {}", edge.name, answer.status());
        (answer.text().await.unwrap().parse().unwrap(), cache)
    }

    /// What every edge answers.
    pub(crate) async fn visit_all(&self, path: &str) -> Vec<(u64, String)> {
        let mut answers = Vec::new();
        for edge in &self.edges {
            answers.push(self.visit(edge, path).await);
        }
        answers
    }

    /// Sees that every edge answers this version, twice.
    pub(crate) async fn all_have(&self, path: &str, version: u64) {
        for _ in 0..2 {
            for (edge, (held, cache)) in self.edges.iter().zip(self.visit_all(path).await) {
                assert_eq!(held, version, "{} answers {path} with an old object ({cache})", edge.name);
            }
        }
    }
}

/// Makes the customer and the domain.
pub(crate) async fn prepare(root: &Client) {
    root.post("/level3/user", json!({"login_email": MAIL, "password": "another password"})).await.ok();
    let domains = json!({"login_email": MAIL, "cdn": "level3", "domains": HOST});
    root.post("/level3/user_domains", domains).await.ok();
}

/// Asks for a refresh or preload of paths; its task id.
pub(crate) async fn ask(root: &Client, kind: &str, paths: &[String]) -> String {
    let urls: Vec<_> = paths.iter().map(|path| format!("http://{HOST}{path}")).collect();
    let body = json!({"login_email": MAIL, "path": urls.join("|")});
    let queued = root.post(&format!("/level3/{kind}"), body).await.ok();
    queued["results"][0]["taskid"].as_str().unwrap().to_owned()
}

/// A task as it stands.
pub(crate) async fn task(root: &Client, id: &str) -> Value {
    root.get(&format!("/level3/task?taskid={id}")).await.ok()
}

/// Waits until a task is as it should be.
pub(crate) async fn wait(root: &Client, id: &str, until: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let task = task(root, id).await;
        if until(&task) {
            return task;
        }
        assert!(begun.elapsed() < PATIENCE, "it stays so: {task}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Asks for it, and waits until it is done.
pub(crate) async fn done(root: &Client, kind: &str, paths: &[&str]) {
    let id = ask(root, kind, &paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>()).await;
    let done = wait(root, &id, |task| task["state"] != "pending").await;
    assert_eq!(
        (done["state"].as_str(), done["percentComplete"].as_str()),
        (Some("done"), Some("100")),
        "{done}"
    );
}

/// Waits until edges, all or those of these names, are in a state.
pub(crate) async fn edges_are(root: &Client, names: &[&str], state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let edges = root.get("/level3/edges?cdn=level3").await.ok();
        let rows = edges["results"].as_array().unwrap();
        let mut named =
            rows.iter().filter(|row| names.is_empty() || names.contains(&row["edge"].as_str().unwrap()));
        if rows.len() == 4 && named.all(|row| row["state"] == state) {
            return edges;
        }
        assert!(begun.elapsed() < PATIENCE, "not {state}: {edges}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
