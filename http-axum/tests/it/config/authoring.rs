//! Authoring API: the documented examples of apps, grants and items, and validators.

use serde_json::{Value, json};

use super::get_calls::{code, is_local_time, ok, success, uid};
use crate::api::Api;

#[tokio::test]
async fn the_documented_app_examples_work() {
    let api = Api::new().await;
    let dyf = api.account("dyf", "").await;
    let created = api.get(&dyf, "/app/create?app=app10&appType=1&name=test-name2&charger=dyf").await;
    assert_eq!(created.headers["cache-control"], "no-store");
    assert_eq!(created.ok(), success());
    assert_eq!(code(&api, &dyf, "/app/create?app=app10&appType=1&name=test-name2&charger=dyf").await, 5);

    let listed = ok(&api, &dyf, "/app/list").await;
    let create_time = listed[0]["CreateTime"].clone();
    assert!(is_local_time(&create_time), "{create_time}");
    let app = json!({
        "App": "app10", "AppType": 1, "Name": "test-name2", "Charger": "dyf", "CreateTime": create_time,
    });
    assert_eq!(listed, json!([app]));

    assert_eq!(code(&api, &dyf, "/app/update?app=app10&appType=9&name=%E6%96%B0").await, 0);
    let app = json!({
        "App": "app10", "AppType": 9, "Name": "新", "Charger": "dyf", "CreateTime": create_time,
    });
    assert_eq!(ok(&api, &dyf, "/app/list").await, json!([app]));

    for (uri, expected) in [
        ("/app/create?app=all&appType=0&name=n&charger=c", "app: all is reserved"),
        ("/app/create?app=a%2Fb&appType=0&name=n&charger=c", "app: may hold only A-Z, a-z, 0-9, ., _ and -"),
        ("/app/create?app=a&appType=256&name=n&charger=c", "appType: must be from 0 to 255"),
        ("/app/create?app=a&appType=x&name=n&charger=c", "appType: must be an integer"),
        ("/app/create?app=a&appType=0&name=n", "charger: is required"),
        ("/app/create?app=a&app=b&appType=0&name=n&charger=c", "app: is given twice, with different values"),
        ("/app/update?app=app10&appType=-1", "appType: must be from 0 to 255"),
    ] {
        let refused = api.get(&dyf, uri).await.ok();
        assert_eq!(refused, json!({"code": 2, "msg": expected}), "{uri}");
    }
    assert_eq!(api.get(&dyf, "/app/del/app10").await.ok(), success());
    assert_eq!(code(&api, &dyf, "/app/del/app10").await, 4);
    assert_eq!(ok(&api, &dyf, "/app/list").await, json!([]));
}

