//! Report on an order: the result, which is decided by what the file is, and the cause of a failure.

use serde::Serialize;

use crate::digest::Sha256Hex;
use crate::error::Error;
use crate::file_version::FileVersion;
use crate::task_record::State;

/// Result of an order, as it is printed and sent.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TaskResult {
    /// Outcome.
    pub state: State,
    /// Hash of the content that the update found; `null` where there was no file, or it was not read.
    pub old_sha256: Option<Sha256Hex>,
    /// Hash of the content of the order.
    pub new_sha256: Option<Sha256Hex>,
    /// Whether this run changed the file, for good.
    pub changed: bool,
    /// Preview of the update; only for a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
}

/// Preview of an update.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// `create`, `replace` or `nothing`.
    pub action: &'static str,
    /// File as it is.
    pub from: FileRights,
    /// File as it would be.
    pub to: FileRights,
}

/// Size and rights of a file in a plan; all `null` where there is none.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FileRights {
    /// Length in bytes.
    pub size: Option<u64>,
    /// Mode in octal digits.
    pub mode: Option<String>,
    /// User id.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
}

impl FileRights {
    pub(crate) fn of(version: &FileVersion) -> Self {
        match version {
            FileVersion::Absent => Self { size: None, mode: None, uid: None, gid: None },
            FileVersion::Present { size, metadata, .. } => Self {
                size: Some(*size),
                mode: Some(format!("{:04o}", metadata.mode)),
                uid: Some(metadata.uid),
                gid: Some(metadata.gid),
            },
        }
    }
}

/// Result with what does not belong into it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Result.
    pub result: TaskResult,
    /// Cause of a failure, or a warning beside a success.
    pub message: Option<String>,
}

impl Report {
    /// Report on an order that was given up before anything was touched.
    pub(crate) fn refused(state: State, new_sha256: Option<Sha256Hex>, error: &Error) -> Self {
        let result = TaskResult { state, old_sha256: None, new_sha256, changed: false, plan: None };
        Self { result, message: Some(error.chain()) }
    }

    /// Whether the order was carried out.
    pub fn is_success(&self) -> bool {
        matches!(self.result.state, State::Succeeded | State::Reverted | State::Planned)
    }
}
