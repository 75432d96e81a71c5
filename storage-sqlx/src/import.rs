//! Numbering of tables whose rows keep their ids when they are imported.

use async_trait::async_trait;
use pilothouse_core::import::{RowIdRepository, RowKind};
use pilothouse_core::ports::StorageResult;

use crate::statement::{Statement, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    SET_LAST = "UPDATE sqlite_sequence SET seq = $2 WHERE name = $1";
    INSERT_LAST = "INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)";
}

/// Declares the tables. A restart of a sequence is rolled back with its transaction, together with what was taken from it
/// since; `setval` and `nextval` alone are not.
macro_rules! tables {
    ($($kind:ident => $table:literal,)*) => {
        fn table(kind: RowKind) -> &'static str {
            match kind {
                $(RowKind::$kind => $table,)*
            }
        }

        fn last(kind: RowKind) -> Statement {
            let texts = match kind {
                $(RowKind::$kind => [
                    concat!(
                        "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM ",
                        $table,
                        "_id_seq"
                    ),
                    concat!("SELECT COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '", $table, "'), 0)"),
                ],)*
            };
            Statement::new(concat!(module_path!(), "::LAST"), texts)
        }

        fn restart(kind: RowKind) -> Statement {
            let text = match kind {
                $(RowKind::$kind => concat!("ALTER SEQUENCE ", $table, "_id_seq RESTART WITH"),)*
            };
            Statement::new(concat!(module_path!(), "::RESTART"), [text, ""])
        }
    };
}

tables! {
    Accounts => "account",
    Companies => "company",
    Cdns => "cdn",
    Apps => "app",
    Grants => "app_grant",
    Items => "config_item",
    Machines => "machine",
}

#[async_trait]
impl RowIdRepository for Transaction {
    async fn last_id(&mut self, kind: RowKind) -> StorageResult<i64> {
        self.connection.one(last(kind), values![]).await
    }

    async fn raise_last_id(&mut self, kind: RowKind, last: i64) -> StorageResult<()> {
        if self.connection.has_concurrent_writers() {
            return self.connection.execute_with_number(restart(kind), last + 1).await;
        }
        if self.connection.execute(SET_LAST, values![table(kind), last]).await? == 0 {
            self.connection.execute(INSERT_LAST, values![table(kind), last]).await?;
        }
        Ok(())
    }
}
