//! Validator `toml`: the value must be a document of TOML 1.

use ::toml::Table;

use crate::Refusal;

/// Refuses a value that is not TOML 1.
pub fn toml(value: &str) -> Result<(), Refusal> {
    let Err(error) = value.parse::<Table>() else {
        return Ok(());
    };
    // The error's own text repeats the line, which may hold a secret.
    let line =
        error.span().and_then(|span| value.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    Err(Refusal::value(match line {
        Some(line) => format!("is not TOML: {} at line {line}", error.message()),
        None => format!("is not TOML: {}", error.message()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(value: &str) -> String {
        toml(value).unwrap_err().to_string()
    }

    #[test]
    fn documents_pass() {
        for value in ["", "a = 1\n[b]\nc = 2026-01-01\n"] {
            toml(value).unwrap_or_else(|refusal| panic!("{value}: {refusal}"));
        }
    }

    #[test]
    fn a_refusal_says_where_and_repeats_no_line() {
        let refusal = refused("user = \"root\"\npassword = hunter2\n");
        assert!(refusal.starts_with("value: is not TOML: ") && refusal.ends_with("at line 2"), "{refusal}");
        for refusal in [refusal, refused("a = \"hunter2\n")] {
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn the_line_is_that_of_the_fault() {
        for (value, line) in [("a=1\na=2", 2), ("a = 1\nb = 2\na = 3", 3), ("a=", 1), ("\n\na", 3)] {
            assert!(refused(value).ends_with(&format!(" at line {line}")), "{}", refused(value));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = "[".repeat(1 << 19) + &"]".repeat(1 << 19);
        assert!(refused(&format!("a = {deep}")).starts_with("value: is not TOML: "));
    }
}
