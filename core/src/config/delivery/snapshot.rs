//! Immutable snapshot of an app's configuration, swapped atomically on each revision.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use imbl::{OrdMap, OrdSet};

use super::delta::{ConfigDelta, EffectiveItem, NodeConfig};
use super::key_history::{GreyNodes, KeyHistory, ReleaseSpan};
use super::release::{Deliverable, PartId, ReleaseId};
use crate::Epoch;
use crate::config::authoring::OpeningKey;
use crate::config::identifier::AppId;
use crate::sync::lock;

/// Revisions that a snapshot remembers: a node that was away for fewer gets a delta, else its whole configuration.
pub(super) const MEMORY: i64 = 256;
/// Answers of each kind that a profile keeps to be shared.
pub(in crate::config) const MAX_MEMOISED: usize = 256;

/// The configuration of an app at a revision: the effective items of every node, and the deltas since remembered revisions.
#[derive(Debug)]
pub struct ConfigSnapshot {
    app: AppId,
    epoch: Epoch,
    /// Revision within the epoch.
    number: i64,
    keys: Vec<OpeningKey>,
    profiles: HashMap<Arc<str>, Profile>,
}

/// One profile of a snapshot, with the answers derived from it so far.
#[derive(Debug, Default)]
pub(in crate::config) struct Profile {
    histories: Arc<KeyHistories>,
    configs: Mutex<HashMap<Vec<ReleaseId>, Arc<NodeConfig>>>,
    deltas: Mutex<HashMap<DeltaContent, Arc<ConfigDelta>>>,
    /// The one delta of all nodes at a revision; `None` where there is none, and no entry where grey releases tell them apart.
    common_deltas: Mutex<HashMap<i64, Option<Arc<ConfigDelta>>>>,
    memo: Mutex<HashMap<Box<str>, Arc<dyn Any + Send + Sync>>>,
}

impl Profile {
    /// The active grey releases that are for a node. Nodes with the same ones have the same configuration.
    pub(in crate::config) fn greys(&self, node_id: &str) -> Vec<ReleaseId> {
        self.histories.greys.values().filter(|grey| grey.is_for(node_id)).map(ReleaseSpan::release).collect()
    }

    /// The keys that were ever released and are remembered, in order.
    pub(in crate::config) fn keys(&self) -> impl Iterator<Item = &Arc<str>> + Clone {
        self.histories.by_key.iter().map(|(key, _)| key)
    }

    /// The items in effect at a node among the keys that `wanted` accepts, by key.
    pub(in crate::config) fn effective<'a>(
        &'a self,
        node_id: &'a str,
        wanted: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = EffectiveItem> + 'a {
        let histories = self.histories.by_key.iter().filter(move |(key, _)| wanted(key));
        histories.filter_map(|(key, history)| history.effective(key, node_id))
    }

    /// The last revision in which one of the keys that `wanted` accepts changed for any node; 0 without one.
    pub(in crate::config) fn last_changed(&self, wanted: impl Fn(&str) -> bool) -> i64 {
        let changed = self.histories.changed.iter().rev().find(|(_, key)| wanted(key));
        changed.map_or(0, |(revision, _)| *revision)
    }

    /// Whether one of the keys that `wanted` accepts changed after a remembered revision for a node at an address, whatever
    /// its label.
    pub(in crate::config) fn changed_at(
        &self,
        address: &str,
        since: i64,
        wanted: impl Fn(&str) -> bool,
    ) -> bool {
        let keys = self.histories.changed_after(since).into_iter().filter(|key| wanted(key));
        let mut histories = keys.filter_map(|key| self.histories.by_key.get(key));
        histories.any(|history| history.changed_at(address, since))
    }

    /// A value that a reader derived from this profile, by name; kept as long as the snapshot, at most 256 of them.
    pub(in crate::config) fn memoised<T: Any + Send + Sync>(
        &self,
        name: &str,
        derive: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut memo = lock(&self.memo);
        if let Some(known) = memo.get(name).cloned().and_then(|known| known.downcast().ok()) {
            return known;
        }
        let derived = Arc::new(derive());
        if memo.len() < MAX_MEMOISED {
            memo.insert(name.into(), derived.clone());
        }
        derived
    }
}

