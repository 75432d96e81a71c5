//! Postgres that stops to answer without a word, is not there, or takes reads only.

use pilothouse_core::config::AppId;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use pilothouse_conformance::rows::task;
use pilothouse_core::ops::TaskFilter;
use pilothouse_core::ports::{Signal, Storage, StorageError, Topic};
use pilothouse_core::{Page, error_chain};
use pilothouse_storage_sqlx::{PostgresSettings, SqlxStorage};
use pilothouse_test_support::{durable_postgres_or_skip, postgres_or_skip};
use sqlx::{Connection, PgConnection};

use crate::proxy::Proxy;

/// Limit of the time until writes go on after the database is back.
const SILENT: Duration = Duration::from_secs(30);

async fn insert(storage: &SqlxStorage, number: i64) -> Result<(), StorageError> {
    let mut work = storage.begin().await?;
    work.tasks().insert(&task(number)).await?;
    work.commit().await
}

/// Writes until it succeeds, and returns when that was.
async fn insert_at_last(storage: &SqlxStorage, number: i64) -> Instant {
    while insert(storage, number).await.is_err() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Instant::now()
}

/// Some connections are idle when it happens, some in the middle of a transaction, one listens.
#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_after_a_silence() {
    let Some(postgres) = postgres_or_skip("writes_go_on_after_a_silence") else { return };
    let proxy = Proxy::start(&postgres.database().url).await;
    let storage = SqlxStorage::postgres(&proxy.url).await.unwrap();
    storage.migrate().await.unwrap();
    let mut signals = storage.signals();
    let mut open = Vec::new();
    for _ in 0..10 {
        open.push(storage.read().await.unwrap());
    }
    drop(open);
    let mut writers = Vec::new();
    for writer in 0..8 {
        let storage = storage.clone();
        writers.push(tokio::spawn(async move {
            let mut number = writer * 1_000_000;
            while insert(&storage, number).await.is_ok() {
                number += 1;
            }
        }));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut unfinished = storage.begin().await.unwrap();
    unfinished.tasks().insert(&task(100_000_001)).await.unwrap();
    assert!(writers.iter().all(|writer| !writer.is_finished()), "they write until the silence");
    proxy.silence();
    let unfinished = tokio::spawn(async move { unfinished.tasks().insert(&task(100_000_003)).await });
    tokio::time::sleep(Duration::from_secs(3)).await;
    proxy.speak();
    let spoken = Instant::now();
    let first = insert_at_last(&storage, 100_000_002).await;
    assert!(first - spoken < SILENT, "writes went on after {:?}", first - spoken);
    let failed = unfinished.await.unwrap().unwrap_err();
    assert!(matches!(failed, StorageError::Unavailable(_)), "{failed:?}");
    for writer in writers {
        writer.await.unwrap();
    }
    // Those who wait for wake-ups are told that they missed some, and hear the next.
    let heard = async {
        storage.announce(&[Topic::App(AppId(7))]).await;
        while let Some(signal) = signals.next().await {
            if signal == Signal::Changed(Topic::App(AppId(7))) {
                return;
            }
            storage.announce(&[Topic::App(AppId(7))]).await;
        }
    };
    tokio::time::timeout(SILENT, heard).await.expect("nothing is heard");
    let mut all = Vec::new();
    for number in 0..40 {
        let storage = storage.clone();
        all.push(tokio::spawn(async move { insert(&storage, 200_000_000 + number).await }));
    }
    for write in all {
        write.await.unwrap().unwrap();
    }
}

/// A request that is dropped leaves its connection in the middle of a statement.
#[tokio::test(flavor = "multi_thread")]
async fn connections_of_those_who_gave_up_are_not_kept() {
    let Some(postgres) = postgres_or_skip("connections_of_those_who_gave_up_are_not_kept") else { return };
    let proxy = Proxy::start(&postgres.database().url).await;
    let settings = PostgresSettings::new(&proxy.url).unwrap().connections(4);
    let storage = settings.connect().await.unwrap();
    storage.migrate().await.unwrap();
    let mut open = Vec::new();
    for number in 0..4 {
        let mut work = storage.begin().await.unwrap();
        work.tasks().insert(&task(number)).await.unwrap();
        open.push(work);
    }
    proxy.silence();
    for mut work in open {
        let every = TaskFilter::default();
        let given_up =
            tokio::time::timeout(Duration::from_millis(200), work.tasks().list(&every, Page::default()));
        assert!(given_up.await.is_err(), "it is silent");
    }
    proxy.speak();
    let spoken = Instant::now();
    let first = insert_at_last(&storage, 10).await;
    assert!(first - spoken < Duration::from_secs(30), "writes went on after {:?}", first - spoken);
    let mut snapshot = storage.read().await.unwrap();
    assert_eq!(snapshot.tasks().list(&TaskFilter::default(), Page::at(0, 100)).await.unwrap().len(), 1);
}

