//! Reading of YAML files.

use super::comment::Comments;
use super::flatten::Flattener;
use super::tree::documents;
use crate::document::{Collector, Document};
use crate::failure::Result;
use crate::limits::MAX_BYTES;

/// Reads a YAML file, flattened. Of several documents a later one counts. Comment lines directly above a key with a value, at
/// its column, are its description.
pub fn read(file: &str, bytes: &[u8]) -> Result<Document> {
    let collector = Collector::new(file);
    let place = collector.at(0);
    if bytes.len() > MAX_BYTES {
        return Err(place.failure(format!("is longer than {} MiB", MAX_BYTES >> 20)));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| place.failure("is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let documents = documents(file, text)?;
    let comments = Comments::new(text, &documents.scalar_lines);
    let mut flattener = Flattener::new(&documents, comments, collector);
    for root in &documents.roots {
        flattener.document(*root)?;
    }
    let Flattener { comments, mut collector, .. } = flattener;
    for line in comments.left() {
        let place = collector.at(line);
        collector.dropped.at(&place, "a comment that stands above no key");
    }
    Ok(collector.finish())
}
