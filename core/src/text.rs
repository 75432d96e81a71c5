//! Rules that hold for text and paging everywhere.

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

/// Refuses text outside `min..=max` bytes or with a character that `allowed` does not admit; `alphabet` describes them.
pub fn check_token(
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

/// Part of a list: rows with an id of at least `start`, ascending, at most `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The smallest id returned.
    pub start: i64,
    /// The most rows returned, 1 to 1000.
    pub count: i64,
}

impl Page {
    /// The most rows one page may hold.
    pub const MAX: i64 = 1000;

    /// Refuses a negative start, and a count outside 1 to 1000. The defaults are 0 and 10.
    pub fn new(start: Option<i64>, count: Option<i64>) -> Result<Self> {
        let page = Self { start: start.unwrap_or(0), count: count.unwrap_or(10) };
        if page.start < 0 {
            return Err(Error::invalid("start", "must not be negative"));
        }
        if !(1..=Self::MAX).contains(&page.count) {
            return Err(Error::invalid("count", "must be from 1 to 1000"));
        }
        Ok(page)
    }
}

impl Default for Page {
    fn default() -> Self {
        Self { start: 0, count: 10 }
    }
}
