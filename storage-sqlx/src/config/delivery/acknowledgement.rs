//! Repository of delivery records: the tables `config_delivery`, `config_delivery_count` and `config_part_ack`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use pilothouse_core::config::{
    Ack, AckResult, AppliedTimes, ConcernedNodes, DeliveryCount, DeliveryKey, DeliveryRecord,
    DeliveryRepository, HeldVersion, ItemId, NodeAck, NodeNumber, NodePage, PartAck, ProfileAt, ReachCount,
    ReleaseId, RolloutNode,
};
use pilothouse_core::ports::{StorageError, StorageResult};

use super::rollout;
use crate::row::{FromRow, Row};
use crate::statement::{of_ids, statements, with_pairs};
use crate::transaction::Transaction;
use crate::value::{Value, ids, pairs, texts, values};

const RECORD_TAIL: &str = ") INSERT INTO config_delivery (release_id, node_id, sent, result, message, acked) \
     SELECT release_id, node_id, sent, result, message, acked FROM report \
     WHERE EXISTS (SELECT 1 FROM config_release JOIN config_node \
     ON config_node.app_id = config_release.app_id AND config_node.profile = config_release.profile \
     WHERE config_release.id = report.release_id AND config_node.id = report.node_id) \
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

/// The last releases of an item.
macro_rules! latest {
    () => {
        "(SELECT id, version, COALESCE(set_id, id) AS head_id FROM config_release \
         WHERE item_id = $2 ORDER BY id DESC LIMIT $3) latest"
    };
}

/// Versions of an item that nodes applied: those of its last releases that are said of the whole release, and those that are
/// said of the part.
macro_rules! held {
    ($among:literal) => {
        concat!(
            "SELECT node_id, version FROM (SELECT node_id, version, ROW_NUMBER() OVER \
             (PARTITION BY node_id ORDER BY acked DESC, version DESC) AS place FROM (\
             SELECT node_id, latest.version, acked FROM ",
            latest!(),
            " JOIN config_delivery ON release_id = latest.head_id WHERE result = 1 \
             AND NOT EXISTS (SELECT 1 FROM config_part_ack other WHERE other.release_id = latest.head_id \
             AND other.node_id = config_delivery.node_id) AND node_id",
            $among,
            " UNION ALL SELECT node_id, latest.version, acked FROM ",
            latest!(),
            " JOIN config_part_ack ON release_id = latest.head_id AND part_id = latest.id \
             WHERE result = 1 AND node_id",
            $among,
            ") said) ranked WHERE place = 1 ORDER BY node_id"
        )
    };
}

