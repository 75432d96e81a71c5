//! Documents: what a file of configuration says, with what was left out of it.

use std::collections::HashMap;
use std::fmt::{self, Display};

use crate::failure::{Failure, Result};
use crate::limits::{MAX_BYTES, MAX_DROPPED, MAX_ENTRIES};

/// Key and value of a configuration, as a file says them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The key; never empty.
    pub key: String,
    /// The value; may be empty.
    pub value: String,
    /// Comment of the key, without marks of comments; empty where there is none.
    pub description: String,
}

/// Entries of a file in its order, and what of it they do not say. Each key is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The entries, in the order of the file.
    pub entries: Vec<Entry>,
    /// Entries that were left out.
    pub dropped: Dropped,
}

/// Entries left out of a file: a text each, with file and line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    texts: Vec<String>,
    more: usize,
}

impl Dropped {
    /// The texts, at most 1,001: the last one counts those after the first 1,000.
    pub fn into_texts(self) -> Vec<String> {
        let mut texts = self.texts;
        if self.more > 0 {
            texts.push(format!("and {} more", self.more));
        }
        texts
    }

    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Adds a text, which an adapter makes of what it leaves out itself.
    pub fn add(&mut self, text: String) {
        if self.texts.len() < MAX_DROPPED {
            self.texts.push(text);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn at(&mut self, place: &Place<'_>, what: impl Display) {
        self.add(format!("{place}: {what}"));
    }

    pub(crate) fn extend(&mut self, other: Self) {
        self.more += other.more;
        for text in other.texts {
            self.add(text);
        }
    }
}

/// Position in a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'f> {
    /// Name of the file.
    pub(crate) file: &'f str,
    /// Line, counted from 1; 0 where there is none.
    pub(crate) line: usize,
}

impl Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.file),
            line => write!(f, "{} line {line}", self.file),
        }
    }
}

impl Place<'_> {
    pub(crate) fn failure(&self, reason: impl Into<String>) -> Failure {
        Failure::new(self.to_string(), reason)
    }
}

/// Collects entries within the limits. A later entry of a key replaces an earlier one, which is listed.
#[derive(Debug)]
pub(crate) struct Collector<'f> {
    file: &'f str,
    entries: Vec<Option<Entry>>,
    places: HashMap<String, Placed>,
    bytes: usize,
    pub(crate) dropped: Dropped,
}

/// Position of an entry among the others and in the file.
#[derive(Clone, Copy, Debug)]
struct Placed {
    index: usize,
    line: usize,
}

impl<'f> Collector<'f> {
    pub(crate) fn new(file: &'f str) -> Self {
        let (entries, places) = (Vec::new(), HashMap::new());
        Self { file, entries, places, bytes: 0, dropped: Dropped::default() }
    }

    pub(crate) fn at(&self, line: usize) -> Place<'f> {
        Place { file: self.file, line }
    }

    /// Adds what stands at a line; 0 where that is unknown.
    pub(crate) fn add(&mut self, line: usize, entry: Entry) -> Result<()> {
        let place = self.at(line);
        if entry.key.is_empty() {
            self.dropped.at(&place, "an empty key");
            return Ok(());
        }
        self.bytes += entry.key.len() + entry.value.len() + entry.description.len();
        if self.bytes > MAX_BYTES {
            return Err(place.failure(format!("holds more than {} MiB in all", MAX_BYTES >> 20)));
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(place.failure(format!("holds more than {MAX_ENTRIES} keys")));
        }
        let placed = Placed { index: self.entries.len(), line };
        if let Some(earlier) = self.places.insert(entry.key.clone(), placed) {
            let replaced = self.at(earlier.line);
            self.dropped.at(&replaced, format!("{}, which {} says again", entry.key, Spot(place)));
            self.entries[earlier.index] = None;
        }
        self.entries.push(Some(entry));
        Ok(())
    }

    pub(crate) fn finish(self) -> Document {
        Document { entries: self.entries.into_iter().flatten().collect(), dropped: self.dropped }
    }
}

/// Position within the same file.
struct Spot<'f>(Place<'f>);

impl Display for Spot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.line {
            0 => f.write_str("the file"),
            line => write!(f, "line {line}"),
        }
    }
}
