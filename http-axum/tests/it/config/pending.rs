//! What waits, over HTTP: drafts, approved changes and grey releases of several apps, by what the caller may see.

use pilothouse_core::Settings;
use pilothouse_http_axum::HttpSettings;
use serde_json::{Value, json};

use super::get_calls::{code, is_local_time, ok, uid};
use crate::api::Api;

/// An API whose profile `prod` is under four-eyes.
async fn api() -> Api {
    let settings = Settings::default().with_four_eyes_profiles(["prod"]);
    Api::with(settings, HttpSettings::default()).await
}

/// App, profile, and key or title of each row of a list.
fn rows(pending: &Value, list: &str) -> Vec<String> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let rows = pending[list].as_array().unwrap().iter();
    rows.map(|row| {
        let what = [text(row, "Title"), text(row, "Key")].concat();
        format!("{}/{}/{what}", text(row, "App"), text(row, "Profile"))
    })
    .collect()
}

async fn apply(api: &Api, token: &str, title: &str, profile: &str, changes: Value) -> Value {
    let body = json!({"app": "app1", "profile": profile, "title": title, "changes": changes});
    let answer = api.post(token, "/config/apply", body).await.ok();
    assert_eq!(answer["code"], 0, "{answer}");
    answer["data"]["ChangeSet"].clone()
}

#[tokio::test]
async fn drafts_approved_changes_and_grey_releases_wait() {
    let api = api().await;
    let root = api.login("root").await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let nothing = json!({"ToApprove": [], "ToPublish": [], "Grey": [], "More": []});
    assert_eq!(ok(&api, &root, "/config/pending").await, nothing);
    let id = ok(&api, &root, "/config/create?app=app1&profile=dev&key=k1&value=1").await;
    let pending = ok(&api, &root, "/config/pending").await;
    let row = &pending["ToApprove"][0];
    assert!(is_local_time(&row["Time"]), "{pending}");
    let item = json!({
        "App": "app1", "Profile": "dev", "ChangeSet": 0, "Title": "", "ConfigId": id, "Key": "k1",
        "Version": 1, "Items": 1, "Author": "1", "Time": row["Time"],
    });
    let to_approve = json!({"ToApprove": [item], "ToPublish": [], "Grey": [], "More": []});
    assert_eq!(pending, to_approve);
    ok(&api, &root, "/config/approve?app=app1&profile=dev&key=k1").await;
    let approved = json!({"ToApprove": [], "ToPublish": [item], "Grey": [], "More": []});
    assert_eq!(api.post(&root, "/config/pending", json!({})).await.ok()["data"], approved);

    let key = ok(&api, &root, "/app/key/create?app=app1").await;
    let node = json!({"app": "app1", "profile": "dev", "nodeId": "11", "pid": "1"});
    let key = key["Key"].as_str().unwrap();
    assert_eq!(api.post(key, "/node/register", node).await.ok()["code"], 0);
    let grey = ok(&api, &root, &format!("/publish?id={id}&nodes=11&grey=true")).await["Release"].clone();
    let pending = ok(&api, &root, "/config/pending").await;
    let row = json!({
        "Release": grey, "App": "app1", "Profile": "dev", "ChangeSet": 0, "Title": "", "ConfigId": id,
        "Key": "k1", "Version": 1, "Items": 1, "Nodes": 1, "Publisher": "1",
        "PublishTime": pending["Grey"][0]["PublishTime"],
    });
    assert_eq!(pending, json!({"ToApprove": [], "ToPublish": [], "Grey": [row], "More": []}));
    ok(&api, &root, &format!("/publish/promote?release={grey}")).await;
    assert_eq!(ok(&api, &root, "/config/pending").await, nothing);

    // A set stands for its items, until one is edited; it moves on as a whole.
    let changes = json!([{"key": "k1", "value": "2"}, {"key": "k2", "value": "1"}]);
    let set = apply(&api, &root, "feature x", "dev", changes).await;
    let pending = ok(&api, &root, "/config/pending").await;
    let row = &pending["ToApprove"][0];
    assert_eq!(
        row,
        &json!({
            "App": "app1", "Profile": "dev", "ChangeSet": set, "Title": "feature x", "ConfigId": 0, "Key": "",
            "Version": 0, "Items": 2, "Author": "1", "Time": row["Time"],
        })
    );
    assert_eq!(pending["ToApprove"].as_array().unwrap().len(), 1);
    api.post(&root, "/changeset/approve", json!({"changeset": set})).await.ok();
    let pending = ok(&api, &root, "/config/pending").await;
    assert_eq!(rows(&pending, "ToPublish"), ["app1/dev/feature x"]);
    assert_eq!(rows(&pending, "ToApprove"), [""; 0]);
    ok(&api, &root, "/config/update?app=app1&profile=dev&key=k2&value=3").await;
    let pending = ok(&api, &root, "/config/pending").await;
    assert_eq!(
        (rows(&pending, "ToApprove"), rows(&pending, "ToPublish")),
        (vec!["app1/dev/k2".to_owned()], vec!["app1/dev/feature x".to_owned()])
    );
    let one = ok(&api, &root, "/config/pending?count=1").await;
    assert_eq!(one["More"], json!([]));
    ok(&api, &root, "/config/create?app=app1&profile=dev&key=k3&value=1").await;
    let one = ok(&api, &root, "/config/pending?count=1").await;
    assert_eq!(
        (rows(&one, "ToApprove"), &one["More"]),
        (vec!["app1/dev/k2".to_owned()], &json!(["ToApprove"]))
    );
    for wrong in ["/config/pending?count=0", "/config/pending?count=1001", "/config/pending?app=app1"] {
        assert_eq!(code(&api, &root, wrong).await, 2, "{wrong}");
    }
}

