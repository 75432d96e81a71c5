//! Time limits: how a hung server, a black-holed network and a frozen peer are detected.
//!
//! They are ordered: an idle peer loses its locks before those who wait for them give up, the server reports a
//! statement that takes too long by itself, and only a server that says nothing meets the limit on this side.

use std::time::Duration;

/// Idle time after which the server ends a transaction and releases its locks: its owner is frozen or without power.
/// Inside a transaction nothing but the store is waited for, so a live owner is never idle for long.
pub(super) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);
/// Time-out of waiting for a lock, shorter than that of a statement.
pub(super) const LOCK: Duration = Duration::from_secs(8);
/// Statement time-out, waiting for locks included.
pub(super) const STATEMENT: Duration = Duration::from_secs(10);
/// Time-out on this side for the answer to any operation.
pub(crate) const OPERATION: Duration = Duration::from_secs(12);

/// Time-out for draining outstanding answers before a connection returns to its pool.
pub(crate) const RELEASE: Duration = Duration::from_secs(5);
/// Time-out for getting a connection from the pool, connecting included.
pub(super) const ACQUIRE: Duration = Duration::from_secs(5);
/// Idle time after which a pooled connection is pinged before it is used.
pub(super) const PING_AFTER: Duration = Duration::from_secs(1);
/// Time-out of that ping.
pub(super) const PING: Duration = Duration::from_secs(2);
/// Silence after which the connection that listens for wake-ups is pinged.
pub(super) const LISTENER_PING_AFTER: Duration = Duration::from_secs(5);
/// Time-out of that ping, and of `LISTEN`.
pub(super) const LISTENER_PING: Duration = Duration::from_secs(5);

/// Session settings with which the server detects a client that is gone and ends what takes too long.
/// `tcp_keepalives_*` are seconds, the others milliseconds.
pub(super) fn session_settings() -> [(&'static str, String); 7] {
    [
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION.as_millis().to_string()),
        ("lock_timeout", LOCK.as_millis().to_string()),
        ("statement_timeout", STATEMENT.as_millis().to_string()),
        // An idle client is probed after 5 s and given up 6 s later.
        ("tcp_keepalives_idle", "5".to_owned()),
        ("tcp_keepalives_interval", "2".to_owned()),
        ("tcp_keepalives_count", "3".to_owned()),
        // A client that does not acknowledge what was sent is given up after 10 s.
        ("tcp_user_timeout", "10000".to_owned()),
    ]
}
