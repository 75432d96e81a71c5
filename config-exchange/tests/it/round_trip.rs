//! What is written is read again as it was.

use pilothouse_config_exchange::{Entry, Profile, apollo, json, properties, yaml};
use proptest::prelude::*;

/// Characters that some format treats in a way of its own.
fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => any::<char>(),
        6 => proptest::sample::select(" \t\n\r\u{b}\u{c}\\=:#!'\"[]{}&*|>-?,.%@`~/ay01\u{85}\u{a0}\u{2028}\u{feff}".chars().collect::<Vec<_>>()),
        4 => proptest::char::range('a', 'z'),
    ]
}

/// Text without control characters but TAB, CR and LF, as values have it.
fn text(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let kept = |c: &char| !c.is_control() || matches!(c, '\t' | '\r' | '\n');
    proptest::collection::vec(character().prop_filter("a control character", kept), length)
        .prop_map(String::from_iter)
}

/// Text without line breaks.
fn line(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    text(length).prop_map(|text| text.replace(['\r', '\n', '\t'], "x"))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    // A carriage return in a comment ends a line like any other end, and YAML has no byte-order mark there.
    let description = text(0..12).prop_map(|text| text.replace(['\r', '\u{feff}'], ""));
    let entry = (line(1..12), text(0..24), description).prop_map(|(key, value, description)| Entry {
        key,
        value,
        description,
    });
    proptest::collection::vec(entry, 0..8).prop_map(|mut entries| {
        let mut keys = std::collections::HashSet::new();
        entries.retain(|entry| keys.insert(entry.key.clone()));
        entries
    })
}

fn bare(entries: &[Entry]) -> Vec<Entry> {
    entries.iter().map(|entry| Entry { description: String::new(), ..entry.clone() }).collect()
}

proptest! {
    #[test]
    fn properties_are_read_as_they_were(entries in entries()) {
        let written = properties::write(&entries);
        let read = properties::read("f", written.as_bytes()).unwrap();
        prop_assert_eq!(&read.entries, &entries, "{}", written);
        prop_assert!(read.dropped.is_empty(), "{:?}", read.dropped);
    }

    #[test]
    fn readable_properties_are_read_as_they_were(entries in entries()) {
        let written = properties::write_readable(&entries);
        let read = properties::read("f", written.as_bytes()).unwrap();
        prop_assert_eq!(&read.entries, &entries, "{}", written);
        prop_assert!(read.dropped.is_empty(), "{:?}", read.dropped);
    }

    #[test]
    fn yaml_is_read_as_it_was(entries in entries()) {
        let written = yaml::write(&entries);
        let read = yaml::read("f", written.as_bytes());
        let read = read.unwrap_or_else(|failure| panic!("{failure}\n{written}"));
        prop_assert_eq!(&read.entries, &entries, "{}", written);
        prop_assert!(read.dropped.is_empty(), "{:?}\n{}", read.dropped, written);
    }

    #[test]
    fn json_is_read_as_it_was(entries in entries()) {
        let written = json::write(&entries);
        let read = json::read("f", written.as_bytes()).unwrap();
        prop_assert_eq!(read.entries, bare(&entries), "{}", written);
    }

    #[test]
    fn archives_are_read_as_they_were(one in entries(), two in entries()) {
        let profile = |profile: &str, mut entries: Vec<Entry>| {
            // Namespaces come by name.
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Profile { app: "shop".to_owned(), profile: profile.to_owned(), entries }
        };
        let profiles = [profile("default", one), profile("zone-b", two)];
        let archive = apollo::write(&profiles).unwrap();
        let read = match apollo::read(&archive, apollo::Selection::default()) {
            Ok((profiles, _)) => profiles,
            Err(failure) => {
                prop_assert!(profiles.iter().all(|profile| profile.entries.is_empty()), "{}", failure);
                return Ok(());
            }
        };
        let read: Vec<_> = read.into_iter().map(|read| profile(&read.profile, read.entries)).collect();
        let kept = profiles.into_iter().filter(|profile| !profile.entries.is_empty());
        prop_assert_eq!(read, kept.collect::<Vec<_>>());
    }
}

#[test]
fn texts_of_several_lines_are_blocks_in_yaml() {
    let entry = |value: &str| [Entry { key: "k".to_owned(), value: value.to_owned(), ..Entry::default() }];
    assert_eq!(yaml::write(&entry("a\n  b\n\nc\n")), "k: |2\n  a\n    b\n\n  c\n");
    assert_eq!(yaml::write(&entry("a\nb")), "k: |2-\n  a\n  b\n");
    assert_eq!(yaml::write(&entry("a\nb\n\n")), "k: \"a\\nb\\n\\n\"\n");
    assert_eq!(yaml::write(&entry("yes")), "k: \"yes\"\n");
}
