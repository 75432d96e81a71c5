//! Writing of properties files.

use std::fmt::Write;

use crate::document::Entry;

/// Writes a properties file whose keys and values are ASCII, which every reader takes the same. Descriptions are comments
/// in UTF-8 above their keys.
pub fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        comment(&mut text, &entry.description);
        escape(&mut text, &entry.key, true);
        text.push('=');
        escape(&mut text, &entry.value, false);
        text.push('\n');
    }
    text
}

/// Writes a description as comment lines; nothing where there is none.
pub(crate) fn comment(text: &mut String, description: &str) {
    if description.is_empty() {
        return;
    }
    for line in description.replace("\r\n", "\n").split(['\n', '\r']) {
        text.push('#');
        if !line.is_empty() {
            text.push(' ');
            text.push_str(line);
        }
        text.push('\n');
    }
}

fn escape(text: &mut String, raw: &str, is_key: bool) {
    for (index, c) in raw.char_indices() {
        match c {
            ' ' if is_key || index == 0 => text.push_str("\\ "),
            '\t' => text.push_str("\\t"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\u{c}' => text.push_str("\\f"),
            '\\' | '=' | ':' | '#' | '!' => {
                text.push('\\');
                text.push(c);
            }
            ' '..='~' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a string cannot fail.
                    let _ = write!(text, "\\u{unit:04X}");
                }
            }
        }
    }
}
