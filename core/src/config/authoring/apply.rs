//! Apply: many changes of a profile's items, checked one by one and made all or not at all.

use std::collections::HashSet;

use super::app::{App, lock_app, open_app};
use super::apply_plan::{Known, Planned, known, plan, refuse_errors};
use super::change_set::{ChangeAction, ChangeSet, ChangeSetId, ChangeSetState, ChangedItem};
use super::change_sets::{ChangeSets, set_name};
use super::grant::Permission;
use super::item::{ContentChange, ItemHead, ItemVersion, NewItem, VersionOf, VersionedItem};
use crate::account::{Caller, CallerTransaction, Entry, Reach};
use crate::config::identifier::{ItemId, check_identifier};
use crate::ports::Repositories;
use crate::{Error, Result, check_text};

/// The most changes of one set.
const MAX_CHANGES: usize = 10_000;
/// The most bytes of the keys and contents of one set.
const MAX_BYTES: usize = 64 << 20;

/// Changes to be made as one set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewChangeSet {
    /// Name of the app.
    pub app: String,
    /// The profile: 1 to 64 of `[A-Za-z0-9._-]`, not `.` or `..`.
    pub profile: String,
    /// 1 to 10,000 changes of keys that differ, of at most 64 MiB together.
    pub changes: Vec<Change>,
    /// Title for people: at most 256 bytes.
    pub title: String,
    /// Whether to answer what would be done, and do nothing.
    pub dry_run: bool,
    /// Whether to approve the set as well.
    pub approve: bool,
}

/// A change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key: 1 to 256 bytes.
    pub key: String,
    /// The version the caller saw; 0 where the key was not there.
    pub seen: Option<i64>,
    /// New content, or a deletion.
    pub item: ItemChange,
}

/// Effect of a change on its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemChange {
    /// Creates the item, which takes a value, or makes a new version of it; what is not given stays.
    Content(ContentChange),
    /// Deletes the item.
    Delete,
}

/// Answer of an apply.
#[derive(Debug)]
pub struct Applied {
    /// The set that was made; `None` in a dry run, and where nothing was to change.
    pub change_set: Option<ChangeSetId>,
    /// Every change, in the order given.
    pub changes: Vec<AppliedChange>,
}

/// Outcome of a change, or its preview.
#[derive(Debug)]
pub struct AppliedChange {
    /// The key.
    pub key: String,
    /// Item of the key; `None` for one that a dry run would create.
    pub item: Option<ItemId>,
    /// Created, updated, deleted, or the same as before.
    pub action: ChangeAction,
    /// The version before; 0 where the key was not there.
    pub from: i64,
    /// The version that the item has now; 0 for a deletion.
    pub version: i64,
    /// Reason why it cannot be done, in a dry run.
    pub error: Option<Error>,
}

/// Changes that were checked, to be made or only told.
pub(in crate::config) struct PreparedSet {
    new: NewChangeSet,
    known: Known,
    planned: Vec<Planned>,
}

impl PreparedSet {
    pub(in crate::config) fn is_dry_run(&self) -> bool {
        self.new.dry_run
    }

    /// Preview of what an apply would do.
    pub(in crate::config) fn planned(self) -> Applied {
        let changes = self.planned.into_iter().map(|planned| planned.applied).collect();
        Applied { change_set: None, changes }
    }
}

