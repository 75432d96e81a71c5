//! A node: what it holds, and how it takes what it is told.

use std::any::Any;
use std::collections::BTreeMap;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use crate::snapshot::Snapshot;
use crate::state::{Change, Entries, Entry, State, changes};
use crate::status::Status;
use crate::wire::{Event, Outcome, Wire};

/// The most bytes of a message that go to the server.
const MESSAGE: usize = 1024;

/// Why a program does not take a value: any error, or a text. The server is told its words and its sources'.
pub type Rejection = Box<dyn Error + Send + Sync>;

pub(crate) type OnChange = Arc<dyn Fn(&Change) -> Result<(), Rejection> + Send + Sync>;

pub(crate) type Outcomes = BTreeMap<Arc<str>, Outcome>;

/// A node. Its task and the handles of the program share it.
pub(crate) struct Node {
    pub(crate) wire: Wire,
    pub(crate) state: watch::Sender<Arc<State>>,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) on_change: Option<OnChange>,
    pub(crate) snapshot: Option<PathBuf>,
    /// The longest wait before the first and before any further attempt.
    pub(crate) backoff: (Duration, Duration),
    /// After this time without a byte a watch is dead.
    pub(crate) silence: Duration,
    /// What the server was not told yet.
    pub(crate) outcomes: Mutex<Outcomes>,
    pub(crate) outcomes_changed: Notify,
}

impl Node {
    /// Watches, acknowledges and keeps the snapshot until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        tokio::join!(self.watch(), self.acknowledge(), self.keep());
    }

    /// Takes what the server says. `everything` is to replace all that is held; so is an event of an older revision than
    /// the node's: its server was restored from a backup.
    pub(crate) async fn take(&self, event: Event, everything: bool) {
        let held = self.state.borrow().clone();
        let replace = everything || event.revision < held.revision;
        let mut entries = if replace { Entries::new() } else { held.entries.clone() };
        for key in &event.removed {
            entries.remove(key.as_str());
        }
        let mut outcomes = Outcomes::new();
        for item in event.items {
            let key: Arc<str> = item.key.into();
            // A value that is held already keeps what it was parsed to.
            let entry = match held.entries.get(&key) {
                Some(entry) if entry.version == item.version && *entry.value == *item.value => entry.clone(),
                _ => Arc::new(Entry::new(item.value, item.version)),
            };
            let applied = Outcome { version: item.version, result: "applied", message: None };
            outcomes.insert(key.clone(), applied);
            entries.insert(key, entry);
        }
        for (change, refusal) in self.ask(changes(&held.entries, &entries)).await {
            let (result, message) = refusal;
            let Some(outcome) = outcomes.get_mut(&change.key).filter(|_| change.new.is_some()) else {
                tracing::warn!(key = %change.key, "the removal stands, though on_change says: {message}");
                continue;
            };
            tracing::warn!(key = %change.key, version = outcome.version, "the value is {result}: {message}");
            (outcome.result, outcome.message) = (result, Some(message));
            match held.entries.get(&change.key) {
                Some(entry) => entries.insert(change.key, entry.clone()),
                None => entries.remove(&change.key),
            };
        }
        self.note(outcomes, |key| entries.contains_key(key));
        self.state.send_replace(Arc::new(State { revision: event.revision, entries }));
        self.outcomes_changed.notify_one();
    }

    /// Asks the program about changes and answers those it does not take, with result and message. It may block.
    async fn ask(&self, changes: Vec<Change>) -> Vec<(Change, (&'static str, String))> {
        let Some(on_change) = self.on_change.clone().filter(|_| !changes.is_empty()) else {
            return Vec::new();
        };
        let asked = spawn_blocking(move || {
            let refused = |change: Change| {
                let answer = catch_unwind(AssertUnwindSafe(|| on_change(&change)));
                let refusal = match answer {
                    Ok(Ok(())) => return None,
                    Ok(Err(rejection)) => ("rejected", short(&chain(&*rejection))),
                    Err(panic) => ("failed", short(panic_text(&*panic))),
                };
                Some((change, refusal))
            };
            changes.into_iter().filter_map(refused).collect()
        });
        // Panics are caught above, and a task is not cancelled once it runs: only the end of the runtime comes here.
        asked.await.unwrap_or_default()
    }

    /// Remembers what to tell the server; about keys that are neither held nor told of there is nothing to tell.
    fn note(&self, new: Outcomes, held: impl Fn(&str) -> bool) {
        let mut outcomes = self.outcomes();
        outcomes.retain(|key, _| held(key));
        outcomes.extend(new);
    }

    pub(crate) fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_if_modified(|now| {
            let changed = *now != status;
            *now = status;
            changed
        });
    }

    /// Keeps the snapshot current; of states that follow each other faster than a disk writes, the last.
    async fn keep(&self) {
        let mut states = self.state.subscribe();
        while states.changed().await.is_ok() {
            let state = states.borrow_and_update().clone();
            self.save(Some(state)).await;
        }
    }

    /// Writes the snapshot, if there is to be one. A failure costs only the next start without a server.
    pub(crate) async fn save(&self, state: Option<Arc<State>>) {
        let Some(path) = self.snapshot.clone() else { return };
        let identity = &self.wire.identity;
        let (app, profile, node_id) =
            (identity.app.clone(), identity.profile.clone(), identity.node_id.clone());
        let written = spawn_blocking(move || {
            let saved = Snapshot::new(&app, &profile, &node_id, state.as_deref()).save(&path);
            saved.map_err(|error| format!("{}: {error}", path.display()))
        });
        if let Ok(Err(why)) = written.await {
            tracing::warn!("the snapshot was not written: {why}");
        }
    }
}

/// What an error and its sources say.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A message on one line, cut to what the server takes.
fn short(message: &str) -> String {
    let line = message.replace(char::is_control, " ");
    line[..line.floor_char_boundary(MESSAGE)].to_owned()
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("on_change panicked")
}
