//! Releases: what was published when, by whom, and for which nodes.
//!
//! A release is a set of one or more items. Each item has a row of its own, its part, because parts may end one by one; the
//! first part names the release.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Page;
use crate::account::AccountId;
use crate::config::authoring::ChangeSetId;
use crate::config::identifier::{AppId, ItemId};
use crate::id::id;
use crate::ports::StorageResult;

id! {
    /// The id of a release.
    ReleaseId
}

/// Reach of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseKind {
    /// Every node, and every node that appears later.
    Full = 0,
    /// Certain nodes, whatever the full release says.
    Grey = 1,
}

impl ReleaseKind {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Grey => "grey",
        }
    }

    /// The number that stores keep.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// The variant of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Full, Self::Grey].into_iter().find(|kind| kind.id() == id)
    }
}

/// State of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseState {
    /// The release is in effect on its nodes.
    Active = 0,
    /// A later release took its place, or its item was deleted.
    Superseded = 1,
    /// A grey release whose version became the full one.
    Promoted = 2,
    /// A grey release that was taken back.
    Aborted = 3,
}

impl ReleaseState {
    /// All states, by their numbers.
    pub const ALL: [Self; 4] = [Self::Active, Self::Superseded, Self::Promoted, Self::Aborted];

    /// The number that stores keep.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// The variant of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }
}

/// A release of one item, or the part of a release that is about one item. It counts from [`Release::revision`] until
/// before [`Release::end_revision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Unique, and greater than those before it.
    pub id: ReleaseId,
    /// The first part of its release, which names it; `None` for the first part itself.
    pub set: Option<ReleaseId>,
    /// Title of the release, of the first part only: at most 256 bytes.
    pub title: String,
    /// The change set that was released.
    pub change_set: Option<ChangeSetId>,
    /// Item that is published.
    pub item: ItemId,
    /// The version of the item that it publishes; 0 where its nodes are to lose the key.
    pub version: i64,
    /// Full, or grey for certain nodes.
    pub kind: ReleaseKind,
    /// Active, or how it ended.
    pub state: ReleaseState,
    /// Account that published it.
    pub publisher: AccountId,
    /// Time of its publication.
    pub publish_time: DateTime<Utc>,
    /// The revision of the app that it made.
    pub revision: i64,
    /// The revision of the app that ended it; `None` while it is active.
    pub end_revision: Option<i64>,
    /// The ids of its nodes, sorted; empty for a full release.
    pub nodes: Vec<String>,
    /// The release of the same version that it took the place of: who holds that version from there has this one.
    pub origin: Option<ReleaseId>,
}

impl Release {
    /// The release that it is a part of, by its first part.
    pub fn head(&self) -> ReleaseId {
        self.set.unwrap_or(self.id)
    }
}

/// An item of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedItem {
    /// Id of the item.
    pub item: ItemId,
    /// Its key.
    pub key: String,
    /// The version that is published; 0 where its nodes lose the key.
    pub version: i64,
}

/// A release without its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseSummary {
    /// Its first part.
    pub first: Release,
    /// The key of the first part.
    pub key: String,
    /// Number of its parts in each state, in the order of [`ReleaseState::ALL`].
    pub parts: [i64; 4],
}

impl ReleaseSummary {
    /// Number of its parts.
    pub fn items(&self) -> i64 {
        self.parts.iter().sum()
    }

    /// Number of its parts that are active.
    pub fn active(&self) -> i64 {
        self.parts[0]
    }

    /// State of the release: active as long as one of its parts is.
    pub fn state(&self) -> ReleaseState {
        let states =
            [ReleaseState::Active, ReleaseState::Promoted, ReleaseState::Aborted, ReleaseState::Superseded];
        let found = states.into_iter().find(|state| self.parts[*state as usize] > 0);
        found.unwrap_or(ReleaseState::Superseded)
    }
}

/// Size of a release of several items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleaseSize {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// Number of its parts.
    pub parts: i64,
    /// Number of its parts that publish a version.
    pub versions: i64,
}

/// Part of a release, with what it took the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReleasePart {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// The part itself.
    pub part: ReleaseId,
    /// The version that it publishes; 0 where its nodes lose the key.
    pub version: i64,
    /// The part of the same version that it took the place of.
    pub origin: Option<PartId>,
}

