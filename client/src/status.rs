//! Connection status of a client.

use std::sync::Arc;

/// Connection status of a client towards its servers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// First connection in progress: no server has answered yet.
    Starting,
    /// Watch open: the local configuration is the one the server assigns to this node, except for rejected values.
    Connected,
    /// Connection lost, for this reason. The client keeps its last configuration and reconnects.
    Disconnected(Arc<str>),
    /// App key refused, with the server's message. The client keeps its last configuration and retries rarely, because
    /// only somebody with permission on the app can repair this.
    Refused(Arc<str>),
}
