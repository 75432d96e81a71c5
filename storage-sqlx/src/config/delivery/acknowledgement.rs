//! Repository of delivery records: the table `config_delivery`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{
    Ack, AckResult, DeliveryRecord, DeliveryRepository, HeldVersion, ItemId, NodeAck, NodeNumber, ReleaseId,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements};
use crate::transaction::Transaction;
use crate::value::{Value, ids, values};

const RECORD_TAIL: &str = ") INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked) \
     SELECT release_id, node_id, sent, result, message, acked FROM report \
     WHERE EXISTS (SELECT 1 FROM config_release WHERE config_release.id = report.release_id) \
     AND EXISTS (SELECT 1 FROM config_node WHERE config_node.id = report.node_id) \
     ON CONFLICT (release_id, node_id) DO UPDATE SET \
     sent = CASE WHEN excluded.sent < config_delivery.sent THEN excluded.sent \
     ELSE COALESCE(config_delivery.sent, excluded.sent) END, \
     result = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     OR config_delivery.acked > (SELECT now FROM report LIMIT 1) AND excluded.acked IS NOT NULL \
     THEN excluded.result ELSE config_delivery.result END, \
     message = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     OR config_delivery.acked > (SELECT now FROM report LIMIT 1) AND excluded.acked IS NOT NULL \
     THEN excluded.message ELSE config_delivery.message END, \
     acked = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     OR config_delivery.acked > (SELECT now FROM report LIMIT 1) AND excluded.acked IS NOT NULL \
     THEN excluded.acked ELSE config_delivery.acked END";

statements! {
    RECORD = "WITH report (release_id, node_id, sent, result, message, acked, now) AS (";
    OF_RELEASES: pair =
        of_ids!("SELECT * FROM config_delivery WHERE release_id", "ORDER BY release_id, node_id");
    HELD: pair = of_ids!(
        "SELECT node_id, version FROM (SELECT node_id, latest.version, ROW_NUMBER() OVER \
         (PARTITION BY node_id ORDER BY acked DESC, latest.version DESC) AS place \
         FROM (SELECT id, version FROM config_release WHERE item_id = $2 ORDER BY id DESC LIMIT $3) latest \
         JOIN config_delivery ON release_id = latest.id WHERE result = 1 AND node_id",
        ") ranked WHERE place = 1 ORDER BY node_id"
    );
    OF_NODE = "SELECT config_item.key, newest.version, result, message, acked FROM (\
         SELECT item_id, config_release.version, result, message, acked, ROW_NUMBER() OVER \
         (PARTITION BY item_id, result = 1 ORDER BY acked DESC, config_release.id DESC) AS place \
         FROM config_delivery JOIN config_release ON config_release.id = release_id \
         WHERE node_id = $1 AND result IS NOT NULL) newest \
         JOIN config_item ON config_item.id = item_id WHERE place = 1 ORDER BY item_id, result = 1";
    PRUNE = "WITH RECURSIVE kept (id) AS (\
         SELECT origin FROM config_release WHERE origin IS NOT NULL AND (state = 0 OR publish_time >= $1) \
         UNION SELECT config_release.origin FROM config_release JOIN kept ON kept.id = config_release.id \
         WHERE config_release.origin IS NOT NULL) \
         DELETE FROM config_delivery WHERE (release_id, node_id) IN (\
         SELECT known.release_id, known.node_id FROM config_delivery known \
         JOIN config_release ON config_release.id = known.release_id \
         WHERE state <> 0 AND publish_time < $1 AND config_release.id NOT IN (SELECT id FROM kept) \
         ORDER BY known.release_id, known.node_id LIMIT $2)";
}

/// The acknowledgement of a row; `None` where nothing was said.
fn ack(row: &Row) -> StorageResult<Option<Ack>> {
    Ok(match (row.optional("result")?, row.optional("acked")?) {
        (Some(result), Some(time)) => {
            let result = AckResult::from_id(result).ok_or(StorageError::Corrupt { what: "result" })?;
            Some(Ack { result, message: row.optional("message")?.unwrap_or_default(), time })
        }
        _ => None,
    })
}

impl FromRow for DeliveryRecord {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: row.get("release_id")?,
            node: row.get("node_id")?,
            sent: row.optional("sent")?,
            ack: ack(row)?,
        })
    }
}

impl FromRow for NodeAck {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let ack = ack(row)?.ok_or(StorageError::Corrupt { what: "result" })?;
        Ok(Self { key: row.get("key")?, version: row.get("version")?, ack })
    }
}

impl FromRow for HeldVersion {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { node: row.get("node_id")?, version: row.get("version")? })
    }
}

#[async_trait]
impl DeliveryRepository for Transaction {
    async fn record(&mut self, deliveries: &[DeliveryRecord], now: DateTime<Utc>) -> StorageResult<()> {
        let mut values: Vec<Value<'_>> = Vec::with_capacity(deliveries.len() * 7);
        for DeliveryRecord { release, node, sent, ack } in deliveries {
            values.extend([Value::from(*release), Value::from(*node), Value::from(*sent)]);
            values.extend([
                Value::from(ack.as_ref().map(|ack| ack.result.id())),
                Value::from(ack.as_ref().map(|ack| &ack.message)),
                Value::from(ack.as_ref().map(|ack| ack.time)),
                Value::from(now),
            ]);
        }
        self.connection.execute_rows(RECORD, RECORD_TAIL, 7, &values).await.map(|_| ())
    }

    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryRecord>> {
        self.connection.all(OF_RELEASES, values![ids(releases)]).await
    }

    async fn held(
        &mut self,
        item: ItemId,
        nodes: &[NodeNumber],
        releases: i64,
    ) -> StorageResult<Vec<HeldVersion>> {
        self.connection.all(HELD, values![ids(nodes), item, releases]).await
    }

    async fn of_node(&mut self, node: NodeNumber) -> StorageResult<Vec<NodeAck>> {
        self.connection.all(OF_NODE, values![node]).await
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
