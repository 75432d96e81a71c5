//! The schema: one folder of migrations per database, with the same file names in both.

use pilothouse_core::ports::{StorageError, StorageResult};

use crate::connection::Connection;
use crate::row::{FromRow, Row};
use crate::statement::{Statement, statements};
use crate::value::values;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
struct Migration {
    script: Statement,
    /// Version of the schema from which on a server can serve after this step. Its own number for a step that servers
    /// without it cannot serve after; an earlier one where it only adds what they do not look at.
    serves: i64,
}

impl Migration {
    const fn name(self) -> &'static str {
        self.script.name
    }
}

/// Version of the schema after a migration: the number that its name begins with.
const fn version(name: &str) -> i64 {
    let digits = name.as_bytes();
    let (mut version, mut at) = (0, 0);
    while at < digits.len() && digits[at].is_ascii_digit() {
        version = version * 10 + (digits[at] - b'0') as i64;
        at += 1;
    }
    version
}

/// `"NAME"` is a migration that earlier servers cannot serve after, `"NAME" serves N` one after which servers of the
/// version N can.
macro_rules! migrations {
    ($($name:literal $(serves $serves:literal)?),* $(,)?) => {
        &[$(Migration {
            script: Statement::new($name, [
                include_str!(concat!("../migrations/postgres/", $name, ".sql")),
                include_str!(concat!("../migrations/sqlite/", $name, ".sql")),
            ]),
            serves: migrations!(@serves $name $($serves)?),
        }),*]
    };
    (@serves $name:literal) => { version($name) };
    (@serves $name:literal $serves:literal) => { $serves };
}

/// Migrations in the order they are applied. An applied file is never edited.
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
    "0012_write_probe",
    "0013_store_identity",
    "0014_pruning",
    "0015_log_skip",
    "0016_job_claim",
    "0017_cdn_alias" serves 16,
    "0018_company_owner" serves 16,
    "0019_webhook" serves 16,
    "0020_lists" serves 16,
    "0021_api_tokens",
    // A server without it would delete the packs that hold kept-aside lines, and register hosts without counting them.
    "0022_unregistered",
    "0023_job_lists" serves 22,
    // A server without it would take reports of a task that an agent holds.
    "0024_update",
    "0025_change_sets" serves 24,
    // A server without it would tear releases of several items apart.
    "0026_release_sets",
    // A server without it would take a grant on one profile for one on the whole app.
    "0027_profile_grants",
    // A server without it would take from clients what other apps share with them.
    "0028_shared_namespaces",
    // A server without it would refuse clients that sign with a key that was brought along.
    "0029_brought_keys",
    "0030_thresholds" serves 29,
    // A server without it would take a log back and leave its URLs.
    "0031_top_urls",
    "0032_batches" serves 31,
    // A server without it would refuse an agent that has renewed its token.
    "0033_agent_tokens",
    // A server without it would work jobs of vendors as those of own edges, and read states of cells that it does not know.
    "0034_vendor_batches",
    "0035_vendor_figures" serves 34,
    "0036_vendor_spending" serves 34,
    // A server without it would make releases that others do not find.
    "0037_release_places",
    // A server without it would write a delivery record for each part of a release.
    "0038_delivery_counts",
    // A server without it could not read the days that are sealed with bytes of hits.
    "0044_hit_flux",
    "0045_edge_log" serves 44,
    // A server without it takes a merged row for one of a log that does not exist, and does nothing wrong with it.
    "0046_unregistered_merge" serves 44,
    // A server without it would add tasks with blobs that another one removes.
    "0047_blob_removals",
    "0048_order_due" serves 47,
    "0049_vendor_logs" serves 47,
    "0050_cdn_services" serves 47,
    "0051_delivery_rows" serves 47,
    // A server without it would drop lines of listed hosts.
    "0053_listed_hosts",
    // A server without it would release domains without a record of until when they were held.
    "0054_domain_tenure",
    "0055_job_request" serves 54,
    "0056_tenure_end" serves 54,
];

/// Version of the schema that this server is made for.
pub(crate) const VERSION: i64 = version(MIGRATIONS[MIGRATIONS.len() - 1].name());

