//! YAML beside what a Java library reads.

use std::collections::BTreeMap;

use pilothouse_config_exchange::{Entry, json, yaml};
use serde_json::Value;

fn pairs(entries: &[Entry]) -> BTreeMap<&str, &str> {
    entries.iter().map(|entry| (&*entry.key, &*entry.value)).collect()
}

#[test]
fn the_sample_is_flattened_as_snake_yaml_reads_it() {
    let sample = include_str!("../data/flatten-sample.yml");
    let expected: Value = serde_json::from_str(include_str!("../data/flatten-sample.expected.json")).unwrap();
    let documents: Vec<&str> =
        sample.split("---\n").filter(|text| !text.starts_with("# a document of")).collect();
    let expected_documents = expected["documents"].as_array().unwrap();
    assert_eq!(documents.len(), expected_documents.len());
    let mut merged = BTreeMap::new();
    for (text, expected) in documents.into_iter().zip(expected_documents) {
        let read = yaml::read("sample.yml", text.as_bytes()).unwrap();
        let expected: BTreeMap<_, _> = expected
            .as_object()
            .unwrap()
            .iter()
            .map(|(key, typed)| (key.as_str(), typed[1].as_str().unwrap()))
            .collect();
        assert_eq!(pairs(&read.entries), expected);
        merged.extend(expected);
    }
    let whole = yaml::read("sample.yml", sample.as_bytes()).unwrap();
    assert_eq!(pairs(&whole.entries), merged, "a later document counts");
    let dropped = whole.dropped.into_texts();
    for text in ["sample.yml line 28: the empty map list[3]", "sample.yml line 31: the empty map emptyMap"] {
        assert!(dropped.iter().any(|one| one == text), "{dropped:#?}");
    }
    assert!(
        dropped.contains(&"sample.yml line 3: server.port, which line 62 says again".to_owned()),
        "{dropped:#?}"
    );
}

#[test]
fn comments_directly_above_a_key_are_its_description() {
    let text = "# head\n\n# the\n# port\nport: 1\n# of all\nserver:\n  # inner\n  name: x # trailing\n  text: |\n    # kept\n    b\n  # last\n  z: 1\n";
    let read = yaml::read("f.yml", text.as_bytes()).unwrap();
    let entries: Vec<_> = read.entries.iter().map(|entry| (&*entry.key, &*entry.description)).collect();
    assert_eq!(
        entries,
        [("port", "the\nport"), ("server.name", "inner"), ("server.text", ""), ("server.z", "last")]
    );
    assert_eq!(read.entries[2].value, "# kept\nb\n");
    let dropped: Vec<_> =
        [1, 6].map(|line| format!("f.yml line {line}: a comment that stands above no key")).into();
    assert_eq!(read.dropped.into_texts(), dropped);
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    for (text, refusal) in [
        ("a: 1\nb:\n\tc: 1", "f line 3: is not YAML: "),
        ("a: 1\nb: 2\na: 3", "f line 3: the key a is there twice"),
        ("x: {1: a, '1': b, 01: c}", "f line 1: the key [1] is there twice"),
        ("a: !secret x", "f line 1: has the tag !secret, which is not known here"),
        ("a: !!binary aGk=", "f line 1: is not a value of the tag "),
        ("a: *b", "f line 1: is not YAML: "),
        ("~: 1", "f line 1: a key must not be null"),
        ("? [a]\n: 1", "f line 1: a key must not be a list or a map"),
        ("a:\n  <<: 1", "f line 2: only maps can be merged by <<"),
    ] {
        let refused = yaml::read("f", text.as_bytes()).unwrap_err().to_string();
        assert!(refused.starts_with(refusal), "{text}: {refused}");
    }
    assert_eq!(yaml::read("f", b"a: \xff").unwrap_err().to_string(), "f: is not UTF-8");
}

#[test]
fn merged_maps_yield_to_what_merges_them() {
    let text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  z: 3\n";
    let read = yaml::read("f", text.as_bytes()).unwrap();
    let merged: Vec<_> = read.entries[4..].iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    assert_eq!(merged, [("c.x", "1"), ("c.y", "1"), ("c.z", "3")]);
}

#[test]
fn json_is_flattened_like_yaml() {
    let text = r#"{"b": {"a": [1, {"x": true}, [], null], "e": {}}, "n": 1.50, "[k]": "v", "huge": 18446744073709551615}"#;
    let read = json::read("f.json", text.as_bytes()).unwrap();
    let entries: Vec<_> = read.entries.iter().map(|entry| (&*entry.key, &*entry.value)).collect();
    assert_eq!(
        entries,
        [
            ("b.a[0]", "1"),
            ("b.a[1].x", "true"),
            ("b.a[2]", ""),
            ("b.a[3]", ""),
            ("n", "1.5"),
            ("[k]", "v"),
            ("huge", "18446744073709551615"),
        ]
    );
    assert_eq!(read.dropped.into_texts(), ["f.json: the empty object b.e"]);
    for (text, refusal) in [
        ("{\"a\": 1,\n\"a\": 2}", "f line 2: is not JSON: the key a is there twice"),
        (
            "{\"a\": 18446744073709551616}",
            "f line 1: is not JSON: the number a is beyond 64 bits: write it as text",
        ),
        ("{\n\"a\": tru}", "f line 2: is not JSON: expected ident"),
        ("{} x", "f line 1: is not JSON: trailing characters"),
    ] {
        assert_eq!(json::read("f", text.as_bytes()).unwrap_err().to_string(), refusal, "{text}");
    }
}
