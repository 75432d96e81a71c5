//! Refusal of a value, or of the validator itself.

use std::fmt;

/// The text that is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The pattern or the schema.
    Validator,
    /// The value it was to check.
    Value,
}

/// Refusal of a text. `Display` names the field first: `value: is not TOML`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Text at fault: the validator itself or the value.
    pub field: Field,
    /// Reason, as a sentence without its subject. May be long: it can repeat names out of a schema.
    pub why: String,
}

impl Refusal {
    pub(crate) fn validator(why: impl Into<String>) -> Self {
        Self { field: Field::Validator, why: why.into() }
    }

    pub(crate) fn value(why: impl Into<String>) -> Self {
        Self { field: Field::Value, why: why.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = match self.field {
            Field::Validator => "validator",
            Field::Value => "value",
        };
        write!(f, "{field}: {}", self.why)
    }
}

impl std::error::Error for Refusal {}
