//! Nodes that follow configuration, each over one of the protocols, and show what they come to hold.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pilothouse_client::Client as Embedded;
use reqwest::{RequestBuilder, Response, Url};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::client::Client;
use crate::place::{ROOT, Server};
use crate::released::{Held, KEYS, Seen, Value, When};

pub(crate) const PROFILE: &str = "dev";
/// What a node waits before it tries again.
const PAUSE: Duration = Duration::from_millis(10);
/// How a node follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The events of `/node/watch`.
    Stream,
    /// `/node/watch`, answer by answer; acknowledges.
    LongPoll,
    /// `/node/config`, again and again.
    Poll,
    /// The client that programs embed.
    Embedded,
    /// `/notifications/v2` and `/configs`, signed, as Apollo's clients do; its node is an address, or one and a label.
    Apollo,
}

/// Where nodes of an app find their servers, and show what they hold.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) http: reqwest::Client,
    urls: Vec<String>,
    pub(crate) app: String,
    pub(crate) key: String,
    /// For what nodes keep on disk.
    folder: Arc<TempDir>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Site {
    /// Makes an app, with a key, and of these servers its site.
    pub(crate) async fn make(root: &Client, app: &str, servers: &[Server]) -> Self {
        root.post("/app/create", json!({"app": app, "appType": 0, "name": app, "charger": ROOT})).await.ok();
        let key = root.post("/app/key/create", json!({"app": app})).await.ok();
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            urls: servers.iter().map(Server::url).collect(),
            app: app.to_owned(),
            key: key["data"]["Key"].as_str().unwrap().to_owned(),
            folder: Arc::new(TempDir::new().unwrap()),
            seen: Arc::default(),
        }
    }

    /// What nodes were seen to hold since this was asked last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *lock(&self.seen))
    }
}

/// What a node holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) held: Held,
    revision: i64,
    tag: String,
}

/// A node that runs until this is dropped.
pub(crate) struct Follower {
    memory: Arc<Mutex<Memory>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Starts a node, with what it held before or with nothing.
    pub(crate) fn start(site: &Site, protocol: Protocol, node: &str, memory: Option<Memory>) -> Self {
        let forgets = memory.is_none();
        // The client that is embedded has what its snapshot says.
        let memory = memory.filter(|_| protocol != Protocol::Embedded).unwrap_or_default();
        let memory = Arc::new(Mutex::new(memory));
        let turn = node.bytes().map(usize::from).sum();
        let node = Node { site: site.clone(), id: node.to_owned(), turn, memory: memory.clone() };
        let task = match protocol {
            Protocol::Stream => tokio::spawn(node.stream()),
            Protocol::LongPoll => tokio::spawn(node.long_poll()),
            Protocol::Poll => tokio::spawn(node.poll()),
            Protocol::Embedded => tokio::spawn(node.embedded(forgets)),
            Protocol::Apollo => tokio::spawn(node.apollo()),
        };
        Self { memory, task }
    }

    pub(crate) fn memory(&self) -> Memory {
        assert!(!self.task.is_finished(), "a node has failed");
        lock(&self.memory).clone()
    }
}

impl Drop for Follower {
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

/// A node at work.
pub(crate) struct Node {
    pub(crate) site: Site,
    pub(crate) id: String,
    /// The server that is asked.
    turn: usize,
    pub(crate) memory: Arc<Mutex<Memory>>,
}

impl Node {
    pub(crate) fn url(&self, path: &str) -> Url {
        format!("{}{path}", self.site.urls[self.turn % self.site.urls.len()]).parse().unwrap()
    }

    /// A question about this node.
    fn get(&self, path: &str) -> RequestBuilder {
        let of = [("app", &*self.site.app), ("profile", PROFILE), ("nodeId", &self.id)];
        self.site.http.get(self.url(path)).query(&of).bearer_auth(&self.site.key)
    }

    /// The answer; `None` where none comes, and then the next server is asked.
    pub(crate) async fn answer(&mut self, request: RequestBuilder) -> Option<Response> {
        match request.send().await {
            Ok(answer) if !answer.status().is_server_error() => Some(answer),
            _ => {
                self.turn += 1;
                sleep(PAUSE).await;
                None
            }
        }
    }

    /// The data of an answer, which is no refusal.
    async fn data(&mut self, answer: Response) -> Option<Json> {
        let body: Json = answer.json().await.ok()?;
        assert_eq!(body["code"], 0, "{}: {body}", self.id);
        Some(body["data"].clone())
    }

    async fn register(&mut self) {
        let zone = self.id.rsplit('-').next();
        let body = json!({
            "app": self.site.app, "profile": PROFILE, "pid": "1", "nodeId": self.id, "labels": {"zone": zone},
        });
        loop {
            let request = self.site.http.post(self.url("/node/register"));
            let answer = self.answer(request.bearer_auth(&self.site.key).json(&body)).await;
            if let Some(answer) = answer
                && self.data(answer).await.is_some()
            {
                return;
            }
        }
    }

    /// Shows that it holds something now.
    pub(crate) fn shows(&self, when: When, keys: &'static [&'static str], held: &Held) {
        let seen = Seen { node: self.id.clone(), when, keys, held: held.clone() };
        lock(&self.site.seen).push(seen);
    }

