//! Difference between a profile and its files: the changes that end it, and lines that show it.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::folder::FolderProfile;
use super::http_config_server::Item;
use crate::failure::Failure;

/// The most changes that a server takes at once.
const MOST: usize = 10_000;

/// A change of a key, as `/config/apply` takes it.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    pub(super) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) delete: Option<bool>,
    /// The version that was compared; 0 where the key is not there.
    pub(super) version: i64,
}

/// The changes that make a profile equal to its files. A description is compared where a file has one.
pub(super) fn changes(profile: &FolderProfile, current: &[Item]) -> Result<Vec<Change>, Failure> {
    let items: HashMap<&str, &Item> = current.iter().map(|item| (&*item.key, item)).collect();
    let mut changes = Vec::new();
    for entry in &profile.entries {
        let item = items.get(&*entry.key);
        let value = Some(&entry.value).filter(|value| item.is_none_or(|item| item.value != **value));
        let is_new = |text: &&String| !text.is_empty() && item.is_none_or(|item| item.description != **text);
        let description = Some(&entry.description).filter(is_new);
        if value.is_some() || description.is_some() {
            let version = item.map_or(0, |item| item.version);
            let (value, description) = (value.cloned(), description.cloned());
            changes.push(Change { key: entry.key.clone(), value, description, delete: None, version });
        }
    }
    let kept: HashSet<&str> = profile.entries.iter().map(|entry| &*entry.key).collect();
    let gone = current.iter().filter(|item| !kept.contains(&*item.key));
    changes.extend(gone.map(|item| Change {
        key: item.key.clone(),
        value: None,
        description: None,
        delete: Some(true),
        version: item.version,
    }));
    if changes.len() > MOST {
        let FolderProfile { app, profile, .. } = profile;
        let why = format!("{app}/{profile}: {} keys differ, and a change set takes {MOST}", changes.len());
        return Err(Failure::died(why));
    }
    Ok(changes)
}

/// Lines that show changes: `+` what comes, `-` what goes.
pub(super) fn lines(profile: &FolderProfile, current: &[Item], changes: &[Change]) -> Vec<String> {
    let items: HashMap<&str, &Item> = current.iter().map(|item| (&*item.key, item)).collect();
    let FolderProfile { app, profile, .. } = profile;
    let mut shown = Vec::new();
    for change in changes {
        let old = items.get(&*change.key);
        let what = match (old, change.delete) {
            (_, Some(true)) => "delete",
            (None, _) => "create",
            (Some(_), _) => "update",
        };
        shown.push(format!("{what} {app}/{profile}/{}", change.key));
        let sides = [
            (old.filter(|_| change.value.is_some() || change.delete.is_some()).map(|item| &item.value), "- "),
            (change.value.as_ref(), "+ "),
            (old.filter(|_| change.description.is_some()).map(|item| &item.description), "- # "),
            (change.description.as_ref(), "+ # "),
        ];
        for (text, mark) in sides {
            let lines = text.into_iter().filter(|text| !(mark == "- # " && text.is_empty()));
            let lines = lines.flat_map(|text| text.strip_suffix('\n').unwrap_or(text).split('\n'));
            shown.extend(lines.map(|line| format!("  {mark}{}", line.replace('\r', "\\r"))));
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use pilothouse_config_exchange::Entry;

    use super::*;

    fn entry(key: &str, value: &str, description: &str) -> Entry {
        Entry { key: key.into(), value: value.into(), description: description.into() }
    }

    fn item(key: &str, value: &str, description: &str) -> Item {
        Item { key: key.into(), value: value.into(), description: description.into(), version: 3 }
    }

    #[test]
    fn what_differs_is_changed_and_shown() {
        let entries = vec![
            entry("same", "1", ""),
            entry("new", "a\nb\n", "why"),
            entry("changed", "2", ""),
            entry("said", "1", "other"),
        ];
        let profile = FolderProfile { app: "shop".into(), profile: "dev".into(), entries };
        let current = [
            item("same", "1", "kept"),
            item("changed", "1\r", ""),
            item("said", "1", "before"),
            item("gone", "x", ""),
        ];
        let changes = changes(&profile, &current).unwrap();
        let of = |key: &str, value: Option<&str>, description: Option<&str>, delete, version| Change {
            key: key.into(),
            value: value.map(str::to_owned),
            description: description.map(str::to_owned),
            delete,
            version,
        };
        let expected = [
            of("new", Some("a\nb\n"), Some("why"), None, 0),
            of("changed", Some("2"), None, None, 3),
            of("said", None, Some("other"), None, 3),
            of("gone", None, None, Some(true), 3),
        ];
        assert_eq!(changes, expected);
        assert_eq!(
            lines(&profile, &current, &changes),
            [
                "create shop/dev/new",
                "  + a",
                "  + b",
                "  + # why",
                "update shop/dev/changed",
                "  - 1\\r",
                "  + 2",
                "update shop/dev/said",
                "  - # before",
                "  + # other",
                "delete shop/dev/gone",
                "  - x",
            ]
        );
    }
}