impl NewChangeSet {
    /// Refuses what is over a limit, whatever the store holds.
    fn check(&self) -> Result<()> {
        check_identifier("profile", &self.profile)?;
        check_text("title", &self.title, 0, 256, false)?;
        if self.changes.is_empty() {
            return Err(Error::invalid("changes", "must not be empty"));
        }
        if self.changes.len() > MAX_CHANGES {
            let why = format!("must be at most {MAX_CHANGES}, not {}", self.changes.len());
            return Err(Error::invalid("changes", why));
        }
        let (mut keys, mut bytes) = (HashSet::new(), 0);
        for change in &self.changes {
            if !keys.insert(&change.key) {
                let key: String = change.key.chars().take(64).collect();
                return Err(Error::invalid("changes", format!("names the key {key} twice")));
            }
            bytes += change.key.len();
            if let ItemChange::Content(ContentChange { value, validator, description, .. }) = &change.item {
                bytes +=
                    [value, validator, description].into_iter().flatten().map(String::len).sum::<usize>();
            }
        }
        if bytes > MAX_BYTES {
            return Err(Error::invalid("changes", format!("must be at most {MAX_BYTES} bytes, not {bytes}")));
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> Vec<&str> {
        self.changes.iter().map(|change| &*change.key).collect()
    }

    fn needed(&self) -> Permission {
        if self.approve { Permission::Manage } else { Permission::Develop }
    }

    fn place(&self) -> (&str, Reach<'_>) {
        (&self.app, Reach::Profile(&self.profile))
    }
}

impl ChangeSets<'_> {
    /// Makes the changes as one set, all or none; needs permission 1, and 9 to approve and to delete what was ever released.
    /// A key of which nothing was is deleted at once, any other with the release of the set. Without an error the answer
    /// says what was done about each key; a dry run also answers the errors, key by key.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn apply(&self, caller: &Caller, new: NewChangeSet) -> Result<Applied> {
        let prepared = self.prepare(caller, new).await?;
        if prepared.is_dry_run() {
            return Ok(prepared.planned());
        }
        let mut work = self.0.write_as(caller).await?;
        let (_, _, applied) = self.write_prepared(&mut work, caller, prepared).await?;
        work.commit().await?;
        Ok(applied)
    }

    /// Checks the changes against the store as it is, outside a write transaction, as that may take long.
    pub(in crate::config) async fn prepare(&self, caller: &Caller, new: NewChangeSet) -> Result<PreparedSet> {
        let mut snapshot = self.0.storage().read().await?;
        self.0.require_current(&mut *snapshot, caller).await?;
        let app = open_app(self.0, &mut *snapshot, caller, new.place(), new.needed()).await?;
        new.check()?;
        let known = known(&mut *snapshot, &app, &new).await?;
        self.require_deleter(&mut *snapshot, caller, (&app, &new), &known).await?;
        let olds: Vec<VersionOf> = known.heads.values().map(ItemHead::newest).collect();
        let olds = snapshot.items().versions(&olds).await?;
        drop(snapshot);
        let mut olds = olds.into_iter().map(|old| (old.item, old.version.content)).collect();
        let mut planned = Vec::with_capacity(new.changes.len());
        for change in new.changes.clone() {
            planned.push(plan(&new, change, &known, &mut olds).await);
        }
        Ok(PreparedSet { new, known, planned })
    }

    /// Makes prepared changes as one set, unless one cannot be made or its item was changed since; answers the locked app and
    /// what was asked for as well.
    pub(in crate::config) async fn write_prepared(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        prepared: PreparedSet,
    ) -> Result<(App, NewChangeSet, Applied)> {
        let PreparedSet { new, known, mut planned } = prepared;
        let app = lock_app(self.0, work, caller, new.place(), new.needed()).await?;
        refuse_errors(&planned)?;
        if known != super::apply_plan::known(&mut **work, &app, &new).await? {
            return Err(changed_meanwhile());
        }
        self.require_deleter(&mut **work, caller, (&app, &new), &known).await?;
        let change_set = self.write(work, (&app, &new), &mut planned).await?;
        let changes = planned.into_iter().map(|planned| planned.applied).collect();
        Ok((app, new, Applied { change_set, changes }))
    }

    /// Refuses a caller who may not delete what the set deletes.
    async fn require_deleter(
        &self,
        store: &mut dyn Repositories,
        caller: &Caller,
        (app, new): (&App, &NewChangeSet),
        known: &Known,
    ) -> Result<()> {
        if known.released.is_empty() {
            return Ok(());
        }
        self.0.apps().require_manager(store, caller, (Some(app.id), Reach::Profile(&new.profile))).await
    }

