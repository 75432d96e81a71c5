//! What was released to whom, revision by revision, and whether what a node was seen to hold fits.

use std::collections::{BTreeMap, BTreeSet};

/// The keys of the stories that are told by this model. To an Apollo client the last is in a namespace of its own.
pub(crate) const KEYS: [&str; 3] = ["a", "b", "dir/c"];

/// What a node holds, by key.
pub(crate) type Held = BTreeMap<String, Value>;

/// A value that a node holds. No two versions have the same text, but where one is rolled back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) text: String,
    /// `None` where the protocol does not tell.
    pub(crate) version: Option<i64>,
}

/// What is published of a key, to everybody or to some.
#[derive(Clone, Debug)]
pub(crate) struct Release {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) text: String,
    /// Those of a grey release.
    pub(crate) nodes: Option<BTreeSet<String>>,
}

/// What one operation does to what is released.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A version and its text, to everybody or to nodes that the server is asked for.
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

/// What was released at one revision: of each key one full and one grey release at most.
#[derive(Clone, Debug, Default)]
pub(crate) struct Released(BTreeMap<(String, bool), Release>);

impl Released {
    pub(crate) fn grey(&self, key: &str) -> Option<&Release> {
        self.0.get(&(key.to_owned(), true))
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        [false, true].into_iter().any(|grey| self.0.contains_key(&(key.to_owned(), grey)))
    }

    pub(crate) fn active(&self) -> Active {
        let releases = self.0.iter();
        releases.map(|(place, release)| (place.clone(), (release.id, release.version))).collect()
    }

    /// What a node should hold of a key.
    fn of(&self, node: &str, key: &str) -> Option<&Release> {
        let grey = self.grey(key).filter(|grey| grey.nodes.as_ref().unwrap().contains(node));
        grey.or_else(|| self.0.get(&(key.to_owned(), false)))
    }

    /// Whether a node holds just what it should of some keys.
    pub(crate) fn fits(&self, node: &str, keys: &[&str], held: &Held) -> bool {
        keys.iter().all(|key| match (self.of(node, key), held.get(*key)) {
            (None, None) => true,
            (Some(release), Some(value)) => {
                release.text == value.text && value.version.is_none_or(|version| version == release.version)
            }
            _ => false,
        })
    }

    /// What is released after an operation which made the release `id`, if it made one, for those nodes.
    pub(crate) fn after(&self, key: &str, operation: &Operation, id: i64, nodes: BTreeSet<String>) -> Self {
        let mut next = self.clone();
        let (full, grey) = ((key.to_owned(), false), (key.to_owned(), true));
        match operation {
            Operation::Publish { version, text, grey: to_some } => {
                let release = Release { id, version: *version, text: text.clone(), nodes: None };
                next.0.remove(&grey);
                if *to_some {
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

/// What a node was seen to hold.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) node: String,
    pub(crate) when: When,
    /// The keys that this is about.
    pub(crate) keys: &'static [&'static str],
    pub(crate) held: Held,
}

/// The revision at which a node holds something.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// This one.
    At(i64),
    /// The protocol does not tell, but not an earlier one, for the node knew of it.
    Since(i64),
}

/// What was released, by revision.
#[derive(Debug)]
pub(crate) struct History(Vec<Released>);

impl History {
    pub(crate) fn new() -> Self {
        Self(vec![Released::default()])
    }

    pub(crate) fn now(&self) -> &Released {
        self.0.last().unwrap()
    }

    pub(crate) fn revision(&self) -> i64 {
        i64::try_from(self.0.len() - 1).unwrap()
    }

    pub(crate) fn push(&mut self, released: Released) {
        self.0.push(released);
    }

    /// A node has just what was meant for it: nothing that was not, and all that was.
    pub(crate) fn check(&self, seen: &Seen) {
        let from = |revision: i64| usize::try_from(revision).unwrap();
        let at = match seen.when {
            When::At(revision) => self.0.get(from(revision)..=from(revision)),
            When::Since(revision) => self.0.get(from(revision)..),
        };
        let Some(at) = at else { panic!("{seen:?}: of a revision after {}", self.revision()) };
        let fits = |released: &Released| released.fits(&seen.node, seen.keys, &seen.held);
        assert!(at.iter().any(fits), "not what was meant for it: {seen:#?} of {at:#?}");
    }
}
