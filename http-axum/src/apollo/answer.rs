//! The texts that a namespace is told as.

use axum::body::Bytes;
use pilothouse_core::config::{Part, PartForm};
use serde::ser::{SerializeMap, Serializer};

/// As a JSON object of texts.
pub(super) fn json(part: &Part) -> Bytes {
    part.written(PartForm::Json, |part| {
        let mut text = Vec::new();
        let mut writer = serde_json::Serializer::new(&mut text);
        // Writing text into memory cannot fail.
        let _ = writer.serialize_map(Some(part.items.len())).and_then(|mut map| {
            for (name, held) in &part.items {
                map.serialize_entry(&**name, &*held.value)?;
            }
            map.end()
        });
        text.into()
    })
}

/// As a properties file: what could be read as syntax is escaped, so that it is read back as it was.
pub(super) fn properties(part: &Part) -> Bytes {
    part.written(PartForm::Properties, |part| {
        let mut text = String::new();
        for (name, held) in &part.items {
            escape(name, true, &mut text);
            text.push('=');
            escape(&held.value, false, &mut text);
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
pub(super) fn release_key(part: &Part) -> String {
    format!("{:016x}", part.tag)
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
