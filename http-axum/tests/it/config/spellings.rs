//! Names and values that look alike or are written in more than one way, and what follows for whom they are published.

use serde_json::{Value, json};

use super::apollo::ApolloApi;
use crate::api::escape;

/// Code and message of an answer of the config family.
async fn refused(api: &ApolloApi, path: &str, body: Value) -> (i64, String) {
    let answer = api.api.post(&api.root, path, body).await;
    (answer.codes().1, answer.body["msg"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_new_key_shows_all_it_holds() {
    let api = ApolloApi::with_key().await;
    let new = |key: &str| json!({"app": "app1", "profile": "dev", "key": key, "value": 1});
    api.make("/config/create", new("timeout")).await;
    for key in ["timeout ", " timeout", "time\u{200b}out", "time\u{ad}out", "ｔｉｍｅｏｕｔ"] {
        let (code, why) = refused(&api, "/config/create", new(key)).await;
        assert!(code == 2 && why.starts_with("key: must not "), "{key:?}: {code} {why}");
    }
    api.make("/config/create", new("time out（毫秒）")).await;
}

#[tokio::test]
async fn a_value_with_a_key_twice_is_refused_and_scripts_have_lines() {
    let api = ApolloApi::with_key().await;
    let new = |key: &str, validator: &str, value: &str| json!({"app": "app1", "profile": "dev", "key": key, "value": value, "validator": validator});
    for (validator, value, why) in [
        ("yaml", "a: 1\na: 2", "value: is not YAML: the key a is there twice at line 2"),
        ("json", "{\"a\":1,\"a\":2}", "value: is not JSON: the key a is there twice at line 1"),
        ("toml", "a = 1\nb = 2\na = 3", "value: is not TOML: duplicate key at line 3"),
    ] {
        assert_eq!(refused(&api, "/config/create", new("k", validator, value)).await, (2, why.to_owned()));
    }
    let script = "function (v) {\n\treturn v > 1;\n}";
    api.make("/config/create", new("k", script, "2")).await;
    let update = json!({"app": "app1", "profile": "dev", "key": "k", "value": 3});
    api.make("/config/update", update).await;
    let item = api.make("/config/queryWithKey", json!({"app": "app1", "profile": "dev", "key": "k"})).await;
    assert_eq!((&item["Value"], &item["Validator"]), (&json!("3"), &json!(script)));
}

#[tokio::test]
async fn an_approved_version_stays_publishable_beside_a_newer_draft() {
    let api = ApolloApi::with_key().await;
    let name = json!({"app": "app1", "profile": "dev", "key": "k"});
    let with = |more: Value| {
        let mut with = name.clone();
        with.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        with
    };
    let id = api.make("/config/create", with(json!({"value": "one"}))).await;
    api.make("/config/approve", name.clone()).await;
    api.make("/config/update", with(json!({"value": "two"}))).await;
    api.make("/config/update", with(json!({"value": "three"}))).await;
    let why = "version 3 is not approved; version=1 would publish the last that is";
    assert_eq!(refused(&api, "/publish", json!({"id": id})).await, (7, why.to_owned()));
    for version in [2, 3, 4] {
        let why = format!("version {version} is not approved");
        assert_eq!(refused(&api, "/publish", json!({"id": id, "version": version})).await, (7, why));
    }
    let item = || api.make("/config/queryWithKey", name.clone());
    assert_eq!(item().await["PublishedVersion"], 0, "nothing was published");
    let released = api.make("/publish", json!({"id": id, "version": 1})).await;
    assert_eq!(released["Kind"], "full");
    assert_eq!(api.values("/configs/app1/dev/application").await, json!({"k": "one"}));
    let after = item().await;
    assert_eq!((&after["PublishedVersion"], &after["Version"]), (&json!(1), &json!(3)));
    assert_eq!((&after["PublishedValue"], &after["Value"]), (&json!("one"), &json!("three")));
    api.make("/config/approve", name.clone()).await;
    api.make("/publish", json!({"id": id})).await;
    assert_eq!(api.values("/configs/app1/dev/application").await, json!({"k": "three"}));
    // And back again, to one node.
    let grey =
        api.make("/publish", json!({"id": id, "version": 1, "nodes": "192.0.2.1", "grey": true})).await;
    assert_eq!(grey["Kind"], "grey");
    assert_eq!(api.values("/configs/app1/dev/application").await, json!({"k": "one"}));
    assert_eq!(api.values("/configs/app1/dev/application?ip=10.0.0.9").await, json!({"k": "three"}));
}

#[tokio::test]
async fn what_is_only_for_others_leaves_the_fall_back() {
    let api = ApolloApi::with_key().await;
    let uri = |client: &str| format!("/configs/app1/dev/application?ip={client}");
    api.publish("default", "a", "default", json!({})).await;
    for client in ["10.0.0.1", "10.0.0.2"] {
        api.get(&uri(client)).await.ok();
    }
    api.publish("dev", "other/key", "x", json!({})).await;
    for client in ["10.0.0.1", "10.0.0.2"] {
        api.get(&format!("/configs/app1/dev/other?ip={client}")).await.ok();
    }
    // A first release in this profile, to one node: everybody else keeps what `default` has.
    let grey = api.publish("dev", "a", "grey", json!({"nodes": "10.0.0.1", "grey": true})).await;
    assert_eq!(api.values(&uri("10.0.0.1")).await, json!({"a": "grey"}));
    assert_eq!(api.values(&uri("10.0.0.2")).await, json!({"a": "default"}));
    assert_eq!(api.get(&uri("10.0.0.3")).await.ok()["cluster"], "default");
    api.make("/publish/abort", json!({"release": grey["Release"]})).await;
    assert_eq!(api.values(&uri("10.0.0.1")).await, json!({"a": "default"}), "aborting brings it back");
    api.publish("dev", "a", "full", json!({})).await;
    assert_eq!(api.values(&uri("10.0.0.2")).await, json!({"a": "full"}));
    api.make("/config/del", json!({"app": "app1", "profile": "dev", "key": "a"})).await;
    assert_eq!(api.values(&uri("10.0.0.2")).await, json!({"a": "default"}), "and so does deleting");
    // Where no profile has it for this client, but one has it for another, it is empty and not absent.
    api.make("/config/del", json!({"app": "app1", "profile": "default", "key": "a"})).await;
    assert_eq!(api.values(&uri("10.0.0.2")).await, json!({}));
    assert_eq!(api.get("/configs/app1/dev/never").await.status, 404);
}

#[tokio::test]
async fn namespaces_that_differ_by_case_are_told_apart() {
    let api = ApolloApi::with_key().await;
    api.publish("dev", "DB/h", "1", json!({})).await;
    api.publish("dev", "db/h", "2", json!({})).await;
    let news = api.notifications(json!({"DB": -1, "db": -1}), "").await.unwrap();
    let id = |name: &str| {
        let all = news.as_array().unwrap();
        all.iter().find(|one| one["namespaceName"] == name).unwrap()["notificationId"].clone()
    };
    let (upper, lower) = (id("DB"), id("db"));
    api.publish("dev", "db/h", "3", json!({})).await;
    let news = api.notifications(json!({"DB": upper, "db": lower}), "").await.unwrap();
    assert_eq!((news.as_array().unwrap().len(), &news[0]["namespaceName"]), (1, &json!("db")));
    let text = escape("[{\"namespaceName\":\"db\",\"notificationId\":\"-1\"}]");
    let told = api.get(&format!("/notifications/v2?appId=app1&cluster=dev&notifications={text}")).await.ok();
    assert_eq!(told[0]["namespaceName"], "db", "an id may be text");
}

#[tokio::test]
async fn labels_are_of_any_letters() {
    let api = ApolloApi::with_key().await;
    api.publish("dev", "a", "old", json!({})).await;
    let uri = |label: &str| format!("/configs/app1/dev/application?ip=10.0.0.1&label={}", escape(label));
    let (short, long) = ("灰度", "灰度发布测试环境");
    for label in [short, long] {
        assert_eq!(api.values(&uri(label)).await, json!({"a": "old"}), "{label}");
    }
    let grey = api.publish("dev", "a", "new", json!({"labels": format!("label:{short}")})).await;
    assert_eq!(grey["Targets"], 1);
    assert_eq!(api.values(&uri(short)).await, json!({"a": "new"}));
    assert_eq!(api.values(&uri(long)).await, json!({"a": "old"}));
    let grey = api.publish("dev", "a", "newer", json!({"labels": format!("label:{long}")})).await;
    assert_eq!(grey["Targets"], 1);
    assert_eq!(api.values(&uri(long)).await, json!({"a": "newer"}));
    let nodes = api.nodes("dev").await;
    assert!(nodes.as_object().unwrap().keys().all(|id| id.is_ascii() && id.len() < 64), "{nodes}");
}

#[tokio::test]
async fn an_address_is_one_node_however_it_is_written() {
    let api = ApolloApi::with_key().await;
    api.publish("dev", "a", "1", json!({})).await;
    for node in ["2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "[2001:db8::1]"] {
        let body = json!({"app": "app1", "profile": "dev", "pid": 1, "nodeId": node});
        let registered = api.api.post(&api.key, "/node/register", body).await.ok();
        assert_eq!(registered["data"]["NodeId"], "2001:db8::1");
        let config = format!("/node/config?app=app1&profile=dev&nodeId={}", escape(node));
        assert_eq!(api.get(&config).await.ok()["code"], 0);
        api.get(&format!("/configs/app1/dev/application?ip={}", escape(node))).await.ok();
    }
    let nodes = api.nodes("dev").await;
    assert_eq!(nodes.as_object().unwrap().keys().collect::<Vec<_>>(), ["2001:db8::1"]);
    let grey = api.publish("dev", "a", "2", json!({"nodes": "2001:DB8:0::1", "grey": true})).await;
    assert_eq!((&grey["Kind"], &grey["Targets"]), (&json!("grey"), &json!(1)));
}
