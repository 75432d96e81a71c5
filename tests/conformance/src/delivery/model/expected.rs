//! The model: versions each node should have at each revision, and the state of a client of the protocol.

use std::collections::{BTreeMap, BTreeSet};

use pilothouse_core::config::Watch;

/// Released versions at one revision, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Released {
    pub(super) full: BTreeMap<&'static str, i64>,
    /// Version and nodes of the active grey releases; the version 0 takes the key from the nodes.
    pub(super) grey: BTreeMap<&'static str, (i64, BTreeSet<String>)>,
}

impl Released {
    /// The versions that a node should have, by key.
    pub(super) fn for_node(&self, node: &str) -> BTreeMap<String, i64> {
        let mut versions: BTreeMap<String, i64> =
            self.full.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect();
        for (key, (version, nodes)) in &self.grey {
            if nodes.contains(node) && *version > 0 {
                versions.insert((*key).to_owned(), *version);
            } else if nodes.contains(node) {
                versions.remove(*key);
            }
        }
        versions
    }
}

/// A full release.
#[derive(Debug, Default)]
pub(super) struct FullRelease {
    /// The version of each key that was released to all nodes before; 0 for none.
    pub(super) before: BTreeMap<&'static str, i64>,
}

/// A node as its client knows it.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Versions it was sent, by key.
    pub(super) versions: BTreeMap<String, i64>,
    pub(super) revision: i64,
    pub(super) watch: Option<Watch>,
    /// Whether it has not left.
    pub(super) is_registered: bool,
}
