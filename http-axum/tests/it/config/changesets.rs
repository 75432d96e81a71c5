//! Change sets over HTTP: apply, lists, diffs, approval, discarding.

use serde_json::json;

use super::get_calls::{code, is_local_time, ok};
use crate::api::Api;

#[tokio::test]
async fn a_change_set_from_its_dry_run_to_its_approval() {
    let api = Api::new().await;
    let root = api.login("root").await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let id = ok(&api, &root, "/config/create?app=app1&profile=dev&key=k1&value=1&validator=int").await;
    let mut body = json!({
        "app": "app1", "profile": "dev", "title": "feature x", "dryRun": true,
        "changes": [{"key": "k1", "value": "2", "version": 1}, {"key": "k2", "value": "", "description": "d"}],
    });
    let answer = |set: i64, second: i64| {
        json!({"ChangeSet": set, "Changes": [
            {"Key": "k1", "Id": id, "Action": "update", "From": 1, "Version": 2, "Error": ""},
            {"Key": "k2", "Id": second, "Action": "create", "From": 0, "Version": 1, "Error": ""},
        ], "Release": 0})
    };
    assert_eq!(api.post(&root, "/config/apply", body.clone()).await.ok()["data"], answer(0, 0));
    assert_eq!(ok(&api, &root, "/changeset/list?app=app1&profile=dev").await, json!([]));
    body["changes"][0]["value"] = json!("two");
    let planned = api.post(&root, "/config/apply", body.clone()).await.ok();
    let error = planned["data"]["Changes"][0]["Error"].as_str().unwrap().to_owned();
    assert!(error.starts_with("value: is not a whole number"), "{error}");
    body["dryRun"] = json!(false);
    let refused = api.post(&root, "/config/apply", body.clone()).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": format!("changes: k1: {error}")}));
    body["changes"][0]["value"] = json!("2");
    let made = api.post(&root, "/config/apply", body).await.ok()["data"].clone();
    let (set, second) = (made["ChangeSet"].as_i64().unwrap(), made["Changes"][1]["Id"].as_i64().unwrap());
    assert_eq!(made, answer(set, second));

    let listed = ok(&api, &root, "/changeset/list?app=app1&profile=dev&state=draft").await;
    assert!(is_local_time(&listed[0]["Time"]), "{listed}");
    let mut row = json!({
        "ChangeSet": set, "Title": "feature x", "App": "app1", "Profile": "dev", "State": "draft",
        "Author": "1", "Time": listed[0]["Time"], "Approver": "", "Size": 2,
    });
    assert_eq!(listed, json!([row]));
    assert_eq!(ok(&api, &root, "/changeset/list?app=app1&profile=dev&state=approved").await, json!([]));
    assert_eq!(code(&api, &root, "/changeset/list?app=app1&profile=dev&state=open").await, 2);
    row["Changes"] = json!([
        {"Key": "k1", "Id": id, "Action": "update", "From": 1, "Version": 2,
         "Diff": "--- k1 (version 1)\n+++ k1 (version 2)\n@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+2\n\\ No newline at end of file\n"},
        {"Key": "k2", "Id": second, "Action": "create", "From": 0, "Version": 1, "Diff": ""},
    ]);
    assert_eq!(ok(&api, &root, &format!("/changeset/get?changeset={set}")).await, row);
    assert_eq!(
        api.call("GET", &root, &format!("/changeset/approve?changeset={set}"), None).await.status,
        405
    );
    assert_eq!(api.post(&root, "/changeset/approve", json!({"changeset": set})).await.ok()["code"], 0);
    let approved = ok(&api, &root, "/changeset/list?app=app1&profile=dev&state=approved&total=1").await;
    assert_eq!((&approved[0]["Approver"], &approved[0]["State"]), (&json!("1"), &json!("approved")));
    let item = ok(&api, &root, "/config/queryWithKey?app=app1&profile=dev&key=k1").await;
    assert_eq!(
        (&item["Version"], &item["ApproveType"], &item["Validator"]),
        (&json!(2), &json!(1), &json!("int"))
    );
    let trail = ok(&api, &root, &format!("/audit/list?count=1000&object=app1/dev+changeset+{set}")).await;
    let actions: Vec<_> = trail.as_array().unwrap().iter().map(|row| row["Action"].clone()).collect();
    assert_eq!(actions, ["changeset.apply", "changeset.approve"]);
    assert_eq!(api.post(&root, "/changeset/discard", json!({"changeset": set})).await.ok()["code"], 0);
    assert_eq!(code(&api, &root, "/config/queryWithKey?app=app1&profile=dev&key=k2").await, 6);
    let again = api.post(&root, "/changeset/approve", json!({"changeset": set})).await.ok();
    assert_eq!(again, json!({"code": 7, "msg": "the change set is discarded already"}));
}

