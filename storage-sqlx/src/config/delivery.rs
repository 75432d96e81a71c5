//! What became of releases at nodes.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{Ack, AckResult, Delivery, DeliveryRepository, ReleaseId};
use pilothouse_core::ports::{StorageError, StorageResult};
use sqlx::FromRow;

use crate::database::of_ids;
use crate::storage::Transaction;
use crate::value::{Value, time, values};

const RECORD: &str = "WITH report (release_id, node_id, sent, result, message, acked) AS (";
const RECORD_TAIL: &str = ") INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked) \
     SELECT release_id, node_id, sent, result, message, acked FROM report \
     WHERE EXISTS (SELECT 1 FROM config_release WHERE config_release.id = report.release_id) \
     AND EXISTS (SELECT 1 FROM config_node WHERE config_node.id = report.node_id) \
     ON CONFLICT (release_id, node_id) DO UPDATE SET \
     sent = CASE WHEN excluded.sent < config_delivery.sent THEN excluded.sent \
     ELSE COALESCE(config_delivery.sent, excluded.sent) END, \
     result = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     THEN excluded.result ELSE config_delivery.result END, \
     message = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     THEN excluded.message ELSE config_delivery.message END, \
     acked = CASE WHEN excluded.acked > COALESCE(config_delivery.acked, excluded.acked - 1) \
     THEN excluded.acked ELSE config_delivery.acked END";
const OF_RELEASES: [&str; 2] =
    of_ids!("SELECT * FROM config_delivery WHERE release_id", "ORDER BY release_id, node_id");

const PRUNE: &str = "WITH RECURSIVE kept (id) AS (\
     SELECT origin FROM config_release WHERE origin IS NOT NULL AND (state = 0 OR publish_time >= $1) \
     UNION SELECT config_release.origin FROM config_release JOIN kept ON kept.id = config_release.id \
     WHERE config_release.origin IS NOT NULL) \
     DELETE FROM config_delivery WHERE release_id IN (SELECT id FROM config_release \
     WHERE state <> 0 AND publish_time < $1 AND id NOT IN (SELECT id FROM kept) \
     AND EXISTS (SELECT 1 FROM config_delivery known WHERE known.release_id = config_release.id) \
     ORDER BY id LIMIT $2)";

#[derive(FromRow)]
struct DeliveryRow {
    release_id: i64,
    node_id: i64,
    sent: Option<i64>,
    result: Option<i64>,
    message: Option<String>,
    acked: Option<i64>,
}

impl TryFrom<DeliveryRow> for Delivery {
    type Error = StorageError;

    fn try_from(row: DeliveryRow) -> StorageResult<Self> {
        let DeliveryRow { release_id: release, node_id: node, sent, result, message, acked } = row;
        let ack = match (result, acked) {
            (Some(result), Some(acked)) => {
                let result = AckResult::from_id(result).ok_or(StorageError::Corrupt { what: "result" })?;
                Some(Ack { result, message: message.unwrap_or_default(), time: time(acked)? })
            }
            _ => None,
        };
        Ok(Self { release, node, sent: sent.map(time).transpose()?, ack })
    }
}

#[async_trait]
impl DeliveryRepository for Transaction {
    async fn record(&mut self, deliveries: &[Delivery]) -> StorageResult<()> {
        let mut values: Vec<Value<'_>> = Vec::with_capacity(deliveries.len() * 6);
        for Delivery { release, node, sent, ack } in deliveries {
            values.extend([Value::from(*release), Value::from(*node), Value::from(*sent)]);
            values.extend([
                Value::from(ack.as_ref().map(|ack| ack.result.id())),
                Value::from(ack.as_ref().map(|ack| &ack.message)),
                Value::from(ack.as_ref().map(|ack| ack.time)),
            ]);
        }
        self.connection.insert_many(RECORD, RECORD_TAIL, 6, &values).await.map(|_| ())
    }

    async fn of_releases(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<Delivery>> {
        let (sql, releases) = (self.connection.either(OF_RELEASES), self.connection.list(releases));
        let rows = self.connection.all::<DeliveryRow>(sql, &[Value::from(releases)]).await?;
        rows.into_iter().map(Delivery::try_from).collect()
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
