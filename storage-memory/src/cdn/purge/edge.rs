//! Edge repository over the state in memory: edges, leadership over them, and the last purge of every host.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use imbl::OrdMap;
use pilothouse_core::Lease;
use pilothouse_core::cdn::{Edge, EdgeRepository};
use pilothouse_core::ports::StorageResult;

use crate::storage::Transaction;

#[derive(Clone, Debug, Default)]
pub(crate) struct EdgesState {
    edges: OrdMap<(String, String), Edge>,
    leaders: OrdMap<String, Leader>,
    purged: OrdMap<(String, String), i64>,
}

/// Leader of a cdn's edges; without a name where it stepped down.
#[derive(Clone, Debug)]
struct Leader {
    name: Option<String>,
    until: DateTime<Utc>,
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

    async fn lead(
        &mut self,
        cdn: &str,
        leader: &str,
        now: DateTime<Utc>,
        lease: Lease,
    ) -> StorageResult<bool> {
        let leaders = &mut self.state_mut()?.cdn.edges.leaders;
        let is_led = |held: &Leader| {
            held.name.as_deref().is_some_and(|name| name != leader) && lease.is_held(held.until, now)
        };
        if leaders.get(cdn).is_some_and(is_led) {
            return Ok(false);
        }
        leaders.insert(cdn.to_owned(), Leader { name: Some(leader.to_owned()), until: lease.end(now) });
        Ok(true)
    }

    async fn step_down(&mut self, cdn: &str, leader: &str) -> StorageResult<()> {
        let held = self.state_mut()?.cdn.edges.leaders.get_mut(cdn);
        if let Some(held) = held.filter(|held| held.name.as_deref() == Some(leader)) {
            held.name = None;
        }
        Ok(())
    }

    async fn led_until(&mut self, cdn: &str) -> StorageResult<Option<DateTime<Utc>>> {
        Ok(self.state().cdn.edges.leaders.get(cdn).map(|leader| leader.until))
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
