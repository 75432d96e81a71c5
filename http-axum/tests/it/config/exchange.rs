//! Export, comparison and search of configs, and packed answers.

use std::io::Read;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use flate2::read::GzDecoder;
use pilothouse_config_exchange::{Entry, apollo, json, properties, yaml};
use serde_json::json;

use super::get_calls::{code, ok, uid};
use crate::api::{Api, escape};

/// Configs of `app1`: profile, key, value, description.
const CONFIGS: [(&str, &str, &str, &str); 4] = [
    ("dev", "greeting", "Grüße, 世界\nline = 2", "said at the door"),
    ("dev", "db/host", "db1.example.com", ""),
    ("dev", "routes.yaml", "a: 1\n", "two\nlines"),
    ("test", "db/host", "db2.example.com", ""),
];

async fn api() -> (Api, String) {
    let api = Api::new().await;
    let ann = api.account("ann", "").await;
    ok(&api, &ann, "/app/create?app=app1&appType=0&name=n&charger=c").await;
    for (profile, key, value, description) in CONFIGS {
        let config = json!({
            "app": "app1", "profile": profile, "key": key, "value": value, "description": description,
            "validator": if key == "greeting" { "a script" } else { "" },
        });
        assert_eq!(api.post(&ann, "/config/create", config).await.codes(), (200, 0));
    }
    (api, ann)
}

fn entries(profile: &str) -> Vec<Entry> {
    let of_profile = CONFIGS.iter().filter(|(of, ..)| *of == profile);
    of_profile
        .map(|(_, key, value, description)| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
            description: (*description).to_owned(),
        })
        .collect()
}

/// The bytes and headers of a file.
async fn file(api: &Api, token: &str, uri: &str, encodings: &str) -> (axum::http::HeaderMap, Vec<u8>) {
    let request = Request::get(uri)
        .header("authorization", format!("Bearer {token}"))
        .header("accept-encoding", encodings)
        .body(Body::empty())
        .unwrap();
    let response = api.raw(request).await;
    let (parts, body) = response.into_parts();
    (parts.headers, to_bytes(body, usize::MAX).await.unwrap().into())
}

#[tokio::test]
async fn an_export_is_what_was_written() {
    let (api, ann) = api().await;
    let uri = |format: &str| format!("/config/export?app=app1&profile=dev&format={format}");
    let (headers, bytes) = file(&api, &ann, &uri("properties"), "").await;
    assert_eq!(headers["content-disposition"], "attachment; filename=\"app1-dev.properties\"");
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["x-dropped"], "1 validators");
    assert!(
        bytes.starts_with(b"# said at the door\ngreeting=Gr\\u00FC\\u00DFe, \\u4E16\\u754C\\nline \\= 2\n")
    );
    assert_eq!(properties::read("f", &bytes).unwrap().entries, entries("dev"));
    let (_, bytes) = file(&api, &ann, &uri("yaml"), "").await;
    assert_eq!(yaml::read("f", &bytes).unwrap().entries, entries("dev"));
    let (headers, bytes) = file(&api, &ann, &uri("json"), "").await;
    assert_eq!(headers["x-dropped"], "1 validators, 2 descriptions");
    let values: Vec<_> =
        json::read("f", &bytes).unwrap().entries.into_iter().map(|e| (e.key, e.value)).collect();
    assert_eq!(values, entries("dev").into_iter().map(|e| (e.key, e.value)).collect::<Vec<_>>());

    let (headers, bytes) = file(&api, &ann, "/config/export?app=app1&format=apollo", "").await;
    assert_eq!(headers["content-type"], "application/zip");
    let (profiles, dropped) = apollo::read(&bytes, apollo::Selection::default()).unwrap();
    assert!(dropped.is_empty());
    let read: Vec<_> = profiles.iter().map(|profile| (&*profile.app, &*profile.profile)).collect();
    assert_eq!(read, [("app1", "dev"), ("app1", "test")]);
    assert_eq!(profiles[1].entries, entries("test"));
    assert_eq!(profiles[0].entries.len(), 3);

    for (uri, refusal) in [
        ("/config/export?app=app1&format=json", "profile: is missing, which only apollo does without"),
        (
            "/config/export?app=app1&profile=dev&format=nacos",
            "format: must be properties, yaml, json or apollo",
        ),
        ("/config/export?app=app1&profile=dev&format=json&env=x", "env: is not known here"),
    ] {
        assert_eq!(api.get(&ann, uri).await.ok(), json!({"code": 2, "msg": refusal}), "{uri}");
    }
    let bob = api.account("bob", "").await;
    assert_eq!(code(&api, &bob, &uri("json")).await, 4);
}

