//! Delivery API: register, config, watch, ack, leave, and the status of releases.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use futures_util::StreamExt;
use pilothouse_core::Epoch;
use pilothouse_http_axum::{ApiState, HttpSettings, router};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use crate::api::Api;

/// An API with an app, an app key, and the item `k`.
struct DeliveryApi {
    api: Api,
    root: String,
    key: String,
    /// Id of the item `k`.
    id: i64,
}

impl DeliveryApi {
    async fn new() -> Self {
        let api = Api::new().await;
        let root = api.login("root").await;
        let mut fixture = Self { api, root, key: String::new(), id: 0 };
        fixture.ok("/app/create?app=app1&appType=0&name=n&charger=c").await;
        let key = fixture.ok("/app/key/create?app=app1").await;
        fixture.key = key["Key"].as_str().unwrap().to_owned();
        fixture.id = fixture.ok("/config/create?app=app1&profile=dev&key=k&value=v1").await.as_i64().unwrap();
        fixture
    }

    /// Calls by GET as root and expects success; the data of the answer.
    async fn ok(&self, uri: &str) -> Value {
        let body = self.api.get(&self.root, uri).await.ok();
        assert_eq!(body["code"], 0, "{uri}: {body}");
        body["data"].clone()
    }

    /// Approves and publishes `k`, with `more` arguments for `/publish`.
    async fn publish(&self, more: &str) -> Value {
        self.ok("/config/approve?app=app1&profile=dev&key=k").await;
        self.ok(&format!("/publish?id={}{more}", self.id)).await
    }

    /// The epoch of the app's revisions.
    async fn epoch(&self) -> Epoch {
        self.api.pilothouse.store_identity().await.unwrap().epoch
    }

    async fn update(&self, value: &str) {
        self.ok(&format!("/config/update?app=app1&profile=dev&key=k&value={value}")).await;
    }

    /// Calls as the node `11`, unless `body` names another; the answer.
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

    /// Watches as the node `11`.
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

