//! Row decoding: columns by name into the domain's types, for both databases alike.

use std::net::IpAddr;

use chrono::{DateTime, NaiveDate, Utc};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::{ColumnIndex, Row as _};

use crate::error::backend;

/// Row of either database.
pub(crate) enum Row {
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgRow),
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::sqlite::SqliteRow),
}

/// Evaluates an expression for either database; `$row` is the driver's row.
macro_rules! on_row {
    ($this:expr, $row:ident => $body:expr) => {
        match $this {
            #[cfg(feature = "postgres")]
            Row::Postgres($row) => $body,
            #[cfg(feature = "sqlite")]
            Row::Sqlite($row) => $body,
        }
    };
}

impl Row {
    /// Decodes a column that is never null.
    pub(crate) fn get<T: Column>(&self, name: &'static str) -> StorageResult<T> {
        self.optional(name)?.ok_or(StorageError::Corrupt { what: name })
    }

    /// Decodes a column that may be null.
    pub(crate) fn optional<T: Column>(&self, name: &'static str) -> StorageResult<Option<T>> {
        let position = on_row!(self, row => ColumnIndex::index(&name, row)).map_err(backend)?;
        T::decode(&Cell { row: self, position, name })
    }

    /// Decodes a column by its position, for tuples and single values.
    fn at<T: Column>(&self, position: usize) -> StorageResult<T> {
        let name = "column";
        T::decode(&Cell { row: self, position, name })?.ok_or(StorageError::Corrupt { what: name })
    }
}

/// Column of a row.
pub(crate) struct Cell<'r> {
    row: &'r Row,
    position: usize,
    /// Name that an error gives.
    name: &'static str,
}

/// Type of a column.
pub(crate) trait Column: Sized {
    /// Decodes the column; `None` for null.
    fn decode(cell: &Cell<'_>) -> StorageResult<Option<Self>>;
}

/// Implements [`Column`] for types that both drivers decode.
macro_rules! decoded {
    ($($type:ty),*) => {$(
        impl Column for $type {
            fn decode(cell: &Cell<'_>) -> StorageResult<Option<Self>> {
                on_row!(cell.row, row => row.try_get(cell.position)).map_err(backend)
            }
        }
    )*};
}

decoded!(i64, bool, String, Vec<u8>);

/// Implements [`Column`] for types converted from a decoded one; a conversion returns `None` for an invalid value.
macro_rules! converted {
    ($([$($generics:tt)*] $type:ty: $stored:ty => $convert:expr;)*) => {$(
        impl<$($generics)*> Column for $type {
            fn decode(cell: &Cell<'_>) -> StorageResult<Option<Self>> {
                let Some(stored) = <$stored>::decode(cell)? else { return Ok(None) };
                $convert(stored).map(Some).ok_or(StorageError::Corrupt { what: cell.name })
            }
        }
    )*};
}

converted! {
    [] DateTime<Utc>: i64 => DateTime::from_timestamp_micros;
    [] NaiveDate: i64 => |days: i64| i32::try_from(days).ok().and_then(NaiveDate::from_epoch_days);
    [] IpAddr: String => |text: String| text.parse().ok();
    [const N: usize] [u8; N]: Vec<u8> => |bytes: Vec<u8>| bytes.try_into().ok();
}

/// Type of a whole row.
pub(crate) trait FromRow: Sized {
    fn from_row(row: &Row) -> StorageResult<Self>;
}

/// Row of one column.
impl<T: Column> FromRow for T {
    fn from_row(row: &Row) -> StorageResult<Self> {
        row.at(0)
    }
}

/// Row of one column that may be null, as of an aggregate over no rows.
impl<T: Column> FromRow for Option<T> {
    fn from_row(row: &Row) -> StorageResult<Self> {
        T::decode(&Cell { row, position: 0, name: "column" })
    }
}

impl<A: Column, B: Column> FromRow for (A, B) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok((row.at(0)?, row.at(1)?))
    }
}

impl<A: Column, B: Column, C: Column> FromRow for (A, B, C) {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok((row.at(0)?, row.at(1)?, row.at(2)?))
    }
}
