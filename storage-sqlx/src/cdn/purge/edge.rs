//! Edge repository: the tables `edge`, `edge_keeper` (leadership over a cdn's edges) and `purged_host`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::cdn::{Edge, EdgeRepository, EdgeState};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{is_held, statements};
use crate::transaction::Transaction;
use crate::value::values;

statements! {
    INSERT = "INSERT INTO edge (cdn, name, epoch, state, since, heard, reason) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    UPDATE =
        "UPDATE edge SET state = $3, since = $4, heard = $5, reason = $6 WHERE cdn = $1 AND name = $2";
    REMOVE = "DELETE FROM edge WHERE cdn = $1 AND name = $2";
    LIST = "SELECT * FROM edge WHERE cdn = $1";
    /// An empty name is that of one who stepped down.
    LEAD = concat!(
        "INSERT INTO edge_keeper (cdn, keeper, until) VALUES ($1, $2, $4) ON CONFLICT (cdn) DO UPDATE \
         SET keeper = excluded.keeper, until = excluded.until \
         WHERE edge_keeper.keeper IN (excluded.keeper, '') OR NOT ",
        is_held!("edge_keeper.until", "$3", "$5")
    );
    STEP_DOWN = "UPDATE edge_keeper SET keeper = '' WHERE cdn = $1 AND keeper = $2";
    LED_UNTIL = "SELECT until FROM edge_keeper WHERE cdn = $1";
    STAMP = "INSERT INTO purged_host (cdn, host, stamp) VALUES ($1, $2, $3) ON CONFLICT (cdn, host) DO UPDATE \
         SET stamp = CASE WHEN purged_host.stamp < excluded.stamp THEN excluded.stamp ELSE purged_host.stamp + 1 END \
         RETURNING stamp";
    RAISE = "UPDATE purged_host SET stamp = $3 WHERE cdn = $1 AND host = $2";
    PURGED = "SELECT host, stamp FROM purged_host WHERE cdn = $1 AND stamp >= $2";
}

impl FromRow for Edge {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state = EdgeState::from_id(row.get("state")?);
        Ok(Self {
            cdn: row.get("cdn")?,
            name: row.get("name")?,
            epoch: row.get("epoch")?,
            state: state.ok_or(StorageError::Corrupt { what: "state of an edge" })?,
            since: row.get("since")?,
            last_seen: row.optional("heard")?,
            reason: row.get("reason")?,
        })
    }
}

#[async_trait]
impl EdgeRepository for Transaction {
    async fn insert(&mut self, edge: &Edge) -> StorageResult<bool> {
        let Edge { cdn, name, epoch, state, since, last_seen, reason } = edge;
        let values = values![cdn, name, *epoch, state.id(), *since, *last_seen, reason];
        Ok(self.connection.execute(INSERT, values).await? > 0)
    }

    async fn update(&mut self, edge: &Edge) -> StorageResult<bool> {
        let Edge { cdn, name, state, since, last_seen, reason, .. } = edge;
        let values = values![cdn, name, state.id(), *since, *last_seen, reason];
        Ok(self.connection.execute(UPDATE, values).await? > 0)
    }

    async fn remove(&mut self, cdn: &str, name: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(REMOVE, values![cdn, name]).await? > 0)
    }

    async fn list(&mut self, cdn: &str) -> StorageResult<Vec<Edge>> {
        let mut edges: Vec<Edge> = self.connection.all(LIST, values![cdn]).await?;
        edges.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(edges)
    }

    async fn lead(
        &mut self,
        cdn: &str,
        leader: &str,
        now: DateTime<Utc>,
        lease: Lease,
    ) -> StorageResult<bool> {
        let values = values![cdn, leader, now, lease.end(now), lease.latest_end(now)];
        Ok(self.connection.execute(LEAD, values).await? > 0)
    }

    async fn step_down(&mut self, cdn: &str, leader: &str) -> StorageResult<()> {
        self.connection.execute(STEP_DOWN, values![cdn, leader]).await.map(|_| ())
    }

    async fn led_until(&mut self, cdn: &str) -> StorageResult<Option<DateTime<Utc>>> {
        self.connection.optional(LED_UNTIL, values![cdn]).await
    }

    async fn stamp(&mut self, cdn: &str, hosts: &[String], least: i64) -> StorageResult<i64> {
        // In one order, so that two of these never wait for each other.
        let mut hosts: Vec<&String> = hosts.iter().collect();
        hosts.sort_unstable();
        hosts.dedup();
        let mut given = Vec::with_capacity(hosts.len());
        for host in hosts {
            let stamp: i64 = self.connection.one(STAMP, values![cdn, host, least]).await?;
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
