//! Statements of rollouts: the nodes that a release concerns, with their states.

use pilothouse_core::config::{AppliedTimes, LEASE, NodeState, ProfileAt, ReachCount, RolloutNode};
use pilothouse_core::ports::{StorageError, StorageResult};

use super::acknowledgement::ack;
use crate::row::{FromRow, Row};
use crate::statement::{among_texts, is_held, statements};
use crate::value::Value;

/// Condition that a node is online. The parameters `$1` to `$4` are those of [`values_of`].
macro_rules! is_online {
    () => {
        concat!("(NOT has_left AND ", is_held!("lease_until", "$3", "$4"), ")")
    };
}

/// The nodes of a profile with their state in the release `$6`, by the position in [`NodeState::ALL`].
macro_rules! nodes_of_release {
    () => {
        concat!(
            "(SELECT config_node.id AS number, config_node.node_id AS name, has_left, config_delivery.release_id, \
             sent, result, message, acked, CAST(CASE WHEN result = 1 THEN 2 WHEN result = 2 THEN 3 \
             WHEN result = 3 THEN 4 WHEN NOT ",
            is_online!(),
            " THEN 5 WHEN sent IS NOT NULL THEN 1 ELSE 0 END AS BIGINT) AS state FROM config_node \
             LEFT JOIN config_delivery ON config_delivery.release_id = $6 \
             AND config_delivery.node_id = config_node.id WHERE app_id = $1 AND profile = $2) node"
        )
    };
}

/// Condition that a full release concerns a node.
macro_rules! concerned {
    ($before:expr, $after:literal) => {
        among_texts!(
            concat!($before, " WHERE (release_id IS NOT NULL OR $7 AND NOT has_left AND NOT (name"),
            "$5",
            concat!("))", $after)
        )
    };
}

/// Condition that few releases of the profile are between the first and the last of those in `$5`, beside these.
macro_rules! is_dense {
    () => {
        "((SELECT COUNT(*) FROM (SELECT 1 FROM config_release WHERE app_id = $1 AND profile = $2 AND set_id IS NULL \
         AND id BETWEEN (SELECT MIN(value) FROM json_each($5)) AND (SELECT MAX(value) FROM json_each($5)) \
         LIMIT 8 * json_array_length($5) + 1)) <= 8 * json_array_length($5))"
    };
}

statements! {
    pub(super) NODES: pair = concerned!(
        concat!("SELECT * FROM ", nodes_of_release!()),
        " AND $8 IN (-1, state) ORDER BY number LIMIT $9 OFFSET $10"
    );
    pub(super) STATES: pair =
        concerned!(concat!("SELECT state, COUNT(*) AS nodes FROM ", nodes_of_release!()), " GROUP BY state");
    pub(super) NAMED: pair = among_texts!(
        concat!("SELECT * FROM ", nodes_of_release!(), " WHERE name"),
        "$5",
        "ORDER BY number"
    );
    /// The nodes are the smaller part of a profile, and the records those of many releases. Postgres searches the records of
    /// a release for all nodes at once. SQLite reads the index of a node's records: from the first to the last release where
    /// the profile has few others between them, or else each of the releases.
    pub(super) REACH: pair = [
        concat!(
            "WITH side AS MATERIALIZED (SELECT id, has_left FROM config_node \
             WHERE app_id = $1 AND profile = $2 AND ",
            is_online!(),
            " = $6) SELECT wanted.id AS release_id, kind.has_left, is_acked, nodes \
             FROM unnest(CAST($5 AS BIGINT[])) wanted (id) CROSS JOIN (VALUES (FALSE), (TRUE)) kind (has_left) \
             CROSS JOIN LATERAL (SELECT result IS NOT NULL AS is_acked, COUNT(*) AS nodes FROM config_delivery \
             WHERE release_id = wanted.id AND node_id = ANY(CASE WHEN kind.has_left \
             THEN ARRAY(SELECT id FROM side WHERE has_left) ELSE ARRAY(SELECT id FROM side WHERE NOT has_left) END) \
             GROUP BY result IS NOT NULL) counted ORDER BY wanted.id, kind.has_left, is_acked"
        ),
        concat!(
            "SELECT release_id, has_left, result IS NOT NULL AS is_acked, COUNT(*) AS nodes \
             FROM config_node CROSS JOIN (SELECT first, last \
             FROM (SELECT MIN(value) AS first, MAX(value) AS last FROM json_each($5)) WHERE ",
            is_dense!(),
            " UNION ALL SELECT value, value FROM json_each($5) WHERE NOT ",
            is_dense!(),
            ") span CROSS JOIN config_delivery INDEXED BY config_delivery_node \
             ON config_delivery.node_id = config_node.id AND release_id BETWEEN first AND last \
             WHERE app_id = $1 AND profile = $2 AND ",
            is_online!(),
            " = $6 AND +release_id IN (SELECT value FROM json_each($5)) \
             GROUP BY release_id, has_left, result IS NOT NULL ORDER BY release_id, has_left, is_acked"
        ),
    ];
    pub(super) APPLIED_TIMES = "WITH timed AS (SELECT MIN(acked) AS first, MAX(acked) AS last, COUNT(*) AS total \
         FROM config_delivery WHERE release_id = $1 AND result = 1 AND acked >= $2) \
         SELECT first, last, (SELECT acked FROM config_delivery WHERE release_id = $1 AND result = 1 AND acked >= $2 \
         ORDER BY acked LIMIT 1 OFFSET (SELECT (total - 1) / 2 FROM timed)) AS median FROM timed WHERE total > 0";
}

/// The parameters of these statements: app, profile, and the moment with the latest end of a lease that is believed then.
pub(super) fn values_of<'a>(
    of: ProfileAt<'a>,
    others: impl IntoIterator<Item = Value<'a>>,
) -> Vec<Value<'a>> {
    let ProfileAt { app, profile, now } = of;
    let profile = [app.into(), profile.into(), now.into(), LEASE.latest_end(now).into()];
    profile.into_iter().chain(others).collect()
}

/// Number of nodes in a state.
pub(super) struct StateCount {
    state: usize,
    nodes: i64,
}

/// Numbers by state, zero where there is no node.
pub(super) fn counted(rows: Vec<StateCount>) -> StorageResult<[i64; 6]> {
    let mut counts = [0; 6];
    for StateCount { state, nodes } in rows {
        *counts.get_mut(state).ok_or(StorageError::Corrupt { what: "node state" })? = nodes;
    }
    Ok(counts)
}

impl FromRow for StateCount {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state: i64 = row.get("state")?;
        Ok(Self { state: usize::try_from(state).unwrap_or(usize::MAX), nodes: row.get("nodes")? })
    }
}

impl FromRow for AppliedTimes {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self { first: row.get("first")?, median: row.get("median")?, last: row.get("last")? })
    }
}

impl FromRow for ReachCount {
    fn from_row(row: &Row) -> StorageResult<Self> {
        Ok(Self {
            release: row.get("release_id")?,
            left: row.get("has_left")?,
            is_acked: row.get("is_acked")?,
            nodes: row.get("nodes")?,
        })
    }
}

impl FromRow for RolloutNode {
    fn from_row(row: &Row) -> StorageResult<Self> {
        let state: i64 = row.get("state")?;
        let state = usize::try_from(state).ok().and_then(|state| NodeState::ALL.get(state).copied());
        Ok(Self {
            number: row.get("number")?,
            node_id: row.get("name")?,
            state: state.ok_or(StorageError::Corrupt { what: "node state" })?,
            sent: row.optional("sent")?,
            ack: ack(row)?,
        })
    }
}
