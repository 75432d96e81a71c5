//! Making of a release: which nodes it is for, which releases it ends, and its parts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::inheritance::take_over;
use super::release::{Release, ReleaseId, ReleaseKind, ReleaseState, Released};
use super::release_event::ReleaseEvent;
use super::releases::Releases;
use super::selector::Selector;
use crate::account::{AccountId, CallerTransaction, Entry};
use crate::config::authoring::{App, ChangeSetId, VersionOf};
use crate::config::identifier::ItemId;
use crate::ports::UnitOfWork;
use crate::webhook::EventKind;
use crate::{Error, Result};

/// The most pairs of an item and a node of a grey release, each of which is kept in memory.
const MAX_PAIRS: usize = 1_000_000;

/// A release that is about to be made.
pub(super) struct NewRelease<'a> {
    pub(super) app: &'a App,
    pub(super) profile: &'a str,
    /// Items that differ; at least one.
    pub(super) parts: Vec<NewPart>,
    pub(super) title: String,
    pub(super) change_set: Option<ChangeSetId>,
}

/// An item of a release that is about to be made.
pub(super) struct NewPart {
    pub(super) item: ItemId,
    pub(super) key: String,
    /// The version to publish; 0 where the nodes are to lose the key.
    pub(super) version: i64,
    /// The newest version of an item that a full release deletes.
    pub(super) drops: Option<i64>,
}

impl NewRelease<'_> {
    fn items(&self) -> Vec<ItemId> {
        self.parts.iter().map(|part| part.item).collect()
    }
}

/// The nodes of a release.
struct Targets {
    kind: ReleaseKind,
    /// Ids of the nodes of a grey release, sorted.
    nodes: Vec<String>,
    count: i64,
}

/// When and by whom a release is made.
struct Making {
    by: AccountId,
    time: DateTime<Utc>,
    revision: i64,
}

impl Releases<'_> {
    /// Makes a release for the nodes of a selection, under the app's lock, with these rows of the audit trail.
    pub(super) async fn make(
        &self,
        work: &mut CallerTransaction<'_>,
        new: NewRelease<'_>,
        selector: &Selector,
        entries: Vec<Entry>,
    ) -> Result<Released> {
        let active = work.releases().active_of(&new.items()).await?;
        let now = work.now().await?;
        let targets = self.targets(&mut **work, &new, (selector, &active), now).await?;
        let ended = ended_greys(&mut **work, &new, &active, targets.kind).await?;
        work.record_all(entries).await?;
        let making = Making { by: work.caller().id, time: now, revision: raise(&mut **work, new.app).await? };
        work.releases().end_all(&ended, ReleaseKind::Grey, ReleaseState::Superseded, making.revision).await?;
        let released = self.put(work, &new, &active, (targets, &making)).await?;
        let data = event(&new, released.release).published(work.caller(), released.kind, released.targets);
        self.0.queue_event(&mut **work, EventKind::ReleasePublished, data).await?;
        Ok(released)
    }

    /// Makes the full release of what an active grey one is of, which thereby ends.
    pub(super) async fn make_of_grey(
        &self,
        work: &mut CallerTransaction<'_>,
        new: NewRelease<'_>,
        grey: ReleaseId,
        entry: Entry,
    ) -> Result<Released> {
        let active = work.releases().active_of(&new.items()).await?;
        let now = work.now().await?;
        let targets = self.targets(&mut **work, &new, (&Selector::default(), &active), now).await?;
        work.record(entry).await?;
        let making = Making { by: work.caller().id, time: now, revision: raise(&mut **work, new.app).await? };
        let (kind, state) = (ReleaseKind::Grey, ReleaseState::Promoted);
        work.releases().end_all(&new.items(), kind, state, making.revision).await?;
        let released = self.put(work, &new, &active, (targets, &making)).await?;
        let data = event(&new, released.release).promoted(work.caller(), grey, released.targets);
        self.0.queue_event(&mut **work, EventKind::ReleasePromoted, data).await?;
        Ok(released)
    }

    /// The nodes that a selection means.
    async fn targets(
        &self,
        work: &mut dyn UnitOfWork,
        new: &NewRelease<'_>,
        (selector, active): (&Selector, &[Release]),
        now: DateTime<Utc>,
    ) -> Result<Targets> {
        let registered =
            if selector.is_full() { Vec::new() } else { work.nodes().list(new.app.id, new.profile).await? };
        if selector.is_full() || self.reaches_all(selector, &registered, now) {
            let count = work.nodes().count_online(new.app.id, new.profile, now).await?;
            return Ok(Targets { kind: ReleaseKind::Full, nodes: Vec::new(), count });
        }
        let greys = active.iter().filter(|release| release.kind == ReleaseKind::Grey);
        let held: HashSet<&str> = greys.flat_map(|release| &release.nodes).map(String::as_str).collect();
        let nodes = selector.choose(new.parts[0].item, &registered, &held, now)?;
        if nodes.len() * new.parts.len() > MAX_PAIRS {
            let why = format!(
                "a grey release may have at most {MAX_PAIRS} pairs of an item and a node, not {} items for {} nodes",
                new.parts.len(),
                nodes.len()
            );
            return Err(Error::conflict(why));
        }
        let count = i64::try_from(nodes.len()).unwrap_or(i64::MAX);
        Ok(Targets { kind: ReleaseKind::Grey, nodes, count })
    }

    /// Puts a release into effect at a revision. The grey ones that it ends have ended.
    async fn put(
        &self,
        work: &mut CallerTransaction<'_>,
        new: &NewRelease<'_>,
        active: &[Release],
        (targets, making): (Targets, &Making),
    ) -> Result<Released> {
        let Targets { kind, nodes, count } = targets;
        let revision = making.revision;
        if kind == ReleaseKind::Full {
            work.releases().end_all(&new.items(), kind, ReleaseState::Superseded, revision).await?;
            let dropped = new
                .parts
                .iter()
                .filter_map(|part| part.drops.map(|version| VersionOf { item: part.item, version }));
            let dropped: Vec<VersionOf> = dropped.collect();
            let released = new.parts.iter().filter(|part| part.drops.is_none());
            let released: Vec<VersionOf> =
                released.map(|part| VersionOf { item: part.item, version: part.version }).collect();
            if !work.items().release_all(&released, revision).await?
                || !work.items().delete_all(&dropped, Some(revision)).await?
            {
                return Err(Error::conflict("the config was changed meanwhile"));
            }
        }
        let held: HashMap<(ItemId, ReleaseKind), &Release> =
            active.iter().map(|held| ((held.item, held.kind), held)).collect();
        let part = |part: &NewPart, set: Option<ReleaseId>| {
            let same = |kind| held.get(&(part.item, kind)).filter(|held| held.version == part.version);
            Release {
                id: ReleaseId::UNSAVED,
                set,
                title: if set.is_none() { new.title.clone() } else { String::new() },
                change_set: new.change_set,
                item: part.item,
                version: part.version,
                kind,
                state: ReleaseState::Active,
                publisher: making.by,
                publish_time: making.time,
                revision,
                end_revision: None,
                nodes: nodes.clone(),
                // Where both are of this version, every node has it from the full one.
                origin: same(ReleaseKind::Full).or(same(ReleaseKind::Grey)).map(|held| held.id),
            }
        };
        let release = work.releases().insert(&part(&new.parts[0], None)).await?;
        for parts in new.parts[1..].chunks(PARTS) {
            let parts: Vec<Release> = parts.iter().map(|of| part(of, Some(release))).collect();
            work.releases().insert_parts(&parts).await?;
        }
        let is_held = |part: &NewPart| {
            let kinds = [ReleaseKind::Full, ReleaseKind::Grey];
            let held = kinds.map(|kind| held.get(&(part.item, kind)).map(|held| held.version));
            held.contains(&Some(part.version))
        };
        if new.parts.iter().all(|part| part.version == 0 || is_held(part)) {
            take_over(&mut **work, release, making.time).await?;
        }
        let items = i64::try_from(new.parts.len()).unwrap_or(i64::MAX);
        Ok(Released { release, kind, targets: count, items })
    }
}

