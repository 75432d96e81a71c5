//! Parameters of statements, for both databases alike: times as microseconds and days as days since 1970.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, Utc};

/// Parameter. Each variant has one type in both databases, even when it is null.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
    Bool(bool),
    /// Many ids in one parameter: an array for Postgres, JSON for SQLite.
    Ids(Vec<i64>),
    /// Many texts in one parameter, likewise.
    Texts(Vec<Cow<'a, str>>),
}

/// Parameters of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::value::Value::from($value)),*] };
}
pub(crate) use values;

macro_rules! into_value {
    ($($from:ty => |$value:ident| $into:expr;)*) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from($value: $from) -> Self {
                $into
            }
        }
        impl<'a> From<Option<$from>> for Value<'a> {
            fn from(value: Option<$from>) -> Self {
                match value {
                    Some($value) => $into,
                    None => <Self as Null<$from>>::NULL,
                }
            }
        }
    )*};
}

/// The typed null that stands for an absent `T`: Postgres wants to know the type.
trait Null<T> {
    const NULL: Self;
}

macro_rules! null {
    ($($of:ty => $null:expr;)*) => {$(
        impl<'a> Null<$of> for Value<'a> {
            const NULL: Self = $null;
        }
    )*};
}

null! {
    i64 => Self::Int(None);
    DateTime<Utc> => Self::Int(None);
    NaiveDate => Self::Int(None);
    &'a str => Self::Text(None);
    &'a String => Self::Text(None);
    String => Self::Text(None);
    IpAddr => Self::Text(None);
    &'a [u8] => Self::Bytes(None);
}

into_value! {
    i64 => |value| Self::Int(Some(value));
    DateTime<Utc> => |value| Self::Int(Some(value.timestamp_micros()));
    NaiveDate => |value| Self::Int(Some(value.to_epoch_days().into()));
    &'a str => |value| Self::Text(Some(value.into()));
    &'a String => |value| Self::Text(Some(value.into()));
    String => |value| Self::Text(Some(value.into()));
    IpAddr => |value| Self::Text(Some(value.to_string().into()));
    &'a [u8] => |value| Self::Bytes(Some(value.into()));
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Ids for the `$1` of an [`of_ids`](crate::statement::of_ids) statement.
pub(crate) fn ids<T: Copy + Into<i64>>(ids: &[T]) -> Value<'static> {
    Value::Ids(ids.iter().map(|id| (*id).into()).collect())
}

/// Texts for the parameter of an [`among_texts`](crate::statement::among_texts) statement.
pub(crate) fn texts<'a>(texts: &[&'a str]) -> Value<'a> {
    Value::Texts(texts.iter().map(|text| Cow::from(*text)).collect())
}

/// Pairs of numbers for the `$1` of a [`with_pairs`](crate::statement::with_pairs) statement, as JSON.
pub(crate) fn pairs(pairs: impl IntoIterator<Item = (i64, i64)>) -> Value<'static> {
    let mut text = String::from("[");
    for (first, second) in pairs {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}[{first},{second}]");
    }
    text.push(']');
    text.into()
}
