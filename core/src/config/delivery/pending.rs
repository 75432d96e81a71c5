//! Pending work: what waits for an approval, for a release, or for the end of a grey release, over all apps of a caller.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::release::ReleaseId;
use super::releases::Releases;
use crate::account::{AccountId, Caller};
use crate::config::authoring::{ChangeSet, ChangeSetId, ChangeSetState, Permission, ReadableApps};
use crate::config::identifier::{AppId, ItemId};
use crate::ports::{Repositories, StorageResult};
use crate::{Page, Result};

/// Rows that a store is asked for at once.
const BATCH: i64 = 1000;

/// Item whose current version no full release has published, nor an active grey one, and that says something else than what is
/// published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingItem {
    /// Id of the item.
    pub item: ItemId,
    /// App that the item belongs to.
    pub app: AppId,
    /// Profile within the app.
    pub profile: String,
    /// Key of the item.
    pub key: String,
    /// Number of the current version.
    pub version: i64,
    /// Account that made the version.
    pub modifier: AccountId,
    /// Time the version was made.
    pub modify_time: DateTime<Utc>,
    /// The newest change set that made the version, if that is a draft where nobody approved the version, or approved where
    /// somebody did.
    pub change_set: Option<ChangeSetId>,
}

/// Grey release that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveGrey {
    /// Id of the release.
    pub release: ReleaseId,
    /// App that it belongs to.
    pub app: AppId,
    /// Profile within the app.
    pub profile: String,
    /// Title of the release; empty where it has none.
    pub title: String,
    /// The change set that was released.
    pub change_set: Option<ChangeSetId>,
    /// The first of its items that are still released.
    pub item: ItemId,
    /// Key of that item.
    pub key: String,
    /// The version of that item; 0 where its nodes lose the key.
    pub version: i64,
    /// Number of its items that are still released.
    pub items: i64,
    /// Number of its nodes.
    pub nodes: i64,
    /// Account that published it.
    pub publisher: AccountId,
    /// Time of its publication.
    pub publish_time: DateTime<Utc>,
}

/// Pending work in a store. Each method answers the first `count` rows by id from `start` on.
#[async_trait]
pub trait PendingRepository: Send {
    /// Items of some apps that are not deleted and whose current version is neither published, nor equal to what is, nor in an
    /// active grey release: those that somebody approved, or those that nobody did.
    async fn pending_items(
        &mut self,
        apps: &[AppId],
        is_approved: bool,
        start: ItemId,
        count: i64,
    ) -> StorageResult<Vec<PendingItem>>;
    /// Change sets of some apps in a state.
    async fn pending_sets(
        &mut self,
        apps: &[AppId],
        state: ChangeSetState,
        start: ChangeSetId,
        count: i64,
    ) -> StorageResult<Vec<ChangeSet>>;
    /// Grey releases of some apps that are active.
    async fn active_greys(
        &mut self,
        apps: &[AppId],
        start: ReleaseId,
        count: i64,
    ) -> StorageResult<Vec<ActiveGrey>>;
}

/// Change that waits: an item, or a change set in the place of its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// Name of the app.
    pub app: String,
    /// Rows that wait there.
    pub subject: PendingSubject,
}

/// Pending rows of an app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PendingSubject {
    /// A version of one item.
    Item(PendingItem),
    /// A change set.
    ChangeSet(ChangeSet),
}

/// Active grey release with the name of its app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingGrey {
    /// Name of the app.
    pub app: String,
    /// The release.
    pub grey: ActiveGrey,
}

/// List that ends after so many rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingList<T> {
    /// Its rows.
    pub rows: Vec<T>,
    /// Whether there are more.
    pub has_more: bool,
    most: usize,
}

impl<T> PendingList<T> {
    fn new(page: Page) -> Self {
        Self { rows: Vec::new(), has_more: false, most: usize::try_from(page.count).unwrap_or_default() }
    }

    fn push(&mut self, row: T) {
        if self.rows.len() < self.most {
            self.rows.push(row);
        } else {
            self.has_more = true;
        }
    }
}

/// Work that waits for somebody, in the apps and profiles that a caller may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Draft change sets, and items with versions that nobody approved; without the caller's own under four-eyes.
    pub to_approve: PendingList<PendingChange>,
    /// Approved change sets, and items with approved versions.
    pub to_publish: PendingList<PendingChange>,
    /// Grey releases that are neither promoted nor aborted.
    pub grey: PendingList<PendingGrey>,
}