/// Names a part of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId {
    /// The release, by its first part.
    pub release: ReleaseId,
    /// The part itself.
    pub part: ReleaseId,
}

/// Nodes of an active grey release of an item that a full release has too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GreysBeside {
    /// The full release, by its first part.
    pub release: ReleaseId,
    /// Node ids of the grey one, sorted.
    pub nodes: Vec<String>,
}

/// Answer of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Release that was made.
    pub release: ReleaseId,
    /// Full, or grey for certain nodes.
    pub kind: ReleaseKind,
    /// Number of nodes it is to reach: those of a grey release, those that are online for a full one.
    pub targets: i64,
    /// Number of its items.
    pub items: i64,
}

/// A release as those who deliver it need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliverable {
    /// Release that was made.
    pub release: Release,
    /// The profile of its item.
    pub profile: String,
    /// The key of its item.
    pub key: String,
    /// The value of its version, while it is active: what snapshots share.
    pub value: Option<Arc<str>>,
}

/// Releases in a store.
#[async_trait]
pub trait ReleaseRepository: Send {
    /// Adds a release, ignoring `id`.
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId>;
    /// Finds a release by id.
    async fn by_id(&mut self, id: ReleaseId) -> StorageResult<Option<Release>>;
    /// Ends the active releases of an item, of one kind or of both, at that revision of its app.
    async fn end(
        &mut self,
        item: ItemId,
        kind: Option<ReleaseKind>,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()>;
    /// The active releases of an item, by id.
    async fn active(&mut self, item: ItemId) -> StorageResult<Vec<Release>>;
    /// Adds parts of one release, ignoring their ids, which follow those before in the order given.
    async fn insert_parts(&mut self, parts: &[Release]) -> StorageResult<()>;
    /// Ends as [`Self::end`] does the active releases of several items.
    async fn end_all(
        &mut self,
        items: &[ItemId],
        kind: ReleaseKind,
        state: ReleaseState,
        revision: i64,
    ) -> StorageResult<()>;
    /// The active releases of several items, by id.
    async fn active_of(&mut self, items: &[ItemId]) -> StorageResult<Vec<Release>>;
    /// The full releases of several items that ended at that revision of their app, by id.
    async fn ended_at(&mut self, items: &[ItemId], revision: i64) -> StorageResult<Vec<Release>>;
    /// Every part of some releases that are named by their first parts, with its key, by id.
    async fn parts(&mut self, of: &[ReleaseId]) -> StorageResult<Vec<(Release, String)>>;
    /// Those of the releases that are there, which are named by their first parts, by id.
    async fn summaries(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSummary>>;
    /// The items of a release that is named by its first part, by the id of their parts.
    async fn items_of(&mut self, release: ReleaseId) -> StorageResult<Vec<ReleasedItem>>;
    /// Sizes of those of the releases that have several parts, by id.
    async fn sizes(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseSize>>;
    /// The parts of some releases that are named by their first parts, by id. An origin that is gone is left out.
    async fn part_versions(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleasePart>>;
    /// The releases of which a part took the place of a part of these, by id.
    async fn followers(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<ReleaseId>>;
    /// Of those of the releases of which every active part is a full one and has an active grey release of its item beside
    /// it: the node ids of these grey ones, each list once, by release and list.
    async fn greys_beside(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<GreysBeside>>;
    /// First parts of the releases of a profile, or of those that one key of it is in, newest first.
    async fn list_sets(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        page: Page,
    ) -> StorageResult<Vec<ReleaseId>>;
    /// Those of the items that have an active release other than a full one that took the key from all nodes, by id.
    async fn with_active(&mut self, items: &[ItemId]) -> StorageResult<Vec<ItemId>>;
    /// The releases of a profile, or of one key of it, with their keys: newest first, at most `limit`.
    async fn list(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        limit: i64,
    ) -> StorageResult<Vec<(Release, String)>>;
    /// The releases of an app that began or ended after a revision, by id; with `whole` also those that are active, and
    /// of each item the one that began last and those that ended last.
    async fn since(&mut self, app: AppId, revision: i64, whole: bool) -> StorageResult<Vec<Deliverable>>;
}
