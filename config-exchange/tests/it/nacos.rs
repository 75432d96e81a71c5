//! Archives of Nacos and r-nacos.

use pilothouse_config_exchange::{Entry, nacos};
use serde_json::Value;

/// The configurations of the samples, by key.
fn expected(with_descriptions: bool) -> Vec<Entry> {
    let expected: Value =
        serde_json::from_str(include_str!("../data/nacos-export-sample.expected.json")).unwrap();
    let entry = |config: &Value| {
        let text = |name: &str| config[name].as_str().unwrap_or_default().to_owned();
        let key = match text("group").as_str() {
            "DEFAULT_GROUP" => text("dataId"),
            group => format!("{group}/{}", text("dataId")),
        };
        let description = if with_descriptions { text("desc") } else { String::new() };
        Entry { key, value: text("content"), description }
    };
    let mut entries: Vec<_> = expected["configs"].as_array().unwrap().iter().map(entry).collect();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    entries
}

fn read(archive: &[u8]) -> (Vec<Entry>, Vec<String>) {
    let mut document = nacos::read(archive).unwrap();
    document.entries.sort_by(|a, b| a.key.cmp(&b.key));
    (document.entries, document.dropped.into_texts())
}

#[test]
fn the_new_form() {
    let (entries, dropped) = read(include_bytes!("../data/nacos-export-sample.zip"));
    assert_eq!(entries, expected(true));
    assert_eq!(
        dropped,
        [
            "DEFAULT_GROUP/orders-api.yaml: appName orders",
            "DEFAULT_GROUP/orders-api.yaml: configTags team-a,blue",
            "GR-2/v1.routes.toml: appName billing",
            "LIMITS/007: appName 123",
        ]
    );
}

#[test]
fn the_old_form() {
    let (entries, dropped) = read(include_bytes!("../data/nacos-export-old-sample.zip"));
    assert_eq!(entries, expected(false));
    assert_eq!(
        dropped,
        [
            ".meta.yml line 1: DEFAULT_GROUP.orders-api~yaml.app orders",
            ".meta.yml line 2: LIMITS.007.app 123",
            ".meta.yml line 3: GR-2.v1.routes~toml.app billing",
        ]
    );
}

#[test]
fn without_metadata() {
    let (entries, dropped) = read(include_bytes!("../data/rnacos-export-sample.zip"));
    assert_eq!((entries, dropped), (expected(false), Vec::new()));
}

#[test]
fn another_archive_is_refused() {
    assert!(nacos::read(b"no archive").unwrap_err().reason.starts_with("is not a zip archive"));
}