#[tokio::test]
async fn two_profiles_are_compared() {
    let (api, ann) = api().await;
    let uri = "/config/compare?app=app1&profile=dev&withApp=app1&withProfile=test";
    assert_eq!(
        ok(&api, &ann, uri).await,
        json!([
            {"Key": "db/host", "Left": "db1.example.com", "Right": "db2.example.com"},
            {"Key": "greeting", "Left": "Grüße, 世界\nline = 2", "Right": null},
            {"Key": "routes.yaml", "Left": "a: 1\n", "Right": null},
        ])
    );
    assert_eq!(
        ok(&api, &ann, "/config/compare?app=app1&profile=dev&withApp=app1&withProfile=dev").await,
        json!([])
    );
    let bob = api.account("bob", "").await;
    ok(&api, &bob, "/app/create?app=app2&appType=0&name=n&charger=c").await;
    assert_eq!(
        code(&api, &bob, "/config/compare?app=app2&profile=dev&withApp=app1&withProfile=dev").await,
        4
    );
    assert_eq!(
        code(&api, &bob, "/config/compare?app=app1&profile=dev&withApp=app2&withProfile=dev").await,
        4
    );
}

#[tokio::test]
async fn text_is_found_in_what_the_caller_may_read() {
    let (api, ann) = api().await;
    let bob = api.account("bob", "").await;
    ok(&api, &bob, "/app/create?app=app2&appType=0&name=n&charger=c").await;
    ok(&api, &bob, "/config/create?app=app2&profile=dev&key=other&value=db/host").await;
    let rows = |found: serde_json::Value| -> Vec<String> {
        let row = |row: &serde_json::Value| {
            ["App", "Profile", "Key", "Where", "Excerpt"].map(|name| row[name].as_str().unwrap()).join(" ")
        };
        found.as_array().unwrap().iter().map(row).collect()
    };
    let search = |q: &str, more: &str| format!("/config/search?q={}{more}", escape(q));
    let first = ["app1 dev db/host key db/host", "app1 test db/host key db/host"];
    assert_eq!(rows(ok(&api, &ann, &search("db/host", "")).await), first);
    assert_eq!(rows(ok(&api, &ann, &search("db/host", "&profile=test")).await), first[1..]);
    assert_eq!(rows(ok(&api, &bob, &search("db/host", "")).await), ["app2 dev other value db/host"]);
    let root = api.login("root").await;
    assert_eq!(rows(ok(&api, &root, &search("db/host", "")).await).len(), 3);
    let found = ok(&api, &root, &search("db/host", "&count=1&app=app1")).await;
    assert_eq!(rows(found.clone()), first[..1]);
    let next = found[0]["Id"].as_i64().unwrap() + 1;
    assert_eq!(
        rows(ok(&api, &root, &search("db/host", &format!("&app=app1&start={next}"))).await),
        first[1..]
    );
    assert_eq!(
        rows(ok(&api, &ann, &search("世界\nline", "")).await),
        ["app1 dev greeting value Grüße, 世界\nline = 2"]
    );
    assert_eq!(rows(ok(&api, &ann, &search("DB/HOST", "")).await), [""; 0]);
    assert_eq!(code(&api, &bob, &search("x", "&app=app1")).await, 4);
    for (uri, refusal) in [
        ("/config/search?q=", "q: is required"),
        ("/config/search?q=x&app=", "app: must not be empty"),
        ("/config/search?q=x&profil=dev", "profil: is not known here"),
        ("/config/search?q=x&count=1001", "count: must be from 1 to 1000"),
    ] {
        let refused = api.get(&ann, uri).await.ok();
        assert_eq!(refused["code"], 2, "{uri}: {refused}");
        assert!(
            refused["msg"].as_str().unwrap().starts_with(refusal.split(' ').next().unwrap()),
            "{uri}: {refused}"
        );
    }
}

