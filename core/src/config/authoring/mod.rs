//! Authoring: apps, the grants on them, their keys, and their configuration items with every version.

mod app;
mod apply;
mod apply_plan;
mod change_set;
mod change_sets;
mod comparison;
mod copy;
mod export;
mod grant;
mod history;
mod hunk;
mod import;
mod item;
mod items;
mod key;
mod overview;
mod refusal;
#[cfg(feature = "validators")]
mod schema;
mod search;
mod shared_namespace;
mod unique_json;
mod validator;

pub(crate) use app::check_app_name;
pub use app::{App, AppRepository, AppRevision, Apps, NewApp, UpdateApp};
pub use apply::{Applied, AppliedChange, Change, ItemChange, NewChangeSet};
pub use change_set::{
    ChangeAction, ChangeSet, ChangeSetFilter, ChangeSetId, ChangeSetRepository, ChangeSetState, ChangedItem,
};
pub use change_sets::{ChangeSetDiff, ChangeSets, ItemDiff};
pub use comparison::{ItemDifference, Side};
pub use copy::Copy;
pub use export::ExportedProfile;
pub(crate) use grant::{ALL, check_reach, permission_on_all};
pub use grant::{Grant, GrantId, GrantRepository, Grants, NewGrant, Permission};
pub use history::{HistoryPage, HistoryQuery, ValueDiff, VersionSize};
pub use hunk::{DiffHunk, DiffLine, LineChange, hunks};
pub use import::Imported;
pub use item::{
    Content, ContentChange, Item, ItemHead, ItemName, ItemRepository, ItemVersion, NewItem, VersionOf,
    VersionedItem,
};
pub use items::Items;
pub(super) use key::key_digests;
pub use key::{AppKey, AppKeyRepository, AppKeys, AppSecret, OpeningKey};
pub(super) use overview::ReadableApps;
pub use overview::{AppCounts, OwnApp};
pub use search::{Found, FoundIn, ItemSearch, SearchFilter, SearchResult};
pub use shared_namespace::{SharedNamespace, SharedNamespaceRepository, SharedNamespaces};
