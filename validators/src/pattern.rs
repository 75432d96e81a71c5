//! Validator `regex:`: a pattern that the value must contain.

use regex::RegexBuilder;

use crate::Refusal;

/// The size in bytes of a compiled pattern, and of what searching with it may keep.
pub(crate) const PATTERN_SIZE: usize = 1 << 20;

/// Checks that a pattern is found in the value.
pub fn regex(pattern: &str, value: &str) -> Result<(), Refusal> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build();
    let regex = built.map_err(|error| {
        // Its text shows the pattern with marks under it, on several lines; the last one says what is wrong.
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Refusal::validator(format!("is not a regular expression: {why}"))
    })?;
    if regex.is_match(value) { Ok(()) } else { Err(Refusal::value("does not match its regular expression")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(pattern: &str, value: &str) -> String {
        regex(pattern, value).unwrap_err().to_string()
    }

    #[test]
    fn a_pattern_is_looked_for() {
        regex("^[a-z]+$", "abc").unwrap();
        regex("b", "abc").unwrap();
        assert_eq!(refused("^[a-z]+$", "hunter2"), "value: does not match its regular expression");
    }

    #[test]
    fn patterns_are_bounded() {
        assert_eq!(refused("a(b", ""), "validator: is not a regular expression: unclosed group");
        assert!(refused(r"(\w{100}){1000}", "").starts_with("validator: is not a regular expression: "));
        assert!(refused(&"(".repeat(60_000), "").starts_with("validator: "));
        // Exponential for a machine that goes back.
        assert_eq!(
            refused("^(a+)+$", &("a".repeat(1 << 20) + "b")),
            "value: does not match its regular expression"
        );
    }
}