/// Identifies a delta: the releases of its items, and the keys it removes.
type DeltaContent = (Vec<ReleaseId>, Vec<Arc<str>>);

/// The release histories of a profile, with what is looked up across its keys. Successive snapshots share all but what changed.
#[derive(Clone, Debug, Default)]
struct KeyHistories {
    by_key: OrdMap<Arc<str>, Arc<KeyHistory>>,
    /// Grey releases that are active, by release.
    greys: OrdMap<ReleaseId, ReleaseSpan>,
    /// Remembered revisions, and the last of each key, with the key that changed in each: ascending.
    changed: OrdSet<(i64, Arc<str>)>,
    /// Revisions in which remembered releases ended, with their key: ascending.
    ended: OrdSet<(i64, Arc<str>)>,
    /// Releases that are active, by their first parts, with the keys of these parts.
    active: OrdSet<(ReleaseId, Arc<str>)>,
}

impl KeyHistories {
    /// Records releases that began or ended, and forgets those that ended at or before the revision `floor`.
    fn record(&mut self, news: &[Deliverable], floor: i64) {
        let mut by_key: HashMap<&str, Vec<&Deliverable>> = HashMap::new();
        for deliverable in news {
            by_key.entry(&deliverable.key).or_default().push(deliverable);
        }
        let mut nodes = GreyNodes::new();
        for (key, news) in by_key {
            let key = match self.by_key.get_key_value(key) {
                Some((key, _)) => key.clone(),
                None => key.into(),
            };
            self.change(key, |history| {
                for deliverable in news {
                    history.record(deliverable, &mut nodes);
                }
            });
        }
        while let Some((_, key)) = self.ended.get_min().filter(|(revision, _)| *revision <= floor).cloned() {
            self.change(key, |history| history.forget(floor));
        }
    }

    /// Changes the history of one key, and what is looked up of it.
    fn change(&mut self, key: Arc<str>, change: impl FnOnce(&mut KeyHistory)) {
        let mut history = self.by_key.get(&key).cloned().unwrap_or_default();
        for revision in history.revisions() {
            self.changed.remove(&(revision, key.clone()));
        }
        for revision in history.ends() {
            self.ended.remove(&(revision, key.clone()));
        }
        for set in history.active_sets() {
            self.active.remove(&(set, key.clone()));
        }
        if let Some(grey) = history.active_grey() {
            self.greys.remove(&grey.release());
        }
        change(Arc::make_mut(&mut history));
        self.changed.extend(history.revisions().map(|revision| (revision, key.clone())));
        self.ended.extend(history.ends().map(|revision| (revision, key.clone())));
        self.active.extend(history.active_sets().map(|set| (set, key.clone())));
        self.greys.extend(history.active_grey().map(|grey| (grey.release(), grey.clone())));
        self.by_key.insert(key, history);
    }

