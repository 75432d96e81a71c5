//! Jobs of a server that is killed while it works. `PILOTHOUSE_TEST_KILLS` sets the number of kills, 2 by default.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pilothouse_test_support::{Rng, edges_or_skip, env_number};

use crate::support::{ApiClient, EdgeFleet, Installation, ROOT, create_customer, task, wait_for_edges};

/// Highest percentage observed of each accepted job.
type Percentages = Arc<Mutex<HashMap<String, u64>>>;

/// Reads all jobs while the server answers, and asserts that no percentage falls; the number of jobs that were read.
async fn observe_jobs(root: ApiClient, percentages: Percentages, removes_done: bool) -> usize {
    let ids: Vec<String> = percentages.lock().unwrap().keys().cloned().collect();
    for id in &ids {
        let Ok(answer) = root.send("GET", &format!("/level3/task?taskid={id}"), None).await else { return 0 };
        assert!(answer.is_ok(), "job {id} was accepted and is lost: {answer:?}");
        let percent = answer.body["percentComplete"].as_str().unwrap().parse().unwrap();
        let mut percentages = percentages.lock().unwrap();
        let before = percentages.get_mut(id).unwrap();
        assert!(percent >= *before, "job {id} fell from {before} to {percent}");
        *before = percent;
        if percent == 100 && removes_done {
            percentages.remove(id);
        }
    }
    ids.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_job_is_lost_when_the_server_is_killed() {
    if !edges_or_skip("cdn::job_crash::no_accepted_job_is_lost_when_the_server_is_killed") {
        return;
    }
    let fleet = EdgeFleet::install(Installation::sqlite()).await;
    let (mut server, mut root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let kills = env_number("PILOTHOUSE_TEST_KILLS", 2);
    let (percentages, mut accepted) = (Percentages::default(), 0);
    for round in 0..kills {
        let writers: Vec<_> = (0..4)
            .map(|n| {
                let (root, percentages) = (root.clone(), percentages.clone());
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
                        percentages.lock().unwrap().insert(id, 0);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let observer = {
            let (root, percentages) = (root.clone(), percentages.clone());
            tokio::spawn(async move {
                while observe_jobs(root.clone(), percentages.clone(), false).await > 0
                    || root.send("GET", "/healthz", None).await.is_ok()
                {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        };
        tokio::time::sleep(Duration::from_millis(20 + Rng::new().u64(..400))).await;
        server.process.kill9();
        for writer in writers {
            accepted += writer.await.unwrap();
        }
        observer.await.unwrap();
        server = fleet.installation.serve().await;
        root = ApiClient::new(&[&server]).login(ROOT).await;
        let begun = std::time::Instant::now();
        while observe_jobs(root.clone(), percentages.clone(), true).await > 0 {
            if begun.elapsed() > Duration::from_mins(3) {
                let id = percentages.lock().unwrap().keys().next().cloned().unwrap();
                let edges = root.get("/level3/edges?cdn=level3").await;
                panic!("not done: {} with {edges:?}", task(&root, &id).await);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("{kills} kills, {accepted} jobs accepted: none lost, no percentage fell");
    assert!(accepted > 0);
}
