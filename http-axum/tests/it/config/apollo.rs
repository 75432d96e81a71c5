//! Apollo API, as Apollo clients use it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt;
use hmac::{Hmac, KeyInit, Mac};
use pilothouse_core::{Pilothouse, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::api::Api;
use crate::api::escape;

/// The value of the header `Authorization` of a signed request.
pub(crate) fn signed(key: &str, time: &str, target: &str) -> String {
    let mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    let mac = mac.chain_update(format!("{time}\n{target}")).finalize();
    format!("Apollo app1:{}", STANDARD.encode(mac.into_bytes()))
}

/// An API with an app, a key of it, and the token of its manager.
pub(super) struct ApolloApi {
    pub(super) api: Api,
    pub(super) root: String,
    pub(super) key: String,
}

impl ApolloApi {
    async fn new(http: HttpSettings) -> Self {
        let pilothouse =
            Pilothouse::new(Arc::new(MemoryStorage::new().strict()), Settings::default()).unwrap();
        Self::with_app(pilothouse, http).await
    }

    async fn with_app(pilothouse: Pilothouse, http: HttpSettings) -> Self {
        let api = Api::over(pilothouse, http).await;
        let root = api.login("root").await;
        let fixture = Self { api, root, key: String::new() };
        fixture.make("/app/create", json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"})).await;
        fixture
    }

    pub(super) async fn with_key() -> Self {
        Self::new(HttpSettings::default()).await.keyed().await
    }

    /// Over a domain that has no accounts yet.
    pub(super) async fn over(pilothouse: Pilothouse) -> Self {
        Self::with_app(pilothouse, HttpSettings::default()).await.keyed().await
    }

    async fn keyed(mut self) -> Self {
        let fixture = &mut self;
        let key = fixture.make("/app/key/create", json!({"app": "app1"})).await;
        key["Key"].as_str().unwrap().clone_into(&mut fixture.key);
        self
    }

    /// Calls as the manager and expects success; the data of the answer.
    pub(super) async fn make(&self, path: &str, body: Value) -> Value {
        let answer = self.api.post(&self.root, path, body).await;
        assert_eq!(answer.codes(), (200, 0), "{path}: {}", answer.body);
        answer.body["data"].clone()
    }

    /// Writes, approves and publishes a value, with `more` arguments for `/publish`.
    pub(super) async fn publish(&self, profile: &str, key: &str, value: &str, more: Value) -> Value {
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

    pub(super) async fn get(&self, uri: &str) -> crate::api::Answer {
        self.api.get(&self.key, uri).await
    }

    pub(super) async fn values(&self, uri: &str) -> Value {
        self.get(uri).await.ok()["configurations"].clone()
    }

    /// The notifications after the ids that the client has, by namespace; `None` for HTTP 304.
    pub(super) async fn notifications(&self, known: Value, more: &str) -> Option<Value> {
        let known: Vec<_> = known.as_object().unwrap().iter().collect();
        let known: Vec<_> =
            known.iter().map(|(name, id)| json!({"namespaceName": name, "notificationId": id})).collect();
        let known = escape(&json!(known).to_string());
        let answer =
            self.get(&format!("/notifications/v2?appId=app1&cluster=dev&notifications={known}{more}")).await;
        (answer.status != 304).then(|| answer.ok())
    }

    pub(super) async fn nodes(&self, profile: &str) -> Value {
        self.make("/node/list", json!({"app": "app1", "profile": profile})).await
    }
}

#[tokio::test]
async fn a_client_reads_published_namespaces() {
    let fixture = ApolloApi::with_key().await;
    assert_eq!(fixture.get("/configs/app1/dev/application").await.status, 404, "nothing is published yet");
    for (key, value) in
        [("a", "1"), ("b", "\"2\"\n中"), ("db/host", "h"), ("Page.json", "{\"x\": 1}"), ("t.yml", "x: 1")]
    {
        fixture.publish("dev", key, value, json!({})).await;
    }
    let answer = fixture.get("/configs/app1/dev/application?releaseKey=-1&ip=10.0.0.1").await.ok();
    let release = answer["releaseKey"].as_str().unwrap().to_owned();
    let values = json!({"a": "1", "b": "\"2\"\n中", "Page.json": "{\"x\": 1}", "t.yml": "x: 1"});
    let expected = json!({
        "appId": "app1", "cluster": "dev", "namespaceName": "application", "configurations": values,
        "releaseKey": release,
    });
    assert_eq!(answer, expected);
    let again = fixture.get(&format!("/configs/app1/dev/application?releaseKey={release}&ip=10.0.0.1")).await;
    assert_eq!((again.status.as_u16(), again.body), (304, json!("")));

    let alike = fixture.get("/configs/app1/dev/APPLICATION.properties").await.ok();
    assert_eq!(alike["namespaceName"], "APPLICATION.properties", "the name is returned as requested");
    assert_eq!(alike["configurations"], values);
    assert_eq!(fixture.values("/configs/app1/dev/db").await, json!({"host": "h"}));
    assert_eq!(fixture.values("/configs/app1/dev/page.json").await, json!({"content": "{\"x\": 1}"}));
    assert_eq!(fixture.get("/configs/app1/dev/other").await.status, 404);
    assert_eq!(fixture.get("/configs/app1/dev/other.json").await.status, 404);

    assert_eq!(fixture.get("/configfiles/json/app1/dev/application").await.ok(), values);
    let file = fixture.get("/configfiles/app1/dev/application").await;
    assert_eq!(file.headers["content-type"], "text/plain;charset=UTF-8");
    assert_eq!(file.body, "Page.json={\"x\": 1}\na=1\nb=\"2\"\\n中\nt.yml=x: 1\n");
    let raw = fixture.get("/configfiles/raw/app1/dev/t.yml").await;
    assert_eq!(
        (raw.headers["content-type"].to_str().unwrap(), raw.body),
        ("application/yaml;charset=UTF-8", json!("x: 1"))
    );
    assert_eq!(fixture.get("/configfiles/raw/app1/dev/application").await.status, 404);
}

#[tokio::test]
async fn a_cluster_falls_back_to_the_data_centre_and_to_default() {
    let fixture = ApolloApi::with_key().await;
    fixture.publish("default", "a", "default", json!({})).await;
    assert_eq!(fixture.get("/configs/app1/dev/application").await.ok()["cluster"], "default");
    fixture.publish("north", "a", "north", json!({})).await;
    let uri = "/configs/app1/dev/application?dataCenter=north";
    assert_eq!(fixture.values(uri).await, json!({"a": "north"}));
    fixture.publish("dev", "a", "dev", json!({})).await;
    assert_eq!(fixture.values(uri).await, json!({"a": "dev"}));
    assert_eq!(fixture.values("/configs/app1/default/application").await, json!({"a": "default"}));
}

#[tokio::test]
async fn notifications_name_only_changed_namespaces() {
    let fixture = ApolloApi::with_key().await;
    fixture.publish("dev", "a", "1", json!({})).await;
    fixture.publish("dev", "db/host", "h", json!({})).await;
    let news = fixture.notifications(json!({"application": -1, "db": -1, "never": -1}), "").await.unwrap();
    let ids: Vec<i64> =
        news.as_array().unwrap().iter().map(|one| one["notificationId"].as_i64().unwrap()).collect();
    assert_eq!(
        (news[0]["namespaceName"].as_str(), news[1]["namespaceName"].as_str()),
        (Some("application"), Some("db"))
    );
    assert_eq!(news[0]["messages"]["details"], json!({"app1+dev+application": ids[0]}));
    let known = json!({"application": ids[0], "db": ids[1], "never": -1});
    assert_eq!(fixture.notifications(known.clone(), "").await, None);
    fixture.publish("dev", "a", "2", json!({})).await;
    let news = fixture.notifications(known, "").await.unwrap();
    assert_eq!(news.as_array().unwrap().len(), 1);
    assert_eq!(news[0]["namespaceName"], "application");
    assert!(news[0]["notificationId"].as_i64().unwrap() > ids[1]);

    fixture.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "db/host"})).await;
    assert!(fixture.notifications(json!({"db": ids[1]}), "").await.is_some());
    assert_eq!(fixture.values("/configs/app1/dev/db").await, json!({}), "the namespace stays, without items");
    fixture.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "a"})).await;
}

