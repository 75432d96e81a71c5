//! How a client stands with its servers.

use std::sync::Arc;

/// How a client stands with its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// It has not heard from a server yet.
    Starting,
    /// Its watch is open: what it holds is what the server wants it to hold, less the values that were rejected.
    Connected,
    /// It goes on with what it holds and tries again, for this reason.
    Disconnected(Arc<str>),
    /// The app key is refused, with these words of the server. It goes on with what it holds and tries again, but
    /// seldom: only somebody with permission on the app can put this right.
    Refused(Arc<str>),
}
