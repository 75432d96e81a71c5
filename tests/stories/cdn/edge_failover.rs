//! Failover of edge management: to another server, and to a worker without any server.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, edges_or_skip, postgres_or_skip};

use crate::support::{
    ApiClient, EdgeFleet, Installation, ROOT, TIMEOUT, complete, create_customer, queue, task, wait_for,
    wait_for_edges,
};

/// Longer than the lease that an edge may still have from a killed server.
const LEASE: Duration = Duration::from_millis(3500);

impl EdgeFleet {
    /// Requests an object until every edge answers this version from its cache; no answer may be older.
    async fn wait_until_cached(&self, path: &str, version: u64) {
        let begun = Instant::now();
        loop {
            let visits = self.visit_all(path).await;
            assert!(
                visits.iter().all(|(found, _)| *found == version),
                "{path} must be {version}: {visits:?}"
            );
            if visits.iter().all(|(_, cache)| cache == "HIT") {
                return;
            }
            assert!(begun.elapsed() < TIMEOUT, "{visits:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Two servers on one Postgres; the one that manages the edges is killed while an edge has missed a purge.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_takes_over() {
    let Some(postgres) = postgres_or_skip("cdn::edge_failover::another_server_takes_over") else { return };
    if !edges_or_skip("cdn::edge_failover::another_server_takes_over") {
        return;
    }
    let mut fleet = EdgeFleet::install(Installation::postgres(&postgres.database())).await;
    let (mut first, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    // The first server manages the edges for as long as it runs.
    let (_second, other) = fleet.serve().await;
    let old = fleet.origin.change();
    complete(&other, "refresh", &["/*"]).await;
    fleet.wait_until_cached("/object", old).await;

    let nginx = 1;
    fleet.edges[nginx].server.stop();
    wait_for_edges(&other, &["nginx-2"], "unreachable").await;
    let new = fleet.origin.change();
    let id = queue(&root, "refresh", &["/object".to_owned()]).await;
    wait_for(&other, &id, |task| task["percentComplete"] == "75").await;
    first.process.kill9();
    let killed = Instant::now();
    fleet.edges[nginx].server.restart();
    // From here on the edge could serve from its disk, but has not received the refresh yet.
    while killed.elapsed() < LEASE {
        let (version, cache) = fleet.visit(&fleet.edges[nginx], "/object").await;
        assert_eq!(version, new, "{cache}");
    }
    // Objects are cached again only under a lease of the second server.
    fleet.wait_until_cached("/object", new).await;
    let replayed = wait_for(&other, &id, |task| task["state"] != "pending").await;
    assert_eq!(replayed["percentComplete"], "100", "{replayed}");
    let edges = wait_for_edges(&other, &[], "in_service").await;
    assert!(edges["results"].as_array().unwrap().iter().all(|row| row["debt"] == 0), "{edges}");

    let newest = fleet.origin.change();
    fleet.assert_version("/object", new).await;
    complete(&other, "refresh", &["/object"]).await;
    fleet.wait_until_cached("/object", newest).await;
}

/// Jobs that a server accepted are completed by a worker after the server was killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_completes_the_jobs_of_a_killed_server() {
    if !edges_or_skip("cdn::edge_failover::a_worker_completes_the_jobs_of_a_killed_server") {
        return;
    }
    let fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (mut server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let old = fleet.origin.change();
    complete(&root, "refresh", &["/*"]).await;
    fleet.wait_until_cached("/object", old).await;
    let partition = || fleet.edges.iter().for_each(|edge| edge.proxy.partition());
    let heal = || fleet.edges.iter().for_each(|edge| edge.proxy.heal());
    partition();
    let new = fleet.origin.change();
    let refresh = queue(&root, "refresh", &["/object".to_owned()]).await;
    let preload = queue(&root, "preload", &["/preloaded".to_owned()]).await;
    server.process.kill9();

    heal();
    let mut command: Command = fleet.installation.command(&["worker"]);
    let _worker = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let begun = Instant::now();
    while fleet.visit_all("/object").await.iter().any(|(version, cache)| (*version, &**cache) != (new, "HIT"))
    {
        assert!(begun.elapsed() < TIMEOUT, "the worker puts no edge in service");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while fleet.origin.requests("/preloaded") < 4 {
        assert!(begun.elapsed() < TIMEOUT, "the worker preloads nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A server that reaches no edge shows the progress of the worker alone.
    loop {
        partition();
        let server = fleet.installation.serve().await;
        let root = ApiClient::new(&[&server]).login(ROOT).await;
        let tasks = [task(&root, &refresh).await, task(&root, &preload).await];
        drop(server);
        heal();
        if tasks.iter().all(|task| task["state"] == "done") {
            break;
        }
        assert!(begun.elapsed() < TIMEOUT, "{tasks:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(fleet.origin.requests("/preloaded"), 4);
}
