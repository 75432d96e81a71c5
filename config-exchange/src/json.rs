//! JSON, flattened to dotted keys like YAML, and written as one object of texts.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::document::{Collector, Document, Entry};
use crate::failure::{Failure, Result};
use crate::flatten::{DOCUMENT, element, float, is_too_long, member};
use crate::limits::{MAX_BYTES, MAX_DEPTH};

/// Reads a JSON file, flattened. A key that is in one object twice is refused.
pub fn read(file: &str, bytes: &[u8]) -> Result<Document> {
    let mut collector = Collector::new(file);
    if bytes.len() > MAX_BYTES {
        return Err(collector.at(0).failure(format!("is longer than {} MiB", MAX_BYTES >> 20)));
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut refusal = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let walk = Walk { path: "", depth: 1, collector: &mut collector, refusal: &mut refusal };
    let read = walk.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    match (read, refusal) {
        (_, Some(refusal)) => Err(refusal),
        (Err(error), None) => {
            let why = error.to_string();
            // The line is told before it.
            let why = why.split(" at line ").next().unwrap_or_default().to_owned();
            Err(collector.at(error.line()).failure(format!("is not JSON: {why}")))
        }
        (Ok(()), None) => Ok(collector.finish()),
    }
}

/// Writes one object with a text for each key. Descriptions are left out, as JSON has no comments.
pub fn write(entries: &[Entry]) -> String {
    // By hand, because a map of the library would sort its keys.
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let lines: Vec<_> =
        entries.iter().map(|entry| format!("  {}: {}", quoted(&entry.key), quoted(&entry.value))).collect();
    if lines.is_empty() { "{}\n".to_owned() } else { format!("{{\n{}\n}}\n", lines.join(",\n")) }
}

/// Adds the entries of a value at a path.
struct Walk<'p, 'c, 'f> {
    path: &'p str,
    depth: usize,
    collector: &'c mut Collector<'f>,
    /// Refusal of a limit, which the library's error could only hold as text.
    refusal: &'c mut Option<Failure>,
}

impl<'f> Walk<'_, '_, 'f> {
    fn leaf<E: serde::de::Error>(self, value: String) -> Result<(), E> {
        let key = if self.path.is_empty() { DOCUMENT } else { self.path };
        let entry = Entry { key: key.to_owned(), value, description: String::new() };
        self.collector.add(0, entry).map_err(|failure| {
            *self.refusal = Some(failure);
            E::custom("a limit")
        })
    }

    /// Walk of what stands below this value, at a path of its own.
    fn below<'s>(&'s mut self, path: &'s str) -> Walk<'s, 's, 'f> {
        Walk { path, depth: self.depth + 1, collector: self.collector, refusal: self.refusal }
    }

    fn check_place<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format!("it is nested more than {MAX_DEPTH} deep")));
        }
        if is_too_long(self.path) {
            return Err(E::custom("it makes a key that is longer than 4096 bytes"));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.leaf(value.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        // An integer this long was rounded when it was read.
        if value.abs() >= 18_446_744_073_709_551_616.0 {
            let path = self.path;
            return Err(E::custom(format!("the number {path} is beyond 64 bits: write it as text")));
        }
        self.leaf(float(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.leaf(value.to_owned())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.leaf(String::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        self.check_place()?;
        let mut index = 0;
        loop {
            let path = element(self.path, index);
            if elements.next_element_seed(self.below(&path))?.is_none() {
                break;
            }
            index += 1;
        }
        if index == 0 && !self.path.is_empty() { self.leaf(String::new()) } else { Ok(()) }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        self.check_place()?;
        let mut names = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = member(self.path, &name);
            if names.contains(&name) {
                return Err(A::Error::custom(format!("the key {path} is there twice")));
            }
            names.insert(name);
            members.next_value_seed(self.below(&path))?;
        }
        if names.is_empty() && !self.path.is_empty() {
            let place = self.collector.at(0);
            self.collector.dropped.at(&place, format!("the empty object {}", self.path));
        }
        Ok(())
    }
}
