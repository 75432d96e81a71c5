//! The steps of the schema that keep one delivery record of a release at a node, count them, and store them by their key: what
//! was there before.

use std::fmt::Write as _;

use pilothouse_conformance::rows::{add_app, add_item, moment, node, release};
use pilothouse_core::config::{
    AckResult, DeliveryCount, DeliveryRecord, NodeNumber, Release, ReleaseId, ReleaseKind,
};
use pilothouse_core::ports::Storage;
use pilothouse_storage_sqlx::SqlxStorage;
use pilothouse_test_support::postgres_or_skip;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use std::sync::Arc;
use tempfile::TempDir;

/// The step itself.
const STEP_ON_SQLITE: &str = include_str!("../../migrations/sqlite/0038_delivery_counts.sql");
const STEP_ON_POSTGRES: &str = include_str!("../../migrations/postgres/0038_delivery_counts.sql");
/// The later step, on SQLite alone.
const ROWS_ON_SQLITE: &str = include_str!("../../migrations/sqlite/0051_delivery_rows.sql");
/// Takes the step back.
const UNDO: &str = "DROP TABLE config_part_ack; DROP TABLE config_delivery_count; \
     DROP INDEX config_release_origin; DROP INDEX config_node_profile;";
const UNDO_ON_SQLITE: &str = "DROP TRIGGER config_delivery_added; DROP TRIGGER config_delivery_changed; \
     DROP TRIGGER config_delivery_removed;";
const UNDO_ON_POSTGRES: &str = "DROP FUNCTION config_delivery_added CASCADE; \
     DROP FUNCTION config_delivery_changed CASCADE; DROP FUNCTION config_delivery_removed CASCADE;";

/// Releases and nodes of the profile, and the statement that writes what an older server kept of them.
struct Older {
    releases: [ReleaseId; 4],
    nodes: [NodeNumber; 3],
    insert: String,
}

/// A single release; a grey one to the first node, and the full one that followed; and a set of two keys.
async fn older(storage: &SqlxStorage) -> Older {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let (app, other) = (add_app(&storage, 1).await, add_app(&storage, 2).await);
    let (k, a, b) = (
        add_item(&storage, app, "k").await,
        add_item(&storage, app, "a").await,
        add_item(&storage, app, "b").await,
    );
    let mut work = storage.begin().await.unwrap();
    let mut nodes = [NodeNumber::UNSAVED; 3];
    for (n, number) in (1..).zip(&mut nodes) {
        *number = work.nodes().register(&node(app, n)).await.unwrap().unwrap();
    }
    let foreign = work.nodes().register(&node(other, 1)).await.unwrap().unwrap();
    let single = work.releases().insert(&release(k, 1)).await.unwrap();
    let named = vec![node(app, 1).node_id];
    let grey = Release { kind: ReleaseKind::Grey, nodes: named, ..release(k, 2) };
    let grey = work.releases().insert(&grey).await.unwrap();
    let full = work.releases().insert(&Release { origin: Some(grey), ..release(k, 2) }).await.unwrap();
    let set = work.releases().insert(&release(a, 1)).await.unwrap();
    work.releases().insert_parts(&[Release { set: Some(set), ..release(b, 1) }]).await.unwrap();
    let part = work.releases().part_versions(&[set]).await.unwrap()[1].part;
    work.commit().await.unwrap();
    let [one, two, three] = nodes;
    let at = |n: i64| moment(n).timestamp_micros();
    let mut insert = String::new();
    for (release, node, sent, result) in [
        (single, one, 1, 1),
        (single, two, 2, 0),
        (single, foreign, 1, 1),
        (grey, one, 3, 1),
        (full, two, 4, 0),
        (set, one, 5, 1),
        (part, one, 6, 1),
        (set, two, 5, 1),
        (part, two, 4, 0),
        (set, three, 5, 1),
        (part, three, 5, 2),
    ] {
        let acked =
            if result == 0 { "NULL, NULL, NULL".to_owned() } else { format!("{result}, 'm', {}", at(9)) };
        let (release, node) = (release.0, node.0);
        writeln!(insert, "INSERT INTO config_delivery VALUES ({release}, {node}, {}, {acked});", at(sent))
            .unwrap();
    }
    Older { releases: [single, grey, full, set], nodes, insert }
}

async fn check(storage: &SqlxStorage, Older { releases, nodes, .. }: &Older) {
    let mut store = storage.read().await.unwrap();
    let records = store.deliveries().of_releases(releases).await.unwrap();
    let shown = |record: &DeliveryRecord| {
        let node = nodes.iter().position(|node| *node == record.node).unwrap();
        let release = releases.iter().position(|release| *release == record.release).unwrap();
        (release, node, record.sent, record.ack.as_ref().map(|ack| ack.result))
    };
    let shown: Vec<_> = records.iter().map(shown).collect();
    let (applied, sent) = (Some(AckResult::Applied), |n| Some(moment(n)));
    let expected = [
        (0, 0, sent(1), applied),
        (0, 1, sent(2), None),
        (1, 0, sent(3), applied),
        (2, 0, sent(3), applied),
        (2, 1, sent(4), None),
        (3, 0, sent(5), applied),
        (3, 1, sent(4), None),
        (3, 2, sent(5), Some(AckResult::Rejected)),
    ];
    assert_eq!(shown, expected);
    let counts = store.deliveries().counts(releases).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|of: &DeliveryCount| [of.nodes, of.applied, of.rejected]).collect();
    assert_eq!(counts, [[2, 1, 0], [1, 1, 0], [2, 1, 0], [3, 1, 1]]);
    let keys: Vec<_> = nodes.iter().map(|node| (releases[3], *node)).collect();
    assert_eq!(store.deliveries().part_acks(&keys).await.unwrap().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_older_sqlite_store_are_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    let older = older(&storage).await;
    storage.close().await;
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let script = format!("{UNDO_ON_SQLITE} {UNDO} {} {STEP_ON_SQLITE} {ROWS_ON_SQLITE}", older.insert);
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    check(&storage, &older).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_an_older_postgres_store_are_counted() {
    let Some(postgres) = postgres_or_skip("records of an older Postgres store are counted") else { return };
    let url = postgres.database().url;
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let older = older(&storage).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let (undo, step) = (format!("{UNDO_ON_POSTGRES} {UNDO}"), STEP_ON_POSTGRES);
    let script = format!("SET search_path TO pilothouse; {undo} {} {step}", older.insert);
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await.unwrap();
    check(&storage, &older).await;
}
