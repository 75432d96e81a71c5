//! What goes into a statement and what comes out of a row, for both databases alike.

use std::borrow::Cow;
use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, Utc};
use pilothouse_core::ports::{StorageError, StorageResult};

/// A bound value. Each variant has one type in both databases, also when it is null.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
    Bytes(Option<Cow<'a, [u8]>>),
    Bool(bool),
}

/// The values of a statement, in the order of its placeholders.
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

/// Which null stands for an absent `T`.
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

/// A column of microseconds.
pub(crate) fn time(micros: i64) -> StorageResult<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or(StorageError::Corrupt { what: "time" })
}

/// A column of days since 1970.
pub(crate) fn date(days: i64) -> StorageResult<NaiveDate> {
    let date = i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days);
    date.ok_or(StorageError::Corrupt { what: "date" })
}

/// A column with an address.
pub(crate) fn address(text: &str) -> StorageResult<IpAddr> {
    text.parse().map_err(|_| StorageError::Corrupt { what: "address" })
}

/// A column of bytes with one length.
pub(crate) fn array<const N: usize>(bytes: &[u8], what: &'static str) -> StorageResult<[u8; N]> {
    bytes.try_into().map_err(|_| StorageError::Corrupt { what })
}
