//! JSON whose objects name each key once: which of two values counts would depend on the reader.

use std::collections::HashSet;

/// The first key that an object of a JSON text has twice, and its line. The text must be known to be JSON.
pub(super) fn key_twice(json: &str) -> Option<(String, usize)> {
    // Keys of the objects that are open; `None` for a list.
    let mut open: Vec<Option<HashSet<String>>> = Vec::new();
    let (mut rest, mut is_key) = (json, false);
    while let Some(at) = rest.find(['{', '}', '[', ']', ',', '"']) {
        match rest.as_bytes()[at] {
            b'{' => {
                open.push(Some(HashSet::new()));
                is_key = true;
            }
            b'[' => {
                open.push(None);
                is_key = false;
            }
            b'}' | b']' => drop(open.pop()),
            b',' => is_key = matches!(open.last(), Some(Some(_))),
            _ => {
                let length = string_length(&rest[at..]);
                let text = &rest[at..at + length];
                if let Some(Some(keys)) = open.last_mut().filter(|_| is_key) {
                    let key: String = serde_json::from_str(text).unwrap_or_default();
                    if keys.contains(&key) {
                        let before = json.len() - rest.len() + at;
                        return Some((key, json[..before].matches('\n').count() + 1));
                    }
                    keys.insert(key);
                    is_key = false;
                }
                rest = &rest[at + length..];
                continue;
            }
        }
        rest = &rest[at + 1..];
    }
    None
}

/// Bytes of the string that a text begins with, with its quotes.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_found() {
        for (json, found) in [
            (r#"{"a":1,"a":2}"#, ("a", 1)),
            ("{\"a\":{\"b\":[1,\"b\"],\n\"b\":2}}", ("b", 2)),
            (r#"[{"x":"},{"},{"a\"":1,"\u0061\"":1}]"#, ("a\"", 1)),
            (r#"{"a":{"a":{}},"b":[{"c":1}],"a":1e999}"#, ("a", 1)),
        ] {
            assert_eq!(key_twice(json), Some((found.0.to_owned(), found.1)), "{json}");
        }
        for json in [
            "1e999",
            r#""a""#,
            "[]",
            "{}",
            r#"{"a":"a","b":["a","a"],"A":{"a":1,"b":2}}"#,
            r#"[{"a":1},{"a":2}]"#,
            r#"{"a":"\\","b":"\"","c":"{\"a\":1,\"a\":1}"}"#,
        ] {
            assert_eq!(key_twice(json), None, "{json}");
        }
    }
}
