//! Writing of YAML files.

use std::fmt::Write;

use super::scalar::Scalar;
use crate::document::Entry;
use crate::properties::comment;

/// Writes a YAML file: one map of keys and texts, whose descriptions are comments. Every value is text to every reader.
pub fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for Entry { key, value, description } in entries {
        // YAML has byte-order marks at its beginning only.
        comment(&mut text, &description.replace('\u{feff}', ""));
        if is_plain(key) {
            text.push_str(key);
        } else {
            quote(&mut text, key);
        }
        text.push_str(": ");
        if is_block(value) {
            block(&mut text, value);
        } else {
            quote(&mut text, value);
        }
        text.push('\n');
    }
    if text.is_empty() { "{}\n".to_owned() } else { text }
}

/// Whether a key means itself without quotes, to readers of YAML 1.1 and 1.2.
fn is_plain(key: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.chars().all(is_word)
        && !matches!(key, "y" | "Y" | "n" | "N")
        && matches!(Scalar::plain(key), Scalar::Text(_))
}

/// Whether a value is easier to read as a block of lines, which says exactly the same.
fn is_block(value: &str) -> bool {
    let lines = value.strip_suffix('\n').unwrap_or(value);
    let is_shown = |c: char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
    value.contains('\n')
        && lines.split('\n').all(|line| {
            let has_text = line.trim_matches([' ', '\t']).len() == line.len();
            line.is_empty() || line.chars().all(is_shown) && (has_text || !line.trim().is_empty())
        })
        && !lines.is_empty()
        && !lines.ends_with('\n')
}

fn block(text: &mut String, value: &str) {
    let lines = match value.strip_suffix('\n') {
        Some(lines) => {
            text.push_str("|2");
            lines
        }
        None => {
            text.push_str("|2-");
            value
        }
    };
    for line in lines.split('\n') {
        text.push('\n');
        if !line.is_empty() {
            text.push_str("  ");
            text.push_str(line);
        }
    }
}

/// Writes text within double quotes.
fn quote(text: &mut String, raw: &str) {
    text.push('"');
    for c in raw.chars() {
        match c {
            '"' | '\\' => {
                text.push('\\');
                text.push(c);
            }
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
