//! The use cases of change sets: lists, approval and discarding; [`ChangeSets::apply`] makes one.

use std::collections::{HashMap, HashSet};

use super::app::{App, lock_app, open_app, require};
use super::apply::changed_meanwhile;
use super::change_set::{ChangeAction, ChangeSet, ChangeSetFilter, ChangeSetId, ChangeSetState, ChangedItem};
use super::grant::Permission;
use super::history::unified;
use super::item::{ItemHead, ItemVersion, VersionOf, VersionedItem};
use crate::account::{Caller, CallerTransaction, Entry, Reach};
use crate::config::identifier::{ItemId, check_identifier};
use crate::ports::Repositories;
use crate::{Error, Listing, Page, Pilothouse, Result};

/// The most keys that a refusal names.
const MAX_NAMED: usize = 20;

/// The use cases of change sets.
#[derive(Clone, Copy, Debug)]
pub struct ChangeSets<'a>(pub(crate) &'a Pilothouse);

/// A change set with what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSetDiff {
    /// The set.
    pub set: ChangeSet,
    /// Name of its app.
    pub app: String,
    /// Its items, by id.
    pub items: Vec<ItemDiff>,
}

/// An item of a change set, with the difference that the set makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemDiff {
    /// The item.
    pub item: ChangedItem,
    /// Unified diff of its value.
    pub diff: String,
}

