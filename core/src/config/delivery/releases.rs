//! The use cases of releases: publish, promote, abort.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::acknowledgement::AckResult;
use super::new_release::{NewPart, NewRelease, count_release, release_name};
use super::node::{Node, NodeNumber};
use super::release::{Release, ReleaseId, ReleaseKind, ReleaseState, Released};
use super::release_event::ReleaseEvent;
use super::selector::Selector;
use crate::account::{Caller, CallerTransaction, Entry, Reach};
use crate::config::authoring::{App, ChangeSetState, Item, ItemVersion};
use crate::config::identifier::ItemId;
use crate::ports::Repositories;
use crate::webhook::EventKind;
use crate::{Error, Pilothouse, Result};

/// The use cases of releases.
#[derive(Clone, Copy, Debug)]
pub struct Releases<'a>(pub(crate) &'a Pilothouse);

/// An active grey release, in a transaction that holds the lock of its app.
pub(super) struct LockedGrey {
    pub(super) app: App,
    pub(super) profile: String,
    /// Its parts that are active, with their keys; at least one.
    pub(super) parts: Vec<(Release, String)>,
}

impl LockedGrey {
    pub(super) fn items(&self) -> Vec<ItemId> {
        self.parts.iter().map(|(part, _)| part.item).collect()
    }
}

impl Releases<'_> {
    /// Publishes a version of an item, without one the current; it must be approved. Needs permission 9. Without a selection it is a
    /// full release, which ends the grey one; with one it is a grey release, which takes the place of the grey one there
    /// is. One that only names the nodes, and names all that are online, is a full release too, unless it says or the
    /// settings say otherwise.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn publish(
        &self,
        caller: &Caller,
        id: ItemId,
        selector: &Selector,
        version: Option<i64>,
    ) -> Result<Released> {
        let mut work = self.0.write_as(caller).await?;
        let app = work.items().app_of(id).await?;
        let absent = || Error::not_found("the config");
        let place = work.items().place(id).await?;
        let reach = place.as_ref().map_or(Reach::App, |(profile, _)| Reach::Profile(profile));
        let app =
            self.0.apps().lock_for_manager(&mut work, caller, (app, reach)).await?.ok_or_else(absent)?;
        let item = work.items().by_id(id).await?.ok_or_else(absent)?;
        let chosen = approved(&mut *work, &item, version).await?;
        let entry = Entry::new("config.publish", format!("{}/{}/{}", app.app, item.profile, item.key));
        let entry = entry.new_digest(chosen.digest());
        let part = NewPart { item: id, key: item.key.clone(), version: chosen.version, drops: None };
        let new = NewRelease {
            app: &app,
            profile: &item.profile,
            parts: vec![part],
            title: String::new(),
            change_set: None,
        };
        let released = self.make(&mut work, new, selector, vec![entry]).await?;
        work.commit().await?;
        count_release(released.kind.as_str());
        self.0.announce_change(app.id).await;
        Ok(released)
    }

    /// Whether a selection reaches everybody there is. To name them all is the only way to publish to all that programs
    /// know that were written before releases without a selection.
    pub(super) fn reaches_all(self, selector: &Selector, registered: &[Node], now: DateTime<Utc>) -> bool {
        self.0.settings().nodes_all_online_is_full
            && !selector.stays_grey
            && selector.names_all_online(registered, now)
    }

    /// Makes a grey release the full one; needs permission 9. Also where its items have newer versions by now: a key that
    /// it deletes and that has one stays as a draft. Refused while a node rejects or fails it, unless it is forced.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn promote(&self, caller: &Caller, id: ReleaseId, is_forced: bool) -> Result<Released> {
        let mut work = self.0.write_as(caller).await?;
        let grey = self.lock_grey(&mut work, caller, id).await?;
        if !is_forced {
            refuse_held(&mut *work, &grey).await?;
        }
        let heads = work.items().heads_of(&grey.items()).await?;
        let parts = grey.parts.iter().map(|(part, key)| {
            let head = heads.iter().find(|head| head.item == part.item);
            let unchanged = head.filter(|head| part.version == 0 && head.version == head.published_version);
            let drops = unchanged.map(|head| head.version);
            NewPart { item: part.item, key: key.clone(), version: part.version, drops }
        });
        let (first, _) = &grey.parts[0];
        let new = NewRelease {
            app: &grey.app,
            profile: &grey.profile,
            parts: parts.collect(),
            title: first.title.clone(),
            change_set: first.change_set,
        };
        let name = release_name(&grey.app, &grey.profile, &grey.parts, id);
        let released = self.make_of_grey(&mut work, new, id, Entry::new("release.promote", name)).await?;
        work.commit().await?;
        count_release("promoted");
        self.0.announce_change(grey.app.id).await;
        Ok(released)
    }

    /// Takes a grey release back: its nodes are told to go back to the full one; needs permission 9.
    #[tracing::instrument(level = "debug", skip_all)]
    pub async fn abort(&self, caller: &Caller, id: ReleaseId) -> Result<()> {
        let mut work = self.0.write_as(caller).await?;
        let grey = self.lock_grey(&mut work, caller, id).await?;
        let name = release_name(&grey.app, &grey.profile, &grey.parts, id);
        work.record(Entry::new("release.abort", name)).await?;
        let absent = || Error::not_found("the config");
        let revision = work.apps().raise_revision(grey.app.id).await?.ok_or_else(absent)?;
        let (kind, state) = (ReleaseKind::Grey, ReleaseState::Aborted);
        work.releases().end_all(&grey.items(), kind, state, revision).await?;
        let (first, key) = &grey.parts[0];
        if let Some(set) = first.change_set {
            let (from, to) = (ChangeSetState::Released, ChangeSetState::Approved);
            work.change_sets().advance(set, from, to, None).await?;
        }
        let event = ReleaseEvent {
            app: &grey.app,
            profile: &grey.profile,
            key,
            release: id,
            version: first.version,
            items: grey.parts.len(),
        };
        self.0.queue_event(&mut *work, EventKind::ReleaseAborted, event.aborted(caller)).await?;
        work.commit().await?;
        count_release("aborted");
        self.0.announce_change(grey.app.id).await;
        Ok(())
    }

    /// A release that is named by its first part, with its app, profile and all of its parts, in a transaction that holds
    /// the app's lock from now on.
    pub(super) async fn lock(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        id: ReleaseId,
    ) -> Result<LockedGrey> {
        let absent = || Error::not_found("the release");
        let found = work.releases().by_id(id).await?.filter(|release| release.set.is_none());
        let (app, place) = match &found {
            Some(release) => {
                (work.items().app_of(release.item).await?, work.items().place(release.item).await?)
            }
            None => (None, None),
        };
        let reach = place.as_ref().map_or(Reach::App, |(profile, _)| Reach::Profile(profile));
        let app = self.0.apps().lock_for_manager(work, caller, (app, reach)).await?.ok_or_else(absent)?;
        let (profile, _) = place.ok_or_else(absent)?;
        let parts = work.releases().parts(&[id]).await?;
        if parts.is_empty() { Err(absent()) } else { Ok(LockedGrey { app, profile, parts }) }
    }

    /// The same of an active grey release, with those of its parts that are active.
    pub(super) async fn lock_grey(
        &self,
        work: &mut CallerTransaction<'_>,
        caller: &Caller,
        id: ReleaseId,
    ) -> Result<LockedGrey> {
        let mut grey = self.lock(work, caller, id).await?;
        if grey.parts[0].0.kind != ReleaseKind::Grey {
            return Err(Error::conflict("it is no grey release"));
        }
        grey.parts.retain(|(part, _)| part.state == ReleaseState::Active);
        if grey.parts.is_empty() {
            return Err(Error::conflict("the release is not active any more"));
        }
        Ok(grey)
    }
}
/// The most nodes that a refusal names.
const MAX_NAMED: usize = 20;

