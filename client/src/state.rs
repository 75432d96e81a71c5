//! What a node holds, and how two such states differ.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;

use crate::{Error, Result, value};

/// Everything a node holds. It never changes: a new one takes its place.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The app's revision that this is the state of; 0 before anything is known.
    pub(crate) revision: i64,
    pub(crate) entries: Entries,
}

pub(crate) type Entries = BTreeMap<Arc<str>, Arc<Entry>>;

/// One value, in one version.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) value: Arc<str>,
    pub(crate) version: i64,
    /// What the value means to the type that asked first.
    parsed: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Entry {
    pub(crate) fn new(value: impl Into<Arc<str>>, version: i64) -> Self {
        Self { value: value.into(), version, parsed: OnceLock::new() }
    }

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
        // Where another type was first, this one is parsed each time.
        let _ = self.parsed.set(parsed.clone());
        Ok(parsed)
    }
}

fn parse<T: DeserializeOwned>(key: &str, text: &str) -> Result<T> {
    value::parse(text).map_err(|source| Error::Value { key: key.to_owned(), source })
}

/// A key whose value is another one now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// The key.
    pub key: Arc<str>,
    /// Its value before; `None` where there was none.
    pub old: Option<Arc<str>>,
    /// Its value now; `None` where it was removed.
    pub new: Option<Arc<str>>,
}

impl Change {
    /// The new value as a `T`, as [`Client::get`](crate::Client::get) reads it; `None` where the key was removed.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.new.as_deref().map(|text| parse(&self.key, text)).transpose()
    }
}

/// The keys whose values differ, in their order. A new version with the same value is no change.
pub(crate) fn changes(old: &Entries, new: &Entries) -> Vec<Change> {
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
