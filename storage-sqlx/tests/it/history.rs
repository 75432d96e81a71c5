//! Other histories: restored databases, newer schemas, and files that change under a running store.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pilothouse_conformance::rows::{add_app, task};
use pilothouse_core::ports::{Storage, StorageError};
use pilothouse_core::{Epoch, error_chain};
use pilothouse_storage_sqlx::{PostgresSettings, SqliteSettings, SqlxStorage};
use pilothouse_test_support::postgres_or_skip;
use sqlx::Connection;
use tempfile::TempDir;

use crate::within;

async fn epoch(storage: &SqlxStorage) -> Epoch {
    storage.read().await.unwrap().store_identity().identity().await.unwrap().epoch
}

/// Opens and closes a store; its epoch.
async fn epoch_of(path: &Path) -> Epoch {
    let storage = SqlxStorage::sqlite(path).await.unwrap();
    storage.migrate().await.unwrap();
    let epoch = epoch(&storage).await;
    storage.close().await;
    epoch
}

/// A store with a revision and an audited action, closed.
async fn used_store(path: &Path) -> Epoch {
    let storage = SqlxStorage::sqlite(path).await.unwrap();
    storage.migrate().await.unwrap();
    let app = add_app(&(std::sync::Arc::new(storage.clone()) as std::sync::Arc<dyn Storage>), 1).await;
    act(&storage, app).await;
    let epoch = epoch(&storage).await;
    storage.close().await;
    epoch
}

