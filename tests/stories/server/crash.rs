//! Crash recovery: servers and Postgres are killed repeatedly under load. Acknowledged writes are stored, others completely
//! or not at all, and the server starts without help. `PILOTHOUSE_TEST_KILLS` sets the number of kills, 5 by default.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pilothouse_test_support::{Rng, durable_postgres_or_skip, env_number, postgres_or_skip};

use serde_json::json;

use crate::support::{
    AcknowledgedWrites, ApiClient, Installation, PUBLISHERS, Publishers, ROOT, TIMEOUT, assert_stored,
    prepare_writes, with_unreachable_edge, write_until_disconnected,
};

fn kills() -> u32 {
    u32::try_from(env_number("PILOTHOUSE_TEST_KILLS", 5)).unwrap()
}

/// Waits for a random time of at most half a second.
async fn wait_randomly() {
    tokio::time::sleep(Duration::from_millis(10 + Rng::new().u64(..490))).await;
}

/// Prints how many writes were acknowledged, and the slowest.
fn report(on: &str, writes: &AcknowledgedWrites, slowest: Duration) {
    println!(
        "{on}: {} kills, {} writes acknowledged, none lost; slowest start {slowest:?}",
        kills(),
        writes.len()
    );
}

/// Kills a server under load repeatedly.
async fn kill_server(on: &str, installation: Installation) {
    installation.create_root();
    let mut server = installation.serve().await;
    let mut root = ApiClient::new(&[&server]).login(ROOT).await;
    prepare_writes(&root).await;
    let (mut writes, mut slowest) = (AcknowledgedWrites::default(), Duration::ZERO);
    for round in 0..kills() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { write_until_disconnected(&root, round).await }
        });
        wait_randomly().await;
        server.process.kill9();
        writes.extend(writing.await.unwrap());

        let begun = Instant::now();
        server = installation.serve().await;
        slowest = slowest.max(begun.elapsed());
        root = ApiClient::new(&[&server]).login(ROOT).await;
        // The check takes longer every time; a write that is lost stays lost until the last one.
        if round % 20 == 0 {
            assert_stored(&root, &writes).await;
        }
    }
    assert_stored(&root, &writes).await;
    report(on, &writes, slowest);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_survive_kills_of_the_server_on_sqlite() {
    kill_server("the server on SQLite", with_unreachable_edge(Installation::sqlite())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_survive_kills_of_the_server_on_postgres() {
    let Some(postgres) = postgres_or_skip("server::crash::writes_survive_kills_of_the_server_on_postgres")
    else {
        return;
    };
    kill_server(
        "the server on Postgres",
        with_unreachable_edge(Installation::postgres(&postgres.database())),
    )
    .await;
}

/// Kills a server that publishes, repeatedly: no acknowledged publication is lost, on the server or at the nodes.
async fn kill_publishing_server(on: &str, installation: Installation) {
    let mut server = installation.serve().await;
    let mut root = ApiClient::new(&[&server]).login(ROOT).await;
    let mut publishers = Publishers::start(&root, &server).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..kills() {
        let acknowledged = publishers.acknowledged.clone();
        let enough = acknowledged.load(Ordering::Relaxed) + PUBLISHERS;
        let kill = async {
            while acknowledged.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            wait_randomly().await;
            server.process.kill9();
        };
        tokio::join!(publishers.publish_until_disconnected(&root), kill);
        let begun = Instant::now();
        server = installation.serve_again(server.port).await;
        root = ApiClient::new(&[&server]).login(ROOT).await;
        publishers.check(&root).await;
        slowest = slowest.max(begun.elapsed());
    }
    println!(
        "{on}: {} kills, {} publications acknowledged, none lost, {} more stored; {} values at nodes, none of another node; \
         slowest recovery of all nodes {slowest:?}",
        kills(),
        publishers.acknowledged.load(Ordering::Relaxed),
        publishers.found,
        publishers.values
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_survive_kills_on_sqlite() {
    kill_publishing_server("publications on SQLite", Installation::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_survive_kills_on_postgres() {
    let Some(postgres) = postgres_or_skip("server::crash::publications_survive_kills_on_postgres") else {
        return;
    };
    kill_publishing_server("publications on Postgres", Installation::postgres(&postgres.database())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_survive_kills_of_postgres() {
    let Some(postgres) = durable_postgres_or_skip("server::crash::writes_survive_kills_of_postgres") else {
        return;
    };
    let installation = with_unreachable_edge(Installation::postgres(&postgres.database()));
    let server = installation.serve().await;
    let root = ApiClient::new(&[&server]).login(ROOT).await;
    prepare_writes(&root).await;
    let (mut writes, mut slowest) = (AcknowledgedWrites::default(), Duration::ZERO);
    for round in 0..kills() {
        let writing = tokio::spawn({
            let root = root.clone();
            async move { write_until_disconnected(&root, round).await }
        });
        wait_randomly().await;
        postgres.kill();
        // A writer ends with the first answer that is not a success. Each waits some seconds for a connection.
        let (written, answer) = tokio::join!(writing, root.get("/api/task"));
        writes.extend(written.unwrap());
        assert_eq!((answer.codes(), &answer.body["done"]), ((503, 503), &json!("no")));
        // What readiness says may be a second old.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!server.is_ready().await, "ready without its store");

        let begun = Instant::now();
        postgres.restart();
        while root.get("/api/task").await.status != 200 || !server.is_ready().await {
            assert!(begun.elapsed() < TIMEOUT, "the server does not reconnect to its store");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        slowest = slowest.max(begun.elapsed());
        if round % 20 == 0 {
            assert_stored(&root, &writes).await;
        }
    }
    assert_stored(&root, &writes).await;
    report("Postgres under the server", &writes, slowest);
}
