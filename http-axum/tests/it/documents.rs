//! Programs that were written from the older documents: spellings of lists, forms, flags and paths that they send.

use axum::body::Body;
use axum::http::Request;
use pilothouse_core::Settings;
use pilothouse_http_axum::HttpSettings;
use serde_json::{Value, json};

use crate::api::{Answer, Api};

async fn send(api: &Api, method: &str, token: &str, uri: &str, media: &str, body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header("content-type", media);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    api.send(request.body(Body::from(body.to_owned())).unwrap()).await
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// An app with an approved config; its id.
async fn approved(api: &Api, root: &str) -> i64 {
    let app = json!({"app": "app1", "appType": 0, "name": "n", "charger": "c"});
    assert_eq!(api.post(root, "/app/create", app).await.ok()["code"], 0);
    let key = json!({"app": "app1", "profile": "dev", "key": "k"});
    let mut new = key.clone();
    new["value"] = json!(1);
    let id = api.post(root, "/config/create", new).await.ok()["data"].as_i64().unwrap();
    assert_eq!(api.post(root, "/config/approve", key).await.ok()["code"], 0);
    id
}

async fn register(api: &Api, root: &str, node: &str) {
    let key = api.post(root, "/app/key/create", json!({"app": "app1"})).await.ok()["data"]["Key"].clone();
    let body = json!({"app": "app1", "profile": "dev", "nodeId": node, "pid": 1});
    assert_eq!(api.post(key.as_str().unwrap(), "/node/register", body).await.ok()["code"], 0);
}

#[tokio::test]
async fn a_misspelt_or_empty_selection_publishes_nothing() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let id = approved(&api, &root).await;
    register(&api, &root, "n1").await;
    for query in [
        "node=n1",
        "Nodes=n1",
        "percentage=5",
        "nodes=",
        "nodes[]=",
        "nodes.0=",
        "percent=",
        "labels=",
        "nodes[a]=n1",
        "nodes=%20",
        "lables=zone:a",
        "version=1&Grey=true",
    ] {
        let answer = api.get(&root, &format!("/publish?id={id}&{query}")).await;
        assert_eq!(answer.codes(), (200, 2), "{query}: {}", answer.body);
        let form = send(&api, "POST", &root, "/publish", FORM, &format!("id={id}&{query}")).await;
        assert_eq!(form.codes(), (200, 2), "{query}: {}", form.body);
    }
    for body in [
        json!({"id": id, "nodes": null}),
        json!({"id": id, "percent": null}),
        json!({"id": id, "labels": ""}),
        json!({"id": id, "nodes": []}),
        json!({"id": id, "nodes": [""]}),
        json!({"id": id, "nodes[0]": ""}),
        json!({"id": id, "node.0": "n1"}),
        json!({"id": id, "nodes[x]": "n1"}),
    ] {
        assert_eq!(api.post(&root, "/publish", body.clone()).await.codes(), (200, 2), "{body}");
    }
    let listed = api.get(&root, "/publish/list?app=app1&profile=dev").await.ok();
    assert_eq!(listed["data"], json!([]), "nothing was published");
    let ignored = format!("/publish?id={id}&nodes=n1&grey=1&_=17&callback=f&utm_source=x&version=");
    assert_eq!(api.get(&root, &ignored).await.ok()["data"]["Kind"], "grey");
}

#[tokio::test]
async fn lists_are_understood_in_every_spelling() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let id = approved(&api, &root).await;
    for node in ["n1", "n2", "n3"] {
        register(&api, &root, node).await;
    }
    let targets = |answer: Answer| {
        let body = answer.ok();
        assert_eq!(body["data"]["Kind"], "grey", "{body}");
        body["data"]["Targets"].clone()
    };
    for query in [
        "nodes=n1,n2",
        "nodes=n1,%20n2,",
        "nodes[]=n1&nodes[]=n2",
        "nodes[0]=n1&nodes[1]=n2",
        "nodes.0=n1&nodes.1=n2",
    ] {
        assert_eq!(targets(api.get(&root, &format!("/publish?id={id}&{query}")).await), 2, "{query}");
        let form = send(&api, "POST", &root, "/publish", FORM, &format!("id={id}&{query}")).await;
        assert_eq!(targets(form), 2, "{query}");
    }
    for body in [
        json!({"id": id, "nodes": ["n1", "n2"]}),
        json!({"id": id, "nodes[]": ["n1", "n2"]}),
        json!({"id": id, "nodes.0": "n1", "nodes.1": "n2"}),
        json!({"id": id, "nodes[0]": "n1", "nodes[1]": "n2"}),
    ] {
        assert_eq!(targets(api.post(&root, "/publish", body.clone()).await), 2, "{body}");
    }
    let all = api.get(&root, &format!("/publish?id={id}&nodes=n3,n1,n2,")).await.ok();
    assert_eq!((&all["data"]["Kind"], &all["data"]["Targets"]), (&json!("full"), &json!(3)));
}

