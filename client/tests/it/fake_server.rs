//! Scripted node API server: answers as a test scripts it and records the requests.

use std::collections::HashMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
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
use pilothouse_test_support::free_port;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

pub(crate) const KEY: &str = "app-key";

/// Scripted answers of the server, and a record of the requests it received.
#[derive(Default)]
pub(crate) struct Script {
    /// First event of a watch without `Last-Event-ID`: the full state.
    pub(crate) full_state: Value,
    /// First event of the next watch that resumes, if any: the delta it missed.
    pub(crate) missed: Option<Value>,
    /// Error answers (HTTP status and code) to the next calls of a path, used up one by one.
    pub(crate) refusals: HashMap<&'static str, Vec<(u16, i64)>>,
    /// Bodies of the accepted registrations.
    pub(crate) registered: Vec<Value>,
    /// `Last-Event-ID` of each watch.
    pub(crate) resumed: Vec<Option<String>>,
    /// Bodies of the accepted acknowledgements.
    pub(crate) acknowledged: Vec<Value>,
    /// Bodies of the deregistrations.
    pub(crate) left: Vec<Value>,
    /// `Authorization` header of every request.
    pub(crate) authorizations: Vec<String>,
    watches: Vec<UnboundedSender<String>>,
}

/// Scripted server on a port of its own.
pub(crate) struct FakeServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl FakeServer {
    /// Starts a server with this event as the full state of every node.
    pub(crate) async fn new(full_state: Value) -> Self {
        let script = Script { full_state, ..Script::default() };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self::start(address, Arc::new(Mutex::new(script))).await
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

    /// Builder of a client of this server, with short waits.
    pub(crate) fn client(&self) -> Builder {
        client(self.url())
    }

    /// Sends a change event on every open watch.
    pub(crate) fn send_event(&self, event: &Value) {
        self.send_text(&encode(event));
    }

    /// Sends raw text on every open watch.
    pub(crate) fn send_text(&self, text: &str) {
        let mut script = self.script();
        script.watches.retain(|watch| watch.send(text.to_owned()).is_ok());
        assert!(!script.watches.is_empty(), "no watch is open");
    }

    /// Closes every open watch.
    pub(crate) fn close_watches(&self) {
        self.script().watches.clear();
    }

    /// Stops listening and closes all connections.
    pub(crate) async fn stop(self) -> StoppedServer {
        self.close_watches();
        self.task.abort();
        let _ = self.task.await;
        StoppedServer { address: self.address, script: self.script }
    }

    /// Last acknowledged outcome of each key: version, result and message.
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

/// Stopped server, which can be started again on the same address.
pub(crate) struct StoppedServer {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl StoppedServer {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn start(self) -> FakeServer {
        FakeServer::start(self.address, self.script).await
    }
}

pub(crate) fn client(url: impl Into<String>) -> Builder {
    Client::builder(url, "shop", KEY)
        .profile("production")
        .backoff(Duration::from_millis(5), Duration::from_millis(40))
        .http(crate::http_client())
}

/// URL of a port on which nothing listens.
pub(crate) async fn unused_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn item(key: &str, value: &str, version: i64) -> Value {
    json!({"Key": key, "Value": value, "Version": version})
}

pub(crate) fn event(revision: i64, items: &[Value], removed: &[&str]) -> Value {
    json!({"Revision": revision, "Items": items, "Removed": removed})
}

/// Encodes a change event as server-sent event.
fn encode(event: &Value) -> String {
    format!("event: change\nid: {}\ndata: {event}\n\n", event["Revision"])
}

/// Waits until a condition is true, and panics after 10 s with its description and the place of the call.
#[track_caller]
pub(crate) fn eventually(
    description: &'static str,
    condition: impl Fn() -> bool,
) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        for _ in 0..2000 {
            if condition() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{place}: timed out waiting for {description}");
    }
}

/// Shared script, as the handlers extract it.
type Scripted = State<Arc<Mutex<Script>>>;

impl Script {
    /// Takes the next scripted error answer of a path, if there is one.
    fn refusal(&mut self, path: &str, headers: &HeaderMap) -> Option<Response> {
        let authorization = headers["authorization"].to_str().unwrap().to_owned();
        self.authorizations.push(authorization);
        let refusals = self.refusals.get_mut(path).filter(|refusals| !refusals.is_empty())?;
        let (status, code) = refusals.remove(0);
        let body = Json(json!({"code": code, "msg": format!("scripted code {code}")}));
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
    let data = json!({"NodeId": body["nodeId"], "Lease": 15, "Revision": script.full_state["Revision"]});
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
        // Before the first publication a real server sends no event.
        None => Some(script.full_state.clone()).filter(|full_state| full_state["Revision"] != 0),
        Some(_) => script.missed.take(),
    };
    script.resumed.push(resumed);
    let (send, mut receive) = unbounded_channel();
    if let Some(first) = first {
        send.send(encode(&first)).unwrap();
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
