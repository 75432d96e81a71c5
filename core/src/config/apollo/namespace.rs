//! Namespaces: groups of a profile's keys, by the names that Apollo clients ask for.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use crate::Epoch;
use crate::config::delivery::{
    ConfigSnapshot, EffectiveItem, MAX_MEMOISED, Profile, ReleaseId, Tag, canonical_node_id,
};
use crate::sync::lock;

/// File extensions of namespaces that are one text.
const FILES: [&str; 5] = ["json", "yml", "yaml", "xml", "txt"];

/// Shared contents that a content is kept on top of: grey and full ones of a few moments.
const MAX_ON_TOP: usize = 4;

/// The item name under which such a text is answered.
const CONTENT: &str = "content";

/// The effective content of a namespace at one node.
#[derive(Debug)]
pub struct NamespaceContent {
    /// Items by their names within the namespace; `content` alone where it is one text.
    pub items: Vec<(Arc<str>, EffectiveItem)>,
    /// Whether the namespace is one text, such as `name.json`.
    pub is_text: bool,
    /// Names this content: equal for equal releases of equal keys in one epoch.
    pub tag: u64,
    encoded: [OnceLock<Bytes>; 2],
    /// This content on top of others, by their tags.
    on_top: Mutex<Vec<(u64, Arc<Self>)>>,
}

/// The encodings of a [`NamespaceContent`] that are kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceEncoding {
    /// One JSON object.
    Json,
    /// A Java properties file.
    Properties,
}

impl NamespaceContent {
    fn new(items: Vec<(Arc<str>, EffectiveItem)>, is_text: bool, epoch: Epoch) -> Self {
        let mut tag = Tag::of(epoch);
        for (_, held) in &items {
            tag.add(held.key.as_bytes());
            tag.add(&[0]);
            tag.add(&held.release.0.to_le_bytes());
        }
        Self { items, is_text, tag: tag.value(), encoded: Default::default(), on_top: Mutex::default() }
    }

    /// The content of a namespace of which nothing is left.
    pub fn nothing() -> Arc<Self> {
        Arc::new(Self::new(Vec::new(), false, Epoch::default()))
    }

    /// This content on top of what another app shares: of an item that both have, this one. The last few are kept.
    pub(super) fn on_top_of(&self, shared: &Self) -> Arc<Self> {
        let mut on_top = lock(&self.on_top);
        if let Some((_, known)) = on_top.iter().find(|(tag, _)| *tag == shared.tag) {
            return known.clone();
        }
        let items: BTreeMap<_, _> = shared.items.iter().chain(&self.items).cloned().collect();
        let mut tag = Tag::of(Epoch::default());
        tag.add(&shared.tag.to_le_bytes());
        tag.add(&self.tag.to_le_bytes());
        let merged = Arc::new(Self {
            items: items.into_iter().collect(),
            is_text: self.is_text,
            tag: tag.value(),
            encoded: Default::default(),
            on_top: Mutex::default(),
        });
        if on_top.len() >= MAX_ON_TOP {
            on_top.remove(0);
        }
        on_top.push((shared.tag, merged.clone()));
        merged
    }

    /// Encoded bytes; `encode` runs once for each encoding.
    pub fn encoded(&self, encoding: NamespaceEncoding, encode: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.encoded[encoding as usize].get_or_init(|| encode(self)).clone()
    }
}

/// The keys that a namespace's name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Namespace {
    /// `application`: all keys without a slash.
    Top,
    /// `name.json` and the like: that key.
    File(Arc<str>),
    /// Any other: the keys below `name/`, which ends in the slash here.
    Below(Box<str>),
}

impl Namespace {
    /// The namespace of a name among the keys that a profile has or had. Upper and lower case are one where the exact
    /// spelling is not there. `None` where there never was such a key.
    fn of<'a>(name: &str, keys: &(impl Iterator<Item = &'a Arc<str>> + Clone)) -> Option<Self> {
        let name = without_extension(name, "properties").unwrap_or(name);
        if name.eq_ignore_ascii_case("application") {
            return keys.clone().any(|key| !key.contains('/')).then_some(Self::Top);
        }
        if FILES.iter().any(|extension| without_extension(name, extension).is_some()) {
            let exact = keys.clone().find(|key| ***key == *name);
            let key = exact.or_else(|| keys.clone().find(|key| key.eq_ignore_ascii_case(name)))?;
            return Some(Self::File(key.clone()));
        }
        let below = |key: &&'a Arc<str>| key.as_bytes().get(name.len()) == Some(&b'/');
        let exact = keys.clone().filter(below).find(|key| key.starts_with(name));
        let alike = |key: &&Arc<str>| key.as_bytes()[..name.len()].eq_ignore_ascii_case(name.as_bytes());
        let key = exact.or_else(|| keys.clone().filter(below).find(alike))?;
        Some(Self::Below(key[..=name.len()].into()))
    }

    /// The name of a key within the namespace; `None` of one that is not in it.
    fn name_of(&self, key: &Arc<str>) -> Option<Arc<str>> {
        match self {
            Self::Top => (!key.contains('/')).then(|| key.clone()),
            Self::File(file) => (key == file).then(|| CONTENT.into()),
            Self::Below(prefix) => key.strip_prefix(&**prefix).map(Arc::from),
        }
    }

    fn has(&self, key: &str) -> bool {
        match self {
            Self::Top => !key.contains('/'),
            Self::File(file) => **file == *key,
            Self::Below(prefix) => key.starts_with(&**prefix),
        }
    }
}

