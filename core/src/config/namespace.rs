//! Namespaces: parts of a profile under the names that Apollo's clients ask for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use super::ReleaseId;
use super::view::{Held, SHARED};
use crate::pilothouse::lock;

/// The extensions of namespaces that are one text.
const FILES: [&str; 5] = ["json", "yml", "yaml", "xml", "txt"];

/// The name that the text of a namespace has which is one.
const CONTENT: &str = "content";

/// What a node should hold of a namespace.
#[derive(Debug)]
pub struct Part {
    /// Its items by the names that the namespace has for them: of one that is a text, `content` alone.
    pub items: Vec<(Arc<str>, Held)>,
    /// Whether the namespace is one text.
    pub is_text: bool,
    /// Names this content: equal for equal releases of equal keys.
    pub tag: u64,
    written: [OnceLock<Bytes>; 2],
}

/// The forms in which a [`Part`] is written and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartForm {
    /// As a JSON object.
    Json,
    /// As a properties file.
    Properties,
}

impl Part {
    fn new(items: Vec<(Arc<str>, Held)>, is_text: bool) -> Self {
        let mut tag = super::view::Tag::default();
        for (_, held) in &items {
            tag.add(held.key.as_bytes());
            tag.add(&[0]);
            tag.add(&held.release.to_le_bytes());
        }
        Self { items, is_text, tag: tag.value(), written: Default::default() }
    }

    /// What `write` makes of it, which is asked once for each form.
    pub fn written(&self, form: PartForm, write: impl FnOnce(&Self) -> Bytes) -> Bytes {
        self.written[form as usize].get_or_init(|| write(self)).clone()
    }
}

/// The keys that a namespace's name means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Namespace {
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
    pub(super) fn of<'a>(name: &str, keys: &(impl Iterator<Item = &'a Arc<str>> + Clone)) -> Option<Self> {
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
    pub(super) fn name_of(&self, key: &Arc<str>) -> Option<Arc<str>> {
        match self {
            Self::Top => (!key.contains('/')).then(|| key.clone()),
            Self::File(file) => (key == file).then(|| CONTENT.into()),
            Self::Below(prefix) => key.strip_prefix(&**prefix).map(Arc::from),
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
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

/// What was asked of a profile's namespaces, so that it is answered again without looking. By name as it was asked.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<Box<str>, Arc<Answers>>>);

/// What is known of one name.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) namespace: Option<Namespace>,
    /// The last revision in which something of it changed, for whomever; 0 where nothing ever did.
    pub(super) changed: i64,
    parts: Mutex<HashMap<Vec<ReleaseId>, Arc<Part>>>,
}

impl Asked {
    /// What is known of a name; `look` tells it where nobody asked before.
    pub(super) fn about(&self, name: &str, look: impl FnOnce() -> (Option<Namespace>, i64)) -> Arc<Answers> {
        let mut asked = lock(&self.0);
        if let Some(answers) = asked.get(name) {
            return answers.clone();
        }
        let (namespace, changed) = look();
        let answers = Arc::new(Answers { namespace, changed, parts: Mutex::default() });
        if asked.len() < SHARED {
            asked.insert(name.into(), answers.clone());
        }
        answers
    }
}

impl Answers {
    /// What the nodes hold that these grey releases are for; `look` tells its items where nobody asked before.
    pub(super) fn part(
        &self,
        greys: Vec<ReleaseId>,
        look: impl FnOnce() -> Vec<(Arc<str>, Held)>,
    ) -> Arc<Part> {
        let mut parts = lock(&self.parts);
        if let Some(part) = parts.get(&greys) {
            return part.clone();
        }
        let part = Arc::new(Part::new(look(), matches!(self.namespace, Some(Namespace::File(_)))));
        if parts.len() < SHARED {
            parts.insert(greys, part.clone());
        }
        part
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