#[tokio::test]
async fn the_documented_grant_examples_work() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let (ann, bob) = (api.account("ann", "").await, api.account("bob", "").await);
    let (root_uid, ann_uid, bob_uid) = (1, uid(&api, &ann).await, uid(&api, &bob).await);
    ok(&api, &ann, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let give = |app: &str, uid: i64, permission: i64| {
        format!("/userauth/create?app={app}&permission={permission}&uid={uid}&username=dd")
    };
    let id = ok(&api, &ann, &give("app1", bob_uid, 1)).await;
    let grant = |id: &Value, uid: i64, name: &str, permission: i64| json!({"Id": id, "Uid": uid, "Uname": name, "App": "app1", "Permission": permission});
    let listed = ok(&api, &bob, "/userauth/list/app1").await;
    let of_ann = listed[0]["Id"].clone();
    let both = json!([grant(&of_ann, ann_uid, "ann", 9), grant(&id, bob_uid, "dd", 1)]);
    assert_eq!(listed, both);

    assert_eq!(code(&api, &ann, &give("app1", bob_uid, 9)).await, 5);
    assert_eq!(code(&api, &ann, &give("app1", 1_000_000, 1)).await, 6);
    assert_eq!(code(&api, &ann, &give("app1", root_uid, 5)).await, 2);
    assert_eq!(code(&api, &bob, &give("app1", root_uid, 1)).await, 4);
    let to = |permission: i64| format!("/userauth/update_permission?id={of_ann}&permission={permission}");
    assert_eq!(code(&api, &ann, &to(1)).await, 7, "the last manager");
    assert_eq!(code(&api, &ann, &format!("/userauth/del?id={of_ann}")).await, 7);
    assert_eq!(code(&api, &bob, &to(1)).await, 4);
    ok(&api, &ann, &format!("/userauth/update_permission?id={id}&permission=9")).await;
    ok(&api, &bob, &format!("/userauth/del?id={of_ann}")).await;
    assert_eq!(code(&api, &ann, "/userauth/list/app1").await, 4);
    assert_eq!(code(&api, &ann, "/userauth/list/absent").await, 4);
    assert_eq!(code(&api, &root, "/userauth/list/absent").await, 6);

    // Grants on `all`.
    assert_eq!(code(&api, &bob, &give("all", bob_uid, 9)).await, 4);
    assert_eq!(code(&api, &root, &give("all", bob_uid, 1)).await, 2);
    ok(&api, &root, &give("all", ann_uid, 9)).await;
    let all = ok(&api, &ann, "/userauth/list/all").await;
    assert_eq!(all[0]["App"], "all");
    assert_eq!((&all[0]["Uname"], &all[1]["Uname"]), (&json!("root"), &json!("dd")));
    assert_eq!(ok(&api, &ann, "/app/list").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_grant_on_a_profile_decides_there() {
    let api = Api::new().await;
    let (ann, dev) = (api.account("ann", "").await, api.account("dev", "").await);
    let uid = uid(&api, &dev).await;
    ok(&api, &ann, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    for profile in ["dev", "prod", "test"] {
        ok(&api, &ann, &format!("/config/create?app=app1&profile={profile}&key=k&value=1")).await;
    }
    let give = |more: &str| format!("/userauth/create?app=app1&uid={uid}&username=dd{more}");
    let on_dev = ok(&api, &ann, &give("&permission=1&profile=dev")).await;
    let on_prod = ok(&api, &ann, &give("&permission=0&profile=prod")).await;
    for (more, code_and_why) in [
        ("&permission=1&profile=dev", (5, "a grant of this uid on this profile already exists")),
        ("&permission=1&profile=", (2, "profile: must not be empty; leave it out for no selection")),
        ("&permission=1&profile=a%2Fb", (2, "profile: may hold only A-Z, a-z, 0-9, ., _ and -")),
        ("&permission=1&profiles=dev", (2, "profiles: is not known here")),
        ("&permission=2&profile=dev", (2, "permission: must be 0, 1 or 9")),
    ] {
        let refused = api.get(&ann, &give(more)).await.ok();
        assert_eq!(refused, json!({"code": code_and_why.0, "msg": code_and_why.1}), "{more}");
    }
    let root = api.login("root").await;
    let on_all = format!("/userauth/create?app=all&uid={uid}&username=dd&permission=9&profile=dev");
    assert_eq!(api.get(&root, &on_all).await.ok()["msg"], "profile: must not be given on all");

    let listed = ok(&api, &dev, "/userauth/profiles/app1").await;
    let grant = |id: &Value, profile: &str, permission: i64| json!({"Id": id, "Uid": uid, "Uname": "dd", "App": "app1", "Profile": profile, "Permission": permission});
    assert_eq!(listed, json!([grant(&on_dev, "dev", 1), grant(&on_prod, "prod", 0)]));
    assert_eq!(code(&api, &dev, "/userauth/list/app1").await, 4);
    assert_eq!(ok(&api, &ann, "/userauth/list/app1").await.as_array().unwrap().len(), 1);
    assert_eq!(ok(&api, &dev, "/config/profiles/app1").await, json!(["dev", "prod"]));
    assert_eq!(ok(&api, &dev, "/app/list").await[0]["App"], "app1");
    for (profile, reads, writes) in [("dev", 0, 0), ("prod", 0, 4), ("test", 4, 4)] {
        let query = format!("/config/queryWithKey?app=app1&profile={profile}&key=k");
        assert_eq!(code(&api, &dev, &query).await, reads, "{profile}");
        let update = format!("/config/update?app=app1&profile={profile}&key=k&value=2");
        assert_eq!(code(&api, &dev, &update).await, writes, "{profile}");
        let approve = format!("/config/approve?app=app1&profile={profile}&key=k");
        assert_eq!(code(&api, &dev, &approve).await, 4, "{profile}");
    }
    ok(&api, &ann, &format!("/userauth/update_permission?id={on_prod}&permission=9")).await;
    assert_eq!(code(&api, &dev, "/config/approve?app=app1&profile=prod&key=k").await, 0);
    assert_eq!(
        code(&api, &dev, &format!("/userauth/del?id={on_dev}")).await,
        4,
        "a profile's 9 manages no grants"
    );
    ok(&api, &ann, &format!("/userauth/del?id={on_prod}")).await;
    assert_eq!(code(&api, &dev, "/config/queryWithKey?app=app1&profile=prod&key=k").await, 4);
}

#[tokio::test]
async fn the_documented_item_examples_work() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let dev = api.account("dev", "").await;
    let dev_uid = uid(&api, &dev).await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    ok(&api, &root, &format!("/userauth/create?app=app1&permission=1&uid={dev_uid}&username=")).await;
    let create = "/config/create?app=app1&profile=dev&key=k1&value=sl&validator=&description=111";
    let id = ok(&api, &dev, create).await;
    assert_eq!(code(&api, &dev, create).await, 5);
    let query = "/config/queryWithKey?app=app1&profile=dev&key=k1";
    let item = ok(&api, &dev, query).await;
    let time = item["ModifyTime"].clone();
    assert!(is_local_time(&time), "{time}");
    let expected = json!({
        "Id": id, "App": "app1", "Profile": "dev", "Key": "k1", "Value": "sl", "Version": 1,
        "PublishedValue": "", "PublishedVersion": 0, "Validator": "", "Modifier": dev_uid.to_string(),
        "ModifyTime": time, "Description": "111", "Approver": "", "ApproveType": 0,
    });
    assert_eq!(item, expected);
    assert_eq!(ok(&api, &dev, "/config/query?app=app1&profile=dev").await, json!([expected]));
    assert_eq!(ok(&api, &dev, "/config/query?app=app1&profile=none").await, json!([]));

    assert_eq!(code(&api, &dev, "/config/approve?app=app1&profile=dev&key=k1").await, 4);
    let publish = format!("/publish?id={id}");
    let refused = api.get(&root, &publish).await.ok();
    assert_eq!(refused, json!({"code": 7, "msg": "version 1 is not approved"}));
    assert_eq!(code(&api, &root, "/config/approve?app=app1&profile=dev&key=k1&version=2").await, 7);
    ok(&api, &root, "/config/approve?app=app1&profile=dev&key=k1&version=1").await;
    let item = ok(&api, &dev, query).await;
    assert_eq!((&item["Approver"], &item["ApproveType"]), (&json!("1"), &json!(1)));

    assert_eq!(code(&api, &dev, &publish).await, 4);
    assert_eq!(code(&api, &root, &format!("{publish}&nodes=")).await, 2);
    assert_eq!(code(&api, &root, &format!("{publish}&nodes=11,22,33,44")).await, 6);
    assert_eq!(code(&api, &root, &format!("{publish}&percent=50")).await, 2);
    assert_eq!(code(&api, &root, &format!("{publish}&labels=zone:a")).await, 2);
    assert_eq!(code(&api, &root, &format!("{publish}&version=2")).await, 7);
    assert_eq!(code(&api, &root, "/publish?id=1000000").await, 6);
    assert_eq!(ok(&api, &dev, query).await["PublishedVersion"], 0, "nothing was published");
    let released = ok(&api, &root, &publish).await;
    assert_eq!(released, json!({"Release": 1, "Kind": "full", "Targets": 0}));

    ok(&api, &dev, "/config/update?app=app1&profile=dev&key=k1&value=a%0Ab&description=2&version=1").await;
    let item = ok(&api, &dev, query).await;
    assert_eq!((&item["Value"], &item["Version"]), (&json!("a\nb"), &json!(2)));
    assert_eq!((&item["PublishedValue"], &item["PublishedVersion"]), (&json!("sl"), &json!(1)));
    assert_eq!((&item["Approver"], &item["ApproveType"]), (&json!(""), &json!(0)));
    let stale = "/config/update?app=app1&profile=dev&key=k1&value=c&version=1";
    assert_eq!(code(&api, &dev, stale).await, 7);

    ok(&api, &dev, "/config/rollback?app=app1&profile=dev&key=k1&version=1").await;
    assert_eq!(code(&api, &dev, "/config/rollback?app=app1&profile=dev&key=k1&version=9").await, 6);
    assert_eq!(ok(&api, &dev, query).await["Version"], 3);
    let history = ok(&api, &dev, "/config/history?app=app1&profile=dev&key=k1").await;
    let versions: Vec<_> = history.as_array().unwrap().iter().map(|row| row["Version"].as_i64()).collect();
    assert_eq!(versions, [Some(3), Some(2), Some(1)]);
    let oldest = json!({
        "Version": 1, "Value": "sl", "Validator": "", "Description": "111",
        "Modifier": dev_uid.to_string(), "ModifyTime": time, "Approver": "1",
    });
    assert_eq!(history[2], oldest);
    let diff = ok(&api, &dev, "/config/diff?app=app1&profile=dev&key=k1&from=1&to=2").await;
    let expected = "--- k1 (version 1)\n+++ k1 (version 2)\n@@ -1 +1,2 @@\n-sl\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n";
    assert_eq!(diff, expected);
    let hunks = "/config/diff?app=app1&profile=dev&key=k1&form=json";
    let line = |change: &str, text: &str| json!({"Change": change, "Text": text});
    let lines = json!([line("removed", "sl"), line("added", "a\n"), line("added", "b")]);
    let hunk = json!([{"FromLine": 1, "ToLine": 1, "Lines": lines}]);
    let of_two = ok(&api, &dev, &format!("{hunks}&from=1&to=2")).await;
    assert_eq!(of_two, json!({"From": 1, "To": 2, "Hunks": hunk}));
    // The draft against what is published.
    assert_eq!(ok(&api, &dev, hunks).await, json!({"From": 1, "To": 3, "Hunks": []}));
    assert_eq!(ok(&api, &dev, &format!("{hunks}&to=2")).await["Hunks"], hunk);
    let refused = api.get(&dev, &hunks.replace("json", "html")).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": "form: must be text or json"}));

    ok(&api, &dev, "/config/create?app=app1&profile=Test&key=k&value=").await;
    assert_eq!(ok(&api, &dev, "/config/profiles/app1").await, json!(["Test", "dev"]));
    assert_eq!(ok(&api, &dev, "/node/list?app=app1&profile=dev").await, json!({}));
    assert_eq!(code(&api, &dev, "/config/del?app=app1&profile=dev&key=k1").await, 4, "it is published");
    assert_eq!(code(&api, &root, "/config/del?app=app1&profile=dev&key=k1&version=1").await, 7);
    ok(&api, &dev, "/config/del?app=app1&profile=Test&key=k").await;
    assert_eq!(code(&api, &root, "/app/del/app1").await, 7, "the app has items");
    ok(&api, &root, "/config/del?app=app1&profile=dev&key=k1").await;
    assert_eq!(code(&api, &dev, query).await, 6);
    ok(&api, &root, "/app/del/app1").await;
}

#[tokio::test]
async fn an_invalid_value_is_refused_by_a_built_in_validator() {
    let api = Api::new().await;
    let root = api.login("root").await;
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let item = |value: &str, validator: &str| json!({"app": "app1", "profile": "dev", "key": "port", "value": value, "validator": validator});
    for (value, validator, msg) in [
        ("{", "json", "value: is not JSON: EOF while parsing an object at line 1 column 1"),
        (
            "a: [",
            "yaml",
            "value: is not YAML: while parsing a node, did not find expected node content at line 2 column 1",
        ),
        (
            "a =",
            "toml",
            "value: is not TOML: string values must be quoted, expected literal string at line 1",
        ),
        ("eighty", "int", "value: is not a whole number from -9223372036854775808 to 9223372036854775807"),
        ("example.com", "url", "value: is not an absolute URL: relative URL without a base"),
        ("eighty", "regex:^[0-9]+$", "value: does not match its regular expression"),
        (
            "80.5",
            r#"jsonschema:{"type":"integer"}"#,
            "value: does not satisfy its schema at /: it is not of type \"integer\"",
        ),
        ("80", "regex:[", "validator: is not a regular expression: unclosed character class"),
        ("80", "jsonschema:no", "validator: is not a JSON schema: expected ident at line 1 column 2"),
    ] {
        let refused = api.post(&root, "/config/create", item(value, validator)).await.ok();
        assert_eq!(refused, json!({"code": 2, "msg": msg}));
    }
    ok(&api, &root, "/config/create?app=app1&profile=dev&key=port&value=80&validator=int").await;
    let refused = api.post(&root, "/config/update", item("eighty", "int")).await.ok();
    assert_eq!(refused["code"], 2);
    let found = ok(&api, &root, "/config/queryWithKey?app=app1&profile=dev&key=port").await;
    assert_eq!((&found["Value"], &found["Validator"]), (&json!("80"), &json!("int")));
}
