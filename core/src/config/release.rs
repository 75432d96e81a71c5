//! Releases: what was published when, by whom, and for which nodes.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::app::require;
use super::{App, AppId, Item, ItemId, Permission, Selector};
use crate::account::{AccountId, Caller, Entry};
use crate::ports::{LockKey, StorageResult, UnitOfWork};
use crate::{Error, Pilothouse, Result};

/// The id of a release.
pub type ReleaseId = i64;

/// Whom a release is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseKind {
    /// Every node, and every node that appears later.
    Full = 0,
    /// Certain nodes, whatever the full release says.
    Grey = 1,
}

impl ReleaseKind {
    /// Its number in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number in a store.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Full, Self::Grey].into_iter().find(|kind| kind.id() == id)
    }
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseState {
    /// It is what its nodes should hold.
    Active = 0,
    /// A later release took its place, or its item was deleted.
    Superseded = 1,
    /// A grey release whose version became the full one.
    Promoted = 2,
    /// A grey release that was taken back.
    Aborted = 3,
}

impl ReleaseState {
    /// Its number in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number in a store.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Active, Self::Superseded, Self::Promoted, Self::Aborted]
            .into_iter()
            .find(|state| state.id() == id)
    }
}

/// A release. It counts from [`Release::revision`] until before [`Release::end_revision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// The item.
    pub item: ItemId,
    /// The version of the item that it publishes.
    pub version: i64,
    /// Whom it is for.
    pub kind: ReleaseKind,
    /// What became of it.
    pub state: ReleaseState,
    /// Who published it.
    pub publisher: AccountId,
    /// When it was published.
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

/// What publishing answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The release.
    pub release: ReleaseId,
    /// Whom it is for.
    pub kind: ReleaseKind,
    /// How many nodes it is to reach: those of a grey release, those that are online for a full one.
    pub targets: i64,
}

/// A release as those who deliver it need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliverable {
    /// The release.
    pub release: Release,
    /// The profile of its item.
    pub profile: String,
    /// The key of its item.
    pub key: String,
    /// The value of its version, while it is active.
    pub value: Option<String>,
}

/// Releases in a store.
#[async_trait]
pub trait ReleaseRepository: Send {
    /// Adds a release, ignoring `id`.
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId>;
    /// By id.
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
    /// The releases of a profile, or of one key of it, with their keys: newest first, at most `limit`.
    async fn list(
        &mut self,
        app: AppId,
        profile: &str,
        key: Option<&str>,
        limit: i64,
    ) -> StorageResult<Vec<(Release, String)>>;
    /// The releases of an app that began or ended after a revision, by id; with `whole` also those that are active, and
    /// the last of each item.
    async fn since(&mut self, app: AppId, revision: i64, whole: bool) -> StorageResult<Vec<Deliverable>>;
}

/// The use cases of releases.
#[derive(Clone, Copy, Debug)]
pub struct Releases<'a>(pub(crate) &'a Pilothouse);