fn without_extension<'a>(name: &'a str, extension: &str) -> Option<&'a str> {
    let (stem, found) = name.rsplit_once('.')?;
    found.eq_ignore_ascii_case(extension).then_some(stem)
}

/// A namespace by the name it was asked for, with its contents so far; kept with the snapshot of its profile.
#[derive(Debug)]
struct NamedNamespace {
    /// `None` where the profile never had a key of it.
    namespace: Option<Namespace>,
    /// The last revision in which one of its keys changed for any node; 0 without one.
    changed: i64,
    /// Memoised contents, by the grey releases that are for a node.
    contents: Mutex<HashMap<Vec<ReleaseId>, Arc<NamespaceContent>>>,
}

impl NamedNamespace {
    fn of(profile: &Profile, name: &str) -> Arc<Self> {
        profile.memoised(name, || {
            let namespace = Namespace::of(name, &profile.keys());
            let has = |key: &str| namespace.as_ref().is_some_and(|namespace| namespace.has(key));
            Self { changed: profile.last_changed(has), namespace, contents: Mutex::default() }
        })
    }

    fn content(&self, profile: &Profile, node_id: &str, epoch: Epoch) -> Option<Arc<NamespaceContent>> {
        let namespace = self.namespace.as_ref()?;
        let greys = profile.greys(node_id);
        let mut contents = lock(&self.contents);
        if let Some(content) = contents.get(&greys) {
            return Some(content.clone());
        }
        let items = profile.effective(node_id, |key| namespace.has(key));
        let items = items.filter_map(|item| Some((namespace.name_of(&item.key)?, item))).collect();
        let content = Arc::new(NamespaceContent::new(items, matches!(namespace, Namespace::File(_)), epoch));
        if contents.len() < MAX_MEMOISED {
            contents.insert(greys, content.clone());
        }
        Some(content)
    }
}

impl ConfigSnapshot {
    /// The effective content of a namespace at a node; `None` where nothing was ever published in it.
    pub fn namespace(&self, profile: &str, node_id: &str, name: &str) -> Option<Arc<NamespaceContent>> {
        let profile = self.profile(profile)?;
        NamedNamespace::of(profile, name).content(profile, node_id, self.epoch())
    }

    /// The last revision in which a key of a namespace changed for any node, with its epoch; 0 without one.
    pub fn namespace_changed(&self, profile: &str, name: &str) -> i64 {
        let changed = self.profile(profile).map_or(0, |profile| NamedNamespace::of(profile, name).changed);
        if changed == 0 { 0 } else { self.epoch().revision(changed) }
    }

    /// Whether a namespace changed after a revision for a node at an address, whatever its label; without an address, or where
    /// the revision is not remembered, for any node.
    pub fn namespace_changed_at(&self, profile: &str, name: &str, since: i64, address: Option<&str>) -> bool {
        if self.namespace_changed(profile, name) <= since.max(0) {
            return false;
        }
        let (Some(profile), Some(address)) = (self.profile(profile), address) else { return true };
        let Some(namespace) = &NamedNamespace::of(profile, name).namespace else { return true };
        let (address, number) = (canonical_node_id(address), Epoch::number_of(since));
        !self.remembers(since) || profile.changed_at(&address, number, |key| namespace.has(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_keys() {
        let keys: Vec<Arc<str>> =
            ["a", "Conf.json", "db/host", "db/pool/size", "dbx/y", "logging.properties"]
                .map(Arc::from)
                .into();
        let of = |name: &str| Namespace::of(name, &keys.iter());
        let names = |name: &str| -> Vec<String> {
            let namespace = of(name).unwrap();
            assert!(keys.iter().all(|key| namespace.has(key) == namespace.name_of(key).is_some()));
            keys.iter().filter_map(|key| namespace.name_of(key)).map(|name| name.to_string()).collect()
        };
        assert_eq!(names("application"), ["a", "Conf.json", "logging.properties"]);
        assert_eq!(names("APPLICATION.Properties"), names("application"));
        assert_eq!(names("conf.JSON"), ["content"]);
        assert_eq!(names("db"), ["host", "pool/size"]);
        assert_eq!(names("DB.properties"), ["host", "pool/size"]);
        assert_eq!(names("db/pool"), ["size"]);
        for absent in ["other", "other.json", "d", "", "a", "datenbank-mit-umlaut-ä"] {
            assert_eq!(of(absent), None, "{absent}");
        }
        assert_eq!(Namespace::of("application", &[Arc::from("a/b")].iter()), None);
    }
}
