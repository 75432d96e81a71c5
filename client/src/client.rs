//! Client handle: reads the configuration, follows its changes and deregisters the node.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::node::Node;
use crate::state::{Change, diff};
use crate::status::Status;
use crate::{Error, Result};

/// Configuration of one node, kept current by a background task. Clones share it. Dropping the last clone ends the task;
/// the server then shows the node as offline when its lease expires.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

/// Shared inner state of the clones of a client.
struct Handle {
    node: Arc<Node>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    pub(crate) fn start(node: Arc<Node>) -> Self {
        let task = tokio::spawn(node.clone().run());
        Self(Arc::new(Handle { node, task: Mutex::new(Some(task)) }))
    }

    /// Returns a value parsed as a `T`: verbatim for strings and types that deserialize from a string (an address, a bare
    /// enum variant), as JSON for every other type. `None` for an unknown key, [`Error::Value`] for a value that is not a
    /// `T`.
    ///
    /// Cheap enough to call per request: it does no I/O and does not wait. The parsed value is cached for each version,
    /// for the type that is requested first.
    pub fn get<T>(&self, key: &str) -> Result<Option<Arc<T>>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let entry = self.0.node.state.borrow().entries.get(key).cloned();
        entry.map(|entry| entry.parse(key)).transpose()
    }

    /// Returns the text of a value; `None` for an unknown key.
    pub fn get_str(&self, key: &str) -> Option<Arc<str>> {
        self.0.node.state.borrow().entries.get(key).map(|entry| entry.value.clone())
    }

    /// Lists all keys, in order.
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.0.node.state.borrow().entries.keys().cloned().collect()
    }

    /// Revision of the app that the configuration belongs to; 0 before the first publication.
    pub fn revision(&self) -> i64 {
        self.0.node.state.borrow().revision
    }

    /// Node id that the client registers with.
    pub fn node_id(&self) -> &str {
        &self.0.node.api.identity.node_id
    }

    /// Connection status at this moment; [`Client::statuses`] streams its changes.
    pub fn status(&self) -> Status {
        self.0.node.status.borrow().clone()
    }

    /// Stream of the connection status after each change, from now on. A slow reader gets only the latest status. Ends
    /// with the client.
    pub fn statuses(&self) -> BoxStream<'static, Status> {
        stream::unfold(self.0.node.status.subscribe(), |mut statuses| async {
            statuses.changed().await.ok()?;
            let status = statuses.borrow_and_update().clone();
            Some((status, statuses))
        })
        .boxed()
    }

    /// Stream of configuration changes from now on. Changes are not queued: a slow reader gets the difference between the
    /// state it has seen last and the current one.
    pub fn changes(&self) -> Changes {
        let mut states = self.0.node.state.subscribe();
        let last_seen = states.borrow_and_update().clone();
        let changes = stream::unfold((states, last_seen), |(mut states, last_seen)| async move {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            let changes = diff(&last_seen.entries, &state.entries);
            Some((stream::iter(changes), (states, state)))
        });
        Changes(changes.flatten().boxed())
    }

    /// Stops the client and deregisters the node: sends the pending acknowledgements, and removes the node from the
    /// server's list at once. The configuration can still be read.
    pub async fn leave(&self) -> Result<()> {
        let task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return Ok(()) };
        task.abort();
        let _ = task.await;
        let node = &self.0.node;
        let connected = *node.status.borrow() == Status::Connected;
        node.set_status(Status::Disconnected("left".into()));
        if connected {
            let state = node.state.borrow().clone();
            node.write_snapshot(Some(state)).await;
            let _ = node.send_pending_outcomes().await;
        }
        let left = node.api.leave().await;
        left.map_err(|error| Error::Unreachable(error.message().to_owned()))
    }

    pub(crate) fn node(&self) -> &Node {
        &self.0.node
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = &self.0.node.api.identity;
        f.debug_struct("Client")
            .field("app", &identity.app)
            .field("profile", &identity.profile)
            .field("node_id", &identity.node_id)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// Stream of a client's changes, from [`Client::changes`]. Changes that arrive together are in key order. Ends with the
/// client.
pub struct Changes(BoxStream<'static, Change>);

impl Changes {
    /// Waits for the next change; `None` after the end of the client.
    pub async fn next(&mut self) -> Option<Change> {
        self.0.next().await
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.poll_next_unpin(context)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Changes")
    }
}