    /// The keys that changed after a revision, in order.
    fn changed_after(&self, revision: i64) -> Vec<&Arc<str>> {
        let since = (revision.saturating_add(1), Arc::from(""));
        let mut keys: Vec<_> = self.changed.range(since..).map(|(_, key)| key).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

impl ConfigSnapshot {
    pub(super) fn empty(app: AppId, epoch: Epoch) -> Self {
        Self { app, epoch, number: 0, keys: Vec::new(), profiles: HashMap::new() }
    }

    /// The snapshot at a later revision of the same epoch, from this one and the releases that began or ended since.
    pub(super) fn next(&self, number: i64, keys: Vec<OpeningKey>, news: Vec<Deliverable>) -> Self {
        let mut by_profile: HashMap<String, Vec<Deliverable>> = HashMap::new();
        for deliverable in news {
            by_profile.entry(deliverable.profile.clone()).or_default().push(deliverable);
        }
        let mut profiles: HashMap<Arc<str>, Profile> = HashMap::new();
        for (name, profile) in &self.profiles {
            let histories = profile.histories.clone();
            profiles.insert(name.clone(), Profile { histories, ..Profile::default() });
        }
        for (name, news) in by_profile {
            let profile = profiles.entry(name.into()).or_default();
            Arc::make_mut(&mut profile.histories).record(&news, number - MEMORY);
        }
        Self { app: self.app, epoch: self.epoch, number, keys, profiles }
    }

    /// The app of the snapshot.
    pub fn app(&self) -> AppId {
        self.app
    }

    /// The epoch of the app's revisions.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The app's revision that the snapshot was taken at, with its epoch.
    pub fn revision(&self) -> i64 {
        self.epoch.revision(self.number)
    }

    /// The same within its epoch.
    pub(super) fn number(&self) -> i64 {
        self.number
    }

    /// Whether what ended after a revision is still remembered.
    pub(in crate::config) fn remembers(&self, revision: i64) -> bool {
        Epoch::of(revision) == self.epoch && Epoch::number_of(revision) >= self.number - MEMORY
    }

    /// The app keys that open the app, by id.
    pub fn keys(&self) -> &[OpeningKey] {
        &self.keys
    }

    /// A profile, once anything of it was released.
    pub(in crate::config) fn profile(&self, name: &str) -> Option<&Profile> {
        self.profiles.get(name)
    }

    /// The whole configuration of a node: one shared by all nodes that the same grey releases are for.
    pub fn node_config(&self, profile: &str, node_id: &str) -> Arc<NodeConfig> {
        let Some(profile) = self.profiles.get(profile) else {
            return Arc::new(NodeConfig::new(self.revision(), Vec::new()));
        };
        let greys = profile.greys(node_id);
        let mut configs = lock(&profile.configs);
        if let Some(config) = configs.get(&greys) {
            return config.clone();
        }
        let items = profile.effective(node_id, |_| true).collect();
        let config = Arc::new(NodeConfig::new(self.revision(), items));
        memoise(&mut configs, greys, config)
    }

    /// The delta for a node at the revision `since`; `None` where nothing changed for it.
    ///
    /// At 0, of any epoch, the node holds nothing yet. A node that was away for too long, or comes from another epoch, gets
    /// its whole configuration.
    pub fn delta(&self, profile: &str, node_id: &str, since: i64) -> Option<Arc<ConfigDelta>> {
        let known = Epoch::number_of(since);
        if since == self.revision() || known == 0 && self.number == 0 {
            return None;
        }
        let within_memory = 0 < known && known < self.number && self.remembers(since);
        let Some(of) = self.profiles.get(profile) else {
            return (!within_memory).then(|| Arc::new(ConfigDelta::empty(self.revision())));
        };
        if within_memory {
            return self.difference(of, node_id, known);
        }
        let config = self.node_config(profile, node_id);
        // A node of another epoch drops everything else; the keys are named for those that do not know of epochs.
        let removed = if 0 < known && since < self.revision() {
            let mut removed: Vec<_> = of.histories.by_key.keys().cloned().collect();
            let effective: HashSet<_> = config.delta.items.iter().map(|item| &item.key).collect();
            removed.retain(|key| !effective.contains(key));
            removed
        } else {
            Vec::new()
        };
        Some(self.share(of, config.delta.items.clone(), removed))
    }

    /// The effective state of some keys, whatever the node holds of them: for a node whose acknowledgement differed.
    pub(super) fn resend(
        &self,
        profile: &str,
        node_id: &str,
        keys: impl IntoIterator<Item = Arc<str>>,
    ) -> ConfigDelta {
        let (mut items, mut removed) = (Vec::new(), Vec::new());
        for key in keys {
            let history = self.history(profile, &key);
            match history.and_then(|history| history.effective(&key, node_id)) {
                Some(item) => items.push(item),
                None => removed.push(key),
            }
        }
        ConfigDelta::new(self.revision(), items, removed)
    }

    /// The item of a key in effect at a node.
    pub(super) fn effective(&self, profile: &str, node_id: &str, key: &str) -> Option<EffectiveItem> {
        let (key, history) = self.profiles.get(profile)?.histories.by_key.get_key_value(key)?;
        history.effective(key, node_id)
    }

    /// The parts of a release that a node has to apply for it; none where it only takes keys from the node, or has ended.
    pub(super) fn needed_parts(&self, profile: &str, node_id: &str, set: ReleaseId) -> Arc<[ReleaseId]> {
        let Some(profile) = self.profiles.get(profile) else { return Arc::default() };
        let (from, to) = ((set, Arc::from("")), (ReleaseId(set.0.saturating_add(1)), Arc::from("")));
        let keys = profile.histories.active.range(from..to).map(|(_, key)| key);
        let histories = keys.filter_map(|key| profile.histories.by_key.get(key));
        histories.filter_map(|history| history.needed(node_id, set)).collect()
    }

    /// The releases in effect at a node since `revision` or before, of those published at or after `since`, by their first
    /// parts.
    pub(super) fn recent(
        &self,
        profile: &str,
        node_id: &str,
        revision: i64,
        since: DateTime<Utc>,
    ) -> Vec<ReleaseId> {
        if Epoch::of(revision) != self.epoch {
            return Vec::new();
        }
        let number = Epoch::number_of(revision);
        let histories = self.profiles.get(profile).into_iter().flat_map(|of| of.histories.by_key.values());
        histories.filter_map(|history| history.recent(node_id, number, since)).collect()
    }

    /// The newest remembered part of a release that brought this version of a key to a node.
    pub(super) fn release_of(&self, profile: &str, node_id: &str, key: &str, version: i64) -> Option<PartId> {
        self.history(profile, key)?.last_for(node_id, version)
    }

    fn history(&self, profile: &str, key: &str) -> Option<&Arc<KeyHistory>> {
        self.profiles.get(profile)?.histories.by_key.get(key)
    }

    fn difference(&self, profile: &Profile, node_id: &str, since: i64) -> Option<Arc<ConfigDelta>> {
        if let Some(common) = lock(&profile.common_deltas).get(&since) {
            return common.clone();
        }
        let (mut items, mut removed, mut is_common) = (Vec::new(), Vec::new(), true);
        for key in profile.histories.changed_after(since) {
            let Some(history) = profile.histories.by_key.get(key) else { continue };
            is_common &= history.is_same_for_all();
            let before = history.version_at(node_id, since);
            match history.effective(key, node_id) {
                Some(item) if before != Some(item.version) => items.push(item),
                None if before.is_some() => removed.push(key.clone()),
                _ => {}
            }
        }
        let different = !items.is_empty() || !removed.is_empty();
        let delta = different.then(|| self.share(profile, items, removed));
        let mut common = lock(&profile.common_deltas);
        if is_common && common.len() < MAX_MEMOISED {
            common.insert(since, delta.clone());
        }
        delta
    }

    /// The one delta with this content, new or memoised.
    fn share(
        &self,
        profile: &Profile,
        items: Vec<EffectiveItem>,
        removed: Vec<Arc<str>>,
    ) -> Arc<ConfigDelta> {
        let content = (items.iter().map(|item| item.release).collect(), removed.clone());
        let mut deltas = lock(&profile.deltas);
        if let Some(delta) = deltas.get(&content) {
            return delta.clone();
        }
        memoise(&mut deltas, content, Arc::new(ConfigDelta::new(self.revision(), items, removed)))
    }
}

fn memoise<K: std::hash::Hash + Eq, V>(known: &mut HashMap<K, Arc<V>>, key: K, value: Arc<V>) -> Arc<V> {
    if known.len() < MAX_MEMOISED {
        known.insert(key, value.clone());
    }
    value
}
