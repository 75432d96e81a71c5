//! The same over and over, at random moments: purges while fetches are in flight, and a server that is killed while it works.
//!
//! `PILOTHOUSE_TEST_TRIALS` says how many purges are tried, 30 where it is unset; on each of the four edges a trial is one
//! of its own. `PILOTHOUSE_TEST_KILLS` says how often the server is killed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_test_support::edges_or_skip;

use crate::client::Client;
use crate::fleet::{Fleet, ask, edges_are, prepare, task, wait};
use crate::place::{Place, ROOT};
use crate::random::{any_below, number};

/// Visitors ask for an object without a pause while it changes and is refreshed. The origin takes a random time to answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_purge_during_a_fetch() {
    if !edges_or_skip("trials::a_purge_during_a_fetch") {
        return;
    }
    let fleet = Arc::new(Fleet::install(Place::sqlite()).await);
    let (_server, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    let trials = number("PILOTHOUSE_TEST_TRIALS", 30);
    let mut old = [0_u64; 4];
    for trial in 0..trials {
        let path = format!("/slow/{}/trial/{trial}", any_below(25));
        fleet.origin.change();
        let stop = Arc::new(AtomicBool::new(false));
        let visitors: Vec<_> = (0..8)
            .map(|n| {
                let (fleet, path, stop) = (fleet.clone(), path.clone(), stop.clone());
                tokio::spawn(async move {
                    // Some come early, some while the purge is under way.
                    tokio::time::sleep(Duration::from_millis(any_below(40))).await;
                    while !stop.load(Ordering::SeqCst) {
                        fleet.visit(&fleet.edges[n % 4], &path).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(any_below(40))).await;
        let new = fleet.origin.change();
        let id = ask(&root, "refresh", std::slice::from_ref(&path)).await;
        wait(&root, &id, |task| task["percentComplete"] == "100").await;
        for _ in 0..3 {
            let visits = fleet.edges.iter().map(|edge| fleet.visit(edge, &path));
            let visits = futures_util::future::join_all(visits).await;
            for (n, (version, _)) in visits.iter().enumerate() {
                old[n] += u64::from(*version < new);
            }
        }
        stop.store(true, Ordering::SeqCst);
        for visitor in visitors {
            visitor.await.unwrap();
        }
        fleet.all_have(&path, new).await;
    }
    println!(
        "{trials} purges during fetches on each of two nginx and two Varnish: {old:?} old objects after 100"
    );
    assert_eq!(old, [0; 4]);
}

/// The highest percentage that was ever shown of each accepted job.
type Shown = Arc<Mutex<HashMap<String, u64>>>;

/// Looks at jobs for as long as the server answers; none may step back.
async fn look(root: Client, shown: Shown, seen: bool) -> usize {
    let ids: Vec<String> = shown.lock().unwrap().keys().cloned().collect();
    for id in &ids {
        let Ok(answer) = root.send("GET", &format!("/level3/task?taskid={id}"), None).await else { return 0 };
        assert!(answer.is_ok(), "job {id} was accepted and is gone: {answer:?}");
        let percent = answer.body["percentComplete"].as_str().unwrap().parse().unwrap();
        let mut shown = shown.lock().unwrap();
        let before = shown.get_mut(id).unwrap();
        assert!(percent >= *before, "job {id} went back from {before} to {percent}");
        *before = percent;
        if percent == 100 && seen {
            shown.remove(id);
        }
    }
    ids.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_the_midst_of_jobs() {
    if !edges_or_skip("trials::a_server_killed_in_the_midst_of_jobs") {
        return;
    }
    let fleet = Fleet::install(Place::sqlite()).await;
    let (mut server, mut root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    let kills = number("PILOTHOUSE_TEST_KILLS", 2);
    let (shown, mut accepted) = (Shown::default(), 0);
    for round in 0..kills {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (root, shown) = (root.clone(), shown.clone());
                tokio::spawn(async move {
                    let mut count = 0;
                    let (kind, jobs, urls) = if n == 0 { ("preload", 2, 20) } else { ("refresh", 8, 100) };
                    for job in 0..jobs {
                        let urls: Vec<_> =
                            (0..urls).map(|url| format!("http://a.test/{round}/{n}/{job}/{url}")).collect();
                        let body =
                            serde_json::json!({"login_email": "root@example.com", "path": urls.join("|")});
                        let path = format!("/level3/{kind}");
                        let Ok(queued) = root.send("POST", &path, Some(&body)).await else { break };
                        let id = queued.ok()["results"][0]["taskid"].as_str().unwrap().to_owned();
                        shown.lock().unwrap().insert(id, 0);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let looking = {
            let (root, shown) = (root.clone(), shown.clone());
            tokio::spawn(async move {
                while look(root.clone(), shown.clone(), false).await > 0
                    || root.send("GET", "/healthz", None).await.is_ok()
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        tokio::time::sleep(Duration::from_millis(20 + any_below(400))).await;
        server.process.kill9();
        for writer in writers {
            accepted += writer.await.unwrap();
        }
        looking.await.unwrap();
        server = fleet.place.serve().await;
        root = Client::new(&[&server]).login(ROOT).await;
        let begun = std::time::Instant::now();
        while look(root.clone(), shown.clone(), true).await > 0 {
            if begun.elapsed() > Duration::from_mins(3) {
                let id = shown.lock().unwrap().keys().next().cloned().unwrap();
                let edges = root.get("/level3/edges?cdn=level3").await;
                panic!("not done: {} with {edges:?}", task(&root, &id).await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("{kills} kills, {accepted} jobs accepted: none lost, no step back");
    assert!(accepted > 0);
}