statements! {
    RECORD = "WITH report (release_id, node_id, sent, result, message, acked, now) AS (";
    OF_RELEASES: pair =
        of_ids!("SELECT * FROM config_delivery WHERE release_id", "ORDER BY release_id, node_id");
    REPLACE_ACKS = "WITH report (release_id, node_id, result, message, acked) AS (";
    FIND: pair = with_pairs!(
        "SELECT config_delivery.* FROM",
        "JOIN config_delivery ON release_id = pair.id AND node_id = pair.number ORDER BY release_id, node_id"
    );
    PART_ACKS: pair = with_pairs!(
        "SELECT config_part_ack.* FROM",
        "JOIN config_part_ack ON release_id = pair.id AND node_id = pair.number \
         ORDER BY release_id, node_id, part_id"
    );
    SET_PART_ACKS = "WITH said (release_id, node_id, part_id, result, message, acked) AS (";
    CLEAR_PART_ACKS: pair = with_pairs!(
        "DELETE FROM config_part_ack WHERE (release_id, node_id) IN (SELECT pair.id, pair.number FROM",
        ")"
    );
    COUNTS: pair =
        of_ids!("SELECT * FROM config_delivery_count WHERE nodes > 0 AND release_id", "ORDER BY release_id");
    HELD: pair = [
        held!(" = ANY(CAST($1 AS BIGINT[]))"),
        held!(" IN (SELECT value FROM json_each($1))"),
    ];
    OF_NODE = "SELECT config_item.key, newest.version, result, message, acked FROM (\
         SELECT item_id, version, result, message, acked, ROW_NUMBER() OVER \
         (PARTITION BY item_id, result = 1 ORDER BY acked DESC, id DESC) AS place FROM (\
         SELECT part.id, part.item_id, part.version, result, message, acked FROM config_delivery \
         JOIN config_release part ON part.id = release_id WHERE node_id = $1 AND result IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM config_part_ack other WHERE other.release_id = config_delivery.release_id \
         AND other.node_id = config_delivery.node_id) \
         UNION ALL SELECT part.id, part.item_id, part.version, result, message, acked FROM config_delivery \
         JOIN config_release part ON part.set_id = release_id WHERE node_id = $1 AND result IS NOT NULL \
         AND NOT EXISTS (SELECT 1 FROM config_part_ack other WHERE other.release_id = config_delivery.release_id \
         AND other.node_id = config_delivery.node_id) \
         UNION ALL SELECT part.id, part.item_id, part.version, result, message, acked FROM config_part_ack \
         JOIN config_release part ON part.id = part_id AND COALESCE(part.set_id, part.id) = release_id \
         WHERE node_id = $1) said) newest \
         JOIN config_item ON config_item.id = item_id WHERE place = 1 ORDER BY item_id, result = 1";
    NEWEST_OF_NODE = "SELECT * FROM config_delivery WHERE node_id = $1 ORDER BY release_id DESC LIMIT $2";
    PRUNE = "DELETE FROM config_delivery WHERE (release_id, node_id) IN (\
         SELECT known.release_id, known.node_id FROM config_delivery known \
         JOIN config_release ON config_release.id = known.release_id \
         WHERE state <> 0 AND publish_time < $1 AND NOT EXISTS (SELECT 1 FROM config_release part \
         WHERE part.set_id = config_release.id AND part.state = 0) \
         ORDER BY known.release_id, known.node_id LIMIT $2)";
}

const REPLACE_ACKS_TAIL: &str = ") UPDATE config_delivery \
     SET result = report.result, message = report.message, acked = report.acked FROM report \
     WHERE config_delivery.release_id = report.release_id AND config_delivery.node_id = report.node_id";

const SET_PART_ACKS_TAIL: &str = ") INSERT INTO config_part_ack (release_id, node_id, part_id, result, message, acked) \
     SELECT release_id, node_id, part_id, result, message, acked FROM said \
     WHERE EXISTS (SELECT 1 FROM config_delivery WHERE config_delivery.release_id = said.release_id \
     AND config_delivery.node_id = said.node_id) \
     ON CONFLICT (release_id, node_id, part_id) DO UPDATE SET \
     result = excluded.result, message = excluded.message, acked = excluded.acked";

/// The acknowledgement of a row; `None` where nothing was said.
pub(super) fn ack(row: &Row) -> StorageResult<Option<Ack>> {
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

impl FromRow for PartAck {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let ack = ack(row)?.ok_or(StorageError::Corrupt { what: "result" })?;
        let (release, node, part) = (row.get("release_id")?, row.get("node_id")?, row.get("part_id")?);
        Ok(Self { release, node, part, ack })
    }
}

impl FromRow for DeliveryCount {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: row.get("release_id")?,
            nodes: row.get("nodes")?,
            applied: row.get("applied")?,
            rejected: row.get("rejected")?,
            failed: row.get("failed")?,
        })
    }
}