/// Raises the revision of an app, with its row of the audit trail.
async fn act(storage: &SqlxStorage, app: pilothouse_core::config::AppId) {
    let mut work = storage.begin().await.unwrap();
    let number = work.apps().raise_revision(app).await.unwrap().unwrap();
    work.audit().append(&pilothouse_conformance::rows::audit_row(number)).await.unwrap();
    work.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_file_has_its_epoch_renewed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let first = used_store(&path).await;
    assert_eq!(epoch_of(&path).await, first, "the same file opened again");
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    let app = storage.read().await.unwrap().apps().by_name("app1").await.unwrap().unwrap();
    act(&storage, app.id).await;
    storage.close().await;

    fs::copy(&copy, &path).unwrap();
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    // Longer than the mark's interval: it must not be written before it was compared.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    storage.migrate().await.unwrap();
    let second = epoch(&storage).await;
    storage.close().await;
    assert!(second > first, "an older file");
    assert_eq!(epoch_of(&path).await, second, "once");
    fs::copy(&copy, &path).unwrap();
    let third = epoch_of(&path).await;
    assert!(third > second, "again; the mark knows of the last epoch");
    used_store(&folder.path().join("other.db")).await;
    fs::copy(folder.path().join("other.db"), &path).unwrap();
    let fourth = epoch_of(&path).await;
    assert!(fourth > third, "another store");
    fs::remove_file(folder.path().join("pilothouse.db-mark")).unwrap();
    assert!(epoch_of(&path).await > fourth, "nothing is known of what was here");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_postgres_database_is_noticed_at_start_and_at_reconnect() {
    let Some(postgres) = postgres_or_skip("another_postgres_database_is_noticed_at_start_and_at_reconnect")
    else {
        return;
    };
    let database = postgres.database();
    let storage = PostgresSettings::new(&database.url).unwrap().connect().await.unwrap();
    storage.migrate().await.unwrap();
    let first = epoch(&storage).await;
    storage.migrate().await.unwrap();
    assert_eq!(epoch(&storage).await, first, "the same database");
    let mut connection = sqlx::PgConnection::connect(&database.url).await.unwrap();
    let origin: String = sqlx::query_scalar("SELECT origin FROM pilothouse.store_identity")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(origin.split('/').count(), 4, "{origin}");
    let elsewhere = "UPDATE pilothouse.store_identity SET origin = 'elsewhere'";
    sqlx::raw_sql(elsewhere).execute(&mut connection).await.unwrap();
    storage.migrate().await.unwrap();
    let second = epoch(&storage).await;
    assert!(second > first, "noticed at the start");

    within(Duration::from_secs(10), async || postgres.end_listeners() > 0).await;
    sqlx::raw_sql(elsewhere).execute(&mut connection).await.unwrap();
    postgres.end_listeners();
    within(Duration::from_secs(10), async || epoch(&storage).await > second).await;
}

/// Applies an additive and a breaking migration of a later version; the store stays ready after the first alone.
async fn assert_serves_after(storage: &SqlxStorage, run: impl AsyncFn(&'static str)) {
    storage.ready().await.unwrap();
    run("INSERT INTO pilothouse_migration (name, text, applied) VALUES ('9998_additive', '', 0)").await;
    let reason = storage.ready().await.unwrap_err();
    assert!(error_chain(&reason).contains("9998_additive"), "nothing says that it is compatible: {reason:?}");
    run("INSERT INTO pilothouse_schema (name, serves) VALUES ('9998_additive', 13)").await;
    storage.ready().await.unwrap();
    assert_eq!(storage.migrate().await.unwrap(), [""; 0], "an older server starts beside newer ones");
    run("INSERT INTO pilothouse_migration (name, text, applied) VALUES ('9999_breaking', '', 0)").await;
    run("INSERT INTO pilothouse_schema (name, serves) VALUES ('9999_breaking', 9999)").await;
    for refused in [storage.ready().await.unwrap_err(), storage.migrate().await.unwrap_err()] {
        assert!(error_chain(&refused).contains("a server of schema 9999 or later can serve"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_serves_an_sqlite_schema_that_was_only_added_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqlxStorage::sqlite(&path).await.unwrap();
    storage.migrate().await.unwrap();
    let pool = sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
    assert_serves_after(&storage, async |sql| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_serves_a_postgres_schema_that_was_only_added_to() {
    let Some(postgres) = postgres_or_skip("an_older_version_serves_a_postgres_schema_that_was_only_added_to")
    else {
        return;
    };
    let database = postgres.database();
    let storage = SqlxStorage::postgres(&database.url).await.unwrap();
    storage.migrate().await.unwrap();
    let options = PostgresSettings::session(database.url.parse().unwrap());
    let pool = sqlx::PgPool::connect_with(options).await.unwrap();
    assert_serves_after(&storage, async |sql| {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    })
    .await;
}

async fn write(storage: &SqlxStorage, number: i64) -> Result<(), StorageError> {
    let mut work = storage.begin().await?;
    work.tasks().insert(&task(number)).await?;
    work.commit().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_in_place_stops_the_store() {
    for is_backup in [true, false] {
        let folder = TempDir::new().unwrap();
        let (path, copy) = (folder.path().join("pilothouse.db"), folder.path().join("copy.db"));
        // An older copy of the file itself, made while nobody used it.
        let storage = SqlxStorage::sqlite(&path).await.unwrap();
        storage.migrate().await.unwrap();
        storage.close().await;
        if !is_backup {
            fs::copy(&path, &copy).unwrap();
        }
        let storage = SqliteSettings::new(&path).watch_content().open().await.unwrap();
        storage.migrate().await.unwrap();
        write(&storage, 1).await.unwrap();
        if is_backup {
            storage.backup(copy.to_str().unwrap()).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(Command::new("cp").args([&copy, &path]).status().unwrap().success());
        let stopped = tokio::time::timeout(Duration::from_secs(1), storage.stopped()).await;
        let reason = error_chain(&stopped.expect("not noticed within a second"));
        assert!(reason.contains("was overwritten while it was in use"), "{reason}");
        assert!(matches!(storage.begin().await, Err(StorageError::Stopped(_))), "it takes no writes");
    }
}

/// Checkpoints of this and of other processes rewrite the header all the time.
#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_not_taken_for_overwriting() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("pilothouse.db");
    let storage = SqliteSettings::new(&path).watch_content().open().await.unwrap();
    storage.migrate().await.unwrap();
    let other = SqliteSettings::new(&path).watch_content().open().await.unwrap();
    let pool = sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap();
    let begun = std::time::Instant::now();
    let mut number = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        for storage in [&storage, &other] {
            number += 1;
            write(storage, number).await.unwrap();
        }
        sqlx::raw_sql("CREATE TABLE t (a); DROP TABLE t; PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&pool)
            .await
            .unwrap();
    }
    storage.check_writable().await.unwrap();
    other.check_writable().await.unwrap();
}
