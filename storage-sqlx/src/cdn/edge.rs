//! Edges, who looks after them, and the last purge of every host.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::cdn::{Edge, EdgeRepository, EdgeState};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::storage::Transaction;
use crate::value::{time, values};

const INSERT: &str = "INSERT INTO edge (cdn, name, epoch, state, since, heard, reason) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const UPDATE: &str =
    "UPDATE edge SET state = $3, since = $4, heard = $5, reason = $6 WHERE cdn = $1 AND name = $2";
const REMOVE: &str = "DELETE FROM edge WHERE cdn = $1 AND name = $2";
const LIST: &str = "SELECT * FROM edge WHERE cdn = $1";
const KEEP: &str = "INSERT INTO edge_keeper (cdn, keeper, until) VALUES ($1, $2, $4) ON CONFLICT (cdn) DO UPDATE \
     SET keeper = excluded.keeper, until = excluded.until \
     WHERE edge_keeper.keeper = excluded.keeper OR edge_keeper.until <= $3";
const STAMP: &str = "INSERT INTO purged_host (cdn, host, stamp) VALUES ($1, $2, $3) ON CONFLICT (cdn, host) DO UPDATE \
     SET stamp = CASE WHEN purged_host.stamp < excluded.stamp THEN excluded.stamp ELSE purged_host.stamp + 1 END \
     RETURNING stamp";
const RAISE: &str = "UPDATE purged_host SET stamp = $3 WHERE cdn = $1 AND host = $2";
const PURGED: &str = "SELECT host, stamp FROM purged_host WHERE cdn = $1 AND stamp >= $2";

#[derive(FromRow)]
struct EdgeRow {
    cdn: String,
    name: String,
    epoch: i64,
    state: i64,
    since: i64,
    heard: Option<i64>,
    reason: String,
}

impl TryFrom<EdgeRow> for Edge {
    type Error = StorageError;

    fn try_from(row: EdgeRow) -> StorageResult<Self> {
        let EdgeRow { cdn, name, epoch, state, since, heard, reason } = row;
        Ok(Self {
            cdn,
            name,
            epoch,
            state: EdgeState::from_id(state).ok_or(StorageError::Corrupt { what: "state of an edge" })?,
            since: time(since)?,
            heard: heard.map(time).transpose()?,
            reason,
        })
    }
}

#[async_trait]
impl EdgeRepository for Transaction {
    async fn insert(&mut self, edge: &Edge) -> StorageResult<bool> {
        let Edge { cdn, name, epoch, state, since, heard, reason } = edge;
        let values = values![cdn, name, *epoch, state.id(), *since, *heard, reason];
        Ok(self.connection.execute(INSERT, values).await? > 0)
    }

    async fn update(&mut self, edge: &Edge) -> StorageResult<bool> {
        let Edge { cdn, name, state, since, heard, reason, .. } = edge;
        let values = values![cdn, name, state.id(), *since, *heard, reason];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn remove(&mut self, cdn: &str, name: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(REMOVE, values![cdn, name]).await? > 0)
    }

    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<Edge>> {
        let rows = self.connection.all::<EdgeRow>(LIST, values![cdn]).await?;
        let edges: StorageResult<Vec<Edge>> = rows.into_iter().map(Edge::try_from).collect();
        let mut edges = edges?;
        edges.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(edges)
    }

    async fn keep(
        &mut self,
        cdn: &str,
        keeper: &str,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> StorageResult<bool> {
        Ok(self.connection.execute(KEEP, values![cdn, keeper, now, until]).await? > 0)
    }

    async fn stamp(&mut self, cdn: &str, hosts: &[String], least: i64) -> StorageResult<i64> {
        // In one order, so that two of these never wait for each other.
        let mut hosts: Vec<&String> = hosts.iter().collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut given = Vec::with_capacity(hosts.len());
        for host in hosts {
            let (stamp,): (i64,) = self.connection.one(STAMP, values![cdn, host, least]).await?;
            given.push((host, stamp));
        }
        let stamp = given.iter().map(|(_, stamp)| *stamp).max().unwrap_or(least);
        for (host, _) in given.iter().filter(|(_, given)| *given < stamp) {
            self.connection.execute(RAISE, values![cdn, *host, stamp]).await?;
        }
        Ok(stamp)
    }

    async fn purged(&mut self, cdn: &str, least: i64) -> StorageResult<Vec<(String, i64)>> {
        let mut purged: Vec<(String, i64)> = self.connection.all(PURGED, values![cdn, least]).await?;
        purged.sort_unstable();
        Ok(purged)
    }
}
