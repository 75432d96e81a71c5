//! Validators that the server itself enforces: a value they reject is never stored.

#[cfg(feature = "validators")]
use pilothouse_validators::{json_schema, regex, toml, yaml};
use serde::de::IgnoredAny;
use url::Url;

use super::item::Content;
#[cfg(not(feature = "validators"))]
use super::refusal::invalid;
#[cfg(feature = "validators")]
use super::refusal::refused;
use super::refusal::rejected;
#[cfg(feature = "validators")]
use super::schema;
use super::unique_json::key_twice;
use crate::{Error, Result};

impl Content {
    /// Refuses what breaks a limit, and a value that a built-in validator rejects. The work may take a while, so it is
    /// done on a thread of its own, and must not be waited for while a transaction is open.
    pub(super) async fn checked(self) -> Result<Self> {
        self.check()?;
        if Validator::named(&self.validator).is_none() {
            return Ok(self);
        }
        #[cfg(feature = "validators")]
        if let Some(Validator::JsonSchema(_)) = Validator::named(&self.validator) {
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
    /// `toml`: one TOML 1.0 document.
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
            Self::Int => match value.parse::<i64>() {
                Ok(_) => Ok(()),
                Err(_) => rejected(&format!("is not a whole number from {} to {}", i64::MIN, i64::MAX)),
            },
            Self::Url => url(value),
            #[cfg(feature = "validators")]
            Self::Yaml => yaml(value).map_err(|refusal| refused(&refusal)),
            #[cfg(feature = "validators")]
            Self::Toml => toml(value).map_err(|refusal| refused(&refusal)),
            #[cfg(feature = "validators")]
            Self::Regex(pattern) => regex(pattern, value).map_err(|refusal| refused(&refusal)),
            #[cfg(feature = "validators")]
            Self::JsonSchema(schema) => json_schema(schema, value).map_err(|refusal| refused(&refusal)),
            // A value that nothing checked must not be stored as if it had been.
            #[cfg(not(feature = "validators"))]
            Self::Yaml | Self::Toml | Self::Regex(_) | Self::JsonSchema(_) => {
                Err(invalid("validator", "yaml, toml, regex: and jsonschema: are not part of this build"))
            }
        }
    }
}

fn json(value: &str) -> Result<()> {
    match serde_json::from_str::<IgnoredAny>(value) {
        Ok(_) => match key_twice(value) {
            None => Ok(()),
            Some((key, line)) => {
                rejected(&format!("is not JSON: the key {key} is there twice at line {line}"))
            }
        },
        Err(error) => rejected(&format!("is not JSON: {error}")),
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
            ("int", &["0", "-9223372036854775808", "9223372036854775807"]),
            ("url", &["https://h/p?q#f", "redis://h:6379/0", "file:///etc/motd"]),
        ] {
            for value in values {
                check(validator, value).unwrap_or_else(|error| panic!("{validator} {value}: {error}"));
            }
        }
        for (validator, value, message) in [
            ("json", "", "value: is not JSON: EOF while parsing a value at line 1 column 0"),
            ("json", "{\"a\":{\"b\":1,\"b\":2}}", "value: is not JSON: the key b is there twice at line 1"),
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
        ] {
            assert_eq!(refused(validator, value), message, "{validator} {value}");
        }
    }

    /// A value that cannot be checked is refused, whatever it is.
    #[cfg(not(feature = "validators"))]
    #[test]
    fn what_this_build_cannot_check_is_refused() {
        for validator in ["yaml", "toml", "regex:.*", "jsonschema:true"] {
            let expected = "validator: yaml, toml, regex: and jsonschema: are not part of this build";
            assert_eq!(refused(validator, "1"), expected, "{validator}");
        }
    }

    /// Each reaches its own engine, and the text at fault is named.
    #[cfg(feature = "validators")]
    #[test]
    fn engines() {
        for (validator, accepted, rejected, message) in [
            ("yaml", "a: 1", "a: [", "value: is not YAML: "),
            ("toml", "a = 1", "a: 1", "value: is not TOML: "),
            ("regex:^[a-z]+$", "abc", "1", "value: does not match its regular expression"),
            ("jsonschema:{\"type\":\"integer\"}", "1", "1.5", "value: does not satisfy its schema"),
        ] {
            check(validator, accepted).unwrap();
            let refused = refused(validator, rejected);
            assert!(refused.starts_with(message), "{validator}: {refused}");
        }
        assert_eq!(refused("regex:(", ""), "validator: is not a regular expression: unclosed group");
    }
}