#[tokio::test]
async fn a_held_notification_is_answered_on_a_change() {
    let fixture = ApolloApi::with_key().await;
    let pilothouse = fixture.api.pilothouse.clone();
    let waiting = Api::with_long_poll(pilothouse, Duration::from_mins(1));
    fixture.publish("dev", "a", "1", json!({})).await;
    let id =
        fixture.notifications(json!({"application": -1}), "").await.unwrap()[0]["notificationId"].clone();
    let known = escape(&json!([{"namespaceName": "application", "notificationId": id}]).to_string());
    let uri = format!("/notifications/v2?appId=app1&cluster=dev&notifications={known}");
    let (news, ()) = tokio::join!(waiting.get(&fixture.key, &uri), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fixture.publish("dev", "a", "2", json!({})).await;
    });
    assert_eq!(news.ok()[0]["namespaceName"], "application");
}

#[tokio::test]
async fn notification_ids_grow_also_after_an_app_is_recreated() {
    let fixture = ApolloApi::with_key().await;
    for n in 0..5 {
        fixture.publish("dev", "a", &n.to_string(), json!({})).await;
    }
    let before = fixture.notifications(json!({"application": -1}), "").await.unwrap()[0]["notificationId"]
        .as_i64()
        .unwrap();
    fixture.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "a"})).await;
    fixture.make("/app/del/app1", json!({})).await;
    fixture.make("/app/create", json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"})).await;
    let key = fixture.make("/app/key/create", json!({"app": "app1"})).await;
    let fixture = ApolloApi { key: key["Key"].as_str().unwrap().to_owned(), ..fixture };
    fixture.publish("dev", "a", "new", json!({})).await;
    let news = fixture.notifications(json!({"application": before}), "").await.unwrap();
    assert!(news[0]["notificationId"].as_i64().unwrap() > before);
    assert!(news[0]["notificationId"].as_i64().unwrap() < 1 << 53);
}

