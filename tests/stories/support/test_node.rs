//! Test nodes that receive configuration over one of the protocols, and record the items they hold.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilothouse_client::Client as Embedded;
use reqwest::{RequestBuilder, Response, Url};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::api_client::ApiClient;
use super::installation::{ROOT, TestServer};
use super::release_model::{KEYS, NodeItems, Observation, ObservedAt, Value};

pub(crate) const PROFILE: &str = "dev";
/// Delay of a retry.
pub(crate) const RETRY_DELAY: Duration = Duration::from_millis(10);
/// Code of a request whose key is none, as while its app is deleted.
const UNKNOWN_KEY: i64 = 3;

/// Protocol of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Server-sent events of `/node/watch`.
    Stream,
    /// Long polls of `/node/watch`, with acknowledgements.
    LongPoll,
    /// Repeated requests of `/node/config`.
    Poll,
    /// The client library of this workspace.
    Embedded,
    /// Signed `/notifications/v2` and `/configs`, as Apollo clients do; the node id is an address, or `address/label`.
    Apollo,
    /// Repeated signed requests of `/configfiles`, with such a node id.
    ConfigFiles,
}

/// Servers, app and key of test nodes, and the items they were observed to hold.
#[derive(Clone)]
pub(crate) struct NodeEnvironment {
    pub(crate) http: reqwest::Client,
    urls: Vec<String>,
    pub(crate) app: String,
    pub(crate) key: String,
    /// Snapshots of the client library.
    folder: Arc<TempDir>,
    observations: Arc<Mutex<Vec<Observation>>>,
    /// The first revision of the epoch that every server is known to be in.
    begun: Arc<AtomicI64>,
}

impl NodeEnvironment {
    /// Creates an app with a key on these servers.
    pub(crate) async fn create(root: &ApiClient, app: &str, servers: &[TestServer]) -> Self {
        let environment = Self {
            http: crate::support::http_client().build().unwrap(),
            urls: servers.iter().map(TestServer::url).collect(),
            app: app.to_owned(),
            key: format!("test-secret-of-{app}"),
            folder: Arc::new(TempDir::new().unwrap()),
            observations: Arc::default(),
            begun: Arc::default(),
        };
        environment.create_app(root).await;
        environment
    }

    /// Creates the app, where there is none, and brings its key along: an app that is created again has the same.
    pub(crate) async fn create_app(&self, root: &ApiClient) {
        let Self { app, key, .. } = self;
        root.post("/app/create", json!({"app": app, "appType": 0, "name": app, "charger": ROOT})).await.ok();
        root.post("/app/key/create", json!({"app": app, "secret": key})).await.ok();
    }

    /// Takes note of the epoch that every server is in, of which protocols without revisions say nothing.
    pub(crate) fn begin_epoch(&self, epoch: i64) {
        self.begun.store(epoch << 32, Ordering::SeqCst);
    }

    /// The first revision of that epoch.
    pub(crate) fn begun(&self) -> i64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The observations since this was last called.
    pub(crate) fn take_observations(&self) -> Vec<Observation> {
        std::mem::take(&mut *lock(&self.observations))
    }
}

/// The items that a node holds, and the revision and entity tag it got them with.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeState {
    pub(crate) items: NodeItems,
    revision: i64,
    tag: String,
}

/// A node that runs until it is dropped.
pub(crate) struct TestNode {
    state: Arc<Mutex<NodeState>>,
    task: JoinHandle<()>,
}

impl TestNode {
    /// Starts a node with the state it had before, or with none.
    pub(crate) fn start(
        environment: &NodeEnvironment,
        protocol: Protocol,
        node: &str,
        state: Option<NodeState>,
    ) -> Self {
        let starts_empty = state.is_none();
        // The client library restores its own snapshot.
        let state = state.filter(|_| protocol != Protocol::Embedded).unwrap_or_default();
        let state = Arc::new(Mutex::new(state));
        let turn = node.bytes().map(usize::from).sum();
        let node =
            NodeTask { environment: environment.clone(), id: node.to_owned(), turn, state: state.clone() };
        let task = match protocol {
            Protocol::Stream => tokio::spawn(node.stream()),
            Protocol::LongPoll => tokio::spawn(node.long_poll()),
            Protocol::Poll => tokio::spawn(node.poll()),
            Protocol::Embedded => tokio::spawn(node.embedded(starts_empty)),
            Protocol::Apollo => tokio::spawn(node.apollo()),
            Protocol::ConfigFiles => tokio::spawn(node.config_files()),
        };
        Self { state, task }
    }

