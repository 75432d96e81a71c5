//! Releases of several items: of a change set, of keys, and the way back.

use std::collections::{HashMap, HashSet};

use super::new_release::{NewPart, NewRelease, count_release, release_name};
use super::release::{Release, ReleaseId, ReleaseKind, ReleaseState, Released};
use super::releases::Releases;
use super::selector::Selector;
use crate::account::{Caller, CallerTransaction, Entry, Reach};
use crate::config::authoring::{
    App, Applied, ChangeAction, ChangeSet, ChangeSetId, ChangeSetState, ChangeSets, ChangedItem, ItemHead,
    NewChangeSet,
};
use crate::config::identifier::{ItemId, check_identifier};
use crate::{Error, Result, check_text};

/// The most keys of one release.
const MAX_KEYS: usize = 10_000;
/// The most keys that a refusal names.
const MAX_NAMED: usize = 20;

/// A release of several items to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewReleaseSet {
    /// Name of the app.
    pub app: String,
    /// The profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
    pub profile: String,
    /// Content to release.
    pub content: ReleaseContent,
    /// The nodes it is for.
    pub selector: Selector,
    /// Title for people: at most 256 bytes; that of the change set where it is empty.
    pub title: String,
}

/// Content of a release of several items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseContent {
    /// The versions and deletions of a change set.
    ChangeSet(ChangeSetId),
    /// The current versions of 1 to 10,000 keys.
    Keys(Vec<String>),
}

impl Default for ReleaseContent {
    fn default() -> Self {
        Self::Keys(Vec::new())
    }
}

