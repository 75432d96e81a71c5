//! Limits on text fields.

use std::borrow::Cow;

use crate::{Error, Result};

/// Refuses text outside `min..=max` bytes or with a control character.
///
/// `multiline` additionally admits TAB, CR and LF, which only configuration values and descriptions may hold.
pub fn check_text(field: &'static str, text: &str, min: usize, max: usize, multiline: bool) -> Result<()> {
    check_length(field, text, min, max)?;
    match text.chars().find(|c| c.is_control() && !(multiline && matches!(c, '\t' | '\r' | '\n'))) {
        Some(c) => {
            Err(Error::invalid(field, format!("must not hold the control character U+{:04X}", u32::from(c))))
        }
        None => Ok(()),
    }
}

/// Refuses a new name that could pass for another: one with an invisible character, a full-width letter or digit, or with a
/// blank at an end.
pub(crate) fn check_visible(field: &'static str, name: &str) -> Result<()> {
    if let Some(c) = name.chars().find(|c| is_invisible(*c)) {
        let reason = format!("must not hold the invisible character U+{:04X}", u32::from(c));
        return Err(Error::invalid(field, reason));
    }
    if let Some(c) = name.chars().find(|c| narrow(*c) != *c) {
        return Err(Error::invalid(
            field,
            format!("must not hold the full-width {c}, which looks like {}", narrow(c)),
        ));
    }
    if name.trim() == name {
        Ok(())
    } else {
        Err(Error::invalid(field, "must not begin or end with a blank"))
    }
}

/// A name as names are compared when one is given: without regard to case, to blanks at its ends and to invisible
/// characters, which rows from before [`check_visible`] may hold.
pub(crate) fn fold_name(name: &str) -> String {
    let visible: String = name.chars().filter(|c| !is_invisible(*c)).map(narrow).collect();
    // By way of upper case, which makes one of letters that have two lower cases.
    visible.trim().to_uppercase().to_lowercase()
}

/// The ASCII letter or digit that a full-width one looks like; any other character itself.
fn narrow(c: char) -> char {
    match c {
        '\u{FF10}'..='\u{FF19}' | '\u{FF21}'..='\u{FF3A}' | '\u{FF41}'..='\u{FF5A}' => {
            char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c)
        }
        c => c,
    }
}

/// Whether a name is one of those that are there, as [`fold_name`] compares them.
pub(crate) fn is_name_taken(name: &str, names: &[String]) -> bool {
    let folded = fold_name(name);
    names.iter().any(|known| fold_name(known) == folded)
}

/// Whether a character shows nothing: a default-ignorable code point of Unicode, or the empty Braille pattern.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
        | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Refuses text outside `min..=max` bytes or with a character that `allowed` does not admit; `alphabet` describes them.
pub(crate) fn check_token(
    field: &'static str,
    text: &str,
    min: usize,
    max: usize,
    alphabet: &'static str,
    allowed: fn(char) -> bool,
) -> Result<()> {
    check_length(field, text, min, max)?;
    if text.chars().all(allowed) {
        Ok(())
    } else {
        Err(Error::invalid(field, format!("may hold only {alphabet}")))
    }
}

fn check_length(field: &'static str, text: &str, min: usize, max: usize) -> Result<()> {
    let reason: Cow<'static, str> = match text.len() {
        0 if min > 0 => "must not be empty".into(),
        n if n < min => format!("must be at least {min} bytes").into(),
        n if n > max => format!("must be at most {max} bytes, not {n}").into(),
        _ => return Ok(()),
    };
    Err(Error::invalid(field, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_look_the_same_are_the_same() {
        for name in ["web01", "WEB01", "ｗｅｂ０１", "Web01 ", "\u{200b}web\u{ad}01", "\u{3000}web01\u{feff}"]
        {
            assert_eq!(fold_name(name), "web01", "{name:?}");
        }
        assert_eq!(fold_name("STRASSE"), fold_name("straße"));
        assert_eq!(fold_name("ΟΔΟΣ"), fold_name("οδοσ"));
        assert_ne!(fold_name("web 01"), fold_name("web01"));
    }

    #[test]
    fn a_new_name_shows_all_it_holds() {
        for name in ["web01", "web 01", "café", "机器", "web（主）"] {
            assert!(check_visible("name", name).is_ok(), "{name:?}");
        }
        for name in
            ["ｗeb01", "web０1", " web01", "web01\u{a0}", "web\u{200d}01", "\u{2800}", "web01\u{e0041}"]
        {
            assert!(check_visible("name", name).is_err(), "{name:?}");
        }
    }
}
