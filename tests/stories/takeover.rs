//! Who looks after edges changes: a server that is killed, and a worker beside no server at all.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pilothouse_test_support::{ProcessGuard, edges_or_skip, postgres_or_skip};

use crate::client::Client;
use crate::fleet::{Fleet, ask, done, edges_are, prepare, task, wait};
use crate::place::{PATIENCE, Place, ROOT};

/// Longer than any lease that an edge still has from a server that is gone.
const LEASE: Duration = Duration::from_millis(3500);

impl Fleet {
    /// Visits all edges until each answers this version from its cache; no answer may be older.
    async fn all_cached(&self, path: &str, version: u64) {
        let begun = Instant::now();
        loop {
            let visits = self.visit_all(path).await;
            assert!(visits.iter().all(|(held, _)| *held == version), "{path} must be {version}: {visits:?}");
            if visits.iter().all(|(_, cache)| cache == "HIT") {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{visits:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Two servers on one Postgres; the one that keeps the edges in service is killed while an edge owes something.
#[tokio::test(flavor = "multi_thread")]
async fn another_server_takes_over() {
    let Some(postgres) = postgres_or_skip("takeover::another_server_takes_over") else { return };
    if !edges_or_skip("takeover::another_server_takes_over") {
        return;
    }
    let mut fleet = Fleet::install(Place::postgres(&postgres.database())).await;
    let (mut first, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    // Whoever came first keeps the edges for as long as it lives.
    let (_second, other) = fleet.serve().await;
    let old = fleet.origin.change();
    done(&other, "refresh", &["/*"]).await;
    fleet.all_cached("/object", old).await;

    let nginx = 1;
    fleet.edges[nginx].server.stop();
    edges_are(&other, &["nginx-2"], "cut off").await;
    let new = fleet.origin.change();
    let id = ask(&root, "refresh", &["/object".to_owned()]).await;
    wait(&other, &id, |task| task["percentComplete"] == "75").await;
    first.process.kill9();
    let killed = Instant::now();
    fleet.edges[nginx].server.restart();
    // From here on it could serve from its disk; nobody has told it of the refresh yet.
    while killed.elapsed() < LEASE {
        let (version, cache) = fleet.visit(&fleet.edges[nginx], "/object").await;
        assert_eq!(version, new, "{cache}");
    }
    // What is cached now is so under a lease of the second server.
    fleet.all_cached("/object", new).await;
    let paid = wait(&other, &id, |task| task["state"] != "pending").await;
    assert_eq!(paid["percentComplete"], "100", "{paid}");
    let edges = edges_are(&other, &[], "in service").await;
    assert!(edges["results"].as_array().unwrap().iter().all(|row| row["debt"] == 0), "{edges}");

    let newest = fleet.origin.change();
    fleet.all_have("/object", new).await;
    done(&other, "refresh", &["/object"]).await;
    fleet.all_cached("/object", newest).await;
}

/// What a server accepted is done by a worker when that server is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_alone() {
    if !edges_or_skip("takeover::a_worker_alone") {
        return;
    }
    let fleet = Fleet::install(Place::sqlite()).await;
    let (mut server, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    let old = fleet.origin.change();
    done(&root, "refresh", &["/*"]).await;
    fleet.all_cached("/object", old).await;
    let cut = || fleet.edges.iter().for_each(|edge| edge.line.cut());
    let mend = || fleet.edges.iter().for_each(|edge| edge.line.mend());
    cut();
    let new = fleet.origin.change();
    let refresh = ask(&root, "refresh", &["/object".to_owned()]).await;
    let preload = ask(&root, "preload", &["/preloaded".to_owned()]).await;
    server.process.kill9();

    mend();
    let mut command: Command = fleet.place.command(&["worker"]);
    let _worker = ProcessGuard::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let begun = Instant::now();
    while fleet.visit_all("/object").await.iter().any(|(version, cache)| (*version, &**cache) != (new, "HIT"))
    {
        assert!(begun.elapsed() < PATIENCE, "the worker puts no edge in service");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while fleet.origin.asked("/preloaded") < 4 {
        assert!(begun.elapsed() < PATIENCE, "the worker preloads nothing");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // A server that reaches no edge only tells what the worker has done.
    loop {
        cut();
        let server = fleet.place.serve().await;
        let root = Client::new(&[&server]).login(ROOT).await;
        let tasks = [task(&root, &refresh).await, task(&root, &preload).await];
        drop(server);
        mend();
        if tasks.iter().all(|task| task["state"] == "done") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{tasks:?}");
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(fleet.origin.asked("/preloaded"), 4);
}
