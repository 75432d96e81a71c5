//! Archives of Apollo's portal.

use std::collections::BTreeMap;

use pilothouse_config_exchange::apollo::{Selection, read, write};
use pilothouse_config_exchange::{Entry, Profile};
use serde_json::Value;

const EXPORT: &[u8] = include_bytes!("../data/apollo-export-sample.zip");
const ONE_APP: &[u8] = include_bytes!("../data/apollo-oneapp-export-sample.zip");
const LEGACY: &[u8] = include_bytes!("../data/apollo-legacy-1.9-export-sample.zip");

fn of<'a>(app: Option<&'a str>, env: Option<&'a str>) -> Selection<'a> {
    Selection { app, env, profile: None }
}

/// Values of the sample by app, cluster and key, as its description says them.
fn expected(env: &str) -> BTreeMap<String, String> {
    let expected: Value =
        serde_json::from_str(include_str!("../data/apollo-export-sample.expected.json")).unwrap();
    let mut values = BTreeMap::new();
    for namespace in expected["namespaces"].as_array().unwrap() {
        if namespace["env"] != env {
            continue;
        }
        let text = |name: &str| namespace[name].as_str().unwrap();
        for item in namespace["items"].as_array().unwrap() {
            let key = match (text("name"), text("format"), item["key"].as_str().unwrap()) {
                (_, _, "") => continue,
                ("application", _, key) => key.to_owned(),
                (namespace, "properties", key) => format!("{namespace}/{key}"),
                (namespace, ..) => namespace.to_owned(),
            };
            let path = format!("{} {} {key}", text("app"), text("cluster"));
            values.insert(path, item["value"].as_str().unwrap().to_owned());
        }
    }
    values
}

fn values(profiles: &[Profile]) -> BTreeMap<String, String> {
    let all = profiles.iter().flat_map(|profile| {
        let Profile { app, profile, entries } = profile;
        entries.iter().map(move |entry| (format!("{app} {profile} {}", entry.key), entry.value.clone()))
    });
    all.collect()
}

fn find<'p>(profiles: &'p [Profile], key: &str) -> &'p Entry {
    profiles.iter().flat_map(|profile| &profile.entries).find(|entry| entry.key == key).unwrap()
}

#[test]
fn every_item_of_the_export_is_read() {
    for env in ["DEV", "PRO"] {
        let (profiles, dropped) = read(EXPORT, of(None, Some(env))).unwrap();
        assert_eq!(values(&profiles), expected(env), "{env}");
        assert!(expected(env).len() > 4, "{env}");
        let dropped = dropped.into_texts();
        assert!(
            dropped.iter().any(|text| text.contains("DEMO.shared-http of demo-billing is public")),
            "{dropped:?}"
        );
    }
    let (profiles, dropped) = read(EXPORT, of(Some("demo-orders"), Some("DEV"))).unwrap();
    assert!(profiles.iter().all(|profile| profile.app == "demo-orders"));
    // The comment above it, and its own remark.
    assert_eq!(find(&profiles, "http.port").description, "made-up settings for the sample");
    assert_eq!(find(&profiles, "feature.fast-path").description, "item comment with <b> & 'quotes'");
    let dropped = dropped.into_texts();
    assert!(
        dropped.iter().any(|text| text.ends_with("stands above no key: second comment form")),
        "{dropped:?}"
    );
}

#[test]
fn what_is_taken_must_be_said_where_there_is_a_choice() {
    let refused = |selection| read(EXPORT, selection).unwrap_err().to_string();
    assert_eq!(refused(of(None, None)), "env: must be one of the archive's: DEV, PRO");
    assert_eq!(refused(of(None, Some("FAT"))), "env: must be one of the archive's: DEV, PRO");
    assert_eq!(
        refused(of(Some("shop"), Some("DEV"))),
        "app: shop is not one of the archive's: demo-billing, demo-orders"
    );
    let other = Selection { profile: Some("zone-c"), ..of(Some("demo-orders"), Some("PRO")) };
    assert_eq!(refused(other), "profile: zone-c is not one of the archive's clusters: default, zone-b");
    let one = Selection { profile: Some("zone-b"), ..of(Some("demo-orders"), Some("PRO")) };
    let (profiles, _) = read(EXPORT, one).unwrap();
    assert_eq!(values(&profiles).into_values().collect::<Vec<_>>(), ["81"]);
}

#[test]
fn the_export_of_one_app_needs_no_choice_and_may_get_another_name() {
    let (profiles, _) = read(ONE_APP, of(Some("shop"), None)).unwrap();
    let renamed: BTreeMap<_, _> = values(&profiles)
        .into_iter()
        .map(|(path, value)| (path.replacen("shop", "demo-orders", 1), value))
        .collect();
    let expected: BTreeMap<_, _> =
        expected("DEV").into_iter().filter(|(path, _)| path.starts_with("demo-orders default")).collect();
    assert_eq!(renamed, expected);
}

#[test]
fn texts_from_before_2_0_are_read() {
    let (profiles, dropped) = read(LEGACY, of(None, None)).unwrap();
    assert_eq!(profiles.len(), 1);
    let read = values(&profiles);
    // Comments and blank lines of its time are one empty key.
    let mut whole = expected("DEV");
    whole.insert("demo-orders default greeting".to_owned(), "Grüße, 世界".to_owned());
    let kept = ["greeting", "http.port", "query", "win.path", "key with blank", "multi.line", "routes.yaml"];
    assert_eq!(read.len(), kept.len());
    for key in kept {
        let path = format!("demo-orders default {key}");
        assert_eq!(read[&path], whole[&path]);
    }
    assert!(dropped.into_texts()[0].ends_with("line 1: an empty key"));
}

#[test]
fn a_profile_is_written_as_the_portal_reads_it() {
    let entry =
        |key: &str, value: &str| Entry { key: key.into(), value: value.into(), description: "why".into() };
    let entries = vec![entry("b", "2"), entry("a", "1"), entry("db/host", "x"), entry("r.yaml", "k: 1\n")];
    let profile = Profile { app: "shop".into(), profile: "prod".into(), entries };
    let archive = write(std::slice::from_ref(&profile)).unwrap();
    let text = String::from_utf8_lossy(&archive);
    for path in [
        "apollo/shop/app.metadata",
        "apollo/shop/PRO/prod.cluster.metadata",
        "shop+application.appnamespace.metadata",
        "shop+r.yaml.appnamespace.metadata",
        "apollo/shop/PRO/shop+prod+application.properties",
        "apollo/shop/PRO/shop+prod+db.properties",
        "apollo/shop/PRO/shop+prod+r.yaml",
    ] {
        assert!(text.contains(path), "{path}");
    }
    let (read, dropped) = read(&archive, Selection::default()).unwrap();
    assert_eq!((read, dropped.into_texts()), (vec![profile], Vec::new()));
}
