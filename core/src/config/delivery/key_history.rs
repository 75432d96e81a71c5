//! Release history of a key: the effective value and version of each node, now and at remembered revisions.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::delta::EffectiveItem;
use super::release::{Deliverable, PartId, ReleaseId, ReleaseKind};

/// A release with the revisions between which it counts.
#[derive(Clone, Debug)]
pub(super) struct ReleaseSpan {
    release: ReleaseId,
    /// The release that it is a part of, by its first part.
    set: ReleaseId,
    /// The release of the same version that it took the place of.
    origin: Option<ReleaseId>,
    version: i64,
    start: i64,
    end: Option<i64>,
    published: DateTime<Utc>,
    /// Nodes of a grey release; `None` for a full one, which is for every node.
    nodes: Option<Arc<NamedNodes>>,
    /// The value, while the release is active; none where it takes the key from its nodes.
    value: Option<Arc<str>>,
}

/// Nodes of a grey release.
#[derive(Debug)]
pub(super) struct NamedNodes {
    ids: HashSet<Box<str>>,
    /// Addresses of Apollo clients with a label: the part of an id before each slash in it.
    addresses: HashSet<Box<str>>,
}

impl NamedNodes {
    fn new(ids: &[String]) -> Self {
        let slashes = ids.iter().flat_map(|id| id.match_indices('/').map(|(at, _)| id[..at].into()));
        Self { addresses: slashes.collect(), ids: ids.iter().map(|id| id.as_str().into()).collect() }
    }
}

/// Nodes of grey releases, by the first parts of these.
pub(super) type GreyNodes = HashMap<ReleaseId, Arc<NamedNodes>>;

impl ReleaseSpan {
    /// `nodes` are those of the parts of one grey release, which share them.
    fn new(of: &Deliverable, nodes: &mut GreyNodes) -> Self {
        let release = &of.release;
        let grey = release.kind == ReleaseKind::Grey;
        let mut shared = || {
            let named = || Arc::new(NamedNodes::new(&release.nodes));
            nodes.entry(release.head()).or_insert_with(named).clone()
        };
        Self {
            release: release.id,
            set: release.head(),
            origin: release.origin,
            version: release.version,
            start: release.revision,
            end: release.end_revision,
            published: release.publish_time,
            nodes: grey.then(&mut shared),
            value: of.value.clone(),
        }
    }

    pub(super) fn release(&self) -> ReleaseId {
        self.release
    }

    pub(super) fn is_for(&self, node_id: &str) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.ids.contains(node_id))
    }

    /// Whether it is for a node at an address, whatever its label.
    fn is_for_address(&self, address: &str) -> bool {
        let has = |nodes: &Arc<NamedNodes>| nodes.ids.contains(address) || nodes.addresses.contains(address);
        self.nodes.as_ref().is_none_or(has)
    }

    fn counts_at(&self, revision: i64) -> bool {
        self.start <= revision && self.end.is_none_or(|end| revision < end)
    }
}

/// The remembered releases of one key. At most one full and one grey release count at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHistory {
    /// By id.
    spans: Vec<ReleaseSpan>,
    /// The last revision in which a release of the key began or ended; known also once that release is forgotten.
    last_changed: i64,
}

impl KeyHistory {
    /// Records that a release began or ended.
    pub(super) fn record(&mut self, of: &Deliverable, nodes: &mut GreyNodes) {
        let span = ReleaseSpan::new(of, nodes);
        self.last_changed = self.last_changed.max(span.start).max(span.end.unwrap_or(0));
        match self.spans.binary_search_by_key(&span.release, |known| known.release) {
            Ok(at) => self.spans[at] = span,
            Err(at) => self.spans.insert(at, span),
        }
    }

    /// Removes the releases that ended at or before the revision `floor`.
    pub(super) fn forget(&mut self, floor: i64) {
        self.spans.retain(|span| span.end.is_none_or(|end| end > floor));
    }