#[tokio::test]
async fn what_waits_is_shown_as_far_as_the_caller_may_see() {
    let api = api().await;
    let root = api.login("root").await;
    let (dev, reader, nobody) =
        (api.account("dev", "").await, api.account("reader", "").await, api.account("nobody", "").await);
    for app in ["app1", "app2"] {
        ok(&api, &root, &format!("/app/create?app={app}&appType=0&name=n&charger=c")).await;
    }
    for (token, profile, permission) in [(&dev, "prod", 9), (&reader, "prod", 0)] {
        let uid = uid(&api, token).await;
        let grant = format!(
            "/userauth/create?app=app1&profile={profile}&permission={permission}&uid={uid}&username="
        );
        ok(&api, &root, &grant).await;
    }
    ok(&api, &root, "/config/create?app=app2&profile=dev&key=elsewhere&value=1").await;
    ok(&api, &root, "/config/create?app=app1&profile=dev&key=k&value=1").await;
    ok(&api, &root, "/config/create?app=app1&profile=prod&key=of_root&value=1").await;
    ok(&api, &dev, "/config/create?app=app1&profile=prod&key=of_dev&value=1").await;
    apply(&api, &root, "set of root", "prod", json!([{"key": "a", "value": "1"}])).await;
    apply(&api, &dev, "set of dev", "prod", json!([{"key": "b", "value": "1"}])).await;
    let to_approve = async |token: &str| rows(&ok(&api, token, "/config/pending").await, "ToApprove");
    // Under four-eyes nobody is shown what another has to approve; elsewhere one may oneself.
    assert_eq!(
        to_approve(&root).await,
        ["app1/prod/set of dev", "app2/dev/elsewhere", "app1/dev/k", "app1/prod/of_dev"]
    );
    assert_eq!(to_approve(&dev).await, ["app1/prod/set of root", "app1/prod/of_root"]);
    // Who only reads is shown the items, and no sets.
    assert_eq!(
        to_approve(&reader).await,
        ["app1/prod/of_root", "app1/prod/of_dev", "app1/prod/a", "app1/prod/b"]
    );
    assert_eq!(to_approve(&nobody).await, [""; 0]);
    assert_eq!(code(&api, "", "/config/pending").await, 3);
}