impl Releases<'_> {
    /// Publishes several items as one release: at one revision, in one event to each node. Needs permission 9; every version
    /// must be approved. Ends and replaces other releases as [`Self::publish`] does.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn publish_set(&self, caller: &Caller, new: &NewReleaseSet) -> Result<Released> {
        let mut work = self.0.write_as(caller).await?;
        let app = work.apps().by_name(&new.app).await?.map(|app| app.id);
        let place = (app, Reach::Profile(&new.profile));
        let app = self.0.apps().lock_for_manager(&mut work, caller, place).await?;
        check_identifier("app", &new.app)?;
        let app = app.ok_or_else(|| Error::not_found("the app"))?;
        check_identifier("profile", &new.profile)?;
        check_text("title", &new.title, 0, 256, false)?;
        let (mut parts, set) = match &new.content {
            ReleaseContent::Keys(keys) => (parts_of_keys(&mut work, &app, new, keys).await?, None),
            ReleaseContent::ChangeSet(id) => {
                let found = work.change_sets().find(*id).await?;
                let found = found.filter(|set| set.app == app.id && set.profile == new.profile);
                let set = found.ok_or_else(|| Error::not_found("the change set"))?;
                (parts_of_set(&mut work, &set).await?, Some(set))
            }
        };
        if parts.is_empty() {
            return Err(Error::conflict(
                "nothing of the change set is left to release: its keys are deleted",
            ));
        }
        parts.sort_unstable_by_key(|part| part.item);
        let title = match &set {
            Some(set) if new.title.is_empty() => set.title.clone(),
            _ => new.title.clone(),
        };
        let released =
            self.release(&mut work, (&app, &new.profile), parts, (title, set), &new.selector).await?;
        work.commit().await?;
        count_release(released.kind.as_str());
        self.0.announce_change(app.id).await;
        Ok(released)
    }

    /// Makes the release of these parts and records it; its change set is released from then on.
    async fn release(
        &self,
        work: &mut CallerTransaction<'_>,
        (app, profile): (&App, &str),
        parts: Vec<NewPart>,
        (title, set): (String, Option<ChangeSet>),
        selector: &Selector,
    ) -> Result<Released> {
        let named = parts.iter().map(|part| format!("{}/{profile}/{}", app.app, part.key));
        let entries: Vec<Entry> = named.map(|name| Entry::new("config.publish", name)).collect();
        let change_set = set.as_ref().map(|set| set.id);
        let new = NewRelease { app, profile, parts, title, change_set };
        let released = self.make(work, new, selector, entries).await?;
        let name = format!("{}/{profile} release {}", app.app, released.release);
        work.record(Entry::new("release.publish", name)).await?;
        if let Some(set) = set {
            work.change_sets().advance(set.id, set.state, ChangeSetState::Released, None).await?;
        }
        Ok(released)
    }

    /// Takes a release back, at once and also under four-eyes, as what it restores was approved before; needs permission 9. Of
    /// an active grey release it is the abort. Of a full one it is a full release of what was released before of each item;
    /// drafts stay. A key that was released again since is refused by name.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn roll_back(&self, caller: &Caller, id: ReleaseId) -> Result<Released> {
        let mut work = self.0.write_as(caller).await?;
        let old = self.lock(&mut work, caller, id).await?;
        let (first, _) = &old.parts[0];
        if first.kind == ReleaseKind::Grey {
            drop(work);
            let (kind, items) = (ReleaseKind::Grey, i64::try_from(old.parts.len()).unwrap_or(i64::MAX));
            self.abort(caller, id).await?;
            return Ok(Released { release: id, kind, targets: 0, items });
        }
        let ended = old.parts.iter().filter(|(part, _)| part.state != ReleaseState::Active);
        let ended: Vec<&str> = ended.map(|(_, key)| &**key).collect();
        if !ended.is_empty() {
            return Err(Error::conflict(format!("released again or deleted since: {}", named(&ended))));
        }
        let before = work.releases().ended_at(&old.items(), first.revision).await?;
        let before: HashMap<ItemId, i64> = before.iter().map(|part| (part.item, part.version)).collect();
        let parts = old.parts.iter().map(|(part, key)| NewPart {
            item: part.item,
            key: key.clone(),
            version: before.get(&part.item).copied().unwrap_or(0),
            drops: None,
        });
        let title = format!("rollback of release {id}");
        let new = NewRelease {
            app: &old.app,
            profile: &old.profile,
            parts: parts.collect(),
            title,
            change_set: None,
        };
        let name = release_name(&old.app, &old.profile, &old.parts, id);
        let entries = vec![Entry::new("release.rollback", name)];
        let released = self.make(&mut work, new, &Selector::default(), entries).await?;
        work.commit().await?;
        count_release("rolled_back");
        self.0.announce_change(old.app.id).await;
        Ok(released)
    }
}

/// Answer of an apply that publishes.
#[derive(Debug)]
pub struct AppliedRelease {
    /// Outcome of each key.
    pub applied: Applied,
    /// The release that was made; `None` in a dry run, and where nothing was to release.
    pub released: Option<Released>,
}

impl ChangeSets<'_> {
    /// Makes changes as [`Self::apply`] does, approves them and releases them to all nodes, in one transaction; needs
    /// permission 9.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn apply_and_publish(&self, caller: &Caller, new: NewChangeSet) -> Result<AppliedRelease> {
        let new = NewChangeSet { approve: true, ..new };
        let prepared = self.prepare(caller, new).await?;
        if prepared.is_dry_run() {
            return Ok(AppliedRelease { applied: prepared.planned(), released: None });
        }
        let mut work = self.0.write_as(caller).await?;
        let (app, new, applied) = self.write_prepared(&mut work, caller, prepared).await?;
        let mut released = None;
        if let Some(id) = applied.change_set
            && let Some(set) = work.change_sets().find(id).await?
        {
            let mut parts = parts_of_set(&mut work, &set).await?;
            parts.sort_unstable_by_key(|part| part.item);
            if parts.is_empty() {
                work.change_sets().advance(id, set.state, ChangeSetState::Released, None).await?;
            } else {
                let releases = self.0.releases();
                let of = (set.title.clone(), Some(set));
                let everyone = Selector::default();
                released =
                    Some(releases.release(&mut work, (&app, &new.profile), parts, of, &everyone).await?);
            }
        }
        work.commit().await?;
        if released.is_some() {
            count_release(ReleaseKind::Full.as_str());
            self.0.announce_change(app.id).await;
        }
        Ok(AppliedRelease { applied, released })
    }
}