#[tokio::test]
async fn grey_releases_reach_addresses_and_labels() {
    let fixture = ApolloApi::with_key().await;
    fixture.publish("dev", "a", "old", json!({})).await;
    let uri = |more: &str| format!("/configs/app1/dev/application?{more}");
    for client in ["ip=10.0.0.1", "ip=10.0.0.2", "ip=10.0.0.2&label=canary", "ip=10.0.0.3&label=a%2Cb"] {
        assert_eq!(fixture.values(&uri(client)).await, json!({"a": "old"}));
    }
    let nodes = fixture.nodes("dev").await;
    let ids: Vec<_> = nodes.as_object().unwrap().keys().cloned().collect();
    assert_eq!(ids, ["10.0.0.1", "10.0.0.2", "10.0.0.2/canary", "10.0.0.3/a%2Cb"]);
    assert_eq!(nodes["10.0.0.1"]["Pid"], "");

    let grey = fixture.publish("dev", "a", "grey", json!({"nodes": "10.0.0.1", "grey": true})).await;
    assert_eq!(fixture.values(&uri("ip=10.0.0.1")).await, json!({"a": "grey"}));
    assert_eq!(fixture.values(&uri("ip=10.0.0.2")).await, json!({"a": "old"}));
    fixture.make("/publish/abort", json!({"release": grey["Release"]})).await;
    assert_eq!(fixture.values(&uri("ip=10.0.0.1")).await, json!({"a": "old"}));
    let grey = fixture.publish("dev", "a", "labelled", json!({"labels": "label:canary"})).await;
    assert_eq!(grey["Targets"], 1);
    assert_eq!(fixture.values(&uri("ip=10.0.0.2&label=canary")).await, json!({"a": "labelled"}));
    assert_eq!(fixture.values(&uri("ip=10.0.0.2")).await, json!({"a": "old"}));
    assert_eq!(
        fixture.values(&uri("ip=10.0.0.9")).await,
        json!({"a": "old"}),
        "a client that appears later is not selected"
    );
}