#[tokio::test]
async fn a_search_says_where_to_go_on() {
    let (api, ann) = api().await;
    let answer = api.get(&ann, "/config/search?q=host&count=2").await;
    assert_eq!(answer.headers.get("x-search-start"), None);
    assert_eq!(answer.body["data"].as_array().unwrap().len(), 2);
}

/// Imports a file; the answer.
async fn import(api: &Api, token: &str, query: &str, file: &[u8]) -> serde_json::Value {
    let request = Request::post(format!("/config/import?{query}"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/octet-stream")
        .body(Body::from(file.to_vec()))
        .unwrap();
    api.send(request).await.ok()
}

#[tokio::test]
async fn an_import_changes_what_the_file_says() {
    let (api, ann) = api().await;
    let place = "app=app1&profile=dev&format=properties";
    let file = b"# head\n\n# new words\ngreeting=hi\ndb/host=db1.example.com\nadded=1\n";
    let answer = import(&api, &ann, &format!("{place}&dryRun=true"), file).await;
    let change = |key: &str, id: i64, action: &str, from: i64, version: i64| {
        json!({
            "App": "app1", "Profile": "dev", "Key": key, "Id": id, "Action": action, "From": from, "Version": version,
            "Error": "",
        })
    };
    let mut expected = json!({
        "ChangeSet": 0,
        "Changes": [
            change("greeting", 1, "update", 1, 2),
            change("db/host", 2, "same", 1, 1),
            change("added", 0, "create", 0, 1),
        ],
        "Profiles": [{"App": "app1", "Profile": "dev", "ChangeSet": 0}],
        "Dropped": ["body line 1: a comment that stands above no key: head"],
    });
    assert_eq!(answer["data"], expected);
    assert_eq!(code(&api, &ann, "/config/queryWithKey?app=app1&profile=dev&key=added").await, 6);

    let answer = import(&api, &ann, place, file).await;
    for place in ["/ChangeSet", "/Profiles/0/ChangeSet"] {
        *expected.pointer_mut(place).unwrap() = json!(1);
    }
    expected["Changes"][2]["Id"] = json!(5);
    assert_eq!(answer["data"], expected);
    let item = ok(&api, &ann, "/config/queryWithKey?app=app1&profile=dev&key=greeting").await;
    assert_eq!(item["Value"], "hi");
    assert_eq!((&item["Description"], &item["Validator"]), (&json!("new words"), &json!("a script")));
    assert_eq!(ok(&api, &ann, "/config/query?app=app1&profile=dev").await.as_array().unwrap().len(), 4);
    let again = import(&api, &ann, place, file).await;
    assert_eq!((&again["code"], &again["data"]["ChangeSet"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn what_was_exported_is_imported_elsewhere() {
    let (api, ann) = api().await;
    ok(&api, &ann, "/app/create?app=copy&appType=0&name=n&charger=c").await;
    for format in ["properties", "yaml", "json"] {
        let (_, file) =
            file(&api, &ann, &format!("/config/export?app=app1&profile=dev&format={format}"), "").await;
        let imported = import(&api, &ann, &format!("app=copy&profile={format}&format={format}"), &file).await;
        assert_eq!(imported["data"]["Changes"].as_array().unwrap().len(), 3, "{imported}");
        let uri = format!("/config/compare?app=app1&profile=dev&withApp=copy&withProfile={format}");
        assert_eq!(ok(&api, &ann, &uri).await, json!([]));
    }
    let (_, archive) = file(&api, &ann, "/config/export?app=app1&format=apollo", "").await;
    let imported = import(&api, &ann, "app=copy&format=apollo", &archive).await;
    let profiles = imported["data"]["Profiles"].as_array().unwrap();
    assert_eq!(profiles.iter().map(|of| &of["Profile"]).collect::<Vec<_>>(), ["dev", "test"]);
    for profile in ["dev", "test"] {
        let uri = format!("/config/compare?app=app1&profile={profile}&withApp=copy&withProfile={profile}");
        assert_eq!(ok(&api, &ann, &uri).await, json!([]));
    }
}

#[tokio::test]
async fn archives_of_others_are_imported() {
    let (api, ann) = api().await;
    for app in ["demo-orders", "demo-billing"] {
        ok(&api, &ann, &format!("/app/create?app={app}&appType=0&name=n&charger=c")).await;
    }
    let apollo = include_bytes!("../../../../config-exchange/tests/data/apollo-export-sample.zip");
    let refused = import(&api, &ann, "format=apollo", apollo).await;
    assert_eq!(refused, json!({"code": 2, "msg": "env: must be one of the archive's: DEV, PRO"}));
    let imported = import(&api, &ann, "format=apollo&env=DEV", apollo).await;
    assert_eq!(imported["code"], 0, "{imported}");
    let item = ok(&api, &ann, "/config/queryWithKey?app=demo-orders&profile=default&key=multi.line").await;
    assert_eq!(
        (&item["Value"], &item["Description"]),
        (&json!("first\nsecond = 2\n"), &json!("ends with a line break"))
    );
    let item = ok(
        &api,
        &ann,
        "/config/queryWithKey?app=demo-billing&profile=default&key=DEMO.shared-http/timeout.ms",
    )
    .await;
    assert_eq!(item["Value"], "1500");
    let nacos = include_bytes!("../../../../config-exchange/tests/data/nacos-export-sample.zip");
    let imported = import(&api, &ann, "app=app1&profile=nacos&format=nacos", nacos).await;
    assert_eq!(imported["data"]["Changes"].as_array().unwrap().len(), 7, "{imported}");
    let item = ok(&api, &ann, "/config/queryWithKey?app=app1&profile=nacos&key=LIMITS/limits.json").await;
    assert_eq!(item["Value"], "{\"perMinute\": 60}");
}

#[tokio::test]
async fn an_import_that_cannot_be_done_changes_nothing() {
    let (api, ann) = api().await;
    let place = "app=app1&profile=dev&format=properties";
    let before = ok(&api, &ann, "/config/query?app=app1&profile=dev").await;
    for (query, file, refusal) in [
        (place, &b"a=1\nb=\\u12"[..], "body line 2: \\u must be followed by 4 hexadecimal digits"),
        ("app=app1&profile=dev&format=yaml", b"a: 1\na: 2", "body line 2: the key a is there twice"),
        ("app=app1&profile=dev&format=nacos", b"x", "archive: is not a zip archive"),
        ("app=app1&format=json", b"{}", "profile: is missing, which only apollo does without"),
        ("app=app1&profile=dev&format=ini", b"", "format: must be properties, yaml, json, apollo or nacos"),
        ("app=app1&profile=dev&format=json&env=PRO", b"{}", "env: goes with apollo only"),
        ("app=app1&profile=&format=apollo", b"", "profile: must not be empty"),
        ("app=app1&profile=dev&format=json&dryrun=true", b"{}", "dryrun: is not known here"),
    ] {
        let refused = import(&api, &ann, query, file).await;
        assert_eq!(refused["code"], 2, "{query}: {refused}");
        assert!(refused["msg"].as_str().unwrap().starts_with(refusal), "{query}: {refused}");
    }
    // A key that no new config may have, beside one that it may.
    let refused = import(&api, &ann, place, b"fine=1\n\\u200b=2\n").await;
    assert!(refused["code"] == 2 && refused["msg"].as_str().unwrap().contains("U+200B"), "{refused}");
    assert_eq!(ok(&api, &ann, "/config/query?app=app1&profile=dev").await, before);
    let bob = api.account("bob", "").await;
    assert_eq!(import(&api, &bob, place, b"a=1").await["code"], 4);
    assert_eq!(api.get(&ann, "/config/import?app=app1&profile=dev&format=json").await.status, 405);
}

#[tokio::test]
async fn keys_are_copied() {
    let (api, ann) = api().await;
    let copy = |keys: serde_json::Value, dry_run: bool| {
        json!({
            "app": "app1", "profile": "dev", "withApp": "app1", "withProfile": "test", "keys": keys, "dryRun": dry_run,
        })
    };
    let keys = json!(["greeting", "db/host"]);
    let tried = api.post(&ann, "/config/copy", copy(keys.clone(), true)).await.ok();
    assert_eq!(tried["data"]["ChangeSet"], 0);
    let copied = api.post(&ann, "/config/copy", copy(keys, false)).await.ok();
    assert_eq!(copied["data"]["ChangeSet"], 1);
    for answer in [tried, copied] {
        let changes = answer["data"]["Changes"].as_array().unwrap().iter();
        let actions: Vec<_> =
            changes.map(|of| (of["Key"].as_str().unwrap(), of["Action"].as_str().unwrap())).collect();
        assert_eq!(actions, [("greeting", "create"), ("db/host", "update")]);
    }
    let item = ok(&api, &ann, "/config/queryWithKey?app=app1&profile=test&key=greeting").await;
    let [value, validator, description] =
        ["Value", "Validator", "Description"].map(|name| item[name].as_str().unwrap());
    assert_eq!([value, validator, description], ["Grüße, 世界\nline = 2", "a script", "said at the door"]);
    let refused = api.post(&ann, "/config/copy", copy(json!(["greeting", "nothing"]), false)).await.ok();
    assert_eq!(refused, json!({"code": 6, "msg": "the config nothing of dev does not exist"}));
}

#[tokio::test]
async fn apps_are_told_with_what_is_in_them() {
    let (api, ann) = api().await;
    let bob = api.account("bob", "").await;
    ok(&api, &bob, "/app/create?app=app2&appType=9&name=m&charger=d").await;
    let id = uid(&api, &bob).await;
    ok(&api, &ann, &format!("/userauth/create?app=app1&permission=1&uid={id}&username=bob")).await;
    ok(&api, &ann, "/config/approve?app=app1&profile=test&key=db/host").await;
    ok(&api, &ann, "/publish?id=4").await;
    let first = json!({
        "Id": 1, "App": "app1", "AppType": 0, "Name": "n", "Charger": "c", "Permission": 1,
        "Profiles": 2, "Items": 4, "Drafts": 3, "Grey": 0, "Online": 0,
    });
    let second = json!({
        "Id": 2, "App": "app2", "AppType": 9, "Name": "m", "Charger": "d", "Permission": 9,
        "Profiles": 0, "Items": 0, "Drafts": 0, "Grey": 0, "Online": 0,
    });
    assert_eq!(ok(&api, &bob, "/app/mine").await, json!([first, second]));
    let newest = api.get(&bob, "/app/mine?order=newest&count=1&total=1").await;
    assert_eq!(
        (&newest.body["data"], &newest.headers["x-total-count"]),
        (&json!([second]), &"2".parse().unwrap())
    );
    let ann = ok(&api, &ann, "/app/mine").await;
    assert_eq!((ann.as_array().unwrap().len(), &ann[0]["Permission"]), (1, &json!(9)));
}

#[tokio::test]
async fn a_long_history_comes_in_parts() {
    let (api, ann) = api().await;
    for n in 1..=5 {
        let value = format!("{n}").repeat(700_000);
        let config = json!({"app": "app1", "profile": "long", "key": "k", "value": value});
        let uri = if n == 1 { "/config/create" } else { "/config/update" };
        assert_eq!(api.post(&ann, uri, config).await.codes(), (200, 0));
    }
    let versions = |answer: &crate::api::Answer| -> Vec<i64> {
        let rows = answer.body["data"].as_array().unwrap();
        rows.iter().map(|row| row["Version"].as_i64().unwrap()).collect()
    };
    let uri = "/config/history?app=app1&profile=long&key=k";
    let first = api.get(&ann, uri).await;
    assert_eq!((versions(&first), &first.headers["x-search-before"]), (vec![5, 4], &"4".parse().unwrap()));
    assert_eq!(first.body["data"][1]["Value"], "4".repeat(700_000));
    let second = api.get(&ann, &format!("{uri}&before=4&count=1")).await;
    assert_eq!((versions(&second), &second.headers["x-search-before"]), (vec![3], &"3".parse().unwrap()));
    let last = api.get(&ann, &format!("{uri}&before=3")).await;
    assert_eq!((versions(&last), last.headers.get("x-search-before")), (vec![2, 1], None));
    let all = api.get(&ann, &format!("{uri}&values=false")).await;
    assert_eq!((versions(&all), all.headers.get("x-search-before")), (vec![5, 4, 3, 2, 1], None));
    assert_eq!((all.body["data"][0].get("Value"), all.body["data"][0].get("Validator")), (None, None));
    let refused = api.get(&ann, &format!("{uri}&count=1001")).await.ok();
    assert_eq!(refused, json!({"code": 2, "msg": "count: must be from 1 to 1000"}));
}

#[tokio::test]
async fn names_of_accounts_are_told() {
    let (api, ann) = api().await;
    let id = uid(&api, &ann).await;
    let names = ok(&api, &ann, &format!("/userauth/names?uids={id},1,999999")).await;
    assert_eq!(names, json!([{"Uid": 1, "Name": "root"}, {"Uid": id, "Name": "ann"}]));
    let many = vec!["1"; 101].join(",");
    for (uids, refusal) in [
        (&*many, "uids: must be at most 100, not 101"),
        ("1,x", "uids: must be ids of accounts, with commas between them"),
    ] {
        let refused = api.get(&ann, &format!("/userauth/names?uids={uids}")).await.ok();
        assert_eq!(refused, json!({"code": 2, "msg": refusal}));
    }
}

#[tokio::test]
async fn long_answers_are_packed_where_that_is_asked_for() {
    let (api, ann) = api().await;
    let long = "0123456789".repeat(1000);
    ok(&api, &ann, &format!("/config/create?app=app1&profile=long&key=k&value={long}")).await;
    let uri = "/config/query?app=app1&profile=long";
    let (headers, packed) = file(&api, &ann, uri, "br, gzip;q=0.8").await;
    assert_eq!(
        (&headers["content-encoding"], &headers["vary"]),
        (&"gzip".parse().unwrap(), &"accept-encoding".parse().unwrap())
    );
    assert!(packed.len() < 1000, "{}", packed.len());
    let mut unpacked = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut unpacked).unwrap();
    let (headers, plain) = file(&api, &ann, uri, "identity").await;
    assert_eq!(headers.get("content-encoding"), None);
    assert_eq!(unpacked.as_bytes(), plain);
    // Short, packed already, or not wanted.
    for (uri, encodings) in [
        ("/config/profiles/app1", "gzip"),
        ("/config/export?app=app1&format=apollo", "gzip"),
        (uri, "gzip;q=0"),
        (uri, ""),
    ] {
        let (headers, _) = file(&api, &ann, uri, encodings).await;
        assert_eq!(headers.get("content-encoding"), None, "{uri} {encodings}");
    }
}
