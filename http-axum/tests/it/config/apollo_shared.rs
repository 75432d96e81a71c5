//! Shared namespaces, as Apollo clients of other apps get them.

use std::time::Duration;

use serde_json::{Value, json};

use super::apollo::ApolloApi;
use crate::api::{Api, escape};

/// The clients belong to `app1`; `base` shares the namespace `mid`.
struct SharedApi(ApolloApi);

impl SharedApi {
    async fn new() -> Self {
        let fixture = ApolloApi::with_key().await;
        fixture.make("/app/create", json!({"app": "base", "appType": 0, "name": "n", "charger": "c"})).await;
        let shared = Self(fixture);
        shared.share("base", true).await;
        shared
    }

    async fn share(&self, app: &str, shared: bool) {
        self.0.make("/app/share", json!({"app": app, "namespace": "mid", "shared": shared})).await;
    }

    /// Publishes a key of `base`.
    async fn publish(&self, profile: &str, key: &str, value: &str, more: Value) -> Value {
        let name = json!({"app": "base", "profile": profile, "key": key, "value": value});
        if self.0.api.post(&self.0.root, "/config/create", name.clone()).await.codes() != (200, 0) {
            self.0.make("/config/update", name.clone()).await;
        }
        let name = json!({"app": "base", "profile": profile, "key": key});
        self.0.make("/config/approve", name.clone()).await;
        let id = self.0.make("/config/queryWithKey", name).await["Id"].clone();
        let mut arguments = json!({"id": id});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.0.make("/publish", arguments).await
    }

    /// What a client of `app1` gets.
    async fn values(&self, profile: &str, more: &str) -> Value {
        self.0.values(&format!("/configs/app1/{profile}/mid?ip=10.0.0.1{more}")).await
    }

    /// The id after `known`; `None` where nothing changed.
    async fn id_after(&self, known: i64) -> Option<i64> {
        let news = self.0.notifications(json!({"mid": known}), "&ip=10.0.0.1").await?;
        news[0]["notificationId"].as_i64()
    }
}

#[tokio::test]
async fn clients_of_other_apps_get_a_shared_namespace_below_their_own_keys() {
    let shared = SharedApi::new().await;
    assert_eq!(shared.0.get("/configs/app1/dev/mid").await.status, 404, "nothing is published yet");
    shared.publish("default", "mid/host", "d", json!({})).await;
    shared.publish("default", "mid/port", "1", json!({})).await;
    shared.publish("default", "secret", "not shared", json!({})).await;
    assert_eq!(shared.values("dev", "").await, json!({"host": "d", "port": "1"}));
    let answer = shared.0.get("/configs/app1/dev/MID.properties").await.ok();
    assert_eq!((&answer["appId"], &answer["cluster"]), (&json!("app1"), &json!("default")));
    assert_eq!(shared.0.get("/configs/app1/dev/application").await.status, 404);
    let file = shared.0.get("/configfiles/app1/dev/mid").await;
    assert_eq!(file.body, json!("host=d\nport=1\n"));
    // The profile that is asked for comes first.
    shared.publish("dev", "mid/host", "dev", json!({})).await;
    assert_eq!(shared.values("dev", "").await, json!({"host": "dev"}));
    assert_eq!(shared.values("prod", "").await, json!({"host": "d", "port": "1"}));
    // Own keys come on top, with one release key for both.
    shared.0.publish("prod", "mid/port", "2", json!({})).await;
    shared.0.publish("prod", "mid/own", "x", json!({})).await;
    assert_eq!(shared.values("prod", "").await, json!({"host": "d", "own": "x", "port": "2"}));
    let key = |answer: Value| answer["releaseKey"].as_str().unwrap().to_owned();
    let before = key(shared.0.get("/configs/app1/prod/mid").await.ok());
    let known = format!("/configs/app1/prod/mid?releaseKey={before}");
    assert_eq!(shared.0.get(&known).await.status, 304);
    shared.publish("default", "mid/host", "e", json!({})).await;
    assert_ne!(key(shared.0.get(&known).await.ok()), before);
    assert_eq!(shared.values("prod", "").await, json!({"host": "e", "own": "x", "port": "2"}));
    shared.0.make("/config/del", json!({"app": "app1", "profile": "prod", "key": "mid/port"})).await;
    assert_eq!(shared.values("prod", "").await, json!({"host": "e", "own": "x", "port": "1"}));
    let refused = json!({"app": "app1", "namespace": "Mid", "shared": true});
    let refused = shared.0.api.post(&shared.0.root, "/app/share", refused).await;
    assert_eq!(refused.codes(), (200, 5), "{}", refused.body);
    for (namespace, why) in [
        (json!("application"), "namespace: must not be application, which each app has for itself"),
        (json!(""), "namespace: must not be empty"),
        (json!("x".repeat(256)), "namespace: must be at most 255 bytes, not 256"),
    ] {
        let refused = json!({"app": "base", "namespace": namespace, "shared": true});
        assert_eq!(shared.0.api.post(&shared.0.root, "/app/share", refused).await.ok()["msg"], why);
    }
    // Withdrawn, only the own keys are left; the app is deleted after that.
    shared.share("base", false).await;
    assert_eq!(shared.values("prod", "").await, json!({"own": "x"}));
    assert_eq!(shared.values("dev", "").await, json!({}), "clients drop what they have of it");
}