    /// Takes what is new; nothing of it is held already, unless it `may_repeat`.
    fn take(&self, change: &Json, may_repeat: bool) {
        let mut memory = lock(&self.memory);
        let revision = change["Revision"].as_i64().unwrap();
        assert!(revision >= memory.revision, "{} went back from {}: {change}", self.id, memory.revision);
        memory.revision = revision;
        for item in change["Items"].as_array().unwrap() {
            let new = value(&item["Value"], item["Version"].as_i64());
            let old = memory.held.insert(item["Key"].as_str().unwrap().to_owned(), new.clone());
            assert!(may_repeat || old != Some(new), "{} is told again what it holds: {change}", self.id);
        }
        for key in change["Removed"].as_array().unwrap() {
            let old = memory.held.remove(key.as_str().unwrap());
            assert!(may_repeat || old.is_some(), "{} is to remove what it does not hold: {change}", self.id);
        }
        self.shows(When::At(revision), &KEYS, &memory.held);
    }

    async fn stream(mut self) {
        self.register().await;
        loop {
            let revision = lock(&self.memory).revision;
            let request = self.get("/node/watch").header("accept", "text/event-stream");
            let Some(mut answer) = self.answer(request.header("last-event-id", revision)).await else {
                continue;
            };
            assert_eq!(answer.headers()["content-type"], "text/event-stream", "{}", self.id);
            let mut text = Vec::new();
            while let Ok(Some(piece)) = answer.chunk().await {
                text.extend(piece);
                while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                    let event = String::from_utf8(text.drain(..end + 2).collect()).unwrap();
                    if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
                        self.take(&serde_json::from_str(data).unwrap(), false);
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    async fn long_poll(mut self) {
        self.register().await;
        loop {
            let revision = lock(&self.memory).revision.to_string();
            let request = self.get("/node/watch").query(&[("revision", &*revision), ("wait", "5")]);
            let Some(answer) = self.answer(request).await else { continue };
            let Some(change) = self.data(answer).await else { continue };
            // Who acknowledges what was replaced meanwhile is told again what it should hold.
            self.take(&change, true);
            let results = change["Items"]
                .as_array()
                .unwrap()
                .iter()
                .map(|item| json!({"key": item["Key"], "version": item["Version"], "result": "applied"}));
            let results: Vec<_> = results.collect();
            if !results.is_empty() {
                let body = json!({
                    "app": self.site.app, "profile": PROFILE, "nodeId": self.id, "results": results,
                });
                let request = self.site.http.post(self.url("/node/ack"));
                self.answer(request.bearer_auth(&self.site.key).json(&body)).await;
            }
        }
    }

    async fn poll(mut self) {
        self.register().await;
        loop {
            let tag = lock(&self.memory).tag.clone();
            let request = self.get("/node/config").header("if-none-match", tag);
            let Some(answer) = self.answer(request).await else { continue };
            let tag = answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned());
            let same = answer.status() == 304;
            let data = if same { None } else { self.data(answer).await };
            if same || data.is_some() {
                let mut memory = lock(&self.memory);
                memory.tag = tag.unwrap();
                // The tag names the revision, also of an answer that has no more to say.
                let revision =
                    memory.tag.trim_start_matches("W/\"").split_once('-').unwrap().0.parse().unwrap();
                assert!(revision >= memory.revision, "{} went back to {}", self.id, memory.tag);
                memory.revision = revision;
                if let Some(data) = data {
                    let items = data["Items"].as_array().unwrap().iter();
                    let of = |item: &Json| value(&item["Value"], item["Version"].as_i64());
                    memory.held =
                        items.map(|item| (item["Key"].as_str().unwrap().to_owned(), of(item))).collect();
                }
                self.shows(When::At(revision), &KEYS, &memory.held);
            }
            sleep(PAUSE).await;
        }
    }

    async fn embedded(self, forgets: bool) {
        let snapshot: PathBuf = self.site.folder.path().join(&self.id);
        if forgets {
            let _ = std::fs::remove_file(&snapshot);
        }
        let url = |number: usize| self.site.urls[number % self.site.urls.len()].clone();
        let builder = Embedded::builder(url(self.turn), &self.site.app, &self.site.key);
        let builder = builder.profile(PROFILE).node_id(&self.id).url(url(self.turn + 1)).snapshot(snapshot);
        let zone = self.id.rsplit('-').next().unwrap();
        let builder = builder.label("zone", zone).backoff(PAUSE, PAUSE * 10);
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
            let held: Option<Held> = values
                .map(|(key, text)| Some((key.to_string(), Value { text: text?.to_string(), version: None })))
                .collect();
            if let Some(held) = held
                && client.revision() == revision
            {
                let mut memory = lock(&self.memory);
                if memory.revision != revision || memory.held != held {
                    assert!(revision >= memory.revision, "{} went back to {revision}", self.id);
                    self.shows(When::At(revision), &KEYS, &held);
                    (memory.revision, memory.held) = (revision, held);
                }
            }
            let _ = timeout(PAUSE, changes.next()).await;
        }
    }
}
