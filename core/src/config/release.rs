//! Releases: what was published when, by whom.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::app::require;
use super::{ItemId, Permission};
use crate::account::{AccountId, Caller, Entry};
use crate::ports::{LockKey, StorageResult, Topic};
use crate::{Error, Pilothouse, Result};

/// The id of a release.
pub type ReleaseId = i64;

/// Whom a release is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseKind {
    /// Every node, and every node that appears later.
    Full,
}

impl ReleaseKind {
    /// Its number in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number in a store.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Full].into_iter().find(|kind| kind.id() == id)
    }
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReleaseState {
    /// It is what its nodes should hold.
    Active,
    /// A later release took its place, or its item was deleted.
    Superseded,
}

impl ReleaseState {
    /// Its number in a store.
    pub fn id(self) -> i64 {
        self as i64
    }

    /// From its number in a store.
    pub fn from_id(id: i64) -> Option<Self> {
        [Self::Active, Self::Superseded].into_iter().find(|state| state.id() == id)
    }
}

/// A release.
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
}

/// Which nodes to publish to; with nothing given, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// Node ids, separated by commas.
    pub nodes: Option<String>,
    /// That share of the nodes, 1 to 100.
    pub percent: Option<i64>,
    /// The nodes with these labels: `name:value`, separated by commas.
    pub labels: Option<String>,
}

/// What publishing answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The release.
    pub release: ReleaseId,
    /// Whom it is for.
    pub kind: ReleaseKind,
    /// How many nodes it is to reach now.
    pub targets: u64,
}

/// Releases in a store.
#[async_trait]
pub trait ReleaseRepository: Send {
    /// Adds a release, ignoring `id`.
    async fn insert(&mut self, release: &Release) -> StorageResult<ReleaseId>;
    /// Makes the active releases of an item superseded.
    async fn supersede(&mut self, item: ItemId) -> StorageResult<()>;
    /// The releases of an item, newest first.
    async fn of_item(&mut self, item: ItemId) -> StorageResult<Vec<Release>>;
}

/// The use cases of releases.
#[derive(Clone, Copy, Debug)]
pub struct Releases<'a>(pub(crate) &'a Pilothouse);

impl Releases<'_> {
    /// Publishes the current version of an item, which must be approved; needs permission 9. `seen` is the version the
    /// caller saw.
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
        let app = app.ok_or_else(|| Error::not_found("the config"))?;
        work.lock(LockKey::App(app)).await?;
        let app = work.apps().by_id(app).await?.ok_or_else(|| Error::not_found("the config"))?;
        let item = work.items().by_id(id).await?.ok_or_else(|| Error::not_found("the config"))?;
        item.check_seen(seen)?;
        if item.current.approver.is_none() {
            return Err(Error::conflict(format!("version {} is not approved", item.current.version)));
        }
        selector.resolve()?;

        let digest = item.current.digest();
        let name = format!("{}/{}/{}", app.app, item.profile, item.key);
        self.0.audit(&mut *work, caller, Entry::new("config.publish", name).new_digest(digest)).await?;
        work.releases().supersede(id).await?;
        let revision = work.apps().raise_revision(app.id).await?;
        let revision = revision.ok_or_else(|| Error::not_found("the config"))?;
        let version = item.current.version;
        if !work.items().publish(id, version, revision).await? {
            return Err(Error::conflict("the config was changed meanwhile"));
        }
        let release = Release {
            id: 0,
            item: id,
            version,
            kind: ReleaseKind::Full,
            state: ReleaseState::Active,
            publisher: caller.id,
            publish_time: self.0.clock().now(),
            revision,
        };
        let release = work.releases().insert(&release).await?;
        work.commit().await?;
        self.0.storage().announce(&[Topic::App(app.id)]).await;
        Ok(Released { release, kind: ReleaseKind::Full, targets: 0 })
    }
}

impl Selector {
    fn check(&self) -> Result<()> {
        if let Some(nodes) = &self.nodes
            && nodes.split(',').any(str::is_empty)
        {
            return Err(Error::invalid("nodes", "must be node ids separated by commas"));
        }
        if self.percent.is_some_and(|percent| !(1..=100).contains(&percent)) {
            return Err(Error::invalid("percent", "must be from 1 to 100"));
        }
        let label = |label: &str| label.split_once(':').is_some_and(|(name, _)| !name.is_empty());
        if self.labels.as_ref().is_some_and(|labels| !labels.split(',').all(label)) {
            return Err(Error::invalid("labels", "must be name:value pairs separated by commas"));
        }
        Ok(())
    }

    /// Refuses what names or selects no registered node; and as long as nodes have no way to register, none is.
    fn resolve(&self) -> Result<()> {
        if let Some(nodes) = &self.nodes {
            let first = nodes.split(',').next().unwrap_or_default();
            return Err(Error::not_found(format!("the node {first}")));
        }
        let field = match (self.percent, &self.labels) {
            (Some(_), _) => "percent",
            (None, Some(_)) => "labels",
            (None, None) => return Ok(()),
        };
        Err(Error::invalid(field, "a grey release needs registered nodes, and this app has none"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selector_names_what_is_wrong() {
        let refused = |selector: Selector| selector.check().unwrap_err().to_string();
        for nodes in ["", ",", "11,", "11,,22"] {
            let selector = Selector { nodes: Some(nodes.into()), ..Selector::default() };
            assert_eq!(refused(selector), "nodes: must be node ids separated by commas");
        }
        for percent in [0, 101, -1] {
            let selector = Selector { percent: Some(percent), ..Selector::default() };
            assert_eq!(refused(selector), "percent: must be from 1 to 100");
        }
        for labels in ["", "zone", ":b", "zone:a,"] {
            let selector = Selector { labels: Some(labels.into()), ..Selector::default() };
            assert_eq!(refused(selector), "labels: must be name:value pairs separated by commas");
        }
    }
}
