//! Node repository: the tables `config_node` and `config_drift`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::Lease;
use pilothouse_core::config::{AppId, LEASE, Labels, Node, NodeCensus, NodeNumber, NodeRepository};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{is_held, of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

/// Adds a node to an app that is there, and stays there until the end of the transaction.
macro_rules! register {
    ($lock:literal) => {
        concat!(
            "WITH held AS (SELECT id FROM app WHERE id = $1 ",
            $lock,
            ") INSERT INTO config_node \
             (app_id, profile, node_id, pid, ip, labels, register_time, lease_until, has_left) \
             SELECT id, $2, $3, $4, $5, $6, $7, $8, $9 FROM held WHERE TRUE \
             ON CONFLICT (app_id, profile, node_id) DO UPDATE SET pid = excluded.pid, ip = excluded.ip, \
             labels = excluded.labels, register_time = excluded.register_time, \
             lease_until = excluded.lease_until, has_left = excluded.has_left RETURNING id"
        )
    };
}
statements! {
    REGISTER: pair = [register!("FOR KEY SHARE"), register!("")];
    FIND = "SELECT * FROM config_node WHERE app_id = $1 AND profile = $2 AND node_id = $3";
    LIST = "SELECT * FROM config_node WHERE app_id = $1 AND profile = $2 ORDER BY id";
    COUNT = "SELECT COUNT(*) FROM config_node WHERE app_id = $1";
    COUNT_ONLINE = concat!(
        "SELECT COUNT(*) FROM config_node WHERE app_id = $1 AND profile = $2 AND NOT has_left AND ",
        is_held!("lease_until", "$3", "$4")
    );
    CENSUS = concat!(
        "SELECT CAST(COALESCE(SUM(CASE WHEN NOT has_left AND ",
        is_held!("lease_until", "$3", "$4"),
        " THEN 1 ELSE 0 END), 0) AS BIGINT) AS online, \
         CAST(COALESCE(SUM(CASE WHEN has_left THEN 1 ELSE 0 END), 0) AS BIGINT) AS gone, COUNT(*) AS nodes \
         FROM config_node WHERE app_id = $1 AND profile = $2"
    );
    PRESENT =
        "SELECT id, profile, node_id FROM config_node WHERE app_id = $1 AND NOT has_left ORDER BY id";
    RENEW: pair = of_ids!(
        "UPDATE config_node SET lease_until = $2 WHERE NOT has_left AND (lease_until < $2 OR lease_until > $3) AND id",
        ""
    );
    END_VOID = "UPDATE config_node SET lease_until = $1 WHERE lease_until > $2";
    LEAVE = "UPDATE config_node SET has_left = TRUE WHERE id = $1 AND NOT has_left";
    ADD_DRIFT = "WITH drift (node_id, key) AS (";
    DRIFT: pair = of_ids!(
        "SELECT app_id, config_node.id, key FROM config_drift JOIN config_node ON config_node.id = config_drift.node_id \
         WHERE app_id",
        "ORDER BY config_node.id"
    );
    REMOVE_DRIFT = "DELETE FROM config_drift WHERE node_id = $1 AND key = $2";
    /// In one statement, which counts the records of a release once; the foreign key would do so for each node.
    PRUNE_DELIVERIES = "DELETE FROM config_delivery WHERE node_id IN (SELECT id FROM config_node WHERE lease_until < $1 \
         ORDER BY lease_until, id LIMIT $2)";
    PRUNE = "DELETE FROM config_node WHERE id IN (SELECT id FROM config_node WHERE lease_until < $1 \
         ORDER BY lease_until, id LIMIT $2)";
}

const ADD_DRIFT_TAIL: &str = ") INSERT INTO config_drift (node_id, key) SELECT node_id, key FROM drift \
     WHERE EXISTS (SELECT 1 FROM config_node WHERE config_node.id = drift.node_id) ON CONFLICT DO NOTHING";

impl FromRow for Node {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            number: row.get("id")?,
            app: row.get("app_id")?,
            profile: row.get("profile")?,
            node_id: row.get("node_id")?,
            pid: row.get("pid")?,
            ip: row.optional("ip")?,
            labels: labels(&row.get::<String>("labels")?)?,
            register_time: row.get("register_time")?,
            lease_until: row.get("lease_until")?,
            left: row.get("has_left")?,
        })
    }
}

