//! HTTP calls of a node: register, watch, acknowledge and leave, and the response envelope of the server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::error_chain;

/// Time-out of a call; of a watch, only until the response headers.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Failure of a call, by what the client does about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// Node unknown to the server (code 6): it registers again.
    Unregistered(String),
    /// App key wrong or of another app (codes 3 and 4): retried rarely.
    Refused(String),
    /// Request that the server will never accept (code 2): given up.
    Invalid(String),
    /// Any other failure: retried later, on the next server.
    Failed(String),
}

impl CallError {
    pub(crate) fn message(&self) -> &str {
        let (Self::Unregistered(text) | Self::Refused(text) | Self::Invalid(text) | Self::Failed(text)) =
            self;
        text
    }
}

/// Data of a `change` event: the items that changed for this node, or all of them in the first event of a full state.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ChangeEvent {
    pub(crate) revision: i64,
    #[serde(default)]
    pub(crate) items: Vec<Item>,
    #[serde(default)]
    pub(crate) removed: Vec<String>,
}

/// Effective value of a key for this node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) version: i64,
}

/// Outcome of a version on this node, as it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) version: i64,
    /// `applied`, `rejected` or `failed`.
    pub(crate) result: &'static str,
    /// Reason for a rejection or failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// Identity that a node registers with.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) app: String,
    pub(crate) profile: String,
    pub(crate) node_id: String,
    pub(crate) pid: String,
    pub(crate) ip: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// HTTP client of the node API, over one or several servers.
pub(crate) struct NodeApi {
    pub(crate) http: reqwest::Client,
    /// Base URLs of the servers, at least one, without a trailing slash.
    pub(crate) urls: Vec<String>,
    /// Counter that selects the current server, modulo the number of servers.
    pub(crate) current: AtomicUsize,
    /// App key, sent as bearer token.
    pub(crate) key: String,
    pub(crate) identity: Identity,
}

impl NodeApi {
    /// Switches to the next server for all further calls.
    pub(crate) fn use_next_server(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    /// Registers the node and returns the app's current revision.
    pub(crate) async fn register(&self) -> Result<i64, CallError> {
        let Identity { app, profile, node_id, pid, ip, labels } = &self.identity;
        let mut body = json!({"app": app, "profile": profile, "pid": pid, "nodeId": node_id});
        if let Some(ip) = ip {
            body["ip"] = json!(ip);
        }
        if !labels.is_empty() {
            body["labels"] = json!(labels);
        }
        let registered = self.post("/node/register", &body).await?;
        let revision = registered.get("Revision").and_then(Value::as_i64);
        revision.ok_or_else(|| CallError::Failed("the registration response has no Revision".to_owned()))
    }

    /// Acknowledges outcomes by key.
    pub(crate) async fn acknowledge(&self, outcomes: &[(&str, &Outcome)]) -> Result<(), CallError> {
        #[derive(Serialize)]
        struct Row<'a> {
            key: &'a str,
            #[serde(flatten)]
            outcome: &'a Outcome,
        }
        let Identity { app, profile, node_id, .. } = &self.identity;
        let results: Vec<_> = outcomes.iter().map(|(key, outcome)| Row { key, outcome }).collect();
        let body = json!({"app": app, "profile": profile, "nodeId": node_id, "results": results});
        self.post("/node/ack", &body).await.map(drop)
    }

    /// Deregisters the node.
    pub(crate) async fn leave(&self) -> Result<(), CallError> {
        let Identity { app, profile, node_id, .. } = &self.identity;
        let body = json!({"app": app, "profile": profile, "nodeId": node_id});
        self.post("/node/leave", &body).await.map(drop)
    }

    /// Opens the event stream of changes after a revision; from revision 0 the first event is the full state.
    pub(crate) async fn watch(&self, revision: i64) -> Result<Response, CallError> {
        let Identity { app, profile, node_id, .. } = &self.identity;
        let mut request = self
            .http
            .get(self.url("/node/watch"))
            .query(&[("app", app), ("profile", profile), ("nodeId", node_id)])
            .header(ACCEPT, "text/event-stream");
        if revision > 0 {
            request = request.header("Last-Event-ID", revision);
        }
        let response = tokio::time::timeout(CALL_TIMEOUT, self.send(request)).await;
        let response =
            response.map_err(|_| CallError::Failed("the watch request timed out".to_owned()))??;
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if response.status() == StatusCode::OK
            && content_type.is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            return Ok(response);
        }
        Err(match tokio::time::timeout(CALL_TIMEOUT, read_envelope(response)).await {
            Ok(Err(error)) => error,
            _ => CallError::Failed("the watch response is not an event stream".to_owned()),
        })
    }

    /// Posts a JSON body and returns the data of the response.
    async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let request = self.http.post(self.url(path)).timeout(CALL_TIMEOUT).json(body);
        read_envelope(self.send(request).await?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        request.bearer_auth(&self.key).send().await.map_err(transport_error)
    }

    fn url(&self, path: &str) -> String {
        let current = self.current.load(Ordering::Relaxed) % self.urls.len();
        format!("{}{path}", self.urls[current])
    }
}

/// Reads the response envelope: the data of a success, or the failure that its code stands for.
async fn read_envelope(response: Response) -> Result<Value, CallError> {
    #[derive(Deserialize)]
    struct Envelope {
        code: i64,
        #[serde(default)]
        msg: String,
        #[serde(default)]
        data: Value,
    }
    let status = response.status();
    let body = response.bytes().await.map_err(transport_error)?;
    let Ok(Envelope { code, msg, data }) = serde_json::from_slice(&body) else {
        return Err(CallError::Failed(format!("HTTP {status}: not a response of a Pilothouse server")));
    };
    // Any other status means that the call did not reach the node API (unknown path, too many requests), where the
    // same codes have other meanings.
    if status != StatusCode::OK {
        return Err(CallError::Failed(format!("HTTP {status}: {msg}")));
    }
    match code {
        0 => Ok(data),
        2 => Err(CallError::Invalid(msg)),
        3 | 4 => Err(CallError::Refused(msg)),
        6 => Err(CallError::Unregistered(msg)),
        _ => Err(CallError::Failed(msg)),
    }
}

/// Converts a failure of HTTP itself, with its causes.
pub(crate) fn transport_error(error: reqwest::Error) -> CallError {
    // The URL is left out: it contains the node's id, and tells less than the cause.
    CallError::Failed(error_chain(&error.without_url()))
}
