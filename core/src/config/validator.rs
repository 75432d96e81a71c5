//! Validators that the server itself enforces: a value they reject is never stored.

use regex::RegexBuilder;
use saphyr_parser::{Event, Parser};
use serde::de::IgnoredAny;
use url::Url;

use super::Content;
#[cfg(feature = "jsonschema")]
use super::schema;
use crate::{Error, Result};

/// How deep lists and maps of a YAML value may lie in each other.
const YAML_DEPTH: usize = 128;
/// The size in bytes of a compiled pattern, and of what searching with it may keep.
pub(super) const PATTERN_SIZE: usize = 1 << 20;
/// The longest message of a refusal, in characters.
const MESSAGE: usize = 240;

impl Content {
    /// Refuses what breaks a limit, and a value that a built-in validator rejects. The work may take a while, so it is
    /// done on a thread of its own, and must not be waited for while a transaction is open.
    pub(super) async fn checked(self) -> Result<Self> {
        self.check()?;
        let Some(validator) = Validator::named(&self.validator) else {
            return Ok(self);
        };
        if let Validator::JsonSchema(_) = validator {
            return schema::checked(self).await;
        }
        let done = tokio::task::spawn_blocking(move || {
            if let Some(validator) = Validator::named(&self.validator) {
                validator.check(&self.value)?;
            }
            Ok(self)
        });
        done.await.map_err(|error| Error::Internal(format!("checking a value: {error}")))?
    }
}

/// A validator with a name that the server knows. Any other text is a script for front ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Validator<'a> {
    /// `json`: one JSON text.
    Json,
    /// `yaml`: YAML 1.2, any number of documents; aliases are looked up and never written out.
    Yaml,
    /// `toml`: TOML 1.
    Toml,
    /// `int`: a whole number of 64 bits, in decimal.
    Int,
    /// `url`: an absolute URL.
    Url,
    /// `regex:` and a pattern that must be found in the value.
    Regex(&'a str),
    /// `jsonschema:` and a schema that the value, a JSON text, must satisfy.
    JsonSchema(&'a str),
}

impl<'a> Validator<'a> {
    fn named(text: &'a str) -> Option<Self> {
        Some(match text {
            "json" => Self::Json,
            "yaml" => Self::Yaml,
            "toml" => Self::Toml,
            "int" => Self::Int,
            "url" => Self::Url,
            _ => match text.split_once(':')? {
                ("regex", pattern) => Self::Regex(pattern),
                ("jsonschema", schema) => Self::JsonSchema(schema),
                _ => return None,
            },
        })
    }

    fn check(self, value: &str) -> Result<()> {
        match self {
            Self::Json => json(value),
            Self::Yaml => yaml(value),
            Self::Toml => toml(value),
            Self::Int => match value.parse::<i64>() {
                Ok(_) => Ok(()),
                Err(_) => rejected(&format!("is not a whole number from {} to {}", i64::MIN, i64::MAX)),
            },
            Self::Url => url(value),
            Self::Regex(pattern) => regex(pattern, value),
            Self::JsonSchema(text) => schema::check(text, value),
        }
    }
}

fn json(value: &str) -> Result<()> {
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => Ok(()),
        Err(error) => rejected(&format!("is not JSON: {error}")),
    }
}

fn yaml(value: &str) -> Result<()> {
    let mut depth = 0_usize;
    for event in Parser::new_from_str(value) {
        match event {
            Ok((Event::SequenceStart(..) | Event::MappingStart(..), _)) => depth += 1,
            Ok((Event::SequenceEnd | Event::MappingEnd, _)) => depth = depth.saturating_sub(1),
            Ok(_) => {}
            Err(error) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                return rejected(&format!("is not YAML: {} at line {line} column {column}", error.info()));
            }
        }
        if depth > YAML_DEPTH {
            return rejected(&format!("is YAML nested more than {YAML_DEPTH} deep"));
        }
    }
    Ok(())
}

fn toml(value: &str) -> Result<()> {
    let Err(error) = value.parse::<toml::Table>() else {
        return Ok(());
    };
    // The error's own text repeats the line, which may hold a secret.
    let line =
        error.span().and_then(|span| value.get(..span.start)).map(|before| before.lines().count().max(1));
    match line {
        Some(line) => rejected(&format!("is not TOML: {} at line {line}", error.message())),
        None => rejected(&format!("is not TOML: {}", error.message())),
    }
}

fn url(value: &str) -> Result<()> {
    // The parser would take `localhost:80` for a URL of a scheme `localhost`, and drop blanks.
    let absolute = value.contains("://") && !value.contains(char::is_whitespace);
    match Url::parse(value) {
        Ok(_) if absolute => Ok(()),
        Ok(_) => rejected("is not an absolute URL like https://host/path"),
        Err(error) => rejected(&format!("is not an absolute URL: {error}")),
    }
}

fn regex(pattern: &str, value: &str) -> Result<()> {
    let built = RegexBuilder::new(pattern).size_limit(PATTERN_SIZE).dfa_size_limit(PATTERN_SIZE).build();
    let regex = built.map_err(|error| {
        // Its text shows the pattern with marks under it, on several lines; the last one says what is wrong.
        let text = error.to_string();
        let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        invalid("validator", &format!("is not a regular expression: {why}"))
    })?;
    if regex.is_match(value) { Ok(()) } else { rejected("does not match its regular expression") }
}

#[cfg(not(feature = "jsonschema"))]
mod schema {
    use super::{Content, invalid};
    use crate::Result;