fn key_pairs(keys: &[DeliveryKey]) -> Value<'static> {
    pairs(keys.iter().map(|(release, node)| (release.0, node.0)))
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

    async fn replace_acks(&mut self, deliveries: &[DeliveryRecord]) -> StorageResult<()> {
        let row = |record: &DeliveryRecord| -> Vec<Value<'static>> {
            let ack = record.ack.as_ref();
            vec![
                record.release.into(),
                record.node.into(),
                ack.map(|ack| ack.result.id()).into(),
                ack.map(|ack| ack.message.clone()).into(),
                ack.map(|ack| ack.time).into(),
            ]
        };
        let values: Vec<Value<'_>> = deliveries.iter().flat_map(row).collect();
        self.connection.execute_rows(REPLACE_ACKS, REPLACE_ACKS_TAIL, 5, &values).await.map(|_| ())
    }

    async fn find(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<DeliveryRecord>> {
        self.connection.all(FIND, values![key_pairs(keys)]).await
    }

    async fn part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<Vec<PartAck>> {
        self.connection.all(PART_ACKS, values![key_pairs(keys)]).await
    }

    async fn set_part_acks(&mut self, acks: &[PartAck]) -> StorageResult<()> {
        let row = |PartAck { release, node, part, ack }: &PartAck| -> [Value<'static>; 6] {
            let message = ack.message.clone();
            [
                (*release).into(),
                (*node).into(),
                (*part).into(),
                ack.result.id().into(),
                message.into(),
                ack.time.into(),
            ]
        };
        let values: Vec<Value<'_>> = acks.iter().flat_map(row).collect();
        self.connection.execute_rows(SET_PART_ACKS, SET_PART_ACKS_TAIL, 6, &values).await.map(|_| ())
    }

    async fn clear_part_acks(&mut self, keys: &[DeliveryKey]) -> StorageResult<()> {
        if keys.is_empty() {
            return Ok(());
        }
        self.connection.execute(CLEAR_PART_ACKS, values![key_pairs(keys)]).await.map(|_| ())
    }

    async fn counts(&mut self, releases: &[ReleaseId]) -> StorageResult<Vec<DeliveryCount>> {
        self.connection.all(COUNTS, values![ids(releases)]).await
    }

    async fn reach(
        &mut self,
        of: ProfileAt<'_>,
        releases: &[ReleaseId],
        is_online: bool,
    ) -> StorageResult<Vec<ReachCount>> {
        self.connection.all(rollout::REACH, &rollout::values_of(of, [ids(releases), is_online.into()])).await
    }

    async fn rollout_nodes(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
        page: NodePage,
    ) -> StorageResult<Vec<RolloutNode>> {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let state = page.state.map_or(-1, |state| number(state as usize));
        let ConcernedNodes { release, everyone, except } = *concerned;
        let concerned = [texts(except), release.into(), everyone.into()];
        let page = [state.into(), number(page.count).into(), number(page.start).into()];
        let values = rollout::values_of(of, concerned.into_iter().chain(page));
        self.connection.all(rollout::NODES, &values).await
    }

    async fn rollout_states(
        &mut self,
        of: ProfileAt<'_>,
        concerned: &ConcernedNodes<'_>,
    ) -> StorageResult<[i64; 6]> {
        let ConcernedNodes { release, everyone, except } = *concerned;
        let values = rollout::values_of(of, [texts(except), release.into(), everyone.into()]);
        rollout::counted(self.connection.all(rollout::STATES, &values).await?)
    }

    async fn named_nodes(
        &mut self,
        of: ProfileAt<'_>,
        release: ReleaseId,
        node_ids: &[&str],
    ) -> StorageResult<Vec<RolloutNode>> {
        let values = rollout::values_of(of, [texts(node_ids), release.into()]);
        self.connection.all(rollout::NAMED, &values).await
    }

    async fn applied_times(
        &mut self,
        release: ReleaseId,
        since: DateTime<Utc>,
    ) -> StorageResult<Option<AppliedTimes>> {
        self.connection.optional(rollout::APPLIED_TIMES, values![release, since]).await
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

    async fn newest_of_node(&mut self, node: NodeNumber, count: i64) -> StorageResult<Vec<DeliveryRecord>> {
        self.connection.all(NEWEST_OF_NODE, values![node, count]).await
    }

    async fn prune(&mut self, before: DateTime<Utc>, count: i64) -> StorageResult<u64> {
        self.connection.execute(PRUNE, values![before, count]).await
    }
}
