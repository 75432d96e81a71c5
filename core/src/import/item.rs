//! Import of configuration items with their versions and what is released of them.

use std::collections::BTreeMap;

use super::document::{ItemRecord, ReleaseRecord, VersionRecord};
use super::place::Place;
use super::row_id::RowKind;
use super::transaction::{ImportTransaction, unknown};
use crate::Result;
use crate::account::{AccountId, Entry};
use crate::config::{
    AppId, Content, Item, ItemId, ItemName, ItemVersion, Release, ReleaseId, ReleaseKind, ReleaseState,
};
use crate::ports::LockKey;

/// The greatest number of a version that a document may give.
const MAX_VERSION: i64 = 1_000_000_000;

impl ImportTransaction<'_> {
    /// Imports items. Values are not checked by their validators, which the old systems applied in browsers only.
    pub(super) async fn import_items(&mut self, records: &[ItemRecord]) -> Result<()> {
        let mut ids = self.row_ids(RowKind::Items, records.iter().map(|record| record.id)).await?;
        for place in ids.order() {
            let record = &records[place.index];
            let app = self.app_of(place, record).await?;
            let versions = self.versions(place, record).await?;
            if let Some(known) = self.work.items().find(app, &record.profile, &record.key).await? {
                self.skip_item(place, record, &known)?;
                continue;
            }
            self.reserve(&mut ids, place).await?;
            let id = self.insert_item(place, app, record, &versions).await?;
            self.imported(&mut ids, place, id.0);
        }
        Ok(())
    }

    /// The app of an item, locked.
    async fn app_of(&mut self, place: Place, record: &ItemRecord) -> Result<AppId> {
        item_name(record).check().map_err(|error| place.refused(error))?;
        let absent = || unknown(place, "app", "app", &record.app);
        let app = self.work.apps().by_name(&record.app).await?.ok_or_else(absent)?.id;
        self.lock(LockKey::App(app)).await?;
        // Before the lock was ours it may have been deleted.
        Ok(self.work.apps().by_id(app).await?.ok_or_else(absent)?.id)
    }

    /// The versions of an item as they are kept, by number.
    async fn versions(&mut self, place: Place, record: &ItemRecord) -> Result<Vec<ItemVersion>> {
        if record.versions.is_empty() {
            return Err(place.invalid("versions", "must hold at least one version"));
        }
        let mut versions = BTreeMap::new();
        for (n, record) in record.versions.iter().enumerate() {
            let field = format!("versions[{n}]");
            if !(1..=MAX_VERSION).contains(&record.version) {
                let reason = format!("must be from 1 to {MAX_VERSION}");
                return Err(place.invalid(format_args!("{field}.version"), reason));
            }
            let version = self.version(place, &field, record).await?;
            if versions.insert(version.version, version).is_some() {
                return Err(place.invalid(format_args!("{field}.version"), "occurs twice"));
            }
        }
        Ok(versions.into_values().collect())
    }

    async fn version(&mut self, place: Place, field: &str, record: &VersionRecord) -> Result<ItemVersion> {
        let content = content(record);
        content.check().map_err(|error| place.refused_in(field, error))?;
        let modify_time = self.time(place, format_args!("{field}.modify_time"), record.modify_time)?;
        let modifier =
            self.past_account(place, format_args!("{field}.modifier"), record.modifier.as_deref()).await?;
        let approver =
            self.past_account(place, format_args!("{field}.approver"), record.approver.as_deref()).await?;
        let approver = record.approved.then_some(approver);
        Ok(ItemVersion { version: record.version, content, modifier, modify_time, approver })
    }

    /// Skips an item that the store has already, where it and what is released of it are the document's.
    fn skip_item(&mut self, place: Place, record: &ItemRecord, known: &Item) -> Result<()> {
        let released = released_version(place, record)?;
        let current = record.versions.iter().max_by_key(|version| version.version).map(content);
        let members = [
            ("value, validator or description", current.as_ref() == Some(&known.current.content)),
            (
                "what is released",
                match released {
                    Some(released) => known.published_version > 0 && known.published_value == released.value,
                    None => known.published_version == 0,
                },
            ),
        ];
        self.skip_equal(place, format_args!("the config {}", item_name(record)), &members)
    }

    /// Inserts an item with its versions. They keep their numbers, unless a deleted item of that key had greater ones.
    async fn insert_item(
        &mut self,
        place: Place,
        app: AppId,
        record: &ItemRecord,
        versions: &[ItemVersion],
    ) -> Result<ItemId> {
        let taken = || place.conflict("the key is taken");
        let (first, later) = versions.split_first().ok_or_else(taken)?;
        let inserted = self.work.items().insert(app, &record.profile, &record.key, first).await?;
        let (id, begin) = inserted.ok_or_else(taken)?;
        let mut last = self.keep_number(id, begin, first).await?;
        let mut numbers = BTreeMap::from([(first.version, last.version)]);
        for version in later {
            let next = ItemVersion { version: last.version + 1, ..version.clone() };
            if !self.work.items().amend(id, &next).await? {
                return Err(taken());
            }
            last = self.keep_number(id, next.version, version).await?;
            numbers.insert(version.version, last.version);
        }
        if let Some((old, new)) = numbers.iter().find(|(old, new)| old != new) {
            let note =
                format!("an item of this key was deleted, and numbers go on behind its: {old} became {new}");
            self.note(place, note);
        }
        let entry = Entry::new("config.import", item_name(record).to_string()).new_digest(last.digest());
        self.record(entry).await?;
        if let Some(release) = &record.released {
            released_version(place, record)?;
            let version = numbers.get(&release.version).copied().unwrap_or(last.version);
            self.release(place, (app, id), version, release).await?;
        }
        Ok(id)
    }

    /// Has the version that was just added as `number` keep the number of the document, and its approval.
    async fn keep_number(&mut self, id: ItemId, number: i64, version: &ItemVersion) -> Result<ItemVersion> {
        let is_renumbered = self.work.items().renumber(id, number, version.version).await?;
        let number = if is_renumbered { version.version } else { number };
        if let Some(approver) = version.approver {
            self.work.items().approve(id, number, approver).await?;
        }
        Ok(ItemVersion { version: number, ..version.clone() })
    }

    /// Makes a version the one that is released to all nodes.
    async fn release(
        &mut self,
        place: Place,
        (app, item): (AppId, ItemId),
        version: i64,
        record: &ReleaseRecord,
    ) -> Result<()> {
        let publish_time = self.time(place, "released.publish_time", record.publish_time)?;
        let publisher: AccountId =
            self.past_account(place, "released.publisher", record.publisher.as_deref()).await?;
        let gone = || place.conflict("the app is gone");
        let revision = self.work.apps().raise_revision(app).await?.ok_or_else(gone)?;
        if !self.work.items().promote(item, version, revision).await? {
            return Err(gone());
        }
        let release = Release {
            id: ReleaseId::UNSAVED,
            set: None,
            title: String::new(),
            change_set: None,
            item,
            version,
            kind: ReleaseKind::Full,
            state: ReleaseState::Active,
            publisher,
            publish_time,
            revision,
            end_revision: None,
            nodes: Vec::new(),
            origin: None,
        };
        self.work.releases().insert(&release).await?;
        self.released_apps.insert(app);
        Ok(())
    }
}

fn item_name(record: &ItemRecord) -> ItemName {
    ItemName { app: record.app.clone(), profile: record.profile.clone(), key: record.key.clone() }
}

fn content(record: &VersionRecord) -> Content {
    let VersionRecord { value, validator, description, .. } = record.clone();
    Content { value, validator, description }
}

/// The version that is released, which must be one of the item's.
fn released_version(place: Place, record: &ItemRecord) -> Result<Option<&VersionRecord>> {
    let Some(release) = &record.released else { return Ok(None) };
    let found = record.versions.iter().find(|version| version.version == release.version);
    match found {
        Some(version) => Ok(Some(version)),
        None => Err(place.invalid("released.version", "must be the number of one of the versions")),
    }
}
