//! Node content: effective items, deltas between revisions, and tags that name a whole configuration.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::release::ReleaseId;
use crate::Epoch;

/// An item with the value that is in effect at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveItem {
    /// Key of the item.
    pub key: Arc<str>,
    /// The value of the version that is in effect.
    pub value: Arc<str>,
    /// The item's version, from 1.
    pub version: i64,
    /// The part of a release that brought the version to the node.
    pub release: ReleaseId,
    /// That release, by its first part.
    pub set: ReleaseId,
}

/// Changes at a node between two revisions of its app. Nodes with equal deltas share one, and its encoded bytes.
#[derive(Debug)]
pub struct ConfigDelta {
    /// The app's revision that the node is at after it.
    pub revision: i64,
    /// New and changed items, by key.
    pub items: Vec<EffectiveItem>,
    /// Keys that are not in effect at the node any more, by key.
    pub removed: Vec<Arc<str>>,
    /// The releases of its items, by their first parts: each once, ascending.
    releases: Box<[ReleaseId]>,
    encoded: [OnceLock<Bytes>; 2],
}

/// The encodings of a [`ConfigDelta`] that are kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaEncoding {
    /// An event of an event stream.
    Event,
    /// The body of an answer.
    Answer,
}

impl ConfigDelta {
    pub(super) fn new(revision: i64, items: Vec<EffectiveItem>, removed: Vec<Arc<str>>) -> Self {
        let mut releases: Vec<ReleaseId> = items.iter().map(|item| item.set).collect();
        releases.sort_unstable();
        releases.dedup();
        Self { revision, items, removed, releases: releases.into(), encoded: Default::default() }
    }

    /// The releases that it brings something of, by their first parts.
    pub(super) fn releases(&self) -> &[ReleaseId] {
        &self.releases
    }

    /// An empty delta at a revision.
    pub fn empty(revision: i64) -> Self {
        Self::new(revision, Vec::new(), Vec::new())
    }

    /// Encoded bytes; `encode` runs once for each encoding.
    pub fn encoded(&self, encoding: DeltaEncoding, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encoded[encoding as usize].get_or_init(|| encode(self)).clone()
    }
}

/// The whole configuration of a node.
#[derive(Debug)]
pub struct NodeConfig {
    /// Every effective item, as a delta from nothing.
    pub delta: ConfigDelta,
    /// Names this set of keys and versions: equal for equal ones of an epoch, whatever the revision.
    pub tag: u64,
}

impl NodeConfig {
    pub(super) fn new(revision: i64, items: Vec<EffectiveItem>) -> Self {
        let mut tag = Tag::of(Epoch::of(revision));
        for item in &items {
            tag.add(item.key.as_bytes());
            tag.add(&[0]);
            tag.add(&item.version.to_le_bytes());
        }
        Self { delta: ConfigDelta::new(revision, items, Vec::new()), tag: tag.value() }
    }
}

/// An FNV-1a hash: tells apart the configurations that one client may have seen, and guards nothing.
#[derive(Debug)]
pub(in crate::config) struct Tag(u64);

impl Tag {
    /// Begins with the epoch: ids and versions of another one may stand for other content.
    pub(in crate::config) fn of(epoch: Epoch) -> Self {
        let mut tag = Self(0xcbf2_9ce4_8422_2325);
        tag.add(&epoch.0.to_le_bytes());
        tag
    }

    pub(in crate::config) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(in crate::config) fn value(&self) -> u64 {
        self.0
    }
}