/// Refuses to go on with a grey release that a node of it rejects or fails, as far as servers have stored that: within a second
/// of the node's word, and before its acknowledgement is answered.
async fn refuse_held(repositories: &mut dyn Repositories, grey: &LockedGrey) -> Result<()> {
    let releases: Vec<ReleaseId> = grey.parts.first().map(|(part, _)| part.head()).into_iter().collect();
    let records = repositories.deliveries().of_releases(&releases).await?;
    let refusing = records.iter().filter(|record| {
        record.ack.as_ref().is_some_and(|ack| matches!(ack.result, AckResult::Rejected | AckResult::Failed))
    });
    let refusing: HashSet<NodeNumber> = refusing.map(|record| record.node).collect();
    if refusing.is_empty() {
        return Ok(());
    }
    let nodes = repositories.nodes().list(grey.app.id, &grey.profile).await?;
    let wanted: HashSet<&str> =
        grey.parts.iter().flat_map(|(part, _)| &part.nodes).map(String::as_str).collect();
    let named =
        nodes.iter().filter(|node| refusing.contains(&node.number) && wanted.contains(&*node.node_id));
    let named: Vec<&str> = named.map(|node| &*node.node_id).take(MAX_NAMED).collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(Error::conflict(format!(
        "the release holds, as nodes reject or fail it: {}; force=true promotes it all the same",
        named.join(", ")
    )))
}

/// Number of versions before the current one that are looked at for one that could be published in its place.
const LOOKED_AT: i64 = 20;

/// The version of an item to publish, which is approved: that one, or the current. Where the current is not, the error
/// names the last one that is.
async fn approved(
    repositories: &mut dyn Repositories,
    item: &Item,
    version: Option<i64>,
) -> Result<ItemVersion> {
    let current = item.current.version;
    let number = version.unwrap_or(current);
    let mut found = async |number: i64| -> Result<Option<ItemVersion>> {
        let items = repositories.items();
        let found = items.version(item.app, &item.profile, &item.key, number).await?;
        Ok(found.filter(|found| found.approver.is_some()))
    };
    if let Some(chosen) = found(number).await? {
        return Ok(chosen);
    }
    if version.is_none() {
        for earlier in (current.saturating_sub(LOOKED_AT).max(1)..current).rev() {
            if found(earlier).await?.is_some() {
                let why = format!(
                    "version {current} is not approved; version={earlier} would publish the last that is"
                );
                return Err(Error::conflict(why));
            }
        }
    }
    Err(Error::conflict(format!("version {number} is not approved")))
}