#[tokio::test]
async fn a_grey_release_is_news_only_at_the_addresses_of_its_nodes() {
    let fixture = ApolloApi::with_key().await;
    fixture.publish("dev", "a", "old", json!({})).await;
    fixture.publish("default", "a", "not read", json!({})).await;
    for client in ["ip=10.0.0.1", "ip=10.0.0.2", "ip=10.0.0.2&label=canary", "ip=2001:DB8::1"] {
        fixture.get(&format!("/configs/app1/dev/application?{client}")).await.ok();
    }
    let newest = async |of: &str| {
        let news = fixture.notifications(json!({"application": -1}), of).await.unwrap();
        news[0]["notificationId"].as_i64().unwrap()
    };
    let told =
        async |id: i64, of: &str| fixture.notifications(json!({"application": id}), of).await.is_some();
    let start = newest("").await;

    let grey = fixture.publish("dev", "a", "grey", json!({"nodes": "10.0.0.1", "grey": true})).await;
    assert!(told(start, "&ip=10.0.0.1").await);
    assert!(!told(start, "&ip=10.0.0.2").await, "nothing changed for it");
    assert!(!told(start, "&ip=2001:db8::1").await, "nor for another spelling of an address");
    assert!(told(start, "&ip=10.0.0.9").await, "an address at which no client is known may be anybody");
    assert!(told(start, "").await, "and so may a client that names none");
    assert!(told(-1, "&ip=10.0.0.2").await, "a client that knows nothing yet is told");
    let with_grey = newest("&ip=10.0.0.1").await;
    fixture.make("/publish/abort", json!({"release": grey["Release"]})).await;
    assert!(told(with_grey, "&ip=10.0.0.1").await, "it is taken back");
    assert!(told(start, "&ip=10.0.0.1").await, "it may have read the release in between");
    assert!(!told(start, "&ip=10.0.0.2").await);

    let by_label =
        fixture.publish("dev", "a", "labelled", json!({"labels": "label:canary", "grey": true})).await;
    assert!(told(start, "&ip=10.0.0.2").await, "one of its labels is meant");
    let before = newest("").await;
    assert!(!told(before, "&ip=10.0.0.1").await);
    fixture.make("/publish/promote", json!({"release": by_label["Release"]})).await;
    for client in ["&ip=10.0.0.1", "&ip=10.0.0.2", "&ip=2001:db8::1"] {
        assert!(told(before, client).await, "a full release is for {client}");
    }

    // Of a client that was not woken, what it read before is confirmed by the id it had then.
    let full = fixture.publish("dev", "a", "new", json!({})).await["Release"].clone();
    fixture.get("/configs/app1/dev/application?ip=10.0.0.2").await.ok();
    let read = newest("&ip=10.0.0.2").await;
    fixture.publish("dev", "a", "grey again", json!({"nodes": "10.0.0.1", "grey": true})).await;
    assert!(!told(read, "&ip=10.0.0.2").await);
    let status = fixture.make("/publish/status", json!({"release": full})).await;
    let of_client = |node: &&Value| node["NodeId"] == "10.0.0.2";
    let node = status["Nodes"].as_array().unwrap().iter().find(of_client).unwrap();
    assert_eq!(node["State"], "applied", "{status}");

    // A revision that is forgotten may have been anything.
    for n in 0..256 {
        fixture.publish("dev", "other/key", &n.to_string(), json!({})).await;
    }
    assert!(told(read, "&ip=10.0.0.2").await);
}