    /// The revisions in which a remembered release of the key began or ended, and the last in which any did.
    pub(super) fn revisions(&self) -> impl Iterator<Item = i64> {
        let remembered = self.spans.iter().flat_map(|span| [Some(span.start), span.end]).flatten();
        remembered.chain([self.last_changed])
    }

    /// Whether a release for a node at an address began or ended after a remembered revision. What did both is a change too:
    /// the node may have read the key in between.
    pub(super) fn changed_at(&self, address: &str, since: i64) -> bool {
        let news = |span: &ReleaseSpan| span.start > since || span.end.is_some_and(|end| end > since);
        self.spans.iter().any(|span| news(span) && span.is_for_address(address))
    }

    /// Whether every node holds the same of the key, now and at every remembered revision.
    pub(super) fn is_same_for_all(&self) -> bool {
        self.spans.iter().all(|span| span.nodes.is_none())
    }

    /// The revisions in which remembered releases of the key ended.
    pub(super) fn ends(&self) -> impl Iterator<Item = i64> {
        self.spans.iter().filter_map(|span| span.end)
    }

    pub(super) fn active_grey(&self) -> Option<&ReleaseSpan> {
        self.spans.iter().find(|span| span.end.is_none() && span.nodes.is_some())
    }

    /// The item in effect at a node now.
    pub(super) fn effective(&self, key: &Arc<str>, node_id: &str) -> Option<EffectiveItem> {
        let span = for_node(self.spans.iter().filter(|span| span.end.is_none()), node_id)?;
        let value = span.value.clone()?;
        let (version, release, set) = (span.version, span.release, span.set);
        Some(EffectiveItem { key: key.clone(), value, version, release, set })
    }

    /// The version that was in effect at a node at a revision.
    pub(super) fn version_at(&self, node_id: &str, revision: i64) -> Option<i64> {
        let spans = self.spans.iter().filter(|span| span.counts_at(revision));
        for_node(spans, node_id).map(|span| span.version).filter(|version| *version > 0)
    }

    /// The releases that are active, by their first parts.
    pub(super) fn active_sets(&self) -> impl Iterator<Item = ReleaseId> {
        self.spans.iter().filter(|span| span.end.is_none()).map(|span| span.set)
    }

    /// The part of a release that a node has to apply for it: one in effect there, with a version that the node does not hold
    /// from the release that it took the place of.
    pub(super) fn needed(&self, node_id: &str, set: ReleaseId) -> Option<ReleaseId> {
        let span = for_node(self.spans.iter().filter(|span| span.end.is_none()), node_id)?;
        let is_held = span.origin.is_some_and(|origin| {
            let origin = self.spans.iter().find(|known| known.release == origin);
            origin.is_none_or(|origin| origin.is_for(node_id))
        });
        (span.set == set && span.value.is_some() && !is_held).then_some(span.release)
    }

    /// The release in effect at a node, by its first part, where it began until `revision` and was published at or after
    /// `since`; not one that takes the key from the node, as sending that is never recorded.
    pub(super) fn recent(&self, node_id: &str, revision: i64, since: DateTime<Utc>) -> Option<ReleaseId> {
        let span = for_node(self.spans.iter().filter(|span| span.end.is_none()), node_id)?;
        (span.version > 0 && span.start <= revision && span.published >= since).then_some(span.set)
    }

    /// The newest remembered part of a release that brought this version to a node.
    pub(super) fn last_for(&self, node_id: &str, version: i64) -> Option<PartId> {
        let brought = |span: &&ReleaseSpan| span.version == version && span.is_for(node_id);
        let span = self.spans.iter().rev().find(brought);
        span.map(|span| PartId { release: span.set, part: span.release })
    }
}

/// The release in effect at a node among those that count at one time: a grey one before the full one.
fn for_node<'a>(spans: impl Iterator<Item = &'a ReleaseSpan>, node_id: &str) -> Option<&'a ReleaseSpan> {
    spans.filter(|span| span.is_for(node_id)).max_by_key(|span| span.nodes.is_some())
}
