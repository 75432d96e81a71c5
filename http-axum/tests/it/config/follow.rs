//! `/publish/follow`: events of a rollout.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::api::Api;

/// An API with an app whose node `11` does not hold its release yet.
struct Rollout {
    api: Api,
    root: String,
    key: String,
    release: i64,
}

impl Rollout {
    async fn new() -> Self {
        let api = Api::new().await;
        let root = api.login("root").await;
        let made = |answer: Value| {
            assert_eq!(answer["code"], 0, "{answer}");
            answer["data"].clone()
        };
        made(api.get(&root, "/app/create?app=app1&appType=0&name=n&charger=c").await.ok());
        let key =
            made(api.get(&root, "/app/key/create?app=app1").await.ok())["Key"].as_str().unwrap().to_owned();
        let node = json!({"app": "app1", "profile": "dev", "nodeId": "11", "pid": "1"});
        made(api.post(&key, "/node/register", node).await.ok());
        let apply = json!({
            "app": "app1", "profile": "dev", "changes": [{"key": "k", "value": "v"}], "publish": true,
        });
        let applied = made(api.post(&root, "/config/apply", apply).await.ok());
        let release = applied["Release"].as_i64().unwrap();
        Self { api, root, key, release }
    }

    fn uri(&self, more: &str) -> String {
        format!("/publish/follow?release={}{more}", self.release)
    }

    /// The events of an answer that ends by itself.
    async fn events(&self, more: &str) -> Vec<Value> {
        let answer = self.api.get(&self.root, &self.uri(more)).await;
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_bytes()),
            (StatusCode::OK, b"text/event-stream".as_slice())
        );
        events(answer.body.as_str().unwrap())
    }

    async fn ack(&self) {
        let result = json!([{"key": "k", "version": 1, "result": "applied"}]);
        let ack = json!({"app": "app1", "profile": "dev", "nodeId": "11", "results": result});
        assert_eq!(self.api.post(&self.key, "/node/ack", ack).await.ok()["code"], 0);
    }
}

/// The data of events `rollout`.
fn events(text: &str) -> Vec<Value> {
    let events = text.split_terminator("\n\n").filter(|event| *event != ":");
    let data = |event: &str| {
        event.strip_prefix("event: rollout\ndata: ").unwrap_or_else(|| panic!("{event}")).to_owned()
    };
    events.map(|event| serde_json::from_str(&data(event)).unwrap()).collect()
}

#[tokio::test]
async fn a_rollout_is_told_as_events_until_it_is_settled() {
    let rollout = Rollout::new().await;
    let told = rollout.events("&wait=0").await;
    let [first] = &told[..] else { panic!("{told:?}") };
    let status =
        rollout.api.get(&rollout.root, &format!("/publish/status?release={}", rollout.release)).await.ok();
    for (name, value) in status["data"].as_object().unwrap() {
        assert_eq!(first.get(name), (name != "Items").then_some(value), "{name}");
    }
    assert_eq!((&first["Counts"]["pending"], &first["Settled"]), (&json!(1), &json!(false)));

    // The acknowledgement comes while the stream is open.
    let request = Request::get(rollout.uri("")).header("authorization", format!("Bearer {}", rollout.root));
    let answer = rollout.api.raw(request.body(Body::empty()).unwrap()).await;
    let mut body = answer.into_body().into_data_stream();
    let first = body.next().await.unwrap().unwrap();
    assert_eq!(events(std::str::from_utf8(&first).unwrap())[0]["Nodes"][0]["State"], "pending");
    rollout.ack().await;
    let mut rest = String::new();
    while let Some(bytes) = timeout(Duration::from_mins(1), body.next()).await.unwrap() {
        rest.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
    }
    let rest = events(&rest);
    let last = rest.last().unwrap();
    assert_eq!((&last["Counts"]["applied"], &last["Settled"]), (&json!(1), &json!(true)), "{rest:?}");
    assert_eq!(last["Nodes"][0]["State"], "applied");
    assert_eq!(rollout.events("").await.len(), 1, "what is settled is told once");
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_in_the_envelope() {
    let rollout = Rollout::new().await;
    let stranger = rollout.api.account("stranger", "").await;
    for (token, uri, code) in [
        (&rollout.root, "/publish/follow?release=99".to_owned(), 6),
        (&rollout.root, rollout.uri("&wait=601"), 2),
        (&rollout.root, rollout.uri("&wait=-1"), 2),
        (&rollout.root, rollout.uri("&node=11"), 2),
        (&rollout.root, "/publish/follow".to_owned(), 2),
        (&stranger, rollout.uri(""), 4),
        (&stranger, "/publish/follow?release=99".to_owned(), 4),
        (&rollout.key, rollout.uri(""), 3),
    ] {
        assert_eq!(rollout.api.get(token, &uri).await.codes(), (200, code), "{uri}");
    }
}