    pub(crate) fn state(&self) -> NodeState {
        assert!(!self.task.is_finished(), "the task of the node has panicked");
        lock(&self.state).clone()
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn value(text: &Json, version: Option<i64>) -> Value {
    Value { text: text.as_str().unwrap().to_owned(), version }
}

/// The task of a test node.
pub(crate) struct NodeTask {
    pub(crate) environment: NodeEnvironment,
    pub(crate) id: String,
    /// Position of the server that is asked, modulo their number.
    turn: usize,
    pub(crate) state: Arc<Mutex<NodeState>>,
}

impl NodeTask {
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.environment.urls[self.turn % self.environment.urls.len()]).parse().unwrap()
    }

    /// A GET request for this node.
    fn get(&self, path: &str) -> RequestBuilder {
        let of = [("app", &*self.environment.app), ("profile", PROFILE), ("nodeId", &self.id)];
        self.environment.http.get(self.url(path)).query(&of).bearer_auth(&self.environment.key)
    }

    /// Sends a request; `None` without an answer, after which the next server is asked.
    pub(crate) async fn answer(&mut self, request: RequestBuilder) -> Option<Response> {
        match request.send().await {
            Ok(answer) if !answer.status().is_server_error() => Some(answer),
            _ => {
                self.turn += 1;
                sleep(RETRY_DELAY).await;
                None
            }
        }
    }

    /// The data of a successful answer; `None` if the connection breaks, while the app is deleted, and where the server does
    /// not know the node, as after a restore, and has registered it again.
    async fn data(&mut self, answer: Response) -> Option<Json> {
        let body: Json = answer.json().await.ok()?;
        if body["code"] == UNKNOWN_KEY {
            sleep(RETRY_DELAY).await;
            return None;
        }
        if body["code"] == 6 {
            self.register().await;
            return None;
        }
        assert_eq!(body["code"], 0, "{}: {body}", self.id);
        Some(body["data"].clone())
    }

    async fn register(&mut self) {
        let zone = self.id.rsplit('-').next();
        let body = json!({
            "app": self.environment.app, "profile": PROFILE, "pid": "1", "nodeId": self.id, "labels": {"zone": zone},
        });
        loop {
            let request = self.environment.http.post(self.url("/node/register"));
            let Some(answer) = self.answer(request.bearer_auth(&self.environment.key).json(&body)).await
            else {
                continue;
            };
            if let Ok(body) = answer.json::<Json>().await {
                if body["code"] == UNKNOWN_KEY {
                    sleep(RETRY_DELAY).await;
                    continue;
                }
                assert_eq!(body["code"], 0, "{}: {body}", self.id);
                return;
            }
        }
    }

