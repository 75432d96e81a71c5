//! Model of releases: the active ones at each revision, and the items that a node should hold.

use std::collections::{BTreeMap, BTreeSet};

/// The keys of the model. For Apollo clients the last two are in a namespace of their own.
pub(crate) const KEYS: [&str; 5] = ["a", "b", "c", "dir/d", "dir/e"];

/// The items of a node, by key.
pub(crate) type NodeItems = BTreeMap<String, Value>;

/// The value of an item. Versions have different texts, except after a rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// `None` where the protocol does not carry it.
    pub(crate) version: Option<i64>,
}

/// A version of a key that is released; the version 0 takes the key from its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) version: i64,
    pub(crate) text: String,
}

impl Content {
    /// The absence of a key.
    pub(crate) const NONE: Self = Self { version: 0, text: String::new() };
}

/// Versions by key.
pub(crate) type Contents = BTreeMap<String, Content>;

/// An active release of a key.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) id: i64,
    pub(crate) content: Content,
    /// The selected nodes of a grey release; `None` for a full one.
    pub(crate) nodes: Option<BTreeSet<String>>,
}

/// An operation that changes the active releases.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// Publishes versions and deletions; the nodes of a grey release are chosen by the server.
    Publish { contents: Contents, grey: bool },
    /// Makes a grey release the full one.
    Promote { grey: i64 },
    /// Takes a grey release back.
    Abort { grey: i64 },
    /// Deletes a key, and ends what is released of it.
    Delete { key: &'static str },
}

/// What was released to all nodes before each full release, of its keys; by its id.
pub(crate) type FullReleases = BTreeMap<i64, Contents>;

/// The active releases at one revision: at most one full and one grey release of each key.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReleaseModel(BTreeMap<(String, bool), Release>);

impl ReleaseModel {
    pub(crate) fn grey(&self, key: &str) -> Option<&Release> {
        self.0.get(&(key.to_owned(), true))
    }

    fn full(&self, key: &str) -> Option<&Release> {
        self.0.get(&(key.to_owned(), false))
    }

