//! Reading of archives.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::item::Item;
use super::namespace::{CONTENT, TOP, is_file, key};
use crate::archive::{File, unpack};
use crate::document::{Collector, Document, Dropped, Entry, Place};
use crate::failure::{Failure, Result};
use crate::limits::{MAX_BYTES, MAX_ENTRIES};
use crate::profile::Profile;
use crate::properties;

/// Selection from an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    /// The environment; needed where the archive has several.
    pub env: Option<&'a str>,
    /// The app: one of the archive's, else the name that its only one gets.
    pub app: Option<&'a str>,
    /// The profile, which is a cluster; all where there is none.
    pub profile: Option<&'a str>,
}

/// Reads an archive: its profiles, by app and name, and what was left out of it.
pub fn read(archive: &[u8], selection: Selection<'_>) -> Result<(Vec<Profile>, Dropped)> {
    let mut dropped = Dropped::default();
    let files = unpack(archive)?;
    let mut namespaces = Vec::new();
    for file in &files {
        if let Some(name) = namespace_file(file, &mut dropped) {
            namespaces.push(name);
        } else if file.path.ends_with(".appnamespace.metadata") {
            note_public(file, &mut dropped)?;
        }
    }
    let namespaces = select(namespaces, selection)?;
    let mut profiles: BTreeMap<(&str, &str), Collector<'_>> = BTreeMap::new();
    let (mut entries, mut bytes) = (0, 0);
    for namespace in &namespaces {
        let app = selection.app.unwrap_or(namespace.app);
        let document = document(namespace)?;
        let profile = profiles.entry((app, namespace.cluster)).or_insert_with(|| Collector::new("archive"));
        dropped.extend(document.dropped);
        for entry in document.entries {
            entries += 1;
            bytes += entry.key.len() + entry.value.len() + entry.description.len();
            if entries > MAX_ENTRIES || bytes > MAX_BYTES {
                let reason = format!("holds more than {MAX_ENTRIES} keys or {} MiB in all", MAX_BYTES >> 20);
                return Err(Failure::new("archive", reason));
            }
            profile.add(0, entry)?;
        }
    }
    let mut read = Vec::new();
    for ((app, name), collector) in profiles {
        let Document { entries, dropped: replaced } = collector.finish();
        dropped.extend(replaced);
        read.push(Profile { app: app.to_owned(), profile: name.to_owned(), entries });
    }
    Ok((read, dropped))
}

/// File of a namespace, by the parts of its path.
#[derive(Clone, Copy)]
struct NamespaceFile<'a> {
    app: &'a str,
    env: &'a str,
    cluster: &'a str,
    /// Without the extension that every properties namespace has.
    namespace: &'a str,
    file: &'a File,
}

/// The namespace that a file holds; `None` of other files, of which those that are not known are listed.
fn namespace_file<'a>(file: &'a File, dropped: &mut Dropped) -> Option<NamespaceFile<'a>> {
    if file.path.ends_with(".metadata") {
        return None;
    }
    let parts = file.parts();
    let named = match parts[..] {
        // The owner before them says nothing here.
        [app, env, name] | [_, app, env, name] => {
            let name: Vec<_> = name.split('+').collect();
            match name[..] {
                [of, cluster, namespace] if of == app => {
                    let namespace = namespace.strip_suffix(".properties").unwrap_or(namespace);
                    Some(NamespaceFile { app, env, cluster, namespace, file })
                }
                _ => None,
            }
        }
        _ => None,
    };
    if named.is_none() {
        dropped.add(format!("{}: not a file of a namespace", file.path));
    }
    named
}

/// Lists a namespace that other apps share.
fn note_public(file: &File, dropped: &mut Dropped) -> Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        #[serde(default)]
        name: String,
        #[serde(default)]
        app_id: String,
        #[serde(default)]
        is_public: bool,
    }
    let metadata: Metadata = serde_json::from_slice(&file.content)
        .map_err(|error| Failure::new(&*file.path, format!("is not the metadata of a namespace: {error}")))?;
    if metadata.is_public {
        let Metadata { name, app_id, .. } = metadata;
        dropped.add(format!(
            "{}: the namespace {name} of {app_id} is public, which is to be shared by hand",
            file.path
        ));
    }
    Ok(())
}

