//! Refusal of a JSON value: the path of the member that is wrong, and what it must be.

use std::fmt;

use pilothouse_core::Error;
use serde::de::{self, Expected, Unexpected};

/// Joins two paths; an empty one adds nothing.
pub(crate) fn join(prefix: &str, name: &str) -> String {
    match (prefix, name) {
        ("", name) => name.to_owned(),
        (prefix, "") => prefix.to_owned(),
        (prefix, name) => format!("{prefix}.{name}"),
    }
}

/// Refusal of a value, with its path, which grows from the inside while the refusal is handed up.
#[derive(Debug)]
pub(crate) struct Wrong {
    path: String,
    why: Why,
}

/// Reason why a value is not a `T`.
#[derive(Debug)]
enum Why {
    Missing(&'static str),
    Other(String),
}

impl Wrong {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { path: String::new(), why: Why::Other(why.into()) }
    }

    pub(crate) fn in_member(mut self, name: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{name}{dot}{}", self.path);
        self
    }

    pub(crate) fn in_element(self, index: usize) -> Self {
        self.in_member(&format!("[{index}]"))
    }

    pub(crate) fn into_error(self, prefix: &str) -> Error {
        let path = join(prefix, &self.path);
        match self.why {
            Why::Missing(name) => Error::invalid(join(&path, name), "is required"),
            Why::Other(why) => Error::invalid(if path.is_empty() { "body".to_owned() } else { path }, why),
        }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.why {
            Why::Missing(name) => write!(f, "{name} is required"),
            Why::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::new(why.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self { path: String::new(), why: Why::Missing(name) }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match Self::expected(expected) {
            Self { why: Why::Other(why), .. } if why == "must be an integer" => Self::new("is out of range"),
            other => other,
        }
    }
}

impl Wrong {
    pub(crate) fn expected(expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        match expected.as_str() {
            "a string" => Self::new("must be text"),
            "a boolean" => Self::new("must be true or false"),
            "a sequence" => Self::new("must be a list"),
            "i64" | "i32" | "u8" | "u16" | "u32" | "u64" => Self::new("must be an integer"),
            other if other.starts_with("struct") => Self::new("must be an object"),
            other => Self::new(format!("must be {other}")),
        }
    }
}
