//! How nodes get their configuration: register, config, watch, ack, leave; and what is told of it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::api::Api;

struct Centre {
    api: Api,
    root: String,
    key: String,
    id: i64,
}

impl Centre {
    async fn new() -> Self {
        let api = Api::new().await;
        let root = api.login("root").await;
        let mut centre = Self { api, root, key: String::new(), id: 0 };
        centre.ok("/app/create?app=app1&appType=0&name=n&charger=c").await;
        let key = centre.ok("/app/key/create?app=app1").await;
        centre.key = key["Key"].as_str().unwrap().to_owned();
        centre.id = centre.ok("/config/create?app=app1&profile=dev&key=k&value=v1").await.as_i64().unwrap();
        centre
    }

    async fn ok(&self, uri: &str) -> Value {
        let body = self.api.get(&self.root, uri).await.ok();
        assert_eq!(body["code"], 0, "{uri}: {body}");
        body["data"].clone()
    }

    async fn publish(&self, more: &str) -> Value {
        self.ok("/config/approve?app=app1&profile=dev&key=k").await;
        self.ok(&format!("/publish?id={}{more}", self.id)).await
    }

    async fn update(&self, value: &str) {
        self.ok(&format!("/config/update?app=app1&profile=dev&key=k&value={value}")).await;
    }

    async fn node(&self, path: &str, body: Value) -> Value {
        let mut arguments = json!({"app": "app1", "profile": "dev", "nodeId": "11"});
        arguments.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        self.api.post(&self.key, path, arguments).await.ok()
    }

    async fn register(&self, node: &str) {
        let answer = self.node("/node/register", json!({"nodeId": node, "pid": "4711"})).await;
        assert_eq!(answer["code"], 0, "{answer}");
    }

    fn router(&self) -> Router {
        router(ApiState::new(self.api.pilothouse.clone()).settings(HttpSettings::default())).0
    }

    async fn watch(&self, query: &str, headers: &[(&str, &str)]) -> Response {
        let uri = format!("/node/watch?app=app1&profile=dev&nodeId=11{query}");
        let mut request = Request::get(uri).header("authorization", format!("Bearer {}", self.key));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    async fn events(&self, query: &str, headers: &[(&str, &str)]) -> Events {
        let mut headers = headers.to_vec();
        headers.push(("accept", "text/event-stream"));
        let response = self.watch(query, &headers).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events(Box::pin(response.into_body().into_data_stream().map(|bytes| bytes.unwrap())))
    }

    async fn config(&self, tag: Option<&str>) -> (StatusCode, String, Value) {
        let uri = "/node/config?app=app1&profile=dev&nodeId=11";
        let mut request = Request::get(uri).header("authorization", format!("Bearer {}", self.key));
        if let Some(tag) = tag {
            request = request.header("if-none-match", tag);
        }
        let answer = self.api.send(request.body(Body::empty()).unwrap()).await;
        let tag = answer.headers.get("etag").map(|tag| tag.to_str().unwrap().to_owned());
        (answer.status, tag.unwrap_or_default(), answer.body)
    }
}

struct Events(std::pin::Pin<Box<dyn futures_util::Stream<Item = axum::body::Bytes>>>);

impl Events {
    /// The next event that is no heartbeat: id and data.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            let bytes = timeout(Duration::from_secs(5), self.0.next()).await.unwrap()?;
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            if text.starts_with(':') {
                continue;
            }
            let lines: Vec<_> = text.strip_suffix("\n\n").unwrap().split('\n').collect();
            assert_eq!((lines.len(), lines[0]), (3, "event: change"));
            let id = lines[1].strip_prefix("id: ").unwrap().parse().unwrap();
            return Some((id, serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap()));
        }
    }
}