    #[expect(clippy::unused_async, reason = "the same call as with the feature")]
    pub(super) async fn checked(content: Content) -> Result<Content> {
        check("", "").map(|()| content)
    }

    pub(super) fn check(_: &str, _: &str) -> Result<()> {
        Err(invalid("validator", "jsonschema: is not a part of this build"))
    }
}

pub(super) fn rejected(why: &str) -> Result<()> {
    Err(invalid("value", why))
}

/// A refusal on one line, cut to a length: what it repeats of a schema may be long.
pub(super) fn invalid(field: &'static str, why: &str) -> Error {
    let line = why.replace(char::is_control, " ");
    let short = match line.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    };
    Error::invalid(field, short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(validator: &str, value: &str) -> Result<()> {
        Validator::named(validator).unwrap().check(value)
    }

    #[track_caller]
    fn refused(validator: &str, value: &str) -> String {
        check(validator, value).unwrap_err().to_string()
    }

    #[test]
    fn only_exact_names_are_built_in() {
        for script in
            ["", "JSON", "json ", "function (v) { return v.length }", "regexp:a", "int:1", "{\"a\":1}"]
        {
            assert_eq!(Validator::named(script), None, "{script}");
        }
        assert_eq!(Validator::named("regex:"), Some(Validator::Regex("")));
        assert_eq!(Validator::named("regex:a:b"), Some(Validator::Regex("a:b")));
    }

    #[test]
    fn formats() {
        for (validator, values) in [
            ("json", ["{\"a\":[1,null]}", "1e999", "\"\""].as_slice()),
            ("yaml", &["", "a: 1\nb: [x, 'y']\n", "- &a 1\n- *a\n", "a: 1\n---\nb: 2\n"]),
            ("toml", &["", "a = 1\n[b]\nc = 2026-01-01\n"]),
            ("int", &["0", "-9223372036854775808", "9223372036854775807"]),
            ("url", &["https://h/p?q#f", "redis://h:6379/0", "file:///etc/motd"]),
            ("regex:^[a-z]+$", &["abc"]),
            ("regex:b", &["abc"]),
        ] {
            for value in values {
                check(validator, value).unwrap_or_else(|error| panic!("{validator} {value}: {error}"));
            }
        }
        for (validator, value, message) in [
            ("json", "", "value: is not JSON: EOF while parsing a value at line 1 column 0"),
            ("json", "{} {}", "value: is not JSON: trailing characters at line 1 column 4"),
            ("json", "hunter2", "value: is not JSON: expected value at line 1 column 1"),
            ("int", "1.0", "value: is not a whole number from -9223372036854775808 to 9223372036854775807"),
            (
                "int",
                "9223372036854775808",
                "value: is not a whole number from -9223372036854775808 to 9223372036854775807",
            ),
            ("int", " 1", "value: is not a whole number from -9223372036854775808 to 9223372036854775807"),
            ("url", "localhost:80", "value: is not an absolute URL like https://host/path"),
            ("url", " https://h", "value: is not an absolute URL like https://host/path"),
            ("url", "/path", "value: is not an absolute URL: relative URL without a base"),
            ("regex:^[a-z]+$", "hunter2", "value: does not match its regular expression"),
        ] {
            assert_eq!(refused(validator, value), message, "{validator} {value}");
        }
    }

    #[test]
    fn a_refusal_says_where_and_repeats_no_line() {
        let yaml = refused("yaml", "user: root\npassword: [hunter2\n");
        assert!(yaml.starts_with("value: is not YAML: ") && yaml.contains("line "), "{yaml}");
        let toml = refused("toml", "user = \"root\"\npassword = hunter2\n");
        assert!(toml.starts_with("value: is not TOML: ") && toml.ends_with("at line 2"), "{toml}");
        for message in [yaml, toml, refused("toml", "a = \"hunter2\n"), refused("yaml", "a: 'hunter2")] {
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn nesting_is_bounded_and_aliases_cost_nothing() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        check("yaml", &deep(YAML_DEPTH)).unwrap();
        assert_eq!(refused("yaml", &deep(YAML_DEPTH + 1)), "value: is YAML nested more than 128 deep");
        assert!(refused("yaml", &"[".repeat(1 << 20)).starts_with("value: is not YAML: recursion limit"));
        assert_eq!(refused("yaml", &"- ".repeat(1 << 19)), "value: is YAML nested more than 128 deep");
        check("json", &deep(1 << 19)).unwrap();
        assert!(refused("toml", &format!("a = {}", deep(1 << 19))).starts_with("value: is not TOML: "));

        let laugh = |n: usize| format!("a{0}: &a{0} [*a{n}, *a{n}, *a{n}]\n", n + 1);
        let laughs: String = (0..60).map(laugh).collect();
        check("yaml", &format!("a0: &a0 [lol]\n{laughs}")).unwrap();
        assert!(refused("yaml", "a: *nobody").starts_with("value: is not YAML: "));
    }

    #[test]
    fn patterns_are_bounded() {
        assert_eq!(refused("regex:a(b", ""), "validator: is not a regular expression: unclosed group");
        assert!(
            refused(r"regex:(\w{100}){1000}", "").starts_with("validator: is not a regular expression: ")
        );
        assert!(refused(&format!("regex:{}", "(".repeat(60_000)), "").starts_with("validator: "));
        // Exponential for a machine that goes back.
        assert_eq!(
            refused("regex:^(a+)+$", &("a".repeat(1 << 20) + "b")),
            "value: does not match its regular expression"
        );
    }
}