#[tokio::test]
async fn a_release_key_or_a_later_notification_acknowledges_a_release() {
    let fixture = ApolloApi::with_key().await;
    let released = fixture.publish("dev", "a", "1", json!({})).await["Release"].clone();
    let state = async || {
        let status = fixture.make("/publish/status", json!({"release": released})).await;
        status["Nodes"][0]["State"].clone()
    };
    let answer = fixture.get("/configs/app1/dev/application?ip=10.0.0.1").await.ok();
    assert_eq!(state().await, "sent");
    let release_key = answer["releaseKey"].as_str().unwrap();
    fixture.get(&format!("/configs/app1/dev/application?ip=10.0.0.1&releaseKey={release_key}")).await;
    assert_eq!(state().await, "applied", "the release key acknowledges the release");

    // Other clients send no release key: a notification request with the new id, after a read, acknowledges it.
    let released = fixture.publish("dev", "a", "2", json!({})).await["Release"].clone();
    let state = async || {
        let status = fixture.make("/publish/status", json!({"release": released})).await;
        status["Nodes"][0]["State"].clone()
    };
    let id =
        fixture.notifications(json!({"application": -1}), "&ip=10.0.0.1").await.unwrap()[0]["notificationId"]
            .clone();
    assert_eq!(state().await, "pending");
    fixture.get("/configs/app1/dev/application?ip=10.0.0.1").await.ok();
    assert_eq!(state().await, "sent");
    assert_eq!(fixture.notifications(json!({"application": id}), "&ip=10.0.0.1").await, None);
    assert_eq!(state().await, "applied");
}

#[tokio::test]
async fn unsigned_requests_are_refused_unless_the_settings_allow_them() {
    let fixture = ApolloApi::new(HttpSettings::default()).await;
    fixture.publish("dev", "a", "1", json!({})).await;
    let uri = "/configs/app1/dev/application";
    let unsigned = || Request::get(uri).body(Body::empty()).unwrap();
    assert_eq!(fixture.api.send(unsigned()).await.codes(), (401, 401));
    let open = HttpSettings::default().with_apollo_unsigned_apps(["app1"]);
    let fixture = ApolloApi::new(open).await;
    fixture.publish("dev", "a", "1", json!({})).await;
    assert_eq!(fixture.api.send(unsigned()).await.ok()["configurations"], json!({"a": "1"}));
    fixture.make("/app/key/create", json!({"app": "app1"})).await;
    assert_eq!(
        fixture.api.send(unsigned()).await.ok()["configurations"],
        json!({"a": "1"}),
        "also when the app has a key"
    );
    let wrong = fixture.api.get("no key", uri).await;
    assert_eq!(wrong.ok()["configurations"], json!({"a": "1"}), "nor is a signature asked for that is sent");
    let time = fixture.api.pilothouse.clock().now().timestamp_millis().to_string();
    let request = Request::get(uri)
        .header("authorization", signed("a secret of another system", &time, uri))
        .header("timestamp", time);
    let request = request.body(Body::empty()).unwrap();
    assert_eq!(fixture.api.send(request).await.ok()["configurations"], json!({"a": "1"}));
}