async fn body(response: Response) -> Value {
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn item(value: &str, version: i64) -> Value {
    json!({"Key": "k", "Value": value, "Version": version})
}

#[tokio::test]
async fn a_node_registers_and_reads() {
    let centre = Centre::new().await;
    let (status, _, refused) = centre.config(None).await;
    assert_eq!((status, refused), (StatusCode::OK, json!({"code": 6, "msg": "the node does not exist"})));
    let answer = centre
        .node("/node/register", json!({"pid": "4711", "labels": {"zone": "a"}, "ip": "10.2.2.2"}))
        .await;
    let expected = json!({"NodeId": "11", "Lease": 15, "Revision": 0});
    assert_eq!(answer, json!({"code": 0, "msg": "success", "data": expected}));
    let nodes = centre.ok("/node/list?app=app1&profile=dev").await;
    let registered = nodes["11"]["RegisterTime"].clone();
    let node =
        json!({"NodeId": "11", "App": "app1", "Profile": "dev", "Pid": "4711", "RegisterTime": registered});
    assert_eq!(nodes, json!({"11": node}));

    let (_, empty, answer) = centre.config(None).await;
    assert_eq!(answer["data"], json!({"Revision": 0, "Items": []}));
    assert_eq!(centre.config(Some(&empty)).await.0, StatusCode::NOT_MODIFIED);
    centre.publish("").await;
    let (status, tag, answer) = centre.config(Some(&empty)).await;
    assert_eq!(
        (status, &answer["data"]),
        (StatusCode::OK, &json!({"Revision": 1, "Items": [item("v1", 1)]}))
    );
    let (status, same, answer) = centre.config(Some(&format!("\"x\", {tag}"))).await;
    assert_eq!((status, same == tag, answer), (StatusCode::NOT_MODIFIED, true, json!("")));
    // Another revision with the same items is no news.
    centre.publish("").await;
    assert_eq!(centre.config(Some(&tag)).await.0, StatusCode::NOT_MODIFIED);

    assert_eq!(centre.node("/node/leave", json!({})).await["code"], 0);
    assert_eq!(centre.ok("/node/list?app=app1&profile=dev").await, json!({}));
    assert_eq!(centre.config(None).await.2["code"], 6);
}

#[tokio::test]
async fn what_nodes_may_not_say() {
    let centre = Centre::new().await;
    centre.register("11").await;
    for (path, arguments, expected) in [
        ("/node/register", json!({"pid": "x".repeat(65)}), "pid: must be at most 64 bytes, not 65"),
        (
            "/node/register",
            json!({"pid": "1", "nodeId": "a,b"}),
            "nodeId: may hold only printable ASCII without blank and comma",
        ),
        ("/node/register", json!({"pid": "1", "ip": "home"}), "ip: must be an IPv4 or IPv6 address"),
        (
            "/node/register",
            json!({"pid": "1", "labels": {"a": "b,c"}}),
            "labels: a value must not hold a comma",
        ),
        ("/node/register", json!({"pid": "1", "profile": ".."}), "profile: must not be . or .."),
        (
            "/node/ack",
            json!({"results": [{"key": "k", "version": 1, "result": "fine"}]}),
            "result: must be applied, rejected or failed",
        ),
        (
            "/node/ack",
            json!({"results": [{"key": "", "version": 1, "result": "applied"}]}),
            "key: must not be empty",
        ),
        (
            "/node/ack",
            json!({"results": [{"key": "k", "version": -1, "result": "applied"}]}),
            "version: must not be negative",
        ),
    ] {
        assert_eq!(centre.node(path, arguments).await, json!({"code": 2, "msg": expected}));
    }
    for (query, expected) in [
        ("&revision=-1", "revision: must not be negative"),
        ("&wait=61", "wait: must be from 0 to 60 seconds"),
        ("&wait=-1", "wait: must be from 0 to 60 seconds"),
    ] {
        let answer = body(centre.watch(query, &[]).await).await;
        assert_eq!(answer, json!({"code": 2, "msg": expected}));
    }
    let answer =
        body(centre.watch("", &[("accept", "text/event-stream"), ("last-event-id", "x")]).await).await;
    assert_eq!(answer, json!({"code": 2, "msg": "Last-Event-ID: must be the id of an event"}));
}

#[tokio::test]
async fn long_polls_wait_for_news() {
    let centre = Centre::new().await;
    centre.register("11").await;
    let answer = body(centre.watch("&wait=0", &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": 0, "Items": [], "Removed": []}));
    let waiting = centre.watch("&wait=60", &[]).await;
    centre.publish("").await;
    let answer = timeout(Duration::from_secs(5), body(waiting)).await.unwrap();
    let expected = json!({"Revision": 1, "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(answer, json!({"code": 0, "msg": "success", "data": expected}));
    let answer = body(centre.watch("&revision=1&wait=0", &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": 1, "Items": [], "Removed": []}));
    centre.ok("/config/del?app=app1&profile=dev&key=k").await;
    let answer = body(centre.watch("&revision=1", &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": 2, "Items": [], "Removed": ["k"]}));
    // Ahead of the server: it holds a restored backup, and tells all there is.
    let answer = body(centre.watch("&revision=9", &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": 2, "Items": [], "Removed": []}));
}

#[tokio::test]
async fn streams_carry_values_and_resume() {
    let centre = Centre::new().await;
    centre.register("11").await;
    centre.publish("").await;
    let mut events = centre.events("", &[]).await;
    let first = json!({"Revision": 1, "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(events.next().await, Some((1, first)));
    centre.update("v2").await;
    let grey = centre.publish("&nodes=11").await;
    assert_eq!((&grey["Kind"], &grey["Targets"]), (&json!("grey"), &json!(1)));
    let second = json!({"Revision": 2, "Items": [item("v2", 2)], "Removed": []});
    assert_eq!(events.next().await, Some((2, second.clone())));
    drop(events);
    let mut resumed = centre.events("&revision=0", &[("last-event-id", "1")]).await;
    assert_eq!(resumed.next().await, Some((2, second)), "the header wins");
    centre.ok(&format!("/publish/abort?release={}", grey["Release"])).await;
    let back = json!({"Revision": 3, "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(resumed.next().await, Some((3, back.clone())));
    // Holding something else it is told again, as the same event.
    let result = json!([{"key": "k", "version": 2, "result": "applied"}]);
    assert_eq!(centre.node("/node/ack", json!({"results": result})).await["code"], 0);
    assert_eq!(resumed.next().await, Some((3, back)));
    centre.node("/node/leave", json!({})).await;
    assert_eq!(resumed.next().await, None);

    centre.register("11").await;
    let mut events = centre.events("&revision=3", &[]).await;
    centre.api.pilothouse.feeds().end_watches();
    assert_eq!(events.next().await, None, "the server stops");
}

#[tokio::test]
async fn a_release_is_followed_to_its_nodes() {
    let centre = Centre::new().await;
    for node in ["11", "22"] {
        centre.register(node).await;
    }
    let full = centre.publish("").await;
    assert_eq!((&full["Kind"], &full["Targets"]), (&json!("full"), &json!(2)));
    let mut events = centre.events("", &[]).await;
    events.next().await.unwrap();
    let result = json!([{"key": "k", "version": 1, "result": "rejected", "message": "too bold"}]);
    assert_eq!(
        centre.node("/node/ack", json!({"results": result})).await,
        json!({"code": 0, "msg": "success", "data": null})
    );
    let status = centre.ok(&format!("/publish/status?release={}", full["Release"])).await;
    let nodes = &status["Nodes"];
    assert_eq!((&nodes[0]["State"], &nodes[0]["Message"]), (&json!("rejected"), &json!("too bold")));
    assert!(nodes[0]["SentTime"].as_str().unwrap() <= nodes[0]["AckTime"].as_str().unwrap());
    let pending = json!({"NodeId": "22", "State": "pending", "Version": 0, "Message": "", "SentTime": "", "AckTime": ""});
    assert_eq!((&nodes[1], &status["Latency"]), (&pending, &Value::Null));
    let result = json!([{"key": "k", "version": 1, "result": "applied"}]);
    centre.node("/node/ack", json!({"results": result})).await;
    let status = centre.ok(&format!("/publish/status?release={}", full["Release"])).await;
    assert!(status["Latency"]["Last"].as_f64().unwrap() >= 0.0);

    centre.update("v2").await;
    let grey = centre.publish("&percent=50").await;
    let promoted = centre.ok(&format!("/publish/promote?release={}", grey["Release"])).await;
    assert_eq!(promoted["Kind"], "full");
    let listed = centre.ok("/publish/list?app=app1&profile=dev").await;
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["Kind"], &row["State"])).collect();
    let (full_kind, grey_kind) = (json!("full"), json!("grey"));
    let (active, over, up) = (json!("active"), json!("superseded"), json!("promoted"));
    assert_eq!(states, [(&full_kind, &active), (&grey_kind, &up), (&full_kind, &over)]);
    assert_eq!(listed[0]["Counts"].as_object().unwrap().len(), 6);
    for uri in [
        format!("/publish/promote?release={}", full["Release"]),
        format!("/publish/abort?release={}", grey["Release"]),
    ] {
        assert_eq!(centre.api.get(&centre.root, &uri).await.codes(), (200, 7), "{uri}");
    }
}
