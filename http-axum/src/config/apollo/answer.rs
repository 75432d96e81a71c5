//! Encodings of a namespace for Apollo clients: a JSON object of texts, or a properties file.

use axum::body::Bytes;
use pilothouse_core::config::{NamespaceContent, NamespaceEncoding};
use serde::ser::{SerializeMap, Serializer};

/// Encodes items as a JSON object of texts.
pub(super) fn json(content: &NamespaceContent) -> Bytes {
    content.encoded(NamespaceEncoding::Json, |content| {
        // A vector that grew would have held half of it once more.
        let lengths =
            content.items.iter().map(|(name, item)| name.len() + item.value.len() + "\"\":\"\",".len());
        let mut text = Vec::with_capacity(lengths.sum::<usize>() + "{}".len());
        let mut writer = serde_json::Serializer::new(&mut text);
        // Writing text into memory cannot fail.
        let _ = writer.serialize_map(Some(content.items.len())).and_then(|mut map| {
            for (name, item) in &content.items {
                map.serialize_entry(&**name, &*item.value)?;
            }
            map.end()
        });
        text.into()
    })
}

/// Encodes items as a properties file; what could be read as syntax is escaped.
pub(super) fn properties(content: &NamespaceContent) -> Bytes {
    content.encoded(NamespaceEncoding::Properties, |content| {
        let mut text = String::new();
        for (name, item) in &content.items {
            escape(name, true, &mut text);
            text.push('=');
            escape(&item.value, false, &mut text);
            text.push('\n');
        }
        text.into()
    })
}

fn escape(text: &str, is_key: bool, into: &mut String) {
    for (at, char) in text.chars().enumerate() {
        match char {
            '\t' => into.push_str("\\t"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            ' ' if is_key || at == 0 => into.push_str("\\ "),
            '=' | ':' if is_key => into.extend(['\\', char]),
            '#' | '!' if is_key && at == 0 => into.extend(['\\', char]),
            '\\' => into.push_str("\\\\"),
            char => into.push(char),
        }
    }
}

/// Names what a client holds. Whoever sends it back is told only what is different.
pub(super) fn release_key(content: &NamespaceContent) -> String {
    format!("{:016x}", content.tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_escaped_where_they_must() {
        let escaped = |text: &str, is_key| {
            let mut into = String::new();
            escape(text, is_key, &mut into);
            into
        };
        assert_eq!(escaped("a b=c:d", true), "a\\ b\\=c\\:d");
        assert_eq!(escaped("#a!b", true), "\\#a!b");
        assert_eq!(escaped(" a = b: c\\\n", false), "\\ a = b: c\\\\\\n");
        assert_eq!(escaped("中文 😀", false), "中文 😀");
    }
}