#[tokio::test]
async fn a_secret_is_taken_over_from_the_body_of_a_post() {
    let fixture = ApolloApi::new(HttpSettings::default()).await;
    fixture.publish("dev", "a", "1", json!({})).await;
    let secret = "df23df3f59884980844ff3dada30fa97";
    let create = |app: &str, secret: Value| json!({"app": app, "secret": secret});
    let made = fixture.make("/app/key/create", create("app1", json!(secret))).await;
    assert_eq!(made["Key"], secret);
    let uri = "/configs/app1/dev/application";
    let time = fixture.api.pilothouse.clock().now().timestamp_millis().to_string();
    let request = |key: &str| {
        let request = Request::get(uri).header("authorization", signed(key, &time, uri));
        request.header("timestamp", &time).body(Body::empty()).unwrap()
    };
    assert_eq!(fixture.api.send(request(secret)).await.ok()["configurations"], json!({"a": "1"}));
    assert_eq!(fixture.api.send(request("another secret")).await.codes(), (401, 401));
    fixture.make("/app/create", json!({"app": "app2", "appType": 0, "name": "n", "charger": "c"})).await;
    for (app, secret, code, why) in [
        ("app2", json!(secret), 5, "an app key with this secret already exists"),
        ("app1", json!(secret), 5, "an app key with this secret already exists"),
        ("app2", json!("fifteen-letters"), 2, "secret: must be at least 16 bytes"),
        ("app2", json!("x".repeat(129)), 2, "secret: must be at most 128 bytes, not 129"),
        ("app2", json!("a blank in the middle"), 2, "secret: may hold only printable ASCII without blanks"),
        ("app2", json!(""), 2, "secret: must not be empty; leave it out for no selection"),
    ] {
        let refused = fixture.api.post(&fixture.root, "/app/key/create", create(app, secret)).await.ok();
        assert_eq!(refused, json!({"code": code, "msg": why}));
    }
    let listed = fixture.make("/app/key/list/app1", json!({})).await;
    assert!(!listed.to_string().contains(secret));
    // A query string ends up in logs, and so may what is sent with a GET.
    for (method, uri, body) in [
        ("GET", format!("/app/key/create?app=app2&secret={}", "x".repeat(20)), None),
        ("POST", format!("/app/key/create?app=app2&secret={}", "x".repeat(20)), None),
        ("GET", "/app/key/create".to_owned(), Some(create("app2", json!("x".repeat(20))))),
    ] {
        let refused = fixture.api.call(method, &fixture.root, &uri, body).await.ok();
        assert!(refused["msg"].as_str().unwrap().starts_with("secret: is "), "{method} {uri}: {refused}");
    }
    assert_eq!(fixture.make("/app/key/list/app2", json!({})).await, json!([]));
}

#[tokio::test]
async fn answers_share_the_bytes_of_a_large_namespace() {
    let open = HttpSettings::default().with_apollo_unsigned_apps(["app1"]);
    let fixture = ApolloApi::new(open).await;
    fixture.publish("dev", "large.txt", &"x".repeat(1 << 20), json!({})).await;
    for uri in ["/configs/app1/dev/large.txt", "/configfiles/raw/app1/dev/large.txt"] {
        let mut places = std::collections::HashSet::new();
        for _ in 0..3 {
            let response = fixture.api.raw(Request::get(uri).body(Body::empty()).unwrap()).await;
            assert_eq!(response.status(), 200);
            let mut pieces = response.into_body().into_data_stream();
            let mut own = 0;
            while let Some(piece) = pieces.next().await {
                let piece = piece.unwrap();
                if piece.len() < 1 << 20 {
                    own += piece.len();
                } else {
                    places.insert(piece.as_ptr() as usize);
                }
            }
            assert!(own < 64 << 10, "{uri}: {own} bytes of its own");
        }
        assert_eq!(places.len(), 1, "{uri}: each answer has bytes of its own");
    }
}

#[tokio::test]
async fn malformed_requests_have_an_http_error_status() {
    let fixture = ApolloApi::with_key().await;
    fixture.publish("dev", "a", "1", json!({})).await;
    for list in ["", "x", "[]", "%5B%7B%7D%5D"] {
        let answer =
            fixture.get(&format!("/notifications/v2?appId=app1&cluster=dev&notifications={list}")).await;
        assert_eq!(answer.codes(), (400, 400), "{list}");
    }
    let late = fixture.api.pilothouse.clock().now().timestamp_millis() - 61_000;
    let uri = "/configs/app1/dev/application";
    let request = Request::get(uri)
        .header("authorization", signed(&fixture.key, &late.to_string(), uri))
        .header("timestamp", late);
    let answer = fixture.api.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!((answer.codes(), &answer.body["message"]), ((401, 401), &json!("RequestTimeTooSkewed")));
    let request = Request::get("/services/config?appId=app1&ip=10.0.0.1").header("host", "127.0.0.1:8080");
    let services = fixture.api.send(request.body(Body::empty()).unwrap()).await.ok();
    assert_eq!(services[0]["homepageUrl"], "http://127.0.0.1:8080/");
    assert_eq!(services[0]["appName"], "APOLLO-CONFIGSERVICE");
}
