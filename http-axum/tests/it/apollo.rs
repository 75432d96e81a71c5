//! Apollo's reading side, as its clients use it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::api::Api;
use crate::calls::escape;

/// The value of the header `Authorization` for a request.
pub(crate) fn signed(key: &str, time: &str, target: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{time}\n{target}")).finalize();
    format!("Apollo app1:{}", STANDARD.encode(mac.into_bytes()))
}

/// A server with an app, its key, and who manages it.
struct World {
    api: Api,
    root: String,
    key: String,
}

impl World {
    async fn new(http: HttpSettings) -> Self {
        let pilothouse = Pilothouse::new(Arc::new(MemoryStorage::new()), Settings::default()).unwrap();
        let api = Api::over(pilothouse, http).await;
        let root = api.login("root").await;
        let world = Self { api, root, key: String::new() };
        world.make("/app/create", json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"})).await;
        world
    }

    async fn with_key() -> Self {
        let mut world = Self::new(HttpSettings::default()).await;
        let key = world.make("/app/key/create", json!({"app": "app1"})).await;
        key["Key"].as_str().unwrap().clone_into(&mut world.key);
        world
    }

    async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.api.post(&self.root, path, body).await;
        assert_eq!(answer.codes(), (200, 0), "{path}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Writes, approves and publishes a value; with `more` arguments of the publication.
    async fn publish(&self, profile: &str, key: &str, value: &str, more: Value) -> Value {
        let name = json!({"app": "app1", "profile": profile, "key": key, "value": value});
        let created = self.api.post(&self.root, "/config/create", name.clone()).await;
        if created.codes() != (200, 0) {
            self.make("/config/update", name.clone()).await;
        }
        self.make("/config/approve", json!({"app": "app1", "profile": profile, "key": key})).await;
        let query = json!({"app": "app1", "profile": profile, "key": key});
        let item = self.make("/config/queryWithKey", query).await;
        let mut arguments = json!({"id": item["Id"]});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.make("/publish", arguments).await
    }

    async fn get(&self, uri: &str) -> crate::api::Answer {
        self.api.get(&self.key, uri).await
    }

    async fn values(&self, uri: &str) -> Value {
        self.get(uri).await.ok()["configurations"].clone()
    }

    /// What changed of some namespaces, by name, after the ids the client has.
    async fn news(&self, known: Value, more: &str) -> Option<Value> {
        let known: Vec<_> = known.as_object().unwrap().iter().collect();
        let known: Vec<_> =
            known.iter().map(|(name, id)| json!({"namespaceName": name, "notificationId": id})).collect();
        let known = escape(&json!(known).to_string());
        let answer =
            self.get(&format!("/notifications/v2?appId=app1&cluster=dev&notifications={known}{more}")).await;
        (answer.status != 304).then(|| answer.ok())
    }

    async fn nodes(&self, profile: &str) -> Value {
        self.make("/node/list", json!({"app": "app1", "profile": profile})).await
    }
}

#[tokio::test]
async fn a_client_reads_what_is_published() {
    let world = World::with_key().await;
    assert_eq!(world.get("/configs/app1/dev/application").await.status, 404, "nothing is published");
    for (key, value) in
        [("a", "1"), ("b", "\"2\"\n中"), ("db/host", "h"), ("Page.json", "{\"x\": 1}"), ("t.yml", "x: 1")]
    {
        world.publish("dev", key, value, json!({})).await;
    }
    let answer = world.get("/configs/app1/dev/application?releaseKey=-1&ip=10.0.0.1").await.ok();
    let release = answer["releaseKey"].as_str().unwrap().to_owned();
    let values = json!({"a": "1", "b": "\"2\"\n中", "Page.json": "{\"x\": 1}", "t.yml": "x: 1"});
    let expected = json!({
        "appId": "app1", "cluster": "dev", "namespaceName": "application", "configurations": values,
        "releaseKey": release,
    });
    assert_eq!(answer, expected);
    let again = world.get(&format!("/configs/app1/dev/application?releaseKey={release}&ip=10.0.0.1")).await;
    assert_eq!((again.status.as_u16(), again.body), (304, json!("")));

    let alike = world.get("/configs/app1/dev/APPLICATION.properties").await.ok();
    assert_eq!(alike["namespaceName"], "APPLICATION.properties", "as it was asked for");
    assert_eq!(alike["configurations"], values);
    assert_eq!(world.values("/configs/app1/dev/db").await, json!({"host": "h"}));
    assert_eq!(world.values("/configs/app1/dev/page.json").await, json!({"content": "{\"x\": 1}"}));
    assert_eq!(world.get("/configs/app1/dev/other").await.status, 404);
    assert_eq!(world.get("/configs/app1/dev/other.json").await.status, 404);

    assert_eq!(world.get("/configfiles/json/app1/dev/application").await.ok(), values);
    let file = world.get("/configfiles/app1/dev/application").await;
    assert_eq!(file.headers["content-type"], "text/plain;charset=UTF-8");
    assert_eq!(file.body, "Page.json={\"x\": 1}\na=1\nb=\"2\"\\n中\nt.yml=x: 1\n");
    let raw = world.get("/configfiles/raw/app1/dev/t.yml").await;
    assert_eq!(
        (raw.headers["content-type"].to_str().unwrap(), raw.body),
        ("application/yaml;charset=UTF-8", json!("x: 1"))
    );
    assert_eq!(world.get("/configfiles/raw/app1/dev/application").await.status, 404);
}

#[tokio::test]
async fn profiles_are_asked_in_turn() {
    let world = World::with_key().await;
    world.publish("default", "a", "default", json!({})).await;
    assert_eq!(world.get("/configs/app1/dev/application").await.ok()["cluster"], "default");
    world.publish("north", "a", "north", json!({})).await;
    let asked = "/configs/app1/dev/application?dataCenter=north";
    assert_eq!(world.values(asked).await, json!({"a": "north"}));
    world.publish("dev", "a", "dev", json!({})).await;
    assert_eq!(world.values(asked).await, json!({"a": "dev"}));
    assert_eq!(world.values("/configs/app1/default/application").await, json!({"a": "default"}));
}

#[tokio::test]
async fn a_client_is_told_of_what_changed_and_of_nothing_else() {
    let world = World::with_key().await;
    world.publish("dev", "a", "1", json!({})).await;
    world.publish("dev", "db/host", "h", json!({})).await;
    let news = world.news(json!({"application": -1, "db": -1, "never": -1}), "").await.unwrap();
    let ids: Vec<i64> =
        news.as_array().unwrap().iter().map(|one| one["notificationId"].as_i64().unwrap()).collect();
    assert_eq!(
        (news[0]["namespaceName"].as_str(), news[1]["namespaceName"].as_str()),
        (Some("application"), Some("db"))
    );
    assert_eq!(news[0]["messages"]["details"], json!({"app1+dev+application": ids[0]}));
    let known = json!({"application": ids[0], "db": ids[1], "never": -1});
    assert_eq!(world.news(known.clone(), "").await, None);
    world.publish("dev", "a", "2", json!({})).await;
    let news = world.news(known, "").await.unwrap();
    assert_eq!(news.as_array().unwrap().len(), 1);
    assert_eq!(news[0]["namespaceName"], "application");
    assert!(news[0]["notificationId"].as_i64().unwrap() > ids[1]);

    world.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "db/host"})).await;
    let news = world.news(json!({"db": ids[1]}), "").await.unwrap();
    assert_eq!(world.values("/configs/app1/dev/db").await, json!({}), "removed, not unknown");
    let gone = world.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "a"})).await;
    drop((news, gone));
}