#[tokio::test]
async fn notification_ids_of_a_shared_namespace_only_grow() {
    let shared = SharedApi::new().await;
    let mut known = -1;
    let mut grown = async |what: &str, shared: &SharedApi| {
        let id = shared.id_after(known).await;
        assert!(id.is_some_and(|id| id > known), "{what}: {id:?} after {known}");
        known = id.unwrap();
        assert_eq!(shared.id_after(known).await, None, "{what} is told once");
    };
    for n in 0..5 {
        shared.publish("default", "mid/host", &n.to_string(), json!({})).await;
    }
    grown("shared", &shared).await;
    shared.0.publish("dev", "mid/own", "x", json!({})).await;
    grown("an own key", &shared).await;
    shared.publish("default", "mid/host", "new", json!({})).await;
    grown("a shared key", &shared).await;
    shared.publish("dev", "another", "key", json!({})).await;
    shared.share("base", false).await;
    grown("withdrawn", &shared).await;
    shared.0.make("/app/create", json!({"app": "third", "appType": 0, "name": "n", "charger": "c"})).await;
    shared.share("third", true).await;
    grown("shared by another app that has nothing there", &shared).await;
    shared.share("third", false).await;
    grown("withdrawn again", &shared).await;
    shared.share("base", true).await;
    grown("shared again", &shared).await;
    shared.0.publish("dev", "mid/own", "y", json!({})).await;
    grown("an own key again", &shared).await;
    let epoch = shared.0.api.pilothouse.storage().read().await.unwrap().store_identity().identity().await;
    shared.0.api.pilothouse.renew_epoch(epoch.unwrap().epoch).await.unwrap();
    shared.0.api.pilothouse.delivery().poll().await.unwrap();
    grown("another epoch", &shared).await;
}

#[tokio::test]
async fn a_waiting_client_is_told_of_the_shared_namespace() {
    let shared = SharedApi::new().await;
    shared.publish("default", "mid/host", "1", json!({})).await;
    shared.0.publish("dev", "other/a", "1", json!({})).await;
    let waiting = Api::with_long_poll(shared.0.api.pilothouse.clone(), Duration::from_mins(1));
    let id = shared.id_after(-1).await.unwrap();
    let other = shared.0.notifications(json!({"other": -1}), "").await.unwrap()[0]["notificationId"].clone();
    let wait = async |id: i64| {
        let known = json!([
            {"namespaceName": "mid", "notificationId": id}, {"namespaceName": "other", "notificationId": other},
        ]);
        let known = escape(&known.to_string());
        let uri = format!("/notifications/v2?appId=app1&cluster=dev&ip=10.0.0.1&notifications={known}");
        let news = waiting.get(&shared.0.key, &uri).await.ok();
        assert_eq!((news.as_array().unwrap().len(), &news[0]["namespaceName"]), (1, &json!("mid")), "{news}");
        news[0]["notificationId"].as_i64().unwrap()
    };
    let after_a_moment = tokio::time::sleep(Duration::from_millis(50));
    let (id, ()) = tokio::join!(wait(id), async {
        after_a_moment.await;
        shared.publish("default", "mid/host", "2", json!({})).await;
    });
    let after_a_moment = tokio::time::sleep(Duration::from_millis(50));
    let (id, ()) = tokio::join!(wait(id), async {
        after_a_moment.await;
        shared.share("base", false).await;
    });
    let after_a_moment = tokio::time::sleep(Duration::from_millis(50));
    let (_, ()) = tokio::join!(wait(id), async {
        after_a_moment.await;
        shared.share("base", true).await;
    });
}

#[tokio::test]
async fn a_grey_release_of_the_sharing_app_reaches_the_client_by_its_node() {
    let shared = SharedApi::new().await;
    shared.publish("default", "mid/host", "1", json!({})).await;
    assert_eq!(shared.values("dev", "").await, json!({"host": "1"}));
    let other = shared.0.values("/configs/app1/dev/mid?ip=10.0.0.2").await;
    assert_eq!(other, json!({"host": "1"}));
    let nodes = shared.0.make("/node/list", json!({"app": "base", "profile": "default"})).await;
    assert_eq!(nodes.as_object().unwrap().len(), 2, "clients are nodes of the sharing app, too: {nodes}");
    let grey = shared.publish("default", "mid/host", "2", json!({"nodes": "10.0.0.1", "grey": true})).await;
    assert_eq!(shared.values("dev", "").await, json!({"host": "2"}));
    assert_eq!(shared.0.values("/configs/app1/dev/mid?ip=10.0.0.2").await, json!({"host": "1"}));
    // The client comes back knowing of it: it has applied it.
    let id = shared.id_after(-1).await.unwrap();
    assert_eq!(shared.id_after(id).await, None);
    let status = shared.0.make("/publish/status", json!({"release": grey["Release"]})).await;
    assert_eq!(status["Nodes"][0]["State"], "applied", "{status}");
    shared.0.make("/publish/abort", json!({"release": grey["Release"]})).await;
    assert!(shared.id_after(id).await.unwrap() > id);
    assert_eq!(shared.values("dev", "").await, json!({"host": "1"}));
}
