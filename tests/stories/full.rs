//! An nginx whose memory for generations is full: it may forget what it has cached, and never what was purged.

use pilothouse_test_support::edges_or_skip;

use crate::fleet::{Fleet, ask, done, edges_are, prepare, wait};
use crate::place::Place;

/// How many objects visitors look at.
const SEEN: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_purged_stays_purged() {
    if !edges_or_skip("full::what_was_purged_stays_purged") {
        return;
    }
    // Room for some hundred generations.
    let small =
        |shipped: String| shipped.replace("lua_shared_dict pilothouse 32m", "lua_shared_dict pilothouse 96k");
    let fleet = Fleet::install_with(Place::sqlite(), small).await;
    let (_server, root) = fleet.serve().await;
    prepare(&root).await;
    edges_are(&root, &[], "in service").await;
    let mut old = fleet.origin.change();
    fleet.all_have("/kept", old).await;
    assert!(fleet.visit_all("/kept").await.iter().all(|(_, cache)| cache == "HIT"));
    let purged_first: Vec<_> = (0..SEEN).map(|n| format!("/first/{n}")).collect();
    for path in &purged_first {
        fleet.all_have(path, old).await;
    }
    let first = fleet.origin.change();
    done(&root, "refresh", &purged_first.iter().map(String::as_str).collect::<Vec<_>>()).await;

    for round in 0..4 {
        let path = |n: usize| format!("/full/{n}");
        for n in 0..SEEN {
            fleet.visit_all(&path(n)).await;
        }
        old = fleet.origin.change();
        let others = (0..900).map(|n| format!("/other/{round}/{n}"));
        let all: Vec<_> = (0..SEEN).map(path).chain(others).collect();
        let id = ask(&root, "refresh", &all).await;
        let prefixes: Vec<_> = (0..40).map(|n| format!("/prefix/{round}/{n}/{}*", "x".repeat(300))).collect();
        let prefixed = ask(&root, "refresh", &prefixes).await;
        for id in [id, prefixed] {
            let done = wait(&root, &id, |task| task["state"] != "pending").await;
            assert_eq!(done["percentComplete"], "100");
        }
        for n in 0..SEEN {
            fleet.all_have(&path(n), old).await;
        }
    }
    for path in &purged_first {
        for (edge, (version, cache)) in fleet.edges.iter().zip(fleet.visit_all(path).await) {
            assert!(version >= first, "{} has {path} from before its purge ({cache})", edge.name);
        }
    }
    // The memory was full indeed: it was given up with all that was cached.
    let kept = fleet.visit_all("/kept").await;
    assert!(kept[..2].iter().all(|(version, _)| *version == old), "{kept:?}");
    assert!(kept[2..].iter().all(|(_, cache)| cache == "HIT"), "{kept:?}");
    edges_are(&root, &[], "in service").await;
}