#[tokio::test]
async fn who_waits_is_told_at_once() {
    let world = World::with_key().await;
    let pilothouse = world.api.pilothouse.clone();
    let waiting = Api::of_patient(pilothouse, Duration::from_mins(1));
    world.publish("dev", "a", "1", json!({})).await;
    let id = world.news(json!({"application": -1}), "").await.unwrap()[0]["notificationId"].clone();
    let known = escape(&json!([{"namespaceName": "application", "notificationId": id}]).to_string());
    let uri = format!("/notifications/v2?appId=app1&cluster=dev&notifications={known}");
    let (news, ()) = tokio::join!(waiting.get(&world.key, &uri), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        world.publish("dev", "a", "2", json!({})).await;
    });
    assert_eq!(news.ok()[0]["namespaceName"], "application");
}

#[tokio::test]
async fn ids_never_go_back_also_where_an_app_is_made_again() {
    let world = World::with_key().await;
    for n in 0..5 {
        world.publish("dev", "a", &n.to_string(), json!({})).await;
    }
    let before =
        world.news(json!({"application": -1}), "").await.unwrap()[0]["notificationId"].as_i64().unwrap();
    world.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "a"})).await;
    world.make("/app/del/app1", json!({})).await;
    world.make("/app/create", json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"})).await;
    let key = world.make("/app/key/create", json!({"app": "app1"})).await;
    let world = World { key: key["Key"].as_str().unwrap().to_owned(), ..world };
    world.publish("dev", "a", "new", json!({})).await;
    let news = world.news(json!({"application": before}), "").await.unwrap();
    assert!(news[0]["notificationId"].as_i64().unwrap() > before);
    assert!(news[0]["notificationId"].as_i64().unwrap() < 1 << 53);
}

