//! Edges, who looks after them, and the last purge of every host.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::OrdMap;
use pilothouse_core::cdn::{Edge, EdgeRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(super) struct EdgesState {
    edges: OrdMap<(String, String), Edge>,
    keepers: OrdMap<String, (String, DateTime<Utc>)>,
    purged: OrdMap<(String, String), i64>,
}

fn key(cdn: &str, name: &str) -> (String, String) {
    (cdn.to_owned(), name.to_owned())
}

#[async_trait]
impl EdgeRepository for Transaction {
    async fn insert(&mut self, edge: &Edge) -> StorageResult<bool> {
        let edges = &mut self.state_mut()?.cdn.edges.edges;
        let (key, is_new) = (key(&edge.cdn, &edge.name), !edges.contains_key(&key(&edge.cdn, &edge.name)));
        if is_new {
            edges.insert(key, edge.clone());
        }
        Ok(is_new)
    }

    async fn update(&mut self, edge: &Edge) -> StorageResult<bool> {
        let held = self.state_mut()?.cdn.edges.edges.get_mut(&key(&edge.cdn, &edge.name));
        Ok(held.map(|held| *held = Edge { epoch: held.epoch, ..edge.clone() }).is_some())
    }

    async fn remove(&mut self, cdn: &str, name: &str) -> StorageResult<bool> {
        Ok(self.state_mut()?.cdn.edges.edges.remove(&key(cdn, name)).is_some())
    }

    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<Edge>> {
        Ok(self.state().cdn.edges.edges.values().filter(|edge| edge.cdn == cdn).cloned().collect())
    }

    async fn keep(
        &mut self,
        cdn: &str,
        keeper: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<bool> {
        let keepers = &mut self.state_mut()?.cdn.edges.keepers;
        if keepers.get(cdn).is_some_and(|(other, until)| other != keeper && *until > now) {
            return Ok(false);
        }
        keepers.insert(cdn.to_owned(), (keeper.to_owned(), until));
        Ok(true)
    }

    async fn stamp(&mut self, cdn: &str, hosts: &[String], least: i64) -> StorageResult<i64> {
        let purged = &mut self.state_mut()?.cdn.edges.purged;
        let last = hosts.iter().filter_map(|host| purged.get(&key(cdn, host))).max();
        let stamp = last.map_or(least, |last| least.max(last + 1));
        for host in hosts {
            purged.insert(key(cdn, host), stamp);
        }
        Ok(stamp)
    }

    async fn purged(&mut self, cdn: &str, least: i64) -> StorageResult<Vec<(String, i64)>> {
        let purged = self.state().cdn.edges.purged.iter();
        let since = purged.filter(|((of, _), stamp)| of == cdn && **stamp >= least);
        Ok(since.map(|((_, host), stamp)| (host.clone(), *stamp)).collect())
    }
}
