//! Origin of a Postgres database: tells it from a copy, a restored dump and a promoted standby.

use chrono::{DateTime, Utc};
use pilothouse_core::Epoch;
use pilothouse_core::ports::{LockKey, StorageResult};

use crate::connection::Connection;
use crate::history::renew;
use crate::statement::statements;
use crate::transaction::{LOCK, NOW, lock_number};
use crate::value::values;

statements! {
    MIGRATED = "SELECT to_regclass('store_identity') IS NOT NULL";
    IN_RECOVERY = "SELECT pg_is_in_recovery()";
    MAY_LOOK = "SELECT has_function_privilege('pg_control_system()', 'EXECUTE') \
         AND has_function_privilege('pg_current_wal_lsn()', 'EXECUTE') \
         AND has_function_privilege('pg_walfile_name(pg_lsn)', 'EXECUTE')";
    /// A copy of the cluster has another system identifier or, once it was promoted, another timeline: the first digits of
    /// a file of its log, which are right before the first checkpoint. A restored dump has other oids.
    ORIGIN = "SELECT concat_ws('/', (SELECT system_identifier FROM pg_control_system()), \
         substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), \
         (SELECT oid FROM pg_database WHERE datname = current_database()), to_regclass('store_identity')::oid)";
    /// The same for a role that may see no more.
    OIDS = "SELECT concat_ws('/', (SELECT oid FROM pg_database WHERE datname = current_database()), \
         to_regclass('store_identity')::oid)";
    KNOWN = "SELECT origin FROM store_identity";
    SET_ORIGIN = "UPDATE store_identity SET origin = $1";
}

/// Compares the database with the origin that the store was last used on, in a write transaction, and renews the epoch
/// where it is another; whether it did.
pub(crate) async fn verify_origin(connection: &mut Connection) -> StorageResult<bool> {
    if !connection.one::<bool>(MIGRATED, values![]).await? || connection.one(IN_RECOVERY, values![]).await? {
        return Ok(false);
    }
    let may_look = connection.one(MAY_LOOK, values![]).await?;
    let origin: String = connection.one(if may_look { ORIGIN } else { OIDS }, values![]).await?;
    if connection.one::<Option<String>>(KNOWN, values![]).await?.as_deref() == Some(&*origin) {
        return Ok(false);
    }
    // No app is created or deleted meanwhile, and of several servers that find it out one renews.
    connection.execute(LOCK, values![lock_number(LockKey::Accounts)]).await?;
    let known: Option<String> = connection.one(KNOWN, values![]).await?;
    if known.as_deref() == Some(&*origin) {
        return Ok(false);
    }
    connection.execute(SET_ORIGIN, values![&*origin]).await?;
    if known.is_none() {
        return Ok(false);
    }
    let now: DateTime<Utc> = connection.one(NOW, values![]).await?;
    renew(connection, Epoch(0), now, "the database was restored, copied or failed over").await?;
    Ok(true)
}