impl Releases<'_> {
    /// Pending work of the apps and profiles that the caller may read: in each list at most [`Page::count`] rows, change sets
    /// first, by id. Change sets are shown where the caller has permission 1, and stand for those of their items that are as the
    /// set made them; elsewhere the items are shown.
    pub async fn pending(&self, caller: &Caller, page: Page) -> Result<Pending> {
        let apps = self.0.apps().readable(caller, None).await?;
        let mut snapshot = self.0.storage().read().await?;
        let query = PendingQuery {
            caller,
            ids: apps.ids(),
            apps,
            four_eyes: &self.0.settings().four_eyes_profiles,
            page,
        };
        Ok(Pending {
            to_approve: query.changes(&mut *snapshot, false).await?,
            to_publish: query.changes(&mut *snapshot, true).await?,
            grey: query.greys(&mut *snapshot).await?,
        })
    }
}

/// Question for what waits, by one caller.
struct PendingQuery<'a> {
    caller: &'a Caller,
    ids: Vec<AppId>,
    apps: ReadableApps,
    four_eyes: &'a [String],
    page: Page,
}

impl PendingQuery<'_> {
    /// Approved changes, or those that wait for their approval.
    async fn changes(
        &self,
        store: &mut dyn Repositories,
        is_approved: bool,
    ) -> Result<PendingList<PendingChange>> {
        let mut list = PendingList::new(self.page);
        let state = if is_approved { ChangeSetState::Approved } else { ChangeSetState::Draft };
        let is_own = |profile: &str, author: AccountId| {
            !is_approved && author == self.caller.id && self.four_eyes.iter().any(|name| name == profile)
        };
        let mut next = Some(ChangeSetId(0));
        while let Some(start) = next {
            let sets = store.pending().pending_sets(&self.ids, state, start, BATCH).await?;
            for set in &sets {
                let readable = self.apps.permission(self.caller, set.app, &set.profile);
                let readable = readable.filter(|(_, permission)| *permission >= Permission::Develop);
                if let Some((app, _)) = readable.filter(|_| !is_own(&set.profile, set.author)) {
                    let subject = PendingSubject::ChangeSet(set.clone());
                    list.push(PendingChange { app: app.to_owned(), subject });
                }
            }
            next = after(&sets, |set| set.id.0).filter(|_| !list.has_more).map(ChangeSetId);
        }
        let mut next = Some(ItemId(0)).filter(|_| !list.has_more);
        while let Some(start) = next {
            let items = store.pending().pending_items(&self.ids, is_approved, start, BATCH).await?;
            for item in &items {
                let readable = self.apps.permission(self.caller, item.app, &item.profile);
                let is_in_set = |permission| item.change_set.is_some() && permission >= Permission::Develop;
                let shown = readable.filter(|(_, permission)| !is_in_set(*permission));
                if let Some((app, _)) = shown.filter(|_| !is_own(&item.profile, item.modifier)) {
                    let subject = PendingSubject::Item(item.clone());
                    list.push(PendingChange { app: app.to_owned(), subject });
                }
            }
            next = after(&items, |item| item.item.0).filter(|_| !list.has_more).map(ItemId);
        }
        Ok(list)
    }

    async fn greys(&self, store: &mut dyn Repositories) -> Result<PendingList<PendingGrey>> {
        let mut list = PendingList::new(self.page);
        let mut next = Some(ReleaseId(0));
        while let Some(start) = next {
            let greys = store.pending().active_greys(&self.ids, start, BATCH).await?;
            for grey in &greys {
                if let Some((app, _)) = self.apps.permission(self.caller, grey.app, &grey.profile) {
                    list.push(PendingGrey { app: app.to_owned(), grey: grey.clone() });
                }
            }
            next = after(&greys, |grey| grey.release.0).filter(|_| !list.has_more).map(ReleaseId);
        }
        Ok(list)
    }
}

/// The id with which a store goes on after a batch; `None` after the last one.
fn after<T>(batch: &[T], id: impl Fn(&T) -> i64) -> Option<i64> {
    let is_full = i64::try_from(batch.len()).is_ok_and(|rows| rows >= BATCH);
    batch.last().filter(|_| is_full).map(|last| id(last) + 1)
}
