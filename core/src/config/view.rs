//! What the nodes of an app should hold, in memory: a picture that does not change and is replaced as a whole.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::key::AppSecret;
use super::namespace::{Answers, Asked, Namespace, Part};
use super::timeline::{Span, Timeline};
use super::{AppId, Deliverable, ReleaseId};
use crate::pilothouse::lock;

/// For how many revisions a node that was away is told only what changed. Who was away for longer is told everything.
pub(super) const MEMORY: i64 = 256;
/// How many different answers of one view are kept to be shared.
pub(super) const SHARED: usize = 256;

/// An item as a node should hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its key.
    pub key: Arc<str>,
    /// Its value.
    pub value: Arc<str>,
    /// Its version.
    pub version: i64,
    /// The release that says so.
    pub release: ReleaseId,
}

/// What a node is told. Nodes that are told the same share one, and what it was written as.
#[derive(Debug)]
pub struct Change {
    /// The app's revision that the node is at after it.
    pub revision: i64,
    /// What is new, by key.
    pub items: Vec<Held>,
    /// The keys that the node should hold no more.
    pub removed: Vec<Arc<str>>,
    written: [OnceLock<Bytes>; 2],
}

/// The forms in which a [`Change`] is written and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An event of a stream.
    Event,
    /// An answer of its own.
    Answer,
}

impl Change {
    fn new(revision: i64, items: Vec<Held>, removed: Vec<Arc<str>>) -> Self {
        Self { revision, items, removed, written: Default::default() }
    }

    /// Nothing, at a revision.
    pub fn nothing(revision: i64) -> Self {
        Self::new(revision, Vec::new(), Vec::new())
    }

    /// What `write` makes of it, which is asked once for each form.
    pub fn written(&self, form: Form, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.written[form as usize].get_or_init(|| write(self)).clone()
    }
}

/// All that a node should hold.
#[derive(Debug)]
pub struct Holding {
    /// As a change from nothing.
    pub change: Change,
    /// Names this set of keys and versions: equal for equal ones, whatever the revision.
    pub tag: u64,
}

/// What the nodes of an app should hold at a revision, and how that came to be.
#[derive(Debug)]
pub struct View {
    app: AppId,
    revision: i64,
    keys: Vec<AppSecret>,
    profiles: HashMap<Arc<str>, Profile>,
}

/// A profile: what it says, and what nodes were told of it.
#[derive(Debug, Default)]
struct Profile {
    timelines: Arc<Timelines>,
    holdings: Mutex<HashMap<Vec<ReleaseId>, Arc<Holding>>>,
    changes: Mutex<HashMap<Told, Arc<Change>>>,
    asked: Asked,
}

impl Profile {
    /// The active grey releases that are for a node.
    fn greys(&self, node_id: &str) -> Vec<ReleaseId> {
        self.timelines.greys.iter().filter(|grey| grey.is_for(node_id)).map(Span::release).collect()
    }

    /// What is known of a namespace by this name.
    fn about(&self, name: &str) -> Arc<Answers> {
        self.asked.about(name, || {
            let timelines = &self.timelines;
            let namespace = Namespace::of(name, &timelines.by_key.keys());
            let of = |key: &str| namespace.as_ref().is_some_and(|namespace| namespace.has(key));
            let changed =
                timelines.changed.iter().rev().find(|(_, key)| of(key)).map_or(0, |(last, _)| *last);
            (namespace, changed)
        })
    }
}

/// The releases a change is made of, and the keys it removes; whole or not.
type Told = (Vec<ReleaseId>, Vec<Arc<str>>);

/// The timelines of a profile, by key.
#[derive(Clone, Debug, Default)]
struct Timelines {
    by_key: BTreeMap<Arc<str>, Arc<Timeline>>,
    /// The grey releases that are active.
    greys: Vec<Span>,
    /// Every remembered revision in which something of a key changed, ascending.
    changed: Vec<(i64, Arc<str>)>,
}

impl Timelines {
    /// Notes what began or ended, and forgets what ended at or before `floor`.
    fn follow(&mut self, news: &[Deliverable], floor: i64) {
        for deliverable in news {
            let key: Arc<str> = match self.by_key.get_key_value(&*deliverable.key) {
                Some((key, _)) => key.clone(),
                None => deliverable.key.as_str().into(),
            };
            let timeline = self.by_key.entry(key).or_default();
            Arc::make_mut(timeline).note(deliverable);
        }
        self.greys.clear();
        self.changed.clear();
        for (key, timeline) in &mut self.by_key {
            if timeline.forgets(floor) {
                Arc::make_mut(timeline).forget(floor);
            }
            self.greys.extend(timeline.active_grey().cloned());
            self.changed.extend(timeline.changes().map(|revision| (revision, key.clone())));
        }
        self.changed.sort_unstable();
    }