    /// Writes what is planned, under the app's lock; the set, unless nothing changes.
    async fn write(
        &self,
        work: &mut CallerTransaction<'_>,
        (app, new): (&App, &NewChangeSet),
        planned: &mut [Planned],
    ) -> Result<Option<ChangeSetId>> {
        let caller = work.caller().id;
        let time = self.0.clock().now();
        let approver = new.approve.then_some(caller);
        let four_eyes = self.0.settings().four_eyes_profiles.contains(&new.profile);
        if new.approve && four_eyes {
            return Err(self
                .0
                .refuse(work.caller(), "to approve its own change in a profile under four-eyes"));
        }
        let version = |number, content| ItemVersion {
            version: number,
            content,
            modifier: caller,
            modify_time: time,
            approver,
        };
        let (mut created, mut amended, mut deleted, mut entries) = (vec![], vec![], vec![], vec![]);
        for Planned { applied, content, is_staged } in planned.iter_mut() {
            let name = format!("{}/{}/{}", app.app, new.profile, applied.key);
            match (applied.action, content.take()) {
                (ChangeAction::Create, Some(content)) => {
                    let first = version(applied.version, content);
                    entries.push(Entry::new("config.create", name).new_digest(first.digest()));
                    created.push(NewItem { key: applied.key.clone(), first });
                }
                (ChangeAction::Update, Some(content)) => {
                    let next = version(applied.version, content);
                    entries.push(Entry::new("config.update", name).new_digest(next.digest()));
                    let item = applied.item.unwrap_or(ItemId::UNSAVED);
                    amended.push(VersionedItem { item, version: next });
                }
                (ChangeAction::Delete, _) if !*is_staged => {
                    entries.push(Entry::new("config.delete", name));
                    let item = applied.item.unwrap_or(ItemId::UNSAVED);
                    deleted.push(VersionOf { item, version: applied.from });
                }
                _ => {}
            }
        }
        let made = work.items().insert_all(app.id, &new.profile, &created).await?;
        let made = made.ok_or_else(changed_meanwhile)?;
        if !work.items().amend_all(&amended).await? || !work.items().delete_all(&deleted, None).await? {
            return Err(changed_meanwhile());
        }
        let creations = planned.iter_mut().filter(|planned| planned.applied.action == ChangeAction::Create);
        for (planned, made) in creations.zip(made) {
            planned.applied.item = Some(made.item);
            planned.applied.version = made.version;
        }
        let items: Vec<ChangedItem> =
            planned.iter().filter_map(|planned| changed_item(&planned.applied)).collect();
        if items.is_empty() {
            return Ok(None);
        }
        let set = ChangeSet {
            id: ChangeSetId::UNSAVED,
            app: app.id,
            profile: new.profile.clone(),
            title: new.title.clone(),
            state: if new.approve { ChangeSetState::Approved } else { ChangeSetState::Draft },
            author: caller,
            time,
            approver,
            size: i64::try_from(items.len()).unwrap_or(i64::MAX),
        };
        let id = work.change_sets().insert(&set, &items).await?;
        entries.push(Entry::new("changeset.apply", set_name(app, &set.profile, id)));
        if new.approve {
            entries.push(Entry::new("changeset.approve", set_name(app, &set.profile, id)));
        }
        work.record_all(entries).await?;
        Ok(Some(id))
    }
}

/// The item of a set that a change makes; `None` where it changes nothing.
fn changed_item(applied: &AppliedChange) -> Option<ChangedItem> {
    let &AppliedChange { item, action, from, version, .. } = applied;
    let item = item.filter(|_| action != ChangeAction::Same)?;
    Some(ChangedItem { item, key: applied.key.clone(), action, from, version })
}

pub(super) fn changed_meanwhile() -> Error {
    Error::conflict("the configs were changed meanwhile")
}
