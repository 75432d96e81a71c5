//! Optional members for which an empty value says something, or must not be given.

use serde::{Deserialize, Deserializer};

/// Name of the type behind [`selector`], by which the deserializer knows it.
pub(crate) const SELECTOR: &str = "selector";
/// Name of the type behind [`text_or_empty`], by which the deserializer knows it.
pub(crate) const TEXT_OR_EMPTY: &str = "text_or_empty";

#[derive(Deserialize)]
#[serde(rename = "selector")]
struct Selector<T>(T);

/// Reads an optional argument that narrows what an operation is about. Given, it must say something: taken for "not given",
/// an empty one would select everything. For `deserialize_with`, beside `default`.
pub(crate) fn selector<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Selector::deserialize(deserializer).map(|Selector(value)| Some(value))
}

#[derive(Deserialize)]
#[serde(rename = "text_or_empty")]
struct TextOrEmpty(Option<String>);

/// Reads optional text that may be empty; other optional arguments are not given where they are empty. For
/// `deserialize_with`, beside `default`.
pub(crate) fn text_or_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    TextOrEmpty::deserialize(deserializer).map(|TextOrEmpty(text)| text)
}
