//! Change sets: changes of several items of a profile that are made, approved and released together.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use crate::Page;
use crate::account::AccountId;
use crate::config::identifier::{AppId, ItemId};
use crate::id::id;
use crate::ports::StorageResult;

id! {
    /// The id of a change set.
    ChangeSetId
}

/// State of a change set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeSetState {
    /// Made, and not approved yet.
    Draft = 0,
    /// All of its versions and deletions are approved.
    Approved = 1,
    /// Released, to all nodes or to some.
    Released = 2,
    /// Taken back before it was released.
    Discarded = 3,
}

impl ChangeSetState {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Draft, Self::Approved, Self::Released, Self::Discarded];

    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Released => "released",
            Self::Discarded => "discarded",
        }
    }

    /// The state of a name on the wire; `None` of any other.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The number that stores keep.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// The variant of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }
}

/// A change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSet {
    /// Unique, and greater than those before it.
    pub id: ChangeSetId,
    /// App whose items it changes.
    pub app: AppId,
    /// Profile whose items it changes.
    pub profile: String,
    /// Title for people: at most 256 bytes.
    pub title: String,
    /// Draft, approved, released or discarded.
    pub state: ChangeSetState,
    /// Account that made it.
    pub author: AccountId,
    /// Time it was made.
    pub time: DateTime<Utc>,
    /// Account that approved it; `None` as long as nobody did.
    pub approver: Option<AccountId>,
    /// Number of its items.
    pub size: i64,
}

/// Action of a change on its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeAction {
    /// The key was not there and is.
    Create = 0,
    /// The item has a new version.
    Update = 1,
    /// The key goes: at once where nothing of it was ever released, else with the release of the set.
    Delete = 2,
    /// The item says already what the change says; no part of the set.
    Same = 3,
}

impl ChangeAction {
    /// Name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Same => "same",
        }
    }

    /// The number that stores keep.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// The variant of a number that stores keep; `None` of any other.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Same].into_iter().find(|action| action.id() == id)
    }
}

/// An item of a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedItem {
    /// Item that is changed.
    pub item: ItemId,
    /// Its key.
    pub key: String,
    /// Created, updated or deleted.
    pub action: ChangeAction,
    /// The version before; 0 where the key was not there.
    pub from: i64,
    /// The version that the set made; 0 for a deletion.
    pub version: i64,
}

/// Filter of a list of change sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetFilter {
    /// App whose sets are listed.
    pub app: AppId,
    /// Profile whose sets are listed.
    pub profile: String,
    /// Only those in this state.
    pub state: Option<ChangeSetState>,
}

impl ChangeSetFilter {
    /// Whether a set passes.
    pub fn accepts(&self, set: &ChangeSet) -> bool {
        set.app == self.app
            && set.profile == self.profile
            && self.state.is_none_or(|state| set.state == state)
    }
}

/// Change sets in a store.
#[async_trait]
pub trait ChangeSetRepository: Send {
    /// Adds a set with its items, ignoring `id`. The items exist, deleted or not, and each is there once.
    async fn insert(&mut self, set: &ChangeSet, items: &[ChangedItem]) -> StorageResult<ChangeSetId>;
    /// Finds a set by id.
    async fn find(&mut self, id: ChangeSetId) -> StorageResult<Option<ChangeSet>>;
    /// The items of a set, by id.
    async fn items(&mut self, id: ChangeSetId) -> StorageResult<Vec<ChangedItem>>;
    /// Sets that pass the filter.
    async fn list(&mut self, filter: &ChangeSetFilter, page: Page) -> StorageResult<Vec<ChangeSet>>;
    /// Counts the sets that pass the filter.
    async fn count(&mut self, filter: &ChangeSetFilter) -> StorageResult<u64>;
    /// Moves a set from one state to another, with the approver where one is given; whether it was in the first.
    async fn advance(
        &mut self,
        id: ChangeSetId,
        from: ChangeSetState,
        to: ChangeSetState,
        approver: Option<AccountId>,
    ) -> StorageResult<bool>;
}
