//! Agent of a machine: the locked state folder with its journal and its contents.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::blob_store::BlobStore;
use crate::command_runner;
use crate::error::{Error, Refusal, Result};
use crate::file_version::FileVersion;
use crate::finish::Course;
use crate::journal::{Journal, Records};
use crate::order::{Action, Order};
use crate::parent_folder::ParentFolder;
use crate::path::TargetPath;
use crate::progress::{Alone, Progress};
use crate::report::Report;
use crate::settings::Settings;
use crate::state_folder::StateFolder;
use crate::task_record::TaskRecord;

/// Agent that may write. One at a time works on a state folder.
#[derive(Debug)]
pub struct Agent {
    pub(crate) settings: Settings,
    pub(crate) blobs: BlobStore,
    pub(crate) journal: Journal,
    pub(crate) progress: Arc<dyn Progress>,
    recovered: Vec<Recovered>,
    state: StateFolder,
}

/// Attempt that an earlier run left unfinished, with what became of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// Record as the earlier run left it.
    pub record: TaskRecord,
    /// Outcome.
    pub report: Report,
}

impl Agent {
    /// Locks the state folder, creating it where it is missing, and resolves what an earlier run left unfinished: by the
    /// hash of the file it is finished, was never begun, or is a conflict. An attempt killed within its confirm window
    /// gets the old file back.
    pub fn open(settings: Settings) -> Result<Self> {
        let state = StateFolder::lock(&settings.state_dir)?;
        let blobs = BlobStore::new(state.path());
        let journal = Journal::open(state.path())?;
        blobs.remove_leftovers()?;
        let progress = Arc::new(Alone);
        let mut agent = Self { settings, blobs, journal, progress, recovered: Vec::new(), state };
        for record in agent.journal.unfinished() {
            let report = agent.finish(record.clone(), Course::Recovered, None);
            agent.recovered.push(Recovered { record, report });
        }
        Ok(agent)
    }

    /// Interrupted attempts that [`Agent::open`] resolved.
    pub fn recovered(&self) -> &[Recovered] {
        &self.recovered
    }

    /// Records of the journal.
    pub fn records(&self) -> &Records {
        self.journal.records()
    }

    /// State folder.
    pub fn state_dir(&self) -> &std::path::Path {
        self.state.path()
    }

    /// Carries out an order. Never fails as a whole: whatever went wrong, the report says what the file is.
    pub fn apply(&mut self, order: &Order) -> Report {
        match order.action {
            Action::Update => self.update(order),
            Action::Plan => self.plan(order),
            Action::Revert => self.revert_by_order(order),
        }
    }

    /// Carries out an order and tells `progress` of every step, which may stop it before the file is replaced.
    pub fn apply_with(&mut self, order: &Order, progress: Arc<dyn Progress>) -> Report {
        self.progress = progress;
        let report = self.apply(order);
        self.progress = Arc::new(Alone);
        report
    }

    pub(crate) fn open_parent(&self, path: &TargetPath) -> Result<ParentFolder> {
        ParentFolder::open(&self.settings.policy.allowed(path)?)
    }

    /// Version of the file at a path, whose folder is opened anew. A folder that is gone holds no file.
    pub(crate) fn look(&self, path: &TargetPath) -> Result<FileVersion> {
        match self.open_parent(path) {
            Ok(parent) => Ok(parent.find()?.version),
            Err(Error::Refused(Refusal::NoFolder(_))) => Ok(FileVersion::Absent),
            Err(error) => Err(error),
        }
    }

    /// Runs a command of the settings; the error says what it did.
    pub(crate) fn run_command(&self, name: &str, staged: Option<&str>) -> std::result::Result<(), String> {
        match self.settings.commands.get(name) {
            Some(command) => command_runner::run(name, command, staged),
            None => Err(format!("{name} is not declared in the settings")),
        }
    }
}

/// Unix time in seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