    /// The keys of which something changed after a revision, by key.
    fn changed_after(&self, revision: i64) -> Vec<&Arc<str>> {
        let from = self.changed.partition_point(|(changed, _)| *changed <= revision);
        let mut keys: Vec<_> = self.changed[from..].iter().map(|(_, key)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl View {
    pub(super) fn empty(app: AppId) -> Self {
        Self { app, revision: 0, keys: Vec::new(), profiles: HashMap::new() }
    }

    /// The view that follows this one at `revision`, with what began or ended since.
    pub(super) fn next(&self, revision: i64, keys: Vec<AppSecret>, news: Vec<Deliverable>) -> Self {
        let mut by_profile: HashMap<String, Vec<Deliverable>> = HashMap::new();
        for deliverable in news {
            by_profile.entry(deliverable.profile.clone()).or_default().push(deliverable);
        }
        let mut profiles: HashMap<Arc<str>, Profile> = HashMap::new();
        for (name, profile) in &self.profiles {
            let timelines = profile.timelines.clone();
            profiles.insert(name.clone(), Profile { timelines, ..Profile::default() });
        }
        for (name, news) in by_profile {
            let profile = profiles.entry(name.into()).or_default();
            Arc::make_mut(&mut profile.timelines).follow(&news, revision - MEMORY);
        }
        Self { app: self.app, revision, keys, profiles }
    }

    /// The app.
    pub fn app(&self) -> AppId {
        self.app
    }

    /// The app's revision that this is a picture of.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The app's keys, by id.
    pub fn keys(&self) -> &[AppSecret] {
        &self.keys
    }

    /// The keys of a profile that were ever released, in order.
    pub fn known_keys<'a>(&'a self, profile: &str) -> impl Iterator<Item = &'a Arc<str>> {
        self.profiles.get(profile).into_iter().flat_map(|profile| profile.timelines.by_key.keys())
    }

    /// All that a node should hold: the same for all nodes that the same grey releases are for.
    pub fn holding(&self, profile: &str, node_id: &str) -> Arc<Holding> {
        let Some(profile) = self.profiles.get(profile) else {
            return Arc::new(Holding { change: Change::nothing(self.revision), tag: tag(&[]) });
        };
        let greys = profile.greys(node_id);
        let mut holdings = lock(&profile.holdings);
        if let Some(holding) = holdings.get(&greys) {
            return holding.clone();
        }
        let timelines = profile.timelines.by_key.iter();
        let items: Vec<Held> = timelines.filter_map(|(key, timeline)| timeline.held(key, node_id)).collect();
        let tag = tag(&items);
        let holding = Arc::new(Holding { change: Change::new(self.revision, items, Vec::new()), tag });
        keep(&mut holdings, greys, holding)
    }

    /// What a node should hold of a namespace; `None` where nothing was published in it.
    pub fn part(&self, profile: &str, node_id: &str, namespace: &str) -> Option<Arc<Part>> {
        let of = self.profiles.get(profile)?;
        let answers = of.about(namespace);
        let namespace = answers.namespace.as_ref()?;
        Some(answers.part(of.greys(node_id), || {
            let timelines = of.timelines.by_key.iter().filter(|(key, _)| namespace.has(key));
            let held = timelines.filter_map(|(key, timeline)| timeline.held(key, node_id));
            held.filter_map(|held| Some((namespace.name_of(&held.key)?, held))).collect()
        }))
    }

    /// The last revision in which something of a namespace changed, for whichever node; 0 where nothing did.
    pub fn part_changed(&self, profile: &str, namespace: &str) -> i64 {
        self.profiles.get(profile).map_or(0, |of| of.about(namespace).changed)
    }

    /// What a node is to be told that is at the revision `since`; `None` where nothing is different for it.
    ///
    /// At 0 it holds nothing. Where it is ahead of this view, which is that of a restored backup then, or was away for too
    /// long, it is told everything.
    pub fn change(&self, profile: &str, node_id: &str, since: i64) -> Option<Arc<Change>> {
        if since == self.revision {
            return None;
        }
        let within_memory = 0 < since && since < self.revision && since >= self.revision - MEMORY;
        let Some(of) = self.profiles.get(profile) else {
            return (!within_memory).then(|| Arc::new(Change::nothing(self.revision)));
        };
        if within_memory {
            return self.difference(of, node_id, since);
        }
        let holding = self.holding(profile, node_id);
        let removed = if 0 < since && since < self.revision {
            let mut removed: Vec<_> = of.timelines.by_key.keys().cloned().collect();
            let held: HashSet<_> = holding.change.items.iter().map(|held| &held.key).collect();
            removed.retain(|key| !held.contains(key));
            removed
        } else {
            Vec::new()
        };
        Some(self.shared(of, holding.change.items.clone(), removed))
    }

    /// What a node should hold of some keys, whatever it holds: they are told again, or removed.
    pub fn again(&self, profile: &str, node_id: &str, keys: impl IntoIterator<Item = Arc<str>>) -> Change {
        let (mut items, mut removed) = (Vec::new(), Vec::new());
        for key in keys {
            let timeline = self.timeline(profile, &key);
            match timeline.and_then(|timeline| timeline.held(&key, node_id)) {
                Some(held) => items.push(held),
                None => removed.push(key),
            }
        }
        Change::new(self.revision, items, removed)
    }

    /// What a node should hold of a key.
    pub fn held(&self, profile: &str, node_id: &str, key: &str) -> Option<Held> {
        let (key, timeline) = self.profiles.get(profile)?.timelines.by_key.get_key_value(key)?;
        timeline.held(key, node_id)
    }

    /// The releases that a node at `revision` holds and that were published at or after `since`.
    pub(super) fn recent(
        &self,
        profile: &str,
        node_id: &str,
        revision: i64,
        since: DateTime<Utc>,
    ) -> Vec<ReleaseId> {
        let timelines = self.profiles.get(profile).into_iter().flat_map(|of| of.timelines.by_key.values());
        timelines.filter_map(|timeline| timeline.recent(node_id, revision, since)).collect()
    }

    /// The last release that told a node this version of a key.
    pub(super) fn release_of(
        &self,
        profile: &str,
        node_id: &str,
        key: &str,
        version: i64,
    ) -> Option<ReleaseId> {
        self.timeline(profile, key)?.last_for(node_id, version)
    }

    fn timeline(&self, profile: &str, key: &str) -> Option<&Arc<Timeline>> {
        self.profiles.get(profile)?.timelines.by_key.get(key)
    }

    fn difference(&self, profile: &Profile, node_id: &str, since: i64) -> Option<Arc<Change>> {
        let (mut items, mut removed) = (Vec::new(), Vec::new());
        for key in profile.timelines.changed_after(since) {
            let Some(timeline) = profile.timelines.by_key.get(key) else { continue };
            let before = timeline.version_at(node_id, since);
            match timeline.held(key, node_id) {
                Some(held) if before != Some(held.version) => items.push(held),
                None if before.is_some() => removed.push(key.clone()),
                _ => {}
            }
        }
        let different = !items.is_empty() || !removed.is_empty();
        different.then(|| self.shared(profile, items, removed))
    }

    /// The one change that says so.
    fn shared(&self, profile: &Profile, items: Vec<Held>, removed: Vec<Arc<str>>) -> Arc<Change> {
        let told = (items.iter().map(|held| held.release).collect(), removed.clone());
        let mut changes = lock(&profile.changes);
        if let Some(change) = changes.get(&told) {
            return change.clone();
        }
        keep(&mut changes, told, Arc::new(Change::new(self.revision, items, removed)))
    }
}

fn keep<K: std::hash::Hash + Eq, V>(kept: &mut HashMap<K, Arc<V>>, key: K, value: Arc<V>) -> Arc<V> {
    if kept.len() < SHARED {
        kept.insert(key, value.clone());
    }
    value
}

fn tag(items: &[Held]) -> u64 {
    let mut tag = Tag::default();
    for held in items {
        tag.add(held.key.as_bytes());
        tag.add(&[0]);
        tag.add(&held.version.to_le_bytes());
    }
    tag.value()
}

/// FNV-1a: names a set among those a client may have seen, and guards nothing.
#[derive(Debug)]
pub(super) struct Tag(u64);

impl Default for Tag {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Tag {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn value(&self) -> u64 {
        self.0
    }
}
