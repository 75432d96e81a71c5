//! Parameters from path, query, form and JSON, and the methods that write.

use axum::body::Body;
use axum::http::Request;
use pilothouse_core::Settings;
use pilothouse_http_axum::HttpSettings;
use serde_json::json;

use super::get_calls::{code, ok};
use crate::api::{Answer, Api};

#[tokio::test]
async fn parameters_are_read_from_path_query_form_and_json() {
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
    let mut misspelt = name.clone();
    misspelt["vaule"] = json!("x");
    misspelt["value"] = json!("x");
    let refused = api.post(&root, "/config/update", misspelt).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": "vaule: is not known here"}));
    assert_eq!(api.post(&root, "/config/update", name).await.ok()["msg"], "success", "everything stays");
    let awkward = json!({
        "app": "app1", "profile": "dev", "key": "it's \"q\"", "value": "\t🚀\r\n'\"\\", "validator": "v => v",
    });
    assert_eq!(api.post(&root, "/config/create", awkward).await.ok()["code"], 0);
    let found =
        ok(&api, &root, "/config/queryWithKey?app=app1&profile=dev&key=it's+%22q%22&_=1&utm_source=x").await;
    assert_eq!((&found["Value"], &found["Validator"]), (&json!("\t🚀\r\n'\"\\"), &json!("v => v")));
    assert_eq!(api.get(&root, "/config/profiles/%ff").await.codes(), (200, 2));
}

#[tokio::test]
async fn writes_by_get_can_be_disabled() {
    let http = HttpSettings::default().with_config_get_writes(false);
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
    assert_eq!(api.call("HEAD", &root, create, None).await.status, 405, "HEAD must not write");
    assert_eq!(ok(&api, &root, "/app/list").await, json!([]));
}

#[tokio::test]
async fn get_and_post_are_documented_as_separate_operations() {
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
