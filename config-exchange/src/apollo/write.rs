//! Writing of archives.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::item::Item;
use super::namespace::{is_file, place};
use crate::archive::{File, pack};
use crate::document::Entry;
use crate::failure::{Failure, Result};
use crate::profile::Profile;

/// Environment that is written: production.
const ENV: &str = "PRO";

/// Owner that is written: the first account of Apollo's portal.
const OWNER: &str = "apollo";

/// Writes the archive of all environments of Apollo's portal 2.0 and later, with one environment, `PRO`. Keys that no other
/// namespace can hold are in `application`.
pub fn write(profiles: &[Profile]) -> Result<Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut apps: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Profile { app, profile, entries } in profiles {
        let mut namespaces: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
        for entry in entries {
            let (namespace, name) = place(&entry.key);
            let items = namespaces.entry(namespace).or_default();
            let item = item(items.len(), name, entry);
            items.push(item);
        }
        let cluster = json!({ "name": profile, "appId": app, "parentClusterId": 0 });
        files.insert(format!("{OWNER}/{app}/{ENV}/{profile}.cluster.metadata"), bytes(&cluster)?);
        for (namespace, items) in namespaces {
            apps.entry(app).or_default().insert(namespace);
            let extension = if is_file(namespace) { "" } else { ".properties" };
            let path = format!("{OWNER}/{app}/{ENV}/{app}+{profile}+{namespace}{extension}");
            files.insert(path, bytes(&json!(items))?);
        }
        apps.entry(app).or_default();
    }
    for (app, namespaces) in apps {
        let owner = format!("{OWNER}@example.invalid");
        let metadata = json!({
            "name": app, "appId": app, "orgId": "default", "orgName": "default", "ownerName": OWNER, "ownerEmail": owner,
        });
        files.insert(format!("{OWNER}/{app}/app.metadata"), bytes(&metadata)?);
        for namespace in namespaces {
            let extension = namespace.rsplit_once('.').map_or("", |(_, extension)| extension);
            let format =
                if is_file(namespace) { extension.to_ascii_lowercase() } else { "properties".to_owned() };
            let metadata = json!({
                "name": namespace, "appId": app, "format": format, "isPublic": false, "comment": "",
            });
            files.insert(format!("{app}+{namespace}.appnamespace.metadata"), bytes(&metadata)?);
        }
    }
    let files: Vec<_> = files.into_iter().map(|(path, content)| File { path, content }).collect();
    pack(&files)
}

fn item(above: usize, name: &str, entry: &Entry) -> Item {
    let Entry { value, description, .. } = entry;
    Item {
        id: 0,
        namespace_id: 0,
        key: name.to_owned(),
        kind: 0,
        value: value.clone(),
        comment: description.clone(),
        line_num: i64::try_from(above).unwrap_or(i64::MAX - 1) + 1,
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Failure::new("archive", format!("cannot be written: {error}")))
}