impl Releases<'_> {
    /// Publishes the current version of an item, which must be approved; needs permission 9. Without a selection it is a
    /// full release, which ends the grey one; with one it is a grey release, which takes the place of the grey one there
    /// is. `seen` is the version the caller saw.
    pub async fn publish(
        &self,
        caller: &Caller,
        id: ItemId,
        selector: &Selector,
        seen: Option<i64>,
    ) -> Result<Released> {
        let mut work = self.0.storage().begin().await?;
        // An unknown id is refused like one of a foreign app, except to those who may publish everything.
        let app = work.items().app_of(id).await?;
        require(self.0, &mut *work, caller, app, Permission::Manage).await?;
        selector.check()?;
        let (app, item) = lock_item(&mut *work, app, id).await?;
        item.check_seen(seen)?;
        if item.current.approver.is_none() {
            return Err(Error::conflict(format!("version {} is not approved", item.current.version)));
        }
        let active = work.releases().active(id).await?;
        let now = work.now().await?;
        let (kind, nodes) = if selector.is_full() {
            (ReleaseKind::Full, Vec::new())
        } else {
            let registered = work.nodes().list(app.id, &item.profile).await?;
            let greys = active.iter().filter(|release| release.kind == ReleaseKind::Grey);
            let held: HashSet<&str> = greys.flat_map(|release| &release.nodes).map(String::as_str).collect();
            (ReleaseKind::Grey, selector.choose(id, &registered, &held, now)?)
        };
        let targets = match kind {
            ReleaseKind::Grey => i64::try_from(nodes.len()).unwrap_or(i64::MAX),
            ReleaseKind::Full => work.nodes().count_online(app.id, &item.profile, now).await?,
        };
        let digest = item.current.digest();
        let entry = Entry::new("config.publish", item_name(&app, &item)).new_digest(digest);
        self.0.audit(&mut *work, caller, entry).await?;
        let revision = raise(&mut *work, &app).await?;
        let version = item.current.version;
        let ended = if kind == ReleaseKind::Full { None } else { Some(ReleaseKind::Grey) };
        work.releases().end(id, ended, ReleaseState::Superseded, revision).await?;
        if kind == ReleaseKind::Full && !work.items().publish(id, version, revision).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let release = self.release(caller, id, version, kind, nodes, &active, revision);
        let release = work.releases().insert(&release).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(Released { release, kind, targets })
    }

    /// Makes a grey release the full one; needs permission 9. Also where its item has a newer version by now.
    pub async fn promote(&self, caller: &Caller, id: ReleaseId) -> Result<Released> {
        let mut work = self.0.storage().begin().await?;
        let (app, item, grey) = self.lock_grey(&mut *work, caller, id).await?;
        let active = work.releases().active(item.id).await?;
        let now = work.now().await?;
        let targets = work.nodes().count_online(app.id, &item.profile, now).await?;
        let entry = Entry::new("release.promote", format!("{} release {id}", item_name(&app, &item)));
        self.0.audit(&mut *work, caller, entry).await?;
        let revision = raise(&mut *work, &app).await?;
        work.releases().end(item.id, Some(ReleaseKind::Grey), ReleaseState::Promoted, revision).await?;
        work.releases().end(item.id, Some(ReleaseKind::Full), ReleaseState::Superseded, revision).await?;
        if !work.items().promote(item.id, grey.version, revision).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let kind = ReleaseKind::Full;
        let release = self.release(caller, item.id, grey.version, kind, Vec::new(), &active, revision);
        let release = work.releases().insert(&release).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(Released { release, kind, targets })
    }

    /// Takes a grey release back: its nodes are told to go back to the full one; needs permission 9.
    pub async fn abort(&self, caller: &Caller, id: ReleaseId) -> Result<()> {
        let mut work = self.0.storage().begin().await?;
        let (app, item, _) = self.lock_grey(&mut *work, caller, id).await?;
        let entry = Entry::new("release.abort", format!("{} release {id}", item_name(&app, &item)));
        self.0.audit(&mut *work, caller, entry).await?;
        let revision = raise(&mut *work, &app).await?;
        work.releases().end(item.id, Some(ReleaseKind::Grey), ReleaseState::Aborted, revision).await?;
        work.commit().await?;
        self.0.changed(app.id).await;
        Ok(())
    }

    /// An active grey release with its app and item, in a transaction that holds the app's lock from now on.
    async fn lock_grey(
        &self,
        work: &mut dyn UnitOfWork,
        caller: &Caller,
        id: ReleaseId,
    ) -> Result<(App, Item, Release)> {
        let absent = || Error::not_found("the release");
        let found = work.releases().by_id(id).await?;
        let app = match &found {
            Some(release) => work.items().app_of(release.item).await?,
            None => None,
        };
        // An unknown id is refused like one of a foreign app, except to those who may publish everything.
        require(self.0, work, caller, app, Permission::Manage).await?;
        let item = found.ok_or_else(absent)?.item;
        let app = app.ok_or_else(absent)?;
        work.lock(LockKey::App(app)).await?;
        let app = work.apps().by_id(app).await?.ok_or_else(absent)?;
        let release = work.releases().by_id(id).await?.ok_or_else(absent)?;
        if release.kind != ReleaseKind::Grey {
            return Err(Error::conflict("it is no grey release"));
        }
        if release.state != ReleaseState::Active {
            return Err(Error::conflict("the release is not active any more"));
        }
        let item = work.items().by_id(item).await?.ok_or_else(absent)?;
        Ok((app, item, release))
    }

    #[expect(clippy::too_many_arguments, reason = "the members of a release")]
    fn release(
        self,
        caller: &Caller,
        item: ItemId,
        version: i64,
        kind: ReleaseKind,
        nodes: Vec<String>,
        active: &[Release],
        revision: i64,
    ) -> Release {
        let same = |kind| active.iter().find(|held| held.kind == kind && held.version == version);
        Release {
            id: 0,
            item,
            version,
            kind,
            state: ReleaseState::Active,
            publisher: caller.id,
            publish_time: self.0.clock().now(),
            revision,
            end_revision: None,
            nodes,
            // Where both are of this version, every node has it from the full one.
            origin: same(ReleaseKind::Full).or(same(ReleaseKind::Grey)).map(|held| held.id),
        }
    }
}

fn item_name(app: &App, item: &Item) -> String {
    format!("{}/{}/{}", app.app, item.profile, item.key)
}

async fn raise(work: &mut dyn UnitOfWork, app: &App) -> Result<i64> {
    work.apps().raise_revision(app.id).await?.ok_or_else(|| Error::not_found("the config"))
}

/// The item and its app, in a transaction that holds the app's lock from now on.
async fn lock_item(work: &mut dyn UnitOfWork, app: Option<AppId>, id: ItemId) -> Result<(App, Item)> {
    let absent = || Error::not_found("the config");
    let app = app.ok_or_else(absent)?;
    work.lock(LockKey::App(app)).await?;
    let app = work.apps().by_id(app).await?.ok_or_else(absent)?;
    let item = work.items().by_id(id).await?.ok_or_else(absent)?;
    Ok((app, item))
}
