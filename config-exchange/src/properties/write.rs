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

/// Writes a properties file for people who read and edit it: in UTF-8, with each line of a value on a line of its own. It is read
/// as it was, but not by readers of ISO-8859-1.
pub fn write_readable(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        comment(&mut text, &entry.description);
        for (index, c) in entry.key.char_indices() {
            let is_special = matches!(c, ' ' | '=' | ':') || index == 0 && matches!(c, '#' | '!');
            readable(&mut text, c, is_special);
        }
        text.push('=');
        let mut rest = entry.value.chars().peekable();
        let mut begins_line = true;
        while let Some(c) = rest.next() {
            readable(&mut text, c, c == ' ' && begins_line);
            begins_line = c == '\n' && rest.peek().is_some();
            if begins_line {
                text.push_str("\\\n");
            }
        }
        text.push('\n');
    }
    text
}

/// Writes a character as it is, unless it has a meaning or cannot be seen.
fn readable(text: &mut String, c: char, is_special: bool) {
    let cannot_be_seen = c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    match c {
        '\t' => text.push_str("\\t"),
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\u{c}' => text.push_str("\\f"),
        _ if cannot_be_seen => escape_units(text, c),
        _ => {
            if is_special || c == '\\' {
                text.push('\\');
            }
            text.push(c);
        }
    }
}

/// Writes a character as escapes of its units of UTF-16.
fn escape_units(text: &mut String, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\u{unit:04X}");
    }
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
            _ => escape_units(text, c),
        }
    }
}
