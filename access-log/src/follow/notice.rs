//! Notices: what the operator of a followed log is to be told.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Event of following a log that the operator is to be told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice {
    /// Rotated file that could not be read, and was left out.
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        error: io::Error,
    },
    /// Rotated file whose compression is not supported. It may hold lines that nobody has read.
    Unsupported {
        /// Path of the file.
        path: PathBuf,
    },
    /// File that is named like a rotated one but has lines newer than the beginning of the log: it is left out.
    NotRotated {
        /// Path of the file.
        path: PathBuf,
    },
    /// Rotated file that was not read before and was left out, because it cannot be told whether it is newer than a packed one that
    /// was: that may be older than its time of writing, and the first lines of one of them cannot be read.
    Unplaced {
        /// Path of the file.
        path: PathBuf,
    },
    /// File that was left out because it cannot be told whether it was read before, as [`crate::IngestError::Unclear`] says.
    Unclear {
        /// Path of the file.
        path: PathBuf,
        /// Lines that it has of the log that was read before.
        agreeing: u64,
        /// Lines of that log.
        known: u64,
    },
    /// File that was left out because none of its first lines can be read.
    OtherFormat {
        /// Path of the file.
        path: PathBuf,
        /// Lines that were looked at.
        lines: usize,
    },
    /// Log that has lost its last lines since they were read, as [`crate::LogIdentity::Truncated`] says. Others follow.
    Truncated {
        /// Path of the file.
        path: PathBuf,
        /// Lines that are not counted, because it cannot be told whether they were read before.
        skipped: u64,
    },
    /// The file that was being read is gone, and no rotated file continues it: lines may be lost.
    Gap,
}

impl Notice {
    /// Whether lines are missing from the record, or may be.
    pub fn is_gap(&self) -> bool {
        match self {
            Self::Truncated { skipped, .. } => *skipped > 0,
            Self::NotRotated { .. } => false,
            Self::Unreadable { .. }
            | Self::Unsupported { .. }
            | Self::Unplaced { .. }
            | Self::Unclear { .. }
            | Self::OtherFormat { .. }
            | Self::Gap => true,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, .. } => write!(f, "{} cannot be read", path.display()),
            Self::Unsupported { path } => {
                write!(f, "{} is compressed in a way that cannot be read; only gzip can", path.display())
            }
            Self::NotRotated { path } => {
                write!(
                    f,
                    "{} is named like a rotated log, but its lines are not older than the log",
                    path.display()
                )
            }
            Self::Unplaced { path } => write!(
                f,
                "{} was not read, and whether it is newer than the packed files that were cannot be told by its first lines \
                 and theirs: nothing of it is counted",
                path.display()
            ),
            Self::Unclear { path, agreeing, known } => write!(
                f,
                "{} begins with {agreeing} of the {known} lines of a log that was read before, and then differs: nothing \
                 of it is counted",
                path.display()
            ),
            Self::OtherFormat { path, lines } => write!(
                f,
                "{} is in another format than its edge's log_format: none of its first {lines} lines can be read",
                path.display()
            ),
            Self::Truncated { path, skipped: 0 } => {
                write!(
                    f,
                    "{} has lost lines that were read before; those that follow are counted",
                    path.display()
                )
            }
            Self::Truncated { path, skipped } => write!(
                f,
                "{} has lost lines that were read before; of those that follow, {skipped} are not counted, because they \
                 may have been",
                path.display()
            ),
            Self::Gap => {
                f.write_str("the file that was being read is gone, and no rotated file continues it")
            }
        }
    }
}
