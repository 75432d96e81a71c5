//! Nodes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{AppId, Labels, Node, NodeNumber, NodeRepository};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::database::of_ids;
use crate::storage::Transaction;
use crate::value::{address, time, values};

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
const REGISTER: [&str; 2] = [register!("FOR KEY SHARE"), register!("")];
const FIND: &str = "SELECT * FROM config_node WHERE app_id = $1 AND profile = $2 AND node_id = $3";
const LIST: &str = "SELECT * FROM config_node WHERE app_id = $1 AND profile = $2 ORDER BY id";
const COUNT_ONLINE: &str = "SELECT COUNT(*) FROM config_node \
     WHERE app_id = $1 AND profile = $2 AND NOT has_left AND lease_until > $3";
const PRESENT: &str =
    "SELECT id, profile, node_id FROM config_node WHERE app_id = $1 AND NOT has_left ORDER BY id";
const RENEW: [&str; 2] =
    of_ids!("UPDATE config_node SET lease_until = $2 WHERE NOT has_left AND lease_until < $2 AND id", "");
const LEAVE: &str = "UPDATE config_node SET has_left = TRUE WHERE id = $1 AND NOT has_left";
const ADD_DRIFT: &str = "INSERT INTO config_drift (node_id, key) SELECT id, $2 FROM config_node WHERE id = $1 \
     ON CONFLICT DO NOTHING";
const DRIFT: [&str; 2] = of_ids!(
    "SELECT app_id, config_node.id, key FROM config_drift JOIN config_node ON config_node.id = config_drift.node_id \
     WHERE app_id",
    "ORDER BY config_node.id"
);
const REMOVE_DRIFT: &str = "DELETE FROM config_drift WHERE node_id = $1 AND key = $2";
const PRUNE: &str = "DELETE FROM config_node WHERE lease_until < $1";

#[derive(FromRow)]
struct NodeRow {
    id: i64,
    app_id: i64,
    profile: String,
    node_id: String,
    pid: String,
    ip: Option<String>,
    labels: String,
    register_time: i64,
    lease_until: i64,
    has_left: bool,
}

impl TryFrom<NodeRow> for Node {
    type Error = StorageError;

    fn try_from(row: NodeRow) -> StorageResult<Self> {
        Ok(Self {
            number: row.id,
            app: row.app_id,
            profile: row.profile,
            node_id: row.node_id,
            pid: row.pid,
            ip: row.ip.as_deref().map(address).transpose()?,
            labels: labels(&row.labels)?,
            register_time: time(row.register_time)?,
            lease_until: time(row.lease_until)?,
            left: row.has_left,
        })
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
        let sql = self.connection.either(REGISTER);
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
        let number: Option<(i64,)> = self.connection.optional(sql, values).await?;
        Ok(number.map(|(number,)| number))
    }

    async fn find(&mut self, app: AppId, profile: &str, node_id: &str) -> StorageResult<Option<Node>> {
        let found = self.connection.optional::<NodeRow>(FIND, values![app, profile, node_id]).await?;
        found.map(Node::try_from).transpose()
    }

    async fn list(&mut self, app: AppId, profile: &str) -> StorageResult<Vec<Node>> {
        let rows = self.connection.all::<NodeRow>(LIST, values![app, profile]).await?;
        rows.into_iter().map(Node::try_from).collect()
    }

    async fn count_online(&mut self, app: AppId, profile: &str, now: DateTime<Utc>) -> StorageResult<i64> {
        let (count,) = self.connection.one(COUNT_ONLINE, values![app, profile, now]).await?;
        Ok(count)
    }

    async fn present(&mut self, app: AppId) -> StorageResult<Vec<(NodeNumber, String, String)>> {
        self.connection.all(PRESENT, values![app]).await
    }

    async fn renew(&mut self, nodes: &[NodeNumber], until: DateTime<Utc>) -> StorageResult<()> {
        let (sql, nodes) = (self.connection.either(RENEW), self.connection.list(nodes));
        self.connection.execute(sql, values![nodes, until]).await.map(|_| ())
    }

    async fn leave(&mut self, node: NodeNumber) -> StorageResult<bool> {
        Ok(self.connection.execute(LEAVE, values![node]).await? > 0)
    }

    async fn add_drift(&mut self, drift: &[(NodeNumber, String)]) -> StorageResult<()> {
        for (node, key) in drift {
            self.connection.execute(ADD_DRIFT, values![*node, key]).await?;
        }
        Ok(())
    }

    async fn drift(&mut self, apps: &[AppId]) -> StorageResult<Vec<(AppId, NodeNumber, String)>> {
        let (sql, apps) = (self.connection.either(DRIFT), self.connection.list(apps));
        let mut drift: Vec<(AppId, NodeNumber, String)> = self.connection.all(sql, values![apps]).await?;
        // Not ORDER BY: the order of keys would be that of the database's locale.
        drift.sort_by(|one, other| (one.1, &one.2).cmp(&(other.1, &other.2)));
        Ok(drift)
    }

    async fn remove_drift(&mut self, node: NodeNumber, key: &str) -> StorageResult<bool> {
        Ok(self.connection.execute(REMOVE_DRIFT, values![node, key]).await? > 0)
    }

    async fn prune(&mut self, before: DateTime<Utc>) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before]).await
    }
}