#[tokio::test]
async fn ops_and_cdn_take_forms_and_what_is_like_json() {
    let api = Api::with(Settings::default().with_cdns(["level3"]), HttpSettings::default()).await;
    api.pilothouse.cdns().ensure_configured().await.unwrap();
    let root = api.login("root").await;
    let form = "action=add&data[ip]=::ffff:10.0.0.1&data[action]=update&data[content]=5&data[description]=d";
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"action\"\r\n\r\nadd\r\n\
        --x\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n\
        {\"ip\":\"10.0.0.1\",\"action\":\"update\",\"content\":5,\"description\":\"d\"}\r\n--x--\r\n";
    let marked = "\u{feff}{\"action\":\"add\",\"data\":{\"ip\":\"10.0.0.1\",\"action\":\"update\",\"content\":5,\"description\":\"d\"}}";
    for (media, body) in [
        (FORM, form),
        ("multipart/form-data; boundary=x", multipart),
        (JSON, marked),
        (FORM, &marked["\u{feff}".len()..]),
    ] {
        let added = send(&api, "POST", &root, "/api/task/", media, body).await.ok();
        let task_id = added["info"]["task_id"].as_str().unwrap_or_else(|| panic!("{media}: {added}"));
        let parts = [&task_id[..8], &task_id[8..12], &task_id[12..16], &task_id[16..20], &task_id[20..]];
        let uuid = format!("{{{}}}", parts.join("-").to_uppercase());
        let listed =
            send(&api, "GET", &root, "//api//task", JSON, &json!({"task_id": uuid}).to_string()).await.ok();
        assert_eq!(
            (&listed["info"][0]["ip"], &listed["info"][0]["content"]),
            (&json!("10.0.0.1"), &json!("5"))
        );
    }
    assert_eq!(send(&api, "POST", &root, "/api/task", "multipart/form-data", "x").await.status, 400);
    let unknown = api.get(&root, "/api/task?task_id=0358c3c7-8f52-11e6-8585-5cf9389306a2").await.ok();
    assert_eq!(unknown, json!({"code": 200, "ok": true, "info": []}));
    assert_eq!(api.get(&root, "/admin/user?username=nobody").await.codes(), (200, 404));

    // PHP writes an empty object as a list, and flags as numbers.
    assert_eq!(send(&api, "GET", &root, "/level3/domains/", JSON, "[]").await.codes(), (200, 6));
    api.account("user", "").await;
    let user = "login_email=user@example.com&password=12345678&operations=0";
    let created = send(&api, "POST", &root, "/level3/user", FORM, user).await.ok();
    assert_eq!(created["operate_right"], false);
    let cdns = "login_email=user@example.com&cdns[]=level3";
    assert_eq!(
        send(&api, "POST", &root, "/level3/user_cdns", FORM, cdns).await.ok()["cdns"],
        json!(["level3"])
    );
    let domains =
        json!({"login_email": "user@example.com", "cdn": "level3", "cdns": ["level3"], "domains": "a.test"});
    let put = api.call("PUT", &root, "/level3/user_domains?id=1", Some(domains.clone())).await.ok();
    assert_eq!(put["results"], json!([{"cdn": "level3", "domains": ["a.test"]}]));
    let other = api.call("PUT", &root, "/level3/user_domains?id=2", Some(domains)).await;
    assert_eq!(other.codes(), (200, 2));

    let login =
        send(&api, "POST", "", "/level3/login", FORM, "login_email=user@example.com&password=12345678").await;
    let token = login.ok()["token"].as_str().unwrap().to_owned();
    let check = format!("token={token}");
    assert_eq!(send(&api, "POST", "", "/level3/logincheck", FORM, &check).await.ok()["online"], true);
    assert_eq!(api.get(&token, "/level3/logout").await.ok()["err"], 0);
    assert_eq!(send(&api, "POST", "", "/level3/logincheck", FORM, &check).await.ok()["online"], false);
}

