//! Servers that are killed in the midst of their work, again and again: what was acknowledged is there afterwards, what
//! was not is there whole or not at all, and the server starts by itself.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pilothouse_test_support::{durable_postgres_or_skip, postgres_or_skip};

use crate::client::Client;
use crate::place::{PATIENCE, Place, ROOT};
use crate::publisher::{Publishers, WRITERS};
use crate::random::{any_below, number};
use crate::story::with_cdn;
use crate::writer::{Ledger, check, prepare, write_to_the_end};

fn rounds() -> u32 {
    u32::try_from(number("PILOTHOUSE_TEST_KILLS", 5)).unwrap()
}

/// A moment within the first half second of the work.
async fn some_moment() {
    tokio::time::sleep(Duration::from_millis(10 + any_below(490))).await;
}

fn report(on: &str, ledger: &Ledger, slowest: Duration) {
    println!(
        "{on}: {} kills, {} writes acknowledged, none lost; slowest start {slowest:?}",
        rounds(),
        ledger.len()
    );
}

/// Kills the server, many times.
async fn server_killed(on: &str, place: Place) {
    place.create_root();
    let mut server = place.serve().await;
    let mut root = Client::new(&[&server]).login(ROOT).await;
    prepare(&root).await;
    let (mut ledger, mut slowest) = (Ledger::default(), Duration::ZERO);
    for round in 0..rounds() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { write_to_the_end(&root, round).await }
        });
        some_moment().await;
        server.process.kill9();
        ledger.extend(writing.await.unwrap());

        let begun = Instant::now();
        server = place.serve().await;
        slowest = slowest.max(begun.elapsed());
        root = Client::new(&[&server]).login(ROOT).await;
        // Comparing everything takes longer every time, and what is lost stays lost.
        if round % 20 == 0 {
            check(&root, &ledger).await;
        }
    }
    check(&root, &ledger).await;
    report(on, &ledger, slowest);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_on_sqlite() {
    server_killed("the server on SQLite", with_cdn(Place::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_on_postgres() {
    let Some(postgres) = postgres_or_skip("kill::the_server_on_postgres") else { return };
    server_killed("the server on Postgres", with_cdn(Place::postgres(&postgres.database()))).await;
}

/// Kills a server that publishes, many times: no acknowledged publication is lost, on it and at the nodes.
async fn killed_while_publishing(on: &str, place: Place) {
    let mut server = place.serve().await;
    let mut root = Client::new(&[&server]).login(ROOT).await;
    let mut publishers = Publishers::prepare(&root, &server).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds() {
        let acknowledged = publishers.acknowledged.clone();
        let enough = acknowledged.load(Ordering::Relaxed) + WRITERS;
        let kill = async {
            while acknowledged.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            some_moment().await;
            server.process.kill9();
        };
        tokio::join!(publishers.publish_to_the_end(&root), kill);
        let begun = Instant::now();
        server = place.serve_again(server.port).await;
        root = Client::new(&[&server]).login(ROOT).await;
        publishers.check(&root).await;
        slowest = slowest.max(begun.elapsed());
    }
    println!(
        "{on}: {} kills, {} publications acknowledged, none lost, {} more carried out; {} values at nodes, none leaked; \
         slowest until all had everything {slowest:?}",
        rounds(),
        publishers.acknowledged.load(Ordering::Relaxed),
        publishers.found,
        publishers.values
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_on_sqlite() {
    killed_while_publishing("publications on SQLite", Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_on_postgres() {
    let Some(postgres) = postgres_or_skip("kill::publications_on_postgres") else { return };
    killed_while_publishing("publications on Postgres", Place::postgres(&postgres.database())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_postgres_under_the_server() {
    let Some(postgres) = durable_postgres_or_skip("kill::the_postgres_under_the_server") else { return };
    let place = with_cdn(Place::postgres(&postgres.database()));
    let server = place.serve().await;
    let root = Client::new(&[&server]).login(ROOT).await;
    prepare(&root).await;
    let (mut ledger, mut slowest) = (Ledger::default(), Duration::ZERO);
    for round in 0..rounds() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { write_to_the_end(&root, round).await }
        });
        some_moment().await;
        postgres.kill();
        // A writer ends with the first answer that is no success. Each waits some seconds for a connection.
        let (written, is_ready, answer) = tokio::join!(writing, server.is_ready(), root.get("/api/task"));
        ledger.extend(written.unwrap());
        assert!(!is_ready, "without its store");
        assert_eq!(answer.codes(), (500, 500));

        let begun = Instant::now();
        postgres.restart();
        while root.get("/api/task").await.status != 200 || !server.is_ready().await {
            assert!(begun.elapsed() < PATIENCE, "the server does not find its store again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(begun.elapsed());
        if round % 20 == 0 {
            check(&root, &ledger).await;
        }
    }
    check(&root, &ledger).await;
    report("Postgres under the server", &ledger, slowest);
}