#[tokio::test]
async fn grey_releases_reach_addresses_and_labels() {
    let world = World::with_key().await;
    world.publish("dev", "a", "old", json!({})).await;
    let uri = |more: &str| format!("/configs/app1/dev/application?{more}");
    for client in ["ip=10.0.0.1", "ip=10.0.0.2", "ip=10.0.0.2&label=canary", "ip=10.0.0.3&label=a%2Cb"] {
        assert_eq!(world.values(&uri(client)).await, json!({"a": "old"}));
    }
    let nodes = world.nodes("dev").await;
    let ids: Vec<_> = nodes.as_object().unwrap().keys().cloned().collect();
    assert_eq!(ids, ["10.0.0.1", "10.0.0.2", "10.0.0.2/canary", "10.0.0.3/a%2Cb"]);
    assert_eq!(nodes["10.0.0.1"]["Pid"], "");

    let grey = world.publish("dev", "a", "grey", json!({"nodes": "10.0.0.1"})).await;
    assert_eq!(world.values(&uri("ip=10.0.0.1")).await, json!({"a": "grey"}));
    assert_eq!(world.values(&uri("ip=10.0.0.2")).await, json!({"a": "old"}));
    world.make("/publish/abort", json!({"release": grey["Release"]})).await;
    assert_eq!(world.values(&uri("ip=10.0.0.1")).await, json!({"a": "old"}));
    let grey = world.publish("dev", "a", "labelled", json!({"labels": "label:canary"})).await;
    assert_eq!(grey["Targets"], 1);
    assert_eq!(world.values(&uri("ip=10.0.0.2&label=canary")).await, json!({"a": "labelled"}));
    assert_eq!(world.values(&uri("ip=10.0.0.2")).await, json!({"a": "old"}));
    assert_eq!(world.values(&uri("ip=10.0.0.9")).await, json!({"a": "old"}), "who comes later");
}

#[tokio::test]
async fn a_release_knows_what_a_client_proved() {
    let world = World::with_key().await;
    let released = world.publish("dev", "a", "1", json!({})).await["Release"].clone();
    let state = async || {
        let status = world.make("/publish/status", json!({"release": released})).await;
        status["Nodes"][0]["State"].clone()
    };
    let answer = world.get("/configs/app1/dev/application?ip=10.0.0.1").await.ok();
    assert_eq!(state().await, "sent");
    let held = answer["releaseKey"].as_str().unwrap();
    world.get(&format!("/configs/app1/dev/application?ip=10.0.0.1&releaseKey={held}")).await;
    assert_eq!(state().await, "applied", "it says what it holds");

    // Others never say so, but come back knowing of the change after they were told what it is.
    let released = world.publish("dev", "a", "2", json!({})).await["Release"].clone();
    let state = async || {
        let status = world.make("/publish/status", json!({"release": released})).await;
        status["Nodes"][0]["State"].clone()
    };
    let id =
        world.news(json!({"application": -1}), "&ip=10.0.0.1").await.unwrap()[0]["notificationId"].clone();
    assert_eq!(state().await, "pending");
    world.get("/configs/app1/dev/application?ip=10.0.0.1").await.ok();
    assert_eq!(state().await, "sent");
    assert_eq!(world.news(json!({"application": id}), "&ip=10.0.0.1").await, None);
    assert_eq!(state().await, "applied");
}

#[tokio::test]
async fn an_app_is_closed_to_who_does_not_sign_unless_the_settings_open_it() {
    let world = World::new(HttpSettings::default()).await;
    world.publish("dev", "a", "1", json!({})).await;
    let uri = "/configs/app1/dev/application";
    let unsigned = || Request::get(uri).body(Body::empty()).unwrap();
    assert_eq!(world.api.send(unsigned()).await.codes(), (401, 401));
    let open = HttpSettings { apollo_unsigned_apps: vec!["app1".into()], ..HttpSettings::default() };
    let world = World::new(open).await;
    world.publish("dev", "a", "1", json!({})).await;
    assert_eq!(world.api.send(unsigned()).await.ok()["configurations"], json!({"a": "1"}));
    world.make("/app/key/create", json!({"app": "app1"})).await;
    assert_eq!(
        world.api.send(unsigned()).await.ok()["configurations"],
        json!({"a": "1"}),
        "some clients cannot sign"
    );
    assert_eq!(world.api.get("no key", uri).await.codes(), (401, 401), "but who signs must sign well");
}

#[tokio::test]
async fn bad_questions_are_refused_by_their_status() {
    let world = World::with_key().await;
    world.publish("dev", "a", "1", json!({})).await;
    for list in ["", "x", "[]", "%5B%7B%7D%5D"] {
        let answer =
            world.get(&format!("/notifications/v2?appId=app1&cluster=dev&notifications={list}")).await;
        assert_eq!(answer.codes(), (400, 400), "{list}");
    }
    let late = world.api.pilothouse.clock().now().timestamp_millis() - 61_000;
    let uri = "/configs/app1/dev/application";
    let request = Request::get(uri)
        .header("authorization", signed(&world.key, &late.to_string(), uri))
        .header("timestamp", late);
    let answer = world.api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.codes(), &answer.body["message"]), ((401, 401), &json!("RequestTimeTooSkewed")));
    let services = world.get("/services/config?appId=app1&ip=10.0.0.1").await.ok();
    assert_eq!(services[0]["homepageUrl"], "http://127.0.0.1:8080/");
    assert_eq!(services[0]["appName"], "APOLLO-CONFIGSERVICE");
}
