//! Client node: applies change events to the local state, runs `on_change`, and persists the snapshot.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join3;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use crate::error::error_chain;
use crate::node_api::{ChangeEvent, NodeApi, Outcome};
use crate::snapshot::Snapshot;
use crate::state::{Change, Entries, Entry, State, diff};
use crate::status::Status;

/// Longest message of an outcome in bytes: the server's limit.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Reason for rejecting a value: any error, or a text. Its message and those of its causes are sent to the server.
pub type Rejection = Box<dyn std::error::Error + Send + Sync>;

/// Callback of [`Builder::on_change`](crate::Builder::on_change).
pub(crate) type OnChange = Arc<dyn Fn(&Change) -> Result<(), Rejection> + Send + Sync>;

/// Outcomes by key.
pub(crate) type Outcomes = BTreeMap<Arc<str>, Outcome>;

/// Change that the program did not accept, because the callback returned an error or panicked.
struct Refusal {
    change: Change,
    /// Result in the server's terms: `rejected` for an error, `failed` for a panic.
    result: &'static str,
    message: String,
}

/// Node shared by its background task and the client handles of the program.
pub(crate) struct Node {
    pub(crate) api: NodeApi,
    pub(crate) state: watch::Sender<Arc<State>>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) on_change: Option<OnChange>,
    /// Path of the snapshot file, if one is kept.
    pub(crate) snapshot: Option<PathBuf>,
    /// Upper bound of the first retry delay, and of every retry delay.
    pub(crate) backoff: (Duration, Duration),
    /// Time without a received byte after which a watch counts as dead.
    pub(crate) idle_timeout: Duration,
    /// Outcomes that are not yet acknowledged to the server.
    pub(crate) pending_outcomes: Mutex<Outcomes>,
    /// Wakes the sender of acknowledgements.
    pub(crate) outcomes_changed: Notify,
}

impl Node {
    /// Background task of the client: watches, acknowledges and persists the snapshot until the task is aborted.
    #[tracing::instrument(name = "config_client", skip_all, fields(
        app = self.api.identity.app,
        profile = self.api.identity.profile,
        node = self.api.identity.node_id,
    ))]
    pub(crate) async fn run(self: Arc<Self>) {
        join3(self.watch(), self.send_acknowledgements(), self.persist_snapshots()).await;
    }

    /// Applies a change event. A full state replaces all entries. So does an event of another epoch, the upper half of a
    /// revision: the server's store was restored, or the app created again.
    pub(crate) async fn apply(&self, event: ChangeEvent, is_full_state: bool) {
        let current = self.state.borrow().clone();
        let replace = is_full_state
            || epoch(event.revision) != epoch(current.revision)
            || event.revision < current.revision;
        let mut entries = if replace { Entries::new() } else { current.entries.clone() };
        for key in &event.removed {
            entries.remove(key.as_str());
        }
        let mut outcomes = Outcomes::new();
        for item in event.items {
            let key: Arc<str> = item.key.into();
            // An unchanged entry is reused, and with it its cached parsed value.
            let entry = match current.entries.get(&key) {
                Some(entry) if entry.version == item.version && *entry.value == *item.value => entry.clone(),
                _ => Arc::new(Entry::new(item.value, item.version)),
            };
            let applied = Outcome { version: item.version, result: "applied", message: None };
            outcomes.insert(key.clone(), applied);
            entries.insert(key, entry);
        }
        let changes = diff(&current.entries, &entries);
        for Refusal { change, result, message } in self.run_on_change(changes).await {
            let key = &*change.key;
            let Some(outcome) = outcomes.get_mut(key).filter(|_| change.new.is_some()) else {
                tracing::warn!(
                    key,
                    reason = message,
                    "on_change refused a removal; the key is removed anyway"
                );
                continue;
            };
            let version = outcome.version;
            tracing::warn!(
                key,
                version,
                result,
                reason = message,
                "on_change refused a value; it is not applied"
            );
            (outcome.result, outcome.message) = (result, Some(message));
            match current.entries.get(&change.key) {
                Some(entry) => entries.insert(change.key, entry.clone()),
                None => entries.remove(&change.key),
            };
        }
        self.queue_outcomes(outcomes, |key| entries.contains_key(key));
        self.state.send_replace(Arc::new(State { revision: event.revision, entries }));
        self.outcomes_changed.notify_one();
    }

    /// Calls `on_change` for each change and returns those that it refused. The callback may block, so it runs on a
    /// blocking thread.
    async fn run_on_change(&self, changes: Vec<Change>) -> Vec<Refusal> {
        let Some(on_change) = self.on_change.clone().filter(|_| !changes.is_empty()) else {
            return Vec::new();
        };
        let refusals = spawn_blocking(move || {
            let refusal = |change: Change| {
                let answer = catch_unwind(AssertUnwindSafe(|| on_change(&change)));
                let (result, message) = match answer {
                    Ok(Ok(())) => return None,
                    Ok(Err(rejection)) => ("rejected", error_chain(&*rejection)),
                    Err(panic) => ("failed", panic_message(&*panic).to_owned()),
                };
                Some(Refusal { change, result, message: limit_message(&message) })
            };
            changes.into_iter().filter_map(refusal).collect()
        });
        // Panics are caught above and a running blocking task is never cancelled, so an error here means that the
        // runtime is shutting down.
        refusals.await.unwrap_or_default()
    }

    /// Queues outcomes for acknowledgement. Outcomes of keys that the node no longer has are dropped, unless they are
    /// among the new ones.
    fn queue_outcomes(&self, new: Outcomes, has_key: impl Fn(&str) -> bool) {
        let mut pending = self.pending_outcomes();
        pending.retain(|key, _| has_key(key));
        pending.extend(new);
    }

    pub(crate) fn pending_outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.pending_outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_if_modified(|now| {
            let changed = *now != status;
            *now = status;
            changed
        });
    }

    /// Writes the snapshot after each change of state. Of states that follow each other faster than the disk writes,
    /// only the last is written.
    async fn persist_snapshots(&self) {
        let mut states = self.state.subscribe();
        while states.changed().await.is_ok() {
            let state = states.borrow_and_update().clone();
            self.write_snapshot(Some(state)).await;
        }
    }

    /// Writes the snapshot file, if one is configured. A failure is only logged: the node works without the file, and
    /// only the next start needs a server.
    pub(crate) async fn write_snapshot(&self, state: Option<Arc<State>>) {
        let Some(path) = self.snapshot.clone() else { return };
        let snapshot = Snapshot::new(&self.api.identity, state.as_deref());
        let span = tracing::Span::current();
        let write = move || {
            if let Err(error) = snapshot.save(&path) {
                let error: &dyn std::error::Error = &error;
                span.in_scope(|| tracing::warn!(path = %path.display(), error, "snapshot not written"));
            }
        };
        // An error means that the runtime is shutting down: see `run_on_change`.
        let _ = spawn_blocking(write).await;
    }
}

/// Epoch of a revision: the bits above the lower 32.
fn epoch(revision: i64) -> i64 {
    revision >> 32
}

/// Fits a message into one line of at most [`MAX_MESSAGE_BYTES`].
fn limit_message(message: &str) -> String {
    let line = message.replace(char::is_control, " ");
    line[..line.floor_char_boundary(MAX_MESSAGE_BYTES)].to_owned()
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("on_change panicked")
}
