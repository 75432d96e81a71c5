//! Leases of own edges: sessions, grants and renewals.

use std::fmt::Debug;

use async_trait::async_trait;

use super::ProviderError;

/// Answer of an edge to [`EdgeControl::begin_session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionStart {
    /// The session began, and every purge that the edge confirmed before is still in effect.
    Resumed,
    /// The session began, but the edge lost its state: it may still serve objects whose purge it had confirmed.
    Fresh,
    /// The session was refused: the edge is in one of this number and accepts only a greater one.
    Deferred(i64),
}

/// Lease control of edges: such an edge serves from its cache only while it holds a lease.
///
/// It has at most one session, whose number only grows. Within it, it is granted a lease, and the lease is renewed; one
/// that ended is never renewed, since the edge may have missed purges: then a new session begins.
#[async_trait]
pub trait EdgeControl: Debug + Send + Sync + 'static {
    /// Begins a session. `epoch` is the number under which the edge was put in service; it does not use objects that it
    /// cached under another.
    async fn begin_session(
        &self,
        edge: &str,
        session: i64,
        epoch: i64,
    ) -> Result<SessionStart, ProviderError>;

    /// Grants a session's lease; false if the edge is not in this session.
    async fn grant(&self, edge: &str, session: i64) -> Result<bool, ProviderError>;

    /// Renews the lease; false if the edge is not in this session, or the lease has ended.
    async fn renew(&self, edge: &str, session: i64) -> Result<bool, ProviderError>;
}
