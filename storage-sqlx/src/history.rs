//! Another history: a database that was restored or failed over by other means than the program's own commands.
//!
//! Revisions of a lost history must not be taken for those of the present one, so the epoch is renewed where in doubt. That
//! costs every node one more read of its configuration.

use chrono::{DateTime, Utc};
use pilothouse_core::Epoch;
use pilothouse_core::ports::StorageResult;

use crate::connection::Connection;
use crate::statement::statements;
use crate::store_identity::{RENEW, RENEW_APPS};
use crate::value::values;

statements! {
    EPOCH = "SELECT epoch FROM store_identity";
}

/// Renews the epoch of the store and its apps: greater than the store's and `known`. Answers it.
pub(crate) async fn renew(
    connection: &mut Connection,
    known: Epoch,
    now: DateTime<Utc>,
    reason: &'static str,
) -> StorageResult<Epoch> {
    let present: Epoch = connection.one(EPOCH, values![]).await?;
    let epoch = present.max(known).next(now);
    connection.execute(RENEW, values![epoch, now]).await?;
    connection.execute(RENEW_APPS, values![epoch]).await?;
    tracing::warn!(
        reason,
        epoch = epoch.0,
        "the store may hold another history than was served: its epoch was renewed"
    );
    Ok(epoch)
}
