//! Snapshot file: the last known configuration on disk, from which a program starts while no server answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node_api::Identity;
use crate::state::{Entry, State};

/// Contents of the snapshot file, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) app: String,
    pub(crate) profile: String,
    pub(crate) node_id: String,
    /// Last known state; `None` before the first event.
    #[serde(rename = "held")]
    state: Option<SavedState>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedState {
    revision: i64,
    items: BTreeMap<Arc<str>, SavedItem>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedItem {
    value: Arc<str>,
    version: i64,
}

impl Snapshot {
    /// Captures a node's identity and state.
    pub(crate) fn new(identity: &Identity, state: Option<&State>) -> Self {
        let saved = |entry: &Entry| SavedItem { value: entry.value.clone(), version: entry.version };
        let state = state.map(|state| SavedState {
            revision: state.revision,
            items: state.entries.iter().map(|(key, entry)| (key.clone(), saved(entry))).collect(),
        });
        let Identity { app, profile, node_id, .. } = identity.clone();
        Self { app, profile, node_id, state }
    }

    /// Restores the state, if the node had received one.
    pub(crate) fn state(self) -> Option<State> {
        let SavedState { revision, items } = self.state?;
        let entries = items
            .into_iter()
            .map(|(key, item)| (key, Arc::new(Entry::new(item.value, item.version))))
            .collect();
        Some(State { revision, entries })
    }

    /// Reads the snapshot of an app and profile. A file that is missing, corrupt or of another app or profile is
    /// ignored; all but a missing one are logged as a warning.
    pub(crate) fn load(path: &Path, app: &str, profile: &str) -> Option<Self> {
        let ignored = |error: &(dyn std::error::Error + 'static)| {
            tracing::warn!(path = %path.display(), error, "snapshot ignored: it cannot be read");
        };
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                ignored(&error);
                return None;
            }
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(snapshot) if snapshot.app == app && snapshot.profile == profile => Some(snapshot),
            Ok(Self { app, profile, .. }) => {
                let path = path.display();
                tracing::warn!(%path, app, profile, "snapshot ignored: it is of another app or profile");
                None
            }
            Err(error) => {
                ignored(&error);
                None
            }
        }
    }

    /// Replaces the file atomically, readable only by its owner: after a crash it is either the old or the new one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = OsString::from(path);
        name.push(".new");
        let new = PathBuf::from(name);
        // A crash may have left one behind, possibly with another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        // The rename is durable only after a sync of the folder.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
