//! Configuration state of a node: an immutable set of entries, and the difference between two of them.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;

use crate::{Error, Result, value};

/// Immutable configuration of a node, replaced as a whole on each change.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Revision of the app that the entries belong to; 0 before the first publication.
    pub(crate) revision: i64,
    pub(crate) entries: Entries,
}

/// Entries by key, in key order.
pub(crate) type Entries = BTreeMap<Arc<str>, Arc<Entry>>;

/// One version of one value, with a cache of its parsed form.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Arc<str>,
    pub(crate) version: i64,
    /// Parsed value, for the type that was requested first.
    parsed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Entry {
    pub(crate) fn new(value: impl Into<Arc<str>>, version: i64) -> Self {
        Self { value: value.into(), version, parsed: OnceLock::new() }
    }

    /// Returns the cached parsed value, or parses and caches it. `key` only names the value in an error.
    pub(crate) fn parse<T>(&self, key: &str) -> Result<Arc<T>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        if let Some(parsed) = self.parsed.get()
            && let Ok(parsed) = parsed.clone().downcast()
        {
            return Ok(parsed);
        }
        let parsed = Arc::new(parse::<T>(key, &self.value)?);
        // The cache has room for one type: a second type is parsed on every call.
        let _ = self.parsed.set(parsed.clone());
        Ok(parsed)
    }
}

fn parse<T: DeserializeOwned>(key: &str, text: &str) -> Result<T> {
    value::parse(text).map_err(|source| Error::Value { key: key.to_owned(), source })
}

/// Change of one key's value: added, replaced or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Key of the item that changed.
    pub key: Arc<str>,
    /// Previous value; `None` for an added key.
    pub old: Option<Arc<str>>,
    /// New value; `None` for a removed key.
    pub new: Option<Arc<str>>,
}

impl Change {
    /// Parses the new value as a `T`, by the rules of [`Client::get`](crate::Client::get); `None` for a removed key.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.new.as_deref().map(|text| parse(&self.key, text)).transpose()
    }
}

/// Compares two states and returns the changed keys in key order. A new version with an equal value is no change.
pub(crate) fn diff(old: &Entries, new: &Entries) -> Vec<Change> {
    let mut changes: Vec<_> = new
        .iter()
        .filter_map(|(key, entry)| {
            let old = old.get(key).map(|entry| entry.value.clone());
            (old.as_ref() != Some(&entry.value)).then(|| Change {
                key: key.clone(),
                old,
                new: Some(entry.value.clone()),
            })
        })
        .collect();
    let removed = old.iter().filter(|(key, _)| !new.contains_key(*key));
    changes.extend(removed.map(|(key, entry)| Change {
        key: key.clone(),
        old: Some(entry.value.clone()),
        new: None,
    }));
    changes.sort_by(|a, b| a.key.cmp(&b.key));
    changes
}
