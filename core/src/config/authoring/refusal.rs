//! Refusals of validators: one line each, cut to a length.

#[cfg(feature = "validators")]
use pilothouse_validators::{Field, Refusal};

use crate::{Error, Result};

/// The longest message of a refusal, in characters.
const MESSAGE: usize = 240;

/// Refuses a value.
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

/// The refusal of one of the engines.
#[cfg(feature = "validators")]
pub(super) fn refused(refusal: &Refusal) -> Error {
    let field = match refusal.field {
        Field::Validator => "validator",
        Field::Value => "value",
    };
    invalid(field, &refusal.why)
}
