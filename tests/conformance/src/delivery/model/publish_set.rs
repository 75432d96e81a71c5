//! Releases of several keys in the simulation, deletions among them, and the way back.

use std::collections::BTreeSet;

use pilothouse_core::ErrorKind;
use pilothouse_core::config::{
    Change, ChangeAction, ContentChange, ItemChange, NewChangeSet, NewReleaseSet, ReleaseContent,
    ReleaseKind, Selector,
};

use super::{KEYS, Simulation};

impl Simulation<'_> {
    /// Changes or deletes some keys as one change set, and publishes it.
    pub(super) async fn publish_set(&mut self, selector: &Selector) {
        let server = self.any_server();
        let existing: BTreeSet<String> = {
            let items = server.items().list(&self.caller, &self.app, "dev").await.unwrap();
            items.into_iter().map(|item| item.key).collect()
        };
        let mut changes = Vec::new();
        for key in KEYS {
            if self.random.bool() {
                continue;
            }
            let value = format!("{key} {}", self.random.u64(..));
            let item = if existing.contains(key) && self.random.u8(..3) == 0 {
                ItemChange::Delete
            } else {
                ItemChange::Content(ContentChange { value: Some(value), ..ContentChange::default() })
            };
            changes.push(Change { key: key.to_owned(), seen: None, item });
        }
        if changes.is_empty() {
            return;
        }
        let new = NewChangeSet {
            app: self.app.clone(),
            profile: "dev".into(),
            changes: changes.clone(),
            approve: true,
            ..NewChangeSet::default()
        };
        let applied = server.change_sets().apply(&self.caller, new).await.unwrap();
        let released = self.latest().clone();
        // A key of which nothing was released is gone already.
        let is_part = |key: &str, action: ChangeAction| {
            action != ChangeAction::Delete
                || released.full.contains_key(key)
                || released.grey.contains_key(key)
        };
        let parts = applied.changes.iter().filter(|change| is_part(&change.key, change.action));
        let versions =
            parts.map(|change| (*KEYS.iter().find(|key| **key == change.key).unwrap(), change.version));
        let versions: Vec<(&'static str, i64)> = versions.collect();
        for (change, applied) in changes.iter().zip(&applied.changes) {
            if let ItemChange::Content(ContentChange { value: Some(value), .. }) = &change.item {
                self.values.insert((change.key.clone(), applied.version), value.clone());
            }
        }
        let set = applied.change_set.unwrap();
        let new = NewReleaseSet {
            app: self.app.clone(),
            profile: "dev".into(),
            content: ReleaseContent::ChangeSet(set),
            selector: selector.clone(),
            title: String::new(),
        };
        let answer = server.releases().publish_set(&self.caller, &new).await;
        self.log.push(format!("publish set {versions:?} {selector:?}: {answer:?}"));
        let keys: Vec<&str> = versions.iter().map(|(key, _)| *key).collect();
        let Ok(answer) = answer else {
            let is_overlap = keys.is_empty() || self.overlaps(&keys, selector.percent.is_none());
            self.check_refusal(selector, is_overlap, &answer.unwrap_err());
            return;
        };
        assert!(!self.overlaps(&keys, answer.kind == ReleaseKind::Full), "{keys:?} {:?}", self.greys);
        assert_eq!(answer.items, i64::try_from(keys.len()).unwrap());
        let mut next = released;
        if answer.kind == ReleaseKind::Full {
            self.record_full(answer.release, &versions, &mut next);
        } else {
            let mut snapshot = self.storage.read().await.unwrap();
            let parts = snapshot.releases().parts(&[answer.release]).await.unwrap();
            assert_eq!(parts.len(), keys.len());
            for (key, version) in versions {
                let (part, _) = parts.iter().find(|(_, of)| of == key).unwrap();
                assert_eq!((part.version, part.head()), (version, answer.release));
                next.grey.insert(key, (version, part.nodes.iter().cloned().collect()));
                self.greys.insert(key, answer.release);
            }
        }
        self.released.push(next);
    }

    /// Takes a full release back, which works as long as each of its keys is as it left it.
    pub(super) async fn roll_back(&mut self) {
        let server = self.any_server();
        let releases: Vec<_> = self.fulls.keys().copied().collect();
        let Some(release) = self.random.choice(releases) else { return };
        let before: Vec<(&'static str, i64)> =
            self.fulls[&release].before.iter().map(|(key, version)| (*key, *version)).collect();
        let keys: Vec<&str> = before.iter().map(|(key, _)| *key).collect();
        let is_current = keys.iter().all(|key| self.last_full.get(key) == Some(&release));
        let answer = server.releases().roll_back(&self.caller, release).await;
        self.log.push(format!("roll back {release} to {before:?}: {answer:?}"));
        if !is_current || self.overlaps(&keys, true) {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Conflict, "{release} {before:?}");
            return;
        }
        let mut next = self.latest().clone();
        self.record_full(answer.unwrap().release, &before, &mut next);
        self.released.push(next);
    }
}