impl ChangeSets<'_> {
    /// The sets of a profile; needs permission 1.
    pub async fn list(
        &self,
        caller: &Caller,
        (app, profile): (&str, &str),
        state: Option<ChangeSetState>,
        page: Page,
    ) -> Result<Listing<ChangeSet>> {
        let mut snapshot = self.0.storage().read().await?;
        let place = (app, Reach::Profile(profile));
        let app = open_app(self.0, &mut *snapshot, caller, place, Permission::Develop).await?;
        check_identifier("profile", profile)?;
        let filter = ChangeSetFilter { app: app.id, profile: profile.to_owned(), state };
        let rows = snapshot.change_sets().list(&filter, page).await?;
        let total = if page.total { Some(snapshot.change_sets().count(&filter).await?) } else { None };
        Ok(Listing::new(rows, total))
    }

    /// A set with the difference that it makes to each item; needs permission 1.
    pub async fn get(&self, caller: &Caller, id: ChangeSetId) -> Result<ChangeSetDiff> {
        let mut snapshot = self.0.storage().read().await?;
        let (app, set) = self.open(&mut *snapshot, caller, id, Permission::Develop).await?;
        let items = snapshot.change_sets().items(id).await?;
        let numbers = items.iter().flat_map(|of| {
            let of_item = |version| VersionOf { item: of.item, version };
            [of.from, of.version].into_iter().filter(|version| *version > 0).map(of_item)
        });
        let numbers: Vec<VersionOf> = numbers.collect();
        let versions = snapshot.items().versions(&numbers).await?;
        drop(snapshot);
        let diffs = tokio::task::spawn_blocking(move || {
            let number = |of: &VersionedItem| (of.item, of.version.version);
            let values: HashMap<(ItemId, i64), String> =
                versions.into_iter().map(|of| (number(&of), of.version.content.value)).collect();
            let side = |of: &ChangedItem, version: i64| match values.get(&(of.item, version)) {
                Some(value) => (format!("{} (version {version})", of.key), value.clone()),
                None => (format!("{} (none)", of.key), String::new()),
            };
            let diff = |of: &ChangedItem| unified(&side(of, of.from), &side(of, of.version));
            items.into_iter().map(|item| ItemDiff { diff: diff(&item), item }).collect()
        });
        let items = diffs.await.map_err(|error| Error::Internal(format!("comparing versions: {error}")))?;
        Ok(ChangeSetDiff { set, app: app.app, items })
    }

    /// Approves every version and deletion of a draft; needs permission 9, and in a profile under four-eyes another account
    /// than those that made them. What is approved already stays so.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn approve(&self, caller: &Caller, id: ChangeSetId) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let (app, set) = self.lock(&mut work, caller, id, Permission::Manage).await?;
        let items = work.change_sets().items(id).await?;
        let heads = heads(&mut *work, &items).await?;
        let staged = |of: &&ChangedItem| of.action == ChangeAction::Delete && !heads[&of.item].is_deleted;
        let own = |of: &ChangedItem| match of.action {
            ChangeAction::Delete => set.author == caller.id,
            _ => heads[&of.item].modifier == caller.id,
        };
        if self.0.settings().four_eyes_profiles.contains(&set.profile)
            && (items.iter().any(own) || items.iter().any(|of| staged(&of)) && set.author == caller.id)
        {
            return Err(self.0.refuse(caller, "to approve its own change in a profile under four-eyes"));
        }
        match set.state {
            ChangeSetState::Draft => {}
            ChangeSetState::Approved => return Ok(()),
            state => return Err(Error::conflict(format!("the change set is {} already", state.as_str()))),
        }
        ChangedItem::refuse_stale(&items, &heads)?;
        let versions = items.iter().filter(|of| of.action != ChangeAction::Delete);
        let versions: Vec<VersionOf> =
            versions.map(|of| VersionOf { item: of.item, version: of.version }).collect();
        work.items().approve_all(&versions, caller.id).await?;
        let (from, to) = (ChangeSetState::Draft, ChangeSetState::Approved);
        work.change_sets().advance(id, from, to, Some(caller.id)).await?;
        let of_set = Entry::new("changeset.approve", set_name(&app, &set.profile, id));
        let named = |of: &ChangedItem| format!("{}/{}/{}", app.app, set.profile, of.key);
        let of_items = items.iter().filter(|of| of.action != ChangeAction::Delete);
        let of_items = of_items.map(|of| Entry::new("config.approve", named(of)));
        work.record_all(of_items.chain([of_set]).collect()).await?;
        Ok(work.commit().await?)
    }

    /// Takes back a set that was not released; needs permission 1. Each item that is still as the set made it gets a
    /// version with what is published of it, or with what it said before where nothing is; what the set created and nothing
    /// was released of is deleted. Items that were edited since stay.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn discard(&self, caller: &Caller, id: ChangeSetId) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let (app, set) = self.lock(&mut work, caller, id, Permission::Develop).await?;
        if !matches!(set.state, ChangeSetState::Draft | ChangeSetState::Approved) {
            return Err(Error::conflict(format!("the change set is {} already", set.state.as_str())));
        }
        let items = work.change_sets().items(id).await?;
        let heads = heads(&mut *work, &items).await?;
        let ids: Vec<ItemId> = items.iter().map(|of| of.item).collect();
        let active: HashSet<ItemId> = work.releases().with_active(&ids).await?.into_iter().collect();
        let untouched = items.iter().filter(|of| of.action != ChangeAction::Delete);
        let untouched = untouched.filter(|of| is_fresh(of, &heads[&of.item]));
        let (mut deleted, mut restored) = (Vec::new(), Vec::new());
        for of in untouched {
            let published = heads[&of.item].published_version;
            if published > 0 || of.action == ChangeAction::Update {
                let version = if published > 0 { published } else { of.from };
                restored.extend((version != of.version).then_some(VersionOf { item: of.item, version }));
            } else if !active.contains(&of.item) {
                deleted.push(VersionOf { item: of.item, version: of.version });
            }
        }
        let mut next = work.items().versions(&restored).await?;
        for VersionedItem { item, version } in &mut next {
            // Its content was approved, or not, and stays so.
            let number = heads[item].version + 1;
            let (modifier, modify_time) = (caller.id, self.0.clock().now());
            *version = ItemVersion { version: number, modifier, modify_time, ..version.clone() };
        }
        if !work.items().amend_all(&next).await? || !work.items().delete_all(&deleted, None).await? {
            return Err(changed_meanwhile());
        }
        work.change_sets().advance(id, set.state, ChangeSetState::Discarded, None).await?;
        let keys: HashMap<ItemId, &str> = items.iter().map(|of| (of.item, &*of.key)).collect();
        let named = |item: ItemId| format!("{}/{}/{}", app.app, set.profile, keys[&item]);
        let rolled = next
            .iter()
            .map(|of| Entry::new("config.rollback", named(of.item)).new_digest(of.version.digest()));
        let gone = deleted.iter().map(|of| Entry::new("config.delete", named(of.item)));
        let of_set = Entry::new("changeset.discard", set_name(&app, &set.profile, id));
        let entries = rolled.chain(gone).chain([of_set]).collect();
        work.record_all(entries).await?;
        Ok(work.commit().await?)
    }

    /// A set and its app, for a caller with that permission. An unknown id is refused like one of a foreign app, except to
    /// those who may do it everywhere.
    async fn open(
        &self,
        store: &mut dyn Repositories,
        caller: &Caller,
        id: ChangeSetId,
        needed: Permission,
    ) -> Result<(App, ChangeSet)> {
        let found = store.change_sets().find(id).await?;
        let reach = found.as_ref().map_or(Reach::App, |set| Reach::Profile(&set.profile));
        let app = found.as_ref().map(|set| set.app);
        require(self.0, store, caller, (app, reach), needed).await?;
        let absent = || Error::not_found("the change set");
        let set = found.ok_or_else(absent)?;
        Ok((store.apps().by_id(set.app).await?.ok_or_else(absent)?, set))
    }

    /// The same in a transaction that holds the app's lock from now on.
    pub(in crate::config) async fn lock(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        id: ChangeSetId,
        needed: Permission,
    ) -> Result<(App, ChangeSet)> {
        let (app, set) = self.open(&mut **work, caller, id, needed).await?;
        lock_app(self.0, work, caller, (&app.app, Reach::Profile(&set.profile)), needed).await?;
        self.open(&mut **work, caller, id, needed).await
    }
}