#[tokio::test]
async fn what_a_set_may_not_hold_is_named() {
    let api = Api::new().await;
    let root = api.login("root").await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    for (change, why) in [
        (json!({"key": "k"}), "changes: k: value: is required for a new key"),
        (json!({"key": "k", "vaule": "1"}), "changes.0.vaule: is not known here"),
        (
            json!({"key": "k", "delete": true, "value": "1"}),
            "changes.0.delete: goes with no value, validator or description",
        ),
    ] {
        let body = json!({"app": "app1", "profile": "dev", "changes": [change]});
        let refused = api.post(&root, "/config/apply", body).await.ok();
        assert_eq!(refused, json!({"code": 2, "msg": why}));
    }
    let large = "x".repeat(1 << 20);
    let changes: Vec<_> = (0..12).map(|n| json!({"key": format!("k{n}"), "value": large})).collect();
    let body = json!({"app": "app1", "profile": "dev", "changes": changes});
    assert_eq!(api.post(&root, "/config/apply", body).await.ok()["code"], 0, "12 MiB");
    let long = "x".repeat(64 << 20);
    let body = json!({"app": "app1", "profile": "dev", "changes": [{"key": "k", "value": long}]});
    assert_eq!(api.post(&root, "/config/apply", body).await.codes(), (413, 2));
}

#[tokio::test]
async fn a_set_is_published_and_rolled_back_by_one_call_each() {
    let api = Api::new().await;
    let root = api.login("root").await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let changes = json!([{"key": "k1", "value": "1"}, {"key": "k2", "value": "1"}]);
    let body =
        json!({"app": "app1", "profile": "dev", "title": "first", "changes": changes, "publish": true});
    let made = api.post(&root, "/config/apply", body).await.ok()["data"].clone();
    let first = made["Release"].as_i64().unwrap();
    assert!(first > 0, "{made}");
    let changes = json!([{"key": "k1", "value": "2"}, {"key": "k2", "delete": true}]);
    let body =
        json!({"app": "app1", "profile": "dev", "title": "second", "changes": changes, "approve": true});
    let set = api.post(&root, "/config/apply", body).await.ok()["data"]["ChangeSet"].clone();
    for (wrong, why) in [
        (json!({"changeset": set, "keys": ["k1"]}), "changeset: either this or keys must be given"),
        (json!({}), "changeset: either this or keys must be given"),
        (json!({"changeset": set, "nodes": ""}), "nodes: must not be empty; leave it out for no selection"),
    ] {
        let mut body = json!({"app": "app1", "profile": "dev"});
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(api.post(&root, "/publish/set", body).await.ok(), json!({"code": 2, "msg": why}));
    }
    let body = json!({"app": "app1", "profile": "dev", "changeset": set});
    let released = api.post(&root, "/publish/set", body).await.ok()["data"].clone();
    let second = released["Release"].as_i64().unwrap();
    assert_eq!(released, json!({"Release": second, "Kind": "full", "Targets": 0, "Items": 2}));
    let key = "/config/queryWithKey?app=app1&profile=dev";
    assert_eq!(code(&api, &root, &format!("{key}&key=k2")).await, 6);
    let status = ok(&api, &root, &format!("/publish/status?release={second}")).await;
    let items = status["Items"].as_array().unwrap();
    assert_eq!((&items[0]["Key"], &items[0]["Version"]), (&json!("k1"), &json!(2)));
    assert_eq!((&items[1]["Key"], &items[1]["Version"]), (&json!("k2"), &json!(0)));
    let planned = json!({"release": second, "dryRun": true});
    let planned = api.post(&root, "/publish/rollback", planned).await.ok()["data"].clone();
    let changes = json!([{"Key": "k1", "From": 2, "Version": 1}, {"Key": "k2", "From": 0, "Version": 1}]);
    assert_eq!(planned, json!({"Release": 0, "Items": 2, "Changes": changes}));
    assert_eq!(code(&api, &root, &format!("{key}&key=k2")).await, 6, "a dry run does nothing");
    let back = api.post(&root, "/publish/rollback", json!({"release": second})).await.ok()["data"].clone();
    assert_eq!(back["Items"], 2);
    for key in [format!("{key}&key=k1"), format!("{key}&key=k2")] {
        assert_eq!(ok(&api, &root, &key).await["PublishedValue"], "1");
    }
    let again = api.post(&root, "/publish/rollback", json!({"release": first})).await.ok();
    assert_eq!(again, json!({"code": 7, "msg": "released again or deleted since: k1, k2"}));
    let listed = ok(&api, &root, "/publish/list?app=app1&profile=dev&count=2").await;
    let shown =
        |row: &serde_json::Value| (row["Release"].clone(), row["Items"].clone(), row["Title"].clone());
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(shown(&listed[1]), (json!(second), json!(2), json!("second")));
    let older = format!("/publish/list?app=app1&profile=dev&before={second}&key=k2");
    assert_eq!(shown(&ok(&api, &root, &older).await[0]), (json!(first), json!(2), json!("first")));
    assert_eq!(code(&api, &root, "/publish/list?app=app1&profile=dev&count=1001").await, 2);
}
