//! What a node held, on disk, so that its program starts while no server answers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::state::{Entry, State};

/// The contents of the file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) app: String,
    pub(crate) profile: String,
    pub(crate) node_id: String,
    /// `None` where the node was never told anything.
    held: Option<Held>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Held {
    revision: i64,
    items: BTreeMap<Arc<str>, Item>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Item {
    value: Arc<str>,
    version: i64,
}

impl Snapshot {
    pub(crate) fn new(app: &str, profile: &str, node_id: &str, state: Option<&State>) -> Self {
        let held = state.map(|state| Held {
            revision: state.revision,
            items: state
                .entries
                .iter()
                .map(|(key, entry)| {
                    (key.clone(), Item { value: entry.value.clone(), version: entry.version })
                })
                .collect(),
        });
        Self { app: app.to_owned(), profile: profile.to_owned(), node_id: node_id.to_owned(), held }
    }

    /// What the node held, if it was ever told anything.
    pub(crate) fn state(self) -> Option<State> {
        let Held { revision, items } = self.held?;
        let entries = items
            .into_iter()
            .map(|(key, item)| (key, Arc::new(Entry::new(item.value, item.version))))
            .collect();
        Some(State { revision, entries })
    }

    /// Reads the file of an app and profile. One that is missing, broken or another's is as if there were none; all but
    /// the first is worth a warning.
    pub(crate) fn load(path: &Path, app: &str, profile: &str) -> Option<Self> {
        let ignored = |why: &str| tracing::warn!(path = %path.display(), "the snapshot is not used: {why}");
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => {
                ignored(&error.to_string());
                return None;
            }
        };
        match serde_json::from_slice::<Self>(&text) {
            Ok(snapshot) if snapshot.app == app && snapshot.profile == profile => Some(snapshot),
            Ok(Self { app, profile, .. }) => {
                ignored(&format!("it belongs to {app}/{profile}"));
                None
            }
            Err(error) => {
                ignored(&error.to_string());
                None
            }
        }
    }

    /// Puts the file in its place as a whole, readable only by its owner: after a crash it is the old or the new one.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = OsString::from(path);
        name.push(".new");
        let new = PathBuf::from(name);
        // Left by a crash, and perhaps with another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
