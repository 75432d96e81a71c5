//! Changes that lie more releases back than are remembered.

use std::sync::Arc;

use pilothouse_core::{Pilothouse, SecretKey, Settings};
use pilothouse_http_axum::HttpSettings;
use pilothouse_storage_memory::MemoryStorage;
use serde_json::{Value, json};

use super::apollo::ApolloApi;
use crate::api::Api;

/// More releases than a snapshot remembers.
const RELEASES: usize = 300;

/// The id of the one notification, and what a client holds then.
async fn told(api: &ApolloApi, known: Value) -> Option<i64> {
    let news = api.notifications(json!({"secret": known}), "&ip=10.0.0.1").await?;
    news[0]["notificationId"].as_i64()
}

#[tokio::test]
async fn a_deletion_is_told_however_long_ago_and_ids_never_go_back() {
    let storage = Arc::new(MemoryStorage::new().strict());
    let server = |storage: &Arc<MemoryStorage>| {
        let settings = Settings::default().with_secret(SecretKey::new(&[7; 32]).unwrap());
        Pilothouse::new(storage.clone(), settings).unwrap()
    };
    let api = ApolloApi::over(server(&storage)).await;
    api.publish("dev", "secret/password", "hunter2", json!({})).await;
    api.publish("dev", "secret/user", "root", json!({})).await;
    let before = told(&api, json!(-1)).await.unwrap();
    let uri = "/configs/app1/dev/secret?ip=10.0.0.1";
    assert_eq!(api.values(uri).await, json!({"password": "hunter2", "user": "root"}));
    // A grey release to another that was aborted is the last release of the key, and its deletion the last change.
    let grey =
        api.publish("dev", "secret/password", "grey", json!({"nodes": "10.0.0.1", "grey": true})).await;
    api.make("/publish/abort", json!({"release": grey["Release"]})).await;
    api.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "secret/password"})).await;
    let deleted = told(&api, json!(before)).await.unwrap();
    assert!(deleted > before);
    for n in 0..RELEASES {
        api.publish("dev", "other", &n.to_string(), json!({})).await;
    }
    assert_eq!(told(&api, json!(before)).await, Some(deleted), "it is told still");
    assert_eq!(told(&api, json!(deleted)).await, None);
    assert_eq!(api.values(uri).await, json!({"user": "root"}));

    // And by a server that started since.
    let (root, key) = (api.root.clone(), api.key.clone());
    let restarted = ApolloApi { api: Api::of(server(&storage), HttpSettings::default()), root, key };
    assert_eq!(told(&restarted, json!(before)).await, Some(deleted));
    assert_eq!(told(&restarted, json!(deleted)).await, None);
}