/// The same without a silence: the answers that nobody waited for are not taken for those of the next.
#[tokio::test(flavor = "multi_thread")]
async fn answers_nobody_waited_for_reach_nobody_else() {
    let Some(postgres) = postgres_or_skip("answers_nobody_waited_for_reach_nobody_else") else { return };
    let settings = PostgresSettings::new(&postgres.database().url).unwrap().connections(2);
    let storage = settings.connect().await.unwrap();
    storage.migrate().await.unwrap();
    insert(&storage, 1).await.unwrap();
    for round in 0..200_u64 {
        let mut work = storage.begin().await.unwrap();
        let cut_off = Duration::from_micros(round * 10);
        let _ = tokio::time::timeout(cut_off, work.tasks().insert(&task(2))).await;
        drop(work);
        let mut peek = storage.peek().await.unwrap();
        let _ = tokio::time::timeout(cut_off, peek.accounts().list(None, Page::default())).await;
        drop(peek);
        let mut snapshot = storage.read().await.unwrap();
        assert_eq!(snapshot.tasks().list(&TaskFilter::default(), Page::default()).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connection_is_called_so() {
    let Some(postgres) = durable_postgres_or_skip("a_refused_connection_is_called_so") else { return };
    let url = postgres.database().url;
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.migrate().await.unwrap();
    postgres.kill();
    // The first ones may meet the connections of before.
    let mut refusals = Vec::new();
    while !refusals.iter().any(|reason: &String| reason.contains("refused")) {
        let refused = insert(&storage, 1).await.unwrap_err();
        assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
        refusals.push(error_chain(&refused));
        assert!(refusals.len() < 4, "{refusals:?}");
    }
    let at_start = SqlxStorage::postgres(&url).await.unwrap_err();
    assert!(error_chain(&at_start).contains("refused"), "{}", error_chain(&at_start));
    postgres.restart();
    let restarted = Instant::now();
    let first = insert_at_last(&storage, 2).await;
    assert!(first - restarted < Duration::from_secs(20), "writes went on after {:?}", first - restarted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_too_small_is_called_so() {
    let Some(postgres) = postgres_or_skip("a_pool_that_is_too_small_is_called_so") else { return };
    let settings = PostgresSettings::new(&postgres.database().url).unwrap().connections(2);
    let storage = settings.connect().await.unwrap();
    storage.migrate().await.unwrap();
    // Outside of transactions, which would be ended while they are idle.
    let _open = [storage.peek().await.unwrap(), storage.peek().await.unwrap()];
    let refused = storage.begin().await.err().unwrap();
    assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
    assert!(error_chain(&refused).contains("all 2 connections"), "{}", error_chain(&refused));
}

/// A primary that was demoted answers on the connections of before, but writes go to another now.
#[tokio::test(flavor = "multi_thread")]
async fn writes_leave_a_server_that_takes_reads_only() {
    let Some(postgres) = postgres_or_skip("writes_leave_a_server_that_takes_reads_only") else { return };
    let url = postgres.database().url;
    let mut operator = PgConnection::connect(&url).await.unwrap();
    let name: String =
        sqlx::query_scalar("SELECT current_database()::text").fetch_one(&mut operator).await.unwrap();
    SqlxStorage::postgres(&url).await.unwrap().migrate().await.unwrap();
    let set =
        |value: &str| format!("SET default_transaction_read_only = off; {}", value.replace("DB", &name));
    let demote = set("ALTER DATABASE DB SET default_transaction_read_only = on");
    sqlx::raw_sql(sqlx::AssertSqlSafe(demote)).execute(&mut operator).await.unwrap();
    let storage = SqlxStorage::postgres(&url).await.unwrap();
    storage.ready().await.unwrap();
    let refused = storage.check_writable().await.unwrap_err();
    assert!(error_chain(&refused).contains("read-only"), "{}", error_chain(&refused));
    for number in 0..3 {
        let refused = insert(&storage, number).await.unwrap_err();
        assert!(matches!(refused, StorageError::Unavailable(_)), "{refused:?}");
        assert!(error_chain(&refused).contains("read-only"), "{}", error_chain(&refused));
    }
    let promote = set("ALTER DATABASE DB RESET default_transaction_read_only");
    sqlx::raw_sql(sqlx::AssertSqlSafe(promote)).execute(&mut operator).await.unwrap();
    insert(&storage, 4).await.unwrap();
    storage.check_writable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_schema_is_enough_for_a_role() {
    let Some(postgres) = postgres_or_skip("an_existing_schema_is_enough_for_a_role") else { return };
    let url = postgres.database().url;
    let mut operator = PgConnection::connect(&url).await.unwrap();
    let prepare = "CREATE ROLE tenant LOGIN; CREATE SCHEMA pilothouse AUTHORIZATION tenant";
    sqlx::raw_sql(prepare).execute(&mut operator).await.unwrap();
    let storage = SqlxStorage::postgres(&url.replace("postgres@", "tenant@")).await.unwrap();
    assert!(!storage.migrate().await.unwrap().is_empty());
    assert!(storage.migrate().await.unwrap().is_empty());
    insert(&storage, 1).await.unwrap();
}