impl FromRow for NodeCensus {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let [online, left, nodes]: [i64; 3] = [row.get("online")?, row.get("gone")?, row.get("nodes")?];
        Ok(Self { online, offline: nodes - online - left, left })
    }
}

fn labels(text: &str) -> StorageResult<Labels> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let label = |pair: &str| {
        let (name, value) = pair.split_once(':').ok_or(StorageError::Corrupt { what: "label" })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    pairs.map(label).collect()
}

fn label_text(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    pairs.join(",")
}

#[async_trait]
impl NodeRepository for Transaction {
    async fn register(&mut self, node: &Node) -> StorageResult<Option<NodeNumber>> {
        let values = values![
            node.app,
            &node.profile,
            &node.node_id,
            &node.pid,
            node.ip,
            label_text(&node.labels),
            node.register_time,
            node.lease_until,
            node.left,
        ];
        self.connection.optional(REGISTER, values).await
    }

    async fn find(&mut self, app: AppId, profile: &str, node_id: &str) -> StorageResult<Option<Node>> {
        self.connection.optional(FIND, values![app, profile, node_id]).await
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Node>> {
        self.connection.all(LIST, values![app, profile]).await
    }

    async fn count(&mut self, app: AppId) -> StorageResult<i64> {
        self.connection.one(COUNT, values![app]).await
    }

    async fn count_online(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<i64> {
        self.connection.one(COUNT_ONLINE, values![app, profile, now, LEASE.latest_end(now)]).await
    }

    async fn census(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<NodeCensus> {
        self.connection.one(CENSUS, values![app, profile, now, LEASE.latest_end(now)]).await
    }

    async fn present(&mut self, app: AppId) -> StorageResult<Vec<(NodeNumber, String, String)>> {
        self.connection.all(PRESENT, values![app]).await
    }

    async fn renew(&mut self, nodes: &[NodeNumber], until: DateTime<Utc>) -> StorageResult<()> {
        self.connection
            .execute(RENEW, values![ids(nodes), until, Lease::latest_beside(until)])
            .await
            .map(|_| ())
    }

    async fn leave(&mut self, node: NodeNumber) -> StorageResult<bool> {
        Ok(self.connection.execute(LEAVE, values![node]).await? > 0)
    }

    async fn add_drift(&mut self, drift: &[(NodeNumber, String)]) -> StorageResult<()> {
        let row = |(node, key): &'_ (NodeNumber, String)| [(*node).into(), key.clone().into()];
        let values: Vec<Value<'_>> = drift.iter().flat_map(row).collect();
        self.connection.execute_rows(ADD_DRIFT, ADD_DRIFT_TAIL, 2, &values).await.map(|_| ())
    }

    async fn drift(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, NodeNumber, String)>> {
        let mut drift: Vec<(AppId, NodeNumber, String)> =
            self.connection.all(DRIFT, values![ids(apps)]).await?;
        // Not ORDER BY: the order of keys would be that of the database's locale.
        drift.sort_by(|one, other| (one.1, &one.2).cmp(&(other.1, &other.2)));
        Ok(drift)
    }

    async fn remove_drift(&mut self, node: NodeNumber, key: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(REMOVE_DRIFT, values![node, key]).await? > 0)
    }

    async fn end_void_leases(&mut self, now: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(END_VOID, values![now, LEASE.latest_end(now)]).await
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE_DELIVERIES, values![before, count]).await?;
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
