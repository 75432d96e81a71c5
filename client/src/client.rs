//! The handle a program holds.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::node::Node;
use crate::state::{Change, changes};
use crate::status::Status;
use crate::{Builder, Error, Result};

/// A node's configuration, kept current by a task in the background. Clones share it; the last one to be dropped ends
/// the task, after which the server sees the node offline when its lease ends.
#[derive(Clone)]
pub struct Client(Arc<Handle>);

struct Handle {
    node: Arc<Node>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Client {
    /// Begins to build a client for an app, with one of its keys. `url` is the server's, with its prefix if it has one;
    /// [`Builder::url`] adds further servers.
    pub fn builder(url: impl Into<String>, app: impl Into<String>, key: impl Into<String>) -> Builder {
        Builder::new(url.into(), app.into(), key.into())
    }

    pub(crate) fn start(node: Arc<Node>) -> Self {
        let task = tokio::spawn(node.clone().run());
        Self(Arc::new(Handle { node, task: Mutex::new(Some(task)) }))
    }

    /// A value as a `T`: text as it is for strings and what is written as one (an address, a bare variant of an enum),
    /// JSON for everything else. `None` where there is no such key, an error where the value is not a `T`.
    ///
    /// Cheap enough for every request: no I/O, no waiting; a value is parsed once in each version, for the type that
    /// asks first.
    pub fn get<T>(&self, key: &str) -> Result<Option<Arc<T>>>
    where
        T: DeserializeOwned + Send + Sync + 'static,
    {
        let entry = self.0.node.state.borrow().entries.get(key).cloned();
        entry.map(|entry| entry.parse(key)).transpose()
    }

    /// A value as it is.
    pub fn get_str(&self, key: &str) -> Option<Arc<str>> {
        self.0.node.state.borrow().entries.get(key).map(|entry| entry.value.clone())
    }

    /// Every key, in order.
    pub fn keys(&self) -> Vec<Arc<str>> {
        self.0.node.state.borrow().entries.keys().cloned().collect()
    }

    /// The app's revision that the node holds; 0 before anything is known.
    pub fn revision(&self) -> i64 {
        self.0.node.state.borrow().revision
    }

    /// The id under which the server knows this node.
    pub fn node_id(&self) -> &str {
        &self.0.node.wire.identity.node_id
    }

    /// How the client stands with its servers.
    pub fn status(&self) -> Status {
        self.0.node.status.borrow().clone()
    }

    /// Each status from now on; what passes while nobody looks is left out. Ends with the client.
    pub fn statuses(&self) -> BoxStream<'static, Status> {
        stream::unfold(self.0.node.status.subscribe(), |mut statuses| async {
            statuses.changed().await.ok()?;
            let status = statuses.borrow_and_update().clone();
            Some((status, statuses))
        })
        .boxed()
    }

    /// The changes from now on. Who reads slowly is not told everything that happened, but what is different from what
    /// it was told last: nothing piles up.
    pub fn changes(&self) -> Changes {
        let mut states = self.0.node.state.subscribe();
        let told = states.borrow_and_update().clone();
        let changes = stream::unfold((states, told), |(mut states, told)| async move {
            states.changed().await.ok()?;
            let state = states.borrow_and_update().clone();
            let changes = changes(&told.entries, &state.entries);
            Some((stream::iter(changes), (states, state)))
        });
        Changes(changes.flatten().boxed())
    }

    /// Ends the client: sends what is still to be acknowledged, and takes the node off the server's list at once. What
    /// it holds can still be read.
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
            node.save(Some(state)).await;
            let _ = node.send_outcomes().await;
        }
        let left = node.wire.leave().await;
        left.map_err(|error| Error::Unreachable(error.text().to_owned()))
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
        let identity = &self.0.node.wire.identity;
        f.debug_struct("Client")
            .field("app", &identity.app)
            .field("profile", &identity.profile)
            .field("node_id", &identity.node_id)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

/// The changes of a client, in the order of their keys where several come together; see [`Client::changes`]. Ends with
/// the client.
pub struct Changes(BoxStream<'static, Change>);

impl Changes {
    /// The next change.
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
