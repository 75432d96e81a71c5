//! What of one key was released when, and to whom.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::view::Held;
use super::{Deliverable, ReleaseId};

/// A release over time.
#[derive(Clone, Debug)]
pub(super) struct Span {
    release: ReleaseId,
    version: i64,
    start: i64,
    end: Option<i64>,
    published: DateTime<Utc>,
    /// Without, it is for every node.
    nodes: Option<Arc<HashSet<Box<str>>>>,
    /// While it is active.
    value: Option<Arc<str>>,
}

impl Span {
    fn new(of: &Deliverable) -> Self {
        let release = &of.release;
        let grey = release.kind == super::ReleaseKind::Grey;
        Self {
            release: release.id,
            version: release.version,
            start: release.revision,
            end: release.end_revision,
            published: release.publish_time,
            nodes: grey.then(|| Arc::new(release.nodes.iter().map(|node| node.as_str().into()).collect())),
            value: of.value.as_deref().map(Arc::from),
        }
    }

    pub(super) fn release(&self) -> ReleaseId {
        self.release
    }

    pub(super) fn is_for(&self, node_id: &str) -> bool {
        self.nodes.as_ref().is_none_or(|nodes| nodes.contains(node_id))
    }

    fn counts_at(&self, revision: i64) -> bool {
        self.start <= revision && self.end.is_none_or(|end| revision < end)
    }
}

/// The releases of a key that are remembered, by id. At most one full one and one grey one count at a time.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline(Vec<Span>);

impl Timeline {
    /// Notes that a release began or ended.
    pub(super) fn note(&mut self, of: &Deliverable) {
        let span = Span::new(of);
        match self.0.binary_search_by_key(&span.release, |held| held.release) {
            Ok(at) => self.0[at] = span,
            Err(at) => self.0.insert(at, span),
        }
    }

    /// Whether it remembers what ended at or before a revision.
    pub(super) fn forgets(&self, floor: i64) -> bool {
        self.0.iter().any(|span| span.end.is_some_and(|end| end <= floor))
    }

    /// Forgets what ended at or before a revision.
    pub(super) fn forget(&mut self, floor: i64) {
        self.0.retain(|span| span.end.is_none_or(|end| end > floor));
    }

    /// The revisions in which something began or ended.
    pub(super) fn changes(&self) -> impl Iterator<Item = i64> {
        self.0.iter().flat_map(|span| [Some(span.start), span.end]).flatten()
    }

    pub(super) fn active_grey(&self) -> Option<&Span> {
        self.0.iter().find(|span| span.end.is_none() && span.nodes.is_some())
    }

    /// What a node should hold now.
    pub(super) fn held(&self, key: &Arc<str>, node_id: &str) -> Option<Held> {
        let span = for_node(self.0.iter().filter(|span| span.end.is_none()), node_id)?;
        let value = span.value.clone()?;
        Some(Held { key: key.clone(), value, version: span.version, release: span.release })
    }

    /// The version that a node should have held at a revision.
    pub(super) fn version_at(&self, node_id: &str, revision: i64) -> Option<i64> {
        let spans = self.0.iter().filter(|span| span.counts_at(revision));
        for_node(spans, node_id).map(|span| span.version)
    }

    /// The release that a node holds, where it began until `revision` and was published at or after `since`.
    pub(super) fn recent(&self, node_id: &str, revision: i64, since: DateTime<Utc>) -> Option<ReleaseId> {
        let span = for_node(self.0.iter().filter(|span| span.end.is_none()), node_id)?;
        (span.start <= revision && span.published >= since).then_some(span.release)
    }

    /// The last release that told a node this version.
    pub(super) fn last_for(&self, node_id: &str, version: i64) -> Option<ReleaseId> {
        let told = |span: &&Span| span.version == version && span.is_for(node_id);
        self.0.iter().rev().find(told).map(|span| span.release)
    }
}

/// The release of those that count at one time which is for this node: a grey one of its own before the full one.
fn for_node<'a>(spans: impl Iterator<Item = &'a Span>, node_id: &str) -> Option<&'a Span> {
    spans.filter(|span| span.is_for(node_id)).max_by_key(|span| span.nodes.is_some())
}