    /// Whether something of a key is released, be it to a few nodes.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.grey(key).is_some() || self.full(key).is_some_and(|full| full.content.version > 0)
    }

    /// The ids of the active grey releases.
    pub(crate) fn greys(&self) -> BTreeSet<i64> {
        self.0.iter().filter(|((_, is_grey), _)| *is_grey).map(|(_, release)| release.id).collect()
    }

    /// The versions of an active grey release.
    pub(crate) fn contents(&self, grey: i64) -> Contents {
        let parts = self.0.iter().filter(|((_, is_grey), release)| *is_grey && release.id == grey);
        parts.map(|((key, _), release)| (key.clone(), release.content.clone())).collect()
    }

    /// What is released of keys to all nodes.
    pub(crate) fn before(&self, keys: &Contents) -> Contents {
        let full = |key: &str| self.full(key).map_or(Content::NONE, |full| full.content.clone());
        keys.keys().map(|key| (key.clone(), full(key))).collect()
    }

    /// Whether a release of these keys must be refused, as a grey one has a part of them, or others as well.
    pub(crate) fn overlaps(&self, keys: &Contents, is_grey: bool) -> bool {
        let greys: BTreeSet<i64> = keys.keys().filter_map(|key| self.grey(key)).map(|grey| grey.id).collect();
        greys.into_iter().any(|grey| {
            let of = self.contents(grey);
            of.keys().any(|key| !keys.contains_key(key)) || is_grey && of.len() != keys.len()
        })
    }

    /// Whether every key is as a full release left it.
    pub(crate) fn is_current(&self, release: i64, keys: &Contents) -> bool {
        keys.keys().all(|key| self.full(key).is_some_and(|full| full.id == release))
    }

    /// The release of a key that a node should have.
    fn of(&self, node: &str, key: &str) -> Option<&Content> {
        let grey = self.grey(key).filter(|grey| grey.nodes.as_ref().unwrap().contains(node));
        let content = &grey.or_else(|| self.full(key))?.content;
        (content.version > 0).then_some(content)
    }

    /// Whether a node holds exactly the expected items of some keys.
    pub(crate) fn is_held_by(&self, node: &str, keys: &[&str], items: &NodeItems) -> bool {
        keys.iter().all(|key| match (self.of(node, key), items.get(*key)) {
            (None, None) => true,
            (Some(content), Some(value)) => {
                content.text == value.text && value.version.is_none_or(|version| version == content.version)
            }
            _ => false,
        })
    }

    /// The active releases after an operation; `id` and `nodes` are those of the release it created, if any.
    pub(crate) fn after(&self, operation: &Operation, id: i64, nodes: &BTreeSet<String>) -> Self {
        let mut next = self.clone();
        match operation {
            Operation::Publish { contents, grey } => next.publish(contents, id, grey.then_some(nodes)),
            Operation::Promote { grey } => next.publish(&self.contents(*grey), id, None),
            Operation::Abort { grey } => {
                next.0.retain(|(_, is_grey), release| !*is_grey || release.id != *grey);
            }
            Operation::Delete { key } if self.has(key) => next.0.retain(|(of, _), _| of != key),
            Operation::Delete { .. } => {}
        }
        next
    }

    fn publish(&mut self, contents: &Contents, id: i64, nodes: Option<&BTreeSet<String>>) {
        for (key, content) in contents {
            self.0.remove(&(key.clone(), true));
            let release = Release { id, content: content.clone(), nodes: nodes.cloned() };
            self.0.insert((key.clone(), nodes.is_some()), release);
        }
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

/// The active releases of every revision of an epoch.
#[derive(Clone, Debug)]
struct Lineage {
    /// `None` of the first, whose epoch nobody asked for.
    epoch: Option<i64>,
    models: Vec<ReleaseModel>,
}

/// State of the releases that a backup holds.
#[derive(Clone, Debug)]
pub(crate) struct ReleaseBackup(Vec<ReleaseModel>);

/// The active releases of every revision, also of those that a restore took back.
#[derive(Debug)]
pub(crate) struct ReleaseHistory(Vec<Lineage>);

impl ReleaseHistory {
    pub(crate) fn new() -> Self {
        Self(vec![Lineage { epoch: None, models: vec![ReleaseModel::default()] }])
    }

    fn last(&self) -> &Lineage {
        self.0.last().unwrap()
    }

    pub(crate) fn now(&self) -> &ReleaseModel {
        self.last().models.last().unwrap()
    }

    pub(crate) fn push(&mut self, model: ReleaseModel) {
        self.0.last_mut().unwrap().models.push(model);
    }

    /// The state of now, for a restore.
    pub(crate) fn backup(&self) -> ReleaseBackup {
        ReleaseBackup(self.last().models.clone())
    }

    /// Whether something was published since the last restore or the last creation of the app.
    pub(crate) fn has_changed(&self) -> bool {
        self.last().models.len() > 1
    }

    /// Goes on without anything released, in the epoch of an app that was created again.
    pub(crate) fn create_again(&mut self, epoch: i64) {
        self.restore(&ReleaseBackup(vec![ReleaseModel::default()]), epoch);
    }

    /// Goes on from a backup, in a new epoch.
    pub(crate) fn restore(&mut self, backup: &ReleaseBackup, epoch: i64) {
        let known = self.last().epoch;
        assert!(known.is_none_or(|known| known < epoch), "from epoch {known:?} to {epoch}");
        self.0.push(Lineage { epoch: Some(epoch), models: backup.0.clone() });
    }

    /// Position of the epoch of a revision.
    fn position(&self, revision: i64) -> usize {
        let epoch = revision >> 32;
        self.0.iter().rposition(|lineage| lineage.epoch.is_none_or(|known| known == epoch)).unwrap()
    }

    /// Asserts that a node was observed with exactly the items released to it.
    pub(crate) fn check(&self, observation: &Observation) {
        // The number of a revision is its lower half, the epoch of the store the upper one.
        let from = |revision: i64| usize::try_from(revision & i64::from(u32::MAX)).unwrap();
        let is_expected =
            |model: &ReleaseModel| model.is_held_by(&observation.node, observation.keys, &observation.items);
        let (position, expected) = match observation.at {
            ObservedAt::Exactly(revision) => {
                let position = self.position(revision);
                (position, self.0[position].models.get(from(revision)..=from(revision)))
            }
            ObservedAt::AtLeast(revision) => {
                let position = self.position(revision);
                (position, self.0[position].models.get(from(revision)..))
            }
        };
        let Some(expected) = expected else {
            panic!("{observation:?} is of a revision after {}", self.0[position].models.len() - 1)
        };
        // Whoever names no revision may have read after a restore that it did not know of.
        let is_later = matches!(observation.at, ObservedAt::AtLeast(_));
        let mut later =
            self.0[position + 1..].iter().filter(|_| is_later).flat_map(|lineage| &lineage.models);
        assert!(
            expected.iter().any(is_expected) || later.any(is_expected),
            "{observation:#?} is not what was released: {expected:#?}"
        );
    }
}
