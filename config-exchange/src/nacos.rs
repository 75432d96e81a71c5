//! Archives that Nacos and r-nacos export: `group/dataId`, with metadata in one of two files, or in none.
//!
//! The key of a configuration is its data id in `DEFAULT_GROUP`, else `group/dataId`.

use std::collections::HashMap;

use crate::archive::{File, unpack};
use crate::document::{Collector, Document, Entry, Place};
use crate::failure::{Failure, Result};
use crate::yaml::{Content, Documents, NodeId, documents};

/// Metadata since 1.4.2: YAML.
const METADATA: &str = ".metadata.yml";
/// Metadata before: lines with app names.
const OLD_METADATA: &str = ".meta.yml";
/// Text that r-nacos writes for an absent value.
const IGNORED: &str = ".ignore";
/// Group of configurations that name none.
const DEFAULT_GROUP: &str = "DEFAULT_GROUP";

/// Reads an archive of one namespace, by key. Descriptions are kept; app names, tags and types are listed.
pub fn read(archive: &[u8]) -> Result<Document> {
    let files = unpack(archive)?;
    let find = |name: &str| files.iter().find(|file| file.path == name);
    let metadata = find(METADATA).map(metadata).transpose()?;
    let mut collector = Collector::new("archive");
    if let Some(old) = find(OLD_METADATA).filter(|_| metadata.is_none()) {
        list_app_names(old, &mut collector)?;
    }
    let mut configs = metadata;
    for file in &files {
        let place = Place { file: &file.path, line: 0 };
        let [group, data_id] = file.parts()[..] else {
            if ![METADATA, OLD_METADATA, IGNORED].contains(&&*file.path) {
                collector.dropped.at(&place, "not a configuration of Nacos");
            }
            continue;
        };
        let mut description = String::new();
        if let Some(configs) = &mut configs {
            let Some(config) = configs.remove(&file.path) else {
                collector.dropped.at(&place, "the metadata does not name it");
                continue;
            };
            for (name, value) in [("appName", &config.app_name), ("configTags", &config.tags)] {
                if !value.is_empty() {
                    collector.dropped.at(&place, format!("{name} {value}"));
                }
            }
            if !config.kind.is_empty() && config.kind != kind_of(data_id) {
                collector.dropped.at(&place, format!("type {}", config.kind));
            }
            description = config.desc;
        }
        let key = if group == DEFAULT_GROUP { data_id.to_owned() } else { format!("{group}/{data_id}") };
        collector.add(0, Entry { key, value: file.text()?.to_owned(), description })?;
    }
    let mut missing: Vec<_> = configs.into_iter().flatten().map(|(path, _)| path).collect();
    missing.sort();
    for path in missing {
        let place = Place { file: &path, line: 0 };
        collector.dropped.at(&place, "the metadata names it, and it is not there");
    }
    if files.is_empty() {
        return Err(Failure::new("archive", "holds no file"));
    }
    Ok(collector.finish())
}

/// Metadata of a configuration; empty where there is none.
#[derive(Debug, Default)]
struct Config {
    app_name: String,
    tags: String,
    desc: String,
    kind: String,
}

/// The type that Nacos takes from a data id.
fn kind_of(data_id: &str) -> &'static str {
    match data_id.rsplit_once('.').map_or("", |(_, extension)| extension) {
        "yml" | "yaml" => "yaml",
        "json" => "json",
        "xml" => "xml",
        "htm" | "html" => "html",
        "properties" => "properties",
        "toml" => "toml",
        _ => "text",
    }
}

/// The metadata of an archive, by path.
fn metadata(file: &File) -> Result<HashMap<String, Config>> {
    let path = &*file.path;
    let documents = documents(path, file.text()?)?;
    let mut configs = HashMap::new();
    // The first member counts, whatever its name.
    let list = documents.roots.first().and_then(|root| match &documents.node(*root).content {
        Content::Map(members) => members.first(),
        _ => None,
    });
    let Some(list) = list else { return Ok(configs) };
    let list = documents.node(list.value);
    let Content::List(elements) = &list.content else {
        return Err(Place { file: path, line: list.line }.failure("must be a list of configurations"));
    };
    for &element in elements {
        let members = texts(path, &documents, element)?;
        let member = |name: &str| members.get(name).cloned().unwrap_or_default();
        for needed in ["dataId", "group"] {
            if member(needed).trim().is_empty() {
                let place = Place { file: path, line: documents.node(element).line };
                return Err(place.failure(format!("{needed} is missing")));
            }
        }
        let config = Config {
            app_name: member("appName"),
            tags: member("configTags"),
            desc: member("desc"),
            kind: member("type"),
        };
        configs.insert(format!("{}/{}", member("group"), member("dataId")), config);
    }
    Ok(configs)
}

/// The members of a map, each scalar as it is spelt.
fn texts(path: &str, documents: &Documents, id: NodeId) -> Result<HashMap<String, String>> {
    let node = documents.node(id);
    let place = Place { file: path, line: node.line };
    let Content::Map(members) = &node.content else { return Err(place.failure("must be a map of texts")) };
    let members = members.iter().map(|member| {
        let name = documents.node(member.key).text();
        let value = documents.node(member.value).text();
        let pair = name.zip(value).map(|(name, value)| (name.to_owned(), value.to_owned()));
        pair.ok_or_else(|| place.failure("must be a map of texts"))
    });
    members.collect()
}

/// Lists the app names of old metadata, whose lines are `group.dataId.app=name`.
fn list_app_names(file: &File, collector: &mut Collector<'_>) -> Result<()> {
    for (index, line) in file.text()?.lines().enumerate() {
        let place = Place { file: &file.path, line: index + 1 };
        if line.is_empty() {
            continue;
        }
        let parts: Vec<_> = line.split('=').collect();
        let [name, app] = parts[..] else {
            return Err(place.failure("must be a name, = and an app name"));
        };
        collector.dropped.at(&place, format!("{name} {app}"));
    }
    Ok(())
}
