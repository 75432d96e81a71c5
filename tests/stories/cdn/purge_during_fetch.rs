//! Purges while fetches are in flight, at random moments. `PILOTHOUSE_TEST_TRIALS` sets the number of purges, 30 by default;
//! each is tried on four edges.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pilothouse_test_support::{Rng, edges_or_skip, env_number};

use crate::support::{EdgeFleet, Installation, create_customer, queue, wait_for, wait_for_edges};

/// Visitors request an object continuously while it changes and is refreshed. The origin answers after a random time.
#[tokio::test(flavor = "multi_thread")]
async fn no_old_object_is_served_after_a_refresh_during_fetches() {
    if !edges_or_skip("cdn::purge_during_fetch::no_old_object_is_served_after_a_refresh_during_fetches") {
        return;
    }
    let fleet = Arc::new(EdgeFleet::install(Installation::sqlite()).await);
    let (_server, root) = fleet.serve().await;
    create_customer(&root).await;
    wait_for_edges(&root, &[], "in_service").await;
    let trials = env_number("PILOTHOUSE_TEST_TRIALS", 30);
    let mut rng = Rng::new();
    let mut old = [0_u64; 4];
    for trial in 0..trials {
        let path = format!("/slow/{}/trial/{trial}", rng.u64(..25));
        fleet.origin.change();
        let stop = Arc::new(AtomicBool::new(false));
        let visitors: Vec<_> = (0..8)
            .map(|n| {
                let (fleet, path, stop) = (fleet.clone(), path.clone(), stop.clone());
                let delay = Duration::from_millis(rng.u64(..40));
                tokio::spawn(async move {
                    // Some visitors begin early, some during the purge.
                    tokio::time::sleep(delay).await;
                    while !stop.load(Ordering::SeqCst) {
                        fleet.visit(&fleet.edges[n % 4], &path).await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(rng.u64(..40))).await;
        let new = fleet.origin.change();
        let id = queue(&root, "refresh", std::slice::from_ref(&path)).await;
        wait_for(&root, &id, |task| task["percentComplete"] == "100").await;
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
        fleet.assert_version(&path, new).await;
    }
    println!(
        "{trials} purges during fetches on each of two nginx and two Varnish: {old:?} old objects after 100 %"
    );
    assert_eq!(old, [0; 4]);
}
