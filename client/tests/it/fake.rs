//! A server that answers as it is told, and remembers what it was asked.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use pilothouse_client::{Builder, Client};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "app-key";

#[derive(Default)]
pub(crate) struct Script {
    /// Told to a watch that resumes from nothing.
    pub(crate) everything: Value,
    /// Told to a watch that resumes.
    pub(crate) missed: Option<Value>,
    /// What the next calls on a path are answered with, instead of being done.
    pub(crate) refusals: HashMap<&'static str, Vec<(u16, i64)>>,
    /// What was registered, each time.
    pub(crate) registered: Vec<Value>,
    /// What each watch resumed from.
    pub(crate) resumed: Vec<Option<String>>,
    /// Every acknowledgement that was accepted.
    pub(crate) acknowledged: Vec<Value>,
    pub(crate) left: Vec<Value>,
    pub(crate) bearers: Vec<String>,
    watches: Vec<UnboundedSender<String>>,
}

pub(crate) struct Fake {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// One that tells a node to hold everything that this event says.
    pub(crate) async fn new(everything: Value) -> Self {
        let script = Script { everything, ..Script::default() };
        Self::start("127.0.0.1:0".parse().unwrap(), Arc::new(Mutex::new(script))).await
    }

    async fn start(address: SocketAddr, script: Arc<Mutex<Script>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/node/register", post(register))
            .route("/node/watch", get(watch))
            .route("/node/ack", post(ack))
            .route("/node/leave", post(leave))
            .with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, script, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    /// A client of this server, in a hurry.
    pub(crate) fn client(&self) -> Builder {
        client(self.url())
    }

    /// Tells every watch that is open.
    pub(crate) fn tell(&self, event: &Value) {
        self.send(&change(event));
    }

    /// Sends bytes on every watch that is open.
    pub(crate) fn send(&self, text: &str) {
        let mut script = self.script();
        script.watches.retain(|watch| watch.send(text.to_owned()).is_ok());
        assert!(!script.watches.is_empty(), "somebody listens");
    }

    /// Ends every watch.
    pub(crate) fn cut(&self) {
        self.script().watches.clear();
    }

    /// Stops answering.
    pub(crate) async fn stop(self) -> Stopped {
        self.cut();
        self.task.abort();
        let _ = self.task.await;
        Stopped { address: self.address, script: self.script }
    }

    /// What was acknowledged last about each key: version, result and message.
    pub(crate) fn outcomes(&self) -> HashMap<String, (i64, String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let script = self.script();
        let rows = script.acknowledged.iter().flat_map(|call| call["results"].as_array().unwrap());
        rows.map(|row| {
            let outcome = (row["version"].as_i64().unwrap(), text(&row["result"]), text(&row["message"]));
            (text(&row["key"]), outcome)
        })
        .collect()
    }
}

/// A server that is down, and may come back.
pub(crate) struct Stopped {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Stopped {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn start(self) -> Fake {
        Fake::start(self.address, self.script).await
    }
}

pub(crate) fn client(url: impl Into<String>) -> Builder {
    Client::builder(url, "shop", KEY)
        .profile("production")
        .backoff(Duration::from_millis(5), Duration::from_millis(40))
        .http(reqwest::Client::builder().no_proxy().build().unwrap())
}

/// An address at which nobody listens.
pub(crate) async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn item(key: &str, value: &str, version: i64) -> Value {
    json!({"Key": key, "Value": value, "Version": version})
}

pub(crate) fn event(revision: i64, items: &[Value], removed: &[&str]) -> Value {
    json!({"Revision": revision, "Items": items, "Removed": removed})
}

fn change(event: &Value) -> String {
    format!("event: change\nid: {}\ndata: {event}\n\n", event["Revision"])
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &'static str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{place}: never: {what}");
    }
}

type Scripted = State<Arc<Mutex<Script>>>;

impl Script {
    fn refusal(&mut self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let bearer = headers["authorization"].to_str().unwrap().to_owned();
        self.bearers.push(bearer);
        let refusals = self.refusals.get_mut(path).filter(|refusals| !refusals.is_empty())?;
        let (status, code) = refusals.remove(0);
        let body = Json(json!({"code": code, "msg": format!("told to answer {code}")}));
        Some((StatusCode::from_u16(status).unwrap(), body).into_response())
    }
}

fn success(data: &Value) -> Response {
    Json(json!({"code": 0, "msg": "success", "data": data})).into_response()
}

async fn register(State(script): Scripted, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut script = script.lock().unwrap();
    if let Some(refusal) = script.refusal("/node/register", &headers) {
        return refusal;
    }
    let data = json!({"NodeId": body["nodeId"], "Lease": 15, "Revision": script.everything["Revision"]});
    script.registered.push(body);
    success(&data)
}

async fn watch(
    State(script): Scripted,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let mut script = script.lock().unwrap();
    if let Some(refusal) = script.refusal("/node/watch", &headers) {
        return refusal;
    }
    if !script.registered.iter().any(|body| body["nodeId"] == query["nodeId"]) {
        return Json(json!({"code": 6, "msg": "the node does not exist"})).into_response();
    }
    assert_eq!((&*query["app"], &*query["profile"]), ("shop", "production"));
    assert_eq!(headers["accept"], "text/event-stream");
    let resumed = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    let first = match &resumed {
        // There is nothing to tell before the first publication.
        None => Some(script.everything.clone()).filter(|everything| everything["Revision"] != 0),
        Some(_) => script.missed.take(),
    };
    script.resumed.push(resumed);
    let (send, mut receive) = unbounded_channel();
    if let Some(first) = first {
        send.send(change(&first)).unwrap();
    }
    script.watches.push(send);
    let body =
        stream::poll_fn(move |context| receive.poll_recv(context).map(|text| text.map(Ok::<_, String>)));
    ([("content-type", "text/event-stream")], Body::from_stream(body)).into_response()
}

async fn ack(State(script): Scripted, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut script = script.lock().unwrap();
    if let Some(refusal) = script.refusal("/node/ack", &headers) {
        return refusal;
    }
    script.acknowledged.push(body);
    success(&Value::Null)
}

async fn leave(State(script): Scripted, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let mut script = script.lock().unwrap();
    if let Some(refusal) = script.refusal("/node/leave", &headers) {
        return refusal;
    }
    script.left.push(body);
    success(&Value::Null)
}
