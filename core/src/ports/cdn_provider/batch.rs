//! Batches of work for a provider, and what it answers.

use chrono::{DateTime, Utc};

use super::ProviderError;

/// A URL to be purged; one that ends in `*` with everything that begins with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Purge {
    /// Absolute URL, a prefix that ends in `*`, or a tag as `tag://HOST/TAG`.
    pub url: String,
    /// Greater than that of every purge of the same host that was accepted before on the same cdn: 16 digits. 0 in a
    /// preload.
    pub stamp: i64,
}

/// Operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// Purge of URLs. A batch for an edge that is no vendor's may hold prefixes and tags, too.
    PurgeUrls,
    /// Purge of all that begins with URLs, which end in `*`.
    PurgePrefixes,
    /// Purge of all that carries a tag.
    PurgeTags,
    /// Fetch of URLs into the cache.
    Preload,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 4] = [Self::PurgeUrls, Self::PurgePrefixes, Self::PurgeTags, Self::Preload];

    /// Number that stores keep.
    pub fn id(self) -> i64 {
        match self {
            Self::PurgeUrls => 0,
            Self::PurgePrefixes => 1,
            Self::PurgeTags => 2,
            Self::Preload => 3,
        }
    }

    /// Operation of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|operation| operation.id() == id)
    }

    /// Name in messages and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PurgeUrls => "purge",
            Self::PurgePrefixes => "purge by prefix",
            Self::PurgeTags => "purge by tag",
            Self::Preload => "preload",
        }
    }
}

/// Work of one call: items of one operation on one edge.
///
/// A vendor's batch is cut once and then frozen: whatever happens, the same id never comes with other items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Unique id, 36 letters, digits and hyphens; a vendor's key against double submission, where it has one.
    pub id: String,
    /// Operation to be done.
    pub operation: Operation,
    /// Name of the edge; a vendor has one.
    pub edge: String,
    /// Group that all its hosts are in, as [`super::CdnProvider::groups`] says; empty without groups.
    pub group: String,
    /// URLs, each once.
    pub items: Vec<Purge>,
    /// Time at which it was cut. All its items were accepted before, so whatever does them later does all of them.
    pub accepted_at: DateTime<Utc>,
}

/// Answer to one item of a batch that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Submission {
    /// It is done. For a vendor that tells no more: it was accepted, and nothing is left to ask about.
    Done,
    /// A task of this id has it, to be asked about.
    Running(String),
}

/// Answer to each item of a batch, in its order. A partial failure is the normal shape.
pub type Submissions = Vec<Result<Submission, ProviderError>>;

/// A vendor's task, to be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteTask {
    /// Id that the vendor gave it.
    pub id: String,
    /// Operation of the batch.
    pub operation: Operation,
    /// Group of the batch.
    pub group: String,
    /// Items of the batch that it has and that have not ended, as their URLs.
    pub items: Vec<String>,
    /// Time at which its batch was cut.
    pub accepted_at: DateTime<Utc>,
}

/// State of each item of a task, in the order of [`RemoteTask::items`].
pub type TaskState = Vec<ItemState>;

/// State of one item of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// It is under way, with its percentage of 0 to 99, or `None` where the vendor tells none.
    Running(Option<u8>),
    /// It is done.
    Done,
    /// It failed; trying it again may help.
    Failed(String),
    /// It failed, and trying it again does not help.
    Refused(String),
    /// The vendor does not know the task, or not this item of it.
    Unknown,
}
