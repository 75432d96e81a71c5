//! Record of a task's attempt: everything that is needed to finish it, to judge it after a crash, and to put the file back.

use serde::{Deserialize, Serialize};

use crate::file_version::{FileVersion, Side};
use crate::order::{Action, TaskId};
use crate::path::TargetPath;

/// Progress of an attempt.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// The backup is durable; a temporary file may exist.
    Prepared,
    /// The file may have been replaced.
    Swapping,
    /// The outcome is known.
    Done,
}

/// Outcome of a task, decided by what the file is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// The file is the new one.
    Succeeded,
    /// The file is the old one.
    Failed,
    /// The file is neither, or could not be read.
    Conflict,
    /// The file is the old one again.
    Reverted,
    /// The file is still the new one.
    RevertFailed,
    /// Nothing was done; the plan tells what would be.
    Planned,
}

/// Record of one attempt, as the journal keeps it. The last record of an attempt is the one that counts.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskRecord {
    /// Task.
    pub task_id: TaskId,
    /// Attempt of the update.
    pub attempt: u32,
    /// Highest attempt that was seen, that of a later revert included.
    pub fence: u32,
    /// File.
    pub path: TargetPath,
    /// Unix time of the record in seconds.
    pub time: u64,
    /// Action done last: an update or a revert.
    pub action: Action,
    /// Progress of that action.
    pub phase: Phase,
    /// Version that the update found and its backup holds.
    pub old: FileVersion,
    /// Version that the update wrote.
    pub new: FileVersion,
    /// Version that a revert found, where that was not `new`.
    pub overwritten: Option<FileVersion>,
    /// Name of the temporary file in the folder of the file.
    pub temporary: String,
    /// Command that runs after the file was replaced.
    pub reload: Option<String>,
    /// Confirm window in seconds, 0 for none.
    pub confirm_seconds: u32,
    /// Outcome, once it is known.
    pub state: Option<State>,
    /// Whether the update replaced the file, so that there is a backup to put back.
    pub replaced: bool,
    /// Cause of a failure.
    pub message: Option<String>,
}

impl TaskRecord {
    /// Version that the action found.
    pub(crate) fn before(&self) -> &FileVersion {
        match self.action {
            Action::Revert => self.overwritten.as_ref().unwrap_or(&self.new),
            Action::Update | Action::Plan => &self.old,
        }
    }

    /// Version that the action leads to.
    pub(crate) fn after(&self) -> &FileVersion {
        match self.action {
            Action::Revert => &self.old,
            Action::Update | Action::Plan => &self.new,
        }
    }

    pub(crate) fn side(&self, found: &FileVersion) -> Side {
        Side::of(found, self.before(), self.after())
    }

    /// Outcome that a side means.
    pub(crate) fn state_of(&self, side: Side) -> State {
        match (self.action, side) {
            (_, Side::Neither) => State::Conflict,
            (Action::Revert, Side::After) => State::Reverted,
            (Action::Revert, Side::Before) => State::RevertFailed,
            (_, Side::After) => State::Succeeded,
            (_, Side::Before) => State::Failed,
        }
    }

    /// Whether the record is of that attempt.
    pub(crate) fn is_attempt(&self, task: &TaskId, attempt: u32) -> bool {
        self.task_id == *task && self.attempt == attempt
    }

    /// Whether an update may have replaced the file, for good or for a while.
    pub(crate) fn may_have_swapped(&self) -> bool {
        self.phase == Phase::Swapping && self.action == Action::Update
    }

    pub(crate) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }
}

/// Name of the temporary file: hidden, beside the file, and no longer than a name may be.
pub(crate) fn temporary_name(path: &TargetPath, task: &TaskId, attempt: u32) -> String {
    let suffix = format!(".{task}.{attempt}.tmp");
    let mut room = path.name().len().min(254 - suffix.len());
    while !path.name().is_char_boundary(room) {
        room -= 1;
    }
    format!(".{}{suffix}", &path.name()[..room])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_are_never_too_long() {
        let task = TaskId::try_from("a".repeat(64)).unwrap();
        let path = TargetPath::new(format!("/a/{}", "ü".repeat(127))).unwrap();
        let name = temporary_name(&path, &task, u32::MAX);
        assert!(name.len() <= 255 && name.starts_with(".üü"), "{name}");
        let path = TargetPath::new("/a/nginx.conf").unwrap();
        let task = TaskId::try_from("0358".to_owned()).unwrap();
        assert_eq!(temporary_name(&path, &task, 2), ".nginx.conf.0358.2.tmp");
    }
}