    /// Records that the node holds these items now.
    pub(crate) fn observe(&self, at: ObservedAt, keys: &'static [&'static str], items: &NodeItems) {
        let observation = Observation { node: self.id.clone(), at, keys, items: items.clone() };
        lock(&self.environment.observations).push(observation);
    }

    /// Applies a delta; it must not repeat items that the node holds, unless it `may_repeat`.
    fn apply(&self, change: &Json, may_repeat: bool) {
        let mut state = lock(&self.state);
        let revision = change["Revision"].as_i64().unwrap();
        assert!(revision >= state.revision, "{} went back from {}: {change}", self.id, state.revision);
        // Of another epoch, the items are all there is.
        let is_whole = state.revision > 0 && revision >> 32 != state.revision >> 32;
        if is_whole {
            state.items.clear();
        }
        let may_repeat = may_repeat || is_whole;
        state.revision = revision;
        for item in change["Items"].as_array().unwrap() {
            let new = value(&item["Value"], item["Version"].as_i64());
            let old = state.items.insert(item["Key"].as_str().unwrap().to_owned(), new.clone());
            assert!(may_repeat || old != Some(new), "{} is sent an item that it holds: {change}", self.id);
        }
        for key in change["Removed"].as_array().unwrap() {
            let old = state.items.remove(key.as_str().unwrap());
            assert!(
                may_repeat || old.is_some(),
                "{} is to remove an item that it does not hold: {change}",
                self.id
            );
        }
        self.observe(ObservedAt::Exactly(revision), &KEYS, &state.items);
    }

    async fn stream(mut self) {
        self.register().await;
        loop {
            let revision = lock(&self.state).revision;
            let request = self.get("/node/watch").header("accept", "text/event-stream");
            let Some(mut answer) = self.answer(request.header("last-event-id", revision)).await else {
                continue;
            };
            if answer.headers()["content-type"] != "text/event-stream" {
                let refused = self.data(answer).await;
                assert!(refused.is_none(), "{}: {refused:?}", self.id);
                continue;
            }
            let mut text = Vec::new();
            while let Ok(Some(piece)) = answer.chunk().await {
                text.extend(piece);
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let event = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
                    if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                        self.apply(&serde_json::from_str(data).unwrap(), false);
                    }
                }
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn long_poll(mut self) {
        self.register().await;
        loop {
            let revision = lock(&self.state).revision.to_string();
            let request = self.get("/node/watch").query(&[("revision", &*revision), ("wait", "5")]);
            let Some(answer) = self.answer(request).await else { continue };
            let Some(change) = self.data(answer).await else { continue };
            // A node that acknowledges an item replaced meanwhile is sent the new one again.
            self.apply(&change, true);
            let results = change["Items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| json!({"key": item["Key"], "version": item["Version"], "result": "applied"}));
            let results: Vec<_> = results.collect();
            if !results.is_empty() {
                let body = json!({
                    "app": self.environment.app, "profile": PROFILE, "nodeId": self.id, "results": results,
                });
                let request = self.environment.http.post(self.url("/node/ack"));
                self.answer(request.bearer_auth(&self.environment.key).json(&body)).await;
            }
        }
    }

    async fn poll(mut self) {
        self.register().await;
        loop {
            let tag = lock(&self.state).tag.clone();
            let request = self.get("/node/config").header("if-none-match", tag);
            let Some(answer) = self.answer(request).await else { continue };
            let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
            let same = answer.status() == 304;
            let data = if same { None } else { self.data(answer).await };
            if same || data.is_some() {
                let mut state = lock(&self.state);
                state.tag = tag.unwrap();
                // The tag contains the revision, also in a 304.
                let revision =
                    state.tag.trim_start_matches("W/\"").split_once('-').unwrap().0.parse().unwrap();
                assert!(revision >= state.revision, "{} went back to {}", self.id, state.tag);
                state.revision = revision;
                if let Some(data) = data {
                    let items = data["Items"].as_array().unwrap().iter();
                    let value_of = |item: &Json| value(&item["Value"], item["Version"].as_i64());
                    state.items = items
                        .map(|item| (item["Key"].as_str().unwrap().to_owned(), value_of(item)))
                        .collect();
                }
                self.observe(ObservedAt::Exactly(revision), &KEYS, &state.items);
            }
            sleep(RETRY_DELAY).await;
        }
    }

    async fn embedded(self, starts_empty: bool) {
        let snapshot: PathBuf = self.environment.folder.path().join(&self.id);
        if starts_empty {
            let _ = std::fs::remove_file(&snapshot);
        }
        let url = |number: usize| self.environment.urls[number % self.environment.urls.len()].clone();
        let builder = Embedded::builder(url(self.turn), &self.environment.app, &self.environment.key);
        let builder = builder.profile(PROFILE).node_id(&self.id).url(url(self.turn + 1)).snapshot(snapshot);
        let zone = self.id.rsplit('-').next().unwrap();
        let builder = builder.label("zone", zone).backoff(RETRY_DELAY, RETRY_DELAY * 10);
        let client = loop {
            if let Ok(client) = builder.clone().connect().await {
                break client;
            }
        };
        let mut changes = client.changes();
        loop {
            let revision = client.revision();
            let keys = client.keys();
            let values = keys.iter().map(|key| (key, client.get_str(key)));
            let items: Option<NodeItems> = values
                .map(|(key, text)| Some((key.to_string(), Value { text: text?.to_string(), version: None })))
                .collect();
            if let Some(items) = items
                && client.revision() == revision
            {
                let mut state = lock(&self.state);
                if state.revision != revision || state.items != items {
                    assert!(revision >= state.revision, "{} went back to {revision}", self.id);
                    self.observe(ObservedAt::Exactly(revision), &KEYS, &items);
                    (state.revision, state.items) = (revision, items);
                }
            }
            let _ = timeout(RETRY_DELAY, changes.next()).await;
        }
    }
}