#[tokio::test]
async fn what_was_answered_may_be_sent_back() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let machine = json!({
        "machine_name": "web01", "inside_ip": "10.2.2.2", "outside_ip": "", "usage": "web", "userage": "web",
        "is_initialized": false, "location": "阿里云",
    });
    let machine_info = |action: &str, data: &Value| json!({"action": action, "data": data});
    assert_eq!(api.post(&root, "/api/machine_info", machine_info("add", &machine)).await.ok()["ok"], true);
    let held = api.get(&root, "/api/machine_info?machine_name=web01").await.ok()["info"][0].clone();
    assert_eq!(held["outside_ip"], "");
    assert_eq!(api.post(&root, "/api/machine_info", machine_info("update", &held)).await.ok()["ok"], true);
    let moved = json!({"machine_name": "web01", "outside_ip": "::ffff:1.2.3.4"});
    assert_eq!(api.post(&root, "/api/machine_info", machine_info("update", &moved)).await.ok()["ok"], true);
    let mut expected = held;
    expected["outside_ip"] = json!("1.2.3.4");
    assert_eq!(api.get(&root, "/api/machine_info?machine_name=web01").await.ok()["info"], json!([expected]));
    let differ = json!({"machine_name": "web01", "usage": "a", "userage": "b"});
    assert_eq!(
        api.post(&root, "/api/machine_info", machine_info("update", &differ)).await.codes(),
        (200, 400)
    );

    api.account("ann", "1,2").await;
    let held = api.get(&root, "/admin/user?username=ann").await.ok()["info"].clone();
    let update = |data: &Value| json!({"action": "update", "data": data});
    assert_eq!(api.post(&root, "/admin/user", update(&held)).await.ok()["ok"], true);
    let department = json!({"id": held["id"], "name": "ann", "department": "", "mail": ""});
    assert_eq!(api.post(&root, "/admin/user", update(&department)).await.ok()["ok"], true);
    let now = api.get(&root, "/admin/user?username=ann").await.ok()["info"].clone();
    assert_eq!((&now["department"], &now["permissions"]), (&json!(""), &json!("1,2")));
    // What is meant to name another account does not fall back to the caller's own.
    for empty in [json!({"name": ""}), json!({"mail": ""}), json!({"name": "", "mail": ""})] {
        let mut data = empty;
        data["permissions"] = json!("1");
        assert_eq!(api.post(&root, "/admin/user", update(&data)).await.codes(), (200, 400), "{data}");
    }
    let another = json!({"id": 1, "name": "ann"});
    assert_eq!(api.post(&root, "/admin/user", update(&another)).await.codes(), (200, 400));

    let id = approved(&api, &root).await;
    let item = "/config/update?app=app1&profile=dev&key=k";
    assert_eq!(api.get(&root, &format!("{item}&id={id}&description=why")).await.ok()["code"], 0);
    let held = api.get(&root, "/config/queryWithKey?app=app1&profile=dev&key=k").await.ok()["data"].clone();
    assert_eq!((&held["Value"], &held["Description"]), (&json!("1"), &json!("why")));
    assert_eq!(api.get(&root, &format!("{item}&id={}", id + 1)).await.codes(), (200, 2));
}

#[tokio::test]
async fn agents_that_know_only_flags_report() {
    let api = Api::new().await;
    let root = api.login("root").await;
    let task = json!({"ip": "10.0.0.1", "action": "update", "content": "/f", "description": "d"});
    let added = api.post(&root, "/api/task", json!({"action": "add", "data": task})).await.ok();
    let task_id = added["info"]["task_id"].clone();
    for (percent, status, revert, code) in [
        (0, 0, 0, 200),
        (50, 1, 0, 200),
        (100, 1, 0, 200),
        (100, 1, 0, 200),
        (50, 1, 0, 409),
        (100, 1, 1, 200),
        (10, 1, 1, 200),
        (20, 1, 0, 200),
        (100, 1, 1, 200),
    ] {
        let data = json!({"task_id": task_id, "percent": percent, "status": status, "revert": revert});
        let answer = api.post(&root, "/api/task_status", json!({"action": "update", "data": data})).await;
        assert_eq!(answer.codes(), (200, code), "{percent} {status} {revert}: {}", answer.body);
    }
}