/// Name of a set in the audit trail.
pub(super) fn set_name(app: &App, profile: &str, id: ChangeSetId) -> String {
    format!("{}/{profile} changeset {id}", app.app)
}

/// The items of a set as they stand.
async fn heads(store: &mut dyn Repositories, items: &[ChangedItem]) -> Result<HashMap<ItemId, ItemHead>> {
    let ids: Vec<ItemId> = items.iter().map(|of| of.item).collect();
    let heads = store.items().heads_of(&ids).await?;
    let heads: HashMap<ItemId, ItemHead> = heads.into_iter().map(|head| (head.item, head)).collect();
    if items.iter().all(|of| heads.contains_key(&of.item)) {
        Ok(heads)
    } else {
        Err(Error::Internal("a change set names an item that does not exist".to_owned()))
    }
}

/// Whether an item is as the set left it. One that is deleted is as a deletion wants it.
fn is_fresh(of: &ChangedItem, head: &ItemHead) -> bool {
    match of.action {
        ChangeAction::Delete => head.is_deleted || head.version == of.from,
        _ => !head.is_deleted && head.version == of.version,
    }
}

impl ChangedItem {
    /// Refuses a set whose items were edited since it was made, and names their keys.
    pub(in crate::config) fn refuse_stale(items: &[Self], heads: &HashMap<ItemId, ItemHead>) -> Result<()> {
        let is_stale = |of: &&Self| heads.get(&of.item).is_none_or(|head| !is_fresh(of, head));
        let stale: Vec<&str> = items.iter().filter(is_stale).map(|of| &*of.key).collect();
        if stale.is_empty() {
            return Ok(());
        }
        let more = if stale.len() > MAX_NAMED { ", …" } else { "" };
        let named = stale[..stale.len().min(MAX_NAMED)].join(", ");
        Err(Error::conflict(format!("edited since the change set was made: {named}{more}")))
    }
}