/// The namespaces that are asked for.
fn select<'a>(
    mut namespaces: Vec<NamespaceFile<'a>>,
    selection: Selection<'_>,
) -> Result<Vec<NamespaceFile<'a>>> {
    if namespaces.is_empty() {
        return Err(Failure::new("archive", "holds no namespace"));
    }
    let names = |namespaces: &[NamespaceFile<'a>], name: fn(&NamespaceFile<'a>) -> &'a str| {
        namespaces.iter().map(name).collect::<BTreeSet<_>>()
    };
    let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    let apps = names(&namespaces, |namespace| namespace.app);
    match selection.app {
        Some(app) if apps.contains(app) => namespaces.retain(|namespace| namespace.app == app),
        Some(app) if apps.len() > 1 => {
            return Err(Failure::new("app", format!("{app} is not one of the archive's: {}", list(&apps))));
        }
        _ => {}
    }
    let envs = names(&namespaces, |namespace| namespace.env);
    match selection.env {
        Some(env) => namespaces.retain(|namespace| namespace.env == env),
        None if envs.len() > 1 => {
            return Err(Failure::new("env", format!("must be one of the archive's: {}", list(&envs))));
        }
        None => {}
    }
    if namespaces.is_empty() {
        return Err(Failure::new("env", format!("must be one of the archive's: {}", list(&envs))));
    }
    let clusters = names(&namespaces, |namespace| namespace.cluster);
    if let Some(profile) = selection.profile {
        namespaces.retain(|namespace| namespace.cluster == profile);
        if namespaces.is_empty() {
            let reason = format!("{profile} is not one of the archive's clusters: {}", list(&clusters));
            return Err(Failure::new("profile", reason));
        }
    }
    Ok(namespaces)
}

/// Entries of the file of a namespace, by keys.
fn document(namespace: &NamespaceFile<'_>) -> Result<Document> {
    let NamespaceFile { namespace, file, .. } = *namespace;
    let path = &*file.path;
    let read = match file.content.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Ok(Document::default()),
        Some(b'[') => items(file, namespace),
        // Before 2.0.
        Some(_) if !is_file(namespace) => properties::read(path, &file.content),
        Some(_) => text(file),
    };
    // A text from before 2.0 may begin so, too.
    let read = match read {
        Err(_) if is_file(namespace) && serde_json::from_slice::<Vec<Item>>(&file.content).is_err() => {
            text(file)
        }
        read => read,
    };
    let Document { mut entries, mut dropped } = read?;
    for entry in &mut entries {
        if namespace == TOP && entry.key.contains('/') {
            let why = format!(
                "{} is a key of {TOP}, which Apollo clients find in the namespace before its slash",
                entry.key
            );
            dropped.add(format!("{path}: {why}"));
        }
        entry.key = key(namespace, &entry.key);
    }
    Ok(Document { entries, dropped })
}

/// A namespace that is one text, from before 2.0.
fn text(file: &File) -> Result<Document> {
    let entry = Entry { key: CONTENT.to_owned(), value: file.text()?.to_owned(), description: String::new() };
    Ok(Document { entries: vec![entry], dropped: Dropped::default() })
}

/// The keys among items, with the comments directly above them where they have none themselves.
fn items(file: &File, namespace: &str) -> Result<Document> {
    let path = &*file.path;
    let items: Vec<Item> = serde_json::from_slice(&file.content)
        .map_err(|error| Failure::new(path, format!("is not a list of items: {error}")))?;
    let mut collector = Collector::new(path);
    let mut comments: Vec<String> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let place = Place { file: path, line: 0 };
        let Item { key, value, comment, line_num, .. } = item;
        if key.is_empty() {
            if value.is_empty() && comment.starts_with(['#', '!']) {
                let text = &comment[1..];
                comments.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
                continue;
            }
            if !value.is_empty() || !comment.is_empty() {
                collector.dropped.at(&place, format!("item {}, which has no key", index + 1));
            }
            stray(&mut collector, &mut comments);
            continue;
        }
        if line_num == 0 {
            collector.dropped.at(&place, format!("{key}, which was deleted"));
            continue;
        }
        if is_file(namespace) && key != CONTENT {
            collector.dropped.at(&place, format!("{key}, as {namespace} is one text"));
            continue;
        }
        let description = if comment.is_empty() {
            std::mem::take(&mut comments).join("\n")
        } else {
            stray(&mut collector, &mut comments);
            comment
        };
        collector.add(0, Entry { key, value, description })?;
    }
    stray(&mut collector, &mut comments);
    Ok(collector.finish())
}

/// Lists comments that describe no key.
fn stray(collector: &mut Collector<'_>, comments: &mut Vec<String>) {
    let place = collector.at(0);
    for comment in comments.drain(..) {
        collector.dropped.at(&place, format!("a comment that stands above no key: {comment}"));
    }
}