statements! {
    /// Postgres only: migrating large tables takes longer than any other statement may, and so does waiting for it.
    UNLIMITED = "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0";
    /// Postgres only: excludes other migrators until the end of the transaction. SQLite has one writer.
    LOCK = "SELECT pg_advisory_xact_lock(5784109367)";
    /// Postgres only.
    HAS_SCHEMA = "SELECT to_regnamespace('pilothouse') IS NOT NULL";
    /// Postgres only. Requires the right to create schemas, even `IF NOT EXISTS`, so it is left out where the schema
    /// exists.
    CREATE_SCHEMA = "CREATE SCHEMA pilothouse";
    /// `pilothouse_schema` holds for each migration the oldest version of servers that can serve after it.
    BOOKKEEPING = "CREATE TABLE IF NOT EXISTS pilothouse_migration \
             (name TEXT PRIMARY KEY, text TEXT NOT NULL, applied BIGINT NOT NULL); \
         CREATE TABLE IF NOT EXISTS pilothouse_schema (name TEXT PRIMARY KEY, serves BIGINT NOT NULL)";
    APPLIED = "SELECT name, text, serves FROM pilothouse_migration LEFT JOIN pilothouse_schema USING (name) \
         ORDER BY name";
    RECORD = "INSERT INTO pilothouse_migration (name, text, applied) VALUES ($1, $2, $3)";
    RECORD_SERVES = "INSERT INTO pilothouse_schema (name, serves) VALUES ($1, $2)";
}

/// Applies the missing migrations and returns their names. Runs in one write transaction that excludes other migrators.
pub(crate) async fn migrate(connection: &mut Connection, now: i64) -> StorageResult<Vec<&'static str>> {
    if connection.has_concurrent_writers() {
        connection.without_limit();
        connection.script(UNLIMITED).await?;
        connection.script(LOCK).await?;
        if !connection.one::<bool>(HAS_SCHEMA, values![]).await? {
            connection.script(CREATE_SCHEMA).await?;
        }
    }
    connection.script(BOOKKEEPING).await?;
    let applied = applied(connection).await?;
    let mut done = Vec::new();
    for migration in MIGRATIONS.get(applied..).unwrap_or_default() {
        let (name, text) = (migration.name(), connection.text(migration.script)?);
        connection.script(migration.script).await?;
        connection.execute(RECORD, values![name, text, now]).await?;
        connection.execute(RECORD_SERVES, values![name, migration.serves]).await?;
        done.push(name);
    }
    Ok(done)
}

/// Refuses a schema that this version cannot serve: one that lacks a migration, or has one that this version does not
/// know and that changes what it relies on.
pub(crate) async fn check(connection: &mut Connection) -> StorageResult<()> {
    if applied(connection).await? >= MIGRATIONS.len() {
        return Ok(());
    }
    Err(StorageError::backend("the database's schema is older than this version: migrate it first"))
}

/// Refuses migrations that this version does not know or that were edited; some may be missing.
#[cfg(feature = "sqlite")]
pub(crate) async fn check_known(connection: &mut Connection) -> StorageResult<()> {
    applied(connection).await.map(|_| ())
}

/// Migration that a database has.
struct Applied {
    name: String,
    text: String,
    serves: Option<i64>,
}

impl FromRow for Applied {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { name: row.get("name")?, text: row.get("text")?, serves: row.optional("serves")? })
    }
}

/// Counts the applied migrations; refuses edited ones, and later ones after which this version cannot serve.
async fn applied(connection: &mut Connection) -> StorageResult<usize> {
    let applied: Vec<Applied> = connection.all(APPLIED, values![]).await?;
    for (n, Applied { name, text, serves }) in applied.iter().enumerate() {
        let Some(migration) = MIGRATIONS.get(n) else {
            if serves.is_some_and(|oldest| oldest <= VERSION) {
                continue;
            }
            let oldest = serves.unwrap_or(version(name));
            return Err(StorageError::backend(format!(
                "the database's schema is newer than this version: after the migration {name} a server of schema \
                 {oldest} or later can serve, and this one is of schema {VERSION}"
            )));
        };
        if migration.name() != name {
            return Err(StorageError::backend(format!(
                "the database has the migration {name}, which this version does not know"
            )));
        }
        if text != connection.text(migration.script)? {
            return Err(StorageError::backend(format!("the migration {name} was applied with another text")));
        }
    }
    Ok(applied.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_and_none_serves_a_later_one() {
        let versions: Vec<_> = MIGRATIONS.iter().map(|migration| version(migration.name())).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
        assert!(
            MIGRATIONS
                .iter()
                .zip(versions)
                .all(|(migration, version)| (1..=version).contains(&migration.serves))
        );
    }
}
