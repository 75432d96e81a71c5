//! Publishing of a sequence: single versions, and sets of changes.

use serde_json::{Value as Json, json};

use super::sequence::{Sequence, UNKNOWN};
use crate::support::{Content, Contents, KEYS, Operation, PROFILE};

/// A change of a set, with the text of a key that it does not delete.
struct SetChange {
    key: &'static str,
    text: Option<String>,
}

impl Sequence<'_> {
    /// Publishes a version of a key: a new one, an old one by a rollback, or the current one again.
    pub(super) async fn publish(&mut self, key: &'static str, selector: Json) {
        let root = self.root.clone();
        let name = self.parameters(key, &[]);
        let text = json!(format!("{key} {}", self.rng.u64(..)));
        let new = self.parameters(key, &[("value", text)]);
        let found = root.post("/config/queryWithKey", name.clone()).await;
        match (found.is_ok(), self.rng.u64(..4)) {
            (false, _) => drop(root.post("/config/create", new).await.ok()),
            (true, 0) => {}
            (true, 1) => {
                let last = found.body["data"]["Version"].as_u64().unwrap();
                let version = json!(1 + self.rng.u64(..last));
                let back = self.parameters(key, &[("version", version)]);
                root.post("/config/rollback", back).await.ok();
            }
            (true, _) => drop(root.post("/config/update", new).await.ok()),
        }
        root.post("/config/approve", name.clone()).await.ok();
        let item = root.post("/config/queryWithKey", name).await.ok()["data"].clone();
        let content = Content {
            version: item["Version"].as_i64().unwrap(),
            text: item["Value"].as_str().unwrap().to_owned(),
        };
        let (contents, grey) = ([(key.to_owned(), content)].into(), selector != json!({}));
        let mut arguments = selector;
        arguments["id"] = item["Id"].clone();
        self.release("/publish", arguments, Operation::Publish { contents, grey }).await;
    }

    /// Changes and deletes some keys as one change set, and publishes it: to all nodes in the same call or in another, to
    /// some nodes in another.
    pub(super) async fn publish_set(&mut self, selector: Json) {
        let changes = self.changes().await;
        // What was never released is deleted at once.
        let now = self.history.now();
        let parts: Vec<&SetChange> =
            changes.iter().filter(|change| change.text.is_some() || now.has(change.key)).collect();
        if parts.is_empty() {
            return;
        }
        let content = |change: &SetChange| match &change.text {
            Some(text) => Content { version: UNKNOWN, text: text.clone() },
            None => Content::NONE,
        };
        let mut contents: Contents =
            parts.into_iter().map(|change| (change.key.to_owned(), content(change))).collect();
        let changed = changes.iter().map(|change| match &change.text {
            Some(text) => json!({"key": change.key, "value": text}),
            None => json!({"key": change.key, "delete": true}),
        });
        let changed: Vec<Json> = changed.collect();
        let grey = selector != json!({});
        let place = json!({"app": self.environment.app, "profile": PROFILE});
        let with = |mut more: Json| {
            more.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
            more
        };
        if !grey && self.rng.bool() {
            let apply = with(json!({"changes": changed, "publish": true}));
            let operation = Operation::Publish { contents, grey };
            self.tally.sets += u64::from(self.release("/config/apply", apply, operation).await);
            return;
        }
        let apply = with(json!({"changes": changed, "approve": true}));
        let applied = self.root.post("/config/apply", apply).await;
        if applied.is_overload() {
            return;
        }
        let applied = applied.ok()["data"].clone();
        for change in applied["Changes"].as_array().unwrap() {
            if let Some(content) = contents.get_mut(change["Key"].as_str().unwrap())
                && content.version == UNKNOWN
            {
                content.version = change["Version"].as_i64().unwrap();
            }
        }
        let mut arguments = with(selector);
        arguments["changeset"] = applied["ChangeSet"].clone();
        let operation = Operation::Publish { contents, grey };
        self.tally.sets += u64::from(self.release("/publish/set", arguments, operation).await);
    }

    /// Changes of a set: new texts for some keys, and the deletion of some that exist.
    async fn changes(&mut self) -> Vec<SetChange> {
        let place = json!({"app": self.environment.app, "profile": PROFILE});
        let listed = self.root.post("/config/query", place).await.ok();
        let existing: Vec<&str> =
            listed["data"].as_array().unwrap().iter().map(|item| item["Key"].as_str().unwrap()).collect();
        let mut changes = Vec::new();
        for key in KEYS {
            if self.rng.u64(..3) == 0 {
                continue;
            }
            let deletes = existing.contains(&key) && self.rng.u64(..3) == 0;
            let text = (!deletes).then(|| format!("{key} {}", self.rng.u64(..)));
            changes.push(SetChange { key, text });
        }
        changes
    }
}
