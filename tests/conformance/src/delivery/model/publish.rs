//! Publishing side of the simulation: full and grey releases, their ends, deletion of items.

use std::collections::BTreeSet;

use pilothouse_core::config::{Content, ItemId, ReleaseId, ReleaseKind, Selector};
use pilothouse_core::{Error, ErrorKind};

use super::Simulation;
use super::expected::{FullRelease, Released};
use crate::rows::item_name;

impl Simulation<'_> {
    /// Publishes a version of a key: a new one, an old one rolled back to, or the present one again.
    pub(super) async fn publish(&mut self, selector: &Selector) {
        let server = self.any_server();
        let key = self.any_key();
        let name = item_name(&self.app, key);
        let items = server.items();
        let content = |value: String| Content { value, ..Content::default() };
        let item: ItemId = match items.find(&self.caller, &name).await {
            Ok(item) => {
                match self.random.u8(..4) {
                    0 => {}
                    1 => {
                        let old = self.random.i64(1..=item.current.version);
                        items.roll_back(&self.caller, &name, old).await.unwrap();
                    }
                    _ => {
                        let value = format!("{key} {}", self.random.u64(..));
                        items.update(&self.caller, &name, content(value), None).await.unwrap();
                    }
                }
                item.id
            }
            Err(_) => {
                let value = format!("{key} {}", self.random.u64(..));
                items.create(&self.caller, &name, content(value)).await.unwrap()
            }
        };
        items.approve(&self.caller, &name, None).await.unwrap();
        let current = items.find(&self.caller, &name).await.unwrap().current;
        let answer = server.releases().publish(&self.caller, item, selector, None).await;
        self.log.push(format!("publish {key} version {} {selector:?}: {answer:?}", current.version));
        let Ok(answer) = answer else {
            self.check_refusal(
                selector,
                self.overlaps(&[key], selector.percent.is_none()),
                &answer.unwrap_err(),
            );
            return;
        };
        self.values.insert((key.to_owned(), current.version), current.content.value);
        let mut next = self.latest().clone();
        if answer.kind == ReleaseKind::Full {
            self.record_full(answer.release, &[(key, current.version)], &mut next);
        } else {
            let mut snapshot = self.storage.read().await.unwrap();
            let release = snapshot.releases().by_id(answer.release).await.unwrap().unwrap();
            let nodes: BTreeSet<String> = match &selector.nodes {
                Some(nodes) => nodes.as_set().clone(),
                None => release.nodes.iter().cloned().collect(),
            };
            if let (Some(percent), Some((_, before))) = (selector.percent, next.grey.get(key)) {
                let kept = before.intersection(&nodes).count();
                assert!(
                    kept == before.len() || kept == nodes.len(),
                    "{percent:?}: {before:?} became {nodes:?}"
                );
            }
            assert_eq!(nodes, release.nodes.into_iter().collect());
            next.grey.insert(key, (current.version, nodes));
            self.greys.insert(key, answer.release);
        }
        self.released.push(next);
    }

    /// Promotes or aborts an active grey release.
    pub(super) async fn end_grey(&mut self, promote: bool) {
        let Some(release) = self.greys.values().next().copied() else { return };
        let server = self.any_server();
        let mut next = self.latest().clone();
        let keys: Vec<_> = self.greys.iter().filter(|(_, of)| **of == release).map(|(key, _)| *key).collect();
        let versions: Vec<_> = keys.iter().map(|key| (*key, next.grey.remove(key).unwrap().0)).collect();
        self.greys.retain(|_, of| *of != release);
        if promote {
            let made = server.releases().promote(&self.caller, release, false).await.unwrap().release;
            self.record_full(made, &versions, &mut next);
        } else {
            server.releases().abort(&self.caller, release).await.unwrap();
        }
        self.log.push(format!("{} {versions:?}", if promote { "promote" } else { "abort" }));
        self.released.push(next);
    }

    /// Records a full release of these versions, 0 for none, which ends the grey ones of its keys.
    pub(super) fn record_full(
        &mut self,
        release: ReleaseId,
        versions: &[(&'static str, i64)],
        next: &mut Released,
    ) {
        let mut full = FullRelease::default();
        for (key, version) in versions {
            full.before.insert(key, next.full.remove(key).unwrap_or(0));
            if *version > 0 {
                next.full.insert(key, *version);
            }
            next.grey.remove(key);
            self.greys.remove(key);
            self.last_full.insert(key, release);
        }
        self.fulls.insert(release, full);
    }

    /// Whether a release of these keys has to be refused, because a grey one has other keys as well, or other keys than a
    /// grey one.
    pub(super) fn overlaps(&self, keys: &[&str], is_full: bool) -> bool {
        let overlapping: BTreeSet<_> = keys.iter().filter_map(|key| self.greys.get(key)).collect();
        overlapping.into_iter().any(|release| {
            let of = self.greys.iter().filter(|(_, other)| *other == release);
            let of: Vec<_> = of.map(|(key, _)| *key).collect();
            of.iter().any(|key| !keys.contains(key)) || !is_full && of.len() != keys.len()
        })
    }

    /// A publication is refused only for an overlap, or for a percentage of no nodes.
    pub(super) fn check_refusal(&self, selector: &Selector, is_overlap: bool, refused: &Error) {
        if refused.kind() == ErrorKind::Conflict {
            let greys = &self.greys;
            assert!(is_overlap || selector.nodes.is_some(), "{refused} {greys:?}");
            return;
        }
        let nobody = self.clients.values().all(|client| !client.is_registered);
        assert!(selector.percent.is_some() && nobody, "{refused}");
    }

    /// Deletes an item, which ends its releases.
    pub(super) async fn delete(&mut self) {
        let server = self.any_server();
        let key = self.any_key();
        let name = item_name(&self.app, key);
        if server.items().delete(&self.caller, &name, None).await.is_err() {
            return;
        }
        self.log.push(format!("delete {key}"));
        let mut next = self.latest().clone();
        let was_released = next.full.remove(key).is_some() | next.grey.remove(key).is_some();
        self.greys.remove(key);
        self.last_full.remove(key);
        if was_released {
            self.released.push(next);
        }
    }
}
