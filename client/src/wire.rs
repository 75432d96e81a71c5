//! The calls of a node on a server.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::node::chain;

/// How long a call may take; of a watch, until it begins to answer.
const CALL_TIME: Duration = Duration::from_secs(10);

/// Why a call did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server does not know the node.
    Unregistered(String),
    /// The app key is wrong, or not this app's.
    Refused(String),
    /// The server will never accept this.
    Invalid(String),
    /// It may go better another time, or on another server.
    Failed(String),
}

impl CallError {
    pub(crate) fn text(&self) -> &str {
        let (Self::Unregistered(text) | Self::Refused(text) | Self::Invalid(text) | Self::Failed(text)) =
            self;
        text
    }
}

/// What changed for a node.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Event {
    pub(crate) revision: i64,
    #[serde(default)]
    pub(crate) items: Vec<Item>,
    #[serde(default)]
    pub(crate) removed: Vec<String>,
}

/// A value that the node should hold.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) version: i64,
}

/// What became of a version on this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Outcome {
    pub(crate) version: i64,
    pub(crate) result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
}

/// A node, as it shows itself.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) app: String,
    pub(crate) profile: String,
    pub(crate) node_id: String,
    pub(crate) pid: String,
    pub(crate) ip: Option<String>,
    pub(crate) labels: BTreeMap<String, String>,
}

pub(crate) struct Wire {
    pub(crate) http: reqwest::Client,
    /// Without a slash at the end; at least one.
    pub(crate) urls: Vec<String>,
    /// Which of them is asked.
    pub(crate) turn: AtomicUsize,
    pub(crate) key: String,
    pub(crate) identity: Identity,
}

impl Wire {
    /// From now on asks the next server.
    pub(crate) fn turn_to_next(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers the app's revision.
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
        revision.ok_or_else(|| CallError::Failed("a registration without a revision".to_owned()))
    }

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

    pub(crate) async fn leave(&self) -> Result<(), CallError> {
        let Identity { app, profile, node_id, .. } = &self.identity;
        let body = json!({"app": app, "profile": profile, "nodeId": node_id});
        self.post("/node/leave", &body).await.map(drop)
    }

    /// Opens the watch from a revision on; from 0 on is everything at once.
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
        let answer = tokio::time::timeout(CALL_TIME, self.send(request)).await;
        let answer = answer.map_err(|_| CallError::Failed("the watch did not begin".to_owned()))??;
        let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if answer.status() == StatusCode::OK && kind.starts_with("text/event-stream") {
            return Ok(answer);
        }
        Err(match tokio::time::timeout(CALL_TIME, verdict(answer)).await {
            Ok(Err(error)) => error,
            _ => CallError::Failed("the watch is no event stream".to_owned()),
        })
    }

    /// Answers the data.
    async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        let request = self.http.post(self.url(path)).timeout(CALL_TIME).json(body);
        verdict(self.send(request).await?).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        request.bearer_auth(&self.key).send().await.map_err(failed)
    }

    fn url(&self, path: &str) -> String {
        let turn = self.turn.load(Ordering::Relaxed) % self.urls.len();
        format!("{}{path}", self.urls[turn])
    }
}

/// The data of an answer whose envelope says that all is well.
async fn verdict(answer: Response) -> Result<Value, CallError> {
    #[derive(Deserialize)]
    struct Envelope {
        code: i64,
        #[serde(default)]
        msg: String,
        #[serde(default)]
        data: Value,
    }
    let status = answer.status();
    let body = answer.bytes().await.map_err(failed)?;
    let Ok(Envelope { code, msg, data }) = serde_json::from_slice(&body) else {
        return Err(CallError::Failed(format!("HTTP {status} and no answer of a Pilothouse server")));
    };
    // With another status the call did not get as far as the node: a path that is unknown, too many requests.
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

pub(crate) fn failed(error: reqwest::Error) -> CallError {
    // The address would show the node's id; the cause says more.
    CallError::Failed(chain(&error.without_url()))
}
