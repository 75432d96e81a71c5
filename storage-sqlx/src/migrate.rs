//! The schema: one folder of migrations per database, with the same file names in both.

use pilothouse_core::ports::{StorageError, StorageResult};

use crate::database::Connection;
use crate::value::values;

/// A migration: its name, and its text for Postgres and for SQLite.
struct Migration {
    name: &'static str,
    postgres: &'static str,
    sqlite: &'static str,
}

macro_rules! migrations {
    ($($name:literal),* $(,)?) => {
        &[$(Migration {
            name: $name,
            postgres: include_str!(concat!("../migrations/postgres/", $name, ".sql")),
            sqlite: include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
        }),*]
    };
}

/// In the order they are applied. An applied file is never edited.
const MIGRATIONS: &[Migration] = migrations![
    "0001_account",
    "0002_ops",
    "0003_config",
    "0004_cdn",
    "0005_traffic",
    "0006_job",
    "0007_delivery",
    "0008_edges",
    "0009_logs",
    "0010_drift",
    "0011_ended_jobs",
];

const BOOKKEEPING: &str = "CREATE TABLE IF NOT EXISTS pilothouse_migration (name TEXT PRIMARY KEY, text TEXT NOT NULL, applied BIGINT NOT NULL)";
const APPLIED: &str = "SELECT name, text FROM pilothouse_migration ORDER BY name";
const RECORD: &str = "INSERT INTO pilothouse_migration (name, text, applied) VALUES ($1, $2, $3)";

/// Applies what is missing and names it. Runs in one write transaction that excludes other migrators.
pub(crate) async fn migrate(connection: &mut Connection, now: i64) -> StorageResult<Vec<&'static str>> {
    connection.script(BOOKKEEPING).await?;
    let applied = applied(connection).await?;
    let mut done = Vec::new();
    for migration in &MIGRATIONS[applied..] {
        let text = connection.pick(migration.postgres, migration.sqlite);
        connection.script(text).await?;
        connection.execute(RECORD, values![migration.name, text, now]).await?;
        done.push(migration.name);
    }
    Ok(done)
}

/// Refuses a schema that is not exactly this version's.
pub(crate) async fn check(connection: &mut Connection) -> StorageResult<()> {
    if applied(connection).await? == MIGRATIONS.len() {
        return Ok(());
    }
    Err(StorageError::backend("the database's schema is older than this version: migrate it first"))
}

/// How many migrations are applied; refuses those that this version does not know, and edited ones.
async fn applied(connection: &mut Connection) -> StorageResult<usize> {
    let applied: Vec<(String, String)> = connection.all(APPLIED, values![]).await?;
    for (n, (name, text)) in applied.iter().enumerate() {
        let known = MIGRATIONS.get(n).filter(|migration| migration.name == name);
        let Some(migration) = known else {
            return Err(StorageError::backend(format!(
                "the database has the migration {name}, which this version does not know"
            )));
        };
        if text != connection.pick(migration.postgres, migration.sqlite) {
            return Err(StorageError::backend(format!("the migration {name} was applied with another text")));
        }
    }
    Ok(applied.len())
}