/// The current versions of some keys, which must be approved.
async fn parts_of_keys(
    work: &mut CallerTransaction<'_>,
    app: &App,
    new: &NewReleaseSet,
    keys: &[String],
) -> Result<Vec<NewPart>> {
    if keys.is_empty() {
        return Err(Error::invalid("keys", "must not be empty"));
    }
    if keys.len() > MAX_KEYS {
        return Err(Error::invalid("keys", format!("must be at most {MAX_KEYS}, not {}", keys.len())));
    }
    let mut seen = HashSet::new();
    for key in keys {
        check_text("keys", key, 1, 256, false)?;
        if !seen.insert(&**key) {
            return Err(Error::invalid("keys", format!("names {key} twice")));
        }
    }
    let wanted: Vec<&str> = keys.iter().map(String::as_str).collect();
    let heads = work.items().heads(app.id, &new.profile, &wanted).await?;
    let live: Vec<&ItemHead> = heads.iter().filter(|head| !head.is_deleted).collect();
    let known: HashSet<&str> = live.iter().map(|head| &*head.key).collect();
    let absent: Vec<&str> = wanted.into_iter().filter(|key| !known.contains(key)).collect();
    if !absent.is_empty() {
        return Err(Error::not_found(format!("a config of a key ({})", named(&absent))));
    }
    let open: Vec<&str> = live.iter().filter(|head| head.approver.is_none()).map(|head| &*head.key).collect();
    if !open.is_empty() {
        return Err(Error::conflict(format!("the current version is not approved: {}", named(&open))));
    }
    let part = |head: &&ItemHead| NewPart {
        item: head.item,
        key: head.key.clone(),
        version: head.version,
        drops: None,
    };
    Ok(live.iter().map(part).collect())
}

/// The versions and deletions of an approved change set, none of whose items was edited since. Keys that are deleted by now
/// as the set wants it are left out.
async fn parts_of_set(work: &mut CallerTransaction<'_>, set: &ChangeSet) -> Result<Vec<NewPart>> {
    let items = work.change_sets().items(set.id).await?;
    let ids: Vec<ItemId> = items.iter().map(|of| of.item).collect();
    let is_grey = |active: &[Release]| {
        active.iter().any(|held| held.kind == ReleaseKind::Grey && held.change_set == Some(set.id))
    };
    match set.state {
        ChangeSetState::Approved => {}
        ChangeSetState::Released if is_grey(&work.releases().active_of(&ids).await?) => {}
        ChangeSetState::Draft => return Err(Error::conflict("the change set is not approved")),
        state => return Err(Error::conflict(format!("the change set is {} already", state.as_str()))),
    }
    let heads = work.items().heads_of(&ids).await?;
    let heads: HashMap<ItemId, ItemHead> = heads.into_iter().map(|head| (head.item, head)).collect();
    ChangedItem::refuse_stale(&items, &heads)?;
    let remaining = items.iter().filter(|of| !heads[&of.item].is_deleted);
    let part = |of: &ChangedItem| NewPart {
        item: of.item,
        key: of.key.clone(),
        version: of.version,
        drops: (of.action == ChangeAction::Delete).then_some(of.from),
    };
    Ok(remaining.map(part).collect())
}

/// The first keys of a list.
pub(super) fn named(keys: &[&str]) -> String {
    let more = if keys.len() > MAX_NAMED { ", …" } else { "" };
    format!("{}{more}", keys[..keys.len().min(MAX_NAMED)].join(", "))
}