/// Parts made at once: each has a list of nodes.
const PARTS: usize = 500;

/// The items of the active grey releases that this one ends: a full release ends those whose items it has all, a grey one
/// those of the same items. One that overlaps otherwise is refused.
async fn ended_greys(
    work: &mut dyn UnitOfWork,
    new: &NewRelease<'_>,
    active: &[Release],
    kind: ReleaseKind,
) -> Result<Vec<ItemId>> {
    let greys = active.iter().filter(|held| held.kind == ReleaseKind::Grey);
    let greys: BTreeSet<ReleaseId> = greys.map(Release::head).collect();
    let greys: Vec<ReleaseId> = greys.into_iter().collect();
    let mut parts: BTreeMap<ReleaseId, Vec<(Release, String)>> = BTreeMap::new();
    for (part, key) in work.releases().parts(&greys).await? {
        if part.state == ReleaseState::Active {
            parts.entry(part.head()).or_default().push((part, key));
        }
    }
    let items: HashSet<ItemId> = new.items().into_iter().collect();
    for (release, parts) in &parts {
        let others = parts.iter().filter(|(part, _)| !items.contains(&part.item));
        let others: Vec<&str> = others.map(|(_, key)| &**key).take(20).collect();
        if !others.is_empty() {
            let why = format!("the grey release {release} has other keys as well: {}", others.join(", "));
            return Err(Error::conflict(why));
        }
        if kind == ReleaseKind::Grey && parts.len() != items.len() {
            let why = format!("the grey release {release} has a part of the keys: promote or abort it first");
            return Err(Error::conflict(why));
        }
    }
    Ok(parts.into_values().flatten().map(|(part, _)| part.item).collect())
}

async fn raise(work: &mut dyn UnitOfWork, app: &App) -> Result<i64> {
    work.apps().raise_revision(app.id).await?.ok_or_else(|| Error::not_found("the config"))
}

fn event<'a>(new: &'a NewRelease<'_>, release: ReleaseId) -> ReleaseEvent<'a> {
    let NewPart { key, version, .. } = &new.parts[0];
    let (app, profile, items) = (new.app, new.profile, new.parts.len());
    ReleaseEvent { app, profile, key, release, version: *version, items }
}

/// Name of a release in the audit trail: that of its item, or of its profile where it has several.
pub(super) fn release_name(app: &App, profile: &str, parts: &[(Release, String)], id: ReleaseId) -> String {
    match parts {
        [(_, key)] => format!("{}/{profile}/{key} release {id}", app.app),
        _ => format!("{}/{profile} release {id}", app.app),
    }
}

/// Counts what was done with a release.
pub(super) fn count_release(action: &'static str) {
    metrics::counter!("pilothouse_releases_total", "action" => action).increment(1);
}
