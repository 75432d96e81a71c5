//! HTTP proxy in front of a server that records what a client asked and what it was answered.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::installation::TIMEOUT;
use super::test_node::lock;

/// A request that passed the proxy.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProxiedCall {
    /// Path of the request, without its query.
    pub(crate) path: String,
    /// Status of the answer; `None` while there is none.
    pub(crate) status: Option<u16>,
    /// The answer's body so far.
    pub(crate) body: Vec<u8>,
    /// Whether the answer has ended, or was broken off.
    pub(crate) is_over: bool,
}

impl ProxiedCall {
    fn is_answered(&self, prefix: &str) -> bool {
        self.status == Some(200) && self.path.starts_with(prefix)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What a client was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// Answers of `/notifications/v2` that named namespaces.
    pub(crate) notifications: usize,
    /// Answers that held a whole namespace, the same as before or not.
    pub(crate) fetches: usize,
    /// Events `change` of event streams.
    pub(crate) events: usize,
}

/// A proxy of one client; it ends when it is dropped.
pub(crate) struct RecordingProxy {
    port: u16,
    calls: Arc<Mutex<Vec<ProxiedCall>>>,
    task: JoinHandle<()>,
}

/// What the handler of the proxy needs.
#[derive(Clone)]
struct Forwarder {
    server: String,
    http: reqwest::Client,
    calls: Arc<Mutex<Vec<ProxiedCall>>>,
}

/// A call until its answer has ended, or its client or server is gone.
struct OpenCall {
    calls: Arc<Mutex<Vec<ProxiedCall>>>,
    index: usize,
}

impl OpenCall {
    fn change(&self, change: impl FnOnce(&mut ProxiedCall)) {
        change(&mut lock(&self.calls)[self.index]);
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.change(|call| call.is_over = true);
    }
}

impl RecordingProxy {
    /// Starts a proxy to the server of a URL.
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calls: Arc<Mutex<Vec<ProxiedCall>>> = Arc::default();
        let http = crate::support::http_client().build().unwrap();
        let state = Forwarder { server, http, calls: calls.clone() };
        let router = Router::new().fallback(Forwarder::forward).with_state(state);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, calls, task }
    }

    /// Base URL of the proxy.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the client was given so far.
    pub(crate) fn received(&self) -> Received {
        let calls = lock(&self.calls);
        let count = |prefix: &str| calls.iter().filter(|call| call.is_answered(prefix)).count();
        let streams = calls.iter().filter(|call| call.is_answered("/node/watch"));
        Received {
            notifications: count("/notifications/v2"),
            fetches: count("/configs/") + count("/configfiles/"),
            events: streams.map(|call| call.text().matches("event: change\n").count()).sum(),
        }
    }

    /// Waits until the client has nothing to do but to wait: its last request is a long poll without an answer, or an open
    /// event stream.
    pub(crate) async fn wait_until_idle(&self) {
        let begun = Instant::now();
        while !self.is_idle() {
            assert!(
                begun.elapsed() < TIMEOUT,
                "the client does not come to rest: {:?}",
                lock(&self.calls).last()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn is_idle(&self) -> bool {
        let calls = lock(&self.calls);
        let waits = |call: &ProxiedCall| {
            let is_poll = call.path == "/notifications/v2" && call.status.is_none();
            is_poll || call.path == "/node/watch" && call.status == Some(200)
        };
        let open: Vec<_> = calls.iter().filter(|call| !call.is_over).collect();
        !open.is_empty() && open.into_iter().all(waits)
    }
}

impl Drop for RecordingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Forwarder {
    async fn forward(State(state): State<Self>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        // A client that hangs up before the answer drops this future, and later on the body.
        let open = {
            let mut calls = lock(&state.calls);
            calls.push(ProxiedCall { path: parts.uri.path().to_owned(), ..ProxiedCall::default() });
            OpenCall { calls: state.calls.clone(), index: calls.len() - 1 }
        };
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let sent = state.http.request(parts.method, format!("{}{target}", state.server));
        let sent = sent.headers(end_to_end(parts.headers)).body(body).send().await;
        let Ok(answer) = sent else { return StatusCode::BAD_GATEWAY.into_response() };
        let (status, headers) = (answer.status(), end_to_end(answer.headers().clone()));
        open.change(|call| call.status = Some(status.as_u16()));
        let chunks = stream::unfold((answer, open), |(mut answer, open)| async move {
            let chunk = answer.chunk().await.transpose()?;
            if let Ok(chunk) = &chunk {
                open.change(|call| call.body.extend_from_slice(chunk));
            }
            Some((chunk, (answer, open)))
        });
        (status, headers, Body::from_stream(chunks)).into_response()
    }
}

/// The headers without those of one connection.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}