    /// Status, entity tag and body of `/node/config` for the node `11`.
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

/// A stream of server-sent events.
struct Events(std::pin::Pin<Box<dyn futures_util::Stream<Item = axum::body::Bytes>>>);

impl Events {
    /// Id and data of the next event; heartbeats are skipped.
    async fn next(&mut self) -> Option<(i64, Value)> {
        loop {
            let bytes = timeout(Duration::from_mins(1), self.0.next()).await.unwrap()?;
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
    let fixture = DeliveryApi::new().await;
    let epoch = fixture.epoch().await;
    let at = |number| epoch.revision(number);
    let (status, _, refused) = fixture.config(None).await;
    assert_eq!((status, refused), (StatusCode::OK, json!({"code": 6, "msg": "the node does not exist"})));
    let answer = fixture
        .node("/node/register", json!({"pid": "4711", "labels": {"zone": "a"}, "ip": "10.2.2.2"}))
        .await;
    let expected = json!({"NodeId": "11", "Lease": 15, "Revision": at(0)});
    assert_eq!(answer, json!({"code": 0, "msg": "success", "data": expected}));
    let nodes = fixture.ok("/node/list?app=app1&profile=dev").await;
    let registered = nodes["11"]["RegisterTime"].clone();
    let node =
        json!({"NodeId": "11", "App": "app1", "Profile": "dev", "Pid": "4711", "RegisterTime": registered});
    assert_eq!(nodes, json!({"11": node}));

    let (_, empty, answer) = fixture.config(None).await;
    assert_eq!(answer["data"], json!({"Revision": at(0), "Items": []}));
    assert_eq!(fixture.config(Some(&empty)).await.0, StatusCode::NOT_MODIFIED);
    fixture.publish("").await;
    let (status, tag, answer) = fixture.config(Some(&empty)).await;
    assert_eq!(
        (status, &answer["data"]),
        (StatusCode::OK, &json!({"Revision": at(1), "Items": [item("v1", 1)]}))
    );
    let (status, same, answer) = fixture.config(Some(&format!("\"x\", {tag}"))).await;
    assert_eq!((status, same == tag, answer), (StatusCode::NOT_MODIFIED, true, json!("")));
    // The tag does not change with a revision that changes no item of the node.
    fixture.publish("").await;
    assert_eq!(fixture.config(Some(&tag)).await.0, StatusCode::NOT_MODIFIED);

    assert_eq!(fixture.node("/node/leave", json!({})).await["code"], 0);
    assert_eq!(fixture.ok("/node/list?app=app1&profile=dev").await, json!({}));
    assert_eq!(fixture.config(None).await.2["code"], 6);
}

#[tokio::test]
async fn the_detail_of_a_node_shows_what_it_holds() {
    let fixture = DeliveryApi::new().await;
    let uri = "/node/detail?app=app1&profile=dev&nodeId=11";
    let code = async |uri: &str| fixture.api.get(&fixture.root, uri).await.codes();
    assert_eq!(code(uri).await, (200, 6));
    fixture.node("/node/register", json!({"pid": "4711", "labels": {"zone": "a"}, "ip": "10.2.2.2"})).await;
    let revision = async |number| fixture.epoch().await.revision(number);
    let detail = fixture.ok(uri).await;
    let mut expected = json!({
        "NodeId": "11", "App": "app1", "Profile": "dev", "Pid": "4711", "Ip": "10.2.2.2",
        "Labels": {"zone": "a"}, "RegisterTime": detail["RegisterTime"], "Online": true,
        "LastSeen": detail["LastSeen"], "LeaseUntil": detail["LeaseUntil"],
        "Revision": revision(0).await, "Items": [], "Releases": [],
    });
    assert_eq!(detail, expected);
    let time = |name: &str| chrono::DateTime::parse_from_rfc3339(detail[name].as_str().unwrap()).unwrap();
    assert_eq!((time("LeaseUntil") - time("LastSeen")).num_seconds(), 15);
    assert_eq!(time("LastSeen").timestamp(), detail["RegisterTime"].as_i64().unwrap());

    fixture.publish("").await;
    expected["Revision"] = json!(revision(1).await);
    let item = |version, drift, result: &str, message: &str, time: &Value| {
        json!({
            "Key": "k", "Expected": 1, "Version": version, "Drift": drift, "Result": result,
            "Message": message, "AckTime": time,
        })
    };
    let items = async || fixture.ok(uri).await["Items"].clone();
    assert_eq!(items().await, json!([item(0, false, "", "", &json!(""))]), "it said nothing so far");
    let ack = async |version: i64, result: &str| {
        let results = json!([{"key": "k", "version": version, "result": result, "message": result}]);
        assert_eq!(fixture.node("/node/ack", json!({"results": results})).await["code"], 0);
    };
    ack(1, "applied").await;
    let applied = items().await;
    assert_eq!(applied, json!([item(1, false, "applied", "applied", &applied[0]["AckTime"])]));
    // It keeps what it has, as long as it refuses what is new.
    fixture.update("v2").await;
    fixture.publish("").await;
    ack(2, "rejected").await;
    let rejected = items().await;
    let mut row = item(1, true, "rejected", "rejected", &rejected[0]["AckTime"]);
    row["Expected"] = json!(2);
    assert_eq!(rejected, json!([row]));
    assert!(rejected[0]["AckTime"].as_str().unwrap() >= applied[0]["AckTime"].as_str().unwrap());
    ack(2, "applied").await;
    assert_eq!(items().await[0]["Drift"], false);
    let releases = fixture.ok(uri).await["Releases"].clone();
    let release = |number: usize| (releases[number]["Version"].clone(), releases[number]["State"].clone());
    assert_eq!(releases.as_array().unwrap().len(), 2);
    assert_eq!(release(0), (json!(2), json!("applied")), "the newest first, with the newest acknowledgement");
    assert_eq!(release(1), (json!(1), json!("applied")));
    assert_eq!((&releases[1]["Key"], &releases[1]["Kind"]), (&json!("k"), &json!("full")));
    assert_eq!(releases[1]["AckTime"], applied[0]["AckTime"]);
    // A version that it was never to have is drift until it is sent again, also of a key that it should not have.
    let results = json!([
        {"key": "k", "version": 9, "result": "applied"}, {"key": "stray", "version": 1, "result": "applied"},
    ]);
    fixture.node("/node/ack", json!({"results": results})).await;
    let drifted = items().await;
    let shown = |row: &Value| (row["Key"].clone(), row["Expected"].clone(), row["Drift"].clone());
    assert_eq!(shown(&drifted[0]), (json!("k"), json!(2), json!(true)));
    assert_eq!(shown(&drifted[1]), (json!("stray"), json!(0), json!(true)));

    fixture.node("/node/leave", json!({})).await;
    assert_eq!(fixture.ok(uri).await["Online"], false, "it is known still");
    assert_eq!(code("/node/detail?app=app1&profile=prod&nodeId=11").await, (200, 6));
    assert_eq!(code("/node/detail?app=app1&profile=dev&nodeId=a,b").await, (200, 2));
    let stranger = fixture.api.account("stranger", "").await;
    assert_eq!(fixture.api.get(&stranger, uri).await.codes(), (200, 4));
}

#[tokio::test]
async fn malformed_node_requests_are_refused() {
    let fixture = DeliveryApi::new().await;
    fixture.register("11").await;
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
        assert_eq!(fixture.node(path, arguments).await, json!({"code": 2, "msg": expected}));
    }
    for (query, expected) in [
        ("&revision=-1", "revision: must not be negative"),
        ("&wait=61", "wait: must be from 0 to 60 seconds"),
        ("&wait=-1", "wait: must be from 0 to 60 seconds"),
    ] {
        let answer = body(fixture.watch(query, &[]).await).await;
        assert_eq!(answer, json!({"code": 2, "msg": expected}));
    }
    let answer =
        body(fixture.watch("", &[("accept", "text/event-stream"), ("last-event-id", "x")]).await).await;
    assert_eq!(answer, json!({"code": 2, "msg": "Last-Event-ID: must be the id of an event"}));
}

#[tokio::test]
async fn long_polls_wait_for_a_change() {
    let fixture = DeliveryApi::new().await;
    let epoch = fixture.epoch().await;
    let at = |number| epoch.revision(number);
    fixture.register("11").await;
    let answer = body(fixture.watch("&wait=0", &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": at(0), "Items": [], "Removed": []}));
    let waiting = fixture.watch("&wait=60", &[]).await;
    fixture.publish("").await;
    let answer = timeout(Duration::from_mins(1), body(waiting)).await.unwrap();
    let expected = json!({"Revision": at(1), "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(answer, json!({"code": 0, "msg": "success", "data": expected}));
    let answer = body(fixture.watch(&format!("&revision={}&wait=0", at(1)), &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": at(1), "Items": [], "Removed": []}));
    fixture.ok("/config/del?app=app1&profile=dev&key=k").await;
    let answer = body(fixture.watch(&format!("&revision={}", at(1)), &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": at(2), "Items": [], "Removed": ["k"]}));
    // A node ahead of the server gets everything there is, and so does one that comes from another epoch.
    let answer = body(fixture.watch(&format!("&revision={}", at(9)), &[]).await).await;
    assert_eq!(answer["data"], json!({"Revision": at(2), "Items": [], "Removed": []}));
}

#[tokio::test]
async fn a_longer_wait_is_cut_to_the_setting() {
    let fixture = DeliveryApi::new().await;
    fixture.register("11").await;
    let uri = "/node/watch?app=app1&profile=dev&nodeId=11&wait=60";
    let request = Request::get(uri).header("authorization", format!("Bearer {}", fixture.key));
    // The routers of this API hold a long poll for 50 ms.
    let answer = fixture.api.send(request.body(Body::empty()).unwrap());
    let answer = timeout(Duration::from_secs(30), answer).await.unwrap().ok();
    assert_eq!((&answer["data"]["Items"], &answer["data"]["Removed"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn event_streams_carry_values_and_resume() {
    let fixture = DeliveryApi::new().await;
    let epoch = fixture.epoch().await;
    let at = |number| epoch.revision(number);
    fixture.register("11").await;
    fixture.publish("").await;
    let mut events = fixture.events("", &[]).await;
    let first = json!({"Revision": at(1), "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(events.next().await, Some((at(1), first)));
    fixture.update("v2").await;
    let grey = fixture.publish("&nodes=11&grey=true").await;
    assert_eq!((&grey["Kind"], &grey["Targets"]), (&json!("grey"), &json!(1)));
    let second = json!({"Revision": at(2), "Items": [item("v2", 2)], "Removed": []});
    assert_eq!(events.next().await, Some((at(2), second.clone())));
    drop(events);
    let mut resumed = fixture.events("&revision=0", &[("last-event-id", &at(1).to_string())]).await;
    assert_eq!(
        resumed.next().await,
        Some((at(2), second)),
        "Last-Event-ID takes precedence over the revision"
    );
    fixture.ok(&format!("/publish/abort?release={}", grey["Release"])).await;
    let back = json!({"Revision": at(3), "Items": [item("v1", 1)], "Removed": []});
    assert_eq!(resumed.next().await, Some((at(3), back.clone())));
    // After drift the same event is sent again.
    let result = json!([{"key": "k", "version": 2, "result": "applied"}]);
    assert_eq!(fixture.node("/node/ack", json!({"results": result})).await["code"], 0);
    assert_eq!(resumed.next().await, Some((at(3), back)));
    fixture.node("/node/leave", json!({})).await;
    assert_eq!(resumed.next().await, None);

    fixture.register("11").await;
    let mut events = fixture.events(&format!("&revision={}", at(3)), &[]).await;
    fixture.api.pilothouse.delivery().end_watches();
    assert_eq!(events.next().await, None, "the stream ends when the server stops");
}

#[tokio::test]
async fn the_status_of_a_release_shows_its_nodes() {
    let fixture = DeliveryApi::new().await;
    for node in ["11", "22"] {
        fixture.register(node).await;
    }
    let full = fixture.publish("").await;
    assert_eq!((&full["Kind"], &full["Targets"]), (&json!("full"), &json!(2)));
    let mut events = fixture.events("", &[]).await;
    events.next().await.unwrap();
    let result = json!([{"key": "k", "version": 1, "result": "rejected", "message": "too bold"}]);
    assert_eq!(
        fixture.node("/node/ack", json!({"results": result})).await,
        json!({"code": 0, "msg": "success", "data": null})
    );
    let status = fixture.ok(&format!("/publish/status?release={}", full["Release"])).await;
    let nodes = &status["Nodes"];
    assert_eq!((&nodes[0]["State"], &nodes[0]["Message"]), (&json!("rejected"), &json!("too bold")));
    assert!(nodes[0]["SentTime"].as_str().unwrap() <= nodes[0]["AckTime"].as_str().unwrap());
    let pending = json!({"NodeId": "22", "State": "pending", "Version": 0, "Message": "", "SentTime": "", "AckTime": ""});
    assert_eq!((&nodes[1], &status["Latency"]), (&pending, &Value::Null));
    let result = json!([{"key": "k", "version": 1, "result": "applied"}]);
    fixture.node("/node/ack", json!({"results": result})).await;
    let status = fixture.ok(&format!("/publish/status?release={}", full["Release"])).await;
    assert!(status["Latency"]["Last"].as_f64().unwrap() >= 0.0);

    // Counts are of all nodes, whatever page of them is asked for.
    let page = async |more: &str| {
        let status = fixture.ok(&format!("/publish/status?release={}{more}", full["Release"])).await;
        assert_eq!((&status["Targets"], &status["Counts"]["applied"]), (&json!(2), &json!(1)), "{more}");
        let nodes = status["Nodes"].as_array().unwrap().clone();
        nodes.iter().map(|node| node["NodeId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (more, nodes) in [
        ("", vec!["11", "22"]),
        ("&count=1", vec!["11"]),
        ("&start=1&count=1", vec!["22"]),
        ("&start=2", vec![]),
        ("&state=pending", vec!["22"]),
        ("&state=pending&start=1", vec![]),
        ("&state=applied&count=1", vec!["11"]),
        ("&state=offline", vec![]),
    ] {
        assert_eq!(page(more).await, nodes, "{more}");
    }
    for (wrong, why) in [
        ("&state=gone", "state: must be pending, sent, applied, rejected, failed or offline"),
        ("&count=1001", "count: must be from 1 to 1000"),
        ("&start=-1", "start: must not be negative"),
    ] {
        let uri = format!("/publish/status?release={}{wrong}", full["Release"]);
        assert_eq!(fixture.api.get(&fixture.root, &uri).await.ok(), json!({"code": 2, "msg": why}));
    }

    fixture.update("v2").await;
    let grey = fixture.publish("&percent=50").await;
    let promoted = fixture.ok(&format!("/publish/promote?release={}", grey["Release"])).await;
    assert_eq!(promoted["Kind"], "full");
    let listed = fixture.ok("/publish/list?app=app1&profile=dev").await;
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["Kind"], &row["State"])).collect();
    let (full_kind, grey_kind) = (json!("full"), json!("grey"));
    let (active, superseded, promoted_state) = (json!("active"), json!("superseded"), json!("promoted"));
    assert_eq!(states, [(&full_kind, &active), (&grey_kind, &promoted_state), (&full_kind, &superseded)]);
    assert_eq!(listed[0]["Counts"].as_object().unwrap().len(), 6);
    for uri in [
        format!("/publish/promote?release={}", full["Release"]),
        format!("/publish/abort?release={}", grey["Release"]),
    ] {
        assert_eq!(fixture.api.get(&fixture.root, &uri).await.codes(), (200, 7), "{uri}");
    }
}

/// Revisions and tags of another history are never taken for the present content.
#[tokio::test]
async fn a_renewed_epoch_reaches_every_node_with_everything() {
    let fixture = DeliveryApi::new().await;
    fixture.register("11").await;
    fixture.publish("").await;
    let old = fixture.epoch().await;
    let (_, tag, _) = fixture.config(None).await;
    assert_eq!(fixture.config(Some(&tag)).await.0, StatusCode::NOT_MODIFIED);
    let mut open = fixture.events(&format!("&revision={}", old.revision(1)), &[]).await;
    let new = fixture.api.pilothouse.renew_epoch(old).await.unwrap();
    assert!(new > old);
    fixture.api.pilothouse.delivery().poll().await.unwrap();
    assert_eq!(open.next().await, None, "open watches end");

    let everything = json!({"Revision": new.revision(1), "Items": [item("v1", 1)], "Removed": []});
    for revision in [old.revision(1), old.revision(2), old.revision(1000)] {
        let answer = body(fixture.watch(&format!("&revision={revision}"), &[]).await).await;
        assert_eq!(answer["data"], everything, "{revision}");
    }
    let answer = body(fixture.watch(&format!("&revision={}&wait=0", new.revision(1)), &[]).await).await;
    assert_eq!(answer["data"]["Items"], json!([]), "it is up to date");
    let (status, renewed, _) = fixture.config(Some(&tag)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(fixture.config(Some(&renewed)).await.0, StatusCode::NOT_MODIFIED);
    assert_ne!(tag.split_once('-').unwrap().1, renewed.split_once('-').unwrap().1);
}
