//! Servers that are killed in the midst of their work, again and again: what was acknowledged is there afterwards, what
//! was not is there whole or not at all, and the server starts by itself.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use pilothouse_test_support::{durable_postgres_or_skip, postgres_or_skip};
use serde_json::Value;

use crate::client::Client;
use crate::load::add_tasks_to_the_end;
use crate::place::{PATIENCE, Place, ROOT};

const WRITERS: usize = 16;

fn rounds() -> u32 {
    std::env::var("PILOTHOUSE_TEST_KILLS").map_or(5, |text| text.parse().unwrap())
}

/// A moment within the first half second of the work.
async fn some_moment() {
    let random = RandomState::new().hash_one(0_u8);
    tokio::time::sleep(Duration::from_millis(10 + random % 490)).await;
}

/// What must be in the store, and what was found there in earlier rounds.
#[derive(Default)]
struct Ledger {
    acknowledged: HashSet<String>,
    slowest_start: Duration,
}

impl Ledger {
    /// Compares the whole store with what was acknowledged.
    async fn check(&self, root: &Client) {
        let tasks = root.all("/api/task").await;
        let statuses = root.all("/api/task_status").await;
        let tasks = by_task_id(&tasks);
        let statuses = by_task_id(&statuses);
        for id in &self.acknowledged {
            assert!(tasks.contains_key(id.as_str()), "{id} was acknowledged and is gone");
        }
        assert_eq!(tasks.len(), statuses.len());
        for (id, task) in &tasks {
            assert!(statuses.contains_key(id), "half a transaction: {task} has no status");
        }
    }

    fn report(&self, on: &str, kills: u32) {
        let (rows, start) = (self.acknowledged.len(), self.slowest_start);
        println!("{on}: {kills} kills, {rows} rows acknowledged, none lost; slowest start {start:?}");
    }
}

fn by_task_id(rows: &[Value]) -> HashMap<&str, &Value> {
    let by_id: HashMap<_, _> = rows.iter().map(|row| (row["task_id"].as_str().unwrap(), row)).collect();
    assert_eq!(by_id.len(), rows.len(), "a task is there twice");
    by_id
}

/// Kills the server, many times.
async fn server_killed(on: &str, place: Place) {
    let mut ledger = Ledger::default();
    place.create_root();
    let mut server = place.serve().await;
    let mut root = Client::new(&[&server]).login(ROOT).await;
    for round in 0..rounds() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { add_tasks_to_the_end(&root, WRITERS, &format!("round {round}")).await }
        });
        some_moment().await;
        server.process.kill9();
        ledger.acknowledged.extend(writing.await.unwrap());

        let begun = Instant::now();
        server = place.serve().await;
        ledger.slowest_start = ledger.slowest_start.max(begun.elapsed());
        root = Client::new(&[&server]).login(ROOT).await;
        // Comparing everything takes longer every time, and what is lost stays lost.
        if round % 10 == 0 {
            ledger.check(&root).await;
        }
    }
    ledger.check(&root).await;
    ledger.report(on, rounds());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_on_sqlite() {
    server_killed("SQLite", Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_on_postgres() {
    let Some(postgres) = postgres_or_skip("kill::the_server_on_postgres") else { return };
    server_killed("Postgres", Place::postgres(&postgres.database())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postgres_under_the_server() {
    let Some(postgres) = durable_postgres_or_skip("kill::the_postgres_under_the_server") else { return };
    let place = Place::postgres(&postgres.database());
    let server = place.serve().await;
    let mut ledger = Ledger::default();
    let root = Client::new(&[&server]).login(ROOT).await;
    for round in 0..rounds() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { add_tasks_to_the_end(&root, WRITERS, &format!("round {round}")).await }
        });
        some_moment().await;
        postgres.kill();
        // A writer ends with the first answer that is no success.
        ledger.acknowledged.extend(writing.await.unwrap());
        assert!(!server.is_ready().await, "without its store");
        assert_eq!(root.get("/api/task").await.codes(), (500, 500));

        let begun = Instant::now();
        postgres.restart();
        while root.get("/api/task").await.status != 200 || !server.is_ready().await {
            assert!(begun.elapsed() < PATIENCE, "the server does not find its store again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ledger.slowest_start = ledger.slowest_start.max(begun.elapsed());
        if round % 10 == 0 {
            ledger.check(&root).await;
        }
    }
    ledger.check(&root).await;
    ledger.report("Postgres killed", rounds());
}
