//! The samples of the config document, and what it forbids.

use axum::body::Body;
use axum::http::Request;
use pilothouse_core::Settings;
use pilothouse_http_axum::HttpSettings;
use serde_json::{Value, json};

use crate::api::{Answer, Api};

fn success() -> Value {
    json!({"code": 0, "msg": "success", "data": null})
}

/// Calls by GET, as the document shows it.
async fn ok(api: &Api, token: &str, uri: &str) -> Value {
    let body = api.get(token, uri).await.ok();
    assert_eq!(body["code"], 0, "{uri}: {body}");
    body["data"].clone()
}

async fn code(api: &Api, token: &str, uri: &str) -> i64 {
    let answer = api.get(token, uri).await;
    let (status, code) = answer.codes();
    assert_eq!(status, 200, "{uri}: {}", answer.body);
    assert_eq!(answer.body["msg"].is_string(), code != 0 || answer.body["msg"] == "success");
    code
}

async fn uid(api: &Api, token: &str) -> i64 {
    let own = api.get(token, "/admin/user").await.ok();
    own["info"].as_array().unwrap().last().unwrap()["id"].as_i64().unwrap()
}

fn members(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn is_local_time(text: &Value) -> bool {
    let text = text.as_str().unwrap();
    text.len() == "2017-07-13T18:14:22+08:00".len() && text.ends_with("+08:00")
}

#[tokio::test]
async fn app_samples() {
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
async fn userauth_samples() {
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
    assert_eq!(code(&api, &ann, &to(1)).await, 7, "the last admin");
    assert_eq!(code(&api, &ann, &format!("/userauth/del?id={of_ann}")).await, 7);
    assert_eq!(code(&api, &bob, &to(1)).await, 4);
    ok(&api, &ann, &format!("/userauth/update_permission?id={id}&permission=9")).await;
    ok(&api, &bob, &format!("/userauth/del?id={of_ann}")).await;
    assert_eq!(code(&api, &ann, "/userauth/list/app1").await, 4);
    assert_eq!(code(&api, &ann, "/userauth/list/absent").await, 4);
    assert_eq!(code(&api, &root, "/userauth/list/absent").await, 6);

    // `all`
    assert_eq!(code(&api, &bob, &give("all", bob_uid, 9)).await, 4);
    assert_eq!(code(&api, &root, &give("all", bob_uid, 1)).await, 2);
    ok(&api, &root, &give("all", ann_uid, 9)).await;
    let all = ok(&api, &ann, "/userauth/list/all").await;
    assert_eq!(all[0]["App"], "all");
    assert_eq!((&all[0]["Uname"], &all[1]["Uname"]), (&json!("root"), &json!("dd")));
    assert_eq!(ok(&api, &ann, "/app/list").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn config_samples() {
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

    ok(&api, &dev, "/config/create?app=app1&profile=Test&key=k&value=").await;
    assert_eq!(ok(&api, &dev, "/config/profiles/app1").await, json!(["Test", "dev"]));
    assert_eq!(ok(&api, &dev, "/node/list?app=app1&profile=dev").await, json!({}));
    assert_eq!(code(&api, &dev, "/config/del?app=app1&profile=dev&key=k1").await, 4, "it is published");
    assert_eq!(code(&api, &root, "/config/del?app=app1&profile=dev&key=k1&version=1").await, 7);
    ok(&api, &dev, "/config/del?app=app1&profile=Test&key=k").await;
    assert_eq!(code(&api, &root, "/app/del/app1").await, 7, "it has configs");
    ok(&api, &root, "/config/del?app=app1&profile=dev&key=k1").await;
    assert_eq!(code(&api, &dev, query).await, 6);
    ok(&api, &root, "/app/del/app1").await;
}

#[tokio::test]
async fn parameters_from_everywhere() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let app = json!({"app": "app1", "appType": "0", "name": "n", "charger": "c"});
    assert_eq!(api.post(&root, "/app/create", app).await.ok()["code"], 0);
    let form = async |uri: &str, body: &str| -> Answer {
        let request = Request::post(uri)
            .header("authorization", format!("Bearer {root}"))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(Body::from(body.to_owned()));
        api.send(request.unwrap()).await
    };
    let large = "x".repeat(1 << 20);
    let body = format!("profile=dev&key=%E9%94%AE&value={large}");
    assert_eq!(form("/config/create?app=app1", &body).await.ok()["code"], 0);
    let name = json!({"app": "app1", "profile": "dev", "key": "键"});
    let item = api.post(&root, "/config/queryWithKey", name.clone()).await.ok();
    assert_eq!(item["data"]["Value"], large);
    assert_eq!(form("/config/create?app=app1", &format!("{body}x&key=k2")).await.body["code"], 2);
    assert_eq!(form("/config/create?app=app1", "app=app2&profile=dev&key=k&value=").await.body["code"], 2);
    assert_eq!(form("/config/create", "app=app1&profile=dev&key=%ff&value=").await.body["code"], 2);

    let mut longer = name.clone();
    longer["value"] = json!(format!("{large}x"));
    let refused = api.post(&root, "/config/update", longer).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": "value: must be at most 1048576 bytes, not 1048577"}));
    let mut stranger = name.clone();
    stranger["vaule"] = json!("x");
    stranger["value"] = json!("x");
    let refused = api.post(&root, "/config/update", stranger).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": "vaule: is not known here"}));
    assert_eq!(api.post(&root, "/config/update", name).await.ok()["msg"], "value: is required");
    let awkward = json!({
        "app": "app1", "profile": "dev", "key": "it's \"q\"", "value": "\t🚀\r\n'\"\\", "validator": "v => v",
    });
    assert_eq!(api.post(&root, "/config/create", awkward).await.ok()["code"], 0);
    let found = ok(&api, &root, "/config/queryWithKey?app=app1&profile=dev&key=it's+%22q%22&unknown=1").await;
    assert_eq!((&found["Value"], &found["Validator"]), (&json!("\t🚀\r\n'\"\\"), &json!("v => v")));
    assert_eq!(api.get(&root, "/config/profiles/%ff").await.codes(), (200, 2));
}

#[tokio::test]
async fn a_built_in_validator_refuses() {
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

#[tokio::test]
async fn writes_by_get_can_be_turned_off() {
    let http = HttpSettings { config_get_writes: false, ..HttpSettings::default() };
    let api = Api::with(Settings::default(), http).await;
    let root = api.login("root").await;
    let create = "/app/create?app=app1&appType=0&name=n&charger=c";
    for write in [
        create,
        "/app/update?app=app1",
        "/app/del/app1",
        "/userauth/create?app=app1&permission=1&uid=1&username=",
        "/userauth/del?id=1",
        "/userauth/update_permission?id=1&permission=1",
        "/config/create?app=app1&profile=dev&key=k&value=",
        "/config/update?app=app1&profile=dev&key=k&value=",
        "/config/del?app=app1&profile=dev&key=k",
        "/config/approve?app=app1&profile=dev&key=k",
        "/config/rollback?app=app1&profile=dev&key=k&version=1",
        "/publish?id=1",
    ] {
        assert_eq!(api.get(&root, write).await.codes(), (405, 2), "{write}");
    }
    assert_eq!(ok(&api, &root, "/app/list").await, json!([]), "nothing was created");
    assert_eq!(api.call("POST", &root, create, None).await.ok()["code"], 0);
    assert_eq!(code(&api, &root, "/config/query?app=app1&profile=dev").await, 0);
    assert_eq!(api.call("PUT", &root, create, None).await.codes(), (405, 2));

    let api = Api::new().await;
    let root = api.login("root").await;
    assert_eq!(api.call("HEAD", &root, create, None).await.status, 405, "HEAD changes nothing");
    assert_eq!(ok(&api, &root, "/app/list").await, json!([]));
}

#[tokio::test]
async fn without_a_token_or_a_grant() {
    let api = Api::new().await;
    let (root, ann) = (api.login("root").await, api.account("ann", "1,2,3,4,5,6,8").await);
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    let id = ok(&api, &root, "/config/create?app=app1&profile=dev&key=k&value=1").await;
    let published = format!("/publish?id={id}");
    for uri in [
        "/app/update?app=app1",
        "/app/update?app=absent",
        "/app/del/app1",
        "/app/del/absent",
        "/userauth/create?app=app1&permission=1&uid=1&username=",
        "/userauth/create?app=absent&permission=1&uid=1&username=",
        "/userauth/list/app1",
        "/userauth/list/absent",
        "/userauth/del?id=2",
        "/userauth/del?id=1000000",
        "/userauth/update_permission?id=2&permission=1",
        "/userauth/update_permission?id=1000000&permission=1",
        "/config/create?app=app1&profile=dev&key=k2&value=",
        "/config/create?app=absent&profile=dev&key=k2&value=",
        "/config/update?app=app1&profile=dev&key=k&value=",
        "/config/queryWithKey?app=app1&profile=dev&key=k",
        "/config/queryWithKey?app=absent&profile=dev&key=k",
        "/config/query?app=app1&profile=dev",
        "/config/query?app=absent&profile=dev",
        "/config/del?app=app1&profile=dev&key=k",
        "/config/approve?app=app1&profile=dev&key=k",
        "/config/rollback?app=app1&profile=dev&key=k&version=1",
        "/config/profiles/app1",
        "/config/profiles/absent",
        "/config/history?app=app1&profile=dev&key=k",
        "/config/diff?app=app1&profile=dev&key=k&from=1&to=1",
        "/node/list?app=app1&profile=dev",
        "/node/list?app=absent&profile=dev",
        &published,
        "/publish?id=1000000",
        "/audit/list",
    ] {
        assert_eq!(code(&api, "", uri).await, 3, "{uri}");
        assert_eq!(code(&api, &ann, uri).await, 4, "{uri}");
    }
    assert_eq!(code(&api, "", "/app/list").await, 3);
    assert_eq!(ok(&api, &ann, "/app/list").await, json!([]));
}

#[tokio::test]
async fn audit_list() {
    let api = Api::new().await;
    let (root, auditor) = (api.login("root").await, api.account("auditor", "9").await);
    ok(&api, &root, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    ok(&api, &root, "/config/create?app=app1&profile=dev&key=k&value=do-not-tell").await;
    let rows = ok(&api, &auditor, "/audit/list?start=0&count=1000&actor=root&object=app1/dev/k").await;
    let row = &rows[0];
    let names = ["Id", "Time", "Actor", "Address", "Action", "Object", "Old", "New", "Count"];
    let mut expected = names.to_vec();
    expected.sort_unstable();
    let mut found = members(row);
    found.sort_unstable();
    assert_eq!((rows.as_array().unwrap().len(), found), (1, expected));
    assert!(is_local_time(&row["Time"]) && row["New"].as_str().unwrap().len() == 64);
    let shown = [&row["Actor"], &row["Address"], &row["Action"], &row["Object"], &row["Old"], &row["Count"]];
    assert_eq!(
        shown,
        [
            &json!("root"),
            &json!("192.0.2.1"),
            &json!("config.create"),
            &json!("app1/dev/k"),
            &json!(""),
            &json!(1)
        ]
    );
    let all = ok(&api, &auditor, "/audit/list?count=1000").await;
    assert!(!all.to_string().contains("do-not-tell"));
    assert_eq!(ok(&api, &auditor, "/audit/list?since=2100-01-01T00:00:00Z").await, json!([]));
    let until = ok(&api, &auditor, "/audit/list?count=1000&until=2100-01-01T00:00:00%2B08:00").await;
    assert_eq!(until.as_array().unwrap().len(), all.as_array().unwrap().len());
    for bad in ["since=yesterday", "until=2100-01-01", "start=-1", "count=0", "count=1001"] {
        assert_eq!(code(&api, &auditor, &format!("/audit/list?{bad}")).await, 2, "{bad}");
    }
}

#[tokio::test]
async fn the_document_tells_get_from_post() {
    let api = Api::new().await;
    let document = api.get("", "/openapi.json").await.ok();
    let mut ids = std::collections::BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{method} {path}: {id} is taken");
        }
    }
    let create = &document["paths"]["/config/create"];
    assert_eq!(create["get"]["parameters"][3]["name"], "value");
    assert!(create["get"]["requestBody"].is_null() && create["post"]["parameters"].is_null());
    for kind in ["application/json", "application/x-www-form-urlencoded"] {
        let schema = &create["post"]["requestBody"]["content"][kind]["schema"];
        let schema = document.pointer(&schema["$ref"].as_str().unwrap()[1..]).unwrap();
        assert_eq!(schema["required"], json!(["app", "profile", "key", "value"]));
        assert_eq!(schema["properties"]["value"]["maxLength"], 1_048_576);
    }
    assert_eq!(document["paths"]["/app/del/{app}"]["post"]["parameters"][0]["in"], "path");
}
