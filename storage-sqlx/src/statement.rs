//! SQL statements: one text for both databases, or a pair where the dialects differ, with a name for traces.

use std::fmt::Write as _;

use pilothouse_core::Order;

/// SQL statement with the placeholders `$1`, `$2`, ….
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement {
    /// Path of the constant, as `pilothouse_storage_sqlx::account::token::RESOLVE`.
    pub(crate) name: &'static str,
    /// Text for Postgres, and text for SQLite.
    texts: [&'static str; 2],
}

impl Statement {
    pub(crate) const fn new(name: &'static str, texts: [&'static str; 2]) -> Self {
        Self { name, texts }
    }

    #[cfg(feature = "postgres")]
    pub(crate) const fn postgres(self) -> &'static str {
        self.texts[0]
    }

    #[cfg(feature = "sqlite")]
    pub(crate) const fn sqlite(self) -> &'static str {
        self.texts[1]
    }

    /// Whether it only reads.
    pub(crate) fn is_select(self) -> bool {
        self.texts[1].starts_with("SELECT")
    }
}

/// Defines statements as constants that carry their names. `: pair` marks one with a text for Postgres and one for
/// SQLite.
macro_rules! statements {
    ($($(#[$meta:meta])* $visibility:vis $name:ident $(: $pair:ident)? = $sql:expr;)*) => {$(
        $(#[$meta])*
        $visibility const $name: $crate::statement::Statement = $crate::statement::Statement::new(
            concat!(module_path!(), "::", stringify!($name)),
            $crate::statement::statements!(@texts $($pair)? $sql),
        );
    )*};
    (@texts pair $sql:expr) => { $sql };
    (@texts $sql:expr) => { [$sql, $sql] };
}
pub(crate) use statements;

/// Statements of a list of rows that pass a condition: oldest first, newest first, and their number. Its parameters are the
/// bounds of the ids, those of the condition from `$3` on, and, of a page, the most rows.
#[derive(Debug)]
pub(crate) struct ListStatements {
    oldest: Statement,
    newest: Statement,
    count: Statement,
}

impl ListStatements {
    /// Of the columns `what` of `from`, by `id`, with a condition on `filters` parameters. The texts live as long as the
    /// program, so this is for statics.
    pub(crate) fn new(
        name: &'static str,
        (what, from, id): (&str, &str, &str),
        condition: &str,
        filters: usize,
    ) -> Self {
        let most = filters + 3;
        let rows = format!("FROM {from} WHERE {id} >= $1 AND {id} < $2 AND {condition}");
        let statement = |text: String| {
            let text: &'static str = text.leak();
            Statement::new(name, [text, text])
        };
        Self {
            oldest: statement(format!("SELECT {what} {rows} ORDER BY {id} LIMIT ${most}")),
            newest: statement(format!("SELECT {what} {rows} ORDER BY {id} DESC LIMIT ${most}")),
            count: statement(format!("SELECT COUNT(*) {rows}")),
        }
    }

    /// Statement of a page in this order.
    pub(crate) fn page(&self, order: Order) -> Statement {
        match order {
            Order::Oldest => self.oldest,
            Order::Newest => self.newest,
        }
    }

    /// Statement of the number of rows.
    pub(crate) fn count(&self) -> Statement {
        self.count
    }
}

/// Pair of texts for the rows whose column, the last word of `$before`, is among the [`ids`](crate::value::ids) in
/// `$1`.
macro_rules! of_ids {
    ($before:literal, $after:literal) => {
        [
            concat!($before, " = ANY(CAST($1 AS BIGINT[])) ", $after),
            concat!($before, " IN (SELECT value FROM json_each($1)) ", $after),
        ]
    };
}
pub(crate) use of_ids;

/// Pair of texts for the rows whose text, the last word of `$before`, is among the [`texts`](crate::value::texts) in the
/// parameter `$number`.
macro_rules! among_texts {
    ($before:expr, $number:literal, $after:expr) => {
        [
            concat!($before, " = ANY(CAST(", $number, " AS TEXT[])) ", $after),
            concat!($before, " IN (SELECT value FROM json_each(", $number, ")) ", $after),
        ]
    };
}
pub(crate) use among_texts;

/// Pair of texts with a table `pair (id, number)` of the [`pairs`](crate::value::pairs) in `$1` between `$before` and
/// `$after`.
macro_rules! with_pairs {
    ($before:expr, $after:expr) => {
        [
            concat!(
                $before,
                " (SELECT CAST(one->>0 AS BIGINT) AS id, CAST(one->>1 AS BIGINT) AS number \
                 FROM json_array_elements(CAST($1 AS json)) one) pair ",
                $after
            ),
            concat!(
                $before,
                " (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS number \
                 FROM json_each($1)) pair ",
                $after
            ),
        ]
    };
}
pub(crate) use with_pairs;

/// Condition that a lease is held: it ends, by `$end`, after `$now` and not after the latest end that is believed then.
macro_rules! is_held {
    ($end:literal, $now:literal, $latest:literal) => {
        concat!("(", $end, " > ", $now, " AND ", $end, " <= ", $latest, ")")
    };
}
pub(crate) use is_held;

/// Sum of a column and the value being inserted, clamped to 64 bits: Postgres would refuse an overflow, and SQLite
/// would go on with a floating-point number.
macro_rules! saturating_sum {
    ($table:literal, $column:literal) => {
        concat!(
            "CASE WHEN excluded.",
            $column,
            " > 0 AND ",
            $table,
            ".",
            $column,
            " > 9223372036854775807 - excluded.",
            $column,
            " THEN 9223372036854775807 \
             WHEN excluded.",
            $column,
            " < 0 AND ",
            $table,
            ".",
            $column,
            " < -9223372036854775807 - excluded.",
            $column,
            " THEN -9223372036854775807 \
             ELSE ",
            $table,
            ".",
            $column,
            " + excluded.",
            $column,
            " END"
        )
    };
}
pub(crate) use saturating_sum;

/// Placeholders of rows: `($1, $2), ($3, $4)` for two rows of two values.
pub(crate) fn placeholders(rows: usize, width: usize, numbered: bool) -> String {
    let mut text = String::new();
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..width {
            text.push_str(if column == 0 { "" } else { ", " });
            // Writing to a string does not fail.
            let _ = if numbered { write!(text, "${}", row * width + column + 1) } else { write!(text, "?") };
        }
        text.push(')');
    }
    text
}
