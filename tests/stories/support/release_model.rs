//! Model of releases: the active ones at each revision, and the items that a node should hold.

use std::collections::{BTreeMap, BTreeSet};

/// The keys of the model. For Apollo clients the last one is in a namespace of its own.
pub(crate) const KEYS: [&str; 3] = ["a", "b", "dir/c"];

/// The items of a node, by key.
pub(crate) type NodeItems = BTreeMap<String, Value>;

/// The value of an item. Versions have different texts, except after a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// `None` where the protocol does not carry it.
    pub(crate) version: Option<i64>,
}

/// An active release of a key.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) text: String,
    /// The selected nodes of a grey release; `None` for a full one.
    pub(crate) nodes: Option<BTreeSet<String>>,
}

/// An operation that changes the active releases.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Publishes a version with its text; the nodes of a grey release are chosen by the server.
    Publish {
        version: i64,
        text: String,
        grey: bool,
    },
    Promote,
    Abort,
    Delete,
}

/// Ids and versions of the active releases, by key and whether they are grey.
pub(crate) type Active = BTreeMap<(String, bool), (i64, i64)>;

/// The active releases at one revision: at most one full and one grey release of each key.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReleaseModel(BTreeMap<(String, bool), Release>);

impl ReleaseModel {
    pub(crate) fn grey(&self, key: &str) -> Option<&Release> {
        self.0.get(&(key.to_owned(), true))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        [false, true].into_iter().any(|grey| self.0.contains_key(&(key.to_owned(), grey)))
    }

    pub(crate) fn active(&self) -> Active {
        let releases = self.0.iter();
        releases.map(|(name, release)| (name.clone(), (release.id, release.version))).collect()
    }

    /// The release of a key that a node should have.
    fn of(&self, node: &str, key: &str) -> Option<&Release> {
        let grey = self.grey(key).filter(|grey| grey.nodes.as_ref().unwrap().contains(node));
        grey.or_else(|| self.0.get(&(key.to_owned(), false)))
    }

    /// Whether a node holds exactly the expected items of some keys.
    pub(crate) fn is_held_by(&self, node: &str, keys: &[&str], items: &NodeItems) -> bool {
        keys.iter().all(|key| match (self.of(node, key), items.get(*key)) {
            (None, None) => true,
            (Some(release), Some(value)) => {
                release.text == value.text && value.version.is_none_or(|version| version == release.version)
            }
            _ => false,
        })
    }

    /// The active releases after an operation; `id` and `nodes` are those of the release it created, if any.
    pub(crate) fn after(&self, key: &str, operation: &Operation, id: i64, nodes: BTreeSet<String>) -> Self {
        let mut next = self.clone();
        let (full, grey) = ((key.to_owned(), false), (key.to_owned(), true));
        match operation {
            Operation::Publish { version, text, grey: is_grey } => {
                let release = Release { id, version: *version, text: text.clone(), nodes: None };
                next.0.remove(&grey);
                if *is_grey {
                    next.0.insert(grey, Release { nodes: Some(nodes), ..release });
                } else {
                    next.0.insert(full, release);
                }
            }
            Operation::Promote => {
                let promoted = next.0.remove(&grey).unwrap();
                next.0.insert(full, Release { id, nodes: None, ..promoted });
            }
            Operation::Abort => drop(next.0.remove(&grey)),
            Operation::Delete => next.0.retain(|(of, _), _| of != key),
        }
        next
    }
}

/// The items that a node was observed to hold.
#[derive(Clone, Debug)]
pub(crate) struct Observation {
    pub(crate) node: String,
    pub(crate) at: ObservedAt,
    /// The keys that were observed.
    pub(crate) keys: &'static [&'static str],
    pub(crate) items: NodeItems,
}

/// The revision of an observation.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ObservedAt {
    /// Exactly this revision.
    Exactly(i64),
    /// This or a later revision: the protocol carries none, but the node knew of this one.
    AtLeast(i64),
}

/// The active releases of every revision.
#[derive(Debug)]
pub(crate) struct ReleaseHistory(Vec<ReleaseModel>);

impl ReleaseHistory {
    pub(crate) fn new() -> Self {
        Self(vec![ReleaseModel::default()])
    }

    pub(crate) fn now(&self) -> &ReleaseModel {
        self.0.last().unwrap()
    }

    pub(crate) fn revision(&self) -> i64 {
        i64::try_from(self.0.len() - 1).unwrap()
    }

    pub(crate) fn push(&mut self, model: ReleaseModel) {
        self.0.push(model);
    }

    /// Asserts that a node was observed with exactly the items released to it.
    pub(crate) fn check(&self, observation: &Observation) {
        // The number of a revision is its lower half, the epoch of the store the upper one.
        let from = |revision: i64| usize::try_from(revision & i64::from(u32::MAX)).unwrap();
        let models = match observation.at {
            ObservedAt::Exactly(revision) => self.0.get(from(revision)..=from(revision)),
            ObservedAt::AtLeast(revision) => self.0.get(from(revision)..),
        };
        let Some(models) = models else {
            panic!("{observation:?} is of a revision after {}", self.revision())
        };
        let is_expected =
            |model: &ReleaseModel| model.is_held_by(&observation.node, observation.keys, &observation.items);
        assert!(models.iter().any(is_expected), "{observation:#?} is not what was released: {models:#?}");
    }
}
