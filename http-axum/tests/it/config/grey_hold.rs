//! Grey releases that a node refuses: they are not promoted unless that is forced.

use serde_json::json;

use crate::api::Api;

#[tokio::test]
async fn a_refused_grey_release_is_promoted_by_force_alone() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let made = async |token: &str, path: &str, body: serde_json::Value| {
        let answer = api.post(token, path, body).await;
        assert_eq!(answer.codes(), (200, 0), "{path}: {}", answer.body);
        answer.body["data"].clone()
    };
    made(&root, "/app/create", json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"})).await;
    let key =
        made(&root, "/app/key/create", json!({"app": "app1"})).await["Key"].as_str().unwrap().to_owned();
    for node in ["11", "22"] {
        let node = json!({"app": "app1", "profile": "dev", "nodeId": node, "pid": "1"});
        made(&key, "/node/register", node).await;
    }
    let changes = json!([{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]);
    let apply = json!({"app": "app1", "profile": "dev", "changes": changes, "approve": true});
    let set = made(&root, "/config/apply", apply).await["ChangeSet"].clone();
    let publish = json!({"app": "app1", "profile": "dev", "changeset": set, "nodes": "11"});
    let grey = made(&root, "/publish/set", publish).await["Release"].clone();

    for result in ["rejected", "failed"] {
        let results = json!([
            {"key": "a", "version": 1, "result": "applied"},
            {"key": "b", "version": 1, "result": result, "message": "not here"},
        ]);
        let ack = json!({"app": "app1", "profile": "dev", "nodeId": "11", "results": results});
        made(&key, "/node/ack", ack).await;
        let held = api.post(&root, "/publish/promote", json!({"release": grey})).await;
        assert_eq!(held.codes(), (200, 7), "{result}");
        let why = held.body["msg"].as_str().unwrap();
        assert!(why.contains(": 11;") && why.contains("force=true"), "{why}");
    }
    let status = made(&root, "/publish/status", json!({"release": grey})).await;
    assert_eq!((&status["State"], &status["Nodes"][0]["State"]), (&json!("active"), &json!("failed")));
    let other = made(&root, "/publish/promote", json!({"release": grey, "force": true})).await;
    assert_eq!(other["Kind"], "full");
}
